"""How equal two models are, whose turn it is, and what is told and kept."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_assets.core.evaluation.judge import JudgeInput
from automl_assets.core.reproduction.compare import compare_metrics, compare_probe
from automl_assets.core.reproduction.environment import environment_differences
from automl_assets.core.reproduction.keeping import (
    champion_of_the_day,
    keep_report,
    reproduced,
)
from automl_assets.core.reproduction.result import (
    LEVELS,
    Check,
    EnvironmentDifference,
    ProbeComparison,
    ReproductionReport,
    weakest,
)
from automl_assets.core.reproduction.words import as_markdown, probe_text, sentence
from automl_assets.core.values import MetricEstimate, ModelVersion, TaskType

ROWS = tuple(range(0, 4000, 2))


def judged(task_type: TaskType, *, threshold: float | None = None, seed: int = 0) -> JudgeInput:
    """Two thousand rows, and predictions that are right more often than not."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=len(ROWS))
    if task_type == "regression":
        y, prediction = 50 + 10 * signal, 50 + 10 * signal + rng.normal(size=len(ROWS))
    else:
        y = (signal + rng.normal(size=len(ROWS)) > 0).astype(np.int32)
        yes = 1 / (1 + np.exp(-2 * signal))
        prediction = np.column_stack([1 - yes, yes])
    return JudgeInput(
        task_type=task_type,
        classes=() if task_type == "regression" else ("no", "yes"),
        y_true=y,
        prediction=prediction,
        y_train=np.empty(0),
        metric="rmse" if task_type == "regression" else "roc_auc",
        threshold=threshold,
    )


def compared(
    own: JudgeInput, recorded: np.ndarray, *, recorded_threshold: float | None = None
) -> ProbeComparison:
    return compare_probe(
        own.prediction, recorded, own, rows=ROWS, recorded_threshold=recorded_threshold
    )


def shifted(prediction: np.ndarray, by: np.ndarray) -> np.ndarray:
    moved = prediction.copy()
    if moved.ndim == 1:
        return moved + by
    moved[:, 1] += by
    moved[:, 0] = 1 - moved[:, 1]
    return moved


@pytest.mark.parametrize("task_type", ["binary", "regression"])
@pytest.mark.parametrize(
    ("size", "level"),
    [
        (0.0, "identical"),
        (1e-13, "equal within 1e-9"),
        (1e-5, "statistically equal"),
        (0.3, "failed"),
    ],
)
def test_the_level_follows_from_how_far_predictions_are_apart(
    task_type: TaskType, size: float, level: str
) -> None:
    own = judged(task_type)
    scale = 10.0 if task_type == "regression" else 1.0
    by = scale * size * np.random.default_rng(1).choice([-1.0, 1.0], len(ROWS))

    found = compared(own, shifted(own.prediction, by))

    assert found.level == level
    assert found.n_different == (0 if size == 0 else len(ROWS))


@given(size=st.floats(1e-15, 1.0), n_moved=st.integers(1, len(ROWS)), seed=st.integers(0, 2**16))
def test_fewer_rows_that_differ_by_less_are_never_a_weaker_level(
    size: float, n_moved: int, seed: int
) -> None:
    own = judged("regression")
    by = np.zeros(len(ROWS))
    rng = np.random.default_rng(seed)
    by[rng.permutation(len(ROWS))[:n_moved]] = size

    found = compared(own, own.prediction + by)

    assert found.level in LEVELS
    assert (found.first is None) == (found.level == "identical")
    # A number is judged beside its own size and the spread of all, which are about 50 and 10.
    assert found.level in LEVELS[:2] or size > 1e-9
    assert found.level == "failed" or found.agreement >= 0.999
    assert found.largest <= size * (1 + 1e-9) + 1e-13


def test_rounding_in_one_direction_is_no_failure_though_its_interval_excludes_zero() -> None:
    own = judged("regression")

    found = compared(own, own.prediction + np.sign(own.prediction - own.y_true) * 1e-7)

    assert found.difference is not None
    assert found.difference.low > 0
    assert found.level == "statistically equal"


def test_a_metric_that_is_worse_fails_though_decisions_agree() -> None:
    own = judged("regression")
    by = np.sign(own.prediction - own.y_true) * 5e-3

    found = compared(own, own.prediction - by)

    assert found.agreement == 1.0
    assert found.level == "failed"


def test_decisions_that_change_fail_though_the_metric_does_not() -> None:
    own = judged("binary")
    flipped = own.prediction.copy()
    near = np.argsort(np.abs(own.prediction[:, 1] - 0.5))[:10]
    flipped[near] = flipped[near][:, ::-1]

    found = compared(own, flipped)

    assert found.agreement == pytest.approx(1 - 10 / len(ROWS))
    assert found.level == "failed"
    assert found.first is not None
    assert found.first.row == ROWS[near.min()]
    assert found.first.column == "probability_no"


def test_another_threshold_is_not_identical_though_the_probabilities_are() -> None:
    own = judged("binary", threshold=0.5)

    near = compared(own, own.prediction, recorded_threshold=0.5 + 1e-12)
    far = compared(own, own.prediction, recorded_threshold=0.6)

    assert near.level == "equal within 1e-9"
    assert far.level == "failed"
    assert far.agreement < 0.999


def test_a_model_with_other_classes_fails() -> None:
    own = judged("binary")

    found = compared(own, np.column_stack([own.prediction, own.prediction[:, 0]]))

    assert found.level == "failed"
    assert "shape" in found.note
    assert "shape" in probe_text(found)


