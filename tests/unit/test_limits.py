"""Hard limits: what is measured, what breaks them, and what a person is told."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_assets.cli import EXIT_NO_MODEL, exit_code
from automl_assets.core.composite import CompositeMember, CompositeModel
from automl_assets.core.encoding import Preprocessing, encode
from automl_assets.core.encoding.fit import fit_columns
from automl_assets.core.errors import SearchError
from automl_assets.core.evaluation.comparison import compare
from automl_assets.core.families import Encoded, FitOptions, FittedModel, load_families
from automl_assets.core.feature_sets import FeatureTransform
from automl_assets.core.metrics import load_metrics
from automl_assets.core.package import write_package
from automl_assets.core.request.release import Constraints
from automl_assets.core.search import latency, serving_memory
from automl_assets.core.search.limits import (
    AT_LEAST,
    FARTHEST,
    distances,
    limits_of,
    measure_package,
    measure_predictions,
    nearest_misses,
    no_admissible,
    removed_by,
    unmeasured,
    violations,
)
from automl_assets.core.search.prediction_limits import lead_over_baseline, slice_gap
from automl_assets.core.values import Candidate

METRICS = load_metrics()
UPPER = ("p99_latency_ms", "model_size_mb", "serving_memory_mb", "slice_gap")


def constraints(**sections: Any) -> Constraints:
    return Constraints.model_validate(sections)


def candidate(number: int, measured: dict[str, float], limits: dict[str, float]) -> Candidate:
    return Candidate(
        number=number,
        family="lightgbm",
        params={},
        state="complete",
        score=0.8,
        measured=measured,
        violated=violations(measured, limits),
    )


ALL_LIMITS = constraints(
    p99_latency_ms={"max": 15, "batch": 1, "threads": 1},
    model_size_mb={"max": 5},
    serving_memory_mb={"max": 500},
    max_features=30,
    slice_gap={"metric": "roc_auc", "by": ["region"], "max": 0.1},
    beat_baseline_by={"metric": "roc_auc", "min": 0.02},
)


def test_limits_have_the_names_of_their_keys_in_the_request():
    assert limits_of(ALL_LIMITS) == {
        "p99_latency_ms": 15,
        "model_size_mb": 5,
        "serving_memory_mb": 500,
        "max_features": 30,
        "slice_gap": 0.1,
        "beat_baseline_by": 0.02,
    }
    assert set(limits_of(ALL_LIMITS)) == set(Constraints.model_fields)


positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False)


@given(name=st.sampled_from(UPPER), value=positive, limit=positive)
def test_an_upper_limit_is_broken_by_exactly_what_is_above_it(
    name: str, value: float, limit: float
):
    far = distances({name: value}, {name: limit})[name]
    assert (far > 0) == (value > limit)
    assert -1 <= far <= FARTHEST
    assert bool(violations({name: value}, {name: limit})) == (value > limit)


@given(value=st.floats(allow_nan=False, allow_infinity=False), limit=st.just(0.0) | positive)
def test_a_lower_limit_is_broken_by_exactly_what_is_below_it(value: float, limit: float):
    far = distances({"beat_baseline_by": value}, {"beat_baseline_by": limit})["beat_baseline_by"]
    assert (far > 0) == (value < limit)
    assert -2 <= far <= 2


@given(limit=positive, near=st.floats(1.001, 10), farther=st.floats(1.001, 10))
def test_what_is_farther_beyond_a_limit_has_the_larger_distance(
    limit: float, near: float, farther: float
):
    limit = min(max(limit, 1e-100), 1e100)
    first, second = (
        violations({"model_size_mb": limit * factor}, {"model_size_mb": limit})["model_size_mb"]
        for factor in sorted((near, farther))
    )
    assert first <= second


@pytest.mark.parametrize("name", sorted({*UPPER, *AT_LEAST}))
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_measurement_that_is_no_finite_number_breaks_its_limit(name: str, value: float):
    broken = violations({name: value}, {name: 1.0})
    assert broken == {name: FARTHEST}
    assert json.loads(json.dumps(broken, allow_nan=False)) == broken


def test_what_was_not_measured_is_told_apart_from_what_holds():
    limits = limits_of(ALL_LIMITS)
    measured = {"model_size_mb": 1.0}
    assert violations(measured, limits) == {}
    assert "serving_memory_mb" in unmeasured(measured, limits)
    assert "model_size_mb" not in unmeasured(measured, limits)


# What a person is told


def test_the_error_says_which_limit_removed_how_many_and_who_was_nearest():
    limits = {"p99_latency_ms": 15.0, "model_size_mb": 5.0}
    candidates = [
        candidate(7, {"p99_latency_ms": 18.2, "model_size_mb": 2.0}, limits),
        candidate(8, {"p99_latency_ms": 90.0, "model_size_mb": 40.0}, limits),
        candidate(9, {"p99_latency_ms": 15.04, "model_size_mb": 8.0}, limits),
        Candidate(number=10, family="knn", params={}, state="failed", score=None),
    ]
    error = no_admissible(candidates, limits)
    assert str(error) == (
        "A model must be within all limits, but no candidate is: 3 of 4 trials finished; "
        "p99_latency_ms removed 3, model_size_mb removed 2; nearest: "
        "trial 7 (lightgbm) p99_latency_ms 18.2 against 15; "
        "trial 9 (lightgbm) model_size_mb 8 against 5, p99_latency_ms 15.04 against 15; "
        "trial 8 (lightgbm) model_size_mb 40 against 5, p99_latency_ms 90 against 15. "
        "Loosen constraints.p99_latency_ms, or try fewer or smaller trees "
        "(model.max_trees, model.max_leaves)."
    )
    assert error.removed_by == {"p99_latency_ms": 3, "model_size_mb": 2}
    assert error.nearest == nearest_misses(candidates, limits)


def test_final_models_that_break_a_limit_are_told_where_candidates_did_not():
    limits = {"serving_memory_mb": 200.0}
    fine = candidate(0, {}, limits)
    error = no_admissible([fine], limits, finals=[{"serving_memory_mb": 260.0}])
    assert "serving_memory_mb removed 1; nearest: final model serving_memory_mb 260" in str(error)
    assert error.removed_by == {"serving_memory_mb": 1}


def test_a_search_without_an_admissible_candidate_exits_with_3():
    assert exit_code(no_admissible([], {})) == EXIT_NO_MODEL == 3


def test_only_finished_candidates_are_counted_as_removed():
    failed = Candidate(
        number=1, family="knn", params={}, state="failed", score=None, violated={"slice_gap": 1.0}
    )
    assert removed_by([failed]) == {}
    assert nearest_misses([failed], {"slice_gap": 0.1}) == ()


# Latency


class FakeMachine:
    """A clock that only moves while something is predicted."""

    def __init__(self, milliseconds: Callable[[int], float]) -> None:
        self.now, self.cpu, self.n_calls = 0.0, 0.0, 0
        self.milliseconds = milliseconds
        self.heights: set[int] = set()

    def predict(self, rows: pl.DataFrame) -> None:
        self.heights.add(rows.height)
        took = self.milliseconds(self.n_calls) / 1000
        self.now += took
        self.cpu += took
        self.n_calls += 1

    def measure(self, limit: float, *, batch: int = 1, n_rows: int = 500) -> float:
        asked = constraints(p99_latency_ms={"max": limit, "batch": batch}).p99_latency_ms
        assert asked is not None
        return latency.measure_latency_ms(
            self.predict,
            pl.DataFrame({"x": range(n_rows)}),
            asked,
            clock=lambda: self.now,
            cpu_clock=lambda: self.cpu,
        )


def test_a_steady_call_has_the_latency_that_it_has():
    machine = FakeMachine(lambda _: 1.0)
    assert machine.measure(limit=1.5) == pytest.approx(1.0)
    assert machine.n_calls == latency.N_WARM_UP + latency.N_BLOCKS * latency.BLOCK_CALLS


def test_slow_calls_that_are_one_in_fifty_are_the_99th_percentile():
    machine = FakeMachine(lambda call: 8.0 if call % 50 == 0 else 0.5)
    assert machine.measure(limit=9.0) == pytest.approx(8.0)


def test_warm_up_does_not_count():
    machine = FakeMachine(lambda call: 100.0 if call == 0 else 1.0)
    assert machine.measure(limit=2.0) == pytest.approx(1.0)


def test_one_disturbed_block_changes_nothing_and_two_do():
    def disturbed(*blocks: int) -> float:
        calls = {
            latency.N_WARM_UP + block * latency.BLOCK_CALLS + call
            for block in blocks
            for call in range(10)
        }
        return FakeMachine(lambda call: 9.0 if call in calls else 1.0).measure(limit=2.0)

    assert disturbed(2) == pytest.approx(1.0)
    assert disturbed(2, 4) == pytest.approx(9.0)


def test_time_in_which_another_process_had_the_core_does_not_count():
    machine = FakeMachine(lambda _: 1.0)
    predict = machine.predict

    def preempted(rows: pl.DataFrame) -> None:
        predict(rows)
        machine.now += 0.02 if machine.n_calls % 10 == 0 else 0.0

    machine.predict = preempted
    assert machine.measure(limit=1.5) == pytest.approx(1.0)


def test_a_hopeless_candidate_costs_twenty_calls():
    machine = FakeMachine(lambda _: 5.0)
    assert machine.measure(limit=4.0) > 4.0
    assert machine.n_calls == latency.N_WARM_UP + latency.N_FIRST_CALLS


def test_a_candidate_far_below_the_limit_costs_one_block():
    machine = FakeMachine(lambda _: 1.0)
    assert machine.measure(limit=100.0) == pytest.approx(1.0)
    assert machine.n_calls == latency.N_WARM_UP + latency.BLOCK_CALLS


@given(milliseconds=st.floats(0.01, 400), limit=st.floats(0.01, 1000), spread=st.floats(0, 3))
def test_a_measurement_ends_in_time_and_lies_between_the_fastest_and_the_slowest_call(
    milliseconds: float, limit: float, spread: float
):
    draws = random.Random(0)
    took: list[float] = []

    def call(_: int) -> float:
        took.append(milliseconds * (1 + spread * draws.random()))
        return took[-1]

    machine = FakeMachine(call)
    measured = machine.measure(limit)
    assert min(took) * 0.999 <= measured <= max(took) * 1.001
    # The first call loads code, and the last one begins in time.
    assert machine.now <= latency.LONGEST_SECONDS + 2 * max(took) / 1000
    if min(took) > limit:
        assert measured > limit


@pytest.mark.parametrize(("batch", "n_rows"), [(1, 3), (7, 500), (1000, 3), (500, 500)])
def test_every_call_has_the_rows_that_were_asked_for(batch: int, n_rows: int):
    machine = FakeMachine(lambda _: 1.0)
    machine.measure(limit=100.0, batch=batch, n_rows=n_rows)
    assert machine.heights == {batch}


# Predictions


def binary_rows(n_rows: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return targets, the best prediction, and the prior's."""
    rng = np.random.default_rng(seed)
    p = 1 / (1 + np.exp(-1.5 * rng.normal(size=n_rows) + 1))
    y = (rng.random(n_rows) < p).astype(np.int32)
    prior = np.tile([1 - y.mean(), y.mean()], (n_rows, 1))
    return y, np.column_stack([1 - p, p]), prior


