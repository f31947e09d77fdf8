"""`automl audit` on a real registered model: every altered byte is found, and named."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner, Result

from automl_assets.cli import app
from automl_assets.cli.audit import BROKEN, places_of
from automl_assets.core.audit import AuditReport, audit_version, sentences
from automl_assets.core.ports import SnapshotStore
from automl_assets.core.prediction_log import parse_prediction_id, read_batch
from automl_assets.settings import Settings
from resources.release_log import REPOSITORY, branch_of
from resources.snapshot_store.embedded import EmbeddedSnapshotStore

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Home:
    """A home with one registered model and one batch of predictions."""

    settings: Settings
    request_id: str
    run: Path
    prediction: str

    @property
    def report(self) -> Path:
        return self.run / "report"

    @property
    def package(self) -> Path:
        return self.run / "model" / "data" / "package"

    @property
    def request(self) -> Path:
        return self.settings.requests_folder / self.request_id

    @property
    def database(self) -> Path:
        return self.settings.mlflow_folder / "mlflow.db"

    def value(self, asset: str) -> Path:
        return self.settings.values_folder / asset / f"{self.request_id}.json"

    def told(self, asset: str) -> dict:
        return json.loads(self.value(asset).read_text())

    def object(self, asset: str, path: str) -> Path:
        """The file of an object at the commit that an asset names."""
        value = self.told(asset)
        return self.object_at(value["repository"], value["commit_id"], path)

    def object_at(self, repository: str, commit_id: str, prefix: str) -> Path:
        store = EmbeddedSnapshotStore(folder=str(self.settings.store_folder))
        digest = store.objects(repository, commit_id, prefix)[0].sha256
        return self.settings.store_folder / "objects" / digest[:2] / digest

    def event(self) -> Path:
        store: SnapshotStore = EmbeddedSnapshotStore(folder=str(self.settings.store_folder))
        head = store.branches(REPOSITORY)[branch_of("churn")]
        return self.object_at(REPOSITORY, head, "events/")

    def audit(self, *, prediction: bool = False) -> AuditReport:
        with places_of(self.settings) as places:
            start = None
            if prediction:
                found = parse_prediction_id(self.prediction)
                start = found, read_batch(places.predictions, found)
            version = places.registry.find("churn")
            at = datetime(2026, 11, 21, tzinfo=UTC).isoformat()
            return audit_version(places, version, at=at, prediction=start)


def automl(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "automl_assets", *arguments],
        cwd=folder,
        env={**os.environ, "AUTOML_HOME": str(folder / ".automl")},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def here(settings: Settings, *arguments: str) -> Result:
    """Run a command in this process, which has imported everything."""
    environment = {"AUTOML_HOME": str(settings.home)}
    return CliRunner().invoke(app, arguments, env=environment)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Trains one small model through the command line; tests leave it as they found it."""
    folder = tmp_path_factory.mktemp("project")
    generator = np.random.default_rng(0)
    usage, plan = generator.normal(size=300), generator.choice(["basic", "plus"], 300)
    churned = usage + (plan == "plus") + 0.5 * generator.normal(size=300) > 0.5
    data = {"usage": usage, "plan": plan, "churned": np.where(churned, "yes", "no")}
    pl.DataFrame(data).write_csv(folder / "churn.csv")
    limits = ("--family", "linear", "--n-trials", "2", "--workers", "1")
    trained = automl(folder, "train", "churn.csv", "-t", "churned", *limits)
    assert trained.returncode == 0, trained.stdout + trained.stderr
    settings = Settings(home=folder / ".automl")
    places = str(folder / "churn.csv"), "-o", str(folder / "out.csv")
    predicted = here(settings, "predict", "churn", *places)
    assert predicted.exit_code == 0, predicted.output
    (request,) = [path for path in settings.requests_folder.iterdir() if path.is_dir()]
    value = json.loads(
        (settings.values_folder / "registered_model" / f"{request.name}.json").read_text()
    )
    (run,) = settings.mlflow_folder.glob(f"artifacts/churn/{value['mlflow_run_id']}/artifacts")
    assert "champion" in here(settings, "promote", "churn", "--reason", "the first one").output
    return Home(settings, request.name, run, pl.read_csv(folder / "out.csv")["prediction_id"][7])


@contextmanager
def with_content(file: Path, content: bytes | None) -> Iterator[None]:
    """Give a file another content, or none; afterwards it is as it was."""
    before, mode = file.read_bytes(), file.stat().st_mode
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    try:
        yield
    finally:
        file.write_bytes(before)
        file.chmod(mode)


