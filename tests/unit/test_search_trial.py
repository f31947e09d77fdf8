"""One trial: what it fits, what it is scored on, and what it leaves behind."""

import errno
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_assets.core.composite import CompositeModel
from automl_assets.core.errors import SnapshotError
from automl_assets.core.families import (
    DataShape,
    Encoded,
    FitOptions,
    FittedModel,
    Params,
    load_families,
)
from automl_assets.core.feature_sets import FeatureSet, FeatureTransform, write_feature_sets
from automl_assets.core.metrics import load_metrics
from automl_assets.core.predictor import load_predictor
from automl_assets.core.search import trial
from automl_assets.core.search.curves import Outlook, loss_to_beat
from automl_assets.core.search.measuring import Timers
from automl_assets.core.search.plan import SearchPlan
from automl_assets.core.search.replay import replay_trial
from automl_assets.core.search.selection import load_selection, prior_prediction
from automl_assets.core.search.trial import (
    CLEARLY_WORSE,
    PACKAGE,
    PREDICTIONS,
    Job,
    TrialResult,
    is_hopeless,
    make_options,
    make_recipe,
    run_trial,
    standard_errors_worse,
)
from tests.searches import make_matrix, make_plan, make_table

TIMERS = Timers(wall=time.perf_counter, cpu=time.process_time)
QUICK = {"n_estimators": 15, "num_leaves": 7, "min_data_in_leaf": 5}


@pytest.fixture(scope="module")
def matrices(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the matrix of a task, written once."""
    folder = tmp_path_factory.mktemp("matrices")

    def get(task_type: Any) -> Path:
        return make_matrix(folder / task_type, task_type=task_type)

    return get


def plan_of(matrix: Path, tmp_path: Path, **changes: Any) -> SearchPlan:
    return make_plan(matrix=str(matrix), artifacts=str(tmp_path / "candidates"), **changes)


def job_of(family: str = "lightgbm", number: int = 3, **changes: Any) -> Job:
    params: Params = load_families()[family].default_params()
    if family == "lightgbm":
        params |= QUICK
    values = {"number": number, "family": family, "params": params, "seed": 7, "origin": "tpe"}
    return Job.model_validate(values | changes)


def run(plan: SearchPlan, job: Job, clock: Callable[[], float] | None = None) -> TrialResult:
    data, preprocessing = load_selection(plan)
    return run_trial(job, plan, data, preprocessing, clock=clock or time.monotonic, timers=TIMERS)


def predictions(plan: SearchPlan, job: Job) -> np.ndarray:
    return np.load(Path(plan.artifacts) / str(job.number) / PREDICTIONS)


class Spy:
    """Stands before a family, and notes what each fit was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str = "lightgbm") -> None:
        self.fits: list[tuple[Encoded, Encoded | None, FitOptions]] = []
        family = load_families()[name]
        real = family.fit

        def fit(
            train: Encoded, validation: Encoded | None, params: Params, options: FitOptions
        ) -> FittedModel:
            if validation is not None:
                self.fits.append((train, validation, options))
            return real(train, validation, params, options)

        monkeypatch.setattr(family, "fit", fit, raising=True)


# --- from one end to the other --------------------------------------------------------------------

TASKS: dict[str, dict[str, Any]] = {
    "binary": {},
    "multiclass": {"task_type": "multiclass", "classes": ("high", "low", "middle")},
    "regression": {"task_type": "regression", "classes": (), "metric": "rmse"},
}


@pytest.mark.parametrize("n_fits", [1, 4])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("family", ["lightgbm", "linear"])
def test_a_trial_leaves_a_model_that_predicts_better_than_no_model_and_its_predictions(
    matrices, tmp_path: Path, family: str, task: str, n_fits: int
) -> None:
    plan = plan_of(matrices(task), tmp_path, n_fits=n_fits, **TASKS[task])
    job = job_of(family)

    result = run(plan, job)

    data, _ = load_selection(plan)
    metric, found = load_metrics()[plan.metric], predictions(plan, job)
    assert result.score == pytest.approx(metric.score(data.y, found.astype(np.float64)), rel=1e-5)
    prior = metric.score(data.y, prior_prediction(data.train.y, len(data.y), plan.n_classes))
    assert result.score < 0.95 * prior
    assert len(result.fold_scores) == n_fits
    model = load_predictor(Path(plan.artifacts) / "3" / PACKAGE, sha256=result.package_sha256).model
    n_validation = len(data.validation.y)
    np.testing.assert_allclose(model.predict(data.validation.X), found[:n_validation], rtol=1e-5)
    first = metric.score(data.validation.y, found[:n_validation].astype(np.float64))
    assert result.fold_scores[0] == pytest.approx(first, rel=1e-5)


