"""Probabilities that mean what they say: maps fitted on rows that no fit has seen.

All three kinds keep the order of the rows by the probability of a binary task.
Of a multiclass task `isotonic` and `sigmoid` map each class against all others and
scale the rows back to a sum of one (B. Zadrozny and C. Elkan, KDD 2002);
`temperature` maps all classes by one number.
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, TypeAdapter

from automl_assets.core.errors import ContractError
from automl_assets.core.values import Value

CalibrationKind = Literal["isotonic", "sigmoid", "temperature"]

MIN_ROWS = {"isotonic": 100, "sigmoid": 30, "temperature": 20}
"""Fewest rows that a kind is fitted on: ten or more for each number that it learns. Isotonic
learns as many as the rows bear; it beats sigmoid from about 1,000 rows (A. Niculescu-Mizil and
R. Caruana, "Predicting good probabilities with supervised learning", ICML 2005)."""

_MIN_CLASS_ROWS = {"isotonic": 5, "sigmoid": 1, "temperature": 0}
_SIMPLER: dict[CalibrationKind, CalibrationKind | None] = {
    "isotonic": "sigmoid",
    "sigmoid": "temperature",
    "temperature": None,
}
_EPS = 1e-9
"""Nearest that a probability comes to 0 or 1 before its logarithm is taken."""
_MIN_SLOPE = 1e-3
"""Least slope of a sigmoid: a falling one would turn the order of rows around."""
_MAX_LOG_TEMPERATURE = 3.0
"""Temperatures between 1/20 and 20; beyond, the classes are as good as drawn or as good as sure."""


def _log_odds(p: np.ndarray) -> np.ndarray:
    kept = np.clip(np.asarray(p, np.float64), _EPS, 1 - _EPS)
    return np.log(kept) - np.log1p(-kept)


def _expit(z: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0.0, -z))


def _columns(prediction: np.ndarray) -> list[np.ndarray]:
    """Return what is mapped: the positive class of a binary task, else every class."""
    first = 1 if prediction.shape[1] == 2 else 0
    return [prediction[:, index] for index in range(first, prediction.shape[1])]


def _probabilities(columns: list[np.ndarray]) -> np.ndarray:
    if len(columns) == 1:
        return np.column_stack([1.0 - columns[0], columns[0]])
    mapped = np.column_stack(columns)
    return mapped / mapped.sum(axis=1, keepdims=True)


class IsotonicCalibration(Value):
    """A rising line through a few points for each class, level outside of them."""

    kind: Literal["isotonic"] = "isotonic"
    inputs: tuple[tuple[float, ...], ...]
    outputs: tuple[tuple[float, ...], ...]

    def apply(self, prediction: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities `(n_rows, n_classes)`."""
        lines = zip(_columns(prediction), self.inputs, self.outputs, strict=True)
        return _probabilities([np.interp(column, x, y) for column, x, y in lines])


