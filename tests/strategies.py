"""Hypothesis strategies for the values of the domain."""

from typing import Any

from hypothesis import strategies as st

from automl_assets.core.families import Dimension, load_families
from automl_assets.core.metrics import load_metrics
from automl_assets.core.request import TrainingRequest
from automl_assets.core.request.text import FORBIDDEN


def lines(*, max_size: int = 20) -> st.SearchStrategy[str]:
    """Text of one line, with all that surprises: quotes, colons, numbers, switches, emoji."""
    surprising = st.sampled_from(["NO", "yes", "010", "1e5", "12:30", "2024-01-01", "<<", "~", "#"])
    anything = st.text(min_size=1, max_size=max_size).filter(
        lambda text: not FORBIDDEN.search(text) and not set(text) & set("\t\n\r")
    )
    return surprising | anything


def shares() -> st.SearchStrategy[float | str]:
    """Parts of a split, written as numbers or percentages; three of them leave enough."""
    return st.floats(min_value=0.01, max_value=0.19) | st.sampled_from(["5%", "12.5%", "15 %"])


def durations() -> st.SearchStrategy[float | str]:
    """Durations, written as numbers or with units."""
    return st.floats(min_value=1, max_value=1e6) | st.sampled_from(["90s", "30m", "1.5h", "7d"])


def _some(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=optional)


def _tasks() -> st.SearchStrategy[dict[str, Any]]:
    task_types = st.sampled_from(["binary", "multiclass", "regression"])

    def of_type(task_type: str) -> st.SearchStrategy[dict[str, Any]]:
        fitting = [m.name for m in load_metrics().values() if task_type in m.task_types]
        metrics = st.sampled_from(fitting)
        return _some(
            {"type": st.sampled_from([task_type, "auto"])},
            {"metric": metrics, "report": st.lists(metrics, max_size=3)},
        )

    return task_types.flatmap(of_type)


def _fixed(dimension: Dimension) -> st.SearchStrategy[Any]:
    """Values of a hyperparameter, as a request may write them."""
    if dimension.kind == "choice":
        return st.sampled_from([value for value in dimension.values if value is not None])
    if dimension.kind == "integer":
        return st.integers(dimension.low, dimension.high)
    return st.floats(dimension.low, dimension.high)


def _range(dimension: Dimension) -> st.SearchStrategy[dict[str, Any]]:
    """Ranges inside those of a number."""
    two = st.lists(_fixed(dimension), min_size=2, max_size=2, unique=True).map(sorted)

    def written(bounds: list[Any], log: bool) -> dict[str, Any]:
        return {"low": bounds[0], "high": bounds[1], "log": log and bounds[0] > 0}

    return st.builds(written, two, st.booleans())


@st.composite
def _families(draw: st.DrawFn) -> dict[str, Any]:
    """Families with some hyperparameters fixed and others narrowed."""
    known = load_families()
    names = draw(st.lists(st.sampled_from(list(known)), min_size=1, unique=True))
    dimensions = {
        f"{name}.{key}": dimension
        for name in names
        for key, dimension in known[name].parameters.items()
    }
    numbers = [name for name, dimension in dimensions.items() if dimension.kind != "choice"]
    searched = draw(st.lists(st.sampled_from(numbers), max_size=2, unique=True) if numbers else _NO)
    rest = sorted(set(dimensions) - set(searched))
    fixed = draw(st.lists(st.sampled_from(rest), max_size=3, unique=True) if rest else _NO)
    return {
        "families": names,
        "fix": {name: draw(_fixed(dimensions[name])) for name in fixed},
        "search": {name: draw(_range(dimensions[name])) for name in searched},
    }


_NO: st.SearchStrategy[list[str]] = st.just([])


def _shape() -> st.SearchStrategy[dict[str, Any]]:
    """Limits of a model's shape that some family honours, all of them together."""
    columns = st.sampled_from(["column one", "column two", "column 3"])
    directions = st.sampled_from(["increasing", "decreasing"])
    return _some(
        {},
        {
            "max_depth": st.integers(1, 100),
            "max_leaves": st.integers(2, 10**6),
            "max_trees": st.integers(1, 10**6),
            "monotonic": st.dictionaries(columns, directions, min_size=1),
            "interactions": st.lists(
                st.lists(columns, min_size=1, unique=True), min_size=1, max_size=3
            ),
            "interpretable_only": st.just(False),
            "preprocessing": _some(
                {},
                {
                    "redundancy": st.sampled_from(["pca", "correlation", "none"]),
                    "feature_selection": st.sampled_from(["permutation", "none"]),
                },
            ),
            "calibration": st.sampled_from(["isotonic", "sigmoid", "temperature", "none"]),
        },
    )


