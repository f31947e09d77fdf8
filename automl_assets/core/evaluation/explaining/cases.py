"""Rows worth looking at: typical ones, and those that the model gets most wrong."""

from typing import Any, Literal

import numpy as np

from automl_assets.core.evaluation.examination import Examined
from automl_assets.core.evaluation.explaining.columns import RawFeatures, raw_label
from automl_assets.core.profile.personal import personal_columns
from automl_assets.core.values import Value

N_CASES = 5

N_REASONS = 3

MAX_STRATUM_ROWS = 400
"""Rows of a stratum that are compared with each other: all pairs of them."""


class Reason(Value):
    """One column of a case.

    Attributes:
        value: As people read it; None where the column holds personal data.
        contribution: What the column adds to the prediction; None without Shapley values.
    """

    column: str
    value: str | None
    contribution: float | None = None


class Case(Value):
    """One row, and what the model says about it.

    Attributes:
        row: Number in the snapshot.
        predicted: The decision, or the value.
        actual: What was true.
        probability: Of the predicted class; None for values.
        actual_probability: Of the actual class; None for values.
        loss: Surprise of the actual class in nats, or distance between the two values.
        reasons: Columns that matter most: in this row where there are contributions, else
            over all rows.
    """

    kind: Literal["typical", "worst"]
    row: int
    predicted: str | float
    actual: str | float
    probability: float | None = None
    actual_probability: float | None = None
    loss: float
    reasons: tuple[Reason, ...] = ()


def losses(y: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Return how wrong each prediction is: surprise of the actual class, or absolute error.

    Examples:
        >>> losses(np.array([1]), np.array([[0.5, 0.5]])).round(3).tolist()
        [0.693]
        >>> losses(np.array([3.0]), np.array([1.0])).tolist()
        [2.0]
    """
    if prediction.ndim == 1:
        return np.abs(y - prediction)
    of_actual = prediction[np.arange(len(y)), y.astype(np.intp)]
    return -np.log(np.clip(of_actual, np.finfo(np.float64).tiny, 1.0))


def worst_rows(loss: np.ndarray, n: int = N_CASES) -> np.ndarray:
    """Return the rows with the largest loss, the largest first, of equal ones the first.

    Examples:
        >>> worst_rows(np.array([1.0, 3.0, 3.0, 2.0]), n=2).tolist()
        [1, 2]
    """
    n = min(n, len(loss))
    least = np.partition(loss, len(loss) - n)[len(loss) - n]
    found = np.flatnonzero(loss >= least)
    return found[np.argsort(-loss[found], kind="stable")][:n]


def typical_rows(
    X: np.ndarray, prediction: np.ndarray, columns: tuple[RawFeatures, ...]
) -> np.ndarray:
    """Return a typical row of each fifth of the predictions, or of each much predicted class.

    It is the medoid (L. Kaufman and P. Rousseeuw, 1987): the row with the smallest mean
    distance to the others, by the ranks of numbers and the equality of names (J. Gower, 1971).

    Args:
        X: Encoded rows, a sample.
        prediction: Of the same rows. Of a binary task fifths are by the last class, of a
            multiclass task there is a row of each of the five most predicted classes.
        columns: By which rows are compared; the most important ones.
    """
    return np.array([_medoid(X, rows, columns) for rows in _strata(prediction)], np.intp)


def _strata(prediction: np.ndarray) -> list[np.ndarray]:
    if prediction.ndim == 2 and prediction.shape[1] > 2:
        predicted = prediction.argmax(axis=1)
        counts = np.bincount(predicted)
        classes = np.argsort(-counts, kind="stable")[:N_CASES]
        return [np.flatnonzero(predicted == label) for label in classes if counts[label]]
    value = prediction if prediction.ndim == 1 else prediction[:, -1]
    strata = np.array_split(np.argsort(value, kind="stable"), N_CASES)
    return [rows for rows in strata if len(rows)]


def _medoid(X: np.ndarray, rows: np.ndarray, columns: tuple[RawFeatures, ...]) -> int:
    from scipy.stats import rankdata

    if len(rows) > MAX_STRATUM_ROWS:
        rows = rows[np.linspace(0, len(rows) - 1, MAX_STRATUM_ROWS).astype(np.intp)]
    total = np.zeros((len(rows), len(rows)))
    for column in columns:
        values = X[rows, column.positions[0]]
        if column.is_categorical:
            total += values[:, None] != values
            continue
        missing = np.isnan(values)
        ranked = rankdata(np.where(missing, 0.0, values)) / len(rows)
        apart = np.abs(ranked[:, None] - ranked)
        total += np.where(missing[:, None] | missing, missing[:, None] != missing, apart)
    return int(rows[total.mean(axis=1).argmin()])


def told_cases(
    examined: Examined,
    chosen: np.ndarray,
    loss: np.ndarray,
    *,
    n_typical: int,
    columns: tuple[str, ...],
    order: list[str],
    contributions: np.ndarray | None,
) -> tuple[Case, ...]:
    """Return what is told of some rows; of a column with personal data only its name.

    Args:
        chosen: Positions in the analysis part, the typical ones first.
        loss: Of the chosen rows.
        columns: All raw columns, in table order.
        order: Columns that the model reads, the most important first.
        contributions: Of the chosen rows, `(n_rows, n_outputs, n_columns)`; None without.
    """
    personal = personal_columns(examined.profile)
    found = []
    for place, row in enumerate(chosen.tolist()):
        added: dict[str, float] = {}
        names = order[:N_REASONS]
        if contributions is not None:
            of_output = contributions[place, _explained_output(examined, row, contributions)]
            added = dict(zip(columns, of_output.tolist(), strict=True))
            names = sorted(columns, key=lambda name: -abs(added[name]))[:N_REASONS]
        raw = examined.analysis.frame.row(row, named=True)
        found.append(
            Case(
                kind="typical" if place < n_typical else "worst",
                row=int(examined.analysis.rows[row]),
                loss=float(loss[place]),
                reasons=tuple(
                    Reason(
                        column=name,
                        value=None if name in personal else raw_label(raw[name]),
                        contribution=added.get(name),
                    )
                    for name in names
                ),
                **_outcome(examined, row),
            )
        )
    return tuple(found)


def _explained_output(examined: Examined, row: int, contributions: np.ndarray) -> int:
    """Return whose contributions are told: of many classes, those of the predicted one."""
    if contributions.shape[1] == 1:
        return 0
    return int(examined.decisions(examined.analysis.prediction[row : row + 1])[0])


def _outcome(examined: Examined, row: int) -> dict[str, Any]:
    prediction, actual = examined.analysis.prediction[row], examined.analysis.y[row]
    if not examined.classes:
        return {"predicted": float(prediction), "actual": float(actual)}
    decided = int(examined.decisions(prediction[None, :])[0])
    return {
        "predicted": examined.classes[decided],
        "actual": examined.classes[int(actual)],
        "probability": float(prediction[decided]),
        "actual_probability": float(prediction[int(actual)]),
    }
