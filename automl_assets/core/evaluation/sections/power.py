"""What the analysis part can show: the smallest difference that it would not miss."""

from typing import Literal

import numpy as np

from automl_assets.core.evaluation.examination import Examined, Section
from automl_assets.core.evaluation.slicing.inference import Contrast, detectable
from automl_assets.core.evaluation.slicing.scores import Judged, Score, mean, resampled
from automl_assets.core.evaluation.slicing.study import Study, study_slices
from automl_assets.core.evaluation.wording import shown
from automl_assets.core.metrics import Metric
from automl_assets.core.values import Value

POWER = 0.8
"""Probability of finding a difference that is there (J. Cohen, 1988)."""

RIVAL_CORRELATION = 0.9
"""Of the errors of two good models on the same rows; those of one family are closer still."""


class SlicePower(Value):
    """What one slice can show; `detectable` is None where it is too small for anything."""

    name: str
    n_rows: int
    detectable: float | None
    why_small: str = ""
    is_weak: bool = False


class PowerReport(Value):
    """The smallest differences in the search's metric that the analysis part shows.

    Attributes:
        against_baseline: Of a constant prediction from the model, on the same rows.
        against_rival: Of a rival whose errors correlate with the model's by
            `rival_correlation`, on the same rows.
        gain: Over the constant prediction, as found.
        yardstick: Differences of slices above it are worth knowing of.
        yardstick_is: Where it comes from.
        n_tests: Slices that share the probability of a false finding.
        slices: Those that need the largest differences first.
    """

    metric: str
    label: str
    direction: Literal["maximize", "minimize"]
    n_rows: int
    n_clusters: int | None
    confidence: float
    power: float
    value: float
    gain: float
    against_baseline: float | None
    against_rival: float | None
    rival_correlation: float
    method: str
    yardstick: float | None
    yardstick_is: str
    n_tests: int
    slices: tuple[SlicePower, ...]

    @property
    def too_small(self) -> tuple[SlicePower, ...]:
        """Slices with too few rows for any conclusion."""
        return tuple(item for item in self.slices if item.detectable is None)

    @property
    def weak(self) -> tuple[SlicePower, ...]:
        """Slices that would not show a difference of the size of the yardstick."""
        return tuple(item for item in self.slices if item.is_weak)


def examine(examined: Examined) -> PowerReport:
    """Return what differences the analysis part would show with a probability of 80%."""
    study, metric = study_slices(examined), examined.metric
    gain = _gain(metric, study.judged, _baseline(examined), seed=examined.seed)
    rival = study.overall.error * (2 * (1 - RIVAL_CORRELATION)) ** 0.5
    yardstick, yardstick_is = _yardstick(examined, gain.value)
    clusters = study.judged.clusters

    def smallest(error: float, freedom: float) -> float | None:
        test = Contrast(0.0, error, freedom, 1.0)
        found = detectable(test, confidence=examined.confidence, power=POWER)
        return found if np.isfinite(found) else None

    return PowerReport(
        metric=metric.name,
        label=metric.label,
        direction=metric.direction,
        n_rows=len(study.judged),
        n_clusters=None if clusters is None else int(clusters.max()) + 1,
        confidence=examined.confidence,
        power=POWER,
        value=study.overall.value,
        gain=gain.value,
        against_baseline=smallest(gain.error, gain.freedom),
        against_rival=smallest(rival, study.overall.freedom),
        rival_correlation=RIVAL_CORRELATION,
        method=gain.method,
        yardstick=yardstick,
        yardstick_is=yardstick_is,
        n_tests=len(study.tested),
        slices=_slices(study, examined, yardstick),
    )


def _baseline(examined: Examined) -> np.ndarray:
    """Return the constant that the train part suggests, for each row of the analysis part."""
    n_rows, y = len(examined.analysis.y), examined.y_train
    if not examined.classes:
        return np.full(n_rows, float(y.mean()))
    counts = np.bincount(y.astype(np.intp), minlength=len(examined.classes))
    return np.tile(counts / counts.sum(), (n_rows, 1))


def _gain(metric: Metric, rows: Judged, baseline: np.ndarray, *, seed: int) -> Score:
    """Return the gain over other predictions of the same rows, with its standard error."""
    sign = 1 if metric.direction == "maximize" else -1
    if metric.row_losses is not None:
        ours, theirs = (metric.row_losses(rows.y, each) for each in (rows.prediction, baseline))
        if len(ours) == len(theirs) == len(rows):
            return mean(sign * (ours - theirs), rows.clusters)

    def gain(chosen: np.ndarray) -> float:
        y = rows.y[chosen]
        ours = metric.score(y, rows.prediction[chosen])
        return sign * (ours - metric.score(y, baseline[chosen]))

    return resampled(gain, rows, value=gain(np.arange(len(rows))), seed=seed)


def _yardstick(examined: Examined, gain: float) -> tuple[float | None, str]:
    limits = examined.request.constraints
    gap = limits.slice_gap if limits else None
    if gap is not None and gap.metric == examined.metric.name:
        return gap.max, "the limit of constraints.slice_gap"
    if gain <= 0:
        return None, ""
    return gain / 2, "half of the gain over no model"


def _slices(study: Study, examined: Examined, yardstick: float | None) -> tuple[SlicePower, ...]:
    confidence = 1 - (1 - examined.confidence) / max(len(study.tested), 1)
    made = []
    for item in study.slices:
        if not len(item.rows):
            continue
        found = None
        if item.contrast is not None:
            found = detectable(item.contrast, confidence=confidence, power=POWER)
        made.append(
            SlicePower(
                name=item.name,
                n_rows=len(item.rows),
                detectable=found,
                why_small=item.why_small,
                is_weak=found is not None and yardstick is not None and found > yardstick,
            )
        )
    return tuple(
        sorted(
            made,
            key=lambda item: (item.detectable is not None, -(item.detectable or 0.0), item.n_rows),
        )
    )


def _sentences(report: Value) -> tuple[str, ...]:
    assert isinstance(report, PowerReport)
    told = []
    if report.against_rival is not None:
        told.append(
            f"{report.n_rows:,} rows show a difference of {shown(report.against_rival)} in "
            f"{report.label} between two models of like errors with a probability of 80%; "
            "smaller ones may be missed."
        )
    n_silent = len(report.too_small) + len(report.weak)
    if n_silent:
        told.append(
            f"{n_silent:,} of {len(report.slices):,} slices are too small to show a difference "
            + (f"of {shown(report.yardstick)}." if report.yardstick else "at all.")
        )
    return tuple(told)


SECTION = Section(
    name="power",
    title="What these rows can show",
    position=25,
    result=PowerReport,
    examine=examine,
    sentences=_sentences,
)