def test_the_slice_gap_is_the_largest_difference_within_one_column():
    y = np.tile([0, 1], 300)
    prediction = np.column_stack([1.0 - y, y]).astype(float)
    region = np.repeat([0, 2, 3], 200)
    prediction[:50] = prediction[:50, ::-1]
    even = np.tile([2, 3], 300)
    found = slice_gap(METRICS["accuracy"], y, prediction, {"even": even, "region": region}, seed=0)
    assert found == pytest.approx(0.25)


def test_small_slices_are_not_compared():
    y, prediction, _ = binary_rows(2000)
    region = np.repeat([2, 3], 1000)
    before = slice_gap(METRICS["roc_auc"], y, prediction, {"region": region}, seed=0)
    lonely = region.copy()
    lonely[:40] = 4
    prediction[:40] = prediction[:40, ::-1]
    after = slice_gap(METRICS["roc_auc"], y, prediction, {"region": lonely}, seed=0)
    assert after == pytest.approx(before, abs=0.02)


@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "recall", "precision", "f1"])
def test_a_slice_of_one_class_is_not_compared_by_what_needs_both(name: str):
    y, prediction, _ = binary_rows(900)
    region = np.repeat([2, 3, 4], 300)
    y[region == 4] = 0
    found = slice_gap(METRICS[name], y, prediction, {"region": region}, seed=0)
    both = region != 4
    expected = slice_gap(METRICS[name], y[both], prediction[both], {"r": region[both]}, seed=0)
    assert found == expected


