"""Counts of true against predicted classes."""

from typing import TYPE_CHECKING

from automl_assets.core.errors import ContractError

if TYPE_CHECKING:
    import numpy as np


def predicted_labels(prediction: "np.ndarray") -> "np.ndarray":
    """Return the most probable class of each row; the lower code wins a tie.

    Args:
        prediction: Probabilities `(n_samples, n_classes)`.

    Raises:
        ContractError: A probability is NaN: the largest of a row is then unknown.
    """
    import numpy as np

    if np.isnan(prediction.sum()):
        n_bad = int(np.isnan(prediction).any(axis=1).sum())
        raise ContractError(
            f"Predicted probabilities must be numbers, but {n_bad:,} of {len(prediction):,} rows "
            "hold NaN. The model has diverged; lower its learning rate or exclude the family."
        )
    return prediction.argmax(axis=1)


def decided(prediction: "np.ndarray", threshold: float | None) -> "np.ndarray":
    """Return certainty for the class that is decided on, in the shape of the probabilities.

    What looks at the most probable class only then looks at decisions.

    Args:
        prediction: Probabilities `(n_samples, n_classes)`.
        threshold: Probability of the last class from which it is decided on; None decides
            on the most probable class.

    Examples:
        >>> import numpy as np
        >>> decided(np.array([[0.7, 0.3], [0.9, 0.1]]), 0.25).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    import numpy as np

    return np.eye(prediction.shape[1])[decided_labels(prediction, threshold)]


def decided_labels(prediction: "np.ndarray", threshold: float | None) -> "np.ndarray":
    """Return the code of the class that is decided on; arguments as of `decided`."""
    import numpy as np

    if threshold is None:
        return predicted_labels(prediction)
    return (prediction[:, -1] >= threshold).astype(np.intp)


def label_counts(y_true: "np.ndarray", labels: "np.ndarray", n_classes: int) -> "np.ndarray":
    """Count rows by true class (rows of the table) and decision (columns), as float64."""
    import numpy as np

    cells = y_true.astype(np.int64) * n_classes + labels
    return np.bincount(cells, minlength=n_classes**2).reshape(n_classes, n_classes).astype(float)


def confusion_counts(y_true: "np.ndarray", prediction: "np.ndarray") -> "np.ndarray":
    """Count rows by true class (rows of the table) and predicted class (columns).

    Args:
        y_true: Class codes `(n_samples,)`.
        prediction: Probabilities `(n_samples, n_classes)`.

    Returns:
        Counts `(n_classes, n_classes)`, as float64 so that products cannot overflow.

    Examples:
        >>> import numpy as np
        >>> probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
        >>> confusion_counts(np.array([0, 1, 0]), probabilities).tolist()
        [[1.0, 1.0], [0.0, 1.0]]
    """
    return label_counts(y_true, predicted_labels(prediction), prediction.shape[1])


def rarest_class_rows(y_true: "np.ndarray", prediction: "np.ndarray") -> int | None:
    """Return how many rows the rarest class that occurs has; None for regression."""
    import numpy as np

    if prediction.ndim == 1:
        return None
    counts = np.bincount(y_true.astype(np.int64))
    return int(counts[counts > 0].min())