@pytest.mark.parametrize("n_fits", [1, 3])
def test_the_same_job_gives_the_same_result_but_for_its_times(
    matrices, tmp_path: Path, n_fits: int
) -> None:
    found = []
    for attempt in ("one", "two"):
        plan = plan_of(matrices("binary"), tmp_path / attempt, n_fits=n_fits)
        found.append((run(plan, job_of()), predictions(plan, job_of())))

    (one, first), (two, second) = found
    np.testing.assert_array_equal(first, second)
    assert one.model_copy(update={"fit_seconds": 0.0}) == two.model_copy(
        update={"fit_seconds": 0.0}
    )
    assert one.seconds_per_row == 0.0


def test_with_a_time_limit_it_is_known_what_a_prediction_takes(matrices, tmp_path: Path) -> None:
    plan = plan_of(matrices("binary"), tmp_path, time_limit_seconds=60.0)

    assert 0 < run(plan, job_of()).seconds_per_row < 1e-3


def test_no_fit_sees_the_rows_that_it_is_scored_on(matrices, tmp_path: Path, monkeypatch) -> None:
    plan = plan_of(matrices("regression"), tmp_path, n_fits=6, **TASKS["regression"])
    spy = Spy(monkeypatch)

    run(plan, job_of())

    judged: list[float] = []
    for train, held, _ in spy.fits:
        assert held is not None
        # Targets are drawn from all numbers: no two rows share one.
        assert not set(train.y) & set(held.y)
        judged += list(held.y)
    data, _ = load_selection(plan)
    assert sorted(judged) == sorted([*data.train.y, *data.validation.y])


def test_a_trial_sees_the_features_of_its_set_and_its_package_chooses_them_itself(
    matrices, tmp_path: Path, monkeypatch
) -> None:
    plan = plan_of(matrices("binary"), tmp_path, n_fits=3, feature_sets=("all", "selected"))
    data, _ = load_selection(plan)
    transform = FeatureTransform.choosing((0, 1), data.train.n_levels)
    chosen = FeatureSet(name="selected", transform=transform, detail="two columns")
    write_feature_sets(Path(plan.artifacts), [chosen])
    spy = Spy(monkeypatch)

    result = run(plan, job_of(features="selected"))

    assert len(spy.fits) == 3
    assert {train.X.shape[1] for train, _, _ in spy.fits} == {2}
    assert {held.X.shape[1] for _, held, _ in spy.fits if held is not None} == {2}
    model = load_predictor(Path(plan.artifacts) / "3" / PACKAGE, sha256=result.package_sha256).model
    assert isinstance(model, CompositeModel)
    changed = np.array(data.validation.X, order="F")
    changed[:, 2:] = 0.0
    np.testing.assert_array_equal(model.predict(data.validation.X), model.predict(changed))


def test_a_feature_set_that_is_not_there_is_said(matrices, tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="feature set 'selected' of a search must be in"):
        run(plan_of(matrices("binary"), tmp_path), job_of(features="selected"))


# --- time and rows --------------------------------------------------------------------------------


def test_a_trial_may_see_a_share_of_the_rows_and_is_judged_on_all(
    matrices, tmp_path: Path, monkeypatch
) -> None:
    plan = plan_of(matrices("binary"), tmp_path)
    spy = Spy(monkeypatch)

    run(plan, job_of(row_share=0.25))

    ((train, held, _),) = spy.fits
    data, _ = load_selection(plan)
    assert len(train.y) == round(0.25 * len(data.train.y))
    assert held is not None
    assert len(held.y) == len(data.validation.y)
    rows = {tuple(row) for row in np.nan_to_num(data.train.X)}
    assert all(tuple(row) in rows for row in np.nan_to_num(train.X))
    assert len({tuple(row) for row in np.nan_to_num(train.X)}) == len(train.y)


class Ticks:
    """A clock that goes a second each time it is asked."""

    def __init__(self, step: float = 1.0) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def test_a_trial_whose_time_is_over_ends_its_fits_and_says_so(matrices, tmp_path: Path) -> None:
    plan = plan_of(matrices("binary"), tmp_path)
    full = run(plan, job_of())
    short = run(plan, job_of(seconds=8.0), clock=Ticks())

    assert (full.truncated, full.n_iterations) == (False, (15,))
    assert short.truncated
    assert short.n_iterations[0] < 15


