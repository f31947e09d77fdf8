"""Winners to examine: a tiny real model, its package, and the rows of its parts.

examined = make_examined("binary", groups=True, asked={"robustness": {"jitter": 0.1}})
"""

import atexit
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from automl_assets.core.calibration import Calibration, CalibrationKind, fit_calibration
from automl_assets.core.encoding import encode
from automl_assets.core.evaluation.examination import Examined, Refitter, Rival, Rows
from automl_assets.core.families import (
    DataShape,
    Encoded,
    FitOptions,
    FittedModel,
    Params,
    load_families,
)
from automl_assets.core.matrix import (
    read_part,
    read_preprocessing,
    target_vector,
    write_matrix,
)
from automl_assets.core.metrics import load_metrics
from automl_assets.core.package import write_package
from automl_assets.core.predictor import Predictor, load_predictor
from automl_assets.core.profile import profile_table
from automl_assets.core.request import TrainingRequest
from automl_assets.core.search.selection import take_rows
from automl_assets.core.splits.assignment import assign_rows
from automl_assets.core.values import (
    PARTS,
    CandidateSet,
    Member,
    Part,
    Split,
    SplitPart,
    TableProfile,
    TaskType,
)
from tests.candidate_sets import candidate_set

METRIC = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}
SECONDS_PER_ROW = 2e-6
_FIRST_DAY = 19_000


