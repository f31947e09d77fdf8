"""How many rows are predicted to judge a model, however slow it is."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from automl_assets.core.evaluation.explaining import shap
from automl_assets.core.evaluation.explaining.result import Explanations
from automl_assets.core.evaluation.sections import load_sections
from automl_assets.core.families import FittedModel
from automl_assets.core.judgement import judged_rows, judging_seconds, section_seconds
from automl_assets.core.predictor import Predictor
from automl_assets.core.values import AcceptedRequest
from tests.examinations import make_examined

IN_PROCESS = [name for name, section in load_sections().items() if not section.is_measured]

SHAP, NOTHING = {"explain": {"local": "shap"}}, {"explain": {"global": "none"}}


@pytest.fixture
def predicted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of each prediction from now on."""
    seen: list[int] = []
    real = Predictor.predict_matrix

    def counted(self: Predictor, X: np.ndarray) -> np.ndarray:
        seen.append(len(X))
        return real(self, X)

    monkeypatch.setattr(Predictor, "predict_matrix", counted)
    return seen


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("name", IN_PROCESS)
def test_a_section_predicts_no_more_of_a_slow_model_than_it_says(
    predicted: list[int], name: str, task: Any
) -> None:
    examined = make_examined(task, refit_seconds=100.0)
    slow = examined.candidates.model_copy(update={"seconds_per_row": 10.0})
    examined = make_examined(task, refit_seconds=100.0, candidates=slow, seconds=0.5)
    section = load_sections()[name]
    predicted.clear()

    section.examine(examined)

    fewest = section.fewest_rows(examined.request, len(examined.split.feature_names))
    assert sum(predicted) <= fewest
    # What is kept back for nothing is lost to the search.
    assert sum(predicted) >= fewest / 5


def test_rows_that_are_added_for_rare_classes_are_counted(predicted: list[int]) -> None:
    examined, section = make_examined("binary"), load_sections()["explanations"]
    slow = examined.candidates.model_copy(update={"seconds_per_row": 10.0})
    rare = (np.arange(len(examined.analysis.y)) % 20 == 0).astype(examined.analysis.y.dtype)
    rows = replace(examined.analysis, y=rare)
    predicted.clear()

    found = section.examine(replace(examined, candidates=slow, analysis=rows, seconds=0.5))

    assert isinstance(found, Explanations)
    assert found.n_added > 0
    assert sum(predicted) <= section.fewest_rows(examined.request, len(found.importance))


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_contributions_are_of_as_many_rows_of_a_slow_model_as_are_counted(
    monkeypatch: pytest.MonkeyPatch, task: Any
) -> None:
    examined, section = make_examined(task, asked=SHAP), load_sections()["explanations"]
    slow = examined.candidates.model_copy(update={"seconds_per_row": 10.0})
    family, explained = type(examined.predictor.model), list[int]()
    real = family.contributions

    def counted(self: FittedModel, X: np.ndarray, **options: Any) -> Any:
        explained.append(len(X))
        return real(self, X, **options)

    monkeypatch.setattr(family, "contributions", counted)

    section.examine(replace(examined, candidates=slow, seconds=0.5))

    without = make_examined(task).request
    n_counted = section.fewest_rows(examined.request, 5) - section.fewest_rows(without, 5)
    assert 0.9 * n_counted <= sum(explained) * shap.FORECAST_FACTOR <= n_counted


def test_all_that_is_predicted_is_counted() -> None:
    examined = make_examined("binary", n_rows=1_500)
    accepted = AcceptedRequest(
        request=examined.request,
        request_id="r-1",
        request_sha256="0" * 64,
        accepted_at="2026-01-01T00:00:00Z",
    )
    parts = sum(examined.split.part(name).n_rows for name in ("analysis", "calibration"))
    n_columns = len(examined.split.feature_names)
    sections = load_sections().values()

    found = judged_rows(accepted, examined.split)

    assert found == parts + sum(item.fewest_rows(examined.request, n_columns) for item in sections)
    assert judging_seconds(accepted) == 2 * section_seconds(accepted)


def test_contributions_that_are_asked_for_count_as_many_predictions() -> None:
    examined, section = make_examined("binary"), load_sections()["explanations"]
    asked = make_examined("binary", asked=SHAP).request
    nothing = make_examined("binary", asked=NOTHING).request

    assert section.fewest_rows(asked, 5) == section.fewest_rows(examined.request, 5) + 200 * 60
    assert section.fewest_rows(nothing, 5) == 0