def test_each_fold_has_its_share_of_the_time_that_is_left(matrices, tmp_path: Path) -> None:
    plan = plan_of(matrices("binary"), tmp_path, n_fits=3)

    result = run(plan, job_of(seconds=60.0), clock=Ticks(2.0))

    assert result.truncated
    assert len(result.fold_scores) == 3
    assert all(n > 1 for n in result.n_iterations)


def test_without_a_limit_nothing_is_cut_short(matrices, tmp_path: Path) -> None:
    result = run(plan_of(matrices("binary"), tmp_path), job_of(), clock=Ticks(1e6))

    assert not result.truncated


def raising(error: OSError) -> Callable[..., Any]:
    def fit(*arguments: Any) -> FittedModel:
        raise error

    return fit


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file", "x"), "FileNotFoundError: .*No such file"),
        (TimeoutError("no answer"), "TimeoutError: no answer"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "OSError: .*Cannot allocate"),
    ],
)
def test_an_error_of_the_system_inside_a_fit_is_the_family_s_own(
    matrices, tmp_path: Path, monkeypatch, error: OSError, message: str
) -> None:
    monkeypatch.setattr(load_families()["lightgbm"], "fit", raising(error))

    with pytest.raises(RuntimeError, match=f"its library met {message}") as caught:
        run(plan_of(matrices("binary"), tmp_path), job_of())

    assert caught.value.__cause__ is error


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_not_the_family_s_fault(
    matrices, tmp_path: Path, monkeypatch, number: int
) -> None:
    monkeypatch.setattr(load_families()["lightgbm"], "fit", raising(OSError(number, "full")))

    with pytest.raises(OSError, match="full"):
        run(plan_of(matrices("binary"), tmp_path), job_of())


def test_a_folder_that_cannot_be_written_is_not_the_family_s_fault(
    matrices, tmp_path: Path
) -> None:
    plan = plan_of(matrices("binary"), tmp_path)
    Path(plan.artifacts).mkdir(parents=True, exist_ok=True)
    (Path(plan.artifacts) / "3").touch()

    with pytest.raises(OSError, match="3"):
        run(plan, job_of())


def test_a_score_that_is_no_number_is_no_result(matrices, tmp_path: Path, monkeypatch) -> None:
    plan = plan_of(matrices("regression"), tmp_path, **TASKS["regression"])

    def predict(self: Any, X: np.ndarray) -> np.ndarray:
        return np.full(len(X), np.nan)

    monkeypatch.setattr("automl_assets.core.families.lightgbm.LightGBMModel.predict", predict)

    with pytest.raises(ArithmeticError, match="must be a finite number, but rmse is nan"):
        run(plan, job_of())
    assert not (Path(plan.artifacts) / "3" / PREDICTIONS).exists()


# --- giving up ------------------------------------------------------------------------------------

SCORES = st.floats(-100, 100, allow_nan=False)


@given(
    st.lists(SCORES, min_size=1, max_size=6),
    st.lists(SCORES, min_size=0, max_size=6),
    st.sampled_from([-1.0, 1.0]),
)
def test_what_is_as_good_on_any_fold_is_never_given_up(
    own: list[float], rival: list[float], sign: float
) -> None:
    better_once = any(sign * (a - b) <= 0 for a, b in zip(own, rival, strict=False))

    if better_once:
        assert not is_hopeless(own, tuple(rival), sign=sign)


@given(st.lists(SCORES, min_size=1, max_size=6), st.lists(SCORES, min_size=0, max_size=6))
def test_a_trial_that_has_all_its_folds_is_never_given_up(
    own: Sequence[float], rival: Sequence[float]
) -> None:
    if len(own) >= len(rival):
        assert not is_hopeless(list(own), tuple(rival), sign=1.0)


@given(st.lists(SCORES, min_size=2, max_size=6), st.floats(0.01, 100), st.integers(1, 5))
def test_what_is_worse_by_more_than_the_spread_is_given_up_in_either_direction(
    rival: list[float], beyond: float, n_folds: int
) -> None:
    n_folds = min(n_folds, len(rival) - 1)
    gap = float(np.std(rival)) + beyond
    worse = [score + gap for score in rival[:n_folds]]
    mirrored = tuple(-score for score in rival)

    assert is_hopeless(worse, tuple(rival), sign=1.0)
    assert is_hopeless([-score for score in worse], mirrored, sign=-1.0)


