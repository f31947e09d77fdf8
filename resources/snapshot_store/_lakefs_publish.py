"""How the commit of a transaction reaches its branch, once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from automl_assets.core.errors import ServiceError, SnapshotError
from resources.snapshot_store._lakefs_answers import (
    CONFLICT,
    NOT_FOUND,
    Refused,
    Server,
    Unanswered,
)
from resources.snapshot_store._lakefs_client import CommitRecord, ControlPlane
from resources.snapshot_store._lakefs_names import KEY, claim_branch


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a transaction is to become.

    Attributes:
        base: Head of the branch when the transaction began; the repository's first
            commit if there was no such branch.
        is_new: Whether there was none.
    """

    repository: str
    branch: str
    key: str
    message: str
    metadata: Mapping[str, str]
    base: str
    is_new: bool


class Publisher:
    """Brings the commit of a transaction's hidden branch to the branch it was made for.

    A new branch is made at the commit, in one step. An existing one takes it by a merge.
    Merges of one key are told apart from each other by a claim: a branch whose name
    follows from the key, so that the server lets only one writer make it. Whoever finds
    a claim, of a living writer or a dead one, finishes that writer's work instead of its
    own. So there is one commit with a key, whenever writers die.
    """

    def __init__(self, target: Target, *, server: Server, control: ControlPlane) -> None:
        self._target = target
        self._server = server
        self._control = control

    def publish(self, staged: CommitRecord | None) -> CommitRecord:
        """Return the one commit of the branch that has the key.

        Args:
            staged: The commit of the hidden branch; None if the transaction changed nothing.

        Raises:
            SnapshotError: It changed nothing, or its branch is gone.
        """
        for _ in self._server.patience.tries():
            found = self.find()
            if found is not None:
                return found
            if staged is None:
                raise SnapshotError(
                    "A transaction must change something. That of key "
                    f"{self._target.key!r} changes nothing on branch {self._target.branch!r} of "
                    f"{self._target.repository!r}. Put or remove an object."
                )
            head = self._control.branch(self._target.repository, self._target.branch)
            if head is not None:
                found = self._publish_by_merge(staged)
            elif self._target.is_new:
                found = self._publish_by_branch(staged)
            else:
                raise SnapshotError(
                    "A branch must stay while a transaction on it goes on. "
                    f"{self._target.branch!r} of {self._target.repository!r} was deleted "
                    "meanwhile. Nothing was committed; write again."
                )
            if found is not None:
                return found
        raise ServiceError(
            f"lakeFS at {self._server.endpoint} must let a writer of branch "
            f"{self._target.branch!r} of {self._target.repository!r} finish. Others changed it "
            f"all the time for {self._server.patience.seconds:g} s. Nothing was committed; "
            "run again."
        )

    def find(self) -> CommitRecord | None:
        """Return the commit of the branch that has the key."""
        target = self._target
        return find_commit(self._control, target.repository, target.branch, target.key)

    def _publish_by_branch(self, staged: CommitRecord) -> CommitRecord | None:
        target = self._target
        try:
            self._control.create_branch(
                target.repository, target.branch, staged.commit_id, hidden=False
            )
        except Refused as error:
            if error.status != CONFLICT:
                raise self._server.refused(f"Making branch {target.branch!r}", error) from error
            return None  # another writer was first, or the answer of an earlier try was lost
        return staged

    def _publish_by_merge(self, staged: CommitRecord) -> CommitRecord | None:
        target, claim = self._target, claim_branch(self._target.key)
        try:
            self._control.create_branch(target.repository, claim, staged.commit_id, hidden=True)
        except Refused as error:
            if error.status != CONFLICT:
                raise self._server.refused(f"Making branch {claim!r}", error) from error
        claimed = self._control.branch(target.repository, claim)
        record = self._control.get_commit(target.repository, claimed) if claimed else None
        if record is None:
            return None  # its writer has finished meanwhile
        try:
            # What was published before the claim was made is found by the first look.
            found = self._merge(record)
        except SnapshotError:
            self._control.delete_branch(target.repository, claim)
            raise
        # After a ServiceError the claim stays: the server may still be merging.
        self._control.delete_branch(target.repository, claim)
        return found

    def _merge(self, claimed: CommitRecord) -> CommitRecord:
        target = self._target

        def act() -> CommitRecord | None:
            self._control.merge(
                target.repository,
                claimed.commit_id,
                target.branch,
                message=claimed.message,
                metadata=claimed.metadata,
                strategy="source-wins",
            )
            return self.find()

        left = f"The commit {claimed.commit_id} waits for it in {target.repository!r}."
        return act_once(self._server, f"The merge of key {target.key!r}", self.find, act, left=left)


def find_commit(
    control: ControlPlane, repository: str, branch: str, key: str
) -> CommitRecord | None:
    """Return the commit with an idempotency key on a branch, if there are both."""
    try:
        for record in control.log(repository, branch, first_parent=True):
            if record.metadata.get(KEY) == key:
                return record
    except Refused as error:
        if error.status != NOT_FOUND:
            raise
    return None


def act_once(
    server: Server,
    what: str,
    find: Callable[[], CommitRecord | None],
    act: Callable[[], CommitRecord | None],
    *,
    left: str,
) -> CommitRecord:
    """Do what must not be done twice: before each try look whether it was done.

    Args:
        find: Returns what the act made, if an earlier try did it.
        act: Asks once.
        left: A sentence about what is left on the server if it does not answer.
    """

    def attempt() -> CommitRecord:
        found = find() or act()
        if found is None:
            raise Unanswered("it was done but cannot be found yet")
        return found

    try:
        return server.ask(what, attempt, left=left)
    except Refused as error:
        found = find()
        if found is None:
            raise server.refused(what, error) from error
        return found
