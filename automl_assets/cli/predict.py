"""`automl predict`: raw rows of a file through a registered model."""

import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console

from automl_assets.cli.execution import build_for_cli
from automl_assets.cli.files import file_data
from automl_assets.cli.reference import split_reference
from automl_assets.core.encoding import require_columns
from automl_assets.core.errors import RequestError
from automl_assets.core.files import publishing
from automl_assets.core.prediction_log import (
    PredictionLog,
    logging_predictions,
    prediction_ids,
)
from automl_assets.core.predictor import Predictor, load_predictor
from automl_assets.core.rows import reading_errors
from automl_assets.core.values import ModelVersion
from automl_assets.settings import Settings

ROWS_AT_ONCE = 100_000

_ID, _VERSION = "prediction_id", "model_version"
"""Columns that are written behind the predictions, for an audit."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Who predicts, and where that is logged.

    Attributes:
        about: What the log says of all predictions of this call.
        folder: Of the prediction logs; None where nothing is logged.
    """

    about: Mapping[str, Any]
    folder: Path | None

    @contextmanager
    def log(self) -> Iterator[PredictionLog | None]:
        """Open the log of this call, if there is to be one; it appears whole at the end."""
        if self.folder is None:
            yield None
            return
        try:
            with logging_predictions(self.folder, **self.about) as log:
                yield log
        except OSError as error:
            raise RequestError(
                "What is predicted is logged, so that it can be audited. The log in "
                f"{str(self.folder)!r} cannot be written: {error.strerror or error}. Make room "
                "and see to the permissions there, or predict with --no-log."
            ) from error

    def columns(self, first: int, n_rows: int) -> pl.DataFrame:
        """Return the columns that stand behind the predictions of consecutive rows."""
        version = pl.repeat(self.about["version"], n_rows, dtype=pl.String, eager=True)
        added = [version.alias(_VERSION)]
        if self.folder is not None:
            ids = prediction_ids(self.about["name"], self.about["batch"], first, n_rows)
            added = [ids.alias(_ID), *added]
        return pl.DataFrame(added)


def _predicted(
    predictor: Predictor, frame: pl.LazyFrame, row_id: str | None, origin: Origin
) -> Iterator[pl.DataFrame]:
    """Yield predictions in chunks.

    The row's id comes first where the data has it; the prediction's id, where it is
    logged, and the version of the model come last. The log is there once the last chunk
    was taken, and so before a file of predictions is.
    """
    names = frame.collect_schema().names()
    require_columns(names, predictor.preprocessing)
    kept = [row_id] if row_id in names else []
    made = ("prediction", *(f"probability_{name}" for name in predictor.manifest.classes))
    if kept and row_id in (*made, _ID, _VERSION):
        raise RequestError(
            f"Each column of the predictions has a name of its own. The id column {row_id!r} has "
            "the name of a column that the model writes. Rename the column in the data and train "
            "again, or leave it out of the file to predict."
        )
    wanted = {*kept, *(column.name for column in predictor.columns)}
    first = 0
    with origin.log() as log:
        for chunk in _chunks(frame.select(name for name in names if name in wanted)):
            predictions = predictor.predict(chunk)
            added = origin.columns(first, chunk.height)
            yield pl.concat([chunk.select(kept), predictions, added], how="horizontal")
            first += chunk.height
            if log is not None:
                log.add(chunk, predictions)


def _chunks(frame: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    with reading_errors("the data"):
        yield from frame.collect_batches(chunk_size=ROWS_AT_ONCE, maintain_order=True)


def _check_output(output: Path) -> None:
    if output.suffix.lower() not in (".csv", ".parquet"):
        raise RequestError(
            f"Predictions are written as .csv or .parquet, but {output} is neither. Rename it."
        )
    if output.is_dir() or not output.parent.is_dir():
        found = "is a folder" if output.is_dir() else "has no folder to be in"
        raise RequestError(
            "Predictions are written to a file in a folder that exists. "
            f"{str(output)!r} {found}. Make the folder first, or name another file."
        )


@contextmanager
def _writing(output: Path) -> Iterator[Path]:
    """Publish the block's file as `output`, and say in our words why it cannot be."""
    try:
        with publishing(output) as temporary:
            yield temporary
    except OSError as error:
        raise RequestError(
            "Predictions are written to a file that can be made and written. "
            f"{str(output)!r} cannot: {error.strerror or error}. Name another file, or make room "
            "and see to the permissions there."
        ) from error


def _write(chunks: Iterator[pl.DataFrame], output: Path | None) -> None:
    if output is None:
        for index, chunk in enumerate(chunks):
            sys.stdout.write(chunk.write_csv(include_header=index == 0))
        return
    with _writing(output) as temporary:
        if output.suffix.lower() == ".csv":
            with temporary.open("w", encoding="utf-8") as file:
                for index, chunk in enumerate(chunks):
                    file.write(chunk.write_csv(include_header=index == 0))
        else:
            pl.concat(list(chunks)).write_parquet(temporary)


def predict_file(
    reference: str, data: Path, output: Path | None, *, is_logged: bool = True
) -> None:
    """Predict the rows of a file and write them as CSV or Parquet.

    Args:
        reference: `NAME`, `NAME@VERSION` or `NAME@ALIAS`; the newest version if only a name.
        data: File with the feature columns; others are ignored.
        output: `.csv` or `.parquet`, in a folder that exists; CSV on standard output if None.
        is_logged: Whether the predictions get ids, by which an audit finds them.

    Raises:
        RequestError: There is no such model, the data does not fit it, or the output
            cannot be written.
        SnapshotError: The data cannot be read.
    """
    if output is not None:
        _check_output(output)
    settings = Settings()
    name, version = split_reference(reference)
    with build_for_cli(settings, Console(stderr=True), extra_root=data) as cli:
        registry = cli.model_registry
        found, folder = registry.fetch(name, version)
        predictor = load_predictor(folder, sha256=found.artifact_sha256)
        # Types are found in these rows alone: without its letters, 01234 would be a number.
        texts = [column.name for column in predictor.preprocessing.columns if column.is_text]
        request_id = found.tags.get("automl.request_id", "")
        known = cli.request_store.is_known(request_id)
        row_id = cli.request_store.load(request_id).request.data.id if known else None
        origin = _origin(settings, found, predictor, is_logged=is_logged)
        with cli.data_sources.open(file_data(data), text_columns=texts) as table:
            _write(_predicted(predictor, table.frame, row_id, origin), output)


def _origin(
    settings: Settings, version: ModelVersion, predictor: Predictor, *, is_logged: bool
) -> Origin:
    """Return what is told of the predictions of one call."""
    return Origin(
        folder=settings.predictions_folder if is_logged else None,
        about={
            "batch": secrets.token_hex(8),
            "name": version.name,
            "version": version.version,
            "artifact_sha256": version.artifact_sha256,
            "request_id": version.tags.get("automl.request_id", ""),
            "predicted_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "columns": tuple(column.name for column in predictor.columns),
        },
    )
