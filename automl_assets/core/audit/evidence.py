"""What an audit looks at: where things are kept, and what one version says of itself."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl_assets.core.ports import (
    AcceptedRequests,
    ModelRegistry,
    RegistryRecord,
    ReleaseLog,
    SnapshotStore,
)
from automl_assets.core.values import ModelVersion

CARD = "card.json"


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where the platform keeps things.

    Attributes:
        values: Folder of the JSON values of assets.
        reports: Folder of the reports of requests, one folder each.
        studies: Folder of the searches, one folder each.
        predictions: Folder of the prediction logs.
        here: What the running code and its environment are, as `code_origin` tells.
    """

    store: SnapshotStore
    registry: ModelRegistry
    requests: AcceptedRequests
    releases: ReleaseLog
    values: Path
    reports: Path
    studies: Path
    predictions: Path
    here: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One version, as the registry and its card tell of it.

    Attributes:
        card: The card as JSON; that whose digest was registered, where one copy still has it.
            Empty where there is none.
    """

    places: Places
    version: ModelVersion
    versions: tuple[ModelVersion, ...]
    record: RegistryRecord
    card: Mapping[str, Any]

    @property
    def request_id(self) -> str:
        """The request that made the version."""
        return self.tag("automl.request_id")

    def tag(self, name: str) -> str:
        """Return a tag of the version; empty where it has none."""
        return self.version.tags.get(name, "")

    def told(self, *path: str | int) -> Any:
        """Return what the card says at a place; None where it says nothing."""
        return dig(self.card, *path)


def dig(content: Any, *path: str | int) -> Any:
    """Return what stands at a place of JSON content; None where nothing does.

    Examples:
        >>> dig({"a": [{"b": 1}]}, "a", 0, "b"), dig({"a": []}, "a", 0, "b")
        (1, None)
    """
    for step in path:
        try:
            content = content[step]
        except (KeyError, IndexError, TypeError):
            return None
    return content


def gather(
    places: Places,
    version: ModelVersion,
    versions: tuple[ModelVersion, ...],
    record: RegistryRecord,
) -> Evidence:
    """Return the evidence about a version; its card is never trusted more than its tag."""
    folders = [record.report, places.reports / _plain(version.tags.get("automl.request_id", ""))]
    files = [folder / CARD for folder in folders if folder is not None]
    contents = [file.read_bytes() for file in files if file.is_file()]
    # A copy that still has the digest that was registered tells more than one that has not.
    contents.sort(key=lambda content: sha256(content) != version.card_sha256)
    parsed = (parse_json(content) for content in contents)
    card = next((item for item in parsed if isinstance(item, dict)), {})
    return Evidence(places=places, version=version, versions=versions, record=record, card=card)


def _plain(name: str) -> str:
    """Return a name that cannot lead out of a folder: it comes from a tag."""
    return Path(name).name or "unknown"


def parse_json(content: bytes) -> Any:
    """Return JSON content, or None if it is none."""
    try:
        return json.loads(content)
    except ValueError:
        return None


def sha256(content: bytes) -> str:
    """Return the hexadecimal SHA-256 of some bytes."""
    return hashlib.sha256(content).hexdigest()


def canonical_sha256(content: Any) -> str:
    """Return the digest of JSON content in its one spelling: keys sorted, no spaces, UTF-8."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(text.encode())
