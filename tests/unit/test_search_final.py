"""The final model: who is in it, what it is fitted on, and which limits bind it."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_assets.core.calibration import fit_calibration
from automl_assets.core.composite import CompositeModel
from automl_assets.core.encoding import Preprocessing
from automl_assets.core.families import Encoded, FitOptions, FittedModel, Params, load_families
from automl_assets.core.matrix import read_part
from automl_assets.core.metrics import load_metrics
from automl_assets.core.package import verify_package
from automl_assets.core.predictor import Predictor, load_predictor
from automl_assets.core.search import choosing, copies, final
from automl_assets.core.search.copies import MAX_COPIES, copy_seed
from automl_assets.core.search.final import (
    Finalist,
    FinalModel,
    FinalModelMaker,
    Tools,
    excess_kurtosis,
    final_iterations,
)
from automl_assets.core.search.measuring import MemoryOf, Timers
from automl_assets.core.search.plan import SearchPlan
from automl_assets.core.search.selection import SelectionData, load_selection
from automl_assets.core.search.trial import PACKAGE, Job, run_trial
from automl_assets.core.threshold import choose_threshold
from tests.searches import make_matrix, make_plan, make_result, make_table

TIMERS = Timers(wall=time.perf_counter, cpu=time.process_time)
TASKS: dict[str, dict[str, Any]] = {
    "binary": {},
    "multiclass": {"task_type": "multiclass", "classes": ("high", "low", "middle")},
    "regression": {"task_type": "regression", "classes": (), "metric": "rmse"},
    "heavy": {"task_type": "regression", "classes": (), "metric": "rmse"},
}
TREES = {"n_estimators": 20, "num_leaves": 7, "min_data_in_leaf": 5, "feature_fraction": 0.6}
JOBS = (
    Job(
        number=0,
        family="lightgbm",
        params={**load_families()["lightgbm"].default_params(), **TREES},
        seed=11,
        origin="tpe",
    ),
    Job(
        number=1,
        family="linear",
        params=load_families()["linear"].default_params(),
        seed=12,
        origin="tpe",
    ),
    Job(
        number=2,
        family="knn",
        params=load_families()["knn"].default_params(),
        seed=13,
        origin="tpe",
    ),
)


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Search:
    """Three candidates of one task, fitted once; a final model may be made of them many times."""

    def __init__(self, folder: Path, task: str, n_fits: int) -> None:
        kind: Any = "regression" if task == "heavy" else task
        table = make_table(600, kind)
        if task == "heavy":
            rare = pl.int_range(pl.len()) % 50 == 7
            target = pl.when(rare).then(40.0).otherwise("churned")
            table = table.with_columns(target.alias("churned"))
        matrix = make_matrix(folder / "matrix", task_type=kind, table=table)
        self.plan: SearchPlan = make_plan(
            matrix=str(matrix),
            artifacts=str(folder / "candidates"),
            n_fits=n_fits,
            max_members=4,
            **TASKS[task],
        )
        loaded: tuple[SelectionData, Preprocessing] = load_selection(self.plan)
        self.data, self.preprocessing = loaded
        table.head(100).write_parquet(self._artifacts() / "rows.parquet")
        results = {job.number: self._run(job) for job in JOBS}
        self.finalists = sorted(
            (Finalist(job=job, result=results[job.number]) for job in JOBS),
            key=lambda item: item.result.score,
        )

    def _artifacts(self) -> Path:
        folder = Path(self.plan.artifacts)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _run(self, job: Job) -> Any:
        return run_trial(
            job, self.plan, self.data, self.preprocessing, clock=time.monotonic, timers=TIMERS
        )

    def maker(
        self,
        *,
        clock: Callable[[], float] | None = None,
        seconds: float = math.inf,
        memory_of: MemoryOf | None = None,
        fit_seconds: float = 1.0,
        seconds_per_row: float | None = None,
        only: tuple[int, ...] = (0, 1, 2),
        saved: list[FinalModel] | None = None,
        **changes: Any,
    ) -> FinalModelMaker:
        """Return a maker whose candidates took `fit_seconds` for each fit."""
        clock = clock or Clock()
        n_fits = self.plan.n_fits
        told = [
            replace(
                item,
                result=item.result.model_copy(
                    update={
                        "fit_seconds": fit_seconds * n_fits,
                        "seconds_per_row": item.result.seconds_per_row
                        if seconds_per_row is None
                        else seconds_per_row,
                    }
                ),
            )
            for item in self.finalists
            if item.job.number in only
        ]
        plan = SearchPlan.model_validate({**self.plan.model_dump(by_alias=True), **changes})
        return FinalModelMaker(
            plan,
            self.data,
            self.preprocessing,
            told,
            Tools(
                clock=clock,
                deadline=clock() + seconds,
                timers=TIMERS,
                memory_of=memory_of,
                n_threads=1,
            ),
            (lambda model: None) if saved is None else saved.append,
        )

    def make(self, **changes: Any) -> FinalModel:
        made = self.maker(**changes).make()
        assert made is not None
        return made

    def load(self, model: FinalModel) -> Predictor:
        return load_predictor(self._artifacts() / model.folder, sha256=model.package_sha256)

    def candidate(self, number: int) -> FittedModel:
        return load_predictor(self._artifacts() / str(number) / PACKAGE).model


@pytest.fixture(scope="module")
def searches(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Search]:
    """Gives a search by task and scheme, run once."""
    known: dict[tuple[str, int], Search] = {}

    def get(task: str = "binary", n_fits: int = 1) -> Search:
        if (task, n_fits) not in known:
            folder = tmp_path_factory.mktemp(f"{task}-{n_fits}")
            known[task, n_fits] = Search(folder, task, n_fits)
        return known[task, n_fits]

    return get


class Fits:
    """Notes what families are asked to fit, and lets a clock go on by what each takes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, clock: Clock, seconds: float) -> None:
        self.seen: list[tuple[Encoded, Encoded | None, FitOptions]] = []
        for name in ("lightgbm", "linear", "knn"):
            family = load_families()[name]
            monkeypatch.setattr(family, "fit", self._fitting(family.fit, clock, seconds))

    def _fitting(self, real: Any, clock: Clock, seconds: float) -> Any:
        def fit(
            train: Encoded, validation: Encoded | None, params: Params, options: FitOptions
        ) -> FittedModel:
            self.seen.append((train, validation, options))
            model = real(train, validation, params, options)
            clock.now += seconds
            return model

        return fit


