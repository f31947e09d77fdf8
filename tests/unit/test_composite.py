"""Ensembles as one model: what they predict, in a package and read back from it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from automl_assets.core.calibration import fit_calibration
from automl_assets.core.composite import (
    COMPOSITE,
    CompositeMember,
    CompositeModel,
    load_composite,
)
from automl_assets.core.encoding import Preprocessing, encode, fit_column
from automl_assets.core.errors import SearchError, SnapshotError
from automl_assets.core.families import Encoded, FitOptions, FittedModel, load_families
from automl_assets.core.feature_sets import FeatureTransform
from automl_assets.core.package import MANIFEST, package_bytes, verify_package, write_package
from automl_assets.core.predictor import load_predictor
from automl_assets.serving.pyfunc import _load_pyfunc
from resources.mlflow_model import requirements, write_mlflow_model
from resources.mlflow_setup import calling_mlflow

FAMILIES = ("lightgbm", "linear", "catboost")


class Sum(FittedModel):
    """Predicts the sum of its features, and counts what it is asked."""

    def __init__(self, n_iterations: int | None = None) -> None:
        self.n_iterations = n_iterations
        self.seen: list[np.ndarray] = []

    def predict(self, X: np.ndarray) -> np.ndarray:
        self.seen.append(X)
        return X.sum(axis=1)

    def save(self, folder: Path) -> None:
        # The name of the package's own manifest, one folder below it.
        (folder / MANIFEST).write_text("{}")


def raw_rows(n_rows: int = 200, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "age": rng.normal(size=n_rows),
            "income": rng.normal(size=n_rows),
            "plan": rng.choice(["basic", "plus"], n_rows),
        }
    )


def preprocessing() -> Preprocessing:
    table = raw_rows()
    kinds = {"age": "numeric", "income": "numeric", "plan": "categorical"}
    columns = tuple(fit_column(table[name], kind=kind) for name, kind in kinds.items())  # type: ignore[arg-type]
    return Preprocessing(version="1", columns=columns)


def encoded(task: str, seed: int = 0) -> Encoded:
    recipe = preprocessing()
    X = encode(raw_rows(seed=seed), recipe)
    signal = X[:, 0] + 0.5 * X[:, 1] + 0.7 * X[:, 2]
    y = {
        "regression": signal.astype(np.float64),
        "binary": (signal > 1.7).astype(np.int32),
        "multiclass": np.digitize(signal, [1.0, 2.4]).astype(np.int32),
    }[task]
    return Encoded(X=X, y=y, n_levels=recipe.n_levels)


def classes_of(task: str) -> tuple[str, ...]:
    return {"regression": (), "binary": ("no", "yes"), "multiclass": ("a", "b", "c")}[task]


def real_composite(task: str) -> CompositeModel:
    """Three families; the second and third see two of the three features."""
    parts = encoded(task), encoded(task, seed=1)
    fewer = FeatureTransform.choosing([0, 2], parts[0].n_levels)
    members = []
    for name, weight in zip(FAMILIES, (0.5, 0.3, 0.2), strict=True):
        family = load_families()[name]
        transform = None if name == "lightgbm" else fewer
        train, held_out = (part if transform is None else fewer.encoded(part) for part in parts)
        options = FitOptions(task_type=task, n_classes=len(classes_of(task)), seed=0)  # type: ignore[arg-type]
        model = family.fit(train, held_out, family.default_params(), options)
        members.append(CompositeMember(name, model, weight, transform))
    return CompositeModel(members)


@pytest.fixture(scope="module")
def binary() -> CompositeModel:
    return real_composite("binary")


def written(folder: Path, model: FittedModel, task: str = "binary", **more: object) -> str:
    return write_package(
        folder,
        model,
        preprocessing(),
        family="ensemble",
        params={},
        task_type=task,  # type: ignore[arg-type]
        classes=classes_of(task),
        target="y",
        **more,  # type: ignore[arg-type]
    )


# --- the mean ------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_an_ensemble_read_back_predicts_the_weighted_mean(task: str, tmp_path: Path) -> None:
    model, rows = real_composite(task), encoded(task, seed=2)
    expected = sum(
        member.weight
        * member.model.predict(member.transform.apply(rows.X) if member.transform else rows.X)
        for member in model.members
    )

    sha256 = written(tmp_path / "package", model, task)
    predictor = load_predictor(tmp_path / "package", sha256=sha256)

    np.testing.assert_allclose(model.predict(rows.X), expected, rtol=1e-6)
    np.testing.assert_array_equal(predictor.predict_array(raw_rows(seed=2)), model.predict(rows.X))
    assert predictor.manifest.families == FAMILIES
    assert [item.weight for item in predictor.manifest.members] == [0.5, 0.3, 0.2]
    assert predictor.manifest.n_iterations == model.n_iterations


def test_transforms_are_applied_once_and_rows_are_not_copied() -> None:
    X = np.asfortranarray(np.arange(12, dtype=np.float32).reshape(4, 3))
    models = [Sum(10), Sum(), Sum(5), Sum()]
    one, equal = (FeatureTransform.choosing([0], (0, 0, 0)) for _ in range(2))
    # One that was used keeps arrays.
    one.apply(X)
    transforms = (None, one, equal, None)
    members = [CompositeMember("sum", m, 0.25, t) for m, t in zip(models, transforms, strict=True)]
    model = CompositeModel(members)

    found = model.predict(X)

    np.testing.assert_allclose(found, X.sum(axis=1) / 2 + X[:, 0] / 2)
    assert [len(item.seen) for item in models] == [1, 1, 1, 1]
    assert models[0].seen[0] is models[3].seen[0] is X
    assert models[1].seen[0] is models[2].seen[0]
    assert model.n_iterations == 15


def test_without_iterations_an_ensemble_has_none() -> None:
    assert CompositeModel([CompositeMember("sum", Sum(), 1.0)]).n_iterations is None


@pytest.mark.parametrize("weights", [[], [0.5, 0.4], [1.5, -0.5], [1.0, 0.0]])
def test_weights_must_be_shares(weights: list[float]) -> None:
    with pytest.raises(SearchError, match="must be above 0 and sum to 1"):
        CompositeModel([CompositeMember("sum", Sum(), weight) for weight in weights])


def test_an_ensemble_is_no_member() -> None:
    inner = CompositeModel([CompositeMember("sum", Sum(), 1.0)])

    with pytest.raises(SearchError, match="one of 1 is an ensemble"):
        CompositeModel([CompositeMember("sum", inner, 1.0)])


# --- the package ---------------------------------------------------------------------------------


def test_calibration_and_threshold_are_applied_to_what_the_members_predict(
    binary: CompositeModel, tmp_path: Path
) -> None:
    rows = encoded("binary", seed=3)
    calibration = fit_calibration("sigmoid", rows.y, binary.predict(rows.X))
    written(tmp_path / "package", binary, calibration=calibration, threshold=0.9)

    predictor = load_predictor(tmp_path / "package")
    found = predictor.predict(raw_rows(seed=3))

    expected = calibration.apply(binary.predict(rows.X))
    np.testing.assert_array_equal(found["probability_yes"], expected[:, 1])
    np.testing.assert_array_equal(found["probability_no"], expected[:, 0])
    assert found["prediction"].to_list() == ["yes" if p >= 0.9 else "no" for p in expected[:, 1]]
    assert 0 < (found["prediction"] == "yes").sum() < (expected[:, 1] > 0.5).sum()
    assert predictor.manifest.calibration == "sigmoid"


def test_a_package_of_before_predicts_as_before(tmp_path: Path) -> None:
    family, rows = load_families()["linear"], encoded("binary")
    options = FitOptions(task_type="binary", n_classes=2, seed=0)
    model = family.fit(rows, rows, family.default_params(), options)
    folder = tmp_path / "package"
    write_package(
        folder,
        model,
        preprocessing(),
        family="linear",
        params={},
        task_type="binary",
        classes=("no", "yes"),
        target="y",
    )
    manifest = json.loads((folder / MANIFEST).read_text())
    for name in ("members", "calibration", "threshold"):
        del manifest[name]
    (folder / MANIFEST).write_text(json.dumps(manifest))

    predictor = load_predictor(folder)

    np.testing.assert_array_equal(predictor.predict_array(raw_rows()), model.predict(rows.X))
    assert predictor.manifest.families == ("linear",)


@pytest.mark.parametrize("name", ["model/1/model.skops", f"model/{COMPOSITE}", "calibration.json"])
def test_no_file_of_an_ensemble_is_read_once_one_was_changed(
    binary: CompositeModel, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = encoded("binary")
    calibration = fit_calibration("temperature", rows.y, binary.predict(rows.X))
    folder = tmp_path / "package"
    written(folder, binary, calibration=calibration)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    read: list[str] = []
    for family in load_families().values():
        monkeypatch.setattr(type(family), "load", lambda self, *_: read.append(self.name))

    with pytest.raises(SnapshotError, match=f"'{name}' is missing, changed or new"):
        load_predictor(folder)
    assert read == []


def test_a_members_file_may_be_named_as_the_manifest(tmp_path: Path) -> None:
    model = CompositeModel([CompositeMember("sum", Sum(), 1.0)])
    written(tmp_path / "package", model, "regression")

    manifest = verify_package(tmp_path / "package")

    assert "model/0/model.json" in manifest.files
    (tmp_path / "package" / "model" / "0" / "model.json").write_text("[]")
    with pytest.raises(SnapshotError, match=r"'model/0/model\.json' is missing, changed or new"):
        verify_package(tmp_path / "package")


def test_the_size_of_a_package_is_that_of_all_members(
    binary: CompositeModel, tmp_path: Path
) -> None:
    written(tmp_path / "package", binary)

    sizes = [path.stat().st_size for path in (tmp_path / "package").rglob("*.*") if path.is_file()]

    assert package_bytes(tmp_path / "package") == sum(sizes) > 10_000


def test_a_model_is_told_how_many_threads_it_may_use(
    binary: CompositeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "package", binary)
    told: list[int] = []

    def load(self: object, folder: Path, options: dict[str, int]) -> FittedModel:
        told.append(options["n_threads"])
        return Sum()

    for name in FAMILIES:
        monkeypatch.setattr(type(load_families()[name]), "load", load)
    load_predictor(tmp_path / "package")
    load_predictor(tmp_path / "package", n_threads=4)
    _load_pyfunc(str(tmp_path / "package"))
    _load_pyfunc(str(tmp_path / "package"), {"n_threads": 2})

    assert told == [1] * 3 + [4] * 3 + [1] * 3 + [2] * 3


def test_composites_are_loaded_without_the_package_too(
    binary: CompositeModel, tmp_path: Path
) -> None:
    rows = encoded("binary", seed=5)

    binary.save(tmp_path)
    again = load_composite(tmp_path, {"task_type": "binary", "n_classes": 2, "n_threads": 1})

    np.testing.assert_array_equal(again.predict(rows.X), binary.predict(rows.X))
    assert again.families == FAMILIES


# --- a model stands alone ------------------------------------------------------------------------

LOAD_ALONE = """
import json, sys
from importlib.machinery import PathFinder
folder, rows = sys.argv[1:]
class NotInstalled:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in ("automl_assets", "resources"):
            spec = PathFinder.find_spec(name, [p for p in sys.path if p.startswith(folder)])
            if spec is None:
                raise ModuleNotFoundError(name)
            return spec
