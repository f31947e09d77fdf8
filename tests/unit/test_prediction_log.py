"""The log of predictions: ids, digests of rows, and files that are whole or absent."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_assets.core.errors import RequestError, SnapshotError
from automl_assets.core.files import sha256_file
from automl_assets.core.prediction_log import (
    PredictionId,
    log_file,
    logging_predictions,
    parse_prediction_id,
    prediction_ids,
    read_about,
    read_batch,
    read_line,
    row_sha256,
)

BATCH = "0123456789abcdef"
ABOUT: dict[str, Any] = {
    "batch": BATCH,
    "name": "churn",
    "version": "3",
    "artifact_sha256": "a" * 64,
    "request_id": "churn-4c1f2a90b3",
    "predicted_at": "2026-11-21T12:00:00+00:00",
    "columns": ("plan", "usage"),
}
FIRST = PredictionId(name="churn", batch=BATCH, row=0)


def rows(*usage: float) -> pl.DataFrame:
    return pl.DataFrame(
        {"usage": usage, "plan": ["basic"] * len(usage), "email": ["x@y.z"] * len(usage)}
    )


def predictions(*yes: float) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "prediction": ["yes" if p >= 0.5 else "no" for p in yes],
            "probability_no": [1 - p for p in yes],
            "probability_yes": yes,
        }
    )


@given(
    name=st.from_regex(r"[a-z0-9][a-z0-9-]{0,39}", fullmatch=True),
    batch=st.from_regex(r"[0-9a-f]{16}", fullmatch=True),
    row=st.integers(0, 10**12 - 1),
)
def test_an_id_says_where_its_prediction_is_logged(name: str, batch: str, row: int) -> None:
    found = PredictionId(name=name, batch=batch, row=row)

    assert parse_prediction_id(str(found)) == found


@pytest.mark.parametrize(
    "text", ["", "churn", f"../etc.{BATCH}.1", f"churn.{BATCH}.-1", f"churn.{BATCH}"]
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="16 digits of the batch"):
        parse_prediction_id(text)


def test_ids_count_on_from_chunk_to_chunk() -> None:
    ids = prediction_ids("churn", BATCH, 99, 2)

    assert ids.to_list() == [f"churn.{BATCH}.99", f"churn.{BATCH}.100"]


def test_equal_rows_have_equal_digests_and_others_have_others() -> None:
    same = row_sha256(rows(1.0, 2.0, 1.0), ("plan", "usage"))
    other_order = row_sha256(rows(1.0), ("usage", "plan"))

    assert same[0] == same[2] != same[1]
    assert other_order[0] != same[0]
    # What the model does not read does not count.
    assert row_sha256(rows(1.0).drop("email"), ("plan", "usage"))[0] == same[0]


def test_text_with_line_breaks_of_all_kinds_is_one_row() -> None:
    frame = pl.DataFrame({"plan": ["a\nb", "c\r\n", "d\u2028e", "f\x85\x0bg"], "usage": [1.0] * 4})

    digests = row_sha256(frame, ("plan", "usage"))

    assert len(set(digests)) == 4


def test_a_batch_in_chunks_is_found_by_the_id_of_any_row(tmp_path: Path) -> None:
    with logging_predictions(tmp_path, **ABOUT) as log:
        log.add(rows(1.0, 2.0), predictions(0.9, 0.2))
        log.add(rows(3.0), predictions(0.7))

    batch = read_batch(tmp_path, FIRST)
    file = log_file(tmp_path, FIRST)
    line = read_line(file, 2)
    assert batch.n_rows == 3
    assert batch.sha256 == sha256_file(file)
    assert read_about(file) == {**ABOUT, "columns": ["plan", "usage"]}
    assert line is not None
    assert (line["prediction"], line["probability"]) == ("yes", 0.7)
    assert line["row_sha256"] == row_sha256(rows(3.0), ("plan", "usage"))[0]
    assert read_line(file, 3) is None
    assert sorted(path.name for path in file.parent.iterdir()) == [
        f"{BATCH}.json",
        f"{BATCH}.parquet",
    ]


def test_the_answer_of_a_regression_has_no_probability(tmp_path: Path) -> None:
    with logging_predictions(tmp_path, **ABOUT) as log:
        log.add(rows(1.0), pl.DataFrame({"prediction": [0.25]}))

    line = read_line(log_file(tmp_path, FIRST), 0)
    assert line is not None
    assert (line["prediction"], line["probability"]) == (0.25, None)


def test_the_log_holds_no_raw_values(tmp_path: Path) -> None:
    with logging_predictions(tmp_path, **ABOUT) as log:
        log.add(rows(1.0), predictions(0.9))

    file = log_file(tmp_path, FIRST)
    columns = pl.read_parquet(file).columns
    assert columns == ["row", "row_sha256", "prediction", "probability"]
    assert b"basic" not in file.read_bytes()


def test_a_batch_that_did_not_end_leaves_nothing(tmp_path: Path) -> None:
    def stop(log: Any) -> None:
        log.add(rows(1.0), predictions(0.9))
        raise RuntimeError("stopped")

    with (
        pytest.raises(RuntimeError, match="stopped"),
        logging_predictions(tmp_path, **ABOUT) as log,
    ):
        stop(log)

    assert list((tmp_path / "churn").iterdir()) == []
    with pytest.raises(RequestError, match="with --no-log"):
        read_batch(tmp_path, FIRST)


def test_a_batch_without_rows_leaves_nothing(tmp_path: Path) -> None:
    with logging_predictions(tmp_path, **ABOUT):
        pass

    assert list((tmp_path / "churn").iterdir()) == []


def test_a_damaged_note_beside_the_log_is_told(tmp_path: Path) -> None:
    file = log_file(tmp_path, FIRST).with_suffix(".json")
    file.parent.mkdir()
    file.write_text("{}")

    with pytest.raises(SnapshotError, match="Restore it from a backup"):
        read_batch(tmp_path, FIRST)