def test_a_column_without_two_comparable_slices_is_refused():
    y, prediction, _ = binary_rows(100)
    with pytest.raises(SearchError, match=r"column 'region' has 1 of them among 100 selection"):
        slice_gap(METRICS["log_loss"], y, prediction, {"region": np.zeros(100)}, seed=0)


def test_missing_values_are_a_slice():
    y = np.concatenate([np.arange(100.0), np.arange(100.0)])
    flag = np.repeat([1.0, np.nan], 100)
    prediction = y + np.where(np.isnan(flag), 3.0, 1.0)
    assert slice_gap(METRICS["mae"], y, prediction, {"flag": flag}, seed=0) == pytest.approx(2)


def test_the_lead_is_the_bad_end_of_the_paired_interval():
    y, prediction, prior = binary_rows(3000)
    for name in ("roc_auc", "log_loss", "accuracy"):
        lead = lead_over_baseline(METRICS[name], y, prediction, prior, confidence=0.9, seed=0)
        ours = compare(METRICS[name], y, prediction, prior, seed=0, confidence=0.9)
        assert lead == ours.low < ours.gain


@pytest.mark.parametrize("name", ["f1", "average_precision", "precision", "mcc", "rmse", "r2"])
@pytest.mark.parametrize("n_rows", [400, 2000])
def test_the_lead_agrees_with_a_bootstrap_where_it_is_not_analytic(name: str, n_rows: int):
    y, prediction, prior = binary_rows(n_rows)
    if "regression" in METRICS[name].task_types:
        prediction = prediction[:, 1]
        y, prior = prediction + np.random.default_rng(1).normal(0, 0.1, n_rows), prior[:, 1]
    lead = lead_over_baseline(METRICS[name], y, prediction, prior, confidence=0.95, seed=0)
    bootstrap = compare(METRICS[name], y, prediction, prior, seed=0)
    assert abs(lead - bootstrap.low) <= 0.4 * (bootstrap.gain - bootstrap.low)


