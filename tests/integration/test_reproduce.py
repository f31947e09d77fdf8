"""A registered version is made again from its records and its data, or we say what differs."""

import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from automl_assets.assets.reproduction import reproduction_report
from automl_assets.core.errors import ServiceError, SnapshotError
from automl_assets.core.families import load_families
from automl_assets.core.ports import ModelRegistry, RegistryRecord, ReleaseLog
from automl_assets.core.probe import predictions_sha256, read_probe, write_probe
from automl_assets.core.reproduction import environment
from automl_assets.core.search.plan import SearchPlan
from automl_assets.core.search.standing import ledger_sha256
from automl_assets.core.values import ModelVersion
from automl_assets.definitions import build_definitions
from automl_assets.partitions import registered_versions
from automl_assets.sensors.reproduction import nightly_reproduction
from automl_assets.settings import Settings
from resources.model_registry import select_version
from resources.snapshot_store.embedded import EmbeddedSnapshotStore
from tests.fakes import InMemoryModelRegistry, InMemoryReleaseLog
from tests.registered_versions import PATH, Registered, register
from tests.whole_searches import make_table

FAMILIES = sorted(load_families())
KIND = {
    name: "binary" if "binary" in family.task_types else "regression"
    for name, family in load_families().items()
}
ALL_CHECKS = ("records", "data", "probe set", "metrics", "search")

CASES: dict[str, dict[str, Any]] = {
    "an ensemble, calibrated, with a threshold by cost": {
        "seed": 2,
        "model": {"calibration": "isotonic", "families": ["lightgbm", "linear"]},
        "task": {"cost": {"false_positive": 1, "false_negative": 7}},
    },
    "components": {
        "model": {"preprocessing": {"redundancy": "pca"}},
        "constraints": {"max_features": 6},
        "features": "pca",
    },
    "selected features": {
        "model": {"preprocessing": {"feature_selection": "permutation"}},
        "features": "selected",
    },
    "uncorrelated features": {
        "model": {"preprocessing": {"redundancy": "correlation"}},
        "features": "uncorrelated",
    },
    "several classes, calibrated": {
        "kind": "multiclass",
        "model": {"calibration": "temperature"},
    },
    "a target with heavy tails": {"kind": "regression", "heavy": True},
}


def small(plan: SearchPlan, features: str | None = None) -> SearchPlan:
    """One proposal of each of some fast families, compared on few folds.

    Args:
        features: The feature set that the proposals use.
    """
    if plan.cost is not None:
        return plan.model_copy(update={"n_fits": 2})
    by_family = {item.family: item for item in reversed(plan.proposals)}
    fast = ("linear", "lightgbm", "decision_tree")
    chosen = [by_family[name] for name in fast if name in by_family]
    if features is not None:
        assert features in plan.feature_sets
        chosen = [item.model_copy(update={"features": features}) for item in chosen]
    n_fits = 1 if plan.task_type == "regression" else min(2, plan.n_fits)
    return plan.model_copy(update={"proposals": tuple(chosen), "n_fits": n_fits})


def ticking() -> Callable[[], float]:
    """A clock that goes on by being looked at: what it ends, it ends alike on every machine."""
    ticks = itertools.count()
    return lambda: 0.05 * next(ticks)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_of_each_family_is_made_again_to_the_bit(name: str, tmp_path: Path) -> None:
    version = register(
        tmp_path, KIND[name], n_rows=300, search={"n_trials": 1}, model={"families": [name]}
    )

    report = version.again(search=True)

    assert {c.name: c.level for c in report.checks} == dict.fromkeys(ALL_CHECKS, "identical")
    assert (report.level, report.n_replayed) == ("identical", 1)
    assert version.found.best.family == name
    assert list(version.scratch.glob("owned-*")) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", list(CASES))
