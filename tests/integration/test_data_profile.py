"""`automl data profile`: of a file, of a request and of a snapshot; and what is refused."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from automl_assets.cli.data_profile import profile_source
from automl_assets.cli.data_source import opened_source
from automl_assets.cli.execution import CommandLine, build_for_cli
from automl_assets.core.errors import RequestError, SnapshotError
from automl_assets.core.ingest import ingest
from automl_assets.core.request.file import parse_request
from automl_assets.core.values import DataSnapshot, Split, SplitPart
from automl_assets.settings import Settings

N_ROWS = 200
REQUEST = """
apiVersion: automl/v1
kind: TrainingRequest
name: churn
owner: ada
data:
  path: churn.csv
  target: churned
  time: day
  features: {exclude: [note]}
  rows: {from: 2026-01-11}
"""


def table() -> pl.DataFrame:
    rows = range(N_ROWS)
    return pl.DataFrame(
        {
            "day": [date(2026, 1, 1) + timedelta(days=n // 4) for n in rows],
            "usage": [(n * 7) % 31 for n in rows],
            "plan": [("a", "b", "[red]c")[n % 3] for n in rows],
            "mail": [f"ada{n % 9}@example.org" for n in rows],
            "note": ["same"] * N_ROWS,
            "churned": [n % 5 == 0 for n in rows],
        }
    )


@pytest.fixture
def folder(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the table and a request for it."""
    folder = settings.root.parent
    table().write_csv(folder / "churn.csv")
    table().write_parquet(folder / "churn.parquet")
    (folder / "churn.yaml").write_text(REQUEST)
    monkeypatch.chdir(folder)
    return folder


def commit(cli: CommandLine) -> str:
    """Accept and ingest the request, and write down what its run would have."""
    from resources.value_store import JsonValueStore

    request = parse_request(REQUEST, filename="churn.yaml")
    now = datetime(2026, 3, 1, tzinfo=UTC)
    accepted = cli.request_store.accept(request, text=REQUEST, source="cli", now=now)
    with cli.data_sources.open(accepted.data) as source:
        snapshot = ingest(
            accepted, source=source, store=cli.snapshot_store, scratch=cli.settings.scratch_folder
        )
    part = SplitPart(part="train", n_rows=160, path="p", sha256="s", class_counts=(128, 32))
    split = Split(
        repository="churn",
        commit_id=snapshot.commit_id,
        strategy="time",
        seed=0,
        parts=(part,),
        preprocessing_version="v",
        matrix_id="m",
        feature_names=("usage",),
    )
    values = Path(JsonValueStore(folder=str(cli.settings.values_folder)).folder)
    for name, value in (("data_snapshot", snapshot), ("splits", split)):
        path = values / name / f"{accepted.request_id}.json"
        path.parent.mkdir(parents=True)
        path.write_text(value.model_dump_json())
    return accepted.request_id


