"""What metadata in Dagit are made of."""

import re
from collections.abc import Mapping, Sequence

import dagster as dg

Metadata = dict[str, dg.MetadataValue | str | int | float]


def table(rows: Sequence[Mapping[str, str | int]]) -> dg.TableMetadataValue:
    """Show rows as a table."""
    # Dagster finds the columns in the first row, and fails where there is none.
    schema = None if rows else dg.TableSchema(columns=[])
    return dg.MetadataValue.table([dg.TableRecord(dict(row)) for row in rows], schema)


def fenced(text: str, *, language: str = "") -> dg.MarkdownMetadataValue:
    """Show text as it is: no run of backticks in it can end the fence around it."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return dg.MetadataValue.md(f"{fence}{language}\n{text}\n{fence}")
