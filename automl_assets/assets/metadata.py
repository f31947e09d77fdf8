"""What people see of each asset in Dagit: tables, links and digests."""

from collections.abc import Mapping

import dagster as dg

from automl_assets.assets.code import version_of
from automl_assets.core.evaluation.wording import percent
from automl_assets.core.leakage.part_comparison import PartComparison
from automl_assets.core.values import (
    AcceptedRequest,
    DataSnapshot,
    EvaluationReport,
    Finding,
    ModelVersion,
    PeriodCount,
    Split,
    SplitPart,
    TableProfile,
)
from automl_assets.dagit import Metadata, fenced, table

N_COLUMNS_SHOWN = 200

_TAGS_SHOWN = (
    *("data_commit", "probe_sha256", "approval", "verdict"),
    *("git_commit", "git_state", "lock_sha256", "image"),
)


def lineage_metadata(
    asset: str,
    accepted: AcceptedRequest,
    *,
    digest: str,
    snapshot: DataSnapshot | None = None,
) -> Metadata:
    """Where an asset comes from, under the same names on every asset.

    Args:
        asset: Its key.
        digest: Names what was made: equal digests, equal assets.
        snapshot: None where the asset is made before the data are read.
    """
    commit = accepted.data_commit if snapshot is None else snapshot.commit_id
    return {
        "request_id": accepted.request_id,
        "request_sha256": accepted.request_sha256,
        **({"data_commit": commit} if commit else {}),
        "code_version": version_of(asset),
        "digest": digest,
    }


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
    profile = snapshot.profile
    found = {"findings": table([_finding_row(item) for item in profile.findings])}
    over_time = {
        "target_over_time": table(
            [
                {"period": item.period, "rows": item.n_rows, "target": _target_text(item, profile)}
                for item in profile.target_over_time
            ]
        )
    }
    return {
        "dagster/row_count": snapshot.n_rows,
        "uri": snapshot.uri,
        "data_commit": snapshot.commit_id,
        "content_sha256": snapshot.content_sha256,
        "source": snapshot.source,
        "source_sha256": snapshot.source_sha256,
        "task": profile.task_type,
        "duplicates": profile.n_duplicates,
        **(found if profile.findings else {}),
        **(over_time if profile.target_over_time else {}),
        "rows": table([{"step": step.step, "rows": step.n_rows} for step in snapshot.rows]),
        "columns": table(
            [
                {
                    "column": column.name,
                    "type": column.dtype,
                    "holds": column.holds,
                    "nulls": column.n_nulls,
                    "distinct": column.n_distinct,
                    "from": column.minimum or "",
                    "to": column.maximum or "",
                    "role": roles.get(column.name, "not used"),
                }
                for column in snapshot.profile.columns[:N_COLUMNS_SHOWN]
            ]
        ),
    }


def _finding_row(finding: Finding) -> dict[str, str | int]:
    return {
        "rule": finding.rule,
        "column": finding.column,
        "what was done": finding.action,
        "detail": finding.detail,
    }


def _target_text(item: PeriodCount | SplitPart, profile: TableProfile) -> str:
    """Return the share of the last class (the positive one), all classes, or the mean."""
    mean = item.mean if isinstance(item, PeriodCount) else item.target_mean
    if mean is not None:
        return f"mean {mean:.6g}"
    counts = zip(profile.classes, item.class_counts, strict=False)
    shares = [f"{name} {count / max(item.n_rows, 1):.1%}" for name, count in counts]
    return ", ".join(shares[-1:] if profile.task_type == "binary" else shares[:10])


def _comparison_rows(same: PartComparison) -> list[dict[str, str | int]]:
    told = {score.part: score for score in same.domain}
    rows: list[dict[str, str | int]] = []
    for part, copies in same.copies.items():
        score = told.get(part)
        auc = f"{score.auc:.3f} [{score.low:.3f}, {score.high:.3f}]" if score else "not measured"
        columns = ", ".join(score.columns) if score else ""
        rows.append(
            {"part": part, "copies of train": copies, "told from train": auc, "by": columns}
        )
    return rows


def split_metadata(split: Split, profile: TableProfile, same: PartComparison) -> Metadata:
    """The parts with their rows, targets and digests, and what they share or differ in."""
    found = {"findings": table([_finding_row(item) for item in split.findings])}
    return {
        "dagster/row_count": sum(part.n_rows for part in split.parts),
        "strategy": split.strategy,
        "seed": split.seed,
        "parts": table(
            [
                {
                    "part": part.part,
                    "rows": part.n_rows,
                    "target": _target_text(part, profile),
                    "sha256": part.sha256,
                }
                for part in split.parts
            ]
        ),
        "folds": split.n_folds,
        "against_train": table(_comparison_rows(same)),
        **(found if split.findings else {}),
        "features": len(split.feature_names),
        "preprocessing_version": split.preprocessing_version,
        "split_commit": split.commit_id,
    }


def report_metadata(report: EvaluationReport, *, path: str, url: str | None) -> Metadata:
    """The verdict, the numbers with their intervals, and where the report is."""
    return {
        "verdict": dg.MetadataValue.md("\n".join(f"* {line}" for line in report.verdict)),
        "report": dg.MetadataValue.url(url) if url else dg.MetadataValue.path(path),
        "card_sha256": report.card_sha256,
        "metrics": table(
            [
                {
                    "metric": item.metric,
                    "value": f"{item.value:.6g}",
                    f"{percent(item.confidence)} interval": f"[{item.low:.4g}, {item.high:.4g}]",
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
        "semver": version.semver,
        "semver_reason": version.semver_reason,
        "aliases": ", ".join(version.aliases) or "none: waits for approval",
        **known,
        "mlflow_run_id": version.mlflow_run_id,
        "data": data_uri,
        "card_sha256": version.card_sha256,
        "artifact_sha256": version.artifact_sha256,
        **{key: version.tags[key] for key in _TAGS_SHOWN if key in version.tags},
    }
