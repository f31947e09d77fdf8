"""A random sample of a table's rows that is the same on every machine, and its quantiles.

The row number alone decides whether a row is kept (SplitMix64, Steele, Lea and
Flood 2014), so kept rows are independent draws whatever the order of the table.
For n independent draws the inequality of Dvoretzky, Kiefer and Wolfowitz, with
the constant of Massart (1990), bounds the error of all quantiles at once:
P(error of rank > e) <= 2 exp(-2 n e^2). With 262,144 rows and 99.9 % that is
e = 0.38 % of the rows.
"""

import math

import numpy as np
import polars as pl

from automl_assets.core.values import QUANTILES

SAMPLE_ROWS = 262_144
"""Rows kept of a longer table; shorter ones are looked at whole."""

CONFIDENCE = 0.999
"""With which the bound on the error of ranks holds."""


def rank_error(n_sampled: int) -> float:
    """Return the largest error of a quantile's rank, as a share, at `CONFIDENCE`.

    Examples:
        >>> round(100 * rank_error(SAMPLE_ROWS), 2)
        0.38
    """
    return math.sqrt(math.log(2 / (1 - CONFIDENCE)) / (2 * n_sampled))


def is_sampled(row: pl.Expr, *, n_rows: int, n_wanted: int = SAMPLE_ROWS) -> pl.Expr:
    """Return whether rows belong to the sample; all do where there are not more than wanted.

    Samples of one table are nested: a smaller one is part of a larger one.

    Args:
        row: Row numbers.
        n_rows: Rows of the table.
        n_wanted: About how many are kept; exactly as many is up to chance.
    """
    if n_rows <= n_wanted:
        return pl.lit(True)
    return _mixed(row.cast(pl.UInt64)) < _bits(n_wanted * 2**64 // n_rows)


def find_quantiles(values: pl.Series) -> tuple[float, ...]:
    """Return the quantiles of the known, finite numbers of a sample, at `QUANTILES`.

    Each is a value that occurs: nothing is interpolated.

    Examples:
        >>> find_quantiles(pl.Series(range(1, 101)))
        (1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0)
        >>> find_quantiles(pl.Series([None], dtype=pl.Float64))
        ()
    """
    numbers = values.cast(pl.Float64).drop_nulls().to_numpy()
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return ()
    # With float32 thresholds and the like 0.05 * 100 is a hair above 5.
    ranks = [max(0, math.ceil(share * len(numbers) - 1e-9) - 1) for share in QUANTILES]
    ordered = np.partition(numbers, ranks)
    # -0.0 and 0.0 are one number; which of them comes first is up to chance.
    return tuple(float(ordered[rank]) + 0.0 for rank in ranks)


def _bits(value: int) -> pl.Expr:
    return pl.lit(value % 2**64, pl.UInt64)


def _mixed(number: pl.Expr) -> pl.Expr:
    """Return 64 bits that look random; polars does not promise its own hash."""
    mixed = (number + _bits(1)) * _bits(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed // _bits(2**30))) * _bits(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed // _bits(2**27))) * _bits(0x94D049BB133111EB)
    return mixed ^ (mixed // _bits(2**31))
