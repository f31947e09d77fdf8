"""What candidates are fitted on and compared on: a held-out part, or out of fold."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from automl_assets.core.encoding import Preprocessing
from automl_assets.core.families import DataShape, Encoded
from automl_assets.core.matrix import read_folds, read_part, read_preprocessing
from automl_assets.core.pages import give_back
from automl_assets.core.row_copies import copied_rows
from automl_assets.core.search.plan import SearchPlan

MAX_OUT_OF_FOLD_ROWS = 20_000
"""Fewer rows are compared out of fold: on a held-out part of 1,100 rows an ensemble chosen by it
was 1 % worse than its best member."""

MAX_OUT_OF_FOLD_CELLS = 20_000_000
"""Rows times features of one fold's copy: 80 MB."""


MAX_FOLDS_SHARE = 0.2
"""Of the time of all workers, what the plain candidates may take for all their fits: with less
time, fewer fits each tell more than fewer candidates that were compared well."""

TINY_ROWS, TINY_FITS, MAX_TINY_SHARE = 2_000, 3, 0.5
"""Of a tiny table the held-out part is a hundred rows or two, on which the best of fifty candidates
is the luckiest: there three fits come first, if the plain candidates leave half of the time."""


def choose_fits(
    *,
    n_train: int,
    n_validation: int,
    n_features: int,
    n_folds: int,
    strategy: str,
    plain_share: float,
) -> int:
    """Return how often each candidate is fitted to be compared; 1 is a held-out part.

    Rows that follow each other in time are never compared out of fold: a model
    would be fitted on what came after the rows that judge it. A column that
    names the parts says which rows judge.

    Args:
        n_folds: Folds inside train.
        plain_share: Share of the search's time that one fit of each plain candidate is
            expected to take; 0 without a time limit.

    Examples:
        >>> sizes = dict(n_train=8000, n_validation=2000, n_features=9, n_folds=5)
        >>> [choose_fits(**sizes, strategy="random", plain_share=x) for x in (0, 0.1, 0.5)]
        [6, 2, 1]
        >>> choose_fits(**sizes, strategy="time", plain_share=0)
        1
        >>> tiny = sizes | {"n_train": 300, "n_validation": 80}
        >>> choose_fits(**tiny, strategy="random", plain_share=0.1)
        3
    """
    n_rows = n_train + n_validation
    few = n_rows < MAX_OUT_OF_FOLD_ROWS and n_rows * n_features < MAX_OUT_OF_FOLD_CELLS
    if not few or strategy not in ("random", "group") or n_folds < 2:
        return 1
    affordable = n_folds + 1 if plain_share <= 0 else int(MAX_FOLDS_SHARE / plain_share)
    if n_rows < TINY_ROWS and TINY_FITS * plain_share <= MAX_TINY_SHARE:
        affordable = max(affordable, TINY_FITS)
    return max(1, min(n_folds + 1, affordable))


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One fit of a candidate, and the rows that it is then scored on.

    Attributes:
        rows: Positions of the held-out rows among all selection rows.
    """

    fit: Encoded
    held_out: Encoded
    rows: np.ndarray


class SelectionData:
    """The rows that a search may see: train and validation, and what is fitted on which.

    Out of fold, the first fold is the validation part, fitted on train; then
    come the folds inside train, each fitted on all other rows.

    Args:
        train: Mapped, not copied.
        validation: Mapped, not copied.
        folds: Fold of each row of train; None where one fit is all.
        n_fits: How often a candidate is fitted: on train, and then once for each of so many
            folds of train less one.
    """

    def __init__(
        self, train: Encoded, validation: Encoded, folds: np.ndarray | None, n_fits: int
    ) -> None:
        self.train = train
        self.validation = validation
        self._folds = folds if n_fits > 1 else None
        self.n_folds = 1 if self._folds is None else n_fits
        """How often a candidate is fitted."""
        self._all: Encoded | None = None

    @property
    def _held_out_of_train(self) -> np.ndarray:
        """Positions of the rows of train that some fit is scored on."""
        if self._folds is None:
            return np.empty(0, np.intp)
        return np.flatnonzero(self._folds < self.n_folds - 1)

    def of_selection(self, validation: np.ndarray, train: np.ndarray) -> np.ndarray:
        """Return the selection rows of something known of both parts: validation's come first."""
        if self._folds is None:
            return validation
        return np.concatenate([validation, train[self._held_out_of_train]])

    @property
    def y(self) -> np.ndarray:
        """Target of the selection rows."""
        return self.of_selection(self.validation.y, self.train.y)

    @property
    def n_fit_rows(self) -> int:
        """Rows of one fit, about."""
        n_train, n_validation = len(self.train.y), len(self.validation.y)
        if self._folds is None:
            return n_train
        n_all = n_train + n_validation
        return (n_train + (self.n_folds - 1) * round(0.8 * n_all)) // self.n_folds

    @property
    def all_rows(self) -> Encoded:
        """Validation and train rows together, copied."""
        if self._all is None:
            parts = self.validation, self.train

            def column(number: int) -> np.ndarray:
                values = np.concatenate([part.X[:, number] for part in parts])
                give_back(self.train.X)
                return values

            y = np.concatenate([part.y for part in parts])
            X = copied_rows(
                column, n_rows=len(y), n_columns=self.train.X.shape[1], like=self.train.X
            )
            self._all = Encoded(X=X, y=y, n_levels=self.train.n_levels)
        return self._all

    def fold(self, number: int) -> Fold:
        """Return one fold; 0 is fitted on train and scored on validation."""
        n_validation = len(self.validation.y)
        if number == 0 or self._folds is None:
            return Fold(fit=self.train, held_out=self.validation, rows=np.arange(n_validation))
        held = np.flatnonzero(self._folds == number - 1)
        is_held = np.zeros(len(self.all_rows.y), np.bool_)
        is_held[held + n_validation] = True
        return Fold(
            fit=take_rows(self.all_rows, np.flatnonzero(~is_held)),
            held_out=take_rows(self.all_rows, held + n_validation),
            rows=np.searchsorted(self._held_out_of_train, held) + n_validation,
        )

    def mapped(self, transform: Callable[[Encoded], Encoded]) -> "SelectionData":
        """Return the same rows with other features."""
        return SelectionData(
            transform(self.train), transform(self.validation), self._folds, self.n_folds
        )


