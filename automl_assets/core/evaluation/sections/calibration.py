"""Whether predictions can be taken at their word, and in which direction they err."""

from typing import Literal

import numpy as np
from pydantic import Field

from automl_assets.core.evaluation.clusters import clusters_of
from automl_assets.core.evaluation.curves import calibration_bins
from automl_assets.core.evaluation.examination import Examined, Section
from automl_assets.core.evaluation.intervals import mean_interval
from automl_assets.core.evaluation.recalibration import (
    FEWEST_ROWS,
    Line,
    calibration_error,
    logistic_lines,
    straight_lines,
)
from automl_assets.core.evaluation.result import Bin
from automl_assets.core.evaluation.wording import percent, shown, shown_interval
from automl_assets.core.values import MetricEstimate, TaskType, Value

MAX_CLASSES = 8
"""Classes with numbers of their own, the largest ones."""

MAX_DRAWN = 4
HISTOGRAM_BINS = 20

Tendency = Literal["overconfident", "underconfident", "neither", "unknown"]
Level = Literal["too high", "too low", "neither", "unknown"]


class ClassCalibration(Value):
    """One class against all others.

    Attributes:
        predicted: Mean probability.
        observed: Share of rows of the class.
        error: Calibration error; None for too few rows.
        bins: Probability against share; empty but for the largest classes.
    """

    name: str
    n_rows: int
    predicted: float
    observed: float
    error: MetricEstimate | None
    bins: tuple[Bin, ...] = ()


class CalibrationResult(Value):
    """Predictions against what came true, on the analysis part."""

    task_type: TaskType
    n_rows: int
    confidence: float
    n_clusters: int | None
    tendency: Tendency = Field(description="Whether predictions are too extreme or too timid.")
    level: Level = Field(description="Whether predictions are too high or too low as a whole.")
    sentences: tuple[str, ...]
    slope: MetricEstimate | None = Field(
        default=None, description="Of the truth against the prediction (log-odds); 1 is right."
    )
    intercept: MetricEstimate | None = Field(
        default=None, description="With slope 1, in log-odds or the target's unit; 0 is right."
    )
    error: MetricEstimate | None = Field(
        default=None, description="Calibration error, of the most probable class for multiclass."
    )
    excess: MetricEstimate | None = Field(
        default=None, description="Multiclass: mean probability of the predicted class - accuracy."
    )
    brier: MetricEstimate | None = None
    brier_skill: MetricEstimate | None = Field(
        default=None, description="1 - Brier score / that of the train part's class frequencies."
    )
    classes: tuple[ClassCalibration, ...] = ()
    histogram: tuple[int, ...] = Field(
        default=(), description="Rows by probability of the positive class, in equal steps."
    )
    bins: tuple[Bin, ...] = ()


class _Sample:
    """The rows of an examination, and how intervals of them are made."""

    def __init__(self, examined: Examined) -> None:
        rows = examined.analysis
        self.y, self.prediction = rows.y, rows.prediction
        self.groups = clusters_of(rows.groups, rows.times)
        self.confidence = examined.confidence
        self.sampling = {"confidence": examined.confidence, "groups": self.groups}

    def estimate(self, name: str, line: Line | None) -> MetricEstimate | None:
        if line is None:
            return None
        value, (low, high, method) = line
        return MetricEstimate(
            metric=name,
            value=value,
            low=low,
            high=high,
            confidence=self.confidence,
            method=method,
            n_rows=len(self.y),
        )

    def mean(self, name: str, terms: np.ndarray) -> MetricEstimate | None:
        interval = mean_interval(terms, self.confidence, self.groups)
        return self.estimate(name, (float(terms.mean()), interval))


def examine(examined: Examined) -> CalibrationResult | None:
    """Compare predictions with what came true; None for fewer than two rows."""
    if len(examined.analysis.y) < 2:
        return None
    sample = _Sample(examined)
    by_task = {"binary": _binary, "multiclass": _multiclass, "regression": _regression}
    found = by_task[examined.profile.task_type](sample, examined)
    groups = sample.groups
    return CalibrationResult(
        task_type=examined.profile.task_type,
        n_rows=len(sample.y),
        confidence=examined.confidence,
        n_clusters=None if groups is None else int(groups.max()) + 1,
        **found,
    )


def _binary(sample: _Sample, examined: Examined) -> dict:
    truth, p = (sample.y == 1).astype(float), sample.prediction[:, 1].astype(float)
    lines = logistic_lines(truth, p, **sample.sampling)
    intercept, slope = lines if lines is not None else (None, None)
    found = {
        "slope": sample.estimate("calibration_slope", slope),
        "intercept": sample.estimate("calibration_intercept", intercept),
        "error": sample.estimate(
            "calibration_error", calibration_error(truth, p, **sample.sampling)
        ),
        "histogram": tuple(np.histogram(p, bins=HISTOGRAM_BINS, range=(0.0, 1.0))[0].tolist()),
        **_brier(sample, examined),
    }
    return found | _judged(found, "probabilities of the positive class")


def _brier(sample: _Sample, examined: Examined) -> dict[str, MetricEstimate | None]:
    """Return Brier score and skill; of two classes the sum over both is halved, as is usual."""
    n_classes = sample.prediction.shape[1]
    counts = np.bincount(examined.y_train.astype(np.intp), minlength=n_classes)
    frequencies = counts / counts.sum()
    halved = 0.5 if n_classes == 2 else 1.0
    ours = halved * _squared_distances(sample.y, sample.prediction)
    of_class = halved * (1 - 2 * frequencies + frequencies @ frequencies)
    theirs = of_class[sample.y.astype(np.intp)]
    brier = sample.mean("brier", ours)
    if not theirs.mean() > 0:
        return {"brier": brier, "brier_skill": None}
    # A ratio of two means: its error is that of the mean of these terms.
    skill = 1 - ours.mean() / theirs.mean()
    terms = skill - (ours - (1 - skill) * theirs) / theirs.mean()
    return {"brier": brier, "brier_skill": sample.mean("brier_skill", terms)}


