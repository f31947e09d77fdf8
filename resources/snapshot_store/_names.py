"""What may be called what, and the digests that every kind of store agrees on."""

import difflib
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from automl_assets.core.errors import SnapshotError
from automl_assets.core.ports import ObjectInfo

_REPOSITORY = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_BRANCH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,254}")
_PIN_BRANCH = re.compile(r"keep-[0-9a-f]{16}(-.*)?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}")
_COMMIT_ID = re.compile(r"[0-9a-f]{64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def is_commit_id(ref: str) -> bool:
    """Whether a ref is spelt like a commit id.

    Examples:
        >>> is_commit_id("main"), is_commit_id("0" * 64)
        (False, True)
    """
    return _COMMIT_ID.fullmatch(ref) is not None


def check_repository_name(repository: str) -> None:
    """Raise SnapshotError unless the name may be that of a repository."""
    if _REPOSITORY.fullmatch(repository) is None:
        raise SnapshotError(
            "A repository is named with 1 to 63 lower-case letters, digits and dashes, "
            f"the first one no dash. Found {repository!r}. Choose another name."
        )


def check_branch_name(branch: str) -> None:
    """Raise SnapshotError unless the name may be that of a branch."""
    is_taken = is_commit_id(branch) or _PIN_BRANCH.fullmatch(branch) is not None
    if _BRANCH.fullmatch(branch) is None or is_taken:
        raise SnapshotError(
            "A branch is named with 1 to 255 letters, digits, dashes and underscores, the first "
            "one no dash, and not like a commit id or a pin (keep-<16 digits>). "
            f"Found {branch!r}. Choose another name."
        )


def check_tag_name(tag: str) -> None:
    """Raise SnapshotError unless the name may be that of a tag."""
    ends_well = not tag.endswith((".", ".lock")) and ".." not in tag
    if _TAG.fullmatch(tag) is None or is_commit_id(tag) or not ends_well:
        raise SnapshotError(
            "A tag is named with 1 to 255 letters, digits, dashes, underscores and dots, the first "
            "one no dash or dot, without '..', '.' or '.lock' at its end, and not like a commit "
            f"id. Found {tag!r}. Choose another name."
        )


def branch_of_key(key: str) -> str:
    """Return the branch that an idempotency key names.

    Examples:
        >>> branch_of_key("churn-1/data_snapshot")
        'churn-1'

    Raises:
        SnapshotError: It is not spelt `<branch>/<what>`.
    """
    branch, slash, what = key.partition("/")
    if not slash or not what or _BRANCH.fullmatch(branch) is None:
        raise SnapshotError(
            "An idempotency key starts with its branch, a slash and then says what is written. "
            f"Found {key!r}. Write it as 'branch/what'."
        )
    return branch


def check_key(key: str, branch: str) -> None:
    """Raise SnapshotError unless the idempotency key belongs to the branch."""
    if branch_of_key(key) != branch:
        raise SnapshotError(
            "An idempotency key starts with its branch, a slash and then says what is written. "
            f"Found {key!r} for branch {branch!r}. Write it as '{branch}/what'."
        )


def check_path(path: str) -> None:
    """Raise SnapshotError unless the path may name an object.

    Examples:
        >>> check_path("data/table.parquet")
        >>> check_path("../table.parquet")
        Traceback (most recent call last):
        ...
        automl_assets.core.errors.SnapshotError: An object's path is relative and normalised, \
without '..' and control characters. Found '../table.parquet'. Write it as 'folder/name'.
    """
    pure = PurePosixPath(path)
    is_normal = path == str(pure) and path != "." and not pure.is_absolute()
    if not is_normal or ".." in pure.parts or _CONTROL.search(path):
        raise SnapshotError(
            "An object's path is relative and normalised, without '..' and control characters. "
            f"Found {path!r}. Write it as 'folder/name'."
        )


def canonical_json(value: Any) -> bytes:
    """Return the one spelling of a JSON value: sorted keys, no spaces, UTF-8.

    Examples:
        >>> canonical_json({"b": 1, "a": "é"}).decode()
        '{"a":"é","b":1}'
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def content_digest(objects: Iterable[ObjectInfo]) -> str:
    """Return the digest of what a commit holds, whoever wrote it and when.

    It is the SHA-256 of the canonical JSON of the sorted `[path, digest]` pairs.
    """
    pairs = sorted([item.path, item.sha256] for item in objects)
    return hashlib.sha256(canonical_json(pairs)).hexdigest()


def near_names(name: str, known: Iterable[str]) -> str:
    """Return a sentence that says what there is, the nearest name first.

    Examples:
        >>> near_names("man", ["main", "staging"])
        "Known: main, staging. Did you mean 'main'?"
        >>> near_names("man", [])
        'There is none yet.'
    """
    names = sorted(known)
    if not names:
        return "There is none yet."
    listed = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    nearest = difflib.get_close_matches(name, names, n=1)
    return f"Known: {listed}." + (f" Did you mean {nearest[0]!r}?" if nearest else "")