@pytest.mark.parametrize("name", ["churn.csv", "churn.parquet"])
def test_a_file_is_described_by_its_columns(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    profile_source(name, target=None, html=None)

    out = capsys.readouterr().out
    assert "200 rows x 6 columns" in out
    assert "[red]c" in out
    assert "features" not in out
    assert not (folder / ".automl").exists()


def test_personal_data_in_a_bare_file_are_not_shown(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile_source("churn.csv", target=None, html=folder / "churn.html")

    out, page = capsys.readouterr().out, (folder / "churn.html").read_text()
    assert "hidden" in out
    assert "hidden: personal data" in page
    assert "example.org" not in out + page
    assert "[red]c" in page


def test_a_file_with_a_target_is_looked_through_for_suspects(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile_source("churn.csv", target="churned", html=None)

    out = capsys.readouterr().out
    assert "churned: binary: false 80.0%, true 20.0%" in out
    assert "left out note: all values are equal" in out
    assert "mail: " in out
    assert "ada1@example.org" not in out


def test_lines_of_the_table_fit_into_100_characters(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = "a long name of a column that goes on and on"
    pl.DataFrame(
        {long: ["a long text that goes on and on and on"] * 2, "x": [1e-300, 1e300]}
    ).write_csv(folder / "long.csv")

    profile_source("long.csv", target=None, html=None)

    shown = capsys.readouterr().out.partition("column ")[2].splitlines()
    assert len(shown) >= 3
    assert max(map(len, shown)) <= 100


def test_a_request_file_has_its_rows_and_columns_only(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile_source("churn.yaml", target=None, html=None)

    out = capsys.readouterr().out
    assert "read 200 → from/until 160 → target present 160" in out
    assert "160 rows x 5 columns" in out
    assert "note" not in out


def test_a_snapshot_tells_what_it_was_found_to_hold(
    folder: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with build_for_cli(settings, Console(stderr=True)) as cli:
        request_id = commit(cli)
    (folder / "churn.csv").unlink()

    profile_source(request_id, target=None, html=folder / "page.html")

    page = (folder / "page.html").read_text()
    assert "160 rows x 5 columns" in capsys.readouterr().out
    assert "lakefs://churn/" in page
    assert "By part" in page
    assert "Over time" in page
    with opened_source(request_id) as opened:
        assert isinstance(opened.snapshot, DataSnapshot)
        assert opened.frame.collect().height == 160


def test_the_page_is_the_same_each_time(folder: Path) -> None:
    for name in ("one.html", "two.html"):
        profile_source("churn.csv", target="churned", html=folder / name)

    assert (folder / "one.html").read_bytes() == (folder / "two.html").read_bytes()


def test_nothing_is_left_in_the_scratch_folder(folder: Path, settings: Settings) -> None:
    settings.root.mkdir()

    with opened_source("churn.yaml") as opened:
        scratch = opened.scratch
        assert scratch.is_relative_to(settings.scratch_folder)

    assert not scratch.exists()


def test_a_file_may_lie_outside_of_the_operators_folders(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    for name in ("a.csv", "b.csv"):
        table().write_csv(outside / name)

    with opened_source(str(outside / "a.csv")) as opened:
        assert opened.frame.collect().equals(table())
    with opened_source(str(outside / "*.csv")) as opened:
        assert opened.frame.collect().height == 2 * N_ROWS


@pytest.mark.parametrize(
    ("source", "target", "html", "error", "message"),
    [
        ("churn.yaml", "churned", None, RequestError, "--target was given beside 'churn.yaml'"),
        ("churn-0123456789", "churned", None, RequestError, "--target was given beside"),
        ("churn-0123456789", None, None, RequestError, "is not among the 0 accepted"),
        ("none.csv", None, None, (RequestError, SnapshotError), "none.csv"),
        ("none.yaml", None, None, RequestError, "none.yaml:1:1: a request file must be readable"),
        ("churn.csv", "churn", None, RequestError, "no 'churn'. Did you mean 'churned'?"),
        ("churn.csv", None, "page.txt", RequestError, "'page.txt' is none. Rename it"),
        ("churn.csv", None, "none/page.html", RequestError, "has no folder to be in"),
    ],
)
def test_what_cannot_be_profiled_is_refused(
    folder: Path,
    source: str,
    target: str | None,
    html: str | None,
    error: type[Exception] | tuple[type[Exception], ...],
    message: str,
) -> None:
    with pytest.raises(error) as raised:
        profile_source(source, target=target, html=None if html is None else Path(html))

    assert message in str(raised.value)


def test_a_request_without_a_snapshot_is_told_what_to_do(folder: Path, settings: Settings) -> None:
    request = parse_request(REQUEST, filename="churn.yaml")
    with build_for_cli(settings, Console(stderr=True)) as cli:
        now = datetime(2026, 3, 1, tzinfo=UTC)
        cli.request_store.accept(request, text=REQUEST, source="cli", now=now)

    with pytest.raises(RequestError, match=r"has no snapshot yet\. Run `automl resume churn-"):
        profile_source(request.request_id, target=None, html=None)
