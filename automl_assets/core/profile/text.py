"""What texts look like: dates, numbers, and which of them are frequent."""

from dataclasses import dataclass

import polars as pl

from automl_assets.core.rows.iso_dates import read_moment

TEXT_SAMPLE_ROWS = 32_768
"""Rows in which texts are looked at first; what they seem to be is then tried on all rows."""

_MIN_SAMPLED = 100
"""With fewer values in the sample, all rows are asked whatever the sample says."""

_MAYBE_NUMBERS = 0.8
_N_CANDIDATES = 40


@dataclass(frozen=True, kw_only=True)
class TextSample:
    """Some values of a text column.

    Attributes:
        values: Those of sampled rows; null where missing or long.
        n_present: Values that are known in all rows.
    """

    name: str
    values: pl.Series
    n_present: int


@dataclass(frozen=True, kw_only=True)
class Looks:
    """What the values of one text column look like.

    Attributes:
        n_numbers: Values that are numbers, in all rows; 0 if few of a sample are.
        is_dates: Whether every value in every row is a date or time in ISO 8601.
        candidates: Texts that are frequent in the sample.
    """

    n_numbers: int = 0
    is_dates: bool = False
    candidates: tuple[str, ...] = ()


def look_at_texts(frame: pl.LazyFrame, samples: list[TextSample], n_rows: int) -> dict[str, Looks]:
    """Look at text columns: first at a sample, then in one pass at those worth it.

    Args:
        frame: The table.
        samples: One for each text column.
        n_rows: Rows of the table.
    """
    tries: dict[str, pl.Expr] = {}
    for position, sample in enumerate(samples):
        n_numbers, n_dates = _seen(sample.values)
        if _worth_it(sample, n_rows, n_numbers, _MAYBE_NUMBERS):
            tries[f"{position} numbers"] = _is_number(pl.col(sample.name)).sum()
        if _worth_it(sample, n_rows, n_dates, 1.0):
            tries[f"{position} dates"] = read_moment(pl.col(sample.name)).count()
    found = frame.select(**tries).collect(engine="streaming").row(0, named=True) if tries else {}
    return {
        sample.name: Looks(
            n_numbers=found.get(f"{position} numbers") or 0,
            is_dates=0 < sample.n_present == found.get(f"{position} dates"),
            candidates=_frequent(sample.values),
        )
        for position, sample in enumerate(samples)
    }


def _seen(values: pl.Series) -> tuple[int, int]:
    """Return how many values are numbers, and how many are dates."""
    text = pl.col("text")
    return (
        values.alias("text")
        .to_frame()
        .select(numbers=_is_number(text).sum(), dates=read_moment(text).count())
        .row(0)
    )


def _is_number(text: pl.Expr) -> pl.Expr:
    # Codes such as 01234 are meant as text.
    is_code = text.str.contains(r"^[+-]?0[0-9]")
    return ~is_code & text.cast(pl.Float64, strict=False).is_not_null()


def _worth_it(sample: TextSample, n_rows: int, n_alike: int, share: float) -> bool:
    n_sampled = sample.values.count()
    if n_sampled < _MIN_SAMPLED and len(sample.values) < n_rows:
        return sample.n_present > 0
    return n_alike > 0 and n_alike >= share * n_sampled


def _frequent(values: pl.Series) -> tuple[str, ...]:
    """Return the most frequent texts; one that is seen once is as good as any other."""
    counts = values.drop_nulls().alias("text").value_counts(name="rows")
    ordered = counts.filter(pl.col("rows") > 1).sort(["rows", "text"], descending=[True, False])
    return tuple(ordered["text"].head(_N_CANDIDATES))
