"""Small searches: plans, results of trials without fitting, and a matrix that takes no time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import polars as pl

from automl_assets.core.families import DataShape, Integer, Real
from automl_assets.core.matrix import write_matrix
from automl_assets.core.search.claim import Claim, claim_trial
from automl_assets.core.search.forecast import Scale
from automl_assets.core.search.plan import Proposal, SearchPlan
from automl_assets.core.search.study import tell_result
from automl_assets.core.search.trial import TrialResult
from automl_assets.core.splits import random_split
from automl_assets.core.splits.folds import random_folds
from automl_assets.core.values import ColumnProfile, Part, TableProfile, TaskType

SHAPE = DataShape(n_rows=5_000, n_levels=(0, 0, 9), n_classes=2)
SCALE = Scale(
    fit=SHAPE, n_fits=1, everything=DataShape(n_rows=6_000, n_levels=(0, 0, 9), n_classes=2)
)
SPACES = {
    "lightgbm": {
        "learning_rate": Real(low=0.01, high=0.3, log=True),
        "num_leaves": Integer(low=4, high=64, log=True),
    },
    "linear": {"C": Real(low=1e-3, high=1e3, log=True)},
}
PROPOSALS = (
    Proposal(family="lightgbm", params={}, origin="baseline"),
    Proposal(family="linear", params={"C": 0.5}, origin="portfolio"),
    Proposal(family="lightgbm", params={"learning_rate": 0.1, "num_leaves": 8}, origin="parent"),
)
KINDS = {"age": "numeric", "visits": "numeric", "shop": "categorical"}


def make_plan(**changes: Any) -> SearchPlan:
    """Return the plan of a search with two families, three proposals and six trials."""
    values: dict[str, Any] = {
        "study_name": "churn-0123456789",
        "metric": "log_loss",
        "direction": "minimize",
        "task_type": "binary",
        "classes": ("no", "yes"),
        "target": "churned",
        "families": ("lightgbm", "linear"),
        "spaces": SPACES,
        "fixed": {"lightgbm": {}, "linear": {}},
        "proposals": PROPOSALS,
        "sampler": "tpe",
        "n_trials": 6,
        "time_limit_seconds": None,
        "n_workers": 2,
        "n_threads": 1,
        "seed": 5,
        "shape": SHAPE,
        "matrix": "matrix",
        "artifacts": "artifacts",
    }
    return SearchPlan.model_validate(values | changes)


def make_result(score: float = 0.5, **changes: Any) -> TrialResult:
    """Return what a trial with one fit leaves."""
    values: dict[str, Any] = {
        "score": score,
        "fold_scores": (score,),
        "fit_seconds": 0.1,
        "n_iterations": (20,),
        "model_bytes": 10,
        "package_sha256": "d" * 64,
        "truncated": False,
        "cpu_seconds": 0.2,
        "seconds": 0.3,
    }
    return TrialResult.model_validate(values | changes)


def claims(
    study: optuna.Study,
    plan: SearchPlan,
    *,
    worker: str = "w",
    scale: Scale = SCALE,
    left: float = float("inf"),
) -> Iterator[Claim]:
    """Yield trials until there is none; the caller ends each."""
    while (claim := claim_trial(study, plan, worker, scale=scale, left=left)) is not None:
        yield claim


def run_all(study: optuna.Study, plan: SearchPlan, *, worker: str = "w") -> list[Claim]:
    """Run all trials that there are, each with a score that follows from what it was told."""
    found = []
    for claim in claims(study, plan, worker=worker):
        found.append(claim)
        rate = claim.job.params.get("learning_rate") or claim.job.params.get("C") or 1.0
        tell_result(study, claim.trial, make_result(abs(np.log10(float(rate)) + 1.0)))
    return found


def make_table(n_rows: int, task_type: TaskType, *, seed: int = 3) -> pl.DataFrame:
    """Return rows whose target follows from the features, and from chance."""
    rng = np.random.default_rng(seed)
    age, visits = rng.normal(size=(2, n_rows))
    shop = rng.integers(0, 5, n_rows)
    curved = 0.8 * np.abs(visits) - 0.6
    signal = age + curved - 0.5 * visits + 0.6 * (shop - 2) + 0.8 * rng.normal(size=n_rows)
    target: Any = signal
    if task_type == "binary":
        target = [("no", "yes")[int(value > 0)] for value in signal]
    elif task_type == "multiclass":
        target = [
            ("high", "low", "middle")[int(value > -0.5) + int(value > 0.5)] for value in signal
        ]
    names = [f"s{code}" for code in shop]
    return pl.DataFrame({"age": age, "visits": visits, "shop": names, "churned": target})


def make_matrix(
    folder: Path,
    *,
    task_type: TaskType = "binary",
    n_rows: int = 600,
    table: pl.DataFrame | None = None,
) -> Path:
    """Write the matrix of a small table with five folds in train, and return its folder."""
    table = make_table(n_rows, task_type) if table is None else table
    fractions: dict[Part, float] = {
        "train": 0.6,
        "validation": 0.15,
        "calibration": 0.1,
        "analysis": 0.15,
    }
    columns = tuple(
        ColumnProfile.model_validate(
            {"name": name, "dtype": str(table[name].dtype), "kind": kind, "n_nulls": 0}
            | {"n_distinct": 5}
        )
        for name, kind in KINDS.items()
    )
    classes = () if task_type == "regression" else tuple(sorted(set(table["churned"])))
    profile = TableProfile(
        n_rows=table.height,
        columns=columns,
        task_type=task_type,
        classes=classes,
        features=tuple(KINDS),
        dropped=(),
    )
    assignment = random_folds(random_split(table.height, fractions, seed=0), 5, seed=0)
    write_matrix(folder, table.lazy(), profile, "churned", assignment)
    return folder