def test_a_model_that_only_repeats_the_prior_has_no_lead():
    y, _, prior = binary_rows(3000)
    for name in ("roc_auc", "log_loss", "f1", "average_precision"):
        assert lead_over_baseline(METRICS[name], y, prior, prior, confidence=0.95, seed=0) <= 0


def test_measure_predictions_names_what_was_asked_for_and_nothing_else():
    y, prediction, prior = binary_rows(1000)
    asked = constraints(beat_baseline_by={"metric": "f1", "min": 0.1})
    options: dict[str, Any] = {"metrics": METRICS, "slices": {}, "baseline": prior, "seed": 0}
    assert set(measure_predictions(prediction, y, asked, **options)) == {"beat_baseline_by"}
    assert measure_predictions(prediction, y, None, **options) == {}


def test_a_measurement_of_predictions_is_a_finite_number_or_an_error():
    y, prediction, prior = binary_rows(1000)
    prediction[3] = np.nan
    asked = constraints(beat_baseline_by={"metric": "log_loss", "min": 0.1})
    with pytest.raises(ArithmeticError, match="beat_baseline_by is nan"):
        measure_predictions(
            prediction, y, asked, metrics=METRICS, slices={}, baseline=prior, seed=0
        )


# Packages


@pytest.fixture(scope="module")
def raw_rows() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "age": rng.normal(size=600),
            "spend": rng.normal(size=600),
            "plan": rng.choice(["basic", "plus", "max"], 600),
        }
    )


