"""A whole report: every section of a real model, its card, and the schema of cards."""

import json
import re
import time
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from automl_assets.core import judgement
from automl_assets.core.errors import SearchError, SnapshotError
from automl_assets.core.evaluation.sections import load_sections
from automl_assets.core.judgement import examine
from automl_assets.core.report.render import templates
from automl_assets.core.report.schema import card_json_schema
from automl_assets.core.report.section_pictures import load_section_pictures
from tests.examinations import make_examined
from tests.unit.test_report import EVIL, OPENING, TASKS, Page, candidates_of, written

ASKED = {
    "slices": ["plan", "age < 40"],
    "explain": {"local": "shap"},
    "robustness": {"jitter": 0.05, "missing": 0.05, "unseen_category": True},
}
ALWAYS = {"board", "calibration", "power", "slices", "explanations", "robustness", "serving"}


@pytest.fixture(scope="module", params=TASKS)
def sections(request, tmp_path_factory):
    """What every section found, with the task it is about."""
    folder = tmp_path_factory.mktemp("examined")
    examined = make_examined(
        request.param,
        n_rows=900,
        champion="linear",
        refit_seconds=0.01,
        seconds=0.5,
        asked=ASKED,
        folder=folder,
    )
    return request.param, examine(examined, folder)


def test_every_section_has_a_template_and_its_own_place():
    for name, section in load_sections().items():
        assert templates().get_template(f"sections/{name}.html.j2")
        assert section.title
    positions = [section.position for section in load_sections().values()]
    assert len(set(positions)) == len(positions)
    assert set(load_section_pictures()) <= set(load_sections())


def test_every_section_is_described():
    text = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text()

    for name in load_sections():
        assert f"| `{name}` | " in text, name


@pytest.mark.slow
def test_a_whole_card_is_valid_by_its_published_schema(sections, tmp_path):
    task, found = sections

    written(tmp_path, task, sections=found)

    card = json.loads((tmp_path / "card.json").read_text())
    assert set(card["sections"]) >= ALWAYS - {"board"}
    validator = jsonschema.Draft202012Validator(card_json_schema())
    assert [error.message for error in validator.iter_errors(card)] == []
    assert list(validator.iter_errors({**card, "identity": {}}))


@pytest.mark.slow
def test_a_whole_page_is_small_safe_and_the_same_every_time(sections, tmp_path):
    task, found = sections

    written(tmp_path / "1" / "churn", task, sections=found)
    written(tmp_path / "2" / "churn", task, sections=found)

    first = (tmp_path / "1" / "churn" / "report.html").read_bytes()
    assert first == (tmp_path / "2" / "churn" / "report.html").read_bytes()
    assert len(first) < 2_000_000
    page = Page(tmp_path / "1" / "churn" / "report.html")
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "iframe", "object", "img"})
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert set(found) <= {attributes.get("id") for _, attributes in page.tags}


def test_openings_beyond_the_first_are_told_with_their_confidence(tmp_path):
    opening = OPENING.model_copy(update={"number": 3})

    written(tmp_path, opening=opening)

    card = json.loads((tmp_path / "card.json").read_text())
    assert card["opening"]["number"] == 3
    assert any("has been opened 3 times" in text for text in card["limits"])
    assert EVIL not in (tmp_path / "report.html").read_text()


def test_a_score_that_the_analysis_part_does_not_confirm_is_told_first(tmp_path):
    candidates = candidates_of("binary").model_copy(update={"score": 0.01})

    written(tmp_path, candidates=candidates)

    card = json.loads((tmp_path / "card.json").read_text())
    first = card["findings"][0]
    assert first["section"] == "search"
    assert "trust the analysis part" in first["text"]
    assert '<a href="#search">Search</a> When the model' in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_what_was_measured_is_kept_and_not_measured_again(tmp_path, monkeypatch):
    examined = make_examined(n_rows=300, seconds=0.2)
    only = {"serving": load_sections()["serving"]}
    monkeypatch.setattr("automl_assets.core.judgement.load_sections", lambda: only)

    assert examine(examined, tmp_path) == examine(examined, tmp_path)


def breaks(error):
    def examine(examined):
        raise error

    return replace(load_sections()["robustness"], examine=examine)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("row 7 holds Jane Doe"), "ValueError"),
        (SearchError("A process did not end. Run it again."), "SearchError: A process did not end"),
    ],
)
def test_a_section_that_fails_is_told_and_loses_nothing_else(
    tmp_path, monkeypatch, caplog, error, reason
):
    examined = make_examined(n_rows=300)
    some = {"power": load_sections()["power"], "robustness": breaks(error)}
    monkeypatch.setattr("automl_assets.core.judgement.load_sections", lambda: some)
    failed = {}

    found = examine(examined, tmp_path, failed=failed)
    written(tmp_path / "report", sections=found, failed=failed)

    card = json.loads((tmp_path / "report" / "card.json").read_text())
    assert set(card["sections"]) == {"power"}
    assert card["limits"][0].startswith(
        f"Section 'Robustness' is missing, because it failed: {reason}"
    )
    assert not any("robustness" in text for text in card["limits"][1:])
    assert "Jane Doe" not in str(card)
    assert str(error) in caplog.text
    with pytest.raises(type(error)):
        examine(examined, tmp_path)


def test_a_package_that_changed_is_no_failed_section(tmp_path, monkeypatch):
    broken = {"robustness": breaks(SnapshotError("The package changed."))}
    monkeypatch.setattr("automl_assets.core.judgement.load_sections", lambda: broken)

    with pytest.raises(SnapshotError):
        examine(make_examined(n_rows=300), tmp_path, failed={})


def test_a_judgement_does_not_depend_on_the_number_of_threads(monkeypatch):
    seen = []

    def note(*_, **__):
        seen.extend(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")

    monkeypatch.setattr(judgement, "_judge_winner", note)
    with threadpool_limits(limits=2, user_api="blas"):
        judgement.judge_winner(None, None, None, None, store=None, places=None, clock=time.time)

    assert set(seen) == {1}
