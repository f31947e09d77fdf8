"""What the terminal shows while a run goes on."""

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from automl_assets.core.metrics import load_metrics
from automl_assets.core.ports import Progress
from automl_assets.core.report.search_words import Direction, gap, size_text
from automl_assets.core.search.plan import SearchStatus
from automl_assets.core.values import Candidate

LABEL_WIDTH = 9
BAR_WIDTH = 20

LINES_AROUND = 8
"""Lines of the live view that are no leaders, and one that the terminal needs for itself."""

ROOM_FOR_SIZE, ROOM_FOR_ORIGIN = 70, 84
"""Columns of the terminal from which a leader's size and origin are shown."""


class ConsoleProgress(Progress, AbstractContextManager["ConsoleProgress"]):
    """Prints each finished thing as a line, and the search as a live leaderboard.

    Where the output is no terminal, the search is told in lines: one whenever
    the best score or the stage changes.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._told: tuple[float | None, str] = (None, "trials")
        self._last: SearchStatus | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def stage(self, name: str, text: str) -> None:
        """Print one finished thing."""
        if self._last is not None:
            self._finish_search(self._last)
        self._line(name, text)

    def search(self, status: SearchStatus) -> None:
        """Refresh the leaderboard, or print a line if the best score or the stage changed."""
        self._last = status
        if self._console.is_terminal:
            self._refresh(status)
        elif (now := (status.best_score, status.stage)) != self._told:
            self._told = now
            self._line("search", describe(status))

    def _refresh(self, status: SearchStatus) -> None:
        view = live_view(status, width=self._console.width, height=self._console.height)
        if self._live is None:
            # Drawn in place and wiped at the end: the story that follows has the leaderboard.
            self._live = Live(
                view,
                console=self._console,
                # Drawn when told, about once a second; a thread that draws more often costs
                # 2 % of a core and shows nothing new.
                auto_refresh=False,
                transient=True,
                vertical_overflow="crop",
            )
            self._live.start()
        self._live.update(view, refresh=True)

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _finish_search(self, status: SearchStatus) -> None:
        self._last = None
        self._stop()
        self._line("search", f"{describe(status)}, {duration(status.seconds)}")

    def _line(self, name: str, text: str) -> None:
        # Text, not markup: column names may hold brackets.
        self._console.print(Text(f"{name:<{LABEL_WIDTH}}{text}"), soft_wrap=True)


def duration(seconds: float) -> str:
    """Return a time span as people read it.

    Examples:
        >>> [duration(s) for s in (8.4, 75, 3_671)]
        ['8 s', '1:15 min', '1:01 h']
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    return f"{minutes // 60}:{minutes % 60:02d} h"


def _share_done(status: SearchStatus) -> float:
    by_trials = status.n_finished / status.n_trials if status.n_trials else 0.0
    if status.seconds_left is None:
        return by_trials
    return max(by_trials, status.seconds / max(status.seconds + status.seconds_left, 1e-9))


def _count(status: SearchStatus) -> str:
    return f"{status.n_finished}{f'/{status.n_trials}' if status.n_trials else ''} trials"


def _losses(status: SearchStatus) -> list[str]:
    told = ((status.n_failed, "failed"), (status.n_inadmissible, "break a limit"))
    return [f"{number} {what}" for number, what in told if number]


def describe(status: SearchStatus) -> str:
    """Return one line on a search, for people."""
    parts = [_count(status)]
    if status.stage != "trials":
        parts.append("making the final model")
    if status.best_score is not None:
        parts.append(f"best {status.best_score:.5g} ({status.best_family})")
    parts += _losses(status)
    if status.running:
        parts.append(f"fitting {' and '.join(status.running)}")
    if status.seconds_left:
        parts.append(f"{duration(status.seconds_left)} left")
    return ", ".join(parts)


def live_view(status: SearchStatus, *, width: int, height: int) -> RenderableType:
    """Return what a terminal of some size shows of a running search; no line is wider."""
    n_leaders = max(1, height - LINES_AROUND)
    lines: list[RenderableType] = [_headline(status)]
    if status.leaders:
        lines += ["", _leaders(status, status.leaders[:n_leaders], width), ""]
    lines += [
        Text(text, style="dim", no_wrap=True, overflow="ellipsis")
        for text in (_activity(status), _by_family(status))
        if text
    ]
    return Group(*lines)


def _headline(status: SearchStatus) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=LABEL_WIDTH - 1, no_wrap=True)
    grid.add_column(width=BAR_WIDTH)
    grid.add_column(no_wrap=True, overflow="ellipsis")
    parts = [_count(status)]
    if status.stage != "trials":
        parts = ["final model"]
    if status.seconds_left is not None:
        parts.append(f"{duration(status.seconds_left)} left")
    else:
        parts.append(duration(status.seconds))
    bar = ProgressBar(total=1.0, completed=_share_done(status), width=BAR_WIDTH)
    grid.add_row("search", bar, Text(", ".join(parts)))
    return grid


def _leaders(status: SearchStatus, leaders: tuple[Candidate, ...], width: int) -> Table:
    metric = load_metrics().get(status.metric)
    direction: Direction | None = metric and metric.direction
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("trial", justify="right", no_wrap=True)
    table.add_column("family", no_wrap=True, overflow="ellipsis", max_width=22)
    headings = [status.metric or "score", "gap", "CPU s"]
    if width >= ROOM_FOR_SIZE:
        headings.append("size")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True, overflow="ellipsis")
    if width >= ROOM_FOR_ORIGIN:
        table.add_column("by", no_wrap=True, overflow="ellipsis")
    for index, item in enumerate(leaders):
        cells = [
            str(item.number),
            item.family,
            number_text(item.score),
            number_text(gap(item, direction) if direction else None, digits=3),
            f"{item.cpu_seconds or 0.0:.1f}",
            size_text(item.model_bytes),
            item.origin,
        ]
        # Each leader is one line, whatever its origin is called.
        row = [Text(cell) for cell in cells[: len(table.columns)]]
        table.add_row(*row, style="bold" if index == 0 else "")
    return table


def number_text(value: float | None, *, digits: int = 5) -> str:
    """Return a number as short as it can be said, or nothing."""
    return "" if value is None else f"{value:.{digits}g}"


def _activity(status: SearchStatus) -> str:
    parts = []
    if status.running:
        parts.append(f"fitting {', '.join(status.running)}")
    parts += _losses(status)
    if status.memory_mb:
        parts.append(f"{status.memory_mb:,.0f} MB")
    return " · ".join(parts)


def _by_family(status: SearchStatus) -> str:
    spent = sorted(status.seconds_by_family, key=lambda pair: -pair[1])
    listed = ", ".join(f"{family} {seconds:.0f}" for family, seconds in spent)
    return f"CPU s: {listed}" if listed else ""