def test_whatever_a_model_is_made_of_is_made_again_to_the_bit(name: str, tmp_path: Path) -> None:
    sections = {"search": {"n_trials": 4, "sampler": "tpe"}, **CASES[name]}
    features = sections.pop("features", None)
    version = register(tmp_path, change_plan=lambda plan: small(plan, features), **sections)

    report = version.again(search=True)

    members = version.found.members
    assert features is None or features in {member.features for member in members}
    assert len(members) > 1 or not name.startswith("an ensemble")
    assert any(member.with_found for member in members) == ("heavy" in name)
    assert {c.name: c.level for c in report.checks} == dict.fromkeys(ALL_CHECKS, "identical")
    assert report.n_replayed == report.n_trials == 4


def test_feature_sets_that_this_code_does_not_find_again_are_named(tmp_path: Path) -> None:
    model = {"preprocessing": {"redundancy": "correlation"}, "families": ["linear"]}
    version = register(tmp_path, n_rows=300, search={"n_trials": 1}, model=model)
    version.rewrite("plan.json", lambda plan: plan.update({"feature_sets": ["all", "other"]}))

    report = version.sealed().again()

    (difference,) = report.checks[-1].differences
    assert (
        difference == "feature sets: all, other were found then, all, uncorrelated are found here."
    )
    assert (report.level, report.probe) == ("failed", None)


@pytest.mark.slow
def test_a_search_that_the_clock_cut_is_made_again_to_the_bit(tmp_path: Path) -> None:
    version = register(tmp_path, clock=ticking(), search={"time_limit": "30s"}, change_plan=small)

    report = version.again(search=True)

    assert version.found.stopped_by == "time_limit"
    assert any(item.truncated for item in version.found.leaderboard)
    assert report.level == "identical"


@pytest.fixture
def linear(tmp_path: Path) -> Registered:
    """A version of one small model."""
    return register(tmp_path, n_rows=300, search={"n_trials": 1}, model={"families": ["linear"]})


def with_probe(version: Registered, change: Callable[[np.ndarray], np.ndarray]) -> Registered:
    """Return a version with which other predictions were registered."""
    probe, predictions = read_probe(version.report)
    changed = change(predictions)
    digest = predictions_sha256(changed)
    write_probe(version.report, probe.model_copy(update={"predictions_sha256": digest}), changed)
    return version.sealed()


