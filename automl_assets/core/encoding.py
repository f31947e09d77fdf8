"""From a table to the matrix that model families read, and the same at prediction time.

What is learned (the levels of categories) is learned on the train part only,
is kept as JSON, and is applied by the same code when the model is used.
"""

from collections.abc import Collection, Iterator
from typing import Literal

import numpy as np
import polars as pl

from automl_assets.core.code_version import code_version
from automl_assets.core.errors import RequestError
from automl_assets.core.values import ColumnKind, TableProfile, Value

MISSING, OTHER = 0, 1
"""Codes of a missing category, and of one that is rare or was never seen in training."""

MAX_LEVELS = 10_000
MIN_LEVEL_ROWS = 2
"""A level seen once teaches nothing by itself; such rows teach the model what `OTHER` means."""

_TEXT_DTYPES = ("String", "Categorical", "Enum")

DatePart = Literal["days", "year", "month", "weekday", "hour"]


def preprocessing_version() -> str:
    """Return the version of the preprocessing code: its own digest."""
    return code_version(__name__)


class ColumnEncoding(Value):
    """How one raw column becomes one or more features.

    Attributes:
        levels: Categories with a code of their own, in code order from 2.
        date_parts: What is taken of a date or time.
    """

    name: str
    kind: ColumnKind
    dtype: str
    levels: tuple[str, ...] = ()
    date_parts: tuple[DatePart, ...] = ()

    @property
    def is_text(self) -> bool:
        """Whether the column held text in training, however it was stored."""
        return self.kind == "categorical" and self.dtype.startswith(_TEXT_DTYPES)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features made from this column."""
        if self.kind == "datetime":
            return tuple(f"{self.name} ({part})" for part in self.date_parts)
        return (self.name,)

    @property
    def n_levels(self) -> tuple[int, ...]:
        """For each feature the number of codes if it is categorical, else 0."""
        if self.kind == "categorical":
            return (len(self.levels) + 2,)
        return (0,) * len(self.feature_names)


class Preprocessing(Value):
    """All that turns raw rows into the matrix; fitted on the train part only."""

    version: str
    columns: tuple[ColumnEncoding, ...]

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the matrix's columns."""
        return tuple(name for column in self.columns for name in column.feature_names)

    @property
    def n_levels(self) -> tuple[int, ...]:
        """For each feature the number of codes if it is categorical, else 0."""
        return tuple(n for column in self.columns for n in column.n_levels)


def _date_parts(dtype: str) -> tuple[DatePart, ...]:
    parts: tuple[DatePart, ...] = ("days", "year", "month", "weekday")
    return parts if dtype == "Date" else (*parts, "hour")


def fit_column(values: pl.Series, *, kind: ColumnKind) -> ColumnEncoding:
    """Learn how to encode one column from its values in the train part."""
    dtype = str(values.dtype)
    if kind == "datetime":
        return ColumnEncoding(
            name=values.name, kind=kind, dtype=dtype, date_parts=_date_parts(dtype)
        )
    if kind != "categorical":
        return ColumnEncoding(name=values.name, kind=kind, dtype=dtype)
    counts = (
        values.cast(pl.String)
        .drop_nulls()
        .alias("level")
        .value_counts(name="rows")
        .filter(pl.col("rows") >= MIN_LEVEL_ROWS)
        .sort(["rows", "level"], descending=[True, False])
    )
    levels = tuple(counts["level"].head(MAX_LEVELS).to_list())
    return ColumnEncoding(name=values.name, kind=kind, dtype=dtype, levels=levels)


def _to_float(values: pl.Series, encoding: ColumnEncoding) -> np.ndarray:
    """Cast numbers and booleans to float32; what is missing or infinite becomes NaN."""
    if values.dtype == pl.String:
        lowered = values.str.strip_chars().str.to_lowercase()
        if encoding.kind == "boolean":
            flags = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "": None}
            floats = lowered.replace_strict(flags, default=float("nan"), return_dtype=pl.Float64)
            bad = values.filter(floats.is_nan().fill_null(False))
        else:
            present = lowered.replace("", None)
            floats = present.cast(pl.Float64, strict=False)
            bad = values.filter(present.is_not_null() & floats.is_null())
        if len(bad):
            raise RequestError(
                f"Column {encoding.name!r} must hold {encoding.kind} values as in training, but "
                f"{len(bad):,} of {len(values):,} rows do not, the first {bad[0]!r}. "
                "Mend the values, or leave them empty."
            )
        values = floats
    elif values.dtype != pl.Null and not (values.dtype.is_numeric() or values.dtype == pl.Boolean):
        raise RequestError(
            f"Column {encoding.name!r} must hold {encoding.kind} values as in training, "
            f"but its type is {values.dtype}. Convert it to numbers first."
        )
    out = values.cast(pl.Float64).to_numpy().astype(np.float32)
    out[~np.isfinite(out)] = np.nan
    return out


