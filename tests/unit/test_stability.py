"""Stretches of time and other seeds: what is compared, and what is told of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_assets.core.evaluation.periods import stretches
from automl_assets.core.evaluation.sections.stability import SECTION, Stability, examine
from automl_assets.core.report.render import templates
from automl_assets.core.report.section_pictures.stability import PICTURES
from tests.examinations import make_examined
from tests.unit.test_robustness import TASKS

RANDOM = {"feature_fraction": 0.5}


def found(task="binary", **changes) -> Stability:
    return examine(make_examined(task, **changes))


def page(section) -> str:
    card = {"metrics": {section.metric: {"label": "the metric"}}, "request": {"data": {}}}
    template = templates().get_template("sections/stability.html.j2")
    return template.render(section=section.model_dump(mode="json"), card=card)


@given(
    times=st.lists(st.one_of(st.none(), st.integers(0, 40)), min_size=0, max_size=1_500),
    most=st.integers(2, 9),
)
def test_stretches_hold_every_row_with_a_time_once_and_follow_each_other(times, most):
    parts = stretches(pl.Series("t", times, dtype=pl.Int64), most=most)

    rows = [row for part in parts for row in part.rows.tolist()]
    known = [index for index, value in enumerate(times) if value is not None]
    assert len(parts) <= most
    assert sorted(rows) == (known if parts else [])
    ends = [(min(times[i] for i in part.rows), max(times[i] for i in part.rows)) for part in parts]
    assert all(before[1] < after[0] for before, after in pairwise(ends))


@pytest.mark.parametrize(
    "kind", [pl.Date, pl.Datetime("us"), pl.Datetime("us", "Europe/Paris"), pl.String]
)
def test_months_are_named_whatever_the_type_of_the_time(kind):
    first = datetime(2026, 1, 1, 12, tzinfo=UTC)
    moments = pl.Series(
        "t", [(first + timedelta(days=9 * i)).replace(tzinfo=None) for i in range(9)]
    )
    times = moments.dt.strftime("%Y-%m-%d") if kind == pl.String else moments.cast(kind)

    assert [part.name for part in stretches(times, most=24)] == ["2026-01", "2026-02", "2026-03"]


def test_a_long_time_is_cut_into_equally_many_rows():
    days = pl.Series("t", np.arange(4_000)).cast(pl.Date)

    parts = stretches(days, most=10)

    assert [len(part.rows) for part in parts] == [400] * 10
    assert parts[0].name == "1970-01-01 to 1971-02-04"


def test_a_model_that_fails_in_one_stretch_is_told():
    examined = make_examined("regression", n_rows=4_000, times=True)
    rows = examined.analysis
    last = rows.times > rows.times.quantile(0.8, "nearest")
    worse = replace(rows, prediction=rows.prediction + 90 * last.to_numpy())

    result = examine(replace(examined, analysis=worse))

    assert examine(examined).alike > 0.05
    assert result.alike < 1e-6
    assert "differs between stretches of time by more than chance" in SECTION.sentences(result)[0]
    assert "by more than chance" in page(result)


def test_without_a_time_there_are_no_stretches():
    result = found("binary")

    assert result.periods == ()
    assert "Nothing is known about how the model holds over time" in SECTION.limits(result)[0]
    assert PICTURES.pictures(result) == ()


@pytest.mark.parametrize("task", TASKS)
def test_other_seeds_change_some_decisions(task):
    result = found(task, params=RANDOM, refit_seconds=0.1)

    refits = result.refits
    assert len(refits.scores) == 4
    assert refits.is_random
    assert refits.std == pytest.approx(np.std(refits.scores, ddof=1))
    assert refits.std_low < refits.std < refits.std_high
    assert 0 < refits.flips_low < refits.flips < refits.flips_high
    assert "4 fits of the model (lightgbm) with other seeds" in page(result)


def test_a_fit_that_draws_nothing_is_found_out_after_two():
    examined = make_examined("binary", refit_seconds=0.1)

    refits = examine(examined).refits

    assert not refits.is_random
    assert len(examined.refitter.fits) == 2
    assert refits.std == refits.flips == 0
    assert "The seed does not matter" in page(examine(examined))


def test_refits_that_are_not_affordable_are_not_begun():
    examined = make_examined("binary", refit_seconds=10.0, seconds=30.0)

    result = examine(examined)

    assert examined.refitter.fits == []
    assert result.refits is None
    assert result.missing == (
        "How much another seed changes is not known: 4 fits would take about 40 CPU seconds, "
        "more than the 30 that a section of this report may take."
    )
    assert result.missing in page(result)


def test_files_that_are_gone_are_told():
    result = found("binary")

    assert "no longer there" in result.missing
    assert "no longer there" in page(result)


def test_refits_go_through_the_calibration_of_the_winner():
    plain = found("binary", params=RANDOM, refit_seconds=0.1, metric="log_loss")
    calibrated = found(
        "binary", params=RANDOM, refit_seconds=0.1, metric="log_loss", calibration="sigmoid"
    )

    assert plain.refits.scores != calibrated.refits.scores


def test_the_same_inputs_give_the_same_result():
    changes = {"times": True, "params": RANDOM, "refit_seconds": 0.1}

    assert found("multiclass", **changes) == found("multiclass", **changes)


@pytest.mark.parametrize("task", TASKS)
def test_the_picture_shows_all_stretches(task):
    result = found(task, n_rows=4_000, times=True)

    (picture,) = PICTURES.pictures(result)

    assert f"{len(result.periods)} stretches" in picture.caption
