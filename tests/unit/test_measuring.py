"""What one candidate is measured for, and on which rows."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl_assets.core.families import load_families
from automl_assets.core.metrics import load_metrics
from automl_assets.core.search.measuring import (
    SAMPLE_ROWS,
    Timers,
    measure_candidate,
    slice_codes,
)
from automl_assets.core.search.plan import SearchPlan
from automl_assets.core.search.selection import SelectionData, load_selection
from automl_assets.core.search.trial import PACKAGE, PREDICTIONS, Job, run_trial
from tests.searches import make_matrix, make_plan, make_table

TIMERS = Timers(wall=time.perf_counter, cpu=time.process_time)


@pytest.fixture(scope="module", params=[1, 6], ids=["held out", "out of fold"])
def search(request: pytest.FixtureRequest, tmp_path_factory) -> tuple[SearchPlan, SelectionData]:
    """A search with one candidate, compared on a held-out part or out of fold."""
    folder = tmp_path_factory.mktemp("measuring")
    plan = make_plan(
        matrix=str(make_matrix(folder / "matrix", n_rows=2_000)),
        artifacts=str(folder / "candidates"),
        n_fits=request.param,
        slice_columns={"shop": 2},
    )
    data, preprocessing = load_selection(plan)
    params = load_families()["linear"].default_params()
    job = Job(number=0, family="linear", params=params, seed=1, origin="tpe")
    run_trial(job, plan, data, preprocessing, clock=time.monotonic, timers=TIMERS)
    make_table(300, "binary").write_parquet(Path(plan.artifacts) / SAMPLE_ROWS)
    return plan, data


def measured(search: tuple[SearchPlan, SelectionData], constraints: Any, **more: Any):
    plan, data = search
    plan = SearchPlan.model_validate({**plan.model_dump(), "constraints": constraints})
    folder = Path(plan.artifacts) / "0"
    prediction = np.load(folder / PREDICTIONS)
    return measure_candidate(
        plan, data, package=folder / PACKAGE, prediction=prediction, timers=TIMERS, **more
    )


def test_without_limits_nothing_is_measured(search) -> None:
    assert measured(search, None) == {}
    assert measured(search, {}) == {}


def test_what_is_limited_is_measured_and_nothing_else(search) -> None:
    found = measured(
        search,
        {
            "p99_latency_ms": {"max": 100},
            "model_size_mb": {"max": 5},
            "max_features": 9,
            "beat_baseline_by": {"metric": "roc_auc", "min": 0.0},
        },
    )

    assert set(found) == {"p99_latency_ms", "model_size_mb", "max_features", "beat_baseline_by"}
    assert found["p99_latency_ms"] > 0
    assert found["max_features"] == 3
    assert found["beat_baseline_by"] > 0.1


def test_slices_are_compared_on_the_selection_rows_in_their_order(search) -> None:
    plan, data = search
    prediction = np.load(Path(plan.artifacts) / "0" / PREDICTIONS)
    codes = slice_codes(plan, data)["shop"]
    metric = load_metrics()["accuracy"]
    of_slice = [metric.score(data.y[codes == c], prediction[codes == c]) for c in set(codes)]

    gap = {"metric": "accuracy", "by": ["shop"], "max": 0.5}
    found = measured(search, {"slice_gap": gap})

    assert len(codes) == len(data.y)
    assert len(of_slice) == 5
    assert found["slice_gap"] == pytest.approx(max(of_slice) - min(of_slice))


def test_rows_without_a_value_are_a_slice_of_their_own(search) -> None:
    plan, data = search
    X = np.array(data.validation.X, order="F")
    X[:3, 2] = np.nan
    changed = type(data.validation)(X=X, y=data.validation.y, n_levels=data.validation.n_levels)
    codes = slice_codes(plan, SelectionData(data.train, changed, None, 1))["shop"]

    assert codes[:3].tolist() == [-1.0] * 3
    assert (codes[3:] >= 0).all()


def test_memory_is_measured_where_there_is_somebody_to_do_it(search) -> None:
    asked: list[tuple[str, str]] = []

    def memory_of(package: Path, rows: Path) -> float:
        asked.append((package.name, rows.name))
        return 64.0

    limits = {"serving_memory_mb": {"max": 100}}

    assert measured(search, limits) == {}
    assert measured(search, limits, memory_of=memory_of) == {"serving_memory_mb": 64.0}
    assert measured(search, {"model_size_mb": {"max": 5}}, memory_of=memory_of).keys() == {
        "model_size_mb"
    }
    assert asked == [(PACKAGE, SAMPLE_ROWS)]