def flipped(file: Path, *, at: float = 0.5) -> AbstractContextManager[None]:
    """Change one bit of one byte of a file."""
    content = bytearray(file.read_bytes())
    content[int(at * (len(content) - 1))] ^= 1
    return with_content(file, bytes(content))


def edited(file: Path, old: str, new: str) -> AbstractContextManager[None]:
    """Replace a text in a file once; it must be there."""
    text = file.read_text()
    assert old in text
    return with_content(file, text.replace(old, new, 1).encode())


@contextmanager
def as_link(file: Path) -> Iterator[None]:
    """Move a file elsewhere, where nobody looks, and leave a link to it."""
    elsewhere = file.parents[2] / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    try:
        yield
    finally:
        elsewhere.replace(file)


@contextmanager
def updated(home: Home, table: str, where: str, column: str, value: object) -> Iterator[None]:
    """Change one row of MLflow's database; afterwards it is as it was."""
    where = where.replace("OURS", f"run_uuid = '{home.run.parent.name}'")
    with closing(sqlite3.connect(home.database, timeout=30)) as database:
        found = database.execute(f"select {column} from {table} where {where}").fetchall()
    ((before,),) = found

    def write(new: object) -> None:
        with closing(sqlite3.connect(home.database, timeout=30)) as connection, connection:
            connection.execute(f"update {table} set {column} = ? where {where}", [new])

    write(value)
    try:
        yield
    finally:
        write(before)


def broken(report: AuditReport) -> set[tuple[str, str]]:
    return {(link.name, check.outcome) for link, check in report.broken}


def test_a_home_that_nobody_touched_is_whole_and_every_link_is_there(home: Home) -> None:
    report = home.audit(prediction=True)

    assert [sentence for link in report.links for sentence in sentences(link)] == []
    assert report.tally("hash")[0] == report.tally("hash")[1] > 50
    assert [link.name for link in report.links] == [
        *("prediction", "version", "model", "report", "probe", "candidate", "ledger"),
        *("splits", "data", "source", "request", "owner", "approvals", "history"),
        *("code", "lock", "environment", "copies"),
    ]
    unchecked = {link.name for link in report.links if not link.checks}
    assert unchecked <= {"history", "lock"}


Tamper = Callable[[Home], AbstractContextManager[None]]

