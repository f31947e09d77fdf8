"""An audit: from a prediction or a version back to its source, each digest computed again now.

The chain: prediction, version, model, report, probe, candidate, ledger, splits, data,
source, request, owner, approvals, history, code, lock, environment, and the copies in the
home. Where two independent records of one fact exist, they are compared, too.

An audit reads all bytes of the data commit once; memory does not grow with them.

What it cannot find: a change by somebody who rewrites every record of a fact together,
in the registry, on the card and in the store. The card's digest, kept somewhere else,
shows that as well.
"""

from automl_assets.core.audit.code import code_link, environment_link, lock_link
from automl_assets.core.audit.copies import values_link
from automl_assets.core.audit.data import data_link, source_link, splits_link
from automl_assets.core.audit.evidence import Places, gather
from automl_assets.core.audit.prediction import prediction_link
from automl_assets.core.audit.registered import model_link, probe_link, report_link, version_link
from automl_assets.core.audit.release import approvals_link, history_link
from automl_assets.core.audit.request import owner_link, read_asked, request_link
from automl_assets.core.audit.result import AuditReport, Check, Fact, Link, sentences
from automl_assets.core.audit.search import candidate_link, ledger_link
from automl_assets.core.prediction_log import PredictionBatch, PredictionId
from automl_assets.core.values import ModelVersion

__all__ = [
    "AuditReport",
    "Check",
    "Fact",
    "Link",
    "Places",
    "audit_version",
    "sentences",
]


def audit_version(
    places: Places,
    version: ModelVersion,
    *,
    at: str,
    prediction: tuple[PredictionId, PredictionBatch] | None = None,
) -> AuditReport:
    """Follow a version back to its source.

    Args:
        at: The time now, UTC, ISO 8601.
        prediction: A prediction of the version, with its batch, to begin with.

    Raises:
        ServiceError: A server refused or did not answer: nothing can be said then.
    """
    versions = tuple(v for v in places.registry.list_versions() if v.name == version.name)
    with places.registry.inspect(version) as record:
        evidence = gather(places, version, versions, record)
        asked = read_asked(evidence)
        accepted_commit = None if asked.accepted is None else asked.accepted.data.commit or ""
        first = () if prediction is None else (prediction_link(evidence, *prediction),)
        links = (
            *first,
            version_link(evidence),
            model_link(evidence),
            report_link(evidence),
            probe_link(evidence),
            candidate_link(evidence),
            ledger_link(evidence),
            splits_link(evidence),
            data_link(evidence),
            source_link(evidence, accepted_commit),
            request_link(evidence, asked),
            owner_link(evidence, asked),
            approvals_link(evidence),
            history_link(evidence),
            code_link(evidence),
            lock_link(evidence),
            environment_link(evidence),
            values_link(evidence, asked),
        )
    return AuditReport(
        subject=str(prediction[0]) if prediction else f"{version.name}@{version.version}",
        name=version.name,
        version=version.version,
        audited_at=at,
        links=links,
    )
