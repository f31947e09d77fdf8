"""What serving costs is measured on the saved package, with honest ends."""

from itertools import count
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_assets.core.errors import SearchError
from automl_assets.core.evaluation import serving_profile
from automl_assets.core.evaluation.sections import serving
from automl_assets.core.evaluation.sections.serving import SECTION, Serving
from automl_assets.core.evaluation.serving_profile import (
    Measured,
    measure_serving,
    order_statistics,
    summarise,
)
from automl_assets.core.report.render import templates
from tests.examinations import make_examined


def measured(n_single: int = 500, n_many: int = 100) -> Measured:
    return Measured(
        cold_start_seconds=1.5,
        peak_mb=210.0,
        n_warm_up={1: 200, 1_000: 40},
        milliseconds={
            1_000: tuple(20.0 + i for i in range(n_many)),
            1: tuple(1.0 + i / 100 for i in range(n_single)),
        },
    )


@given(
    st.integers(1, 6_000),
    st.sampled_from([0.5, 0.95, 0.99]),
    st.sampled_from([0.9, 0.95, 0.99]),
)
def test_order_statistics_hold_the_quantile_at_least_as_often_as_said(
    n: int, quantile: float, confidence: float
) -> None:
    from scipy.stats import binom

    low, high = order_statistics(n, quantile, confidence)

    # The quantile lies between the values of two ranks if at least `low` and fewer than `high`
    # values are below it.
    below = binom.cdf((low or 0) - 1, n, quantile)
    above = 0.0 if high is None else 1 - binom.cdf(high - 1, n, quantile)
    assert below <= (1 - confidence) / 2 + 1e-9
    assert above <= (1 - confidence) / 2 + 1e-9


def test_the_interval_of_the_99th_percentile_holds_the_truth_as_often_as_said() -> None:
    rng = np.random.default_rng(0)
    low, high = order_statistics(1_000, 0.99, 0.95)
    assert low is not None
    assert high is not None
    drawn = np.sort(rng.exponential(size=(2_000, 1_000)), axis=1)
    truth = -np.log(0.01)

    held = (drawn[:, low - 1] <= truth) & (truth <= drawn[:, high - 1])

    assert 0.94 <= held.mean() <= 0.98


def test_too_few_calls_have_no_upper_end() -> None:
    single, many = summarise(measured(), confidence=0.95)

    assert (single.n_rows, many.n_rows) == (1, 1_000)
    assert [item.value for item in single.quantiles] == pytest.approx([3.49, 5.74, 5.94])
    assert single.quantiles[2].high is not None
    assert many.quantiles[2].value == 118.0
    assert many.quantiles[2].high is None
    assert many.rows_per_second == pytest.approx(1_000_000 / 69)


def test_calls_take_the_smaller_of_passing_and_cpu_time_and_end_in_time() -> None:
    wall, cpu = count(0, 5), count(0, 1)
    called = []

    n_warm_up, found = serving_profile._call(
        called.append,
        ["a", "b"],
        400.0,
        lambda: float(next(wall)),
        lambda: float(next(cpu)),
    )

    # Each call reads the CPU clock twice, and the loop reads it once more.
    assert set(found) == {1000.0}
    assert 0 < n_warm_up < 20
    assert 20 <= len(found) < 140
    assert called[:3] == ["a", "b", "a"]


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    rows = tmp_path / "rows.parquet"
    pl.DataFrame({"a": [1]}).write_parquet(rows)

    with pytest.raises(SearchError, match=r"A model package needs a file model.json|Restore the"):
        measure_serving(tmp_path / "nothing", rows, seconds=0.1)


def test_energy_is_said_with_its_range() -> None:
    found = serving.energy(7_200)

    assert (found.low, found.watt_hours, found.high) == (6.0, 24.0, 40.0)


def test_the_machine_is_named_even_where_the_system_lists_none(tmp_path: Path) -> None:
    listed = tmp_path / "cpuinfo"
    listed.write_text("processor : 0\nmodel name\t: Fast CPU @ 3 GHz\n")

    assert serving.machine(listed) == "Fast CPU @ 3 GHz"
    assert serving.machine(tmp_path / "nothing")


@pytest.fixture(scope="module")
def found() -> Serving:
    result = SECTION.examine(make_examined("binary", n_rows=600, seconds=4.5))
    assert isinstance(result, Serving)
    return result


def test_a_real_package_is_measured_in_a_process_of_its_own(found: Serving) -> None:
    assert [batch.n_rows for batch in found.latency] == [1, 1_000]
    for batch in found.latency:
        values = [item.value for item in batch.quantiles]
        assert values == sorted(values)
        assert values[0] > 0
        assert batch.n_calls >= 20
    assert found.latency[1].rows_per_second > found.latency[0].rows_per_second
    assert found.cold_start_seconds > 0.1
    assert found.memory_mb is not None
    assert 50 < found.memory_mb < 2_000
    assert found.package_bytes > 1_000
    assert found.training_cpu_seconds == pytest.approx(118.2)
    assert found.energy.low < found.energy.watt_hours < found.energy.high
    assert SECTION.is_measured


def test_the_page_begins_with_words_and_says_what_is_an_estimate(found: Serving) -> None:
    template = templates().get_template("sections/serving.html.j2")
    unknown = found.model_copy(update={"memory_mb": None, "n_cores": None})

    html, other = (
        template.render(section=item.model_dump(mode="json"), card={}) for item in (found, unknown)
    )

    assert html.startswith('<p class="lead">A call with one row takes ')
    assert "The energy is an estimate, not a measurement" in html
    assert "this system does not tell" in other
    assert "99 of 100 calls" in SECTION.sentences(found)[0]
    assert found.machine in SECTION.limits(found)[0]