# --- who is in it ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n_fits", [1, 4])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_it_is_never_worse_than_the_best_candidate(searches, task: str, n_fits: int) -> None:
    search = searches(task, n_fits)

    made = search.make()

    best = search.finalists[0].result.score
    assert made.score <= best * (1 + 1e-6)
    assert sum(member.weight for member in made.members) == pytest.approx(1.0)
    assert {member.number for member in made.members} <= {0, 1, 2}


def test_members_predict_together_by_their_weights(searches) -> None:
    search = searches("regression", 4)

    made = search.make(seconds=0.0)

    assert len(made.members) > 1
    assert made.score < search.finalists[0].result.score
    X = search.data.validation.X
    mean = sum(item.weight * search.candidate(item.number).predict(X) for item in made.members)
    np.testing.assert_allclose(search.load(made).model.predict(X), mean, rtol=1e-6)
    predictions = {
        item.number: np.load(Path(search.plan.artifacts) / str(item.number) / "selection.npy")
        for item in made.members
    }
    selection = np.sum([item.weight * predictions[item.number] for item in made.members], axis=0)
    score = load_metrics()["rmse"].score(search.data.y, selection)
    assert made.score == pytest.approx(score, rel=1e-5)


def test_without_an_ensemble_the_best_candidate_stands_alone(searches) -> None:
    search = searches("regression", 4)

    made = search.make(max_members=1)

    assert [member.number for member in made.members] == [search.finalists[0].job.number]
    assert made.score == pytest.approx(search.finalists[0].result.score, rel=1e-5)
    assert not isinstance(search.load(made).model, CompositeModel)


def test_no_more_members_than_allowed(searches) -> None:
    assert len(searches("regression", 4).make(max_members=2).members) <= 2


def test_the_same_candidates_make_the_same_model(searches) -> None:
    search = searches("regression", 4)

    X = search.data.validation.X
    one = search.make()
    first = search.load(one).model.predict(X)
    two = search.make()

    assert one.members == two.members
    assert one.score == two.score
    np.testing.assert_array_equal(search.load(two).model.predict(X), first)


