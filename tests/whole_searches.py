"""Searches in this process, through the code that workers run, on small tables made up here."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import polars as pl

from automl_assets.core.matrix import write_matrix
from automl_assets.core.profile import profile_table
from automl_assets.core.request import TrainingRequest
from automl_assets.core.search.budget import Budget
from automl_assets.core.search.claim import claim_trial
from automl_assets.core.search.final import FinalModelMaker, Tools
from automl_assets.core.search.forecast import Scale
from automl_assets.core.search.measuring import SAMPLE_ROWS, MemoryOf, Timers
from automl_assets.core.search.outcome import collect_candidates
from automl_assets.core.search.plan import SearchPlan
from automl_assets.core.search.planning import Machine, make_plan
from automl_assets.core.search.selection import fit_shape, load_selection
from automl_assets.core.search.standing import finalists, ledger
from automl_assets.core.search.study import (
    FINAL,
    open_study,
    tell_failure,
    tell_result,
)
from automl_assets.core.search.trial import run_trial, warm_up
from automl_assets.core.splits.assignment import assign_rows
from automl_assets.core.values import PARTS, CandidateSet, Split, SplitPart, TableProfile

MACHINE = Machine(max_workers=1, memory_mb=None, seconds=None)


@dataclass(frozen=True)
class Problem:
    """A table with its request, split and encoded.

    Attributes:
        others: Rows that the search does not see.
    """

    request: TrainingRequest
    profile: TableProfile
    split: Split
    matrix: Path
    frame: pl.DataFrame
    others: pl.DataFrame

    def plan(self, artifacts: Path, machine: Machine = MACHINE) -> SearchPlan:
        """The search's plan; candidates and raw rows for measuring go to `artifacts`."""
        artifacts.mkdir(parents=True, exist_ok=True)
        self.frame.head(200).select(self.profile.features).write_parquet(artifacts / SAMPLE_ROWS)
        return make_plan(
            self.request,
            self.profile,
            self.split,
            study_name="study",
            matrix=self.matrix,
            artifacts=artifacts,
            machine=machine,
        )


def make_table(kind: str, n_rows: int, *, seed: int = 0, heavy: bool = False) -> pl.DataFrame:
    """Numbers, categories, a switch and holes, with a target that depends on most of them."""
    rng = np.random.default_rng(seed)
    age, income, debt, noise = rng.normal(size=(4, n_rows))
    shop = rng.integers(0, 6, n_rows)
    member = rng.random(n_rows) < 0.4
    signal = age + np.sin(2 * income) + 0.6 * debt * member + np.linspace(-1, 1, 6)[shop]
    signal += 0.7 * rng.normal(size=n_rows)
    targets: dict[str, Any] = {
        "binary": np.where(signal > 0.4, "yes", "no"),
        "multiclass": np.array(["low", "middle", "high"])[np.digitize(signal, [-0.7, 0.7])],
        "regression": np.exp(1.5 * signal) if heavy else 100 + 20 * signal,
    }
    return pl.DataFrame(
        {
            "age": np.where(rng.random(n_rows) < 0.1, np.nan, age),
            "income": income,
            "debt": debt,
            "noise": noise,
            "echo": age + 0.01 * rng.normal(size=n_rows),
            "shop": [f"s{code}" for code in shop],
            "member": member,
            "target": targets[kind],
        }
    ).with_columns(pl.col("age").fill_nan(None))


def make_problem(
    folder: Path,
    kind: str = "binary",
    *,
    n_rows: int = 900,
    seed: int = 0,
    heavy: bool = False,
    **sections: dict[str, Any],
) -> Problem:
    """Split and encode a table for a request with these sections.

    Args:
        heavy: Whether the tails of a regression target are heavy.
    """
    frame = make_table(kind, n_rows, seed=seed, heavy=heavy)
    parts = {"validation": "20%", "calibration": "15%", "analysis": "5%"}
    asked: dict[str, Any] = {
        "apiVersion": "automl/v1",
        "kind": "TrainingRequest",
        "name": "made-up",
        "owner": "tests",
        "data": {"path": "table.parquet", "target": "target"},
        "seed": seed,
        **sections,
        "split": parts | sections.get("split", {}),
    }
    request = TrainingRequest.model_validate(asked)
    profile = profile_table(frame.lazy(), request)
    codes = None
    if profile.classes:
        order = {name: code for code, name in enumerate(profile.classes)}
        codes = frame["target"].replace_strict(order, return_dtype=pl.Int64).to_numpy()
    assignment, _ = assign_rows(frame.lazy(), request, n_rows=n_rows, strata=codes)
    preprocessing = write_matrix(folder / "matrix", frame.lazy(), profile, "target", assignment)
    split = Split(
        repository="r",
        commit_id="c",
        strategy=request.split_strategy,
        seed=request.seed,
        parts=tuple(
            SplitPart(part=part, n_rows=assignment.n_rows(part), path="", sha256="")
            for part in PARTS
        ),
        preprocessing_version="",
        matrix_id="matrix",
        feature_names=preprocessing.feature_names,
        n_folds=assignment.n_folds,
    )
    others = make_table(kind, 500, seed=seed + 1000, heavy=heavy)
    return Problem(request, profile, split, folder / "matrix", frame, others)


def search(
    plan: SearchPlan,
    *,
    clock: Callable[[], float] = time.process_time,
    memory_of: MemoryOf | None = None,
) -> tuple[CandidateSet, list[dict[str, Any]]]:
    """Run a search as one worker does; returns what it found and its ledger."""
    study, plan = open_study(plan, optuna.storages.InMemoryStorage())
    data, preprocessing = load_selection(plan)
    shape = fit_shape(plan, data)
    scale = Scale(fit=shape, n_fits=data.n_folds, everything=shape)
    budget = Budget(plan.time_limit_seconds, used_before=0.0, clock=clock)
    timers = Timers(wall=time.perf_counter, cpu=time.process_time)
    while claim := claim_trial(study, plan, "w", scale=scale, left=budget.left()):
        warm_up(claim.job, plan, data)
        try:
            result = run_trial(claim.job, plan, data, preprocessing, clock=clock, timers=timers)
        except Exception as error:
            tell_failure(study, claim.trial, f"{type(error).__name__}: {error}")
        else:
            tell_result(study, claim.trial, result)
    candidates = finalists(study, plan)
    if candidates:
        tools = Tools(
            clock=clock,
            deadline=clock() + budget.left(),
            timers=timers,
            memory_of=memory_of,
            n_threads=plan.n_threads * plan.n_workers,
        )
        maker = FinalModelMaker(plan, data, preprocessing, candidates, tools, lambda _: None)
        made = maker.make()
        model = None if made is None else made.model_dump(mode="json")
        study.set_user_attr(FINAL, {"model": model, "refused": maker.refused})
    return collect_candidates(study, plan, seconds=budget.used()), ledger(study)


def package_of(plan: SearchPlan, candidates: CandidateSet) -> Path:
    """The folder of the final model's package."""
    within = Path(candidates.artifact).relative_to(f"{plan.study_name}/candidates")
    return Path(plan.artifacts) / within
