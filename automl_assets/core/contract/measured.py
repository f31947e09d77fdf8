"""Profiles of columns whatever they are called."""

from collections.abc import Sequence

import polars as pl

from automl_assets.core.contract.row_rules import exactly
from automl_assets.core.values import ColumnProfile


def measured(frame: pl.LazyFrame, names: Sequence[str]) -> tuple[ColumnProfile, ...]:
    """Return the profiles of some columns of a table.

    They are measured under other names: polars takes `^a$` for a pattern.
    """
    from automl_assets.core.profile import profile_columns

    if not names:
        return ()
    aliased = frame.select(exactly(name).alias(f"c{place}") for place, name in enumerate(names))
    return tuple(
        column.model_copy(update={"name": name})
        for name, column in zip(names, profile_columns(aliased), strict=True)
    )
