"""What each raw column adds to predictions: Shapley values that the families compute themselves.

S. Lundberg and S.-I. Lee, "A unified approach to interpreting model predictions", 2017. An
ensemble averages probabilities, and its Shapley values here are the averages of its members':
they add up to the average of the members' log-odds, which is near to but not the log-odds of the
average. How near is said (`CombinedContributions.off`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from automl_assets.core.composite import CompositeMember, CompositeModel
from automl_assets.core.evaluation.explaining.columns import RawFeatures, first_positions
from automl_assets.core.families import Contributions, FittedModel
from automl_assets.core.values import Value

TOLERANCE = 1e-3
"""Largest distance, as a share of the largest margin, between a sum and what the model says.

XGBoost adds thousands of trees up in single precision."""

_BLOCK_VALUES = 5_000_000
"""Contributions in memory at once: 40 MB, twice while an ensemble adds them up."""

FORECAST_FACTOR = 200.0
"""A row costs about so many predictions of a row: 30 to 180 in fits of 80 to 1,100 trees on 2,000
rows, the most for LightGBM's many leaves."""

FEWEST_ROWS = 50


class ColumnContribution(Value):
    """What one raw column adds to predictions.

    Attributes:
        mean: Mean size over rows and outputs, on the scale of the contributions.
        low, high: Interval of `mean` over rows (Student's t).
    """

    name: str
    mean: float
    low: float
    high: float


class ShapSummary(Value):
    """What raw columns add to predictions, over drawn rows.

    Attributes:
        scale: What contributions are measured in, as the end of a sentence.
        off: Largest distance between contributions with their base and what the models say, as
            a share of the largest; rounding.
        ensemble_off: Mean distance between the average of the members' log-odds, which is
            explained, and the log-odds of the ensemble's probability; None for one model and
            for values.
        columns: The largest first.
    """

    scale: str
    n_rows: int
    off: float
    ensemble_off: float | None
    columns: tuple[ColumnContribution, ...]


@dataclass(frozen=True, kw_only=True)
class Explained:
    """Contributions of raw columns to some predictions.

    Attributes:
        values: `(n_rows, n_outputs, n_columns)`.
        margin: `(n_rows, n_outputs)`; of a multiclass task against the mean of all classes.
        off: As in `ShapSummary`.
    """

    values: np.ndarray
    margin: np.ndarray
    off: float


def affordable_rows(n_rows: int, *, seconds: float, seconds_per_row: float) -> int:
    """Return how many rows can be explained in some CPU time, at least 50 if there are so many.

    Examples:
        >>> affordable_rows(2_000, seconds=1.0, seconds_per_row=1e-5)
        500
    """
    fit = int(seconds / (FORECAST_FACTOR * max(seconds_per_row, 1e-9)))
    return min(n_rows, max(FEWEST_ROWS, fit))


def without_contributions(model: FittedModel, families: tuple[str, ...]) -> str:
    """Return why a model has no contributions, as the end of a sentence; empty if it may have.

    Args:
        families: Of the members, or of the one model.
    """
    for member in _members(model):
        if member.transform is not None and member.transform.projection is not None:
            return f"a member of family {member.family!r} reads principal components"
        if type(member.model).contributions is FittedModel.contributions:
            named = member.family or families[0]
            return f"models of family {named!r} do not tell their Shapley values"
    return ""


def explain(
    model: FittedModel, X: np.ndarray, columns: dict[str, RawFeatures], *, background: np.ndarray
) -> Explained | None:
    """Return what each raw column adds to the predictions of some rows.

    Args:
        model: One that `without_contributions` has nothing against.
        X: Encoded rows, at least one; few, since all contributions are held at once.
        columns: All raw columns, in table order.
        background: Rows that a linear model's contributions are measured from.

    Returns:
        None where a member cannot tell after all, since it never saw one of its classes.
    """
    starts = first_positions(columns)
    values, margin, off = np.zeros((len(X), 1, len(columns))), np.zeros((len(X), 1)), 0.0
    for member in _members(model):
        found = _of_member(member, X, background)
        if found is None:
            return None
        total = found.values.sum(axis=2) + found.base
        largest = max(1.0, float(np.abs(found.margin).max()))
        off = max(off, float(np.abs(total - found.margin).max()) / largest)
        of_columns = np.add.reduceat(found.values, starts, axis=2)
        values = values + member.weight * _centred(of_columns)
        margin = margin + member.weight * _centred(found.margin)
    return Explained(values=values, margin=margin, off=off)


