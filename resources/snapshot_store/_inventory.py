"""All that the refs say about one repository, as of one moment, for those who keep house."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from resources.snapshot_store._refs import Refs


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """The commits of a repository and what leads to them.

    Attributes:
        created: Of each commit, the oldest commit first.
        parents: Of each commit that has some.
        pins: Owner and commit.
    """

    repository: str
    created: Mapping[str, str]
    parents: Mapping[str, tuple[str, ...]]
    branches: Mapping[str, str]
    tags: Mapping[str, str]
    pins: tuple[tuple[str, str], ...]

    @property
    def held(self) -> set[str]:
        """The commits that tags and pins name."""
        return {*self.tags.values(), *(commit_id for _, commit_id in self.pins)}

    def history(self, starts: Iterable[str]) -> set[str]:
        """Return commits and all commits that led to them."""
        found: set[str] = set()
        waiting = list(starts)
        while waiting:
            commit_id = waiting.pop()
            if commit_id not in found:
                found.add(commit_id)
                waiting.extend(self.parents.get(commit_id, ()))
        return found

    def dangling(self) -> list[tuple[str, str]]:
        """Return each ref, in words, that leads to a commit which is not there."""
        named = [
            *((f"Branch {name!r}", commit_id) for name, commit_id in self.branches.items()),
            *((f"Tag {name!r}", commit_id) for name, commit_id in self.tags.items()),
            *((f"The pin of {owner!r}", commit_id) for owner, commit_id in self.pins),
        ]
        return [(what, commit_id) for what, commit_id in named if commit_id not in self.created]


def take_inventory(refs: Refs, repository: str) -> Inventory:
    """Read all refs and commits of a repository; about 300 bytes of memory a commit."""
    parents: dict[str, tuple[str, ...]] = {}
    for commit_id, parent in refs.parents(repository):
        parents[commit_id] = (*parents.get(commit_id, ()), parent)
    return Inventory(
        repository=repository,
        created=refs.commits(repository),
        parents=parents,
        branches=refs.branches(repository),
        tags=refs.tags(repository),
        pins=tuple(refs.pins(repository)),
    )