def take_rows(part: Encoded, rows: np.ndarray) -> Encoded:
    """Copy some rows, column by column."""

    def column(number: int) -> np.ndarray:
        values = part.X[rows, number]
        give_back(part.X)
        return values

    X = copied_rows(column, n_rows=len(rows), n_columns=part.X.shape[1], like=part.X)
    return Encoded(X=X, y=part.y[rows], n_levels=part.n_levels)


def load_selection(plan: SearchPlan) -> tuple[SelectionData, Preprocessing]:
    """Map the parts that a search may see."""
    folder = Path(plan.matrix)
    preprocessing = read_preprocessing(folder)
    data = SelectionData(
        read_part(folder, "train", preprocessing),
        read_part(folder, "validation", preprocessing),
        read_folds(folder),
        plan.n_fits,
    )
    return data, preprocessing


def fit_shape(plan: SearchPlan, data: SelectionData) -> DataShape:
    """Return the shape of what one fit sees."""
    return DataShape(n_rows=data.n_fit_rows, n_levels=data.train.n_levels, n_classes=plan.n_classes)


def prior_prediction(y_train: np.ndarray, n_rows: int, n_classes: int) -> np.ndarray:
    """Return what is predicted without a model: the shares of the classes, or the mean."""
    if n_classes == 0:
        return np.full(n_rows, float(np.mean(y_train)))
    shares = np.bincount(y_train.astype(np.intp), minlength=n_classes) / len(y_train)
    return np.tile(shares, (n_rows, 1))
