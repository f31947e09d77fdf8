"""How sure single predictions are: conformal intervals and sets, and whether they hold."""

from collections.abc import Iterator

import numpy as np

from automl_assets.core.evaluation.conformal import Method
from automl_assets.core.evaluation.coverage import (
    SHOWN_LEVEL,
    MethodResult,
    of_intervals,
    of_sets,
)
from automl_assets.core.evaluation.drawn import draw_rows, taken
from automl_assets.core.evaluation.examination import Examined, Section
from automl_assets.core.evaluation.wording import percent, short, shown
from automl_assets.core.values import Value

FEWEST_ROWS = 50
"""Fewer calibration rows leave the coverage open by more than a tenth."""

MAX_CALIBRATION_ROWS = 20_000
"""The coverage is then within half a percent."""

MAX_CELLS = 1_000_000
"""Rows times classes of the analysis part that coverage is counted on."""

FEWEST_TOLD_ROWS = 30
"""Of a class; shares of fewer rows are grey in the table."""

FEWEST_NORMALISED_ROWS = 200
"""Half of them teach how wide an interval is, the other half how often it holds."""


class Uncertainty(Value):
    """Intervals or sets from the calibration part, counted on the analysis part.

    Attributes:
        drift: What the comparison of the parts says, where intervals may not hold.
        notes: What weakens the guarantee, or why there is none.
        methods: The one to use first; empty where the calibration part is too small.
    """

    is_regression: bool
    shown_level: float
    n_calibration_rows: int
    n_rows: int
    seed: int
    confidence: float
    methods: tuple[MethodResult, ...] = ()
    drift: str = ""
    notes: tuple[str, ...] = ()


def _notes(examined: Examined, n_calibration_rows: int) -> Iterator[str]:
    if n_calibration_rows < FEWEST_ROWS:
        yield (
            f"Intervals and sets need at least {FEWEST_ROWS} calibration rows, but there are "
            f"{n_calibration_rows}: nothing is said. Raise split.calibration."
        )
        return
    if examined.predictor.calibration is not None:
        yield (
            "The probabilities were calibrated on the same rows, so that coverage is a little "
            "below what was asked for; what counts is what was observed on the analysis part."
        )
    n_seen = len(np.unique(examined.calibration.y)) if examined.classes else 0
    if n_seen < len(examined.classes):
        yield (
            f"{len(examined.classes) - n_seen} of {len(examined.classes)} classes have no "
            "calibration rows: nothing is promised for them."
        )
    if examined.analysis.groups is not None:
        yield (
            "The promise is for rows that are independent; rows of one group are alike, so that "
            "the calibration part is worth fewer rows than it has."
        )


def _drift(examined: Examined) -> str:
    found = [
        item.detail
        for item in examined.split.findings
        if item.rule == "domain classifier" and item.action == "warned"
    ]
    return " ".join(found)


def examine(examined: Examined) -> Uncertainty:
    """Make intervals or sets on the calibration part and count how often they hold."""
    n_calibration = len(examined.calibration.y)
    n_all, n_classes = len(examined.analysis.y), max(1, len(examined.classes))
    chosen = draw_rows(n_all, max(1_000, MAX_CELLS // n_classes // 4), seed=examined.seed)
    result = Uncertainty(
        is_regression=not examined.classes,
        shown_level=SHOWN_LEVEL,
        n_calibration_rows=min(n_calibration, MAX_CALIBRATION_ROWS),
        n_rows=len(chosen),
        seed=examined.seed,
        confidence=examined.confidence,
        drift=_drift(examined),
        notes=tuple(_notes(examined, n_calibration)),
    )
    if n_calibration < FEWEST_ROWS:
        return result
    kept = draw_rows(n_calibration, MAX_CALIBRATION_ROWS, seed=examined.seed)
    calibration, rows = taken(examined.calibration, kept), taken(examined.analysis, chosen)
    # mapie makes APS sets for three classes or more, and counts those of the calibration rows.
    many_classes = bool(examined.classes) and len(np.unique(calibration.y)) > 2
    methods: tuple[Method, ...] = ("lac", "aps") if many_classes else ("lac",)
    make = of_sets
    if not examined.classes:
        make = of_intervals
        many = len(kept) >= FEWEST_NORMALISED_ROWS
        methods = ("absolute", "normalised") if many else ("absolute",)
    found = tuple(make(method, calibration, rows, examined) for method in methods)
    return result.model_copy(update={"methods": found})


def _sentences(value: Value) -> tuple[str, ...]:
    if not isinstance(value, Uncertainty) or not value.methods:
        return ()
    first = value.methods[0]
    level = next(item for item in first.levels if item.level == value.shown_level)
    held = f"held the truth for {percent(level.observed.value)} of rows"
    if value.is_regression:
        width = "endless" if level.width is None else f"{shown(level.width)} wide on average"
        told = f"Intervals that ask for {percent(level.level)} {held} and are {width}."
    else:
        told = (
            f"Sets of classes that ask for {percent(level.level)} {held}; "
            f"{percent(1 - (level.several or 0) - (level.empty or 0))} of them name one class."
        )
    # What is grey in the table is no news.
    large = [item for item in first.stretches if item.observed.n_rows >= FEWEST_TOLD_ROWS]
    worst = min(large, key=lambda item: item.observed.high, default=None)
    if worst is not None and worst.name and worst.observed.high < value.shown_level:
        told += (
            f" Class {short(worst.name)!r} is held only in {percent(worst.observed.value)} of "
            "its rows."
        )
    return (told,)


def _limits(value: Value) -> tuple[str, ...]:
    if not isinstance(value, Uncertainty):
        return ()
    limits = ["Intervals and sets promise an average over all rows, not for one row or one slice."]
    if value.drift:
        limits.append(
            "Intervals and sets are not guaranteed under drift, and the parts of the data differ."
        )
    return tuple(limits)


SECTION = Section(
    name="uncertainty",
    title="Uncertainty of single predictions",
    position=55,
    result=Uncertainty,
    examine=examine,
    sentences=_sentences,
    limits=_limits,
)
