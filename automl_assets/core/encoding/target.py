"""Numbers for categories with many levels: how often a level was seen, and its mean target.

The mean target of a level is smoothed towards that of all rows, by the
m-estimate of Micci-Barreca (2001), "A preprocessing scheme for high-cardinality
categorical attributes in classification and prediction problems". A row of
train gets the mean of the other folds, as scikit-learn's `TargetEncoder` does:
a mean that holds the row's own target would hand it to the model.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from automl_assets.core.encoding import N_SPECIAL, OTHER, ColumnEncoding
from automl_assets.core.values import TableProfile

MANY_LEVELS = 16
"""Above this number of levels a category gets numbers besides its code: below, a tree tells the
levels apart in four cuts."""

MAX_TARGET_CLASSES = 10
"""A target of more classes has no target encodings: they would be a feature for each class."""

SMOOTHING_ROWS = 10.0
"""The m of the m-estimate: a level of ten rows counts half."""


def target_outputs(profile: TableProfile, n_folds: int) -> tuple[str, ...]:
    """Return what target encodings are of; nothing where there are no folds to make them from."""
    if n_folds < 2 or len(profile.classes) > MAX_TARGET_CLASSES:
        return ()
    return profile.classes if profile.task_type == "multiclass" else ("",)


def needs_numbers(encoding: ColumnEncoding) -> bool:
    """Tell whether a column has so many levels that counts and means help."""
    return encoding.kind == "categorical" and len(encoding.levels) > MANY_LEVELS


@dataclass(frozen=True, kw_only=True)
class LevelSums:
    """Rows and target by fold and code of one column.

    Attributes:
        rows: `(n_folds, n_codes)`.
        targets: Sum of the target for each output, `(n_outputs, n_folds, n_codes)`.
    """

    rows: np.ndarray
    targets: np.ndarray

    def counts(self) -> np.ndarray:
        """Return the rows of each code, float32; what is rare or was never seen counts as one."""
        counts = self.rows.sum(axis=0)
        counts[OTHER] = 1
        return counts.astype(np.float32)

    def means(self) -> np.ndarray:
        """Return the smoothed mean of each output at each code, from all folds, float32."""
        return _smoothed(self.targets.sum(axis=1), self.rows.sum(axis=0))

    def means_of_others(self) -> np.ndarray:
        """Return the same for each fold from the other folds, `(n_outputs, n_folds, n_codes)`."""
        targets = self.targets.sum(axis=1, keepdims=True) - self.targets
        return _smoothed(targets, self.rows.sum(axis=0) - self.rows)


def _smoothed(targets: np.ndarray, rows: np.ndarray) -> np.ndarray:
    prior = targets.sum(axis=-1, keepdims=True) / rows.sum(axis=-1, keepdims=True)
    return ((targets + SMOOTHING_ROWS * prior) / (rows + SMOOTHING_ROWS)).astype(np.float32)


def sum_levels(
    blocks: Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]],
    *,
    n_codes: int,
    n_folds: int,
    outputs: tuple[str, ...],
) -> LevelSums:
    """Add up rows and targets of the train part.

    Args:
        blocks: Codes, folds and targets of some rows at a time.
        n_folds: Number of folds, at least 1.
        outputs: As `target_outputs` returns them.
    """
    shape = (n_folds, n_codes)
    rows = np.zeros(shape, np.int64)
    targets = np.zeros((len(outputs), *shape))
    for codes, folds, y in blocks:
        cells = folds.astype(np.intp) * n_codes + codes.astype(np.intp)
        rows += np.bincount(cells, minlength=rows.size).reshape(shape)
        for number in range(len(outputs)):
            weights = y if len(outputs) == 1 else y == number
            targets[number] += np.bincount(cells, weights, minlength=rows.size).reshape(shape)
    return LevelSums(rows=rows, targets=targets)


def with_numbers(
    encoding: ColumnEncoding, sums: LevelSums, outputs: tuple[str, ...]
) -> ColumnEncoding:
    """Return an encoding that yields counts and target encodings after the code."""
    means = tuple(tuple(row) for row in sums.means().tolist()) if outputs else ()
    return encoding.model_copy(
        update={"counts": tuple(sums.counts().tolist()), "outputs": outputs, "means": means}
    )


def n_codes(encoding: ColumnEncoding) -> int:
    """Return the number of codes of a categorical column."""
    return len(encoding.levels) + N_SPECIAL
