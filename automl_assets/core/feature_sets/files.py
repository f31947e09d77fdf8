"""Feature sets on disk, where every worker of a search finds them."""

from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from automl_assets.core.errors import SnapshotError
from automl_assets.core.feature_sets.transform import ALL, FeatureSet
from automl_assets.core.files import publish_text


def _file(folder: Path, name: str) -> Path:
    return folder / f"features-{name}.json"


def write_feature_sets(folder: Path, sets: Iterable[FeatureSet]) -> None:
    """Write each set into a file of its own; `all` needs none."""
    for item in sets:
        if item.name != ALL:
            publish_text(_file(folder, item.name), item.model_dump_json())


def read_feature_set(folder: Path, name: str) -> FeatureSet | None:
    """Read one set; None for `all`.

    Raises:
        SnapshotError: There is no such set, or its file is damaged.
    """
    if name == ALL:
        return None
    file = _file(folder, name)
    try:
        return FeatureSet.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        found = "is damaged" if isinstance(error, ValidationError) else "cannot be read"
        raise SnapshotError(
            f"The feature set {name!r} of a search must be in {file}, but that file {found}. "
            "Run the request again."
        ) from error
