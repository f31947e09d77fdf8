"""A report is whole, the same for the same run, readable, and safe to open."""

import hashlib
import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

from automl_assets.core.evaluation.judge import JudgeInput, judge
from automl_assets.core.evaluation.openings import Opening
from automl_assets.core.report.write import write_report
from automl_assets.core.values import (
    PARTS,
    AcceptedRequest,
    Candidate,
    CandidateSet,
    ColumnProfile,
    DataSnapshot,
    DroppedColumn,
    RowStep,
    Split,
    SplitPart,
    TableProfile,
    TrainingRequest,
)
from tests.candidate_sets import candidate_set

EVIL = '<script>alert("$x$")</script>'
METRIC = {"binary": "roc_auc", "multiclass": "accuracy", "regression": "mae"}
FILES = ("report.html", "card.json", "card.md")
TASKS = tuple(METRIC)
OPENING = Opening(number=1, analysis="analysis-1", candidates_sha256="11" * 32, request_id="churn")


def predictions(task, classes):
    rng = np.random.default_rng(0)
    if task == "regression":
        y = rng.normal(size=120)
        return y, y + rng.normal(size=120) / 2
    y = rng.integers(0, len(classes), 120).astype(np.int32)
    p = rng.random((120, len(classes))) + np.eye(len(classes))[y]
    return y, p / p.sum(axis=1, keepdims=True)


def evaluated(task, classes, threshold=None):
    y, prediction = predictions(task, classes)
    return judge(
        JudgeInput(
            task_type=task,
            classes=classes,
            y_true=y,
            prediction=prediction,
            y_train=y,
            metric=METRIC[task],
            report=(METRIC[task],),
            threshold=threshold,
        )
    )


def snapshot_of(task, classes, features):
    column = {"dtype": "Float64", "kind": "numeric", "n_nulls": 1, "n_distinct": 9}
    return DataSnapshot(
        repository="automl",
        commit_id="3f" * 32,
        path="data.parquet",
        content_sha256="ab" * 32,
        source="data.csv",
        source_sha256="cd" * 32,
        rows=(RowStep(step="source", n_rows=810), RowStep(step="target present", n_rows=800)),
        profile=TableProfile(
            n_rows=800,
            columns=tuple(
                ColumnProfile(name=name, **column, mean=float("nan")) for name in features
            ),
            task_type=task,
            classes=classes,
            class_counts=tuple(100 for _ in classes),
            features=features,
            dropped=(DroppedColumn(name="id", reason="It names rows."),),
            warnings=(f"Column {EVIL} looks odd.",),
        ),
    )


def split_of(features):
    parts = zip(PARTS, (480, 120, 80, 120), strict=True)
    return Split(
        repository="automl",
        commit_id="9a" * 32,
        strategy="random",
        seed=0,
        parts=tuple(
            SplitPart(part=part, n_rows=n, path=f"{part}.parquet", sha256="0f" * 32)
            for part, n in parts
        ),
        preprocessing_version="77" * 32,
        matrix_id="matrix",
        feature_names=features,
    )


def candidates_of(task):
    params = {"depth": 6, "learning_rate": 0.03, "kind": EVIL, "cap": None}
    won = Candidate(number=4, family="catboost", params=params, state="complete", score=0.9)
    lost = Candidate(
        number=1, family="linear", params={}, state="complete", score=0.8, reason="0.1 behind"
    )
    failed = Candidate(
        number=2, family="lightgbm", params={}, state="failed", score=None, reason=EVIL
    )
    return CandidateSet(
        study_name="study",
        metric=METRIC[task],
        direction="minimize" if task == "regression" else "maximize",
        seed=0,
        leaderboard=(won, lost, failed),
        winner=4,
        artifact="package",
        artifact_sha256="11" * 32,
        ledger_sha256="22" * 32,
        stopped_by="time_limit",
        seconds=61.5,
    )


