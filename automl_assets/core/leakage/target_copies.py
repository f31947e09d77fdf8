"""Columns that give the target away exactly: copies of it, and gaps that follow it."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from automl_assets.core.profile.target import class_text

EQUAL_SHARE = 0.999
"""A column says the same as the target if it does so in this share of rows: typing errors
and late corrections part even a copy from its original."""

RARE_SHARE = 0.9
"""And in this share of each class, or of the rows off the median: where nearly all rows are
alike, a column that says nothing else agrees in nearly all of them."""

SCREEN_SHARE = 0.995
"""What a sample must show before all rows are counted; below `EQUAL_SHARE` by chance alone."""

_MIN_EXPECTED = 10.0
"""Rows of other classes that chance would have put among those that are all of one class."""

_TOLERANCE = 1e-5
_MIN_PAIRS = 20


@dataclass(frozen=True, kw_only=True)
class Line:
    """A straight line from a column to the target: `target = slope * (x - x0) + y0`."""

    slope: float
    x0: float
    y0: float
    tolerance: float

    def agrees(self, column: pl.Expr, target: pl.Expr) -> pl.Expr:
        """Return whether a row lies on the line, up to the precision of float32."""
        told = (column.cast(pl.Float64) - self.x0) * self.slope + self.y0
        wanted = target.cast(pl.Float64)
        return ((told - wanted).abs() <= self.tolerance + 1e-6 * wanted.abs()).fill_null(False)


def mapping_share(frame: pl.LazyFrame, name: str, target: str) -> float:
    """Return the share of rows in which a column tells the class, one value for each class.

    0 where it is no such mapping: two classes share their most frequent value, or a class
    has that value in less than `RARE_SHARE` of its rows.
    """
    schema = frame.collect_schema()
    values = pl.col(name).fill_nan(None) if schema[name].is_float() else pl.col(name)
    counts = (
        frame.select(value=values, answer=class_text(pl.col(target), schema[target]))
        .group_by("value", "answer")
        .len()
        .collect(engine="streaming")
    )
    best = (
        counts.sort("len", descending=True)
        .group_by("answer", maintain_order=True)
        .agg(pl.col("value", "len").first(), rows=pl.col("len").sum())
    )
    shares = (best["len"] / best["rows"]).to_numpy()
    if best["value"].n_unique() < best.height or shares.min() < RARE_SHARE:
        return 0.0
    return int(best["len"].sum()) / int(best["rows"].sum())


def fit_line(sample: pl.DataFrame, name: str, target: str, *, seed: int) -> Line | None:
    """Return the line that most rows of a sample would lie on, if there may be one.

    The slope is the median over pairs of rows (Theil 1950), so that the rows that do not
    fit cannot bend it.
    """
    known = sample.select(
        x=pl.col(name).cast(pl.Float64), y=pl.col(target).cast(pl.Float64)
    ).filter(pl.all_horizontal(pl.all().is_finite()))
    x, y = known["x"].to_numpy(), known["y"].to_numpy()
    order = np.random.default_rng(seed).permutation(len(x))
    first, second = order[: len(x) // 2], order[len(x) // 2 : len(x) // 2 * 2]
    run, rise = x[second] - x[first], y[second] - y[first]
    # Near pairs say more about the last digit than about the slope.
    far = np.abs(run) > 0
    far &= np.abs(run) >= np.median(np.abs(run)) if len(run) else False
    if far.sum() < _MIN_PAIRS:
        return None
    slope = float(np.median(rise[far] / run[far]))
    if slope == 0:
        return None
    x0 = float(np.median(x))
    spread = float(np.subtract(*np.quantile(y, [0.75, 0.25]))) or float(y.std())
    return Line(
        slope=slope,
        x0=x0,
        y0=float(np.median(y - slope * (x - x0))),
        tolerance=_TOLERANCE * spread,
    )


def line_share(frame: pl.LazyFrame, line: Line, name: str, target: str) -> float:
    """Return the share of rows on a line; 0 where it fails off the target's median.

    Many targets are zero in most rows; a column of zeros must not pass for a copy of them.
    """
    agrees = line.agrees(pl.col(name), pl.col(target))
    wanted = pl.col(target).cast(pl.Float64)
    median = frame.select(wanted.median()).collect(engine="streaming").item()
    is_off = wanted != median
    n_rows, n_agree, n_off, n_agree_off = (
        frame.select(
            n_rows=pl.len(),
            n_agree=agrees.sum(),
            n_off=is_off.sum(),
            n_agree_off=(agrees & is_off).sum(),
        )
        .collect(engine="streaming")
        .row(0)
    )
    if n_agree_off < RARE_SHARE * max(1, n_off):
        return 0.0
    return n_agree / n_rows


@dataclass(frozen=True, kw_only=True)
class Gaps:
    """How often a column is empty in the rows of each class.

    Attributes:
        n_rows, n_empty: By class.
    """

    n_rows: dict[str, int]
    n_empty: dict[str, int]

    def emptiest(self) -> tuple[str, float]:
        """Return the class in which the column is empty most often, and how often."""
        shares = {name: self.n_empty[name] / n for name, n in self.n_rows.items()}
        name = max(shares, key=lambda key: shares[key])
        return name, shares[name]

    def follow_classes(self, limit: float) -> str:
        """Say how the classes determine the gaps, or nothing if they do not."""
        empty = {name for name, n in self.n_rows.items() if self.n_empty[name] >= limit * n}
        filled = {name for name, n in self.n_rows.items() if self.n_empty[name] <= (1 - limit) * n}
        if not empty or not filled or len(empty) + len(filled) < len(self.n_rows):
            return ""
        n_empty = sum(self.n_empty[name] for name in empty)
        n_filled = sum(self.n_rows[name] - self.n_empty[name] for name in filled)
        return (
            f"is empty in {n_empty:,} of {sum(self.n_rows[n] for n in empty):,} rows of "
            f"{_named(empty)} and filled in {n_filled:,} of "
            f"{sum(self.n_rows[n] for n in filled):,} rows of {_named(filled)}"
        )

    def tell_class(self, limit: float) -> str:
        """Say which class rows are of that have a gap, or none, or nothing if it may be any."""
        n_filled = {name: n - self.n_empty[name] for name, n in self.n_rows.items()}
        return self._pure("filled", n_filled, limit) or self._pure("empty", self.n_empty, limit)

    def _pure(self, state: str, counts: dict[str, int], limit: float) -> str:
        """Say that rows in one state are all of one class, where chance would have mixed them."""
        n_state, n_rows = sum(counts.values()), sum(self.n_rows.values())
        name = max(counts, key=lambda key: counts[key])
        expected = n_state * (1 - self.n_rows[name] / n_rows)
        if not n_state or counts[name] < limit * n_state or expected < _MIN_EXPECTED:
            return ""
        return (
            f"is {state} in {n_state:,} rows, and {counts[name]:,} of them are "
            f"{name!r}, against {self.n_rows[name] / n_rows:.1%} of all rows"
        )


def count_gaps(frame: pl.LazyFrame, names: list[str], target: str) -> dict[str, Gaps]:
    """Count the missing values of columns by class, in one streaming pass."""
    schema = frame.collect_schema()
    columns = [
        (pl.col(n).fill_nan(None) if schema[n].is_float() else pl.col(n)).null_count().alias(str(i))
        for i, n in enumerate(names)
    ]
    answer = class_text(pl.col(target), schema[target]).alias("answer")
    found = frame.group_by(answer).agg(pl.len().alias("rows"), *columns)
    counts = found.collect(engine="streaming").sort("answer")
    n_rows = dict(zip(counts["answer"], counts["rows"], strict=True))
    return {
        name: Gaps(
            n_rows=n_rows,
            n_empty=dict(zip(counts["answer"], counts[str(position)], strict=True)),
        )
        for position, name in enumerate(names)
    }


def _named(classes: set[str]) -> str:
    shown = [repr(name) for name in sorted(classes)]
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")