class Fitted:
    """One model of a family, and what encodes its rows."""

    def __init__(self, rows: pl.DataFrame, family: str, params: dict[str, Any]) -> None:
        kinds: dict[str, Any] = {"age": "numeric", "spend": "numeric", "plan": "categorical"}
        self.preprocessing = Preprocessing(version="1", columns=fit_columns(rows.lazy(), kinds))
        y = (rows["age"].to_numpy() > 0).astype(np.int32)
        X = encode(rows, self.preprocessing)
        part = Encoded(X=X, y=y, n_levels=self.preprocessing.n_levels)
        plugin = load_families()[family]
        self.family = family
        self.params = {**plugin.default_params(), **params}
        options = FitOptions(task_type="binary", n_classes=2, seed=0)
        self.model = plugin.fit(part, part, self.params, options)

    def write(self, folder: Path, model: FittedModel | None = None) -> Path:
        write_package(
            folder,
            model or self.model,
            self.preprocessing,
            family=self.family,
            params=self.params,
            task_type="binary",
            classes=("no", "yes"),
            target="churn",
        )
        return folder


@pytest.fixture(scope="module")
def fitted(raw_rows: pl.DataFrame) -> Fitted:
    return Fitted(raw_rows, "lightgbm", {"num_leaves": 8})


@pytest.fixture(scope="module")
def package(fitted: Fitted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted.write(tmp_path_factory.mktemp("limits") / "package")


def test_a_real_package_is_measured_through_the_serving_path(package: Path, raw_rows: pl.DataFrame):
    measured = measure_package(
        package, raw_rows, ALL_LIMITS, clock=time.perf_counter, cpu_clock=time.process_time
    )
    size = sum(path.stat().st_size for path in package.rglob("*") if path.is_file())
    assert set(measured) == {"p99_latency_ms", "model_size_mb", "max_features"}
    assert measured["model_size_mb"] == size / 1e6
    assert measured["max_features"] == 3
    assert 0.01 < measured["p99_latency_ms"] < 2000


def test_a_larger_batch_takes_longer(package: Path, raw_rows: pl.DataFrame):
    found = [
        measure_package(
            package,
            raw_rows,
            constraints(p99_latency_ms={"max": 1e-6, "batch": batch}),
            clock=time.process_time,
        )["p99_latency_ms"]
        for batch in (1, 50_000)
    ]
    assert found[1] > 3 * found[0]


def test_features_of_an_ensemble_are_all_columns_that_any_member_reads(
    fitted: Fitted, raw_rows: pl.DataFrame, tmp_path: Path
):
    asked = constraints(max_features=1)
    n_levels = fitted.preprocessing.n_levels

    def measured(*sets: list[int]) -> float:
        members = []
        for positions in sets:
            transform = FeatureTransform.choosing(positions, n_levels)
            X = encode(raw_rows, fitted.preprocessing)
            y = (raw_rows["age"].to_numpy() > 0).astype(np.int32)
            part = transform.encoded(Encoded(X=X, y=y, n_levels=n_levels))
            options = FitOptions(task_type="binary", n_classes=2, seed=0)
            model = load_families()["lightgbm"].fit(part, part, fitted.params, options)
            members.append(CompositeMember("lightgbm", model, 1 / len(sets), transform))
        folder = fitted.write(tmp_path / str(len(sets)), CompositeModel(members))
        return measure_package(folder, raw_rows, asked, clock=time.perf_counter)["max_features"]

    assert measured([0]) == 1
    assert measured([0], [0, 2]) == 2


def test_without_limits_a_package_is_not_even_read(tmp_path: Path):
    nothing = tmp_path / "no package"
    assert measure_package(nothing, pl.DataFrame(), None, clock=time.perf_counter) == {}
    asked = constraints(serving_memory_mb={"max": 1})
    assert measure_package(nothing, pl.DataFrame(), asked, clock=time.perf_counter) == {}


def start_python(arguments: Sequence[str]) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], check=True, capture_output=True, text=True, timeout=120
    )
    return done.stdout