class SigmoidCalibration(Value):
    """Slope and shift of the log-odds of each class."""

    kind: Literal["sigmoid"] = "sigmoid"
    slopes: tuple[float, ...]
    shifts: tuple[float, ...]

    def apply(self, prediction: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities `(n_rows, n_classes)`."""
        lines = zip(_columns(prediction), self.slopes, self.shifts, strict=True)
        return _probabilities([_expit(a * _log_odds(column) + b) for column, a, b in lines])


class TemperatureCalibration(Value):
    """One number that all log-probabilities are divided by; above 1 makes the model less sure."""

    kind: Literal["temperature"] = "temperature"
    temperature: float

    def apply(self, prediction: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities `(n_rows, n_classes)`."""
        return np.exp(_log_softmax(_log(prediction) / self.temperature))


Calibration = Annotated[
    IsotonicCalibration | SigmoidCalibration | TemperatureCalibration, Field(discriminator="kind")
]

_READER: TypeAdapter[Calibration] = TypeAdapter(Calibration)


def read_calibration(content: bytes | str) -> Calibration:
    """Return the calibration that `model_dump_json` wrote."""
    return _READER.validate_json(content)


def possible_calibration(
    kind: CalibrationKind, y: np.ndarray, n_classes: int
) -> tuple[CalibrationKind | None, str]:
    """Return the kind that these rows bear, and why it is not the one that was asked for.

    Isotonic gives way to sigmoid, sigmoid to temperature, temperature to none.

    Args:
        y: Class codes of the rows to fit on, `(n_rows,)`.

    Returns:
        The kind, and a sentence; the sentence is empty where it is the one asked for.

    Examples:
        >>> possible_calibration("isotonic", np.array([0, 1] * 30), 2)[0]
        'sigmoid'
    """
    chosen: CalibrationKind | None = kind
    reason = ""
    while chosen and (problem := _problem(chosen, y, n_classes)):
        reason = reason or problem
        chosen = _SIMPLER[chosen]
    if not reason:
        return kind, ""
    return chosen, f"{reason} Instead the model has {chosen or 'no'} calibration."


def fit_calibration(kind: CalibrationKind, y: np.ndarray, prediction: np.ndarray) -> Calibration:
    """Fit a calibration on rows that the model was not fitted on.

    Args:
        y: Class codes, `(n_rows,)`.
        prediction: Probabilities `(n_rows, n_classes)`, the positive class last.

    Raises:
        ContractError: There are too few rows for this kind (see `possible_calibration`),
            all have one class, or a probability is NaN.
    """
    problem = _problem(kind, y, prediction.shape[1])
    if problem:
        raise ContractError(f"{problem} Make the calibration part larger, or take another kind.")
    if not np.isfinite(prediction).all():
        raise ContractError(
            "Calibration needs probabilities, but some predictions of "
            f"{len(prediction):,} rows are not finite. The model has diverged; exclude its family."
        )
    codes = y.astype(np.intp)
    if kind == "temperature":
        return TemperatureCalibration(temperature=_fit_temperature(codes, prediction))
    columns = _columns(prediction)
    classes = range(prediction.shape[1] - len(columns), prediction.shape[1])
    pairs = [(codes == label, column) for label, column in zip(classes, columns, strict=True)]
    if kind == "sigmoid":
        slopes, shifts = zip(*(_fit_sigmoid(hit, p) for hit, p in pairs), strict=True)
        return SigmoidCalibration(slopes=slopes, shifts=shifts)
    inputs, outputs = zip(*(_fit_isotonic(hit, p) for hit, p in pairs), strict=True)
    return IsotonicCalibration(inputs=inputs, outputs=outputs)


def _problem(kind: CalibrationKind, y: np.ndarray, n_classes: int) -> str:
    counts = np.bincount(y.astype(np.intp), minlength=n_classes)
    fewest, n_seen = int(counts.min()), int((counts > 0).sum())
    if n_seen < 2:
        return f"Calibration needs rows of two classes or more, but {len(y):,} rows have {n_seen}."
    if len(y) < MIN_ROWS[kind]:
        return f"Calibration {kind!r} needs {MIN_ROWS[kind]} rows, but there are {len(y)}."
    if fewest < _MIN_CLASS_ROWS[kind]:
        return (
            f"Calibration {kind!r} needs {_MIN_CLASS_ROWS[kind]} rows of each class, "
            f"but the rarest has {fewest}."
        )
    return ""


def _fit_isotonic(hit: np.ndarray, p: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Fit by pooling neighbours; no step says 0 or 1, of which no number of rows can be sure.

    The outermost steps keep 1 / (n + 2) off, by Laplace's rule of succession.
    """
    from sklearn.isotonic import IsotonicRegression

    margin = 1.0 / (len(p) + 2)
    fitted = IsotonicRegression(y_min=margin, y_max=1 - margin, out_of_bounds="clip").fit(
        np.asarray(p, np.float64), hit.astype(np.float64)
    )
    return tuple(fitted.X_thresholds_.tolist()), tuple(fitted.y_thresholds_.tolist())


def _fit_sigmoid(hit: np.ndarray, p: np.ndarray) -> tuple[float, float]:
    """Fit by log loss against smoothed targets.

    J. Platt, "Probabilistic outputs for support vector machines", 1999: of n rows of
    a class the target is (n + 1) / (n + 2), of the others 1 / (m + 2).
    """
    from scipy.optimize import minimize

    n_hits = int(hit.sum())
    target = np.where(hit, (n_hits + 1) / (n_hits + 2), 1 / (len(hit) - n_hits + 2))
    odds = _log_odds(p)

    def loss(line: np.ndarray) -> tuple[float, np.ndarray]:
        z = line[0] * odds + line[1]
        off = (_expit(z) - target) / len(z)
        return float((np.logaddexp(0.0, z) - target * z).mean()), np.array([off @ odds, off.sum()])

    bounds = [(_MIN_SLOPE, None), (None, None)]
    slope, shift = minimize(loss, [1.0, 0.0], jac=True, method="L-BFGS-B", bounds=bounds).x
    return float(slope), float(shift)


def _log(prediction: np.ndarray) -> np.ndarray:
    return np.log(np.clip(np.asarray(prediction, np.float64), _EPS, 1.0))


def _log_softmax(z: np.ndarray) -> np.ndarray:
    shifted = z - z.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _fit_temperature(codes: np.ndarray, prediction: np.ndarray) -> float:
    """Fit by log loss (C. Guo et al., "On calibration of modern neural networks", ICML 2017)."""
    from scipy.optimize import minimize_scalar

    logs, rows = _log(prediction), np.arange(len(codes))

    def loss(log_temperature: float) -> float:
        return float(-_log_softmax(logs / np.exp(log_temperature))[rows, codes].mean())

    limits = (-_MAX_LOG_TEMPERATURE, _MAX_LOG_TEMPERATURE)
    return float(np.exp(minimize_scalar(loss, bounds=limits, method="bounded").x))
