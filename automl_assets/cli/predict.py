"""`automl predict`: raw rows of a file through a registered model."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from rich.console import Console

from automl_assets.cli.execution import build_for_cli
from automl_assets.cli.files import file_data
from automl_assets.core.encoding import require_columns
from automl_assets.core.errors import RequestError
from automl_assets.core.files import publishing
from automl_assets.core.predictor import Predictor, load_predictor
from automl_assets.core.rows import reading_errors
from automl_assets.settings import Settings

ROWS_AT_ONCE = 100_000


def _predicted(
    predictor: Predictor, frame: pl.LazyFrame, row_id: str | None
) -> Iterator[pl.DataFrame]:
    """Yield predictions in chunks; the row's id comes first where the data has it."""
    names = frame.collect_schema().names()
    require_columns(names, predictor.preprocessing)
    kept = [row_id] if row_id in names else []
    made = ("prediction", *(f"probability_{name}" for name in predictor.manifest.classes))
    if kept and row_id in made:
        raise RequestError(
            f"Each column of the predictions has a name of its own. The id column {row_id!r} has "
            "the name of a column that the model writes. Rename the column in the data and train "
            "again, or leave it out of the file to predict."
        )
    wanted = {*kept, *(column.name for column in predictor.columns)}
    for chunk in _chunks(frame.select(name for name in names if name in wanted)):
        predictions = predictor.predict(chunk)
        yield chunk.select(kept).hstack(predictions) if kept else predictions


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


def predict_file(reference: str, data: Path, output: Path | None) -> None:
    """Predict the rows of a file and write them as CSV or Parquet.

    Args:
        reference: `NAME`, `NAME@VERSION` or `NAME@ALIAS`; the newest version if only a name.
        data: File with the feature columns; others are ignored.
        output: `.csv` or `.parquet`, in a folder that exists; CSV on standard output if None.

    Raises:
        RequestError: There is no such model, the data does not fit it, or the output
            cannot be written.
        SnapshotError: The data cannot be read.
    """
    if output is not None:
        _check_output(output)
    settings = Settings()
    name, _, version = reference.partition("@")
    with build_for_cli(settings, Console(stderr=True), extra_root=data) as cli:
        registry = cli.model_registry
        found, folder = registry.fetch(name, version or None)
        predictor = load_predictor(folder, sha256=found.artifact_sha256)
        # Types are found in these rows alone: without its letters, 01234 would be a number.
        texts = [column.name for column in predictor.preprocessing.columns if column.is_text]
        request_id = found.tags.get("automl.request_id", "")
        known = cli.request_store.is_known(request_id)
        row_id = cli.request_store.load(request_id).request.data.id if known else None
        with cli.data_sources.open(file_data(data), text_columns=texts) as table:
            _write(_predicted(predictor, table.frame, row_id), output)