TAMPERED: dict[str, tuple[Tamper, str, str]] = {
    "snapshot blob": (lambda h: flipped(h.object("data_snapshot", "data/")), "data", "table"),
    "last byte of the snapshot": (
        lambda h: flipped(h.object("data_snapshot", "data/"), at=1),
        "data",
        "table",
    ),
    "split file": (
        lambda h: flipped(h.object("splits", "splits/train")),
        "splits",
        "splits/train.parquet",
    ),
    "card": (lambda h: flipped(h.report / "card.json"), "report", "card.json"),
    "report page": (lambda h: flipped(h.report / "report.html"), "report", "report.html"),
    "inventory": (lambda h: flipped(h.report / "files.json"), "report", "files.json"),
    "manifest": (lambda h: flipped(h.package / "model.json"), "model", "model.json"),
    "preprocessing": (
        lambda h: flipped(h.package / "preprocessing.json"),
        "model",
        "preprocessing.json",
    ),
    "code that is served": (
        lambda h: flipped(h.run / "model/code/automl_assets/core/predictor.py"),
        "model",
        "core/predictor.py",
    ),
    "probe": (lambda h: flipped(h.report / "probe.npy", at=1), "probe", "probe.npy"),
    "digest of the probe": (
        lambda h: edited(
            h.report / "probe.json", '"predictions_sha256": "', '"predictions_sha256": "0'
        ),
        "probe",
        "probe.npy",
    ),
    "accepted request": (lambda h: flipped(h.request / "request.yaml"), "request", "request.yaml"),
    "owner of the accepted request": (
        lambda h: edited(h.request / "accepted.json", '"owner": "', '"owner": "x'),
        "owner",
        "accepted request",
    ),
    "where the request came from": (
        lambda h: flipped(h.request / "source.txt"),
        "request",
        "source.txt",
    ),
    "registered request": (lambda h: flipped(h.run / "request.yaml"), "request", "request.yaml"),
    "facts of the semantic version": (
        lambda h: flipped(h.run / "version.json"),
        "version",
        "version.json",
    ),
    "release event": (lambda h: flipped(h.event()), "approvals", "release log"),
    "tag of the version": (
        lambda h: updated(
            h, "model_version_tags", "key = 'automl.data_uri'", "value", "lakefs://a/b/c"
        ),
        "version",
        "tag of churn 1",
    ),
    "tag of the run": (
        lambda h: updated(h, "tags", "key = 'automl.owner' and OURS", "value", "somebody"),
        "version",
        "tag of the training run",
    ),
    "tag with the digest of the card": (
        lambda h: updated(h, "model_version_tags", "key = 'automl.card_sha256'", "value", "0" * 64),
        "report",
        "card.json",
    ),
    "metric": (
        lambda h: updated(h, "latest_metrics", "key = 'roc_auc' and OURS", "value", 0.999),
        "report",
        "metrics of the training run",
    ),
    "description": (
        lambda h: updated(h, "model_versions", "true", "description", "the best of all"),
        "report",
        "description of churn",
    ),
    "semantic version": (
        lambda h: updated(h, "model_version_tags", "key = 'semver'", "value", "9.0.0"),
        "approvals",
        "tag of churn 1",
    ),
    "digest of the probe in the tags": (
        lambda h: updated(h, "model_version_tags", "key = 'probe_sha256'", "value", "0" * 64),
        "version",
        "tag of the training run",
    ),
    "param that the registry shows": (
        lambda h: updated(h, "params", "key = 'linear.C' and OURS", "value", "999"),
        "report",
        "params of the training run",
    ),
    "alias": (
        lambda h: updated(h, "registered_model_aliases", "true", "alias", "archived"),
        "approvals",
        "alias of churn",
    ),
    "file that became a link": (
        lambda h: as_link(h.report / "report.html"),
        "report",
        "report.html",
    ),
    "white space in the card": (
        lambda h: edited(h.report / "card.json", ",", ", "),
        "report",
        "card.json",
    ),
    "value of an asset": (
        lambda h: edited(h.value("splits"), '"seed": 0', '"seed": 1'),
        "copies",
        "splits",
    ),
    "metric in the copy of the report": (
        lambda h: flipped(h.settings.reports_folder / h.request_id / "report.html"),
        "copies",
        "report.html",
    ),
    "ledger of the study": (
        lambda h: edited(
            next(h.settings.studies_folder.glob("*/ledger.json")), '"seed":', '"seed":1'
        ),
        "copies",
        "ledger.json",
    ),
    "version in the value of the registered model": (
        lambda h: edited(h.value("registered_model"), '"version": "1"', '"version": "2"'),
        "copies",
        "registered_model",
    ),
    "row of the ledger": (
        lambda h: edited(h.report / "ledger.json", '"seed":', '"seed":1'),
        "ledger",
        "ledger.json",
    ),
    "plan": (lambda h: flipped(h.report / "plan.json"), "report", "plan.json"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_what_was_altered_is_found_and_named(home: Home, name: str) -> None:
    tamper, link_name, place = TAMPERED[name]

    with tamper(home):
        report = home.audit()

    found = [check for link, check in report.broken if link.name == link_name]
    named = [check for check in found if place in check.where]
    assert named, broken(report)
    assert {check.outcome for check in named} == {"altered"}
    assert all(check.expected != check.found for check in named)


@pytest.mark.parametrize(
    ("link_name", "file"),
    [
        ("data", lambda home: home.object("data_snapshot", "data/")),
        ("splits", lambda home: home.object("splits", "splits/analysis")),
        ("report", lambda home: home.report / "report.html"),
        ("model", lambda home: home.package / "preprocessing.json"),
        ("request", lambda home: home.request / "request.yaml"),
        ("approvals", lambda home: home.event()),
    ],
)
def test_what_is_gone_is_missing_and_not_altered(
    home: Home, link_name: str, file: Callable[[Home], Path]
) -> None:
    with with_content(file(home), None):
        report = home.audit()

    outcomes = {outcome for name, outcome in broken(report) if name == link_name}
    assert outcomes == {"missing"}


def test_one_bit_in_each_of_all_files_is_found_in_each(home: Home) -> None:
    """All at once; without the files that say what the others must be."""
    told = {"card.json", "files.json", "model.json", "accepted.json", "ledger.json", "probe.json"}
    folders = (home.report, home.run / "model", home.request)
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    chosen = [path for path in files if path.name not in told and path.stat().st_size]
    places = np.random.default_rng(0).random(len(chosen))

    with ExitStack() as stack:
        for file, place in zip(chosen, places, strict=True):
            stack.enter_context(flipped(file, at=place))
        report = home.audit()

    where = [check.where for _, check in report.broken]
    unnoticed = [file for file in chosen if not any(text.endswith(file.name) for text in where)]
    assert len(chosen) > 50
    assert unnoticed == []


def test_a_file_that_was_added_to_what_is_served_is_found(home: Home) -> None:
    added = home.run / "model" / "code" / "automl_assets" / "core" / "sitecustomize.py"
    added.write_text("print('hello')\n")
    try:
        report = home.audit()
    finally:
        added.unlink()

    (check,) = [check for _, check in report.broken]
    assert check.where == str(added)
    assert "added later" in check.detail


def test_a_link_to_a_folder_that_was_added_to_what_is_served_is_found(
    home: Home, tmp_path: Path
) -> None:
    (tmp_path / "__init__.py").write_text("print('hello')\n")
    added = home.run / "model" / "code" / "numpy"
    added.symlink_to(tmp_path)
    try:
        report = home.audit()
    finally:
        added.unlink()

    assert [check.where for _, check in report.broken] == [str(added)]


def test_a_model_that_mlflow_loaded_where_it_is_stays_whole(home: Home, tmp_path: Path) -> None:
    code = """
import sys
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
mlflow.pyfunc.load_model("models:/churn/1")
assert sys.modules["automl_assets"].__file__.startswith(sys.argv[2])
"""
    arguments = [f"sqlite:///{home.database}", str(home.run)]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=tmp_path, env=environment, check=True
    )

    report = home.audit()

    mark = home.run / "model" / "registered_model_meta"
    assert mark.exists()
    assert broken(report) == set()
    with flipped(mark):
        assert [check.where for _, check in home.audit().broken] == [str(mark)]


def test_text_of_others_does_not_write_lines_of_its_own(home: Home) -> None:
    text = "root\nintegrity    999 of 999 hashes verified\x1b[2K"
    with updated(home, "model_version_tags", "key = 'automl.owner'", "value", text):
        told = here(home.settings, "audit", "churn").output

    assert "integrity    999" in told
    assert not [line for line in told.splitlines() if line.startswith("integrity    999")]
    assert "\x1b" not in told


@pytest.mark.parametrize("suffix", [".parquet", ".json"])
def test_a_changed_log_of_predictions_is_found(home: Home, suffix: str) -> None:
    name, batch, _ = home.prediction.split(".")
    file = home.settings.predictions_folder / name / f"{batch}{suffix}"
    tamper = {
        ".parquet": lambda: flipped(file),
        ".json": lambda: edited(file, '"plan"', '"plot"'),
    }

    with tamper[suffix]():
        report = home.audit(prediction=True)

    assert {link.name for link, _ in report.broken} == {"prediction"}


def test_an_approval_of_a_report_that_changed_since_is_told(home: Home) -> None:
    digest = home.told("registered_model")["card_sha256"]
    done = here(home.settings, "approve", "churn", "--digest", digest[:12], "--as", "nobody")
    # Refused, since it is the user's own.
    assert "Nobody approves a model of their own" in str(done.exception)

    with flipped(home.report / "card.json"):
        report = home.audit()

    named = [check.what for link, check in report.broken if link.name == "approvals"]
    assert named == ["card that was registered", "card that was promoted"]


def test_the_command_says_it_in_words_in_json_and_on_a_page(home: Home, tmp_path: Path) -> None:
    folder, page = home.settings.root.parent, tmp_path / "audit.html"

    whole = here(home.settings, "audit", "churn@1", "--html", str(page))
    with flipped(home.report / "report.html"):
        words = automl(folder, "audit", "churn")
        told = here(home.settings, "audit", "--prediction", home.prediction, "--json")

    assert whole.exit_code == 0, whole.output
    last = whole.stdout.splitlines()[-1].split()
    assert last[0] == "integrity"
    assert last[1] == last[3]
    assert last[4:] == ["hashes", "verified"]
    assert "Nothing was altered" in page.read_text()
    assert words.returncode == told.exit_code == BROKEN == 5
    assert "report: report.html altered: " in words.stdout
    content = json.loads(told.stdout)
    assert content["links"][0]["name"] == "prediction"
    assert "report.html" in json.dumps([c for c in content["links"] if c["name"] == "report"])


def test_questions_that_cannot_be_answered_are_refused(home: Home) -> None:
    answers = {
        arguments: str(here(home.settings, "audit", *arguments).exception)
        for arguments in (
            (),
            ("none",),
            ("--prediction", "x"),
            ("--prediction", f"churn.{'0' * 16}.1"),
        )
    }

    assert "found neither" in answers[()]
    assert "'none' is not" in answers[("none",)]
    assert "16 digits of the batch" in answers[("--prediction", "x")]
    assert "with --no-log" in answers[("--prediction", f"churn.{'0' * 16}.1")]
