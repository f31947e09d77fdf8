"""Where the model is worse: the metric in each slice against all other rows."""

from typing import Any

from automl_assets.core.errors import SearchError
from automl_assets.core.evaluation.examination import Examined, Section
from automl_assets.core.evaluation.slicing.figures import (
    dominant_label,
    figures_of,
)
from automl_assets.core.evaluation.slicing.inference import (
    difference_interval,
    holm,
    interval,
    shrunken,
)
from automl_assets.core.evaluation.slicing.report import Slice, SliceGapCheck, SliceReport, Standing
from automl_assets.core.evaluation.slicing.scores import Judged
from automl_assets.core.evaluation.slicing.study import StudiedSlice, Study, study_slices
from automl_assets.core.evaluation.wording import percent, short, shown
from automl_assets.core.metrics import load_metrics
from automl_assets.core.values import Value

OF_BASE_RATE = frozenset({"average_precision", "brier", "f1", "log_loss", "mcc", "precision"})
"""Metrics that change with the share of positive rows, even where the model is as good."""


def examine(examined: Examined) -> SliceReport | None:
    """Compare each slice with all other rows; None where there is no slice and no limit."""
    study = study_slices(examined)
    gap = _gap(examined)
    if not study.slices and not study.slicings.left_out and gap is None:
        return None
    metric = examined.metric
    low, high = interval(study.overall, examined.confidence)
    n_tests = len(study.tested)
    simultaneous = 1 - (1 - examined.confidence) / max(n_tests, 1)
    return SliceReport(
        metric=metric.name,
        label=metric.label,
        direction=metric.direction,
        overall=study.overall.value,
        overall_low=low,
        overall_high=high,
        confidence=examined.confidence,
        simultaneous_confidence=simultaneous,
        n_rows=len(study.judged),
        n_tests=n_tests,
        seed=examined.seed,
        is_clustered=study.judged.clusters is not None,
        follows_base_rate=len(examined.classes) == 2 and metric.name in OF_BASE_RATE,
        slices=_slices(study, examined, simultaneous),
        left_out=study.slicings.left_out,
        gap=gap,
    )


def _slices(study: Study, examined: Examined, simultaneous: float) -> tuple[Slice, ...]:
    tested = study.tested
    adjusted = holm([item.contrast.p_value for item in tested if item.contrast])
    scores = [item.score for item in tested if item.score]
    drawn = shrunken([found.value for found in scores], [found.error for found in scores])
    by_name = dict(zip(map(id, tested), zip(adjusted, drawn, strict=True), strict=True))
    made = [
        _slice(item, study, examined, simultaneous, by_name.get(id(item)))
        for item in study.slices
        if len(item.rows)
    ]
    sign = 1 if examined.metric.direction == "maximize" else -1
    return tuple(
        sorted(
            made,
            key=lambda item: (
                item.shrunken is None,
                sign * (item.shrunken or 0.0) if item.shrunken is not None else -item.n_rows,
            ),
        )
    )


def _slice(
    item: StudiedSlice,
    study: Study,
    examined: Examined,
    simultaneous: float,
    found: tuple[float, float] | None,
) -> Slice:
    n_rows = len(item.rows)
    about: dict[str, Any] = {
        "name": item.name,
        "source": item.source,
        "is_asked": item.is_asked,
        "n_rows": n_rows,
        "share": n_rows / len(study.judged),
    }
    if item.score is None or item.elsewhere is None or item.contrast is None or found is None:
        return Slice(**about, standing="too small", why_small=item.why_small)
    p_value, drawn = found
    sign = 1 if examined.metric.direction == "maximize" else -1
    standing: Standing = "alike"
    if p_value <= 1 - examined.confidence:
        standing = "better" if sign * item.contrast.difference > 0 else "worse"
    low, high = interval(item.score, simultaneous)
    difference = difference_interval(item.score, item.elsewhere, simultaneous)
    return Slice(
        **about,
        standing=standing,
        value=item.score.value,
        low=low,
        high=high,
        shrunken=drawn,
        elsewhere=item.elsewhere.value,
        difference=item.contrast.difference,
        difference_low=difference.low,
        difference_high=difference.high,
        p_value=p_value,
        method=item.score.method,
        **_beside(item, study, examined),
    )


def _beside(item: StudiedSlice, study: Study, examined: Examined) -> dict[str, Any]:
    """Return the numbers beside the metric, as fields of `Slice`."""
    rows, clusters = examined.analysis, study.judged.clusters
    here = Judged(
        y=rows.y[item.rows],
        prediction=rows.prediction[item.rows],
        clusters=None if clusters is None else clusters[item.rows],
    )
    decisions = examined.decisions(here.prediction) if examined.classes else None
    figures = figures_of(
        examined.profile.task_type,
        examined.classes,
        here,
        decisions,
        confidence=examined.confidence,
        seed=examined.seed,
    )
    dominant = None if decisions is None else dominant_label(examined.classes, here.y, decisions)
    return {"figures": figures, "dominant": dominant}


def _gap(examined: Examined) -> SliceGapCheck | None:
    """Return the limit `slice_gap` for the winner, computed as the search computed it."""
    limits = examined.request.constraints
    if limits is None or limits.slice_gap is None:
        return None
    from automl_assets.core.search.prediction_limits import slice_gap

    asked = limits.slice_gap
    positions, position = {}, 0
    for column in examined.predictor.preprocessing.columns:
        positions[column.name] = position
        position += len(column.feature_names)
    about: dict[str, Any] = {"metric": asked.metric, "by": asked.by, "limit": asked.max}
    rows = examined.analysis
    try:
        found = slice_gap(
            load_metrics()[asked.metric],
            rows.y,
            rows.prediction,
            {name: rows.X[:, positions[name]] for name in asked.by},
            seed=examined.seed,
        )
    except SearchError as error:
        return SliceGapCheck(**about, found=None, why_not=str(error))
    return SliceGapCheck(**about, found=found)


def _sentences(report: Value) -> tuple[str, ...]:
    assert isinstance(report, SliceReport)
    told = []
    if report.worse:
        told.append(f"Worst slice {report.worse[0].told(report.label)}.")
    elif report.n_tests:
        told.append(f"No slice of {report.n_tests:,} is worse than the rest beyond chance.")
    if report.dominated:
        item = report.dominated[0]
        assert item.dominant is not None
        more = len(report.dominated) - 1
        told.append(
            f"In slice {short(item.name)} the model says {short(item.dominant.label)!r} for "
            f"{percent(item.dominant.predicted)} of the rows, though only "
            f"{percent(item.dominant.observed)} are"
            + (f"; {more:,} more slices are like that." if more else ".")
        )
    elif report.gap is not None and report.gap.holds is False:
        told.append(
            f"On the analysis part the slices differ by {shown(report.gap.found or 0.0)} in "
            f"{report.gap.metric}, more than the limit of {shown(report.gap.limit)}."
        )
    return tuple(told)


def _limits(report: Value) -> tuple[str, ...]:
    assert isinstance(report, SliceReport)
    told = []
    n_small = sum(item.standing == "too small" for item in report.slices)
    if n_small:
        told.append(
            f"{n_small:,} of {len(report.slices):,} slices have too few rows to say anything "
            "about them: nobody knows how the model does there."
        )
    if report.follows_base_rate:
        told.append(
            f"{report.label} changes with the share of positive rows, so slices with other "
            "shares differ in it even where the model is as good."
        )
    return tuple(told)


SECTION = Section(
    name="slices",
    title="Slices",
    position=30,
    result=SliceReport,
    examine=examine,
    sentences=_sentences,
    limits=_limits,
)