# --- fitted again ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n_fits", [1, 4])
def test_members_are_fitted_again_on_all_rows_where_there_is_time(
    searches, monkeypatch, n_fits: int
) -> None:
    search, clock = searches("binary", n_fits), Clock()
    fits, saved = Fits(monkeypatch, clock, 1.0), []

    made = search.make(clock=clock, saved=saved)

    n_all = len(search.data.train.y) + len(search.data.validation.y)
    assert len(fits.seen) == len(made.members)
    assert all(len(train.y) == n_all and held is None for train, held, _ in fits.seen)
    assert all(member.refitted for member in made.members)
    results = {item.job.number: item.result for item in search.finalists}
    growth = n_all / search.data.n_fit_rows
    for member in made.members:
        assert member.n_iterations == final_iterations(results[member.number], growth)
    assert [model.folder for model in saved] == ["as-found", "final"]
    assert made.model_copy(update={"board": None}) == saved[-1]
    assert made.score == saved[0].score
    assert search.load(made).manifest.target == "churned"


def test_members_are_kept_as_found_where_there_is_no_time(searches, monkeypatch) -> None:
    search, clock = searches("regression", 4), Clock()
    fits, saved = Fits(monkeypatch, clock, 1.0), []

    made = search.make(clock=clock, seconds=0.5, saved=saved)

    assert fits.seen == []
    assert made.folder == "as-found"
    assert not any(member.refitted for member in made.members)
    assert saved == [made.model_copy(update={"board": None})]
    found = {item.job.number: item.n_iterations for item in search.finalists}
    assert all(member.n_iterations == found[member.number] for member in made.members)


def test_as_many_members_are_fitted_again_as_there_is_time_for(searches, monkeypatch) -> None:
    search, clock = searches("regression", 4), Clock()
    fits = Fits(monkeypatch, clock, 3.0)

    made = search.make(clock=clock, seconds=4.0, fit_seconds=2.0)

    assert len(fits.seen) == 1
    assert [member.refitted for member in made.members].count(True) == 1
    assert len(made.members) > 1
    assert made.folder == "final"
    verify_package(Path(search.plan.artifacts) / "final", sha256=made.package_sha256)


def test_a_fit_that_ends_after_the_time_is_thrown_away(searches, monkeypatch) -> None:
    search, clock = searches("binary"), Clock()
    fits = Fits(monkeypatch, clock, 50.0)

    made = search.make(clock=clock, seconds=10.0)

    assert len(fits.seen) == 1
    assert not any(member.refitted for member in made.members)
    assert made.folder == "as-found"


def test_a_candidate_that_saw_few_rows_is_expected_to_take_longer_on_all(
    searches, monkeypatch
) -> None:
    search, clock = searches("binary"), Clock()
    fits = Fits(monkeypatch, clock, 1.0)
    maker = search.maker(clock=clock, seconds=3.0, only=(0,))
    (whole,) = maker._finalists
    maker._finalists = [replace(whole, job=whole.job.model_copy(update={"row_share": 0.25}))]

    made = maker.make()

    assert made is not None
    assert fits.seen == []
    assert search.make(clock=clock, seconds=3.0, only=(0,)).members[0].refitted


# --- heavy tails and copies -----------------------------------------------------------------------


def test_with_a_heavy_tail_the_refit_is_averaged_with_the_model_as_found(searches) -> None:
    search = searches("heavy")

    made = search.make(only=(0,))

    assert made.members[0].with_found
    model = search.load(made).model
    assert isinstance(model, CompositeModel)
    assert [item.weight for item in model.members] == [0.5, 0.5]
    X = search.data.validation.X
    found = search.candidate(0).predict(X)
    np.testing.assert_array_equal(model.members[1].model.predict(X), found)


def test_with_a_heavy_tail_one_model_that_was_asked_for_is_one_model(searches) -> None:
    made = searches("heavy").make(max_members=1)

    [member] = made.members
    assert not member.refitted
    assert not member.with_found


@pytest.mark.parametrize(("task", "n_fits"), [("regression", 1), ("heavy", 4), ("binary", 1)])
def test_elsewhere_the_refit_is_trusted_alone(searches, task: str, n_fits: int) -> None:
    assert not any(item.with_found for item in searches(task, n_fits).make().members)