_ISO_FORMATS = (
    "%Y-%m-%d",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M:%S%.fZ",
)


def _read_moments(values: pl.Series) -> pl.Series:
    column = pl.col(values.name).str
    readings = [column.to_datetime(f, time_unit="us", strict=False) for f in _ISO_FORMATS]
    return values.to_frame().select(pl.coalesce(readings)).to_series()


def _to_moment(values: pl.Series, encoding: ColumnEncoding) -> pl.Series:
    """Cast to a datetime in microseconds; text is read as ISO 8601."""
    if values.dtype == pl.String:
        parsed = _read_moments(values)
        bad = values.filter(parsed.is_null() & values.is_not_null())
        if len(bad):
            raise RequestError(
                f"Column {encoding.name!r} must hold dates such as 2026-01-31, but {len(bad):,} of "
                f"{len(values):,} rows do not, the first {bad[0]!r}. Write them in ISO 8601."
            )
        values = parsed
    if values.dtype != pl.Null and not isinstance(values.dtype, pl.Date | pl.Datetime):
        raise RequestError(
            f"Column {encoding.name!r} must hold dates as in training, but its type is "
            f"{values.dtype}. Convert it to dates first."
        )
    if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone:
        values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return values.cast(pl.Datetime("us"))


def _to_text(values: pl.Series, encoding: ColumnEncoding) -> pl.Series:
    """Cast to the text by which levels are known; numbers are no text."""
    present = values.fill_nan(None) if values.dtype.is_float() else values
    is_empty = present.null_count() == len(present)
    if encoding.is_text and not is_empty and not str(values.dtype).startswith(_TEXT_DTYPES):
        raise RequestError(
            f"Column {encoding.name!r} must hold text as in training, but its type is "
            f"{values.dtype}: what was read as another type is no longer written as it was, "
            "01234 has become 1234. Read the column as text from the start and hand it over so."
        )
    return present.cast(pl.String)


def encode_column(values: pl.Series, encoding: ColumnEncoding) -> Iterator[np.ndarray]:
    """Yield the features of one raw column, each float32 of shape `(n_rows,)`.

    Raises:
        RequestError: The values do not fit the type that the column had in training.
    """
    if encoding.kind in ("numeric", "boolean"):
        yield _to_float(values, encoding)
        return
    if encoding.kind == "categorical":
        codes = {level: code for code, level in enumerate(encoding.levels, start=OTHER + 1)}
        text = _to_text(values, encoding)
        coded = text.replace_strict(codes, default=OTHER, return_dtype=pl.Float32)
        yield coded.set(text.is_null(), float(MISSING)).to_numpy().astype(np.float32)
        return
    moment = _to_moment(values, encoding).dt
    parts = {
        "days": lambda: moment.epoch("us").cast(pl.Float64) / 86_400_000_000,
        "year": moment.year,
        "month": moment.month,
        "weekday": moment.weekday,
        "hour": moment.hour,
    }
    for part in encoding.date_parts:
        yield parts[part]().cast(pl.Float64).to_numpy().astype(np.float32)


def require_columns(names: Collection[str], preprocessing: Preprocessing) -> None:
    """Check that all raw columns of a model are there.

    Raises:
        RequestError: A column is missing; the message names up to five.
    """
    missing = [column.name for column in preprocessing.columns if column.name not in names]
    if missing:
        raise RequestError(
            f"The model needs {len(preprocessing.columns)} columns, but {len(missing)} are "
            f"missing: {', '.join(map(repr, missing[:5]))}. Add them; unknown values may be empty."
        )


def encode(frame: pl.DataFrame, preprocessing: Preprocessing) -> np.ndarray:
    """Encode raw rows as training did.

    Args:
        frame: Raw rows; columns that are not features are ignored.
        preprocessing: As fitted on the train part.

    Returns:
        Matrix `(n_rows, n_features)`, float32, column-major.

    Raises:
        RequestError: A column is missing, or its values do not fit its type in training.
    """
    require_columns(frame.columns, preprocessing)
    matrix = np.empty((frame.height, len(preprocessing.feature_names)), np.float32, order="F")
    position = 0
    for column in preprocessing.columns:
        for feature in encode_column(frame[column.name], column):
            matrix[:, position] = feature
            position += 1
    return matrix


def fit_preprocessing(
    table: pl.LazyFrame, profile: TableProfile, train_rows: np.ndarray
) -> Preprocessing:
    """Learn the encoding of every feature column, reading one column at a time.

    Args:
        table: The snapshot.
        profile: Which columns are features, and of what kind.
        train_rows: Row numbers of the train part; no other row is looked at.
    """
    columns = [
        fit_column(
            table.select(pl.col(name)).collect()[name].gather(train_rows),
            kind=profile.column(name).kind or "categorical",
        )
        for name in profile.features
    ]
    return Preprocessing(version=preprocessing_version(), columns=tuple(columns))
