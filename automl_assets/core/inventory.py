"""The inventory of a folder: a file in it that names every other one with its SHA-256.

Whoever keeps the digest of the inventory somewhere else can tell later of every file
whether it changed, is gone, or was added.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from automl_assets.core.errors import SnapshotError
from automl_assets.core.files import publish_text, sha256_file

INVENTORY = "files.json"


def inventory_text(digests: Mapping[str, str]) -> str:
    """Return the one spelling of an inventory.

    Args:
        digests: SHA-256 by relative path.

    Examples:
        >>> inventory_text({"b": "2", "a": "1"}).split()
        ['{', '"a":', '"1",', '"b":', '"2"', '}']
    """
    return json.dumps(dict(digests), sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def read_inventory(content: bytes) -> dict[str, str]:
    """Return the digests that an inventory names.

    Raises:
        SnapshotError: It is no inventory.
    """
    try:
        found = json.loads(content)
        return {str(name): str(digest) for name, digest in found.items()}
    except (ValueError, AttributeError) as error:
        raise SnapshotError(
            f"{INVENTORY} names each file with its SHA-256, but this one cannot be read: {error}. "
            "Restore it from a backup."
        ) from error


def folder_digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a folder as it is now, but of the inventory itself.

    A link is no file of the folder, whatever it leads to: its digest is that of the words
    `link to` and its target, which no file that was written by us has.
    """
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = hashlib.sha256(f"link to {path.readlink()}".encode()).hexdigest()
        elif path.is_file() and name != INVENTORY:
            found[name] = sha256_file(path)
    return found


def write_inventory(folder: Path) -> str:
    """Write the inventory of a folder into it, and return its SHA-256.

    Equal files give equal bytes.
    """
    text = inventory_text(folder_digests(folder))
    publish_text(folder / INVENTORY, text)
    return hashlib.sha256(text.encode()).hexdigest()