def test_the_leading_member_is_fitted_with_other_seeds_while_time_is_left(
    searches, monkeypatch
) -> None:
    search, clock = searches("binary"), Clock()
    fits = Fits(monkeypatch, clock, 1.0)

    made = search.make(clock=clock, seconds=100.0, only=(0,))

    (member,) = made.members
    assert member.more_seeds == (copy_seed(11, 1), copy_seed(11, 2))
    assert [options.seed for _, _, options in fits.seen] == [11, *member.more_seeds]
    assert {options.n_iterations for _, _, options in fits.seen} == {member.n_iterations}
    model = search.load(made).model
    assert isinstance(model, CompositeModel)
    assert [item.weight for item in model.members] == pytest.approx([1 / MAX_COPIES] * MAX_COPIES)


def test_there_are_as_many_copies_as_there_is_time_for(searches, monkeypatch) -> None:
    search, clock = searches("binary"), Clock()
    Fits(monkeypatch, clock, 1.0)

    assert len(search.make(clock=clock, seconds=3.2, only=(0,)).members[0].more_seeds) == 1


def test_a_model_that_is_slow_without_copies_gets_none(searches, monkeypatch) -> None:
    search, clock = searches("binary"), Clock()
    Fits(monkeypatch, clock, 1.0)
    monkeypatch.setattr(copies, "COPIES_SECONDS_PER_ROW", -1.0)

    made = search.make(clock=clock, seconds=100.0, only=(0,))

    assert made.members[0].refitted
    assert made.members[0].more_seeds == ()


def test_a_member_of_little_weight_is_not_copied(searches, monkeypatch) -> None:
    search, clock = searches("binary"), Clock()
    Fits(monkeypatch, clock, 1.0)
    monkeypatch.setattr(load_families()["linear"], "is_random", lambda params: True)
    weights = [(0, 0.9), (1, 0.1)]
    monkeypatch.setattr(final.Choices, "__iter__", lambda self: iter([weights]))

    made = search.make(clock=clock, seconds=100.0, only=(0, 1))

    assert [len(item.more_seeds) for item in made.members] == [2, 0]
    assert [item.weight for item in made.members] == [0.9, 0.1]


def test_copies_leave_the_time_that_judging_them_takes(searches, monkeypatch) -> None:
    search, clock = searches("binary"), Clock()
    Fits(monkeypatch, clock, 1.0)
    # With one copy judging takes two seconds.
    slow = {"seconds_per_row": 1e-5, "time_limit_seconds": 1000.0, "judged_rows": 100_000}

    made = search.make(clock=clock, seconds=4.0, only=(0,))
    of_slow = search.make(clock=clock, seconds=4.0, only=(0,), **slow)

    assert len(made.members[0].more_seeds) == 2
    assert of_slow.members[0].refitted
    assert of_slow.members[0].more_seeds == ()


def test_a_refit_leaves_the_time_that_judging_a_slow_model_takes(searches, monkeypatch) -> None:
    search, clock = searches("binary"), Clock()
    Fits(monkeypatch, clock, 1.0)
    monkeypatch.setattr(final, "seconds_per_row", lambda predict, X, cpu: 1e-4)
    limit = {"time_limit_seconds": 1000.0, "seconds": 5.0, "only": (0,)}

    quick = search.make(clock=clock, judged_rows=10_000, **limit)
    slow = search.make(clock=clock, judged_rows=100_000, **limit)

    assert quick.members[0].refitted
    assert not slow.members[0].refitted


def test_copies_leave_the_time_that_writing_them_takes(searches, monkeypatch) -> None:
    search, clock = searches("binary"), Clock()
    Fits(monkeypatch, clock, 1.0)
    write = final.write_parts

    def write_slowly(folder: Path, parts: Any, *others: Any) -> str:
        clock.now += 3.0 * sum(len(part.models) for part in parts)
        return write(folder, parts, *others)

    monkeypatch.setattr(final, "write_parts", write_slowly)
    begun, seconds = clock.now, 12.0

    made = search.make(clock=clock, seconds=seconds, only=(0,))

    assert len(made.members[0].more_seeds) == 1
    assert clock.now - begun <= seconds


