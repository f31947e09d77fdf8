"""`automl compare`: registered models side by side."""

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from automl_assets.cli.execution import CommandLine, build_for_cli
from automl_assets.cli.reference import split_reference
from automl_assets.core.comparing.incumbent import read_card
from automl_assets.core.comparing.models import Comparison, Registered, compare_registered
from automl_assets.core.errors import RequestError
from automl_assets.core.evaluation.wording import percent, shown, shown_interval
from automl_assets.core.files import publish_text
from automl_assets.core.predictor import load_predictor
from automl_assets.settings import Settings

N_SHOWN = 12


def compare_models(models: tuple[str, ...], *, html: Path | None) -> int:
    """Compare models with the first one; print a table, and write a page where one is asked for.

    Args:
        models: At least two of `NAME` or `NAME@` and a version number, semantic version or alias.
        html: File for the page.

    Returns:
        0.

    Raises:
        RequestError: Fewer than two models, no such model, or they cannot be compared.
    """
    if len(models) < 2:
        raise RequestError(
            f"A comparison needs at least two models, but found {len(models)}. Name them like "
            "`automl compare churn@1 churn@2`."
        )
    console = Console()
    with build_for_cli(Settings(), Console(stderr=True)) as cli:
        registered = [_registered(cli, reference) for reference in models]
        found = compare_registered(registered, store=cli.snapshot_store)
        url = cli.model_registry.comparison_url([item.version for item in registered])
    _print(found, console)
    if url is not None:
        console.print(f"mlflow   {url}", markup=False, soft_wrap=True)
    if html is not None:
        from automl_assets.core.report.compare_page import render_comparison

        publish_text(html, render_comparison(found, mlflow_url=url))
        console.print(f"page     {html}", markup=False, soft_wrap=True)
    return 0


def _registered(cli: CommandLine, reference: str) -> Registered:
    name, version = split_reference(reference)
    found, folder = cli.model_registry.fetch(name, version)
    return Registered(
        version=found,
        predictor=load_predictor(folder, sha256=found.artifact_sha256),
        card=read_card(cli.model_registry, found),
    )


def _print(found: Comparison, console: Console) -> None:
    facts = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("model", "version", "family", "members", "ms / 1,000 rows", "rows of data"):
        facts.add_column(heading, overflow="fold")
    for model in found.models:
        aliases = f" ({', '.join(model.aliases)})" if model.aliases else ""
        cells = (
            *(model.label + aliases, model.semver or "-", model.family, str(model.n_members)),
            *(shown(1_000 * model.seconds_per_1000_rows), f"{model.n_rows:,}"),
        )
        facts.add_row(*map(Text, cells))
    console.print(facts)
    for pair in found.pairs:
        _print_pair(found.models[0].label, pair.label, found, console)


def _print_pair(first: str, label: str, found: Comparison, console: Console) -> None:
    pair = next(item for item in found.pairs if item.label == label)
    seen = f"; {pair.n_seen:,} left out that it was made from" if pair.n_seen else ""
    lines = [f"\n{pair.label} in the place of {first}, on {pair.n_rows:,} rows new to both{seen}"]
    for item in pair.differences:
        word = "better" if item.is_better else "worse" if item.is_worse else "not told apart"
        lines.append(
            f"  {item.metric:<22} gain {shown(item.gain):>10} "
            f"{percent(item.confidence)} {shown_interval(item.low, item.high)}  {word}"
        )
    changes = pair.changes
    lines.append(
        f"  decisions changed      {percent(changes.share)} "
        f"[{percent(changes.low)}, {percent(changes.high)}]"
        + (f", most for {changes.slices[0].name}" if changes.slices and changes.share else "")
    )
    for title, rows in (("asked or chosen", pair.parameters), ("data", pair.data)):
        for row in rows[:N_SHOWN]:
            lines.append(f"  {title:<22} {row.name}: {row.first or '-'} -> {row.second or '-'}")
        if len(rows) > N_SHOWN:
            lines.append(f"  {title:<22} and {len(rows) - N_SHOWN:,} more (see --html)")
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