def test_where_the_probe_cannot_show_the_metric_it_is_said_and_decisions_decide() -> None:
    own = judged("binary")
    one_class = JudgeInput(**{**vars(own), "y_true": np.zeros(len(ROWS), np.int32)})
    by = 1e-6 * np.random.default_rng(1).choice([-1.0, 1.0], len(ROWS))

    found = compared(one_class, shifted(own.prediction, by))

    assert found.difference is None
    assert found.level == "statistically equal"
    assert "cannot show" in probe_text(found)


def test_metrics_are_compared_with_the_card_and_its_interval() -> None:
    own = judged("binary")
    card = [
        MetricEstimate(metric=name, value=value, low=low, high=high, method="m", n_rows=2)
        for name, value, low, high in (
            ("roc_auc", 0.5, 0.4, 0.45),
            ("accuracy", 0.6, 0.0, 1.0),
        )
    ]

    auc, accuracy = compare_metrics(tuple(card), own)

    assert auc.level == "failed"
    assert accuracy.level == "statistically equal"
    assert accuracy.recorded == 0.6
    again = [item.model_copy(update={"value": auc.found}) for item in card[:1]]
    assert compare_metrics(tuple(again), own)[0].level == "identical"


def test_what_was_recorded_and_is_not_here_is_a_difference_and_what_is_new_is_none() -> None:
    found = environment_differences(
        {"numpy": "2.1", "gone": "1", "empty": "", "same": "3"}, {"numpy": "2.2", "same": "3"}
    )

    assert [(item.name, item.recorded, item.now) for item in found] == [
        ("gone", "1", ""),
        ("numpy", "2.1", "2.2"),
    ]


@given(st.lists(st.sampled_from(LEVELS), min_size=1))
def test_the_weakest_level_is_one_of_them_and_none_is_weaker(levels: list) -> None:
    assert weakest(levels) in levels
    assert all(LEVELS.index(level) <= LEVELS.index(weakest(levels)) for level in levels)


def version(name: str, number: str = "1", alias: str = "champion") -> ModelVersion:
    return ModelVersion(
        name=name,
        version=number,
        aliases=(alias,),
        mlflow_run_id="r",
        artifact_sha256="a",
        card_sha256="c",
        tags={},
        semver="1.0.0",
    )


def test_each_champion_has_its_turn_and_a_day_has_one() -> None:
    versions = [version(f"model-{number}") for number in range(5)]
    versions.append(version("other", alias="challenger"))
    days = [f"2026-{month:02d}-{day:02d}" for month in range(1, 13) for day in range(1, 29)]

    chosen = [champion_of_the_day(versions, day) for day in days]

    names = [item.name for item in chosen if item is not None]
    counts = {name: names.count(name) for name in names}
    assert set(counts) == {f"model-{number}" for number in range(5)}
    assert min(counts.values()) > 30
    assert [champion_of_the_day(versions[::-1], day) for day in days] == chosen
    assert champion_of_the_day(versions[5:], days[0]) is None


def test_a_new_champion_changes_no_choice_but_to_itself() -> None:
    versions = [version(f"model-{number}") for number in range(4)]
    days = [f"2026-01-{day:02d}" for day in range(1, 29)]

    before = [champion_of_the_day(versions, day) for day in days]
    after = [champion_of_the_day([*versions, version("new")], day) for day in days]

    assert all(new == old or new.name == "new" for old, new in zip(before, after, strict=True))


def a_report(**changes: object) -> ReproductionReport:
    checks = (
        Check(name="records", level="identical", text="all | agree"),
        Check(name="probe set", level="failed", text="8 rows differ", differences=("one",)),
    )
    told = {
        "name": "churn",
        "version": "12",
        "at": "2026-11-21T03:00:00.000+00:00",
        "level": "failed",
        "sentence": "Not again.",
        "checks": checks,
        "environment": (EnvironmentDifference(name="numpy", recorded="1", now="2"),),
        "n_trials": 4,
        "request_id": "churn-4c1f2a90aa",
        "data_commit": "d" * 64,
        "seed": 7,
        "card_sha256": "c" * 64,
        "model_sha256": "m" * 64,
    }
    return ReproductionReport.model_validate(told | changes)


def test_a_report_is_kept_as_json_and_for_people_and_reads_back(tmp_path: Path) -> None:
    file = keep_report(tmp_path, a_report())

    assert file == tmp_path / "churn@12" / "2026-11-21T030000.000Z.json"
    assert ReproductionReport.model_validate(json.loads(file.read_bytes())) == a_report()
    page = file.with_suffix(".md").read_text()
    assert page == as_markdown(a_report())
    assert "# churn@12 made again: FAILED" in page
    assert "| records | IDENTICAL | all \\| agree |" in page
    assert "numpy 1 recorded, 2 here" in page


def test_the_release_log_is_told_the_level_and_the_card() -> None:
    event = reproduced(a_report(), version("churn", "12"), by="auditor")

    assert (event.kind, event.name, event.version, event.by) == (
        "reproduced",
        "churn",
        "12",
        "auditor",
    )
    assert event.reason == "FAILED. Not again."
    assert event.card_sha256 == "c" * 64


def test_the_sentence_says_where_the_level_was_lost_and_what_is_not_as_recorded() -> None:
    checks = a_report().checks
    near = (checks[0], checks[1].model_copy(update={"level": "equal within 1e-9"}))
    cpu = EnvironmentDifference(name="cpu", recorded="AMD-25", now="Intel-6")

    assert sentence("failed", checks, ()) == (
        "The version could not be made again: probe set. Code, libraries and machine are as "
        "recorded, so a record or the data changed."
    )
    assert sentence("equal within 1e-9", near, (cpu,)) == (
        "The version was made again; its numbers are equal within 1e-9, not identical: probe set. "
        "Not as recorded: cpu AMD-25 recorded, Intel-6 here."
    )
    assert sentence("identical", checks[:1], ()).endswith("to the last bit.")