def test_copies_of_a_heavy_tail_count_as_much_as_the_model_as_found(searches, monkeypatch) -> None:
    search, clock = searches("heavy"), Clock()
    Fits(monkeypatch, clock, 1.0)

    made = search.make(clock=clock, seconds=100.0, only=(0,))

    model = search.load(made).model
    assert isinstance(model, CompositeModel)
    X = search.data.validation.X
    np.testing.assert_array_equal(
        model.members[-1].model.predict(X), search.candidate(0).predict(X)
    )
    assert made.members[0].with_found
    assert len(made.members[0].more_seeds) == 2
    assert len(model.members) == 4


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"seconds": math.inf}, id="a search by trials"),
        pytest.param({"max_members": 1}, id="no ensemble wanted"),
        pytest.param({"only": (1,)}, id="a model without chance"),
        pytest.param({"constraints": {"model_size_mb": {"max": 50}}}, id="a limit"),
    ],
)
def test_there_are_no_copies_for(searches, monkeypatch, change: dict[str, Any]) -> None:
    search, clock = searches("binary"), Clock()
    Fits(monkeypatch, clock, 1.0)

    made = search.make(**{"clock": clock, "seconds": 100.0, "only": (0,)} | change)

    assert made.members[0].refitted
    assert made.members[0].more_seeds == ()


# --- limits ---------------------------------------------------------------------------------------

MEMORY = {"constraints": {"serving_memory_mb": {"max": 100}}}


def of_members(megabytes: Mapping[int, float]) -> MemoryOf:
    """Measure a package by the number of its models."""

    def memory_of(package: Path, rows: Path) -> float:
        return megabytes[len(verify_package(package).members) or 1]

    return memory_of


