"""The log of predictions: what was answered, by which model, and for which row.

A batch is what one call predicted: `<folder>/<model name>/<batch>.parquet` with a line for
each row, and beside it `<batch>.json` with its digest. The id of a prediction names both
the batch and the row, so that it is found at once, however many batches there are.

No raw values are kept: of what the model read there is a digest for each row. Whoever
has the row can tell whether it is the one; whoever guesses all of its values can, too.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import Field, ValidationError

from automl_assets.core.errors import RequestError, SnapshotError
from automl_assets.core.files import publish_text, publishing, sha256_file
from automl_assets.core.values import Value

DIGEST_BYTES = 16
"""Of each row's SHA-256, so many are kept: two rows of a billion are taken for equal with a
chance of 1e-21."""

_ID = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]*)\.([0-9a-f]{16})\.([0-9]{1,12})")
_BATCH = re.compile(r"[0-9a-f]{16}")

_ABOUT = "automl"
"""Key of the Parquet file's metadata under which it says what is true of its batch."""


class PredictionBatch(Value):
    """What is true of all predictions of a batch."""

    format: str = "automl/predictions/v1"
    batch: str
    name: str = Field(description="The registered model.")
    version: str = Field(description="The registry's version number.")
    artifact_sha256: str = Field(description="Digest of the model package that predicted.")
    request_id: str
    predicted_at: str = Field(description="UTC, ISO 8601.")
    columns: tuple[str, ...] = Field(description="What the model read, in this order.")
    n_rows: int
    sha256: str = Field(description="Digest of the Parquet file.")


@dataclass(frozen=True, kw_only=True)
class PredictionId:
    """Where a prediction is logged.

    Attributes:
        row: Number of the row in the batch, from 0.
    """

    name: str
    batch: str
    row: int

    def __str__(self) -> str:
        return f"{self.name}.{self.batch}.{self.row}"


def parse_prediction_id(text: str) -> PredictionId:
    """Return the parts of a prediction's id.

    Examples:
        >>> parse_prediction_id("churn.0123456789abcdef.17").row
        17

    Raises:
        RequestError: It is none.
    """
    found = _ID.fullmatch(text)
    if found is None:
        raise RequestError(
            "A prediction's id is the model's name, 16 digits of the batch and the number of the "
            f"row, such as churn.4c1f2a90b3d5e6f7.0; found {text!r}. Take it from the column "
            "prediction_id that `automl predict` wrote."
        )
    return PredictionId(name=found[1], batch=found[2], row=int(found[3]))


def prediction_ids(name: str, batch: str, first: int, n_rows: int) -> pl.Series:
    """Return the ids of consecutive rows of a batch."""
    rows = pl.int_range(first, first + n_rows, eager=True).cast(pl.String)
    return pl.select(prediction_id=pl.lit(f"{name}.{batch}.") + rows).to_series()


def row_sha256(frame: pl.DataFrame, columns: Sequence[str]) -> list[bytes]:
    """Return a digest of what the model reads of each row, `DIGEST_BYTES` long.

    It is the beginning of the SHA-256 of the row as one line of JSON, as polars writes
    NDJSON, with the columns in this order.
    """
    lines = frame.select(columns).write_ndjson().encode().splitlines()
    # One call of the library for each row: there is none that hashes many texts.
    return [hashlib.sha256(line).digest()[:DIGEST_BYTES] for line in lines]


