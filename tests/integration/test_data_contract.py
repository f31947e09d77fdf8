"""Contracts from the command line, the example's contract, and the memory of what was accepted."""

import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from automl_assets.cli.data_contract import check_source, infer_contract_of, show_drift
from automl_assets.core.acceptance import BRANCH, accept, last_acceptance
from automl_assets.core.contract import check_contract, parse_contract
from automl_assets.core.errors import ContractError, RequestError, SnapshotError
from automl_assets.core.request import TrainingRequest
from automl_assets.core.values import AcceptedRequest, DataSnapshot, TableProfile
from automl_assets.settings import Settings
from resources.snapshot_store.embedded import EmbeddedSnapshotStore

EXAMPLES = Path(__file__).parents[2] / "examples"
CONTRACT = "apiVersion: automl/v1\nkind: DataContract\n"


@pytest.fixture
def churn(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table in a folder that is the working folder of a command."""
    folder = settings.root.parent
    monkeypatch.chdir(folder)
    table = pl.DataFrame(
        {
            "tenure": range(200),
            "plan": ["basic", "plus"] * 100,
            "churned": [n % 3 == 0 for n in range(200)],
        }
    )
    table.write_parquet(folder / "churn.parquet")
    return folder / "churn.parquet"


def test_an_inferred_contract_is_kept_by_its_table(
    churn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    contract = churn.with_name("churn.contract.yaml")

    infer_contract_of(str(churn), output=contract)
    check_source(str(churn), contract=contract)

    told = capsys.readouterr().out
    assert f"contract {contract}  3 columns" in told
    assert "rules hold." in told
    assert parse_contract(contract.read_text(), filename="c").columns["tenure"].unique


def test_an_inferred_contract_is_printed_where_no_file_is_named(
    churn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    infer_contract_of(str(churn), output=None)

    assert parse_contract(capsys.readouterr().out, filename="c").rows is not None


def test_a_contract_is_never_overwritten(churn: Path) -> None:
    with pytest.raises(RequestError, match="never overwritten"):
        infer_contract_of(str(churn), output=churn)


def test_a_broken_contract_is_an_error_with_the_findings(
    churn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    contract = churn.with_name("c.yaml")
    contract.write_text(f"{CONTRACT}columns: {{tenure: {{max: 150}}, plan: {{values: [basic]}}}}\n")

    with pytest.raises(
        ContractError, match=r"2 checks failed\. tenure: 49 rows above 150"
    ) as found:
        check_source(str(churn), contract=contract)

    assert len(found.value.findings) == 2
    assert "BROKEN" in capsys.readouterr().out
    assert str(found.value).endswith(f"or change {contract} and submit again.")


def test_a_contract_that_cannot_be_read_says_why(churn: Path) -> None:
    binary = churn.with_name("latin.yaml")
    binary.write_bytes(b"\xff\xfe")

    with pytest.raises(RequestError, match=r"none.yaml:1:1: .* No such file"):
        check_source(str(churn), contract=Path("none.yaml"))
    with pytest.raises(RequestError, match="it is not UTF-8 text"):
        check_source(str(churn), contract=binary)


def test_drift_is_printed_the_notable_first(
    churn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    later = churn.with_name("later.parquet")
    pl.read_parquet(churn).with_columns(pl.col("tenure") + 1000).drop("plan").write_parquet(later)

    show_drift(str(churn), str(later))
    show_drift(str(churn), str(churn))

    told = capsys.readouterr().out
    assert max(told.index("lost column"), told.index("median")) < told.index("minimum")
    assert "of them notable" in told
    assert "nothing changed" in told


def test_the_example_data_keep_the_example_contract(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import make_data

    monkeypatch.delitem(sys.modules, "make_data")
    text = (EXAMPLES / "breast_cancer.contract.yaml").read_text()
    contract = parse_contract(text, filename="breast_cancer.contract.yaml")

    table = make_data.breast_cancer().lazy()
    now = datetime(2026, 10, 20, tzinfo=UTC)

    report = check_contract(table, contract, previous=None, as_of=now, scratch=tmp_path)

    assert report.findings == ()
    assert len(report.rules) >= 15


def accepted(number: int) -> tuple[AcceptedRequest, DataSnapshot]:
    request = TrainingRequest.model_validate(
        {
            "apiVersion": "automl/v1",
            "kind": "TrainingRequest",
            "name": "toy",
            "owner": "ann",
            "seed": number,
            "data": {"path": "toy.csv", "target": "y"},
        }
    )
    profile = TableProfile(
        n_rows=number, columns=(), task_type="regression", classes=(), features=(), dropped=()
    )
    snapshot = DataSnapshot(
        repository="toy",
        commit_id=f"{number:064x}",
        path="data/table.parquet",
        content_sha256="0" * 64,
        source="toy.csv",
        source_sha256="0" * 64,
        rows=(),
        profile=profile,
    )
    request_id = request.request_id
    return (
        AcceptedRequest(
            request_id=request_id,
            request_sha256=request.sha256,
            accepted_at="2026-10-20T12:00:00Z",
            request=request,
        ),
        snapshot,
    )


@pytest.fixture
def store(tmp_path: Path) -> EmbeddedSnapshotStore:
    """A store with the repository `toy`, in which nothing was accepted."""
    store = EmbeddedSnapshotStore(folder=str(tmp_path / "store"))
    store.ensure_repository("toy")
    return store


def last_accepted(
    repository: str, *, store: EmbeddedSnapshotStore, before: str | None = None
) -> DataSnapshot | None:
    last = last_acceptance(repository, store=store, before=before)
    return last.snapshot if last else None


def test_the_last_accepted_snapshot_is_found(store: EmbeddedSnapshotStore) -> None:
    assert last_accepted("toy", store=store) is None
    (first, one), (second, two) = accepted(1), accepted(2)

    accept(one, first, store=store)
    accept(two, second, store=store)

    assert last_accepted("toy", store=store) == two
    assert last_accepted("toy", store=store, before=second.request_id) == one
    assert last_accepted("toy", store=store, before=first.request_id) is None
    assert last_accepted("toy", store=store, before=accepted(3)[0].request_id) == two


def test_accepting_again_changes_nothing(store: EmbeddedSnapshotStore) -> None:
    (first, one), (second, two) = accepted(1), accepted(2)
    commit = accept(one, first, store=store)
    accept(two, second, store=store)

    again = accept(one, first, store=store)

    assert again == commit
    assert last_accepted("toy", store=store) == two


def test_requests_accepted_at_the_same_time_are_all_recorded(store: EmbeddedSnapshotStore) -> None:
    pairs = [accepted(number) for number in range(1, 9)]

    def record(pair: tuple[AcceptedRequest, DataSnapshot]) -> None:
        accept(pair[1], pair[0], store=store)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(record, pairs))

    newest = last_acceptance("toy", store=store)
    seen = set()
    while newest is not None:
        seen.add(newest.request_id)
        newest = last_acceptance("toy", store=store, before=newest.request_id)
    assert seen == {request.request_id for request, _ in pairs}
    assert BRANCH in store.branches("toy")


def test_a_repository_that_nobody_made_is_an_error(tmp_path: Path) -> None:
    store = EmbeddedSnapshotStore(folder=str(tmp_path))

    with pytest.raises(SnapshotError):
        last_accepted("toy", store=store)
