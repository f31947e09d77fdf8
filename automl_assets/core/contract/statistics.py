"""Rules about a column as a whole: bands of its statistics, and how near they stay to before."""

import math
from collections.abc import Iterator, Mapping

from automl_assets.core.contract.model import (
    NAMES_OF_QUANTILES,
    Band,
    ColumnContract,
    DataContract,
)
from automl_assets.core.contract.report import ContractRule, percent, tried_rule
from automl_assets.core.values import QUANTILES, ColumnProfile, TableProfile

MIN_NULL_SHARE = 0.01
"""Below this share of missing values, the scale of their change is that of this share."""


def with_statistics(contract: DataContract, names: list[str]) -> dict[str, ColumnContract]:
    """Return those of the columns `names` whose profile the contract asks about."""
    keys = ("mean", "std", "quantiles", "statistics")
    columns = {name: contract.columns[name] for name in names}
    return {
        name: column
        for name, column in columns.items()
        if any(getattr(column, key) is not None for key in keys)
    }


def statistics_rules(
    columns: Mapping[str, ColumnContract],
    now: Mapping[str, ColumnProfile],
    n_rows: int,
    previous: TableProfile | None,
) -> Iterator[ContractRule]:
    """Yield the rules about statistics of columns.

    Args:
        columns: What the contract says.
        now: What the table holds.
        n_rows: How many rows it has.
        previous: The last accepted snapshot, if there is one.
    """
    before = {column.name: column for column in previous.columns} if previous else {}
    for name, column in columns.items():
        yield from _bands(name, column, now[name])
        if column.statistics is None:
            continue
        tolerance = column.statistics.tolerance
        if previous is None or name not in before:
            yield _first_time(name, has_previous=previous is not None)
            continue
        yield from _numbers_near(now[name], before[name], tolerance)
        share = now[name].n_nulls / max(n_rows, 1)
        yield _nulls_near(name, share, before[name].n_nulls / max(previous.n_rows, 1), tolerance)


def median(column: ColumnProfile) -> float | None:
    """Return the median of a column of numbers."""
    return column.quantiles[QUANTILES.index(0.5)] if column.quantiles else None


def _bands(name: str, column: ColumnContract, now: ColumnProfile) -> Iterator[ContractRule]:
    bands: dict[str, tuple[Band | None, float | None]] = {
        "mean": (column.mean, now.mean),
        "std": (column.std, now.std),
    }
    if column.quantiles is not None:
        found = now.quantiles or (None,) * len(QUANTILES)
        for key, value in zip(NAMES_OF_QUANTILES, found, strict=True):
            bands[f"quantiles {key}"] = (getattr(column.quantiles, key), value)
    for key, (band, value) in bands.items():
        if band is not None:
            yield _band(name, key, band, value)


def _band(name: str, key: str, band: Band, value: float | None) -> ContractRule:
    low = -math.inf if band.min is None else band.min
    high = math.inf if band.max is None else band.max
    expected = f"{low:.6g} to {high:.6g}"
    if band.min is None or band.max is None:
        expected = f"at most {high:.6g}" if band.min is None else f"at least {low:.6g}"
    label = key.removeprefix("quantiles ")
    found = f"has no {label}" if value is None else f"{label} {value:.6g}, expected {expected}"
    return tried_rule(
        column=name,
        name=key,
        n_tried=1,
        n_violations=int(value is None or not low <= value <= high),
        expected=f"{label} {expected}",
        found=found,
        unit="columns",
    )


def _first_time(name: str, *, has_previous: bool) -> ContractRule:
    why = "the column was not in it" if has_previous else "there is none"
    return tried_rule(
        column=name,
        name="statistics",
        n_tried=0,
        n_violations=0,
        expected="as in the last accepted snapshot",
        found=f"nothing to compare with ({why})",
        unit="columns",
        origin="last accepted",
    )


def _numbers_near(
    now: ColumnProfile, before: ColumnProfile, tolerance: float
) -> Iterator[ContractRule]:
    """Compare numbers; near 0, where a tenth is nothing, the standard deviation is the scale."""
    spread, mean = before.std or 0.0, abs(before.mean or 0.0)
    pairs = (
        ("mean", now.mean, before.mean, spread),
        ("median", median(now), median(before), spread),
        ("std", now.std, before.std, 0.0 if spread else mean),
    )
    for key, value, old, least_scale in pairs:
        if value is not None and old is not None:
            scale = max(abs(old), least_scale)
            texts = (f"{value:.6g}", f"{old:.6g}", f"{tolerance * scale:.3g}")
            yield _moved(now.name, key, abs(value - old) > tolerance * scale, texts)


def _nulls_near(name: str, share: float, old: float, tolerance: float) -> ContractRule:
    """Compare shares of missing values by the standard deviation of their 0 and 1."""
    least = max(old, MIN_NULL_SHARE)
    allowed = tolerance * max(least, math.sqrt(least * max(0.0, 1 - least)))
    texts = (percent(share), percent(old), percent(allowed))
    return _moved(name, "share of nulls", abs(share - old) > allowed, texts)


def _moved(name: str, key: str, is_far: bool, texts: tuple[str, str, str]) -> ContractRule:
    value, old, allowed = texts
    return tried_rule(
        column=name,
        name=f"statistics {key}",
        n_tried=1,
        n_violations=int(is_far),
        expected=f"{old} as in the last accepted snapshot, or at most {allowed} off",
        found=f"{key} {value}, was {old} in the last accepted snapshot ({allowed} more or less "
        "allowed)",
        unit="columns",
        origin="last accepted",
        cure="Find out why the data moved; then fix them, or widen the tolerance in the contract.",
    )