sys.meta_path.insert(0, NotInstalled)
import pandas as pd
from mlflow.pyfunc import load_model
model = load_model(folder, suppress_warnings=True, model_config={"n_threads": 2})
print(json.dumps({
    "predictions": model.predict(pd.read_csv(rows)).to_dict("list"),
    "modules": sorted({name.partition(".")[0] for name in sys.modules}),
}))
"""


def test_an_ensemble_needs_what_all_its_families_need_once() -> None:
    names = [pin.partition("==")[0] for pin in requirements("lightgbm", "linear", "lightgbm")]

    assert {"lightgbm", "scikit-learn", "skops"} < set(names)
    assert len(names) == len(set(names))


@pytest.mark.slow
def test_a_registered_ensemble_predicts_without_this_installation(
    binary: CompositeModel, tmp_path: Path
) -> None:
    rows = encoded("binary")
    calibration = fit_calibration("isotonic", rows.y, binary.predict(rows.X))
    package, scratch = tmp_path / "package", tmp_path / "scratch"
    scratch.mkdir()
    sha256 = written(package, binary, calibration=calibration, threshold=0.7)
    csv = tmp_path / "rows.csv"
    raw_rows().write_csv(csv)

    with calling_mlflow("sqlite://", "the test"):
        model = write_mlflow_model(
            scratch, package=package, artifact_sha256=sha256, input_example=raw_rows(3)
        )
    done = subprocess.run(
        [sys.executable, "-I", "-B", "-W", "ignore", "-c", LOAD_ALONE, str(model), str(csv)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    expected = load_predictor(package).predict(raw_rows()).to_dict(as_series=False)
    assert found["predictions"]["prediction"] == expected["prediction"]
    assert found["predictions"]["probability_yes"] == pytest.approx(expected["probability_yes"])
    assert not {"dagster", "optuna", "typer"} & set(found["modules"])
    assert {"lightgbm", "catboost", "skops"} <= set(
        line.partition("==")[0] for line in (model / "requirements.txt").read_text().splitlines()
    )
