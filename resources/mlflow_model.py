"""A model package in MLflow's layout, with the code and the versions that a prediction needs."""

import shutil
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

import automl_assets
from automl_assets.core.encoding import Preprocessing
from automl_assets.core.families import load_families
from automl_assets.core.package import PREPROCESSING, PackageManifest, verify_package

if TYPE_CHECKING:
    from mlflow.models import ModelSignature
    from mlflow.types import TensorSpec

PACKAGE_PATH = "data/package"
"""Where the model package is inside the MLflow model."""

_LOADER = "automl_assets.serving.pyfunc"
_SERVED_CODE = ("core", "serving")
_NOT_HERE = 'mlflow; python_version < "3"'
"""What MLflow is told is required; see `_write_requirements`."""

_COMMON = ("numpy", "pandas", "polars", "pyarrow", "pydantic", "pyyaml")


def requirements(*families: str) -> list[str]:
    """Return the installed versions of what a prediction with these families imports.

    Examples:
        >>> [pin.partition("==")[0] for pin in requirements("catboost")]
        ['numpy', 'pandas', 'polars', 'pyarrow', 'pydantic', 'pyyaml', 'catboost']
    """
    plugins = load_families()
    needed = (name for family in families for name in plugins[family].requirements)
    return [f"{name}=={version(name)}" for name in dict.fromkeys((*_COMMON, *needed))]


def _signature(manifest: PackageManifest, preprocessing: Preprocessing) -> "ModelSignature":
    """Name the columns; their types are checked by the model, not by MLflow.

    pandas reads whole numbers as int64, or as float64 if one is missing, and a
    column without any value as float64. MLflow accepts none of these for
    another, and its server reads a missing boolean as False. The model accepts
    all of them, and says which value does not fit.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import AnyType

    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(AnyType(), column.name) for column in preprocessing.columns
    ]
    prediction = DataType.string if manifest.classes else DataType.double
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec(prediction, "prediction"),
        *(ColSpec(DataType.double, f"probability_{name}") for name in manifest.classes),
    ]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))


def _copy_code(folder: Path) -> Path:
    """Copy the part of our package that a prediction imports."""
    source = Path(automl_assets.__file__).parent
    target = folder / source.name
    target.mkdir(parents=True)
    shutil.copy(source / "__init__.py", target)
    for name in _SERVED_CODE:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source / name, target / name, ignore=ignored)
    return target


def _without_bytecode(code: Path) -> None:
    """Put a file where Python would make the folder for its bytecode.

    It would write there when the code is imported where it is registered, and whatever is
    added to registered files is taken for tampering. Bytecode of our own would be code that
    nobody can read.
    """
    for folder in {file.parent for file in code.rglob("*.py")}:
        (folder / "__pycache__").write_text("A file, so that Python keeps no bytecode here.\n")


def _write_requirements(model: Path, pins: list[str]) -> None:
    """Name the requirements where MLflow would: in requirements.txt and conda.yaml.

    MLflow compares requirements with what is installed, and for that reads the list of files of
    all that is: half a second of CPU time, to find that versions just read here are installed
    here. A requirement for another Python it leaves alone.
    """
    import yaml

    pins = [f"mlflow=={version('mlflow')}", *pins]
    (model / "requirements.txt").write_text("\n".join(pins))
    conda = model / "conda.yaml"
    content = yaml.safe_load(conda.read_text())
    for item in content["dependencies"]:
        if isinstance(item, dict):
            item["pip"] = pins
    conda.write_text(yaml.safe_dump(content, default_flow_style=False))


def write_mlflow_model(
    scratch: Path, *, package: Path, artifact_sha256: str, input_example: pl.DataFrame
) -> Path:
    """Write an MLflow model that needs nothing of this installation to be loaded.

    The model itself is not loaded, and no requirement is inferred, which would
    run it in another process.

    Args:
        scratch: An empty folder to work in.
        package: The model package.
        artifact_sha256: Digest of the package's manifest.
        input_example: Raw rows; dates are kept as text, as JSON and CSV have them.

    Returns:
        The folder of the MLflow model, inside `scratch`.

    Raises:
        SnapshotError: The package is not what its digests say.
    """
    from mlflow.pyfunc import save_model

    manifest = verify_package(package, sha256=artifact_sha256)
    preprocessing = Preprocessing.model_validate_json((package / PREPROCESSING).read_bytes())
    link = scratch / Path(PACKAGE_PATH).name
    link.symlink_to(package.absolute(), target_is_directory=True)
    save_model(
        path=str(scratch / "model"),
        loader_module=_LOADER,
        data_path=str(link),
        code_paths=[str(_copy_code(scratch / "code"))],
        signature=_signature(manifest, preprocessing),
        input_example=input_example.with_columns(
            pl.selectors.temporal().cast(pl.String)
        ).to_pandas(),
        pip_requirements=[_NOT_HERE],
        metadata={
            "family": manifest.family,
            "families": list(manifest.families),
            "calibration": manifest.calibration,
            "threshold": manifest.threshold,
            "task_type": manifest.task_type,
            "columns": {column.name: column.dtype for column in preprocessing.columns},
        },
    )
    _write_requirements(scratch / "model", requirements(*manifest.families))
    _without_bytecode(scratch / "model" / "code")
    return scratch / "model"