def test_after_two_folds_half_of_the_spread_is_enough() -> None:
    rival = (1.0, 2.0, 3.0, 2.0)
    spread = float(np.std(rival))
    gap = 0.75 * spread

    assert not is_hopeless([1.0 + gap], rival, sign=1.0)
    assert is_hopeless([1.0 + gap, 2.0 + gap], rival, sign=1.0)


def test_a_hopeless_trial_ends_early_and_leaves_no_model(matrices, tmp_path: Path) -> None:
    plan = plan_of(matrices("binary"), tmp_path, n_fits=4)
    job = job_of(rival=(0.01, 0.011, 0.012, 0.01))

    result = run(plan, job)

    assert result.pruned
    assert len(result.fold_scores) == 1
    assert result.score == result.fold_scores[0]
    assert (result.package_sha256, result.model_bytes) == ("", 0)
    assert not (Path(plan.artifacts) / "3").exists()


@pytest.mark.parametrize("task", TASKS)
def test_a_trial_is_given_up_only_where_its_rows_say_so_too(
    matrices, tmp_path: Path, task: str
) -> None:
    plan = plan_of(matrices(task), tmp_path, n_fits=4, **TASKS[task])
    own = run(plan, job_of())
    data, _ = load_selection(plan)
    predicted = predictions(plan, job_of())
    right = data.y if predicted.ndim == 1 else np.eye(predicted.shape[1])[data.y.astype(int)]
    sign = 1.0 if load_metrics()[plan.metric].direction == "minimize" else -1.0
    rival = tuple(score - sign * (1.0 + number) for number, score in enumerate(own.fold_scores))
    for number, prediction in ((8, predicted), (9, 0.98 * right + 0.01)):
        folder = Path(plan.artifacts) / str(number)
        folder.mkdir()
        np.save(folder / PREDICTIONS, prediction.astype(np.float32))

    # By the scores of its folds each is far behind; by its rows it is as good as the first.
    assert not run(plan, job_of(rival=rival, rival_number=8)).pruned
    assert run(plan, job_of(rival=rival, rival_number=9)).pruned
    assert run(plan, job_of(rival=rival, rival_number=10)).pruned


def watched_trial(
    plan: SearchPlan, rival: np.ndarray, **changes: Any
) -> tuple[TrialResult, dict[str, Any]]:
    """Return what a slow fit comes to beside a rival with these predictions, and its entry."""
    folder = Path(plan.artifacts) / "9"
    folder.mkdir(parents=True)
    np.save(folder / PREDICTIONS, rival.astype(np.float32))
    slow = {"learning_rate": 0.002, "num_leaves": 4}
    job = job_of(rival=(0.5,), rival_number=9, params=slow, **changes)
    result = run(plan, job)
    return result, {"job": job.model_dump(mode="json"), "result": result.model_dump(mode="json")}


def nearly_right(plan: SearchPlan) -> np.ndarray:
    data, _ = load_selection(plan)
    y, classes = data.validation.y, plan.n_classes
    return 0.98 * np.eye(classes)[y.astype(int)] + 0.02 / classes if classes else y + 0.01


@pytest.mark.parametrize("row_share", [1.0, 0.5])
@pytest.mark.parametrize("task", TASKS)
def test_a_fit_that_stays_far_from_the_best_is_ended(
    matrices, tmp_path: Path, task: str, row_share: float
) -> None:
    plan = plan_of(matrices(task), tmp_path, n_fits=1, **TASKS[task])

    result, entry = watched_trial(plan, nearly_right(plan), row_share=row_share)

    assert result.pruned
    assert not result.truncated
    assert result.projected_loss is not None
    assert result.needed_loss is not None
    assert result.projected_loss > result.needed_loss
    assert 0 < result.n_iterations[0] < 3000
    assert result.package_sha256 == ""
    assert result.curve
    assert not (Path(plan.artifacts) / "3" / PACKAGE).exists()
    assert replay_trial(plan, entry).score == result.score


