"""What people see of each asset in Dagit: tables, links and digests."""

import base64
import re
from collections.abc import Mapping

import dagster as dg

from automl_assets.core.families import Params
from automl_assets.core.search.history import history_png
from automl_assets.core.values import (
    AcceptedRequest,
    CandidateSet,
    DataSnapshot,
    EvaluationReport,
    ModelVersion,
    Split,
)

N_COLUMNS_SHOWN = 200
N_CANDIDATES_SHOWN = 50

Metadata = dict[str, dg.MetadataValue | str | int | float]


def _table(rows: list[dict[str, str | int]]) -> dg.TableMetadataValue:
    return dg.MetadataValue.table([dg.TableRecord(row) for row in rows])


def _params_text(params: Params) -> str:
    shown = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in params.items()}
    return ", ".join(f"{name}={value}" for name, value in shown.items())


def fenced(text: str, *, language: str = "") -> dg.MarkdownMetadataValue:
    """Show text as it is: no run of backticks in it can end the fence around it."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return dg.MetadataValue.md(f"{fence}{language}\n{text}\n{fence}")


def request_metadata(accepted: AcceptedRequest) -> Metadata:
    """Who asked for what, and the text of the request."""
    request = accepted.request
    return {
        "name": request.name,
        "owner": request.owner,
        "purpose": request.purpose or "not given",
        "accepted_at": accepted.accepted_at,
        "request_sha256": accepted.request_sha256,
        "request": fenced(request.to_yaml(), language="yaml"),
    }


def snapshot_metadata(snapshot: DataSnapshot, target: str) -> Metadata:
    """The commit, the waterfall of rows, and what each column holds."""
    reasons = {dropped.name: f"dropped: {dropped.reason}" for dropped in snapshot.profile.dropped}
    roles = {**reasons, **dict.fromkeys(snapshot.profile.features, "feature"), target: "target"}
    return {
        "dagster/row_count": snapshot.n_rows,
        "uri": snapshot.uri,
        "data_commit": snapshot.commit_id,
        "content_sha256": snapshot.content_sha256,
        "source": snapshot.source,
        "task": snapshot.profile.task_type,
        "rows": _table([{"step": step.step, "rows": step.n_rows} for step in snapshot.rows]),
        "columns": _table(
            [
                {
                    "column": column.name,
                    "type": column.dtype,
                    "nulls": column.n_nulls,
                    "distinct": column.n_distinct,
                    "role": roles.get(column.name, "not used"),
                }
                for column in snapshot.profile.columns[:N_COLUMNS_SHOWN]
            ]
        ),
    }


def split_metadata(split: Split) -> Metadata:
    """The parts with their rows and digests."""
    return {
        "dagster/row_count": sum(part.n_rows for part in split.parts),
        "strategy": split.strategy,
        "seed": split.seed,
        "parts": _table(
            [
                {"part": part.part, "rows": part.n_rows, "sha256": part.sha256}
                for part in split.parts
            ]
        ),
        "features": len(split.feature_names),
        "preprocessing_version": split.preprocessing_version,
        "data_commit": split.commit_id,
    }


def candidates_metadata(candidates: CandidateSet) -> Metadata:
    """The winner, how the search went, and the leaderboard with the reasons."""
    best = candidates.best
    image = base64.b64encode(history_png(candidates)).decode()
    return {
        "best": f"trial {best.number}, {best.family}, {candidates.metric} {best.score:.6g} "
        "on the validation part",
        "trials": len(candidates.leaderboard),
        "failed": sum(item.state == "failed" for item in candidates.leaderboard),
        "stopped_by": candidates.stopped_by,
        "seconds": candidates.seconds,
        "study": candidates.study_name,
        "ledger_sha256": candidates.ledger_sha256,
        "history": dg.MetadataValue.md(f"![score by trial](data:image/png;base64,{image})"),
        "leaderboard": _table(
            [
                {
                    "trial": item.number,
                    "family": item.family,
                    candidates.metric: "" if item.score is None else f"{item.score:.6g}",
                    "cpu_seconds": f"{item.cpu_seconds or 0:.1f}",
                    "size_kB": f"{(item.model_bytes or 0) / 1000:.0f}",
                    "why not": item.reason,
                    "params": _params_text(item.params),
                }
                for item in candidates.leaderboard[:N_CANDIDATES_SHOWN]
            ]
        ),
    }


def report_metadata(report: EvaluationReport, *, path: str, url: str | None) -> Metadata:
    """The verdict, the numbers with their intervals, and where the report is."""
    return {
        "verdict": dg.MetadataValue.md("\n".join(f"* {line}" for line in report.verdict)),
        "report": dg.MetadataValue.url(url) if url else dg.MetadataValue.path(path),
        "card_sha256": report.card_sha256,
        "metrics": _table(
            [
                {
                    "metric": item.metric,
                    "value": f"{item.value:.6g}",
                    "95 % interval": f"[{item.low:.4g}, {item.high:.4g}]",
                    "no model": f"{base.value:.6g}",
                    "method": item.method,
                }
                for item, base in zip(report.metrics, report.baseline, strict=True)
            ]
        ),
    }


def version_metadata(
    version: ModelVersion, *, data_uri: str, urls: Mapping[str, str | None]
) -> Metadata:
    """The registered version with what it was made from; `urls` may hold unknown ones."""
    known = {name: dg.MetadataValue.url(url) for name, url in urls.items() if url}
    return {
        "model": f"{version.name} version {version.version}",
        "aliases": ", ".join(version.aliases),
        **known,
        "mlflow_run_id": version.mlflow_run_id,
        "data": data_uri,
        "card_sha256": version.card_sha256,
        "artifact_sha256": version.artifact_sha256,
    }
