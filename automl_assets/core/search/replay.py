"""A search run again from its ledger: what the clock once decided is taken from there.

The ledger holds, of each trial, its job and how many iterations each fit made; the members
of the final model say which of its fits were made again, with how many iterations and with
which seeds. So no fit here stops by itself or by a clock. On the same kind of machine, with
the same versions of the libraries and without a graphics processor, predictions are
identical to those of the first run. Files are not: some libraries write the same model in
other bytes.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from automl_assets.core.calibration import CalibrationKind
from automl_assets.core.encoding import Preprocessing
from automl_assets.core.errors import SearchError
from automl_assets.core.families import FittedModel
from automl_assets.core.files import publish_text
from automl_assets.core.metrics import load_metrics
from automl_assets.core.package import write_package
from automl_assets.core.predictor import load_predictor
from automl_assets.core.search.assembly import Part, learn_decisions, together, write_parts
from automl_assets.core.search.plan import SearchPlan
from automl_assets.core.search.selection import SelectionData, load_selection
from automl_assets.core.search.standing import ledger_sha256
from automl_assets.core.search.trial import Fits, Job, TrialResult, make_options, make_recipe
from automl_assets.core.values import CandidateSet, Member

Entry = Mapping[str, Any]
"""One trial, as `ledger` gives it."""

PLAN_FILE, LEDGER_FILE = "plan.json", "ledger.json"
"""What a search can be replayed from, beside the data."""

_KINDS: dict[str, CalibrationKind] = {
    "isotonic": "isotonic",
    "sigmoid": "sigmoid",
    "temperature": "temperature",
}


@dataclass(frozen=True, kw_only=True)
class ReplayedTrial:
    """What one trial found when it was run again.

    Attributes:
        prediction: Of the selection rows; NaN for those of folds that it never came to.
    """

    score: float
    fold_scores: tuple[float, ...]
    prediction: np.ndarray


def write_records(folder: Path, plan: SearchPlan, entries: Sequence[Entry]) -> None:
    """Write the plan and the ledger of a search that has ended; one kilobyte or two a trial.

    Args:
        folder: Where `plan.json` and `ledger.json` go; earlier ones are replaced.
        plan: As the search ended with it.
        entries: The ledger; read back, it has the same digest.
    """
    publish_text(folder / PLAN_FILE, _canonical(plan.model_dump(mode="json")))
    publish_text(folder / LEDGER_FILE, _canonical([dict(entry) for entry in entries]))


def _canonical(content: Any) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":")) + "\n"


def is_replayable(entry: Entry) -> bool:
    """Tell whether a trial left what it can be run again from: it is complete, or was pruned."""
    return bool(entry.get("job") and entry.get("result"))


def replay_trial(
    plan: SearchPlan, entry: Entry, data: SelectionData | None = None
) -> ReplayedTrial:
    """Fit and score one trial of a ledger again.

    Args:
        data: As `load_selection` gives it for this plan; for many trials it is loaded once.

    Raises:
        SearchError: The trial left no result.
    """
    job, result = _told(entry)
    if data is None:
        data, _ = load_selection(plan)
    fits = _fits(job, result, plan, data)
    # As many folds as it was scored on: what it was compared with need not be there.
    for number in range(len(result.fold_scores)):
        fits.run_fold(number)
    fits.pruned = result.pruned
    if fits.prediction is None:
        raise ArithmeticError(f"A trial needs a fold to fit, but trial {job.number} had none.")
    return ReplayedTrial(
        score=fits.score, fold_scores=tuple(fits.scores), prediction=fits.prediction
    )


def replay_model(
    plan: SearchPlan, entries: Sequence[Entry], candidates: CandidateSet, folder: Path
) -> str:
    """Fit the final model of a search again and write it as a package.

    Args:
        plan: As the study holds it; its matrix and its feature sets must be there.
        entries: The ledger of the study.
        candidates: What the search found.
        folder: Where the package goes.

    Returns:
        The digest of the package.

    Raises:
        SearchError: The ledger is not that of these candidates, or a member is missing in it.
    """
    _check(entries, candidates)
    by_number = {int(entry["number"]): entry for entry in entries}
    data, preprocessing = load_selection(plan)
    parts = [
        _part(member, by_number[member.number], plan, data, preprocessing)
        for member in candidates.members
    ]
    model = together(parts)
    decisions = learn_decisions(
        model,
        plan,
        preprocessing,
        calibration=_KINDS.get(candidates.calibration, "none"),
        by_cost=candidates.threshold is not None,
    )
    return write_parts(folder, parts, model, plan, preprocessing, decisions)


def _check(entries: Sequence[Entry], candidates: CandidateSet) -> None:
    digest = ledger_sha256([dict(entry) for entry in entries])
    if digest != candidates.ledger_sha256:
        raise SearchError(
            f"A model is replayed from the ledger it was found with, whose digest is "
            f"{candidates.ledger_sha256!r}, but this ledger has {digest!r}. Give the ledger of "
            f"study {candidates.study_name!r} as it was when the search ended."
        )
    known = {int(entry["number"]) for entry in entries}
    missing = [member.number for member in candidates.members if member.number not in known]
    if missing or not candidates.members:
        raise SearchError(
            "A model is replayed from the trials that it is made of, but "
            f"{', '.join(map(str, missing)) or 'all'} of them are missing. Run the search again."
        )


def _told(entry: Entry) -> tuple[Job, TrialResult]:
    if not is_replayable(entry):
        raise SearchError(
            "A trial can be run again if it left a result, but trial "
            f"{entry.get('number')} ended as {entry.get('state')!r}: "
            f"{entry.get('reason') or 'no reason given'}. Choose one that is complete or pruned."
        )
    job = Job.model_validate(entry["job"]).model_copy(update={"seconds": None})
    return job, TrialResult.model_validate(entry["result"])


def _fits(job: Job, result: TrialResult, plan: SearchPlan, data: SelectionData) -> Fits:
    return Fits(
        job, plan, data, load_metrics()[plan.metric], clock=lambda: 0.0, exact=result.n_iterations
    )


def _part(
    member: Member, entry: Entry, plan: SearchPlan, data: SelectionData, encoding: Preprocessing
) -> Part:
    job, result = _told(entry)
    models, seeds = [], ()
    if member.refitted:
        seeds = (job.seed, *member.more_seeds)
        models = [_refit(job, seed, member.n_iterations, plan, data) for seed in seeds]
    if member.with_found or not member.refitted:
        models.append(_found(job, result, plan, data, encoding))
    return Part(
        job=job,
        weight=member.weight,
        models=tuple(models),
        refitted=member.refitted,
        n_iterations=member.n_iterations,
        seeds=seeds,
    )


def _refit(
    job: Job, seed: int, n_iterations: int | None, plan: SearchPlan, data: SelectionData
) -> FittedModel:
    """Fit on train and validation, with as many threads as the final model had."""
    recipe = make_recipe(plan, job.family, job.params, job.features)
    options = make_options(
        plan,
        recipe,
        seed=seed,
        n_threads=plan.n_threads * plan.n_workers,
        should_stop=lambda: False,
        n_iterations=n_iterations,
    )
    return recipe.packaged(recipe.fit(data.all_rows, None, options))


def _found(
    job: Job, result: TrialResult, plan: SearchPlan, data: SelectionData, encoding: Preprocessing
) -> FittedModel:
    """Fit what a trial kept, the model of its first fold, and read it back from a package.

    The first run read it back, too, and a library's file may round a number.
    """
    fits = _fits(job, result, plan, data)
    fits.run_fold(0)
    if fits.first is None:
        raise ArithmeticError(f"A trial needs a fold to fit, but trial {job.number} had none.")
    with tempfile.TemporaryDirectory() as scratch:
        digest = write_package(
            Path(scratch) / "package",
            fits.recipe.packaged(fits.first),
            encoding,
            family=job.family,
            params=job.params,
            task_type=plan.task_type,
            classes=plan.classes,
            target=plan.target,
        )
        return load_predictor(Path(scratch) / "package", sha256=digest).model