class Outlooks:
    """Stands before `Outlook`, and notes what each was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[tuple[Outlook, float]] = []

        def make(bar: Callable[[], float], *, clock: Callable[[], float], until: float) -> Outlook:
            outlook = Outlook(bar, clock=clock, until=until)
            self.made.append((outlook, until))
            return outlook

        monkeypatch.setattr(trial, "Outlook", make)


def test_what_a_fit_has_to_come_to_is_found_from_the_rows_of_the_best(
    matrices, tmp_path: Path, monkeypatch
) -> None:
    plan = plan_of(matrices("binary"), tmp_path, n_fits=1)
    data, _ = load_selection(plan)
    y, n = data.validation.y.astype(int), len(data.validation.y)
    said = np.where(np.random.default_rng(0).random(n) < 0.8, 0.9, 0.2)
    rival = np.where(np.eye(2)[y] == 1, said[:, None], 1.0 - said[:, None])
    outlooks = Outlooks(monkeypatch)

    watched_trial(plan, rival)

    losses = -np.log(said.astype(np.float32).astype(np.float64))
    share = float(data.train.y.mean())
    prior = float(-np.log(np.where(y == 1, share, 1.0 - share)).mean())
    best, error = float(losses.mean()), float(losses.std()) / math.sqrt(n)
    expected = loss_to_beat(best, prior, standard_error=error)
    assert expected > loss_to_beat(best, prior)
    assert outlooks.made[0][0].bar == pytest.approx(expected, rel=1e-6)


def test_what_the_best_was_sure_of_and_wrong_counts_in_full(
    matrices, tmp_path: Path, monkeypatch
) -> None:
    plan = plan_of(matrices("binary"), tmp_path, n_fits=1)
    data, _ = load_selection(plan)
    wrong = 1.0 - np.eye(2)[data.validation.y.astype(int)]
    outlooks = Outlooks(monkeypatch)

    watched_trial(plan, wrong)

    # float32 would be clipped at 16 nats.
    assert outlooks.made[0][0].bar > 30.0


def test_a_fit_is_judged_by_the_time_that_it_has(matrices, tmp_path: Path, monkeypatch) -> None:
    plan = plan_of(matrices("binary"), tmp_path, n_fits=1)
    outlooks = Outlooks(monkeypatch)
    job = job_of(rival=(0.5,), rival_number=9)

    run(plan, job.model_copy(update={"seconds": 50.0}), clock=lambda: 7.0)
    run(plan, job, clock=lambda: 7.0)

    assert [until for _, until in outlooks.made] == [57.0, math.inf]
    # There is nothing to compare with.
    assert outlooks.made[0][0].bar == math.inf


def test_a_fit_that_comes_near_the_best_is_not_ended(matrices, tmp_path: Path) -> None:
    plan = plan_of(matrices("binary"), tmp_path, n_fits=1)
    run(plan, job_of(number=8))

    result, _ = watched_trial(plan, predictions(plan, job_of(number=8)))

    assert not result.pruned
    assert (result.projected_loss, result.needed_loss) == (None, None)


def test_a_fit_that_was_ended_though_its_rows_are_not_clearly_worse_is_complete(
    matrices, tmp_path: Path, monkeypatch
) -> None:
    plan = plan_of(matrices("regression"), tmp_path, n_fits=1, **TASKS["regression"])
    monkeypatch.setattr(trial, "CLEARLY_WORSE", math.inf)

    result, entry = watched_trial(plan, nearly_right(plan))

    assert not result.pruned
    assert result.projected_loss is not None
    assert (Path(plan.artifacts) / "3" / PACKAGE).exists()
    again = replay_trial(plan, entry)
    assert again.score == result.score
    np.testing.assert_array_equal(again.prediction.astype(np.float32), predictions(plan, job_of()))


def test_losses_end_no_fit_where_the_metric_does_not_follow_them(matrices, tmp_path: Path) -> None:
    plan = plan_of(matrices("regression"), tmp_path, n_fits=1, **TASKS["regression"])
    plan = plan.model_copy(update={"metric": "mae"})

    result, _ = watched_trial(plan, nearly_right(plan))

    assert result.projected_loss is None
    assert result.n_iterations == (3000,)


def test_of_several_fits_none_is_watched_nor_one_without_a_rival(
    matrices, tmp_path: Path, monkeypatch
) -> None:
    spy = Spy(monkeypatch)
    run(plan_of(matrices("binary"), tmp_path, n_fits=1), job_of())
    run(plan_of(matrices("binary"), tmp_path, n_fits=1), job_of(rival=(0.1,), rival_number=77))
    assert all(not fit[2].is_hopeless([9.0] * 800, 800) for fit in spy.fits)
    plan = plan_of(matrices("binary"), tmp_path / "folds", n_fits=4)
    run(plan, job_of(number=9))
    run(plan, job_of(rival=(0.1,) * 4, rival_number=9))
    assert all(not fit[2].is_hopeless([9.0] * 800, 800) for fit in spy.fits)
    assert len(spy.fits) == 10


def test_one_row_of_many_makes_nothing_clearly_worse() -> None:
    rng, metric = np.random.default_rng(0), load_metrics()["rmse"]
    y = rng.normal(size=1_000)
    best = y + rng.normal(size=1_000)
    one_off, all_off = best.copy(), y + 1.2 * rng.normal(size=1_000)
    one_off[7] += 60.0

    one = standard_errors_worse(metric, y, one_off, best)
    many = standard_errors_worse(metric, y, all_off, best)

    assert one is not None
    assert many is not None
    assert metric.score(y, one_off) > metric.score(y, all_off) > metric.score(y, best)
    assert 0 < one < CLEARLY_WORSE < many
    assert standard_errors_worse(metric, y, best, all_off) == pytest.approx(-many, rel=0.1)
    assert standard_errors_worse(metric, y, best, best) == 0.0


def test_a_trial_that_is_no_worse_than_the_best_is_run_to_its_end(matrices, tmp_path: Path) -> None:
    plan = plan_of(matrices("binary"), tmp_path, n_fits=4)
    best = run(plan, job_of())

    again = run(plan, job_of(rival=best.fold_scores))

    assert not again.pruned
    assert again.fold_scores == best.fold_scores


# --- limits ---------------------------------------------------------------------------------------


def test_a_trial_is_measured_for_the_limits_and_says_which_it_breaks(
    matrices, tmp_path: Path
) -> None:
    plan = plan_of(
        matrices("binary"),
        tmp_path,
        constraints={
            "model_size_mb": {"max": 1e-4},
            "beat_baseline_by": {"metric": "roc_auc", "min": 0.01},
        },
    )
    folder = Path(plan.artifacts)
    folder.mkdir(parents=True)
    make_table(200, "binary").write_parquet(folder / "rows.parquet")

    result = run(plan, job_of())

    assert set(result.measured) == {"model_size_mb", "beat_baseline_by"}
    assert result.measured["model_size_mb"] == pytest.approx(result.model_bytes / 1e6, rel=0.1)
    assert set(result.violated) == {"model_size_mb"}
    assert result.violated["model_size_mb"] > 0


def test_without_limits_nothing_is_measured(matrices, tmp_path: Path) -> None:
    result = run(plan_of(matrices("binary"), tmp_path), job_of())

    assert (result.measured, result.violated) == ({}, {})


@pytest.mark.parametrize("features", ["all", "fewer"])
def test_blocks_of_rows_are_predicted_as_all_rows_are(
    matrices, tmp_path, monkeypatch: pytest.MonkeyPatch, features: str
) -> None:
    plan = plan_of(matrices("binary"), tmp_path)
    data, _ = load_selection(plan)
    transform = FeatureTransform.choosing((0, 1), data.train.n_levels)
    fewer = FeatureSet(name="fewer", transform=transform, detail="two columns")
    write_feature_sets(Path(plan.artifacts), [fewer])
    job = job_of(features=features)
    recipe = make_recipe(plan, job.family, job.params, features)
    options = make_options(plan, recipe, seed=1, n_threads=1, should_stop=lambda: False)
    model = recipe.fit(data.train, None, options)
    whole = recipe.predict(model, data.validation.X)

    monkeypatch.setattr(trial, "PREDICTED_AT_ONCE", 7)

    np.testing.assert_array_equal(recipe.predict(model, data.validation.X), whole)


@pytest.mark.parametrize(("n_rows", "n_threads"), [(100, 1), (40_000, 2), (10_000_000, 8)])
def test_a_fit_gets_no_more_threads_than_its_rows_are_worth(n_rows: int, n_threads: int) -> None:
    plan = make_plan(shape=DataShape(n_rows=n_rows, n_levels=(0, 0, 9), n_classes=2))
    recipe = make_recipe(plan, "lightgbm", {}, "all")

    options = make_options(plan, recipe, seed=0, n_threads=8, should_stop=lambda: False)

    assert options.n_threads == n_threads