def accepted_request():
    request = TrainingRequest.model_validate(
        {
            "apiVersion": "automl/v1",
            "kind": "TrainingRequest",
            "name": "churn",
            "owner": "analyst-7",
            "purpose": "Rank <b>subscribers</b> | for calls",
            "data": {"path": "data.csv", "target": "churned"},
        }
    )
    return AcceptedRequest(
        request_id=request.request_id,
        request_sha256=request.sha256,
        accepted_at="2026-11-20T10:00:00Z",
        request=request,
    )


def written(
    folder,
    task="binary",
    *,
    classes=None,
    features=("age", EVIL),
    sections=None,
    opening=None,
    threshold=None,
    failed=None,
    candidates=None,
):
    classes = classes or {"binary": ("no", EVIL), "multiclass": ("a", EVIL, "c")}.get(task, ())
    return write_report(
        folder,
        accepted=accepted_request(),
        snapshot=snapshot_of(task, classes, features),
        split=split_of(features),
        candidates=candidates or candidates_of(task),
        evaluation=evaluated(task, classes, threshold),
        sections=sections or {},
        opening=opening or OPENING,
        failed=failed or {},
        environment={"code": "0a1b", "python": "3.11"},
    )


class Page(HTMLParser):
    """Collects what the tests ask about."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


@pytest.mark.parametrize("task", TASKS)
def test_the_same_run_gives_the_same_bytes(tmp_path, task):
    first, second = tmp_path / "1" / "churn", tmp_path / "2" / "churn"

    assert written(first, task) == written(second, task)

    assert sorted(path.name for path in first.iterdir()) == sorted(FILES)
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in FILES)


def test_the_value_names_the_folder_without_its_parents_and_the_digest_of_the_card(tmp_path):
    report = written(tmp_path / "churn-1")

    assert report.folder == "churn-1"
    card = (tmp_path / "churn-1" / "card.json").read_bytes()
    assert report.card_sha256 == hashlib.sha256(card).hexdigest()
    assert report.card_sha256 in (tmp_path / "churn-1" / "report.html").read_text()
    assert str(tmp_path) not in (tmp_path / "churn-1" / "report.html").read_text()


@pytest.mark.parametrize("task", TASKS)
def test_the_card_is_strict_json_with_all_that_was_found(tmp_path, task):
    report = written(tmp_path, task)

    card = json.loads((tmp_path / "card.json").read_text(), parse_constant=pytest.fail)

    assert card["schema"] == "automl/card/v1"
    assert card["identity"]["request_id"] == accepted_request().request_id
    assert card["request"] == json.loads(accepted_request().request.canonical_json())
    assert card["evaluation"]["verdict"] == list(report.verdict)
    assert len(card["search"]["leaderboard"]) == 3
    assert card["data"]["profile"]["columns"][0]["mean"] is None


@pytest.mark.parametrize("task", TASKS)
def test_the_page_loads_nothing_and_runs_nothing(tmp_path, task):
    written(tmp_path, task)
    page = Page(tmp_path / "report.html")

    tags = {tag for tag, _ in page.tags}
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert tags.isdisjoint({"script", "iframe", "object", "embed", "form", "img", "base"})
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert not [a for _, a in page.tags if a.get("src") or any(k.startswith("on") for k in a)]
    assert all(link["href"].startswith("#") for link in page.all("a"))


def with_search(folder, monkeypatch, candidates):
    monkeypatch.setitem(globals(), "candidates_of", lambda task: candidates)
    written(folder)
    return Page(folder / "report.html")


def test_the_page_shows_the_members_limits_and_pictures_of_the_search(tmp_path, monkeypatch):
    page = with_search(tmp_path, monkeypatch, candidate_set(40))

    text = " ".join(" ".join(page.texts).split())
    for part in (
        "In the model, 0.60",
        "1 of 3 fitted again on all rows of the search",
        "probability 0.31",
        "at most 15 4.5 8",
        "p99_latency_ms 17.2, at most 15",
        "It cannot honour model.monotonic.",
        "rows that no fit had seen (out of 5 folds)",
        "118.2 s of CPU time and 912.0 MB of memory",
    ):
        assert part in text, part
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert text.count("Hyperparameters that mattered") == 1


def test_a_long_search_stays_small(tmp_path, monkeypatch):
    page = with_search(tmp_path, monkeypatch, candidate_set(2_000))

    assert (tmp_path / "report.html").stat().st_size < 700_000
    assert "And 1,790 more, in card.json." in " ".join(page.texts)


def test_a_calibrated_model_is_not_said_to_be_uncalibrated(tmp_path, monkeypatch):
    with_search(tmp_path, monkeypatch, candidate_set(40))

    limits = json.loads((tmp_path / "card.json").read_text())["limits"]
    assert not [limit for limit in limits if "calibration part" in limit]
    assert not [limit for limit in limits if "latency" in limit]


def test_text_from_data_is_text_on_the_page(tmp_path):
    written(tmp_path)
    page = Page(tmp_path / "report.html")

    assert sum(EVIL in text for text in page.texts) >= 5
    assert "<b>subscribers" not in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("task", TASKS)
def test_the_page_can_be_read_by_a_screen_reader(tmp_path, task):
    written(tmp_path, task)
    page = Page(tmp_path / "report.html")

    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert page.all("html") == [{"lang": "en"}]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in page.all("svg"))
    assert all("scope" in header for header in page.all("th"))
    assert len(ids) == len(set(ids))
    assert {link["href"][1:] for link in page.all("a")} <= set(ids)


@pytest.mark.parametrize(
    ("task", "titles"),
    [
        ("binary", ["Precision and recall", "ROC curve", "Calibration", "Confusion matrix"]),
        ("multiclass", ["Calibration", "Recall by class", "Confusion matrix"]),
        ("regression", ["Predicted and actual", "Residuals", "Calibration", "How far off"]),
    ],
)
def test_each_task_has_its_figures(tmp_path, task, titles):
    written(tmp_path, task)

    found = Page(tmp_path / "report.html").texts

    assert all(title in found for title in titles)


def test_figures_take_the_colours_of_the_page(tmp_path):
    written(tmp_path)

    page = (tmp_path / "report.html").read_text()

    assert "stroke: var(--accent)" in page
    assert "#010203" not in page
    assert "prefers-color-scheme: dark" in page


def test_a_thousand_long_columns_stay_small(tmp_path):
    written(tmp_path, features=tuple(f"{'column ' * 20}{i}" for i in range(1_000)))

    page = (tmp_path / "report.html").read_text()

    assert len(page) < 400_000
    assert "And 800 more, in card.json." in page


def test_many_classes_stay_small(tmp_path):
    written(tmp_path, "multiclass", classes=tuple(f"class {i}" for i in range(100)))

    page = (tmp_path / "report.html").read_text()

    assert "And 80 more classes, in card.json." in page
    assert "Confusion matrix" not in page


def test_the_limits_follow_from_what_was_found(tmp_path):
    written(tmp_path)

    limits = json.loads((tmp_path / "card.json").read_text())["limits"]

    for part in (
        "only 120 rows",
        "The clock ended the search",
        "1 of 3 trials failed",
        "drawn at random",
        "The calibration part (80 rows) is not used",
        "came with a warning",
    ):
        assert any(part in limit for limit in limits), part


def test_the_whole_request_is_on_the_page(tmp_path):
    written(tmp_path)

    assert accepted_request().request.to_yaml() in Page(tmp_path / "report.html").texts


def test_the_markdown_card_fits_one_screen_and_escapes_its_text(tmp_path):
    written(tmp_path)

    text = (tmp_path / "card.md").read_text()

    assert text.startswith("# churn\n")
    assert len(text.splitlines()) < 40
    assert "Rank \\<b\\>subscribers\\</b\\> \\| for calls" in text
    assert EVIL not in text


def test_a_report_replaces_an_earlier_one(tmp_path):
    written(tmp_path, "binary")
    report = written(tmp_path, "regression")

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)
    assert report.card_sha256 in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(("threshold", "told"), [(None, "finds most probable"), (0.7, "of 0.7 on")])
def test_the_confusion_matrix_says_how_classes_are_decided_on(tmp_path, threshold, told):
    written(tmp_path, threshold=threshold)

    page = " ".join((tmp_path / "report.html").read_text().split())
    caption = page[page.index("Columns: the class that the model") :][:300]
    assert told in caption