def _constraints() -> st.SearchStrategy[dict[str, Any]]:
    """Hard limits on models of a binary task."""
    positive = st.floats(1e-3, 1e6)
    most = st.fixed_dictionaries({"max": positive})
    metrics = st.sampled_from(["roc_auc", "log_loss", "recall"])
    return _some(
        {},
        {
            "p99_latency_ms": _some(
                {"max": positive}, {"batch": st.integers(1, 1000), "threads": st.integers(1, 64)}
            ),
            "model_size_mb": most,
            "serving_memory_mb": most,
            "max_features": st.integers(1, 5000),
            "slice_gap": st.fixed_dictionaries(
                {"metric": metrics, "by": st.just(["column one"]), "max": positive}
            ),
            "beat_baseline_by": _some(
                {"metric": metrics, "min": st.floats(0, 1)}, {"confidence": shares()}
            ),
        },
    )


def bounded_contents() -> st.SearchStrategy[dict[str, Any]]:
    """Contents of valid request files that set limits: of shape, measured, of resources."""
    costs = st.fixed_dictionaries(
        {"false_positive": st.floats(0, 1e6), "false_negative": st.floats(1e-3, 1e6)}
    )
    return _some(
        {
            "apiVersion": st.just("automl/v1"),
            "kind": st.just("TrainingRequest"),
            "name": st.just("bounded"),
            "owner": st.just("analyst-7"),
            "data": st.just({"path": "a.csv", "target": "the target"}),
        },
        {
            "task": _some({"type": st.sampled_from(["binary", "auto"])}, {"cost": costs}),
            "model": _shape() | _families(),
            "search": _some(
                {},
                {
                    "sampler": st.sampled_from(["grid", "random", "tpe"]),
                    "ensemble": st.sampled_from(["greedy", "none"]),
                },
            ),
            "constraints": _constraints(),
            "resources": _some(
                {},
                {
                    "cpu": st.integers(64, 1000),
                    "memory": st.sampled_from(["512Mi", "32Gi", "1Ti"]),
                },
            ),
        },
    )


def request_contents() -> st.SearchStrategy[dict[str, Any]]:
    """Contents of valid request files of this version, as a YAML reader returns them."""
    scalars = lines() | st.booleans() | st.integers(-1000, 1000) | st.floats(-1e6, 1e6)
    data = _some(
        {"path": lines(), "target": st.just("the target"), "time": st.just("the time")},
        {
            "sha256": st.text("0123456789abcdef", min_size=64, max_size=64),
            "id": lines(),
            "group": lines(),
            "features": _some({}, {"exclude": st.lists(lines(), max_size=3)}),
            "rows": _some(
                {},
                {
                    "from": st.dates() | st.datetimes().map(str),
                    "sample": _some({}, {"max_rows": st.integers(1, 10**9)}),
                },
            ),
        },
    )
    with_positive = st.tuples(data, scalars).map(lambda both: {**both[0], "positive": both[1]})
    parts = {"validation": shares(), "calibration": shares(), "analysis": shares()}
    search = {
        "sampler": st.sampled_from(["tpe", "random"]),
        "n_trials": st.integers(1, 100_000),
        "time_limit": durations(),
        "workers": st.integers(1, 64),
    }
    head = {
        "apiVersion": st.just("automl/v1"),
        "kind": st.just("TrainingRequest"),
        "name": st.from_regex(r"[a-z0-9][a-z0-9-]{0,39}", fullmatch=True),
        "owner": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}", fullmatch=True),
    }
    body = {
        "purpose": lines(max_size=200),
        "seed": st.integers(0, 2**32 - 1),
        "split": _some({}, {**parts, "strategy": st.just("time")}),
        "model": _families(),
        "search": _some({}, search),
        "resources": _some({}, {"priority": st.sampled_from(["low", "normal", "high"])}),
    }
    plain = _some({**head, "data": data}, {**body, "task": _tasks()})
    binary = _some({**head, "data": with_positive}, body)
    return plain | binary


def requests() -> st.SearchStrategy[TrainingRequest]:
    """Valid training requests of this version."""
    return (request_contents() | bounded_contents()).map(TrainingRequest.model_validate)
