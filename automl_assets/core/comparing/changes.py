"""Whose decisions change, and by how much a metric does."""

from typing import TYPE_CHECKING

from automl_assets.core.errors import ContractError
from automl_assets.core.evaluation.comparison import Difference, compare
from automl_assets.core.evaluation.intervals import share_interval
from automl_assets.core.evaluation.judge import seen_by
from automl_assets.core.metrics import load_metrics
from automl_assets.core.profile.personal import personal_columns
from automl_assets.core.values import TableProfile, Value

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

MAX_LEVELS = 12
"""Columns with so many values at most are looked at value by value."""

MIN_SLICE_ROWS = 100
MAX_SLICES = 12
MATERIAL_CHANGE = 0.1
"""A prediction of a number has changed from a tenth of the target's standard deviation on."""


class SliceChange(Value):
    """How many decisions change in one slice."""

    name: str
    n_rows: int
    share: float
    low: float
    high: float


class Changes(Value):
    """What one model decides otherwise than another.

    Attributes:
        share: Of rows whose decision differs; of a number: that differ by more than a
            tenth of the target's standard deviation.
        mean_shift: Mean of new less old prediction: probability of the last class of a
            binary task, or the number; None for more classes.
        flows: For classes: (old decision, new decision, rows), most frequent first.
        slices: Where most changes, compared with the whole; at least 100 rows each.
    """

    n_rows: int
    share: float
    low: float
    high: float
    mean_shift: float | None
    flows: tuple[tuple[str, str, int], ...] = ()
    slices: tuple[SliceChange, ...] = ()


def metric_differences(
    names: tuple[str, ...],
    y: "np.ndarray",
    new: "tuple[np.ndarray, float | None]",
    old: "tuple[np.ndarray, float | None]",
    *,
    seed: int,
    confidence: float,
    groups: "np.ndarray | None" = None,
) -> tuple[Difference, ...]:
    """Return how much better the new predictions are, paired by row, for each metric.

    Args:
        names: Metrics; one that these rows cannot show is left out.
        new, old: Predictions, and the probability from which a binary model says yes.
    """
    found = []
    for name in names:
        metric = load_metrics()[name]
        both = [seen_by(metric, prediction, threshold) for prediction, threshold in (new, old)]
        try:
            found.append(compare(metric, y, *both, seed=seed, confidence=confidence, groups=groups))
        except ContractError:
            continue
    return tuple(found)


def shown_features(profile: TableProfile) -> list[str]:
    """Return the features whose values may be shown: those without personal data."""
    hidden = personal_columns(profile)
    return [name for name in profile.features if name not in hidden]


def find_changes(
    frame: "pl.DataFrame",
    new: "np.ndarray",
    old: "np.ndarray",
    *,
    classes: tuple[str, ...],
    decisions: "tuple[np.ndarray, np.ndarray] | None",
    spread: float,
    confidence: float,
    groups: "np.ndarray | None" = None,
) -> Changes:
    """Return whose decisions change.

    Args:
        frame: Raw rows; columns with few values make slices.
        new, old: Probabilities in the order of `classes`, or values.
        decisions: Codes that the new and the old model decide on; None for numbers.
        spread: Standard deviation of the target; of numbers only.
        groups: Cluster of each row, as `clusters_of` returns it; None: rows are independent.
    """
    import numpy as np

    if decisions is None:
        changed = np.abs(new - old) > MATERIAL_CHANGE * spread
        shift: float | None = float(np.mean(new - old))
    else:
        changed = decisions[0] != decisions[1]
        shift = float(np.mean(new[:, -1] - old[:, -1])) if len(classes) == 2 else None
    low, high, _ = share_interval(changed, confidence, groups)
    return Changes(
        n_rows=len(changed),
        share=float(changed.mean()) if len(changed) else 0.0,
        low=low,
        high=high,
        mean_shift=shift,
        flows=() if decisions is None else _flows(decisions, classes),
        slices=_slices(frame, changed, confidence, groups),
    )


def _flows(
    decisions: "tuple[np.ndarray, np.ndarray]", classes: tuple[str, ...]
) -> tuple[tuple[str, str, int], ...]:
    import numpy as np

    new, old = decisions
    cells = np.bincount(old * len(classes) + new, minlength=len(classes) ** 2)
    order = [int(cell) for cell in np.argsort(-cells, kind="stable") if cells[cell]]
    moved = [cell for cell in order if cell // len(classes) != cell % len(classes)]
    return tuple(
        (classes[cell // len(classes)], classes[cell % len(classes)], int(cells[cell]))
        for cell in moved[:10]
    )


def _slices(
    frame: "pl.DataFrame",
    changed: "np.ndarray",
    confidence: float,
    groups: "np.ndarray | None",
) -> tuple[SliceChange, ...]:
    import polars as pl

    found = []
    for name in frame.columns:
        dtype = frame.schema[name]
        if not (dtype == pl.String or dtype == pl.Boolean or dtype.is_integer()):
            continue
        if frame[name].n_unique() > MAX_LEVELS:
            continue
        for level in frame[name].unique().sort():
            chosen = frame[name].eq_missing(level).to_numpy()
            n_rows = int(chosen.sum())
            if n_rows < MIN_SLICE_ROWS or n_rows == frame.height:
                continue
            of_slice = None if groups is None else groups[chosen]
            low, high, _ = share_interval(changed[chosen], confidence, of_slice)
            label = f"{name} = {'missing' if level is None else level}"
            share = float(changed[chosen].mean())
            found.append(SliceChange(name=label, n_rows=n_rows, share=share, low=low, high=high))
    found.sort(key=lambda item: (-item.share, item.name))
    return tuple(found[:MAX_SLICES])
