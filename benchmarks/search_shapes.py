"""What a registered model really is: its trees, and how it answers when features move.

Trees are read from the model's files by the libraries that wrote them; the platform is not asked.
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

Shape = tuple[int, int]
"""Depth (most splits on a way from the root) and leaves of one tree."""


def _lightgbm(file: Path) -> Iterator[Shape]:
    import lightgbm

    def walk(node: dict) -> Shape:
        if "split_feature" not in node:
            return 0, 1
        left, right = walk(node["left_child"]), walk(node["right_child"])
        return 1 + max(left[0], right[0]), left[1] + right[1]

    for tree in lightgbm.Booster(model_file=file).dump_model()["tree_info"]:
        yield walk(tree["tree_structure"])


def _catboost(file: Path) -> Iterator[Shape]:
    import catboost

    model = catboost.CatBoost()
    model.load_model(str(file))

    def walk(node: dict) -> Shape:
        if "split" not in node:
            return 0, 1
        left, right = walk(node["left"]), walk(node["right"])
        return 1 + max(left[0], right[0]), left[1] + right[1]

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "model.json"
        model.save_model(str(target), format="json")
        content = json.loads(target.read_text())
    for tree in content.get("oblivious_trees") or []:
        depth = len(tree["splits"] or [])
        yield depth, 2**depth
    for tree in content.get("trees") or []:
        yield walk(tree)


def _xgboost(file: Path) -> Iterator[Shape]:
    import xgboost

    booster = xgboost.Booster(model_file=str(file))
    for text in booster.get_dump(dump_format="json"):

        def walk(node: dict) -> Shape:
            if "children" not in node:
                return 0, 1
            below = [walk(child) for child in node["children"]]
            return 1 + max(depth for depth, _ in below), sum(n for _, n in below)

        yield walk(json.loads(text))


def _sklearn(estimator: Any) -> Iterator[Shape]:
    if hasattr(estimator, "tree_"):
        yield int(estimator.get_depth()), int(estimator.get_n_leaves())
    for tree in np.ravel(getattr(estimator, "estimators_", [])):
        yield from _sklearn(tree)
    for step in getattr(estimator, "_predictors", []):
        for tree in step:
            yield int(tree.get_max_depth()), int(tree.get_n_leaf_nodes())


READERS = {"lightgbm": _lightgbm, "catboost": _catboost, "xgboost": _xgboost}


def tree_shapes(predictor: Any, package: Path) -> list[Shape]:
    """Return the shape of every tree of a model, those of all members together."""
    model = predictor.model
    single = [(predictor.family, model, package / "model")]
    members = [
        (member.family, member.model, package / "model" / str(index))
        for index, member in enumerate(getattr(model, "members", ()))
    ]
    shapes: list[Shape] = []
    for family, fitted, folder in members or single:
        if family in READERS:
            (file,) = (path for path in folder.iterdir() if "model" in path.name)
            shapes += READERS[family](file)
        else:
            shapes += _sklearn(getattr(fitted, "_state", {}).get("estimator"))
    return shapes


def _answers(predictor: Any, X: np.ndarray) -> np.ndarray:
    prediction = np.asarray(predictor.model.predict(X), np.float64)
    return prediction[:, -1] if prediction.ndim == 2 else prediction


def largest_fall(predictor: Any, X: np.ndarray, feature: int, *, n_points: int = 15) -> float:
    """Return by how much an answer falls at most while one feature grows over its range."""
    grid = np.unique(np.nanquantile(X[:, feature], np.linspace(0, 1, n_points)))
    answers = []
    for value in grid:
        moved = np.array(X, order="F")
        moved[:, feature] = value
        answers.append(_answers(predictor, moved))
    return float(max(0.0, (-np.diff(np.array(answers), axis=0)).max(initial=0.0)))


def largest_interaction(predictor: Any, X: np.ndarray, first: int, second: int) -> float:
    """Return the largest mixed difference of two features, over the spread of the answers."""
    low, high = (
        np.nanquantile(X[:, [first, second]], share, axis=0).tolist() for share in (0.1, 0.9)
    )
    total = 0.0
    for i, sign_i in ((0, 1), (1, -1)):
        for j, sign_j in ((0, 1), (1, -1)):
            moved = np.array(X, order="F")
            moved[:, first] = (low[0], high[0])[i]
            moved[:, second] = (low[1], high[1])[j]
            total = total + sign_i * sign_j * _answers(predictor, moved)
    return float(np.abs(total).max() / max(np.ptp(_answers(predictor, X)), 1e-12))


def columns_that_matter(predictor: Any, frame: pl.DataFrame) -> int:
    """Return how many raw columns change an answer when their values change places."""
    before = np.asarray(predictor.predict_array(frame))
    n = 0
    for name in frame.columns:
        moved = frame.with_columns(frame[name].shuffle(seed=0))
        n += not np.array_equal(before, np.asarray(predictor.predict_array(moved)))
    return n
