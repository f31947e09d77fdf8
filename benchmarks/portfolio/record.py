"""Record how candidates do on tables, each run a row.

    python benchmarks/portfolio/record.py --tables FOLDER --cpu-seconds 1200
    python benchmarks/portfolio/record.py --tables FOLDER --large --limit 20 --default-limit 20

Rows go through the platform's own encoding and families: fitted on 60 % of a table,
stopped on 20 %, scored on the 20 % that no fit saw. A run that is in the file already is
not repeated. All tables see a candidate before the next one starts, so that a recording that
ran out of time is still a full table of fewer candidates.
"""

import argparse
import csv
import json
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from candidates import N_POINTS, candidates, family_of
from catalog import LARGE_TABLES, TABLES, Table

from automl_assets.core.code_version import code_version
from automl_assets.core.families import (
    DataShape,
    Encoded,
    FitOptions,
    ModelFamily,
    Params,
)
from automl_assets.core.matrix import read_part, write_matrix
from automl_assets.core.metrics import load_metrics
from automl_assets.core.profile import profile_table
from automl_assets.core.request import TrainingRequest
from automl_assets.core.search.portfolio import fit_into
from automl_assets.core.splits import Fractions, random_split
from automl_assets.core.splits.folds import random_folds

HERE = Path(__file__).parent
FRACTIONS: Fractions = {"train": 0.6, "validation": 0.2, "calibration": 0.005, "analysis": 0.195}
METRICS = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}
FIELDS = (
    *("table", "task_type", "n_rows", "n_features", "n_categorical", "most_levels", "n_classes"),
    *("candidate", "family", "params", "seed", "validation_error", "test_error", "seconds"),
    *("n_iterations", "stopped", "failure", "code"),
)


@dataclass(frozen=True, kw_only=True)
class Data:
    """An encoded table."""

    table: Table
    train: Encoded
    validation: Encoded
    test: Encoded
    n_classes: int

    @property
    def shape(self) -> DataShape:
        """What a fit sees."""
        return DataShape(
            n_rows=len(self.train.y), n_levels=self.train.n_levels, n_classes=self.n_classes
        )


def load(table: Table, folder: Path, matrices: Path) -> Data:
    """Encode a table once, and map it."""
    frame = pl.scan_parquet(folder / f"{table.name}.parquet")
    request = TrainingRequest.model_validate(
        {
            "apiVersion": "automl/v1",
            "kind": "TrainingRequest",
            "name": table.name.replace("_", "-"),
            "owner": "benchmark",
            "data": {"target": "target", "path": f"{table.name}.parquet"},
            "task": {"type": table.task_type},
        }
    )
    profile = profile_table(frame, request)
    part = random_folds(random_split(profile.n_rows, FRACTIONS, seed=0), 5, seed=0)
    encoding = code_version("automl_assets.core.encoding", "automl_assets.core.matrix")
    place = matrices / f"{table.name}-{encoding}"
    preprocessing = write_matrix(place, frame, profile, "target", part)
    train, validation, test = (
        read_part(place, name, preprocessing) for name in ("train", "validation", "analysis")
    )
    return Data(
        table=table,
        train=train,
        validation=validation,
        test=test,
        n_classes=len(profile.classes),
    )


def error_of(task_type: str, y: np.ndarray, prediction: np.ndarray) -> float:
    """Return what is to be small: 1 - ROC AUC, log loss, or RMSE."""
    score = load_metrics()[METRICS[task_type]].score(y, prediction)
    return 1.0 - score if task_type == "binary" else score


def run(data: Data, family: ModelFamily, drawn: Params, *, seed: int, limit: float) -> dict:
    """Fit and score one candidate, moved into the table's space as a search does.

    Args:
        limit: CPU seconds after which the fit is asked to stop.
    """
    options = FitOptions(
        task_type=data.table.task_type,  # type: ignore[arg-type]
        n_classes=data.n_classes,
        seed=seed,
        n_threads=1,
        should_stop=lambda: time.process_time() - started > limit,
    )
    fitted = fit_into(drawn, family.space(data.shape), {}) if drawn else {}
    if fitted is None:
        raise ValueError("The table's space has no such point.")
    params = {**family.default_params(), **fitted}
    started = time.process_time()
    model = family.fit(data.train, data.validation, params, options)
    seconds = time.process_time() - started
    errors = {
        f"{name}_error": error_of(data.table.task_type, part.y, model.predict(part.X))
        for name, part in (("validation", data.validation), ("test", data.test))
    }
    return {
        **{name: f"{error:.6g}" for name, error in errors.items()},
        "seconds": round(seconds, 3),
        "n_iterations": model.n_iterations,
        "stopped": int(seconds > limit),
    }


def described(data: Data) -> dict:
    """Return what a row says of its table."""
    return {
        "table": data.table.name,
        "task_type": data.table.task_type,
        "n_rows": len(data.train.y),
        "n_features": len(data.train.n_levels),
        "n_categorical": len(data.train.categorical),
        "most_levels": max(data.train.n_levels),
        "n_classes": data.n_classes,
    }


def plan(
    tables: list[Data],
    done: set[tuple[str, str]],
    families: Sequence[str],
    *,
    seed: int,
    large: bool,
) -> Iterator[tuple[Data, str, ModelFamily, Params]]:
    """Yield what is still to be run: each candidate, as drawn, on all tables before the next."""
    for identifier, name, drawn in candidates(families, seed=seed, large=large):
        family = family_of(name)
        for data in tables:
            if (data.table.name, identifier) in done:
                continue
            if data.table.task_type not in family.task_types:
                continue
            yield data, identifier, family, drawn


def main() -> None:
    """Record until everything is recorded or the time is used up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=Path, required=True, help="what tables.py wrote")
    parser.add_argument("--large", action="store_true", help="the tables of many rows")
    parser.add_argument("--output", type=Path, help="runs.csv or large_runs.csv beside this file")
    parser.add_argument("--cpu-seconds", type=float, default=1200.0)
    parser.add_argument("--limit", type=float, default=6.0, help="CPU seconds of one fit")
    parser.add_argument("--default-limit", type=float, default=12.0, help="of one with defaults")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--families", nargs="*", default=list(N_POINTS))
    options = parser.parse_args()
    options.output = options.output or HERE / ("large_runs.csv" if options.large else "runs.csv")
    warnings.simplefilter("ignore")
    done = set()
    if options.output.exists():
        with options.output.open(newline="") as file:
            done = {(row["table"], row["candidate"]) for row in csv.DictReader(file)}
    matrices = options.tables.parent / "matrices"
    catalog = LARGE_TABLES if options.large else TABLES
    tables = [load(table, options.tables, matrices) for table in catalog]
    is_new = not options.output.exists()
    with options.output.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        if is_new:
            writer.writeheader()
        runs = plan(tables, done, options.families, seed=options.seed, large=options.large)
        for data, identifier, family, drawn in runs:
            if time.process_time() > options.cpu_seconds:
                print("The time is used up; the same command goes on.")
                return
            try:
                limit = options.limit if drawn else options.default_limit
                found = run(data, family, drawn, seed=options.seed, limit=limit)
            except Exception as error:  # whatever a library raises is a result, too
                found = {"failure": f"{type(error).__name__}: {error}"[:120]}
            row = {
                **described(data),
                "candidate": identifier,
                "family": family.name,
                "params": json.dumps(drawn, sort_keys=True),
                "seed": options.seed,
                "code": code_version(f"automl_assets.core.families.{family.name}"),
            }
            writer.writerow(row | found)
            file.flush()


if __name__ == "__main__":
    main()