def _members(model: FittedModel) -> tuple[CompositeMember, ...]:
    if isinstance(model, CompositeModel):
        return model.members
    return (CompositeMember("", model, 1.0),)


def _of_member(
    member: CompositeMember, X: np.ndarray, background: np.ndarray
) -> Contributions | None:
    """Return the contributions of all features of the matrix; those not read have none."""
    transform = member.transform
    if transform is None:
        return member.model.contributions(X, background=background)
    found = member.model.contributions(transform.apply(X), background=transform.apply(background))
    if found is None:
        return None
    values = np.zeros((*found.margin.shape, X.shape[1]))
    values[:, :, transform.kept] = found.values
    return Contributions(values=values, base=found.base, margin=found.margin)


def _centred(values: np.ndarray) -> np.ndarray:
    """Take the mean of all classes off: of their logarithms only differences mean something."""
    return values - values.mean(axis=1, keepdims=True) if values.shape[1] > 1 else values


def summarise(
    model: FittedModel,
    X: np.ndarray,
    columns: dict[str, RawFeatures],
    *,
    background: np.ndarray,
    scale: str,
    confidence: float,
) -> ShapSummary | None:
    """Return what raw columns add to the predictions of drawn rows, a block of rows at a time.

    Args:
        X: Drawn rows.
        background: As in `explain`.
        scale: What contributions are measured in.

    Returns:
        None as in `explain`, and where contributions do not add up within `TOLERANCE`.
    """
    sizes, off, distances = [], 0.0, []
    for rows in _blocks(model, X):
        found = explain(model, rows, columns, background=background)
        if found is None or found.off > TOLERANCE:
            return None
        sizes.append(np.abs(found.values).mean(axis=1))
        off = max(off, found.off)
        distances.append(_ensemble_distance(model, rows, found.margin))
    far = [distance for distance in distances if distance is not None]
    size = np.concatenate(sizes)
    return ShapSummary(
        scale=scale,
        n_rows=len(X),
        off=off,
        ensemble_off=float(np.concatenate(far).mean()) if far else None,
        columns=_columns(size, tuple(columns), confidence),
    )


def _blocks(model: FittedModel, X: np.ndarray) -> Iterator[np.ndarray]:
    n_outputs = model.predict(X[:1]).size
    step = max(1, _BLOCK_VALUES // (X.shape[1] * n_outputs))
    for start in range(0, len(X), step):
        yield np.asfortranarray(X[start : start + step])


def _ensemble_distance(model: FittedModel, X: np.ndarray, margin: np.ndarray) -> np.ndarray | None:
    if len(_members(model)) == 1:
        return None
    predicted = model.predict(X)
    if predicted.ndim == 1:
        return None
    logs = np.log(np.clip(predicted, 1e-15, 1.0))
    own = logs[:, 1:] - logs[:, :1] if predicted.shape[1] == 2 else _centred(logs)
    return np.abs(own - margin).mean(axis=1)


def _columns(
    size: np.ndarray, names: tuple[str, ...], confidence: float
) -> tuple[ColumnContribution, ...]:
    from scipy.stats import t

    n_rows = len(size)
    half = np.zeros(size.shape[1])
    if n_rows > 1:
        reach = float(t.ppf((1 + confidence) / 2, n_rows - 1))
        half = reach * size.std(axis=0, ddof=1) / n_rows**0.5
    found = (
        ColumnContribution(name=name, mean=float(m), low=max(0.0, float(m - h)), high=float(m + h))
        for name, m, h in zip(names, size.mean(axis=0), half, strict=True)
    )
    return tuple(sorted(found, key=lambda item: (-item.mean, item.name)))
