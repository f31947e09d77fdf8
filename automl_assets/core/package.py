"""The model package: a folder with all that a prediction needs, and no code.

    model.json            manifest: what the model is, and the SHA-256 of every other file
    preprocessing.json    from raw columns to the matrix
    model/                the family's own files

The SHA-256 of `model.json` names the package. Parsers of model files trust
their input (of 400 damaged `.cbm` files 254 loaded silently and 7 crashed the
process), so every digest is verified before any parser sees a byte.
"""

import hashlib
import shutil
from pathlib import Path
from tempfile import mkdtemp

from automl_assets.core.encoding import Preprocessing
from automl_assets.core.errors import SnapshotError
from automl_assets.core.families import FittedModel, Params
from automl_assets.core.files import fsync_path, sha256_file
from automl_assets.core.values import TaskType, Value

MANIFEST = "model.json"
PREPROCESSING = "preprocessing.json"
MODEL_FOLDER = "model"


class PackageManifest(Value):
    """What a model is.

    Attributes:
        classes: As in `TableProfile.classes`; empty for regression.
        files: SHA-256 of every file of the package but the manifest, by relative path.
    """

    format: str = "automl/model/v1"
    family: str
    params: Params
    task_type: TaskType
    classes: tuple[str, ...]
    target: str
    n_iterations: int | None
    files: dict[str, str]


def write_package(
    folder: Path,
    model: FittedModel,
    preprocessing: Preprocessing,
    *,
    family: str,
    params: Params,
    task_type: TaskType,
    classes: tuple[str, ...],
    target: str,
) -> str:
    """Write a package; it appears under `folder` whole or not at all.

    Args:
        folder: Final place. An earlier package there is replaced.

    Returns:
        SHA-256 of the manifest.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        (scratch / MODEL_FOLDER).mkdir()
        model.save(scratch / MODEL_FOLDER)
        (scratch / PREPROCESSING).write_text(preprocessing.model_dump_json())
        files = sorted(path for path in scratch.rglob("*") if path.is_file())
        manifest = PackageManifest(
            family=family,
            params=params,
            task_type=task_type,
            classes=classes,
            target=target,
            n_iterations=model.n_iterations,
            files={path.relative_to(scratch).as_posix(): sha256_file(path) for path in files},
        )
        content = manifest.model_dump_json(indent=1).encode()
        (scratch / MANIFEST).write_bytes(content)
        for path in (*files, scratch / MANIFEST):
            fsync_path(path)
        scratch.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        scratch.rename(folder)
        fsync_path(folder.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return hashlib.sha256(content).hexdigest()


def package_bytes(folder: Path) -> int:
    """Return the size of all files of a package."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def verify_package(folder: Path, *, sha256: str | None = None) -> PackageManifest:
    """Check every file of a package against its manifest.

    Args:
        folder: The package.
        sha256: Expected digest of the manifest itself, where it is known.

    Raises:
        SnapshotError: A file is missing, changed, or was added.
    """
    try:
        content = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise SnapshotError(
            f"A model package needs a file {MANIFEST}, but {folder} has none ({error.strerror}). "
            "Register the model again, or restore the folder."
        ) from error
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise SnapshotError(
            f"The manifest of the model package {folder} changed since it was written. "
            "Nothing was loaded. Restore the folder from a backup."
        )
    manifest = PackageManifest.model_validate_json(content)
    found = {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST
    }
    wrong = sorted(set(found) ^ set(manifest.files))
    wrong += [name for name in found if sha256_file(found[name]) != manifest.files.get(name)]
    if wrong:
        raise SnapshotError(
            f"A model package must hold exactly the files of its manifest, but in {folder} "
            f"{wrong[0]!r} is missing, changed or new. Nothing was loaded. Restore the folder."
        )
    return manifest
