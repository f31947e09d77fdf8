"""`automl predict`: raw rows of a file through a registered model."""

import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
from rich.console import Console

from automl_assets.cli.execution import build_for_cli
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
    wanted = {*kept, *(column.name for column in predictor.columns)}
    with reading_errors("the data"):
        chunks = frame.select(name for name in names if name in wanted).collect_batches(
            chunk_size=ROWS_AT_ONCE, maintain_order=True
        )
        for chunk in chunks:
            predictions = predictor.predict(chunk)
            yield chunk.select(kept).hstack(predictions) if kept else predictions


def predict_file(reference: str, data: Path, output: Path | None) -> None:
    """Predict the rows of a file and write them as CSV or Parquet.

    Args:
        reference: `NAME`, `NAME@VERSION` or `NAME@ALIAS`; the newest version if only a name.
        data: File with the feature columns; others are ignored.
        output: `.csv` or `.parquet`; CSV on standard output if None.

    Raises:
        RequestError: There is no such model, or the data does not fit it.
    """
    if output is not None and output.suffix.lower() not in (".csv", ".parquet"):
        raise RequestError(
            f"Predictions are written as .csv or .parquet, but {output} is neither. Rename it."
        )
    settings = Settings()
    name, _, version = reference.partition("@")
    with build_for_cli(settings, Console(stderr=True), extra_root=data) as cli:
        registry = cli.model_registry
        found, folder = registry.fetch(name, version or None)
        predictor = load_predictor(folder, sha256=found.artifact_sha256)
        _, frame = cli.data_sources.open(str(data.expanduser().absolute()))
        request_id = found.tags.get("automl.request_id", "")
        known = request_id in cli.request_store.list_ids()
        row_id = cli.request_store.load(request_id).request.data.id if known else None
        chunks = _predicted(predictor, frame, row_id)
        if output is None:
            for index, chunk in enumerate(chunks):
                sys.stdout.write(chunk.write_csv(include_header=index == 0))
            return
        with publishing(output) as temporary:
            if output.suffix.lower() == ".csv":
                with temporary.open("w") as file:
                    for index, chunk in enumerate(chunks):
                        file.write(chunk.write_csv(include_header=index == 0))
            else:
                pl.concat(list(chunks)).write_parquet(temporary)
