"""What the terminal shows while a run goes on."""

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from automl_assets.core.ports import Progress
from automl_assets.core.search.plan import SearchStatus

LABEL_WIDTH = 9


class ConsoleProgress(Progress, AbstractContextManager["ConsoleProgress"]):
    """Prints each finished thing as a line, and the search as a live bar.

    Where the output is no terminal, the search is told in lines: one whenever
    the best score changes.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Bar(
            SpinnerColumn(),
            TextColumn("search  "),
            BarColumn(bar_width=24),
            TextColumn("{task.description}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=1.0, visible=False)
        self._told: float | None = None
        self._last: SearchStatus | None = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def stage(self, name: str, text: str) -> None:
        """Print one finished thing."""
        if self._last is not None:
            self._finish_search(self._last)
        self._line(name, text)

    def search(self, status: SearchStatus) -> None:
        """Move the bar, or print a line if the best score changed."""
        self._last = status
        text = describe(status)
        self._bar.update(self._task, completed=_share_done(status), description=text, visible=True)
        if self._bar.disable and status.best_score not in (None, self._told):
            self._told = status.best_score
            self._line("search", text)

    def _finish_search(self, status: SearchStatus) -> None:
        self._last = None
        self._bar.update(self._task, visible=False)
        self._line("search", f"{describe(status)}, {status.seconds:.0f} s")

    def _line(self, name: str, text: str) -> None:
        # Text, not markup: column names may hold brackets.
        self._console.print(Text(f"{name:<{LABEL_WIDTH}}{text}"), soft_wrap=True)


def _share_done(status: SearchStatus) -> float:
    by_trials = status.n_finished / status.n_trials if status.n_trials else 0.0
    if status.seconds_left is None:
        return by_trials
    return max(by_trials, status.seconds / max(status.seconds + status.seconds_left, 1e-9))


def describe(status: SearchStatus) -> str:
    """Return one line on a search, for people."""
    total = f"/{status.n_trials}" if status.n_trials else ""
    parts = [f"{status.n_finished}{total} trials"]
    if status.best_score is not None:
        parts.append(f"best {status.best_score:.5g} ({status.best_family})")
    if status.n_failed:
        parts.append(f"{status.n_failed} failed")
    if status.running:
        parts.append(f"fitting {' and '.join(status.running)}")
    if status.seconds_left:
        parts.append(f"{status.seconds_left:.0f} s left")
    return ", ".join(parts)