@pytest.fixture
def all_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if candidates always predicted best together, the more the better."""

    def weights(
        predictions: list[Any], *args: Any, max_members: int, scores: list[float]
    ) -> list[tuple[int, float]]:
        n_members = min(max_members, len(predictions))
        return [(index, 1.0 / n_members) for index in range(n_members)]

    monkeypatch.setattr(choosing, "greedy_weights", weights)


@pytest.mark.usefixtures("all_together")
def test_a_limit_that_the_ensemble_breaks_leaves_fewer_members(searches) -> None:
    search = searches("regression", 4)
    assert len(search.make().members) == 3

    maker = search.maker(memory_of=of_members({3: 130.0, 2: 90.0, 1: 50.0}), **MEMORY)
    made = maker.make()

    assert made is not None
    assert len(made.members) == 2
    assert made.measured == {"serving_memory_mb": 90.0}
    assert maker.refused == [{"serving_memory_mb": 130.0}]


@pytest.mark.usefixtures("all_together")
def test_a_limit_that_every_ensemble_breaks_leaves_the_best_single_candidate(searches) -> None:
    search = searches("regression", 4)

    maker = search.maker(memory_of=of_members({3: 130.0, 2: 120.0, 1: 50.0}), **MEMORY)
    made = maker.make()

    assert made is not None
    assert [item.number for item in made.members] == [search.finalists[0].job.number]
    assert [item["serving_memory_mb"] for item in maker.refused] == [130.0, 120.0]


def test_a_limit_that_the_best_candidate_breaks_leaves_the_next(searches) -> None:
    search = searches("regression", 4)
    second = search.finalists[1].job.family

    def memory_of(package: Path, rows: Path) -> float:
        return 10.0 if verify_package(package).family == second else 500.0

    made = search.make(memory_of=memory_of, **MEMORY)

    assert [item.number for item in made.members] == [search.finalists[1].job.number]


def test_nothing_is_made_where_no_model_is_within_the_limits(searches) -> None:
    saved: list[FinalModel] = []

    maker = searches("regression", 4).maker(
        memory_of=lambda package, rows: 101.0, saved=saved, **MEMORY
    )

    assert maker.make() is None
    assert saved == []
    assert len(maker.refused) >= 3
    assert {item["serving_memory_mb"] for item in maker.refused} == {101.0}


def test_a_limit_that_nobody_measured_is_not_held(searches) -> None:
    maker = searches("binary").maker(memory_of=None, **MEMORY)

    assert maker.make() is None


def test_a_refit_that_breaks_a_limit_is_not_taken(searches) -> None:
    search, saved = searches("binary"), []

    maker = search.maker(
        memory_of=lambda package, rows: 200.0 if package.name == "final" else 10.0,
        saved=saved,
        **MEMORY,
    )
    made = maker.make()

    assert made is not None
    assert made.folder == "as-found"
    assert saved == [made.model_copy(update={"board": None})]
    assert maker.refused == [{"serving_memory_mb": 200.0}]


def test_the_size_of_the_final_model_is_measured_itself(searches) -> None:
    search = searches("binary")

    made = search.make(constraints={"model_size_mb": {"max": 50}})

    folder = Path(search.plan.artifacts) / made.folder
    n_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert made.measured["model_size_mb"] == pytest.approx(n_bytes / 1e6, rel=0.1)


# --- calibration and threshold --------------------------------------------------------------------


def test_calibration_and_threshold_are_learned_on_the_calibration_part(searches) -> None:
    search = searches("binary")
    cost = {"false_positive": 1, "false_negative": 5}

    made = search.make(calibration="sigmoid", cost=cost)

    predictor = search.load(made)
    part = read_part(Path(search.plan.matrix), "calibration", search.preprocessing)
    raw = predictor.model.predict(part.X)
    expected = fit_calibration("sigmoid", part.y, raw)
    assert made.calibration == "sigmoid"
    assert made.notes == ()
    np.testing.assert_allclose(predictor.predict_matrix(part.X), expected.apply(raw), rtol=1e-6)
    plan = SearchPlan.model_validate({**search.plan.model_dump(), "cost": cost})
    assert plan.cost is not None
    threshold = choose_threshold(part.y, expected.apply(raw)[:, -1], plan.cost)
    assert made.threshold == pytest.approx(threshold)
    assert made.threshold < 0.5


def test_a_calibration_that_few_rows_do_not_bear_gives_way_and_says_so(searches) -> None:
    made = searches("binary").make(calibration="isotonic")

    assert made.calibration == "sigmoid"
    assert len(made.notes) == 1
    assert "calibration" in made.notes[0]


def test_a_threshold_alone_needs_no_calibration(searches) -> None:
    made = searches("binary").make(cost={"false_positive": 9, "false_negative": 1})

    assert (made.calibration, made.threshold is not None) == ("none", True)
    assert made.threshold is not None
    assert made.threshold > 0.5


def test_neither_is_learned_unasked_or_for_numbers(searches) -> None:
    unasked, numbers = searches("binary").make(), searches("regression").make(calibration="sigmoid")

    assert (unasked.calibration, unasked.threshold) == ("none", None)
    assert (numbers.calibration, numbers.threshold) == ("none", None)


def test_the_time_of_a_prediction_is_known(searches) -> None:
    assert 0.0 <= searches("binary").make().seconds_per_row < 0.01


# --- small rules ----------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=6), st.floats(1.0, 16.0))
def test_a_fit_on_more_rows_gets_more_iterations_and_never_fewer(
    found: list[int], growth: float
) -> None:
    result = make_result(n_iterations=tuple(found))

    n = final_iterations(result, growth)

    assert n is not None
    assert n >= round(min(found))
    assert n == pytest.approx(np.mean(found) * math.sqrt(growth), abs=0.51)


def test_a_family_without_iterations_has_none_to_set() -> None:
    assert final_iterations(make_result(n_iterations=()), 2.0) is None


def test_the_kurtosis_of_a_normal_target_is_zero_and_that_of_outliers_large() -> None:
    normal = np.random.default_rng(0).normal(size=100_000)

    assert abs(excess_kurtosis(normal)) < 0.1
    assert excess_kurtosis(np.append(normal[:1000], 50.0)) > 100
    assert excess_kurtosis(np.ones(9)) == 0.0


@given(st.integers(0, 2**31 - 1))
def test_seeds_of_copies_differ_and_every_library_takes_them(seed: int) -> None:
    seeds = [copy_seed(seed, number) for number in range(MAX_COPIES)]

    assert seeds[0] == seed
    assert len(set(seeds)) == MAX_COPIES
    assert all(0 <= item < 2**31 for item in seeds)
