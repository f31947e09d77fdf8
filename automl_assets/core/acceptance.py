"""Whether a snapshot may be trained on, and the memory of those that were.

Each repository has a branch of small commits, one for each request whose
snapshot kept its contract. They hold the profile and the contract, not the
table, so that later data can be compared with them even after the table itself
was cleared away.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

from automl_assets.core.contract import (
    ColumnDrift,
    ContractReport,
    DataContract,
    check_contract,
    check_snapshot,
    compare_contracts,
    compare_profiles,
    parse_contract,
)
from automl_assets.core.ports import Commit, SnapshotStore
from automl_assets.core.request import TrainingRequest
from automl_assets.core.staging import Staging
from automl_assets.core.values import AcceptedRequest, DataSnapshot

BRANCH = "accepted"
_RECORD, _SNAPSHOT, _CONTRACT = "accepted.json", "snapshot.json", "contract.yaml"


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """A snapshot that kept its contract.

    Attributes:
        contract: The text of the contract; empty if there was none.
    """

    request_id: str
    snapshot: DataSnapshot
    contract: str


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the rules say of a snapshot, and how it differs from the last accepted one.

    Attributes:
        contract: The text of the user's contract; empty if there is none.
        contract_name: How the request names it.
        previous: The request of the last accepted snapshot; empty if there is none.
        drift: Of the table against that snapshot; empty without one.
        contract_drift: Of what is asked of it.
    """

    report: ContractReport
    contract: str
    contract_name: str
    previous: str
    drift: tuple[ColumnDrift, ...]
    contract_drift: tuple[ColumnDrift, ...]

    @property
    def message(self) -> str:
        """What a person reads first."""
        return self.report.message(self.contract_name)


def judge_snapshot(
    accepted: AcceptedRequest, snapshot: DataSnapshot, *, store: SnapshotStore, scratch: Path
) -> Judgement:
    """Try the platform's rules, and those of the user's contract, on every row of a snapshot.

    The user's contract is tried on a table whose columns are as profiled; ages
    are counted to the moment at which the request was accepted.

    Args:
        scratch: Folder for temporary files, 8 bytes a row.
    """
    table = store.scan(snapshot.repository, snapshot.commit_id, snapshot.path)
    last = last_acceptance(snapshot.repository, store=store, before=accepted.request_id)
    text, contract = _contract(snapshot, store)
    report = check_snapshot(table, snapshot.profile, accepted.request)
    found = {name: str(dtype) for name, dtype in table.collect_schema().items()}
    as_profiled = found == {column.name: column.dtype for column in snapshot.profile.columns}
    if contract is not None and as_profiled:
        with Staging(scratch) as staging:
            kept = check_contract(
                table,
                contract,
                previous=last.snapshot.profile if last else None,
                as_of=_moment(accepted.accepted_at),
                profile=snapshot.profile,
                left_out=left_out(contract, accepted.request),
                scratch=staging.folder,
            )
        report = ContractReport.of((*report.rules, *kept.rules))
    before = parse_contract(last.contract, filename=_CONTRACT) if last and last.contract else None
    return Judgement(
        report=report,
        contract=text,
        contract_name=accepted.request.data.expect or "",
        previous=last.request_id if last else "",
        drift=compare_profiles(last.snapshot.profile, snapshot.profile) if last else (),
        contract_drift=compare_contracts(before, contract) if last else (),
    )


def accept(snapshot: DataSnapshot, accepted: AcceptedRequest, *, store: SnapshotStore) -> Commit:
    """Record that a snapshot kept its contract; the second call finds the first one's record.

    Requests that do so at the same time are recorded one after the other.
    """
    text, _ = _contract(snapshot, store)
    record = {
        "request_id": accepted.request_id,
        "accepted_at": accepted.accepted_at,
        "data_commit": snapshot.commit_id,
        "content_sha256": snapshot.content_sha256,
        "contract_sha256": hashlib.sha256(text.encode()).hexdigest() if text else "",
    }
    with store.write(
        snapshot.repository,
        branch=BRANCH,
        key=_key(accepted.request_id),
        message=f"Accepted the snapshot of {accepted.request_id}",
        metadata={"request_id": accepted.request_id, "data_commit": snapshot.commit_id},
    ) as transaction:
        transaction.put_bytes(_RECORD, json.dumps(record, sort_keys=True).encode())
        transaction.put_bytes(_SNAPSHOT, snapshot.model_dump_json().encode())
        if text:
            transaction.put_bytes(_CONTRACT, text.encode())
        else:
            transaction.remove(_CONTRACT)
    return transaction.commit


def is_accepted(accepted: AcceptedRequest, *, store: SnapshotStore) -> bool:
    """Return whether a snapshot of this request kept its contract."""
    return store.find(accepted.request.name, _key(accepted.request_id)) is not None


def last_acceptance(
    repository: str, *, store: SnapshotStore, before: str | None = None
) -> Acceptance | None:
    """Return the last acceptance in a repository, or None if there is none yet.

    Args:
        repository: One that was made already.
        before: A request id. If it was accepted itself, the acceptance before its
            own is returned, so that a second run compares with the same data.
    """
    own = store.find(repository, _key(before)) if before else None
    if own is not None:
        commit_id = own.parents[0] if own.parents else None
    else:
        commit_id = store.branches(repository).get(BRANCH)
    if commit_id is None:
        return None
    paths = {item.path for item in store.objects(repository, commit_id)}
    if _RECORD not in paths:
        # A server may begin a branch with a commit of its own.
        return None
    contract = store.read_bytes(repository, commit_id, _CONTRACT) if _CONTRACT in paths else b""
    record = json.loads(store.read_bytes(repository, commit_id, _RECORD))
    return Acceptance(
        request_id=record["request_id"],
        snapshot=DataSnapshot.model_validate_json(
            store.read_bytes(repository, commit_id, _SNAPSHOT)
        ),
        contract=contract.decode(),
    )


def _key(request_id: str) -> str:
    return f"{BRANCH}/{request_id}"


def _contract(snapshot: DataSnapshot, store: SnapshotStore) -> tuple[str, DataContract | None]:
    if not snapshot.contract_path:
        return "", None
    content = store.read_bytes(snapshot.repository, snapshot.commit_id, snapshot.contract_path)
    text = content.decode()
    return text, parse_contract(text, filename=snapshot.contract_path)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def left_out(contract: DataContract, request: TrainingRequest) -> set[str]:
    """Return the columns of a contract that the request did not take from the source."""
    data = request.data
    roles = {data.target, data.id, data.time, data.group}

    def matches(name: str, patterns: tuple[str, ...]) -> bool:
        return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)

    return {
        name
        for name in contract.columns
        if name not in roles
        and (matches(name, data.features.exclude) or not matches(name, data.features.include))
    }
