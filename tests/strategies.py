"""Hypothesis strategies for the values of the domain."""

from typing import Any

from hypothesis import strategies as st

from automl_assets.core.families import load_families
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
    families = st.lists(st.sampled_from(list(load_families())), min_size=1, unique=True)
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
        "model": _some({}, {"families": families}),
        "search": _some({}, search),
        "resources": _some({}, {"priority": st.sampled_from(["low", "normal", "high"])}),
    }
    plain = _some({**head, "data": data}, {**body, "task": _tasks()})
    binary = _some({**head, "data": with_positive}, body)
    return plain | binary


def requests() -> st.SearchStrategy[TrainingRequest]:
    """Valid training requests of this version."""
    return request_contents().map(TrainingRequest.model_validate)
