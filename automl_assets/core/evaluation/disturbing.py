"""Raw columns disturbed the way data are in practice, and encoded again as serving does."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from automl_assets.core.encoding import ColumnEncoding, Preprocessing, encode_column
from automl_assets.core.encoding.values import to_float

UNSEEN = "\N{REPLACEMENT CHARACTER} never seen"


class Disturbed:
    """Encoded rows of which some raw columns are encoded anew, in one matrix for all tries.

    A try costs what its columns cost, however wide the table is.

    Args:
        X: Encoded rows, `(n_rows, n_features)`; not changed.
        preprocessing: As the model has it.
    """

    def __init__(self, X: np.ndarray, preprocessing: Preprocessing) -> None:
        self._before, self._after = X, X.copy(order="F")
        self._changed: list[int] = []
        self._places: dict[str, tuple[int, ColumnEncoding]] = {}
        place = 0
        for column in preprocessing.columns:
            self._places[column.name] = place, column
            place += len(column.feature_names)

    def encoded(self, changed: Mapping[str, pl.Series]) -> np.ndarray:
        """Return the rows with these raw columns; valid until the next call.

        Args:
            changed: New values of raw columns, `(n_rows,)` each, by name.

        Raises:
            RequestError: Values do not fit the type that the column had in training.
        """
        for place in self._changed:
            self._after[:, place] = self._before[:, place]
        self._changed = []
        for name, values in changed.items():
            first, column = self._places[name]
            for place, feature in enumerate(encode_column(values, column), start=first):
                self._after[:, place] = feature
                self._changed.append(place)
        return self._after


def numbers(values: pl.Series, column: ColumnEncoding) -> np.ndarray:
    """Return the numbers that the model sees, float64, NaN where one is missing."""
    return to_float(values, name=column.name, kind=column.kind).astype(np.float64)


def jittered(values: pl.Series, column: ColumnEncoding, noise: np.ndarray) -> pl.Series:
    """Return numbers with noise added.

    Args:
        noise: In spreads (standard deviations) of these numbers, `(n_rows,)`.
    """
    found = numbers(values, column)
    present = found[~np.isnan(found)]
    spread = float(present.std()) if len(present) else 0.0
    return pl.Series(values.name, found + spread * noise)


def scaled(values: pl.Series, column: ColumnEncoding, factor: float) -> pl.Series:
    """Return numbers in another unit."""
    return pl.Series(values.name, numbers(values, column) * factor)


def shifted(values: pl.Series, column: ColumnEncoding, by: float) -> pl.Series:
    """Return numbers that are off by so many units."""
    return pl.Series(values.name, numbers(values, column) + by)


def are_whole(values: pl.Series, column: ColumnEncoding) -> bool:
    """Tell whether all numbers are whole, so that being off by one is a usual mistake."""
    found = numbers(values, column)
    present = found[~np.isnan(found)]
    return bool(len(present) and np.array_equal(present, np.round(present)))


def with_holes(values: pl.Series, holes: np.ndarray) -> pl.Series:
    """Return values of which some are missing.

    Args:
        holes: Which, `(n_rows,)`.
    """
    frame = pl.DataFrame([values.alias("values"), pl.Series("holes", holes)])
    return frame.select(pl.when(~pl.col("holes")).then(pl.col("values")).alias(values.name))[
        values.name
    ]


def emptied(values: pl.Series) -> pl.Series:
    """Return a column of the same type without a value."""
    return pl.Series(values.name, [None], dtype=values.dtype).new_from_index(0, len(values))


def unseen(values: pl.Series, column: ColumnEncoding) -> pl.Series:
    """Return a category in every row that training did not see."""
    text = UNSEEN
    while text in column.levels:
        text += "!"
    return pl.Series(values.name, [text]).new_from_index(0, len(values))
