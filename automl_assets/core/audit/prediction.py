"""The first link: one prediction, as the log of its batch has it."""

from pathlib import Path

from automl_assets.core.audit.evidence import Evidence
from automl_assets.core.audit.registered import digest_of
from automl_assets.core.audit.result import Link, LinkBuilder
from automl_assets.core.prediction_log import (
    PredictionBatch,
    PredictionId,
    log_file,
    read_about,
    read_line,
)


def prediction_link(evidence: Evidence, prediction: PredictionId, batch: PredictionBatch) -> Link:
    """Hash the log of the batch again, and compare its line with the registered version."""
    link, version = LinkBuilder("prediction"), evidence.version
    file = log_file(evidence.places.predictions, prediction)
    link.fact("prediction", str(prediction))
    link.fact("predicted", batch.predicted_at)
    about = str(file.with_suffix(".json"))
    link.record("batch", about, expected=prediction.batch, found=batch.batch)
    link.record("model of the batch", about, expected=prediction.name, found=batch.name)
    link.record("version of the batch", about, expected=version.version, found=batch.version)
    package = batch.artifact_sha256
    link.record("package of the batch", about, expected=version.artifact_sha256, found=package)
    # Parsers of altered files are not asked.
    if link.digest("log of the batch", str(file), expected=batch.sha256, found=digest_of(file)):
        _check_lines(link, file, prediction, batch)
    return link.build()


def _check_lines(
    link: LinkBuilder, file: Path, prediction: PredictionId, batch: PredictionBatch
) -> None:
    told = batch.model_dump(mode="json", exclude={"n_rows", "sha256", "format"})
    about = read_about(file)
    for key, value in told.items():
        place = str(file.with_suffix(".json"))
        link.record(f"{key} beside the log", place, expected=about.get(key), found=value)
    line = read_line(file, prediction.row)
    if line is None:
        expected = f"one of rows 0 to {batch.n_rows - 1:,}"
        link.record("row of the prediction", str(file), expected=expected, found=None)
        return
    link.fact("answer", line["prediction"])
    link.fact("probability", line["probability"])
    link.fact("row", f"sha256 {line['row_sha256'].hex()}… of {', '.join(batch.columns)}")
