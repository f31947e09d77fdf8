"""What the options of `automl train` ask for."""

from pathlib import Path
from typing import Any

import pytest

from automl_assets.cli.train import TrainOptions, request_for
from automl_assets.core.errors import RequestError
from automl_assets.core.request import TrainingRequest
from automl_assets.settings import Settings


def request(settings: Settings, **options: Any) -> TrainingRequest:
    nothing = dict.fromkeys(TrainOptions.__dataclass_fields__, None)
    given = {"families": (), "exclude": (), "keep": (), "monotonic": (), "target": "y"}
    made = TrainOptions(**{**nothing, **given, **options})
    return request_for(Path("table.csv"), made, settings, sha256="0" * 64)


def test_limits_on_models_reach_the_request(settings: Settings) -> None:
    made = request(
        settings,
        sampler="random",
        monotonic=("age=increasing", "a=b=decreasing"),
        max_size_mb=5.0,
        max_latency_ms=2.5,
    )

    assert made.search.sampler == "random"
    assert made.model.monotonic == {"age": "increasing", "a=b": "decreasing"}
    assert made.constraints is not None
    assert made.constraints.model_size_mb is not None
    assert made.constraints.model_size_mb.max == 5
    assert made.constraints.p99_latency_ms is not None
    assert made.constraints.p99_latency_ms.max == 2.5


def test_options_that_are_not_given_leave_no_trace_in_the_request(settings: Settings) -> None:
    made = request(settings)

    assert made.constraints is None
    assert set(made.model_fields_set) == {"api_version", "kind", "name", "owner", "data"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"monotonic": ("age",)}, "such as age=increasing or age=decreasing, but found 'age'"),
        ({"monotonic": ("age=up",)}, "but found 'age=up'"),
        (
            {"monotonic": ("age=increasing", "age=decreasing")},
            "--monotonic gives 'age' two. Keep one",
        ),
        ({"max_size_mb": 0.0}, "constraints.model_size_mb.max: must be above 0; found 0"),
        ({"sampler": "bayes"}, "search.sampler: must be 'grid', 'random' or 'tpe'"),
    ],
)
def test_an_option_that_means_nothing_is_refused(
    settings: Settings, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        request(settings, **options)
