"""`automl data infer-contract`, `check` and `drift`: what a table must hold, and how it moved."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from automl_assets.cli.data_source import opened_source
from automl_assets.core.errors import ContractError, RequestError
from automl_assets.core.files import publishing
from automl_assets.core.rows import reading_errors
from automl_assets.settings import Settings

if TYPE_CHECKING:
    from automl_assets.core.contract import ColumnDrift, ContractRule, DataContract
    from automl_assets.core.values import ColumnProfile, TableProfile


def infer_contract_of(source: str, *, output: Path | None) -> None:
    """Write a contract that a table keeps to a file, or to the terminal.

    Raises:
        RequestError: The file exists: it may hold rules that a person wrote.
    """
    from automl_assets.core.contract import infer_contract

    if output is not None and output.exists():
        raise RequestError(
            "A contract is never overwritten, because people write rules into it. "
            f"{str(output)!r} exists. Name another file, or remove that one."
        )
    with opened_source(source) as opened, reading_errors(opened.description):
        contract = infer_contract(opened.frame, scratch=opened.scratch)
    if output is None:
        typer.echo(contract.to_yaml(), nl=False)
        return
    with publishing(output) as temporary:
        temporary.write_text(contract.to_yaml(), "utf-8")
    typer.echo(
        f"contract {output}  {len(contract.columns)} columns\n"
        f"next     tighten it, then name it in the request: data.expect: {output.name}"
    )


def check_source(source: str, *, contract: Path) -> None:
    """Try every rule of a contract on every row, and print what came of it.

    Raises:
        ContractError: A rule is broken.
    """
    from automl_assets.core.acceptance import last_acceptance, left_out
    from automl_assets.core.contract import check_contract

    rules = _read_contract(contract)
    with opened_source(source) as opened:
        last = None
        if opened.snapshot is not None:
            from automl_assets.definitions import build_snapshot_store

            store = build_snapshot_store(Settings())
            last = last_acceptance(opened.snapshot.repository, store=store, before=source)
        with reading_errors(opened.description):
            report = check_contract(
                opened.frame,
                rules,
                previous=last.snapshot.profile if last else None,
                as_of=datetime.now(UTC),
                profile=opened.snapshot.profile if opened.snapshot else None,
                left_out=left_out(rules, opened.request) if opened.request else (),
                scratch=opened.scratch,
            )
    _print(_rule_rows(report.rules), ("rule", "", "tried", "broken by", "what"))
    if not report.passed:
        raise ContractError(f"{report.message(str(contract))}.", report.findings)
    typer.echo(report.message())


def show_drift(before: str, after: str) -> None:
    """Print how a table changed against another; the notable changes first."""
    from automl_assets.core.contract import compare_profiles

    (old, n_old), (new, n_new) = _profile(before), _profile(after)
    drift = compare_profiles(old, new, n_rows=(n_old, n_new))
    if not drift:
        typer.echo("nothing changed: rows, columns and statistics are the same")
        return
    _print(_drift_rows(drift), ("", "column", "what", "before", "after", "size"))
    notable = sum(item.notable for item in drift)
    typer.echo(f"{len(drift)} changes, {notable} of them notable (*)")


def _read_contract(path: Path) -> "DataContract":
    from automl_assets.core.contract import MAX_BYTES, parse_contract

    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise RequestError(
            f"{path}:1:1: a contract must be a readable file; {why}. Check the name."
        ) from error
    return parse_contract(text, filename=str(path))


def _profile(source: str) -> "tuple[TableProfile | Sequence[ColumnProfile], int | None]":
    """Return what a source holds; the columns that it has in a table with a request."""
    import polars as pl

    from automl_assets.core.contract.measured import measured

    with opened_source(source) as opened:
        if opened.snapshot is not None:
            return opened.snapshot.profile, None
        with reading_errors(opened.description):
            n_rows = opened.frame.select(pl.len()).collect(engine="streaming").item()
            return measured(opened.frame, opened.frame.collect_schema().names()), n_rows


def _rule_rows(rules: "Iterable[ContractRule]") -> list[tuple[str, ...]]:
    return [
        (
            rule.name,
            "ok" if rule.passed else "BROKEN",
            f"{rule.n_tried:,}",
            f"{rule.n_violations:,}" if rule.n_violations else "",
            rule.detail.partition(" tried, ")[2] if not rule.passed else rule.expected,
        )
        for rule in sorted(rules, key=lambda rule: rule.passed)
    ]


def _drift_rows(drift: "Iterable[ColumnDrift]") -> list[tuple[str, ...]]:
    return [
        (
            "*" if item.notable else "",
            item.column or "table",
            item.what,
            item.before,
            item.after,
            "" if item.size is None else f"{item.size:+.3g}",
        )
        for item in sorted(drift, key=lambda item: not item.notable)
    ]


def _print(rows: list[tuple[str, ...]], columns: tuple[str, ...]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        # Text, not markup: names and values may hold brackets.
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(table)
