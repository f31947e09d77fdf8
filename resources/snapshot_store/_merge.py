"""What two histories come to, and how two trees differ."""

from automl_assets.core.errors import SnapshotError
from automl_assets.core.ports import Change, ObjectInfo
from resources.snapshot_store._commits import Tree, digests

_N_SHOWN = 5


def changes(left: Tree, right: Tree) -> list[Change]:
    """Return how the right tree differs from the left one, sorted by path."""
    before, after = digests(left), digests(right)
    found: list[Change] = []
    for path in sorted(before.keys() | after.keys()):
        if path not in before:
            found.append(Change(path=path, kind="added"))
        elif path not in after:
            found.append(Change(path=path, kind="removed"))
        elif before[path] != after[path]:
            found.append(Change(path=path, kind="changed"))
    return found


def merge_trees(
    base: Tree, *, source: Tree, destination: Tree, names: tuple[str, str]
) -> dict[str, ObjectInfo]:
    """Return the destination with what changed in the source since their common past.

    Args:
        base: What both held when their histories parted; empty if they never met.
        names: Of the source and destination branches, for the message.

    Raises:
        SnapshotError: Both changed a path, to different content.
    """
    merged = dict(destination)
    theirs = {change.path for change in changes(base, source)}
    ours = {change.path for change in changes(base, destination)}
    conflicts = []
    for path in sorted(theirs):
        item = source.get(path)
        if path in ours:
            held = destination.get(path)
            if (held and held.sha256) != (item and item.sha256):
                conflicts.append(path)
        elif item is None:
            merged.pop(path, None)
        else:
            merged[path] = item
    if conflicts:
        more = f" and {len(conflicts) - _N_SHOWN} more" if len(conflicts) > _N_SHOWN else ""
        shown = ", ".join(repr(path) for path in conflicts[:_N_SHOWN]) + more
        raise SnapshotError(
            "A merge brings what one branch changed and the other did not. "
            f"Both {names[0]!r} and {names[1]!r} changed {shown}: a conflict. "
            f"Nothing was merged; write to {names[1]!r} what is right."
        )
    return merged
