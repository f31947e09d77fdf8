"""Bins of scikit-learn's histogram boosting, made a block of rows at a time.

scikit-learn 1.9.1 keeps all rows as float64 while it boosts, eight bytes a cell, though it only
reads their bins, one byte a cell. The bins that are made here are the same.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from automl_assets.core.pages import give_back

if TYPE_CHECKING:
    import numpy as np

    from automl_assets.core.families._base import Encoded

BINNED_ROWS = 200_000
"""Rows that scikit-learn takes the borders of bins from."""

BLOCK_CELLS = 4_200_000
"""Of one block: 34 MB as float64."""


@contextmanager
def binned_in_blocks(estimator: Any, train: "Encoded", categorical: list[int]) -> Iterator[None]:
    """Have an estimator's `fit` take its rows as they are, and bin them block by block.

    Args:
        train: Rows that it is going to be fitted on.
        categorical: Positions of the features that it takes as categories.
    """
    prepare = estimator._preprocess_X
    empty = _empty_columns(train.X)

    def take_as_they_are(X: "np.ndarray", *, reset: bool) -> Any:
        if not reset:
            return X
        _, known_categories = prepare(_with_all_codes(train, categorical), reset=True)
        return X, known_categories

    def prepared(X: "np.ndarray") -> "np.ndarray":
        return prepare(X, reset=False)

    def with_zeros(X: "np.ndarray") -> "np.ndarray":
        if empty:
            X = X.copy(order="F")
            X[:, empty] = 0.0
        return prepared(X)

    def bin_data(X: "np.ndarray", sample_weight: None, is_training_data: bool) -> "np.ndarray":
        mapper = estimator._bin_mapper
        if not is_training_data:
            # Predicting reads rows, fitting reads columns.
            return _binned(X, mapper, prepared, order="C")
        if X.size <= BLOCK_CELLS and len(X) <= BINNED_ROWS:
            return mapper.fit_transform(with_zeros(X))
        mapper.fit(with_zeros(_sample(X, mapper.random_state)))
        return _binned(X, mapper, with_zeros, order="F")

    estimator._preprocess_X, estimator._bin_data = take_as_they_are, bin_data
    try:
        yield
    finally:
        del estimator._preprocess_X, estimator._bin_data


def _sample(X: "np.ndarray", seed: int) -> "np.ndarray":
    """Return the rows that scikit-learn itself would take the borders of bins from."""
    import numpy as np
    from sklearn.utils import check_random_state

    if len(X) <= BINNED_ROWS:
        return X
    chosen = check_random_state(seed).choice(len(X), BINNED_ROWS, replace=True)
    rows = np.empty((BINNED_ROWS, X.shape[1]), X.dtype, order="F")
    for column in range(X.shape[1]):
        rows[:, column] = X[chosen, column]
        give_back(X)
    return rows


def _binned(
    X: "np.ndarray", mapper: Any, prepared: "Callable[[np.ndarray], np.ndarray]", *, order: Any
) -> "np.ndarray":
    import numpy as np

    bins = np.empty(X.shape, np.uint8, order=order)
    n_rows = max(1, BLOCK_CELLS // X.shape[1])
    for start in range(0, len(X), n_rows):
        stop = start + n_rows
        bins[start:stop] = mapper.transform(prepared(X[start:stop]))
        give_back(X)
    return bins


def _with_all_codes(train: "Encoded", categorical: list[int]) -> "np.ndarray":
    """Return a few rows in which each category has all the codes that it has in train."""
    import numpy as np

    codes = {
        column: np.flatnonzero(np.bincount(train.X[:, column].astype(np.intp)))
        for column in categorical
    }
    n_rows = max((len(found) for found in codes.values()), default=1)
    rows = np.zeros((n_rows, train.X.shape[1]), np.float32)
    for column, found in codes.items():
        rows[:, column] = np.resize(found, n_rows)
    return rows


def _empty_columns(X: "np.ndarray") -> list[int]:
    """Return the columns that hold hardly a value; their bins are made of zeros.

    scikit-learn 1.9.1 fails where none of the rows that it takes bins from has a value.
    """
    import numpy as np

    # Of fewer values the sample may hold none, with a chance above exp(-40).
    fewest = max(1.0, 40.0 * len(X) / BINNED_ROWS) if len(X) > BINNED_ROWS else 1.0
    empty = []
    for column in range(X.shape[1]):
        if len(X) - np.count_nonzero(np.isnan(X[:, column])) < fewest:
            empty.append(column)
        give_back(X)
    return empty
