"""The model package: a folder with all that a prediction needs, and no code.

    model.json            manifest: what the model is, and the SHA-256 of every other file
    preprocessing.json    from raw columns to the matrix
    calibration.json      from the model's probabilities to those that are given out, if any
    model/                the family's own files, or those of an ensemble (`core.composite`)

The SHA-256 of `model.json` names the package. Parsers of model files trust
their input (of 400 damaged `.cbm` files 254 loaded silently and 7 crashed the
process), so every digest is verified before any parser sees a byte.
"""

import hashlib
import shutil
from pathlib import Path
from tempfile import mkdtemp

from automl_assets.core.calibration import Calibration, CalibrationKind
from automl_assets.core.composite import CompositeModel
from automl_assets.core.encoding import Preprocessing
from automl_assets.core.errors import SnapshotError
from automl_assets.core.families import FittedModel, Params
from automl_assets.core.files import fsync_path, sha256_file
from automl_assets.core.values import TaskType, Value

MANIFEST = "model.json"
PREPROCESSING = "preprocessing.json"
CALIBRATION = "calibration.json"
MODEL_FOLDER = "model"

SAFE_SUFFIXES = frozenset({".cbm", ".json", ".skops", ".txt", ".ubj"})
"""Kinds of files that a package may hold: none of them runs code when it is read."""


class PackageMember(Value):
    """One model of an ensemble, its share, and the folder of its files."""

    family: str
    weight: float
    folder: str


class PackageManifest(Value):
    """What a model is.

    A package written before a field existed has its default, and predicts as it did.

    Attributes:
        family: The model's family, or a name for an ensemble.
        params: Hyperparameters, or those of the ensemble's first member.
        classes: As in `TableProfile.classes`; empty for regression.
        members: Models of an ensemble; empty where `family` names the one model.
        calibration: How probabilities are mapped; None: they are the model's own.
        threshold: Probability from which a binary model says yes; None: the most
            probable class is predicted.
        files: SHA-256 of every file of the package but the manifest, by relative path.
    """

    format: str = "automl/model/v1"
    family: str
    params: Params
    task_type: TaskType
    classes: tuple[str, ...]
    target: str
    n_iterations: int | None
    members: tuple[PackageMember, ...] = ()
    calibration: CalibrationKind | None = None
    threshold: float | None = None
    files: dict[str, str]

    @property
    def families(self) -> tuple[str, ...]:
        """Families whose code a prediction needs, each once."""
        return tuple(dict.fromkeys(item.family for item in self.members)) or (self.family,)


def _members(model: FittedModel) -> tuple[PackageMember, ...]:
    if not isinstance(model, CompositeModel):
        return ()
    return tuple(
        PackageMember(family=item.family, weight=item.weight, folder=f"{MODEL_FOLDER}/{index}")
        for index, item in enumerate(model.members)
    )


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
    calibration: Calibration | None = None,
    threshold: float | None = None,
) -> str:
    """Write a package; it appears under `folder` whole or not at all.

    Args:
        folder: Final place. An earlier package there is replaced.
        model: A model of `family`, or a `CompositeModel`; then `family` is a name for people.
        calibration: Applied to the model's probabilities.
        threshold: Probability from which a binary model says yes, after calibration.

    Returns:
        SHA-256 of the manifest.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        (scratch / MODEL_FOLDER).mkdir()
        model.save(scratch / MODEL_FOLDER)
        (scratch / PREPROCESSING).write_text(preprocessing.model_dump_json())
        if calibration is not None:
            (scratch / CALIBRATION).write_text(calibration.model_dump_json())
        files = sorted(path for path in scratch.rglob("*") if path.is_file())
        manifest = PackageManifest(
            family=family,
            params=params,
            task_type=task_type,
            classes=classes,
            target=target,
            n_iterations=model.n_iterations,
            members=_members(model),
            calibration=calibration.kind if calibration else None,
            threshold=threshold,
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
    unsafe = [name for name in sorted(manifest.files) if Path(name).suffix not in SAFE_SUFFIXES]
    if unsafe:
        raise SnapshotError(
            f"A model package holds only {', '.join(sorted(SAFE_SUFFIXES))} files, none of which "
            f"runs code when it is read, but {folder} holds {unsafe[0]!r}. Nothing was loaded. "
            "Do not use this model; ask who made it."
        )
    found = {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if path.is_file() and path != folder / MANIFEST
    }
    wrong = sorted(set(found) ^ set(manifest.files))
    wrong += [name for name in found if sha256_file(found[name]) != manifest.files.get(name)]
    if wrong:
        raise SnapshotError(
            f"A model package must hold exactly the files of its manifest, but in {folder} "
            f"{wrong[0]!r} is missing, changed or new. Nothing was loaded. Restore the folder."
        )
    return manifest
