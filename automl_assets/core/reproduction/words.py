"""A reproduction in words: lines for a terminal, and a page of Markdown."""

from collections.abc import Iterable, Sequence

from automl_assets.core.reproduction.records import Records
from automl_assets.core.reproduction.result import (
    Check,
    EnvironmentDifference,
    Level,
    MetricComparison,
    ProbeComparison,
    ReproductionReport,
    TrialComparison,
    level_title,
    weakest,
)

N_TOLD = 5

_TITLES = {
    "code": "code",
    "python": "Python",
    "machine": "machine",
    "preprocessing": "preprocessing",
}


def records_text(n_compared: int, differences: Sequence[str]) -> str:
    """Say whether the records agree."""
    if not differences:
        return f"{n_compared} of {n_compared} digests and facts agree"
    return f"{len(differences)} do not agree; nothing was fitted. {_first(differences)}"


def data_text(n_compared: int, differences: Sequence[str], commit: str) -> str:
    """Say whether the data are those of the commit."""
    if not differences:
        return f"commit {commit[:8]}, {n_compared} of {n_compared} digests verified"
    return f"commit {commit[:8]} changed; nothing was fitted. {_first(differences)}"


def _first(differences: Sequence[str]) -> str:
    more = len(differences) - N_TOLD
    return " ".join((*differences[:N_TOLD], *([f"And {more} more."] if more > 0 else [])))


def environment_text(differences: Sequence[EnvironmentDifference]) -> str:
    """Say what is not as it was recorded."""
    if not differences:
        return "as recorded"
    return f"differs: {_listed(map(_difference, differences))}"


def _difference(item: EnvironmentDifference) -> str:
    recorded, now = (_brief(value) for value in (item.recorded, item.now))
    return f"{_TITLES.get(item.name, item.name)} {recorded} recorded, {now or 'none'} here"


def _brief(value: str) -> str:
    return f"{value[:12]}…" if len(value) >= 40 else value


def _listed(items: Iterable[str]) -> str:
    texts = list(items)
    rest = len(texts) - N_TOLD
    return "; ".join(texts[:N_TOLD]) + (f"; and {rest} more" if rest > 0 else "")


def fit_text(records: Records) -> str:
    """Say what was fitted."""
    model = records.candidates.model_family
    image = records.environment.get("image", "")
    return (
        f"{model} fitted again from commit {records.snapshot.commit_id[:8]}"
        f"{f', image {image[:12]}' if image else ''}, seed {records.plan.seed}"
    )


def probe_text(probe: ProbeComparison) -> str:
    """Say how equal the predictions of the probe rows are."""
    rows = f"{probe.n_rows:,} rows   predictions {level_title(probe.level)}"
    if probe.level == "identical":
        return f"{rows} (sha256 {probe.found_sha256[:8]})"
    told = f"{probe.n_different:,} rows differ, by {probe.largest:.3g} at most"
    if probe.level == "equal within 1e-9":
        return f"{rows} ({told})"
    told += f", {probe.agreement:.3%} of decisions agree"
    if probe.difference is not None:
        paired = probe.difference
        told += f", {paired.metric} {paired.gain:+.3g} [{paired.low:.3g}, {paired.high:.3g}]"
    return f"{rows} ({told}{_first_text(probe)}){f' {probe.note}' if probe.note else ''}"


def _first_text(probe: ProbeComparison) -> str:
    if probe.first is None:
        return ""
    item = probe.first
    return (
        f"; first: row {item.row:,}, column {item.column!r}, {item.recorded!r} recorded, "
        f"{item.found!r} found"
    )


def metrics_text(metrics: Sequence[MetricComparison]) -> str:
    """Say how equal the numbers of the card are."""
    level = weakest(item.level for item in metrics)
    if level == "identical":
        return "identical to the card"
    different = [item for item in metrics if item.level == level]
    told = _listed(f"{m.metric} {m.recorded!r} in the card, {m.found!r} here" for m in different)
    return f"{level_title(level)}: {told}"


def search_text(trials: Sequence[TrialComparison]) -> str:
    """Say how equal the scores of all trials are."""
    level = weakest(item.level for item in trials)
    if level == "identical":
        return f"{len(trials)} trials replayed, all scores identical to the ledger"
    different = [item for item in trials if item.level == level]
    told = _listed(
        f"trial {t.number} ({t.family}) {t.recorded!r} in the ledger, {t.found!r} here"
        for t in different
    )
    n_same = sum(item.level == "identical" for item in trials)
    return (
        f"{len(trials)} trials replayed, {n_same} identical, {len(different)} "
        f"{level_title(level)}: {told}"
    )


def not_replayed_text(n_trials: int, seconds: float) -> str:
    """Say what replaying the search would take."""
    return f"not replayed (add --search: {n_trials} trials from the ledger, about {_time(seconds)})"


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d}"


_MEANING: dict[Level, str] = {
    "identical": "The version was made again and predicts the same, to the last bit",
    "equal within 1e-9": "The version was made again; its numbers are equal within 1e-9, not "
    "identical",
    "statistically equal": "The version was made again; it is statistically equal, not identical",
    "failed": "The version could not be made again",
}


def sentence(
    level: Level, checks: Sequence[Check], environment: Sequence[EnvironmentDifference]
) -> str:
    """Return the result in words: the level, where it was lost, and what is not as it was."""
    told = _MEANING[level]
    if level != "identical":
        told += f": {' and '.join(c.name for c in checks if c.level == level)}"
    changed = _listed(map(_difference, environment))
    if changed:
        told += f". Not as recorded: {changed}"
    elif level != "identical" and any(check.name == "probe set" for check in checks):
        told += ". Code, libraries and machine are as recorded, so a record or the data changed"
    return f"{told}."


def as_markdown(report: ReproductionReport) -> str:
    """Return a reproduction as a page of Markdown."""
    lines = [
        f"# {report.name}@{report.version} made again: {level_title(report.level)}",
        "",
        report.sentence,
        "",
        f"* at {report.at}, from data commit `{report.data_commit}`, seed {report.seed}",
        f"* request `{report.request_id}`, card `{report.card_sha256}`",
        f"* trials of the ledger: {report.n_trials}, replayed: {report.n_replayed}",
        "",
        "| check | level | what was found |",
        "| --- | --- | --- |",
        *(f"| {c.name} | {level_title(c.level)} | {_cell(c.text)} |" for c in report.checks),
    ]
    for title, rows in (
        ("Differences", [text for check in report.checks for text in check.differences]),
        ("Environment", [_difference(item) for item in report.environment]),
        (
            "Metrics",
            [
                f"{m.metric}: {m.recorded!r} in the card, {m.found!r} here, {m.level}"
                for m in report.metrics
            ],
        ),
    ):
        if rows:
            lines += ["", f"## {title}", "", *(f"* {_cell(row)}" for row in rows)]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