@pytest.mark.slow
def test_memory_is_that_of_a_process_of_its_own(
    package: Path, raw_rows: pl.DataFrame, tmp_path: Path
):
    rows_file = tmp_path / "rows.parquet"
    raw_rows.write_parquet(rows_file)
    ballast = np.ones(60_000_000)
    measured = serving_memory.measure_memory(package, rows_file, run=start_python)
    assert serving_memory.peak_mb() > ballast.nbytes / 1e6
    assert 50 < measured < 450


def test_a_system_that_does_not_tell_its_memory_is_named(tmp_path: Path):
    with pytest.raises(SearchError, match=r"Search on Linux, or leave the limit out\.$"):
        serving_memory.peak_mb(tmp_path / "status")


def test_the_peak_is_read_in_megabytes(tmp_path: Path):
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmPeak:\t 99999 kB\nVmHWM:\t  250000 kB\n")
    assert serving_memory.peak_mb(status) == 256.0


# All together


def random_constraints(draws: random.Random) -> Constraints:
    sections: dict[str, Any] = {
        "p99_latency_ms": {"max": draws.uniform(1, 8), "batch": draws.choice([1, 100])},
        "model_size_mb": {"max": draws.uniform(0.005, 0.3)},
        "max_features": draws.randint(2, 4),
        "slice_gap": {
            "metric": draws.choice(["roc_auc", "log_loss", "f1"]),
            "by": ["plan"],
            "max": draws.uniform(0.005, 0.1),
        },
        "beat_baseline_by": {
            "metric": draws.choice(["roc_auc", "log_loss", "f1"]),
            "min": draws.uniform(0.0, 0.5),
        },
    }
    chosen = draws.sample(sorted(sections), draws.randint(1, 3))
    return constraints(**{name: sections[name] for name in chosen})


@pytest.mark.slow
def test_no_candidate_that_breaks_one_of_thirty_random_sets_of_limits_is_admitted(
    raw_rows: pl.DataFrame, tmp_path: Path
):
    draws = random.Random(0)
    rng = np.random.default_rng(0)
    y = (raw_rows["age"].to_numpy() + rng.normal(size=600) > 0).astype(np.int32)
    prior = np.tile([1 - y.mean(), y.mean()], (600, 1))
    codes = raw_rows["plan"].rank("dense").to_numpy()
    models = []
    for index, leaves in enumerate((2, 8, 31)):
        one = Fitted(raw_rows, "lightgbm", {"num_leaves": leaves, "min_data_in_leaf": 1})
        folder = one.write(tmp_path / str(index))
        models.append((folder, one.model.predict(encode(raw_rows, one.preprocessing))))
    n_admitted = n_removed = 0
    for _ in range(30):
        asked = random_constraints(draws)
        limits = limits_of(asked)
        for number, (folder, prediction) in enumerate(models):
            measured = measure_package(
                folder, raw_rows, asked, clock=time.perf_counter, cpu_clock=time.process_time
            ) | measure_predictions(
                prediction,
                y,
                asked,
                metrics=METRICS,
                slices={"plan": codes},
                baseline=prior,
                seed=0,
            )
            assert unmeasured(measured, limits) == ()
            admitted = candidate(number, measured, limits).is_admissible
            holds = all(
                measured[name] >= limit if name in AT_LEAST else measured[name] <= limit
                for name, limit in limits.items()
            )
            assert admitted == holds
            n_admitted, n_removed = n_admitted + admitted, n_removed + (not admitted)
    assert n_admitted >= 10
    assert n_removed >= 10
