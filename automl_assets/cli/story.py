"""The end of the story that `automl train` prints."""

import re
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from automl_assets.cli.console import LABEL_WIDTH, number_text
from automl_assets.cli.execution import read_values
from automl_assets.core.report.search_words import (
    final_model,
    gap,
    limit_rows,
    model_parts,
    size_text,
    why_not,
)
from automl_assets.core.values import Candidate, CandidateSet
from automl_assets.settings import Settings

N_SHOWN = 8
N_NEAREST = 3
N_CAUSES = 3

_NUMBER = re.compile(r"[0-9][0-9.,]*")

ROOM_FOR_SIZE, ROOM_FOR_REASONS = 64, 108
"""Columns of the terminal from which a candidate's size, and its reason beside it, are shown."""


def leaderboard(candidates: CandidateSet, *, width: int) -> Table:
    """Return the best candidates as a table that fits a terminal; `*` marks those in the model."""
    table = Table(title=None, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("trial", justify="right", no_wrap=True)
    table.add_column("family", no_wrap=True, overflow="ellipsis", max_width=22)
    headings = [candidates.metric, "gap", "CPU s"]
    if width >= ROOM_FOR_SIZE:
        headings.append("size")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True, overflow="ellipsis")
    if width >= ROOM_FOR_REASONS:
        table.add_column("why not", overflow="fold")
    in_model = {member.number for member in model_parts(candidates)}
    for item in candidates.leaderboard[:N_SHOWN]:
        cells = [
            f"{item.number}{'*' if item.number in in_model else ' '}",
            item.family,
            item.state if item.score is None else number_text(item.score),
            number_text(gap(item, candidates.direction), digits=3),
            f"{item.cpu_seconds or 0.0:.1f}",
            size_text(item.model_bytes),
        ][: 2 + len(headings)]
        if width >= ROOM_FOR_REASONS:
            cells.append(_reason(item, candidates, in_model))
        # Text, not markup: a reason may hold brackets.
        table.add_row(*map(Text, cells))
    return table


def _reason(item: Candidate, candidates: CandidateSet, in_model: set[int]) -> str:
    if item.number in in_model:
        return "in the model"
    return why_not(item, candidates.limits) or "not chosen"


def reasons(candidates: CandidateSet) -> list[tuple[str, str]]:
    """Return labelled lines on why trials could not win; what is only worse says so by its score.

    The nearest of those that break a limit are named; failures are counted by reason.
    """
    lost = candidates.leaderboard
    broken = [item for item in lost if item.state == "complete" and item.violated]
    lines = [
        f"trial {item.number}, {item.family}: {why_not(item, candidates.limits)}"
        for item in broken[:N_NEAREST]
    ]
    if len(broken) > N_NEAREST:
        lines.append(f"{len(broken) - N_NEAREST} more trials break a limit")
    causes: dict[str, list[str]] = {}
    for item in lost:
        if item.state != "complete":
            cause = f"{item.state}: {why_not(item, candidates.limits)}"
            # Reasons that differ in their numbers only are one reason.
            causes.setdefault(_NUMBER.sub("0", cause), []).append(cause)
    for told in sorted(causes.values(), key=len, reverse=True)[:N_CAUSES]:
        others = "" if len(set(told)) == 1 else ", and the like"
        lines.append(f"{len(told)} {'trial' if len(told) == 1 else 'trials'} {told[0]}{others}")
    if (n_more := len(causes) - N_CAUSES) > 0:
        lines.append(f"and {n_more} other {'reason' if n_more == 1 else 'reasons'}, in the report")
    return [("why not", line) for line in lines]


def model_lines(candidates: CandidateSet) -> list[tuple[str, str]]:
    """Return labelled lines on the model: its parts, its limits, and families left out."""
    lines = [("made of", final_model(candidates))]
    if candidates.score is not None and candidates.prior_score is not None:
        lines.append(
            (
                "compared",
                f"{candidates.metric} {number_text(candidates.score)}, {candidates.selection}; "
                f"no model at all: {number_text(candidates.prior_score)}",
            )
        )
    lines += tied_lines(candidates)
    lines += [("note", text) for text in candidates.notes]
    for row in limit_rows(candidates):
        measured = "not measured" if row.measured is None else f"{row.measured:.4g}"
        removed = f"; {row.n_removed} trials break it" if row.n_removed else ""
        lines.append(
            ("limit", f"{row.name} {measured}, asked {row.bound} {row.limit:.4g}{removed}")
        )
    return lines + [("left out", f"{item.family}: {item.reason}") for item in candidates.left_out]


def tied_lines(candidates: CandidateSet) -> list[tuple[str, str]]:
    """Return labelled lines on how many candidates are as good as the best; none if not known."""
    board = candidates.board
    if board is None:
        return []
    n_tied, n_compared = len(board.tied), len(board.contenders)
    told = f"{n_tied} of {n_compared} candidates are statistically tied"
    if n_tied == 1:
        told = f"the best of {n_compared} candidates is better by more than chance explains"
    elif candidates.select == "simplest_of_tied" and candidates.winner in board.tied:
        told += "; this is the simplest of them"
    corrected = (
        f"the best one's {board.metric} is worth {number_text(board.corrected)} "
        f"[{number_text(board.low)}, {number_text(board.high)}], not {number_text(board.naive)}: "
        "it is the best of many"
    )
    return [("tied", told), ("tied", corrected)]


def shown(path: Path) -> Path:
    """Return a path as short as it can be said from the current folder."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def print_search(candidates: CandidateSet, console: Console) -> None:
    """Print what a search found: the best, why others lost, and what the model is made of."""
    n_hidden = len(candidates.leaderboard) - N_SHOWN
    console.print()
    console.print(leaderboard(candidates, width=console.width))
    more = f"; {n_hidden} more in the report" if n_hidden > 0 else ""
    console.print(Text(f"* is in the model; scores: {candidates.selection}{more}"))
    console.print()
    print_lines(reasons(candidates) + model_lines(candidates), console)


def print_lines(lines: list[tuple[str, str]], console: Console) -> None:
    """Print labelled lines; a label that stays the same is printed once."""
    last = None
    for name, text in lines:
        label = "" if name == last else name
        last = name
        console.print(Text(f"{label:<{LABEL_WIDTH}}{text}"), soft_wrap=True)


def print_result(settings: Settings, request_id: str, console: Console) -> None:
    """Print what a request made: leaderboard, model, report, and what to do next."""
    values = read_values(settings, request_id)
    candidates, report, model = (
        values.candidate_models,
        values.evaluation_report,
        values.registered_model,
    )
    if candidates is None or report is None or model is None:
        return
    print_search(candidates, console)
    headline = report.metrics[0]
    lines = [
        (
            "model",
            f"{model.name} {model.semver}, version {model.version} "
            f"({', '.join(model.aliases) or 'waits for approval'}), "
            f"{candidates.model_family}",
        ),
        (
            "score",
            f"{headline.metric} {headline.value:.4g} [{headline.low:.4g}, "
            f"{headline.high:.4g}] on {headline.n_rows:,} rows nobody had seen",
        ),
        ("report", str(shown(settings.reports_folder / report.folder / "report.html"))),
        ("request", str(shown(settings.requests_folder / request_id / "request.yaml"))),
        (
            "next",
            f"automl open {request_id} | automl predict {model.name} new.csv | "
            f"automl audit {model.name}",
        ),
    ]
    print_lines(lines, console)