def make_rows(task_type: TaskType, n_rows: int, *, seed: int = 0) -> pl.DataFrame:
    """Return raw rows of every kind of column, in the order of `day`.

    The target depends on age, income, plan, member and, where a row has none, on age being
    missing; `noise` tells nothing. Each customer has about five rows.
    """
    rng = np.random.default_rng(seed)
    age, income, debt, noise = rng.normal(size=(4, n_rows))
    plan = rng.integers(0, 5, n_rows)
    city = (rng.random(n_rows) ** 2 * 25).astype(int)
    member = rng.random(n_rows) < 0.4
    customer = rng.integers(0, max(1, n_rows // 5), n_rows)
    day = np.sort(rng.integers(_FIRST_DAY, _FIRST_DAY + 730, n_rows))
    joined = day - rng.integers(0, 2000, n_rows)
    of_customer = rng.normal(size=customer.max() + 1)[customer]
    signal = age + np.sin(2 * income) + 0.6 * debt * member + np.linspace(-1, 1, 5)[plan]
    signal += 0.5 * of_customer + 0.6 * rng.normal(size=n_rows)
    targets: dict[str, Any] = {
        "binary": np.where(signal > 0.6, "yes", "no"),
        "multiclass": np.array(["low", "middle", "high"])[np.digitize(signal, [-0.7, 0.7])],
        "regression": 100 + 20 * signal,
    }
    frame = pl.DataFrame(
        {
            "age": 40 + 12 * age,
            "income": 30_000 + 8_000 * income,
            "visits": np.maximum(0, np.round(5 + 3 * debt)).astype(np.int64),
            "noise": noise,
            "plan": [f"plan {code}" for code in plan],
            "city": [f"city {code}" for code in city],
            "member": member,
            "joined": pl.Series(joined, dtype=pl.Int32).cast(pl.Date),
            "customer": customer,
            "day": pl.Series(day, dtype=pl.Int32).cast(pl.Date),
            "target": targets[task_type],
        }
    )
    holes = pl.Series(rng.random(n_rows) < 0.1), pl.Series(rng.random(n_rows) < 0.08)
    return frame.with_columns(
        pl.when(holes[0]).then(None).otherwise(pl.col("age")).alias("age"),
        pl.when(holes[1]).then(None).otherwise(pl.col("plan")).alias("plan"),
    )


@dataclass(frozen=True, kw_only=True)
class Material:
    """A table that is split and encoded, before there is a model.

    Attributes:
        part: Number of each row's part, in the order of `PARTS`.
    """

    request: TrainingRequest
    profile: TableProfile
    split: Split
    frame: pl.DataFrame
    part: np.ndarray
    matrix: Path

    def rows(self, name: Part, predictor: Predictor) -> Rows:
        """Return one part with predictions."""
        rows = np.flatnonzero(self.part == PARTS.index(name))
        frame = self.frame[rows]
        X = encode(frame, predictor.preprocessing)
        data = self.request.data
        return Rows(
            rows=rows,
            frame=frame,
            X=X,
            y=target_vector(frame["target"], self.profile),
            prediction=predictor.predict_matrix(X),
            groups=None if data.group is None else frame[data.group].to_numpy(),
            times=None if data.time is None else frame[data.time],
        )


def make_material(
    folder: Path,
    task_type: TaskType,
    *,
    n_rows: int,
    seed: int,
    groups: bool,
    times: bool,
    asked: dict[str, Any],
) -> Material:
    """Split and encode a table; it has `day` and `customer` only where the request names them."""
    left_out = [*(() if groups else ("customer",)), *(() if times else ("day",))]
    frame = make_rows(task_type, n_rows, seed=seed).drop(left_out)
    data: dict[str, Any] = {"path": "table.parquet", "target": "target"}
    data |= {"group": "customer"} if groups else {}
    data |= {"time": "day"} if times else {}
    data |= {"positive": "yes"} if task_type == "binary" else {}
    parts = {"validation": "15%", "calibration": "20%", "analysis": "25%"}
    request = TrainingRequest.model_validate(
        {
            "apiVersion": "automl/v1",
            "kind": "TrainingRequest",
            "name": "made-up",
            "owner": "tests",
            "seed": seed,
            **asked,
            "data": data | asked.get("data", {}),
            "split": parts | asked.get("split", {}),
        }
    )
    profile = profile_table(frame.lazy(), request)
    codes = None if task_type == "regression" else target_vector(frame["target"], profile)
    assignment, _ = assign_rows(
        frame.lazy(), request, n_rows=n_rows, strata=None if codes is None else codes.astype(int)
    )
    preprocessing = write_matrix(folder / "matrix", frame.lazy(), profile, "target", assignment)
    split = Split(
        repository="splits",
        commit_id="c" * 40,
        strategy=request.split_strategy,
        seed=request.seed,
        parts=tuple(
            SplitPart(part=part, n_rows=assignment.n_rows(part), path="", sha256="0" * 64)
            for part in PARTS
        ),
        preprocessing_version=preprocessing.version,
        matrix_id="matrix",
        feature_names=preprocessing.feature_names,
        n_folds=assignment.n_folds,
    )
    return Material(
        request=request,
        profile=profile,
        split=split,
        frame=frame,
        part=assignment.part,
        matrix=folder / "matrix",
    )


class FamilyRefitter(Refitter):
    """Fits one family on the train part; `seconds` is what it says a whole fit takes."""

    def __init__(
        self, train: Encoded, family: str, params: Params, options: FitOptions, seconds: float = 0.1
    ) -> None:
        self._train, self._family, self._params = train, load_families()[family], params
        self._options, self._seconds = options, seconds
        self.n_rows = len(train.y)
        self.fits: list[tuple[int, float]] = []
        """Seed and share of each fit."""

    def expected_seconds(self, share: float) -> float:
        """Return as much of `seconds` as there are rows."""
        return share * self._seconds

    def fit(self, *, seed: int, share: float = 1.0) -> Callable[[np.ndarray], np.ndarray]:
        """Fit on a share of the rows, drawn by the seed."""
        self.fits.append((seed, share))
        rng = np.random.default_rng(seed)
        rows = np.sort(rng.choice(self.n_rows, max(2, round(share * self.n_rows)), replace=False))
        options = replace(self._options, seed=seed)
        return self._family.fit(take_rows(self._train, rows), None, self._params, options).predict


def make_examined(
    task_type: TaskType = "binary",
    *,
    n_rows: int = 1_500,
    seed: int = 0,
    family: str = "lightgbm",
    params: Params | None = None,
    metric: str | None = None,
    groups: bool = False,
    times: bool = False,
    calibration: CalibrationKind | None = None,
    threshold: float | None = None,
    champion: str | None = None,
    refit_seconds: float | None = None,
    max_fit_rows: int = 20_000,
    asked: dict[str, Any] | None = None,
    folder: Path | None = None,
    **changes: Any,
) -> Examined:
    """Return a winner with its rows; a quarter of the rows is the analysis part.

    Args:
        n_rows: Rows of all parts together.
        seed: Of the table and of the request.
        metric: What the search optimised; each task has its usual one.
        groups: Whether the request names `customer` under `data.group`.
        times: Whether it names `day` under `data.time`; parts then follow each other.
        calibration: Kind, fitted on the calibration part.
        champion: Family of the version that is in use, fitted on half of the rows.
        refit_seconds: There is a refitter, and so long a whole fit is said to take.
        max_fit_rows: The model sees at most so many.
        asked: Sections of the request, as in a file.
        folder: Where packages go; by default one that is gone when the process ends.
        changes: Fields of `Examined`.
    """
    folder = folder or _scratch()
    material = make_material(
        folder,
        task_type,
        n_rows=n_rows,
        seed=seed,
        groups=groups,
        times=times,
        asked=asked or {},
    )
    params = load_families()[family].default_params() if params is None else params
    few = {"n_estimators": 40, "num_leaves": 15} if family == "lightgbm" else {}
    params = {**few, **params}
    predictor, digest = _fitted(
        material, folder / "package", family, params, calibration, threshold, max_fit_rows
    )
    train = _train(material, max_fit_rows)
    options = FitOptions(task_type=task_type, n_classes=len(material.profile.classes), seed=seed)
    values: dict[str, Any] = {
        "request": material.request,
        "profile": material.profile,
        "split": material.split,
        "candidates": _candidates(metric or METRIC[task_type], predictor, digest),
        "predictor": predictor,
        "package": folder / "package",
        "metric": load_metrics()[metric or METRIC[task_type]],
        "analysis": material.rows("analysis", predictor),
        "calibration": material.rows("calibration", predictor),
        "y_train": np.array(read_part(material.matrix, "train", predictor.preprocessing).y),
        "seed": seed,
        "confidence": 0.95,
        "seconds": 5.0,
        "clock": time.process_time,
    }
    if refit_seconds is not None:
        values["refitter"] = FamilyRefitter(train, family, params, options, refit_seconds)
    if champion is not None:
        values["champion"] = _champion(material, folder / "champion", champion, max_fit_rows)
    return Examined(**(values | changes))


def _scratch() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="examined-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _train(material: Material, max_rows: int) -> Encoded:
    train = read_part(material.matrix, "train", read_preprocessing(material.matrix))
    return take_rows(train, np.arange(min(max_rows, len(train.y))))


def _fit(train: Encoded, family: str, params: Params, profile: TableProfile) -> FittedModel:
    options = FitOptions(task_type=profile.task_type, n_classes=len(profile.classes), seed=1)
    return load_families()[family].fit(train, None, params, options)


def _fitted(
    material: Material,
    folder: Path,
    family: str,
    params: Params,
    kind: CalibrationKind | None,
    threshold: float | None,
    max_rows: int,
) -> tuple[Predictor, str]:
    profile, preprocessing = material.profile, read_preprocessing(material.matrix)
    model = _fit(_train(material, max_rows), family, params, profile)
    calibration: Calibration | None = None
    if kind is not None:
        part = read_part(material.matrix, "calibration", preprocessing)
        calibration = fit_calibration(kind, part.y, model.predict(np.asfortranarray(part.X)))
    digest = write_package(
        folder,
        model,
        preprocessing,
        family=family,
        params=params,
        task_type=profile.task_type,
        classes=profile.classes,
        target="target",
        calibration=calibration,
        threshold=threshold,
    )
    return load_predictor(folder, sha256=digest), digest


def _champion(material: Material, folder: Path, family: str, max_rows: int) -> Rival:
    params = load_families()[family].default_params()
    n_rows = max(2, min(max_rows, material.split.part("train").n_rows) // 2)
    predictor, _ = _fitted(material, folder, family, params, None, None, n_rows)
    uri = f"lakefs://earlier/{'a' * 40}/data.parquet"
    return Rival(name="made-up", version="3", predictor=predictor, data_uri=uri)


def _candidates(metric: str, predictor: Predictor, digest: str) -> CandidateSet:
    """Return what a search may have found, with this model as its only member."""
    manifest = predictor.manifest
    found = candidate_set(20, metric=metric, single=True)
    winner = found.best.model_copy(
        update={
            "family": manifest.family,
            "params": manifest.params,
            "n_iterations": manifest.n_iterations,
        }
    )
    others = tuple(item for item in found.leaderboard if item.number != found.winner)
    member = Member(
        number=winner.number,
        family=manifest.family,
        params=manifest.params,
        weight=1.0,
        seed=winner.seed,
        n_iterations=manifest.n_iterations,
        refitted=True,
    )
    return found.model_copy(
        update={
            "direction": load_metrics()[metric].direction,
            "leaderboard": (winner, *others),
            "members": (member,),
            "seconds_per_row": SECONDS_PER_ROW,
            "calibration": manifest.calibration or "none",
            "threshold": manifest.threshold,
            "artifact_sha256": digest,
        }
    )


def shape_of(examined: Examined) -> DataShape:
    """Return the shape of what a fit sees."""
    return DataShape(
        n_rows=len(examined.y_train),
        n_levels=examined.predictor.preprocessing.n_levels,
        n_classes=len(examined.classes),
    )
