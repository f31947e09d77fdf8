"""How often the analysis part was opened, and what that costs in confidence.

Rows that judge one set of candidates after another are chosen for in the end. So each set
opens them once, each opening is a commit that nobody can take back, and each further one
halves the chance of error that its intervals may have.
"""

import hashlib
import json

from pydantic import Field

from automl_assets.core.errors import SnapshotError
from automl_assets.core.ingest import TABLE_PATH
from automl_assets.core.ports import Commit, SnapshotStore
from automl_assets.core.values import Split, Value

_PAGE = 100
_MOST_HALVINGS = 30
"""A chance of error of 5e-11; halved further, floating point numbers call it none."""


class Opening(Value):
    """One opening of an analysis part by one set of candidates."""

    number: int = Field(description="From 1, among all openings of these rows.")
    analysis: str = Field(description="Branch that keeps the openings of these rows.")
    candidates_sha256: str = Field(description="Digest of the set of candidates.")
    request_id: str = Field(description="Request that opened the rows for this set first.")

    @property
    def confidence(self) -> float:
        """Confidence of all intervals of this opening: 0.95, 0.975, 0.9875, ..."""
        return 1 - 0.05 / 2 ** min(self.number - 1, _MOST_HALVINGS)


def open_analysis(
    store: SnapshotStore, split: Split, *, request_id: str, candidates_sha256: str
) -> Opening:
    """Open the analysis part for a set of candidates; the same set again is the same opening.

    Rows are the same where data and row numbers are, whichever request made the split. Two
    processes may open at once: the order of their commits decides.

    Args:
        candidates_sha256: Digest of what was searched; another one is another opening.

    Raises:
        SnapshotError: The split's commit is not there, or the store cannot be written.
    """
    branch = _branch(store, split)
    key = f"{branch}/{candidates_sha256}"
    commit = store.find(split.repository, key)
    if commit is None:
        record = {"candidates_sha256": candidates_sha256, "request_id": request_id}
        with store.write(
            split.repository,
            branch=branch,
            key=key,
            message=f"Open the analysis part for {request_id}",
            metadata=record,
        ) as transaction:
            content = json.dumps(record, sort_keys=True).encode()
            transaction.put_bytes(f"openings/{candidates_sha256}.json", content)
        commit = transaction.commit
    number = len(_records(store, split.repository, commit.commit_id))
    return _opening(number, branch, commit)


def list_openings(
    store: SnapshotStore, split: Split, request_id: str | None = None
) -> tuple[Opening, ...]:
    """Return the openings of a split's analysis part, oldest first.

    Args:
        request_id: Only those that this request made; their numbers stay.
    """
    branch = _branch(store, split)
    try:
        head = store.resolve(split.repository, branch)
    except SnapshotError:
        return ()
    records = _records(store, split.repository, head.commit_id)[::-1]
    openings = (_opening(number, branch, commit) for number, commit in enumerate(records, start=1))
    return tuple(item for item in openings if request_id in (None, item.request_id))


def _branch(store: SnapshotStore, split: Split) -> str:
    """Return the branch of all openings of the rows that a split's analysis part holds."""
    # The table's own digest: beside it lies what differs from request to request.
    (table,) = store.objects(split.repository, split.commit_id, TABLE_PATH)
    named = f"{table.sha256} {split.part('analysis').sha256}"
    return f"analysis-{hashlib.sha256(named.encode()).hexdigest()[:24]}"


def _records(store: SnapshotStore, repository: str, commit_id: str) -> list[Commit]:
    """Return the openings up to a commit, newest first; a store may begin with one of its own."""
    found: list[Commit] = []
    after: str | None = None
    while True:
        page = store.log(repository, commit_id, limit=_PAGE, after=after)
        found += [commit for commit in page if "candidates_sha256" in commit.metadata]
        if len(page) < _PAGE:
            return found
        after = page[-1].commit_id


def _opening(number: int, branch: str, commit: Commit) -> Opening:
    return Opening(
        number=number,
        analysis=branch,
        candidates_sha256=commit.metadata["candidates_sha256"],
        request_id=commit.metadata["request_id"],
    )
