"""The end of the story that `automl train` prints."""

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from automl_assets.cli.console import LABEL_WIDTH
from automl_assets.cli.execution import read_values
from automl_assets.core.values import CandidateSet
from automl_assets.settings import Settings

N_SHOWN = 8


def leaderboard(candidates: CandidateSet) -> Table:
    """Return the best candidates as a table."""
    table = Table(title=None, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("trial", "family", f"{candidates.metric} (validation)"):
        table.add_column(heading)
    for heading in ("CPU s", "size"):
        table.add_column(heading, justify="right")
    for item in candidates.leaderboard[:N_SHOWN]:
        mark = "*" if item.number == candidates.winner else ""
        score = "failed" if item.score is None else f"{item.score:.5g}"
        table.add_row(
            f"{item.number}{mark}",
            item.family,
            score,
            f"{item.cpu_seconds or 0.0:.1f}",
            f"{(item.model_bytes or 0) / 1e6:.2f} MB",
        )
    return table


def shown(path: Path) -> Path:
    """Return a path as short as it can be said from the current folder."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


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
    n_hidden = len(candidates.leaderboard) - N_SHOWN
    console.print()
    console.print(leaderboard(candidates))
    if n_hidden > 0:
        console.print(f"… and {n_hidden} more in the report")
    console.print()
    headline = report.metrics[0]
    lines = {
        "model": f"{model.name} version {model.version} ({', '.join(model.aliases)}), "
        f"{candidates.best.family}",
        "score": f"{headline.metric} {headline.value:.4g} [{headline.low:.4g}, "
        f"{headline.high:.4g}] on {headline.n_rows:,} rows nobody had seen",
        "report": str(shown(settings.reports_folder / report.folder / "report.html")),
        "request": str(shown(settings.requests_folder / request_id / "request.yaml")),
        "next": f"automl open {request_id} | automl predict {model.name} new.csv | automl up",
    }
    for name, text in lines.items():
        console.print(Text(f"{name:<{LABEL_WIDTH}}{text}"), soft_wrap=True)
