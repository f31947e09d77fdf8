"""Small tables for the search benchmarks: bundled with scikit-learn, or generated."""

from pathlib import Path

import numpy as np
import polars as pl

NAMES = ("breast_cancer", "wine", "diabetes", "friedman1", "hastie", "clusters")


def _bundled(name: str) -> pl.DataFrame:
    from sklearn import datasets

    found = getattr(datasets, f"load_{name}")()
    columns = {
        str(feature).replace(" ", "_"): found.data[:, i]
        for i, feature in enumerate(found.feature_names)
    }
    named = hasattr(found, "target_names") and name != "diabetes"
    target = found.target_names[found.target].astype(str) if named else found.target
    return pl.DataFrame({**columns, "target": target})


def _generated(name: str, n_rows: int, seed: int) -> pl.DataFrame:
    from sklearn import datasets

    if name == "friedman1":
        X, y = datasets.make_friedman1(n_rows, noise=1.0, random_state=seed)
    elif name == "hastie":
        X, y = datasets.make_hastie_10_2(n_rows, random_state=seed)
    else:
        X, y = datasets.make_classification(
            n_rows, n_informative=8, n_classes=3, flip_y=0.05, random_state=seed
        )
    target = y if name == "friedman1" else np.array([f"c{int(value)}" for value in y])
    columns = {f"x{i}": X[:, i] for i in range(X.shape[1])}
    groups = np.random.default_rng(seed).integers(0, 4, len(y))
    group = pl.Series([f"g{number}" for number in groups])
    return pl.DataFrame({**columns, "group": group, "target": target})


def table(name: str, *, n_rows: int = 3_000, seed: int = 0) -> pl.DataFrame:
    """Return one of `NAMES`; `n_rows` and `seed` are for those that are generated."""
    if name in ("breast_cancer", "wine", "diabetes"):
        return _bundled(name)
    return _generated(name, n_rows, seed)


def write_large(path: Path, *, n_rows: int, n_features: int = 21, seed: int = 0) -> None:
    """Write a binary task of any length, a chunk at a time: floats, and the target `target`."""
    import pyarrow.parquet as pq

    generator = np.random.default_rng(seed)
    weights = generator.normal(size=n_features)
    writer = None
    for start in range(0, n_rows, 250_000):
        n = min(250_000, n_rows - start)
        X = generator.standard_normal((n, n_features), dtype=np.float32)
        score = X @ weights + X[:, 0] * X[:, 1] + np.sin(3 * X[:, 2]) + generator.logistic(size=n)
        columns = {f"x{i:02d}": X[:, i] for i in range(n_features)}
        frame = pl.DataFrame({**columns, "target": np.where(score > 0, "yes", "no")})
        arrow = frame.to_arrow()
        writer = writer or pq.ParquetWriter(path, arrow.schema, compression="zstd")
        writer.write_table(arrow, row_group_size=250_000)
    if writer is not None:
        writer.close()
