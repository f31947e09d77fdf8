"""`automl train` from a file to a registered model, in a process of its own as users run it."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from automl_assets.core.splits import rows_sha256
from automl_assets.core.values import (
    PARTS,
    CandidateSet,
    DataSnapshot,
    EvaluationReport,
    ModelVersion,
    Split,
)
from automl_assets.settings import Settings
from resources.snapshot_store.embedded import EmbeddedSnapshotStore
from resources.value_store import JsonValueStore

FAST = ("--n-trials", "3", "--workers", "2")


def automl(
    settings: Settings, *arguments: str, timeout: float = 300
) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "automl_assets", *arguments],
        cwd=settings.root.parent,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def write_table(folder: Path, n_rows: int = 600, seed: int = 0) -> Path:
    """A table with numbers, categories, a date, holes, an id and a target that depends on them."""
    generator = np.random.default_rng(seed)
    usage = generator.normal(size=n_rows)
    plan = generator.choice(["basic", "plus", "gold"], n_rows)
    days = generator.integers(0, 700, n_rows)
    logit = usage + (plan == "gold") * 1.5 + days / 700
    churned = generator.random(n_rows) < 1 / (1 + np.exp(-logit))
    table = pl.DataFrame(
        {
            "customer": [f"c{i:05d}" for i in range(n_rows)],
            "usage": np.where(generator.random(n_rows) < 0.1, np.nan, usage),
            "plan": plan,
            "since": (np.datetime64("2024-01-01") + days).astype("datetime64[D]"),
            "../etc/passwd": generator.integers(0, 9, n_rows),
            "churned": np.where(churned, "yes", "no"),
        }
    ).with_columns(pl.col("usage").fill_nan(None))
    path = folder / "churn.csv"
    table.write_csv(path)
    return path


def only_request(settings: Settings) -> str:
    (folder,) = [path for path in settings.requests_folder.iterdir() if path.is_dir()]
    return folder.name


def values_of(settings: Settings, request_id: str) -> dict:
    store = JsonValueStore(folder=str(settings.values_folder))
    kinds = {
        "data_snapshot": DataSnapshot,
        "splits": Split,
        "candidate_models": CandidateSet,
        "evaluation_report": EvaluationReport,
        "registered_model": ModelVersion,
    }
    return {name: store.read(name, request_id, kind) for name, kind in kinds.items()}


@pytest.mark.slow
def test_a_file_becomes_a_registered_model_and_predicts_as_it_was_evaluated(
    settings: Settings,
) -> None:
    project = settings.root.parent
    write_table(project)

    run = automl(settings, "train", "churn.csv", "--target", "churned", "--id", "customer", *FAST)

    assert run.returncode == 0, run.stderr + run.stdout
    request_id = only_request(settings)
    values = values_of(settings, request_id)
    assert values["registered_model"].aliases == ("challenger",)
    report = settings.reports_folder / request_id / "report.html"
    assert str(report.relative_to(project)) in run.stdout
    assert report.stat().st_size < 2_000_000
    assert [path.name for path in project.iterdir()] == [".automl", "churn.csv"] or {
        path.name for path in project.iterdir()
    } == {".automl", "churn.csv"}

    # The parts are disjoint and cover the table, as committed.
    store = EmbeddedSnapshotStore(folder=str(settings.store_folder))
    split = values["splits"]
    rows = {
        part: store.scan(split.repository, split.commit_id, split.part(part).path)
        .collect()["row"]
        .to_numpy()
        for part in PARTS
    }
    np.testing.assert_array_equal(np.sort(np.concatenate(list(rows.values()))), np.arange(600))
    assert all(rows_sha256(rows[part]) == split.part(part).sha256 for part in PARTS)

    # New rows get the numbers that the evaluation saw for them.
    judged = pl.read_parquet(
        settings.reports_folder / request_id / "analysis_predictions.parquet"
    ).drop("row")
    again = automl(settings, "predict", "churn", "churn.csv", "-o", "new.parquet")
    assert again.returncode == 0, again.stderr
    predicted = pl.read_parquet(project / "new.parquet")
    added = ["prediction_id", "model_version"]
    assert predicted.columns == ["customer", *judged.columns, *added]
    assert predicted[rows["analysis"]].drop("customer", *added).equals(judged)

    # Asked again, nothing is done twice.
    second = automl(settings, "train", "churn.csv", "-t", "churned", "--id", "customer", *FAST)
    assert second.returncode == 0, second.stderr
    assert values_of(settings, request_id) == values
    with sqlite3.connect(settings.mlflow_folder / "mlflow.db") as database:
        assert database.execute("select count(*) from model_versions").fetchone() == (1,)


@pytest.mark.slow
def test_a_search_that_was_killed_goes_on_without_repeating_a_trial(settings: Settings) -> None:
    write_table(settings.root.parent, n_rows=3000)
    command = ["train", "churn.csv", "--target", "churned", "--n-trials", "8", "--workers", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "automl_assets", *command],
        cwd=settings.root.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_until(lambda: n_complete(settings) >= 3, seconds=120)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before, orphans = complete_trials(settings), workers_alive(settings)

    run = automl(settings, "resume", only_request(settings))

    assert run.returncode == 0, run.stderr + run.stdout
    after = complete_trials(settings)
    assert before.items() <= after.items()
    candidates = values_of(settings, only_request(settings))["candidate_models"]
    assert len(candidates.leaderboard) == 8
    # What the worker was fitting when its supervisor died was adopted, not begun again.
    assert orphans
    assert not workers_alive(settings)


def wait_until(condition: Callable[[], bool], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)


def complete_trials(settings: Settings) -> dict[int, float]:
    """Number and score of each finished trial, read past Optuna."""
    databases = list(settings.studies_folder.glob("*/study.db"))
    if not databases:
        return {}
    with sqlite3.connect(databases[0], timeout=30) as database:
        try:
            rows = database.execute(
                "select number, value from trials join trial_values using (trial_id) "
                "where state = 'COMPLETE'"
            ).fetchall()
        except sqlite3.OperationalError:
            return {}
    return dict(rows)


def n_complete(settings: Settings) -> int:
    return len(complete_trials(settings))


def workers_alive(settings: Settings) -> list[str]:
    found = subprocess.run(
        ["pgrep", "-f", f"automl_assets.worker.*{settings.studies_folder}"],
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.split()


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "target", "metric", "at_least", "at_most"),
    [
        ("adult", "income", "roc_auc", 0.90, 0.95),
        ("king_county", "price", "r2", 0.80, 0.95),
    ],
)
def test_real_data_gives_a_model_as_good_as_the_field_knows_it(
    settings: Settings,
    real_data: Callable[[str], Path],
    name: str,
    target: str,
    metric: str,
    at_least: float,
    at_most: float,
) -> None:
    data = real_data(name)

    run = automl(settings, "train", str(data), "--target", target, "--time-limit", "40s")

    assert run.returncode == 0, run.stderr + run.stdout
    report = values_of(settings, only_request(settings))["evaluation_report"]
    estimate = {item.metric: item for item in report.metrics}[metric]
    assert at_least < estimate.value < at_most
    assert report.better_than_baseline