def _squared_distances(y: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Return each row's squared distance from certainty of its class, without a table of ones."""
    of_class = prediction[np.arange(len(y)), y.astype(np.intp)].astype(float)
    return np.einsum("ij,ij->i", prediction, prediction).astype(float) - 2 * of_class + 1


def _multiclass(sample: _Sample, examined: Examined) -> dict:
    sure = sample.prediction.max(axis=1).astype(float)
    right = (sample.prediction.argmax(axis=1) == sample.y).astype(float)
    excess = sample.mean("confidence_excess", sure - right)
    counts = np.bincount(sample.y.astype(np.intp), minlength=len(examined.classes))
    largest = np.argsort(-counts, kind="stable")[:MAX_CLASSES]
    found = {
        "error": sample.estimate(
            "top_label_calibration_error", calibration_error(right, sure, **sample.sampling)
        ),
        "excess": excess,
        "classes": tuple(
            _of_class(sample, int(code), examined.classes[code], drawn=rank < MAX_DRAWN)
            for rank, code in enumerate(largest)
            if counts[code]
        ),
        **_brier(sample, examined),
    }
    tendency = _side(excess, 0.0, above="overconfident", below="underconfident")
    words = {
        "overconfident": "The model is overconfident: it is right less often than it says",
        "underconfident": "The model is underconfident: it is right more often than it says",
        "neither": "The model is about as sure as it is right",
    }
    sentence = (
        f"{words[tendency]}: it gives its most probable class {percent(float(sure.mean()))} on "
        f"average, and {percent(float(right.mean()))} of rows belong to it."
    )
    return found | {"tendency": tendency, "level": "unknown", "sentences": (sentence,)}


def _of_class(sample: _Sample, code: int, name: str, *, drawn: bool) -> ClassCalibration:
    truth, p = (sample.y == code).astype(float), sample.prediction[:, code].astype(float)
    error = calibration_error(truth, p, **sample.sampling)
    return ClassCalibration(
        name=name,
        n_rows=int(truth.sum()),
        predicted=float(p.mean()),
        observed=float(truth.mean()),
        error=sample.estimate("calibration_error", error),
        bins=calibration_bins(p, truth, share=True, **sample.sampling) if drawn else (),
    )


def _regression(sample: _Sample, examined: Examined) -> dict:
    lines = straight_lines(sample.y, sample.prediction, **sample.sampling)
    intercept, slope = lines if lines is not None else (None, None)
    found = {
        "slope": sample.estimate("calibration_slope", slope),
        "intercept": sample.estimate("mean_residual", intercept),
        "bins": calibration_bins(sample.prediction, sample.y, share=False, **sample.sampling),
    }
    return found | _judged(found, "predictions")


def _side(estimate: MetricEstimate | None, right: float, *, above: str, below: str) -> str:
    if estimate is None:
        return "unknown"
    if estimate.low > right:
        return above
    return below if estimate.high < right else "neither"


def _judged(found: dict, what: str) -> dict:
    """Return tendency, level and sentences from slope and intercept."""
    slope, intercept = found["slope"], found["intercept"]
    tendency = _side(slope, 1.0, above="underconfident", below="overconfident")
    level = _side(intercept, 0.0, above="too low", below="too high")
    if slope is None or intercept is None:
        text = (
            f"Whether the {what} are over- or underconfident cannot be said: that needs at least "
            f"{FEWEST_ROWS} rows, of both classes where there are classes, and predictions that "
            "differ and do not separate the classes perfectly."
        )
        return {"tendency": "unknown", "level": "unknown", "sentences": (text,)}
    interval = shown_interval(slope.low, slope.high)
    numbers = f"slope {shown(slope.value)}, {percent(slope.confidence)} interval {interval}"
    first = {
        "overconfident": f"The model is overconfident: its {what} are too extreme ({numbers}); "
        "high ones are too high and low ones too low.",
        "underconfident": f"The model is underconfident: its {what} are too timid ({numbers}); "
        "high ones are too low and low ones too high.",
        "neither": f"The model is neither shown to be over- nor underconfident ({numbers}).",
    }
    second = {
        "too high": f"As a whole its {what} are too high.",
        "too low": f"As a whole its {what} are too low.",
        "neither": f"As a whole its {what} are neither shown to be too high nor too low.",
    }
    return {
        "tendency": tendency,
        "level": level,
        "sentences": (first[tendency], second[level]),
    }


def _sentences(result: Value) -> tuple[str, ...]:
    assert isinstance(result, CalibrationResult)
    notable = result.tendency in ("overconfident", "underconfident")
    return result.sentences[:1] if notable else ()


def _limits(result: Value) -> tuple[str, ...]:
    assert isinstance(result, CalibrationResult)
    if result.tendency != "unknown":
        return ()
    return ("Nobody may take predictions at their word: the rows cannot show calibration.",)


SECTION = Section(
    name="calibration",
    title="Calibration",
    position=20,
    result=CalibrationResult,
    examine=examine,
    sentences=_sentences,
    limits=_limits,
)
