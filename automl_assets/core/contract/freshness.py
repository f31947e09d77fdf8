"""How old the newest row of a table is."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import polars as pl

from automl_assets.core.contract.model import DataContract
from automl_assets.core.contract.report import ContractRule, tried_rule
from automl_assets.core.contract.row_rules import exactly, in_utc, is_time
from automl_assets.core.request.numbers import write_duration
from automl_assets.core.rows.iso_dates import read_moment


def newest(contract: DataContract, schema: pl.Schema, as_of: datetime) -> pl.Expr | None:
    """Return the newest moment of the freshness column that is not after `as_of`.

    A mistyped year in the future must not make old data look fresh. None if the
    contract asks for no freshness or the column cannot tell it.
    """
    if contract.freshness is None or contract.freshness.column not in schema:
        return None
    moments = _moments(contract.freshness.column, schema[contract.freshness.column])
    if moments is None:
        return None
    limit = pl.lit(as_of.astimezone(UTC).replace(tzinfo=None), dtype=pl.Datetime("us"))
    return moments.filter(moments <= limit).max()


def _moments(name: str, dtype: pl.DataType) -> pl.Expr | None:
    if is_time(dtype):
        return in_utc(exactly(name), dtype)
    if dtype != pl.String:
        return None
    return read_moment(exactly(name))


def freshness_rule(
    contract: DataContract, schema: pl.Schema, found: datetime | None, as_of: datetime
) -> Iterator[ContractRule]:
    """Yield the rule about the age of the data, if the contract has one.

    Whole days count where the column holds dates: yesterday is one day old the
    whole day long.
    """
    if contract.freshness is None:
        return
    name, allowed = contract.freshness.column, contract.freshness.max_age
    told = write_duration(allowed)
    now = as_of.astimezone(UTC).replace(tzinfo=None)
    age: timedelta | None = None
    if found is not None:
        is_dates = schema[name] == pl.Date
        age = datetime.combine(now.date(), found.time()) - found if is_dates else now - found
    if age is not None:
        text = f"its newest value, {_shown(found)}, is {_age(age)} old ({told} allowed)"
    elif name not in schema:
        text = "is missing, so that nobody knows how old the data are"
    else:
        text = f"holds no date up to {_shown(now)} ({schema[name]})"
    yield tried_rule(
        column=name,
        name="freshness",
        n_tried=1,
        n_violations=int(age is None or age.total_seconds() > allowed),
        expected=f"a newest value at most {told} old on {_shown(now)}",
        found=text,
        unit="tables",
        cure="Bring newer data, or allow a larger max_age in the contract.",
    )


def _shown(moment: date | None) -> str:
    if isinstance(moment, datetime):
        return f"{moment:%Y-%m-%d %H:%M}".removesuffix(" 00:00")
    return str(moment)


def _age(age: timedelta) -> str:
    hours = age.total_seconds() / 3600
    return f"{hours / 24:.1f}".removesuffix(".0") + " days" if hours >= 48 else f"{hours:.1f} hours"
