"""Random sets of constraints on small tables, as requests."""

from typing import Any

import numpy as np
from search_tables import table

TASKS = {
    "breast_cancer": "binary",
    "hastie": "binary",
    "clusters": "multiclass",
    "diabetes": "regression",
    "friedman1": "regression",
}
FAMILIES = (
    *("catboost", "decision_tree", "extra_trees", "hist_gradient_boosting", "knn", "lightgbm"),
    *("linear", "mlp", "xgboost"),
)
METRICS = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}
Content = dict[str, Any]


def _shape_limits(draw: np.random.Generator, features: list[str], task: str) -> Content:
    model: Content = {}
    if draw.random() < 0.3:
        model["max_depth"] = int(draw.integers(1, 7))
    if draw.random() < 0.3:
        model["max_leaves"] = int(draw.integers(4, 40))
    if draw.random() < 0.25:
        model["max_trees"] = int(draw.integers(20, 200))
    if draw.random() < 0.3 and task != "multiclass":
        names = draw.choice(features, 2, replace=False).tolist()
        model["monotonic"] = dict(zip(names, ("increasing", "decreasing"), strict=True))
    if draw.random() < 0.2 and task == "regression":
        names = draw.permutation(features).tolist()
        model["interactions"] = [names[:3], names[3:6]]
    if draw.random() < 0.1:
        model["interpretable_only"] = True
    return model


def _space_limits(draw: np.random.Generator) -> Content:
    model: Content = {}
    if draw.random() < 0.3:
        n = int(draw.integers(2, 5))
        model["families"] = sorted(draw.choice(FAMILIES, n, replace=False).tolist())
    searched = set(model.get("families", FAMILIES))
    if draw.random() < 0.3 and "lightgbm" in searched:
        model["fix"] = {"lightgbm.learning_rate": 0.07}
    if draw.random() < 0.3 and "catboost" in searched:
        model["search"] = {"catboost.learning_rate": {"low": 0.05, "high": 0.08}}
    return model


def _measured_limits(draw: np.random.Generator, task: str, *, has_group: bool) -> Content:
    limits: Content = {}
    if draw.random() < 0.3:
        limits["p99_latency_ms"] = {"max": float(draw.choice([2.0, 5.0, 20.0, 50.0]))}
    if draw.random() < 0.3:
        limits["model_size_mb"] = {"max": float(draw.choice([0.05, 0.2, 0.5, 2.0]))}
    if draw.random() < 0.15:
        limits["serving_memory_mb"] = {"max": float(draw.choice([200.0, 400.0, 800.0]))}
    if draw.random() < 0.25:
        limits["max_features"] = int(draw.integers(2, 9))
    if draw.random() < 0.25:
        limits["beat_baseline_by"] = {"metric": METRICS[task], "min": 0.01}
    if draw.random() < 0.25 and has_group:
        metric = "mae" if task == "regression" else "accuracy"
        gap = float(draw.choice([0.1, 0.5, 1.0]))
        limits["slice_gap"] = {"metric": metric, "by": ["group"], "max": gap}
    return limits


def draw_request(number: int, *, seed: int, n_trials: int) -> tuple[str, Content]:
    """Return a table's name and a request with a random set of constraints; never an empty one."""
    draw = np.random.default_rng([seed, number])
    name = str(draw.choice(list(TASKS)))
    frame = table(name)
    task = TASKS[name]
    features = [column for column in frame.columns if column not in ("target", "group")]
    model: Content = {}
    limits: Content = {}
    while not model and not limits:
        model = _shape_limits(draw, features, task) | _space_limits(draw)
        limits = _measured_limits(draw, task, has_group="group" in frame.columns)
    content: Content = {
        "apiVersion": "automl/v1",
        "kind": "TrainingRequest",
        "name": f"constraints-{number}",
        "owner": "benchmark",
        "seed": number,
        "data": {"path": f"{name}.parquet", "target": "target"},
        "search": {"n_trials": n_trials, "workers": 1},
    }
    if model:
        content["model"] = model
    if limits:
        content["constraints"] = limits
    return name, content
