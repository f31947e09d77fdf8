"""What data must be before anything is trained on it."""

import warnings

import dagster as dg

from automl_assets.core.acceptance import Judgement, accept, judge_snapshot
from automl_assets.core.contract import ColumnDrift
from automl_assets.core.ports import Progress, SnapshotStore
from automl_assets.core.values import AcceptedRequest, DataSnapshot, Finding, Split
from automl_assets.dagit import Metadata, fenced, table
from automl_assets.partitions import training_requests
from automl_assets.settings import Settings

MAX_ROWS_SHOWN = 200
"""Of a table of metadata: more of them slow the page down, and nobody reads them."""

# Checks per partition are a preview of Dagster's; we accept that they may change with a release.
warnings.filterwarnings("ignore", "Specifying a partitions_def on", category=dg.PreviewWarning)


@dg.asset_check(
    asset="data_snapshot",
    blocking=True,
    partitions_def=training_requests,
    additional_ins={"training_request": dg.AssetIn("training_request")},
)
def data_contract(
    data_snapshot: DataSnapshot,
    training_request: AcceptedRequest,
    snapshot_store: dg.ResourceParam[SnapshotStore],
    settings: dg.ResourceParam[Settings],
    progress: dg.ResourceParam[Progress],
) -> dg.AssetCheckResult:
    """Every rule on every row; nothing is trained on a table that breaks one.

    The platform's rules, and those of the contract that the request names. A
    snapshot that keeps them all is what the next one is compared with.
    """
    judgement = judge_snapshot(
        training_request, data_snapshot, store=snapshot_store, scratch=settings.scratch_folder
    )
    for rule in judgement.report.broken:
        progress.stage("broken", f"{rule.name}: {rule.detail} {rule.cure}".rstrip())
    if judgement.report.passed:
        accept(data_snapshot, training_request, store=snapshot_store)
    return dg.AssetCheckResult(
        passed=judgement.report.passed,
        description=judgement.message,
        metadata=_judgement_metadata(judgement),
    )


@dg.asset_check(asset="splits", blocking=False, partitions_def=training_requests)
def split_comparison(splits: Split) -> dg.AssetCheckResult:
    """Whether the parts are strangers to each other, and yet alike.

    Rows that two parts share make a score too good; parts that a model can tell
    apart make it say little about new data.
    """
    told = [item for item in splits.findings if item.action in ("blocked", "warned")]
    return dg.AssetCheckResult(
        passed=not told,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(item.detail for item in told)
        or "The parts share few rows or none, and can hardly be told apart.",
        metadata=_findings_metadata(splits.findings),
    )


def _findings_metadata(findings: tuple[Finding, ...]) -> Metadata:
    if not findings:  # Dagster takes no table without rows
        return {}
    return {
        "findings": table(
            [
                {
                    "rule": item.rule,
                    "column": item.column,
                    "action": item.action,
                    "value": _number(item.value),
                    "limit": _number(item.limit),
                    "detail": item.detail,
                }
                for item in findings[:MAX_ROWS_SHOWN]
            ]
        )
    }


def _judgement_metadata(judgement: Judgement) -> Metadata:
    rules = judgement.report.rules
    # The broken ones first: a wide table has more rules than are shown.
    ordered = sorted(rules, key=lambda rule: rule.passed)
    metadata: Metadata = {
        "n_rules": len(rules),
        "n_broken": len(judgement.report.broken),
        "rules": table(
            [
                {
                    "rule": rule.name,
                    "passed": rule.passed,
                    "violations": rule.n_violations,
                    "share": "" if rule.share is None else f"{rule.share:.4g}",
                    "detail": rule.detail,
                    "cure": rule.cure,
                }
                for rule in ordered[:MAX_ROWS_SHOWN]
            ]
        ),
        "compared_with": judgement.previous or "nothing: no snapshot was accepted before",
    }
    first = [
        {"rule": rule.name, "row": case.row, "value": case.value}
        for rule in judgement.report.broken
        for case in rule.first
    ]
    if first:
        metadata["first_rows"] = table(first[:MAX_ROWS_SHOWN])
    if judgement.drift:
        metadata["drift"] = _drift_table(judgement.drift)
    if judgement.contract_drift:
        metadata["contract_drift"] = _drift_table(judgement.contract_drift)
    if judgement.contract:
        metadata["contract"] = fenced(judgement.contract, language="yaml")
    return metadata


def _drift_table(drift: tuple[ColumnDrift, ...]) -> dg.TableMetadataValue:
    return table(
        [
            {
                "column": item.column,
                "what": item.what,
                "before": item.before,
                "after": item.after,
                "size": _number(item.size),
                "notable": item.notable,
            }
            for item in sorted(drift, key=lambda item: not item.notable)[:MAX_ROWS_SHOWN]
        ]
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
