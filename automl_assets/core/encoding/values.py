"""Raw values as numbers, moments and texts: what a column means, however it was written."""

import numpy as np
import polars as pl

from automl_assets.core.errors import RequestError
from automl_assets.core.rows.iso_dates import read_moment

TEXT_DTYPES = ("String", "Categorical", "Enum")

_FLAGS = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "": None}


def _floats_of_text(values: pl.Series, name: str, kind: str) -> pl.Series:
    lowered = values.str.strip_chars().str.to_lowercase()
    if kind == "boolean":
        floats = lowered.replace_strict(_FLAGS, default=float("nan"), return_dtype=pl.Float64)
        # What is null is in no mapping, and is no wrong word for all that.
        bad = values.filter(floats.is_nan().fill_null(False) & values.is_not_null())
    else:
        present = lowered.replace("", None)
        floats = present.cast(pl.Float64, strict=False)
        bad = values.filter(present.is_not_null() & floats.is_null())
    if len(bad):
        raise RequestError(
            f"Column {name!r} must hold {kind} values as in training, but "
            f"{len(bad):,} of {len(values):,} rows do not, the first {bad[0]!r}. "
            "Mend the values, or leave them empty."
        )
    return floats


def _require_flags(values: pl.Series, name: str) -> None:
    numbers = values.cast(pl.Float64).fill_nan(None)
    bad = numbers.filter((numbers != 0) & (numbers != 1))
    if len(bad):
        raise RequestError(
            f"Column {name!r} must hold true and false, or 1 and 0, as in training, but "
            f"{len(bad):,} of {len(values):,} rows do not, the first {bad[0]!r}. "
            "Mend the values, or leave them empty."
        )


def to_float(values: pl.Series, *, name: str, kind: str) -> np.ndarray:
    """Cast numbers and booleans to float32; what is missing or infinite becomes NaN.

    Raises:
        RequestError: A value is no number, or no boolean: of these 1 and 0 are the only numbers.
    """
    if values.dtype == pl.String:
        values = _floats_of_text(values, name, kind)
    elif values.dtype != pl.Null and not (values.dtype.is_numeric() or values.dtype == pl.Boolean):
        raise RequestError(
            f"Column {name!r} must hold {kind} values as in training, "
            f"but its type is {values.dtype}. Convert it to numbers first."
        )
    if kind == "boolean":
        _require_flags(values, name)
    with np.errstate(over="ignore"):
        out = values.cast(pl.Float64).to_numpy().astype(np.float32)
    out[~np.isfinite(out)] = np.nan
    return out


def to_moment(values: pl.Series, *, name: str, trained: str) -> pl.Series:
    """Cast to a datetime in microseconds; text is read as ISO 8601.

    Args:
        trained: The column's type in training; empty if it is not known.

    Raises:
        RequestError: A value is no date, or has a time zone where there was none.
    """
    if values.dtype == pl.String:
        parsed = values.to_frame().select(read_moment(pl.col(values.name))).to_series()
        bad = values.filter(parsed.is_null() & values.is_not_null())
        if len(bad):
            raise RequestError(
                f"Column {name!r} must hold dates such as 2026-01-31, but {len(bad):,} of "
                f"{len(values):,} rows do not, the first {bad[0]!r}. Write them in ISO 8601."
            )
        values = parsed
    if values.dtype != pl.Null and not isinstance(values.dtype, pl.Date | pl.Datetime):
        raise RequestError(
            f"Column {name!r} must hold dates as in training, but its type is "
            f"{values.dtype}. Convert it to dates first."
        )
    if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone:
        if trained == "Date" or (trained.startswith("Datetime") and "time_zone=None" in trained):
            raise RequestError(
                f"Column {name!r} had no time zone in training, and now has "
                f"{values.dtype.time_zone!r}: in another zone a moment may be another day. "
                "Write its values without a zone, as they were."
            )
        values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return values.cast(pl.Datetime("us"))


def to_text(values: pl.Series, *, name: str, is_text: bool) -> pl.Series:
    """Cast to the text by which levels are known; numbers are no text.

    Args:
        is_text: Whether the column held text in training.

    Raises:
        RequestError: The column held text in training and holds something else now, or holds
            what is no single value, such as lists.
    """
    if values.dtype.is_nested() or values.dtype in (pl.Object, pl.Binary):
        raise RequestError(
            f"Column {name!r} must hold texts, numbers or other single values as in training, but "
            f"its type is {values.dtype}. Take one value of each, or leave them empty."
        )
    present = values.fill_nan(None) if values.dtype.is_float() else values
    is_empty = present.null_count() == len(present)
    if is_text and not is_empty and not str(values.dtype).startswith(TEXT_DTYPES):
        raise RequestError(
            f"Column {name!r} must hold text as in training, but its type is "
            f"{values.dtype}: what was read as another type is no longer written as it was, "
            "01234 has become 1234. Read the column as text from the start and hand it over so."
        )
    return present.cast(pl.String)
