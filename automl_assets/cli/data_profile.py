"""`automl data profile`: what a table holds, in the terminal and as a page."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from automl_assets.cli.console import LABEL_WIDTH
from automl_assets.cli.data_source import OpenedSource, opened_source
from automl_assets.cli.story import shown as shown_path
from automl_assets.core.errors import RequestError
from automl_assets.core.evaluation.wording import percent, shown
from automl_assets.core.files import publish_text
from automl_assets.core.leakage import find_suspects, with_findings
from automl_assets.core.leakage.privacy import matching_columns
from automl_assets.core.profile import profile_columns, profile_table
from automl_assets.core.profile.sample import SAMPLE_ROWS
from automl_assets.core.report.profile import (
    ProfilePage,
    looks_like,
    range_end,
    render_profile,
)
from automl_assets.core.rows import reading_errors
from automl_assets.core.rows.duplicates import count_duplicates
from automl_assets.core.values import ColumnProfile, TableProfile

if TYPE_CHECKING:
    import polars as pl

MAX_COLUMNS = 60
MAX_LISTED = 20
WIDTH = 100

_WIDTHS = {"column": 20, "type": 16, "missing": 7, "distinct": 8, "range": 20, "values": 19}


def profile_source(source: str, *, target: str | None, html: Path | None) -> None:
    """Print what a table holds, and write the whole profile as a page if asked to.

    Args:
        source: A data file, a request file, or the id of an accepted request.
        target: Column to predict in a bare file; without it only columns are described.
        html: File to write; one that is there is replaced.

    Raises:
        RequestError: There is no such source, it cannot be learned from, or the page cannot
            be written.
        SnapshotError: The rows cannot be read.
    """
    if html is not None:
        _check_output(html)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    with opened_source(source, target=target) as opened:
        page = profile_page(opened)
    for part in _printed(page):
        console.print(part, soft_wrap=isinstance(part, Text))
    if html is not None:
        _write(html, render_profile(page))
        console.print(_line("page", str(shown_path(html.absolute()))), soft_wrap=True)


def profile_page(opened: OpenedSource) -> ProfilePage:
    """Return what there is to tell about a source.

    A committed snapshot tells what it was found to hold then; other tables are looked at now.
    """
    request, split = opened.request, opened.split
    if opened.snapshot is not None and request is not None:
        profile = opened.snapshot.profile
        findings = () if split is None else split.findings
        profile = profile.model_copy(update={"findings": (*profile.findings, *findings)})
        n_duplicates = profile.n_duplicates
    else:
        with reading_errors(opened.description):
            names = opened.frame.collect_schema().names()
            n_duplicates = count_duplicates(opened.frame, names, scratch=opened.scratch)
            profile = None
            if request is not None:
                profile = profile_table(opened.frame, request)
                profile = with_findings(profile, find_suspects(opened.frame, profile, request))
    columns = profile_columns(opened.frame) if profile is None else profile.columns
    n_rows = _n_rows(opened.frame) if profile is None else profile.n_rows
    # Without a request nobody said that personal data may be shown.
    personal = () if profile else matching_columns(opened.frame, columns, n_rows, seed=0)
    return ProfilePage(
        source=opened.description,
        n_rows=n_rows,
        columns=columns,
        n_duplicates=n_duplicates,
        rows=opened.rows,
        profile=profile,
        target=request.data.target if request is not None else None,
        split=split,
        personal=frozenset(match.name for match in personal),
    )


def _n_rows(frame: "pl.LazyFrame") -> int:
    import polars as pl

    return frame.select(pl.len()).collect(engine="streaming").item()


def _check_output(html: Path) -> None:
    if html.suffix.lower() not in (".html", ".htm"):
        raise RequestError(
            f"The profile is written as a page, .html, but {str(html)!r} is none. Rename it."
        )
    if html.is_dir() or not html.absolute().parent.is_dir():
        found = "is a folder" if html.is_dir() else "has no folder to be in"
        raise RequestError(
            "The profile is written to a file in a folder that exists. "
            f"{str(html)!r} {found}. Make the folder first, or name another file."
        )


def _write(html: Path, content: str) -> None:
    try:
        publish_text(html.absolute(), content)
    except OSError as error:
        raise RequestError(
            "The profile is written to a file that can be made and written. "
            f"{str(html)!r} cannot: {error.strerror or error}. Name another file, or make room "
            "and see to the permissions there."
        ) from error


def _line(label: str, text: str) -> Text:
    # Text, not markup: column names may hold brackets.
    return Text(f"{label:<{LABEL_WIDTH}}{text}")


def _printed(page: ProfilePage) -> Iterator[Text | Table]:
    yield _line("source", page.source)
    if page.rows:
        yield _line("rows", " → ".join(f"{step.step} {step.n_rows:,}" for step in page.rows))
    yield _line("table", f"{page.n_rows:,} rows x {len(page.columns):,} columns")
    if page.n_duplicates is not None:
        share = f" ({percent(page.n_duplicates / page.n_rows)})" if page.n_duplicates else ""
        yield _line("copies", f"{page.n_duplicates:,} rows equal an earlier row{share}")
    if page.profile is not None:
        yield from _printed_task(page, page.profile)
    yield Text()
    yield _columns(page)
    yield from _more(len(page.columns), MAX_COLUMNS, "columns; --html shows more")
    if page.profile is not None:
        yield from _printed_findings(page.profile)


def _printed_task(page: ProfilePage, profile: TableProfile) -> Iterator[Text]:
    counts = zip(profile.classes, profile.class_counts, strict=True)
    told = ", ".join(f"{name} {n / profile.n_rows:.1%}" for name, n in list(counts)[:8])
    rest = f" and {len(profile.classes) - 8} more" if len(profile.classes) > 8 else ""
    yield _line("target", f"{page.target}: {profile.task_type}{': ' if told else ''}{told}{rest}")
    yield _line("features", f"{len(profile.features):,} columns")


def _printed_findings(profile: TableProfile) -> Iterator[Text]:
    told = {finding.detail for finding in profile.findings}
    found = {finding.column for finding in profile.findings if finding.action == "dropped"}
    lists = (
        [(f.action, f"{f.column + ': ' if f.column else ''}{f.detail}") for f in profile.findings],
        [("left out", f"{c.name}: {c.reason}") for c in profile.dropped if c.name not in found],
        [("warning", text) for text in profile.warnings if text not in told],
    )
    if any(lists):
        yield Text()
    for lines in lists:
        for label, text in lines[:MAX_LISTED]:
            yield _line(label, text)
        yield from _more(len(lines), MAX_LISTED, "like these; --html shows more")


def _more(n: int, shown_at_most: int, what: str) -> Iterator[Text]:
    if n > shown_at_most:
        yield _line("", f"… and {n - shown_at_most:,} {what}")


def _columns(page: ProfilePage) -> Table:
    """Return the columns as a table that fits into 100 characters."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading, width in _WIDTHS.items():
        is_number = heading in ("missing", "distinct")
        table.add_column(
            heading,
            # On a narrow terminal texts are cut, never numbers.
            min_width=width if is_number else None,
            max_width=width,
            no_wrap=True,
            overflow="ellipsis",
            justify="right" if is_number else "left",
        )
    hidden = page.hidden
    for column in page.columns[:MAX_COLUMNS]:
        about = "~" if column.n_distinct > 10_000 and page.n_rows > SAMPLE_ROWS else ""
        is_hidden = column.name in hidden
        table.add_row(
            Text(column.name),
            Text(looks_like(column)),
            percent(column.n_nulls / page.n_rows) if column.n_nulls else "0",
            f"{about}{column.n_distinct:,}",
            Text("hidden" if is_hidden else _range(column)),
            Text("personal data" if is_hidden else _values(column)),
        )
    return table


def _range(column: ColumnProfile) -> str:
    if column.minimum is None:
        return ""
    return f"{range_end(column.minimum)} \N{EN DASH} {range_end(column.maximum)}"


def _values(column: ColumnProfile) -> str:
    """Return the most frequent texts, or the mean and deviation of numbers."""
    if column.top and not column.quantiles:
        return ", ".join(text or "(empty)" for text, _ in column.top[:5])
    if column.mean is None:
        return ""
    return shown(column.mean) + (f" ± {shown(column.std)}" if column.std is not None else "")
