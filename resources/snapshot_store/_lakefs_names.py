"""What the lakeFS adapter calls its own branches, and what lakeFS allows as a name."""

import hashlib
import re
import secrets

from automl_assets.core.errors import SnapshotError
from resources.snapshot_store._names import check_branch_name, check_path, check_repository_name

EMPTY_BRANCH = "automl-empty"
"""Stays at the repository's first commit, which holds nothing: new branches start there."""

KEY, CONTENT, BASE = "key", "content_sha256", "automl_base"
"""Metadata of commits; BASE is the commit that a transaction started from."""

_STAGING, _CLAIM = "automl-tx-", "automl-key-"
_PIN = re.compile(r"keep-[0-9a-f]{16}(-.*)?")
_SHORTEST_REPOSITORY = 3
_LONGEST_PATH_BYTES = 1024


def staging_branch() -> str:
    """Return a new name for the branch of one transaction."""
    return f"{_STAGING}{secrets.token_hex(12)}"


def claim_branch(key: str) -> str:
    """Return the name of the branch that says which commit an idempotency key stands for."""
    return f"{_CLAIM}{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def pin_branch(commit_id: str, owner: str) -> str:
    """Return the name of the branch that keeps a commit from garbage collection for an owner.

    Examples:
        >>> pin_branch("0123456789abcdef" * 4, "model churn 1")
        'keep-0123456789abcdef-ae4afcf2'
    """
    return f"keep-{commit_id[:16]}-{hashlib.sha256(owner.encode()).hexdigest()[:8]}"


def is_own_branch(branch: str) -> bool:
    """Whether a branch belongs to the adapter and not to its users.

    Examples:
        >>> [is_own_branch(name) for name in ("main", "automl-empty", "keep-0123456789abcdef-1")]
        [False, True, True]
    """
    is_pin = _PIN.fullmatch(branch) is not None
    return is_pin or branch == EMPTY_BRANCH or branch.startswith((_STAGING, _CLAIM))


def check_lakefs_repository(repository: str) -> None:
    """Raise SnapshotError unless lakeFS allows a repository of this name."""
    check_repository_name(repository)
    if len(repository) < _SHORTEST_REPOSITORY:
        raise SnapshotError(
            "A repository is named with at least 3 characters where lakeFS keeps it. "
            f"Found {repository!r}. Choose a longer name."
        )


def check_lakefs_branch(branch: str) -> None:
    """Raise SnapshotError unless users may have a branch of this name."""
    check_branch_name(branch)
    if is_own_branch(branch):
        raise SnapshotError(
            f"A branch is named unlike those of the platform itself: {EMPTY_BRANCH!r}, "
            f"'{_STAGING}…', '{_CLAIM}…'. Found {branch!r}. Choose another name."
        )


def check_lakefs_path(path: str) -> None:
    """Raise SnapshotError unless lakeFS allows an object at this path."""
    check_path(path)
    size = len(path.encode())
    if size > _LONGEST_PATH_BYTES:
        raise SnapshotError(
            f"An object's path has at most {_LONGEST_PATH_BYTES} bytes where lakeFS keeps it. "
            f"Found one of {size}, which begins with {path[:60]!r}. Shorten it."
        )