class PredictionLog:
    """Writes the log of one batch, chunk by chunk; memory does not grow with the rows.

    Args:
        file: The Parquet file to write.
        about: Fields of `PredictionBatch` that are known before the first row.
    """

    def __init__(self, file: Path, about: dict[str, Any]) -> None:
        self._file = file
        self._about = about
        self._writer: Any = None
        self._n_rows = 0

    @property
    def n_rows(self) -> int:
        """Rows that were added."""
        return self._n_rows

    def add(self, frame: pl.DataFrame, predictions: pl.DataFrame) -> None:
        """Add the next rows.

        Args:
            frame: What the model read.
            predictions: As `Predictor.predict` returns them.
        """
        import pyarrow.parquet as pq

        rows = pl.int_range(self._n_rows, self._n_rows + frame.height, eager=True)
        table = pl.DataFrame(
            {
                "row": rows,
                "row_sha256": pl.Series(row_sha256(frame, self._about["columns"]), dtype=pl.Binary),
                "prediction": predictions["prediction"],
            }
        ).with_columns(_probability(predictions))
        arrow = table.to_arrow(compat_level=pl.CompatLevel.oldest())
        arrow = arrow.replace_schema_metadata({_ABOUT: json.dumps(self._about, sort_keys=True)})
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, arrow.schema, compression="zstd")
        self._writer.write_table(arrow)
        self._n_rows += frame.height

    def close(self) -> None:
        """End the file, if there is one."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _probability(predictions: pl.DataFrame) -> pl.Series:
    """Return the probability of the class that was predicted; null for regression."""
    names = [name for name in predictions.columns if name.startswith("probability_")]
    if not names:
        return pl.Series("probability", [None] * predictions.height, dtype=pl.Float64)
    chosen = pl.coalesce(
        pl.when(pl.col("prediction") == name.removeprefix("probability_")).then(pl.col(name))
        for name in names
    )
    return predictions.select(probability=chosen).to_series()


@contextmanager
def logging_predictions(folder: Path, **about: Any) -> Iterator[PredictionLog]:
    """Open the log of a batch; when the block ends well, it appears whole.

    A batch without rows leaves no log, and neither does a block that raises.

    Args:
        folder: Of all prediction logs.
        about: Fields of `PredictionBatch`, without `n_rows` and `sha256`.
    """
    place = folder / Path(about["name"]).name
    if _BATCH.fullmatch(about["batch"]) is None:
        raise ValueError(f"A batch is named by 16 hexadecimal digits, not by {about['batch']!r}.")
    file = place / f"{about['batch']}.parquet"
    place.mkdir(parents=True, exist_ok=True)
    empty = False
    with publishing(file) as temporary:
        log = PredictionLog(temporary, about)
        try:
            yield log
        finally:
            log.close()
        empty = log.n_rows == 0
        if not empty:
            batch = PredictionBatch(**about, n_rows=log.n_rows, sha256=sha256_file(temporary))
            # First: a log is there only once it can be verified.
            publish_text(file.with_suffix(".json"), batch.model_dump_json(indent=1) + "\n")
    if empty:
        file.unlink()


def read_batch(folder: Path, prediction: PredictionId) -> PredictionBatch:
    """Return what is true of the batch of a prediction.

    Raises:
        RequestError: There is no such batch.
        SnapshotError: What is there cannot be read.
    """
    file = log_file(folder, prediction).with_suffix(".json")
    if not file.is_file():
        raise RequestError(
            f"A prediction is in the log of its batch, but there is no {file}. It was made "
            "elsewhere, or with --no-log, or the command that made it did not end."
        )
    try:
        return PredictionBatch.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise SnapshotError(
            f"{file} says what is true of a batch of predictions, but it cannot be read: "
            f"{error.errors()[0]['msg']}. Restore it from a backup."
        ) from error


def log_file(folder: Path, prediction: PredictionId) -> Path:
    """Return the file with the lines of a prediction's batch."""
    return folder / prediction.name / f"{prediction.batch}.parquet"


def read_about(file: Path) -> dict[str, Any]:
    """Return what the lines themselves say of their batch."""
    import pyarrow.parquet as pq

    return json.loads((pq.read_schema(file).metadata or {}).get(_ABOUT.encode(), b"{}"))


def read_line(file: Path, row: int) -> dict[str, Any] | None:
    """Return the line of one row of a batch; None if the batch has no such row."""
    found = pl.scan_parquet(file, glob=False).filter(pl.col("row") == row).collect()
    return found.row(0, named=True) if found.height else None
