"""What data must be before anything is trained on it."""

import warnings

import dagster as dg

from automl_assets.core.contract import check_snapshot
from automl_assets.core.ports import Progress, SnapshotStore
from automl_assets.core.prepare import snapshot_table
from automl_assets.core.values import AcceptedRequest, DataSnapshot
from automl_assets.partitions import training_requests

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
    progress: dg.ResourceParam[Progress],
) -> dg.AssetCheckResult:
    """Every rule on every row; nothing is trained on a table that breaks one."""
    table = snapshot_table(data_snapshot, snapshot_store)
    report = check_snapshot(table, data_snapshot.profile, training_request.request)
    broken = [rule for rule in report.rules if not rule.passed]
    for rule in broken:
        progress.stage("broken", f"{rule.name}: {rule.detail}")
    return dg.AssetCheckResult(
        passed=report.passed,
        description="; ".join(f"{rule.name}: {rule.detail}" for rule in broken)
        or f"All {len(report.rules)} rules hold.",
        metadata={
            "rules": dg.MetadataValue.table(
                [
                    dg.TableRecord(
                        {
                            "rule": rule.name,
                            "passed": rule.passed,
                            "violations": rule.n_violations,
                            "detail": rule.detail,
                        }
                    )
                    for rule in report.rules
                ]
            )
        },
    )
