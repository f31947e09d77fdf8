"""One trial: fit on the train part, score on the validation part, keep the model."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import optuna

from automl_assets.core.encoding import Preprocessing
from automl_assets.core.families import Encoded, FitOptions, load_families
from automl_assets.core.matrix import read_part, read_preprocessing
from automl_assets.core.metrics import load_metrics
from automl_assets.core.package import package_bytes, write_package
from automl_assets.core.search.plan import SearchPlan
from automl_assets.core.search.study import seed_of, uses_defaults
from automl_assets.core.values import Value


class TrialResult(Value):
    """What a finished trial leaves in the ledger."""

    score: float
    cpu_seconds: float
    n_iterations: int | None
    model_bytes: int
    package_sha256: str
    params: dict[str, float | int | str | bool | None]
    truncated: bool


@dataclass(frozen=True, kw_only=True)
class TrialData:
    """What a worker maps into memory: the train and validation parts, nothing else."""

    train: Encoded
    validation: Encoded
    preprocessing: Preprocessing


def load_trial_data(plan: SearchPlan) -> TrialData:
    """Map the parts that a search may see."""
    folder = Path(plan.matrix)
    preprocessing = read_preprocessing(folder)
    return TrialData(
        train=read_part(folder, "train", preprocessing),
        validation=read_part(folder, "validation", preprocessing),
        preprocessing=preprocessing,
    )


def run_trial(
    trial: optuna.Trial,
    plan: SearchPlan,
    data: TrialData,
    *,
    should_stop: Callable[[], bool],
    cpu_clock: Callable[[], float],
) -> TrialResult:
    """Fit, score and keep one candidate.

    Args:
        should_stop: True asks the fit to end with the model so far.
        cpu_clock: CPU seconds of this process.

    Raises:
        ArithmeticError: The score is not a finite number.
        Exception: Whatever the family's library raises.
    """
    family = load_families()[trial.suggest_categorical("family", plan.families)]
    params = family.default_params() if uses_defaults(trial) else family.suggest(trial)
    options = FitOptions(
        task_type=plan.task_type,
        n_classes=plan.n_classes,
        seed=seed_of(trial, plan),
        n_threads=plan.n_threads,
        should_stop=should_stop,
    )
    started = cpu_clock()
    model = family.fit(data.train, data.validation, params, options)
    metric = load_metrics()[plan.metric]
    score = metric.score(data.validation.y, model.predict(data.validation.X))
    if not math.isfinite(score):
        raise ArithmeticError(f"The score must be a finite number, but {plan.metric} is {score}.")
    folder = Path(plan.artifacts) / str(trial.number)
    digest = write_package(
        folder,
        model,
        data.preprocessing,
        family=family.name,
        params=params,
        task_type=plan.task_type,
        classes=plan.classes,
        target=plan.target,
    )
    return TrialResult(
        score=score,
        cpu_seconds=cpu_clock() - started,
        n_iterations=model.n_iterations,
        model_bytes=package_bytes(folder),
        package_sha256=digest,
        params=params,
        truncated=should_stop(),
    )