def noise(size: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(predictions: np.ndarray) -> np.ndarray:
        moved = predictions.copy()
        moved[3:, 1] += size * np.random.default_rng(0).choice([-1, 1], len(predictions) - 3)
        moved[:, 0] = 1 - moved[:, 1]
        return moved

    return change


@pytest.mark.parametrize(
    ("size", "level"),
    [(1e-12, "equal within 1e-9"), (1e-6, "statistically equal"), (0.2, "failed")],
)
def test_predictions_that_differ_have_their_level_and_the_first_is_named(
    linear: Registered, size: float, level: str
) -> None:
    report = with_probe(linear, noise(size)).again()

    assert report.level == level
    assert report.probe is not None
    assert report.probe.first is not None
    assert report.probe.first.row == read_probe(linear.report)[0].rows[3]
    assert report.probe.first.column == "probability_no"
    assert [check.level for check in report.checks] == [
        "identical",
        "identical",
        level,
        "identical",
    ]
    assert "probe set" in report.sentence


def test_one_byte_of_the_data_that_changed_is_found_before_anything_is_fitted(
    linear: Registered,
) -> None:
    snapshot = linear.snapshot
    (item,) = linear.store.objects(snapshot.repository, snapshot.commit_id, PATH)
    blob = blob_of(linear, item.sha256)
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 1
    blob.chmod(0o644)
    blob.write_bytes(bytes(content))

    report = linear.again()

    assert [(check.name, check.level) for check in report.checks] == [
        ("records", "identical"),
        ("data", "failed"),
    ]
    (difference,) = report.checks[1].differences
    assert PATH in difference
    assert item.sha256[:12] in difference
    assert report.probe is None
    assert report.failed


def blob_of(version: Registered, sha256: str) -> Path:
    """The file of the store that holds an object."""
    assert isinstance(version.store, EmbeddedSnapshotStore)
    (blob,) = Path(version.store.folder).rglob(f"*{sha256[-60:]}*")
    return blob


def set_param(entries: list[dict[str, Any]]) -> None:
    entries[0]["job"]["params"]["C"] = 1e-4


def test_a_hyperparameter_that_was_changed_in_the_ledger_is_named(linear: Registered) -> None:
    linear.rewrite("ledger.json", set_param)

    report = linear.again()

    assert [(check.name, check.level) for check in report.checks] == [("records", "failed")]
    told = " ".join(report.checks[0].differences)
    assert "digest of the trials in ledger.json" in told
    assert "params.C of trial 0" in told
    assert "0.0001 in the ledger" in told


def test_a_ledger_that_was_forged_with_its_digest_gives_another_model(linear: Registered) -> None:
    linear.rewrite("ledger.json", set_param)
    digest = ledger_sha256(json.loads((linear.report / "ledger.json").read_bytes()))

    def forge(card: dict[str, Any]) -> None:
        card["search"]["ledger_sha256"] = digest

    report = linear.with_card(forge).again()

    assert report.level == "failed"
    assert report.probe is not None
    assert report.probe.first is not None
    assert "as recorded, so a record or the data changed" in report.sentence


@pytest.mark.parametrize(
    ("name", "value"), [("calibration", "sigmoid"), ("seed", 5), ("target", "noise")]
)
def test_a_plan_that_says_other_than_the_request_is_named(
    linear: Registered, name: str, value: object
) -> None:
    linear.rewrite("plan.json", lambda plan: plan.update({name: value}))

    report = linear.sealed().again()

    assert [(check.name, check.level) for check in report.checks] == [("records", "failed")]
    (difference,) = report.checks[0].differences
    assert f"{name} in plan.json" in difference
    assert repr(value) in difference


@pytest.mark.parametrize("name", ["plan.json", "ledger.json", "probe.json", "card.json"])
def test_one_byte_of_a_record_that_changed_is_found(linear: Registered, name: str) -> None:
    with (linear.report / name).open("ab") as file:
        file.write(b" ")

    report = linear.again()

    assert [(check.name, check.level) for check in report.checks] == [("records", "failed")]
    assert report.checks[0].differences[0].startswith(f"digest of {name}: ")


def test_a_card_that_was_changed_is_found(linear: Registered) -> None:
    linear.rewrite("card.json", lambda card: card["evaluation"]["metrics"].clear())

    report = linear.again()

    assert report.failed
    assert "digest of card.json" in report.checks[0].differences[0]


def test_probe_predictions_that_were_changed_are_found(linear: Registered) -> None:
    probe, predictions = read_probe(linear.report)
    write_probe(linear.report, probe, predictions + 0.25)

    report = linear.again()

    assert [text.split(":")[0] for text in report.checks[0].differences] == [
        "digest of probe.npy",
        "digest of the predictions in probe.npy",
    ]


def test_another_version_of_a_library_is_told_whatever_the_level(linear: Registered) -> None:
    older = linear.with_card(lambda card: card["environment"].update({"scikit-learn": "1.0.2"}))

    same = older.again()
    moved = with_probe(older, noise(1e-12)).again()

    for report in (same, moved):
        (difference,) = report.environment
        assert (difference.name, difference.recorded) == ("scikit-learn", "1.0.2")
        assert difference.now == linear.environment["scikit-learn"]
        assert "scikit-learn 1.0.2 recorded" in report.sentence
    assert (same.level, moved.level) == ("identical", "equal within 1e-9")


def test_a_metric_of_the_card_that_differs_is_told_with_both_numbers(linear: Registered) -> None:
    def better(card: dict[str, Any]) -> None:
        card["evaluation"]["metrics"][0] |= {"value": 0.999, "low": 0.99, "high": 1.0}

    report = linear.with_card(better).again()

    assert {c.name: c.level for c in report.checks}["metrics"] == "failed"
    assert report.checks[-1].text.startswith(
        f"FAILED: {report.metrics[0].metric} 0.999 in the card"
    )


def test_a_trial_whose_score_is_not_that_of_the_ledger_is_named(linear: Registered) -> None:
    def improve(entries: list[dict[str, Any]]) -> None:
        entries[0]["result"]["score"] = 0.9999

    linear.rewrite("ledger.json", improve)
    digest = ledger_sha256(json.loads((linear.report / "ledger.json").read_bytes()))

    def forge(card: dict[str, Any]) -> None:
        card["search"]["ledger_sha256"] = digest

    report = linear.with_card(forge).again(search=True)

    assert {c.name: c.level for c in report.checks} == {
        **dict.fromkeys(ALL_CHECKS, "identical"),
        "search": "failed",
    }
    (trial,) = report.trials
    assert (trial.number, trial.recorded, trial.level) == (0, 0.9999, "failed")


@pytest.mark.parametrize(
    "name", ["card.json", "plan.json", "ledger.json", "probe.json", "files.json"]
)
def test_a_record_that_is_missing_is_named(linear: Registered, name: str) -> None:
    (linear.report / name).unlink()

    with pytest.raises(SnapshotError, match=f"made-up@3 no {name} was"):
        linear.again()


def test_a_record_that_is_no_json_is_an_error_with_a_cure(linear: Registered) -> None:
    (linear.report / "plan.json").write_text("{")

    with pytest.raises(SnapshotError, match="must have the form that this code writes"):
        linear.again()


def test_a_commit_that_is_not_in_the_store_is_named(linear: Registered, tmp_path: Path) -> None:
    other = EmbeddedSnapshotStore(folder=str(tmp_path / "other"))
    other.ensure_repository(linear.snapshot.repository)

    with pytest.raises(SnapshotError, match=f"data commit, but {linear.snapshot.commit_id}"):
        replace(linear, store=other).again()


def test_a_split_that_is_not_in_the_store_is_named(linear: Registered) -> None:
    gone = linear.with_card(lambda card: card["split"].update({"commit_id": "0" * 64}))
    tags = {**gone.version.tags, "split_commit": "0" * 64}
    gone = replace(gone, version=gone.version.model_copy(update={"tags": tags}))

    with pytest.raises(SnapshotError, match="split commit, but 0000"):
        gone.again()


def test_data_whose_bytes_are_gone_are_named(linear: Registered) -> None:
    snapshot = linear.snapshot
    (item,) = linear.store.objects(snapshot.repository, snapshot.commit_id, PATH)
    blob_of(linear, item.sha256).unlink()

    with pytest.raises(SnapshotError, match=f"{PATH} .* its bytes are gone"):
        linear.again()


def test_a_library_that_is_not_here_is_named_with_its_version(
    linear: Registered, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(environment, "version", version)
    pin = f"scikit-learn=={linear.environment['scikit-learn']}"

    with pytest.raises(ServiceError, match=f"'scikit-learn', but it .* Install {pin}"):
        linear.again()


class OneVersionRegistry(InMemoryModelRegistry):
    """Holds one version that somebody else registered."""

    def __init__(self, held: Registered) -> None:
        super().__init__()
        self._held = held

    def list_versions(self) -> list[ModelVersion]:
        return [self._held.version]

    def find(self, name: str, reference: str | None = None) -> ModelVersion:
        return select_version(self.list_versions(), name, reference)

    @contextmanager
    def inspect(self, version: ModelVersion) -> Iterator[RegistryRecord]:
        yield RegistryRecord(
            where="memory",
            report=self._held.report,
            model=None,
            package=None,
            request_yaml=None,
            facts=None,
            tags={},
            metrics={},
            params={},
            description="",
        )


def materialize(held: Registered, settings: Settings, log: ReleaseLog, instance: Any) -> Any:
    key = f"{held.version.name}@{held.version.version}"
    instance.add_dynamic_partitions(str(registered_versions.name), [key])
    return dg.materialize(
        [reproduction_report],
        instance=instance,
        partition_key=key,
        resources={
            "model_registry": OneVersionRegistry(held),
            "snapshot_store": held.store,
            "release_log": log,
            "code_origin": lambda: held.environment,
            "settings": settings,
        },
    )


def test_the_asset_of_a_version_tells_its_level_and_leaves_the_request_alone(
    linear: Registered, settings: Settings
) -> None:
    log = InMemoryReleaseLog()
    with dg.DagsterInstance.ephemeral() as instance:
        result = materialize(linear, settings, log, instance)
        linear.rewrite("ledger.json", set_param)
        altered = materialize(linear, settings, log, instance)

    (made,) = result.asset_materializations_for_node("reproduction_report")
    assert made.partition == "made-up@3"
    assert made.metadata["level"].value == "IDENTICAL"
    assert made.metadata["request"].value.startswith("made-up-")
    assert [check.passed for check in result.get_asset_check_evaluations()] == [True]
    (check,) = altered.get_asset_check_evaluations()
    assert not check.passed
    assert check.description is not None
    assert "records" in check.description
    assert [event.kind for event in log.events("made-up")] == ["reproduced", "reproduced"]
    assert log.events("made-up")[1].reason.startswith("FAILED")
    kept = sorted((settings.root / "reproductions" / "made-up@3").glob("*.json"))
    assert [json.loads(file.read_bytes())["level"] for file in kept] == ["identical", "failed"]


def tick(registry: ModelRegistry, instance: dg.DagsterInstance, day: int) -> Any:
    context = dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=datetime(2026, 11, day, 3, tzinfo=UTC),
        resources={"model_registry": registry},
    )
    return nightly_reproduction(context)


def test_each_night_has_its_champion_and_a_repeated_tick_has_the_same(
    linear: Registered, tmp_path: Path
) -> None:
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        first, again = (tick(OneVersionRegistry(linear), instance, 21) for _ in range(2))
        next_day = tick(OneVersionRegistry(linear), instance, 22)
        nobody = tick(InMemoryModelRegistry(), instance, 22)
        partitions = instance.get_dynamic_partitions(str(registered_versions.name))

    assert first.partition_key == again.partition_key == "made-up@3"
    assert first.run_key == again.run_key == "reproduce/2026-11-21"
    assert next_day.run_key != first.run_key
    assert "no registered model has a champion" in nobody.skip_message.lower()
    assert partitions == ["made-up@3"]


def test_the_schedule_is_stopped_until_somebody_starts_it_and_knows_its_job() -> None:
    definitions = build_definitions(Settings())

    assert nightly_reproduction.default_status == dg.DefaultScheduleStatus.STOPPED
    job = definitions.resolve_job_def(nightly_reproduction.job_name)
    keys = [key.to_user_string() for key in job.asset_layer.executable_asset_keys]
    assert keys == ["reproduction_report"]


def automl(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "automl_assets", *arguments],
        cwd=settings.root.parent,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
def test_the_command_makes_a_version_again_and_fails_where_its_data_changed(
    settings: Settings,
) -> None:
    make_table("binary", 500).write_parquet(settings.root.parent / "churn.parquet")
    asked = ("--target", "target", "--n-trials", "2", "--family", "lightgbm", "--seed", "3")
    trained = automl(settings, "train", "churn.parquet", *asked)
    assert trained.returncode == 0, trained.stderr
    # The version alone, and its data: nothing else of the home is needed.
    for folder in ("studies", "matrices", "reports", "values", "requests"):
        shutil.rmtree(settings.root / folder)

    again = automl(settings, "reproduce", "churn@challenger", "--search")

    assert again.returncode == 0, again.stderr
    told = {line[:13].strip(): line[13:] for line in again.stdout.splitlines()}
    assert "lightgbm fitted again from commit" in told["fit"]
    assert "predictions IDENTICAL" in told["probe set"]
    assert told["metrics"] == "identical to the card"
    assert told["search"] == "2 trials replayed, all scores identical to the ledger"
    assert Path(told["report"]).is_file()

    for blob in (settings.store_folder / "objects").rglob("*"):
        if blob.is_file() and blob.read_bytes()[:4] == b"PAR1":
            blob.chmod(0o644)
            blob.write_bytes(blob.read_bytes()[:-9] + b"X" + blob.read_bytes()[-8:])
    changed = automl(settings, "reproduce", "churn")
    assert changed.returncode == 4, changed.stderr
    assert "FAILED" in changed.stdout
    assert "sha256" in changed.stdout
