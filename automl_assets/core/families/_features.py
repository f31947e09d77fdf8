"""Numbers scaled and categories one-hot, for families that add features up."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from automl_assets.core.pages import give_back

if TYPE_CHECKING:
    import numpy as np

    from automl_assets.core.families._base import DataShape, Encoded

N_KNOTS = 256
"""Quantiles that stand for the distribution of a number."""

SAMPLE_ROWS = 100_000
"""Rows that quantiles are taken of: each is then known to 0.16 % of the rows, one deviation."""

MOST_DEVIATIONS = 10.0
"""Standardised numbers are cut here: what lies farther out must not rule the sum."""

OTHER = 1
"""Code of a category that is rare or was never seen."""

Features = dict[str, Any]
"""Arrays of one fitted preparation, by name, as they are kept with a model."""


def fit_features(
    train: "Encoded", *, scaling: str, max_levels: int, n_bins: int, seed: int
) -> Features:
    """Learn how columns are scaled and what is one-hot.

    Args:
        train: Rows of the train part.
        scaling: `standard`: zero mean and unit deviation; `quantile`: ranks, as of a normal
            distribution; `bins`: standardised, and one-hot by quantiles besides.
        max_levels: Levels of a category that have a column each, the most frequent ones.
        n_bins: How many quantile bins a number has.
        seed: Decides which rows quantiles are taken of.
    """
    import numpy as np

    levels = np.array(train.n_levels, np.intp)
    numeric, categorical = np.flatnonzero(levels == 0), np.flatnonzero(levels)
    rows = _sample(len(train.y), seed)
    features: Features = {
        "numeric": numeric,
        "categorical": categorical,
        "n_codes": np.minimum(levels[categorical], max_levels + 2),
        "knots": None,
        "edges": None,
    }
    columns = [train.X[:, column] for column in numeric]
    features |= _moments(columns)
    if scaling == "quantile":
        features["knots"] = [_knots(_taken(column, rows)) for column in columns]
    if scaling == "bins":
        features["edges"] = [_edges(_taken(column, rows), n_bins) for column in columns]
    return features


def _sample(n_rows: int, seed: int) -> "np.ndarray | slice":
    import numpy as np

    if n_rows <= SAMPLE_ROWS:
        return slice(None)
    return np.sort(np.random.default_rng(seed).choice(n_rows, SAMPLE_ROWS, replace=False))


def _taken(column: "np.ndarray", rows: "np.ndarray | slice") -> "np.ndarray":
    values = column[rows]
    give_back(column)
    return values


def _moments(columns: "list[np.ndarray]") -> Features:
    import numpy as np

    mean, scale = np.zeros(len(columns), np.float32), np.ones(len(columns), np.float32)
    gaps = np.zeros(len(columns), bool)
    for number, column in enumerate(columns):
        present = column[~np.isnan(column)].astype(np.float64)
        gaps[number] = len(present) < len(column)
        if len(present):
            mean[number] = present.mean()
            deviation = present.std()
            # A column that is constant but for rounding has nothing to scale.
            if deviation > 1e-7 * max(1.0, abs(present.mean())):
                scale[number] = deviation
        give_back(column)
    return {"mean": mean, "scale": scale, "with_gaps": np.flatnonzero(gaps)}


def _knots(sample: "np.ndarray") -> "np.ndarray":
    """Return values and where a normal distribution has them, `(2, n_knots)`, ties as one."""
    import numpy as np
    from scipy.special import ndtri

    present = sample[~np.isnan(sample)]
    if not len(present):
        return np.zeros((2, 1), np.float32)
    ranks = np.linspace(0.0, 1.0, N_KNOTS)
    values, group = np.unique(np.quantile(present, ranks), return_inverse=True)
    middle = np.bincount(group, ranks) / np.bincount(group)
    edge = 0.5 / N_KNOTS
    return np.stack([values, ndtri(np.clip(middle, edge, 1.0 - edge))]).astype(np.float32)


def _edges(sample: "np.ndarray", n_bins: int) -> "np.ndarray":
    import numpy as np

    present = sample[~np.isnan(sample)]
    if not len(present):
        return np.zeros(0, np.float32)
    inner = np.linspace(0.0, 1.0, n_bins + 1)[1:-1]
    return np.unique(np.quantile(present, inner)).astype(np.float32)


def dense_width(features: Features) -> int:
    """Return how many columns hold numbers."""
    return len(features["numeric"]) + len(features["with_gaps"])


def one_hot_width(features: Features) -> int:
    """Return how many columns hold ones and zeros of categories and bins."""
    edges = features["edges"] or []
    return int(features["n_codes"].sum()) + sum(len(cuts) + 2 for cuts in edges)


def prepared_sources(features: Features) -> "np.ndarray":
    """Return for each prepared column the position of the feature that it was made of."""
    import numpy as np

    numeric, categorical = features["numeric"], features["categorical"]
    widths = [len(cuts) + 2 for cuts in features["edges"] or ()]
    binned = numeric[: len(widths)]
    return np.concatenate(
        [
            numeric,
            numeric[features["with_gaps"]],
            np.repeat(categorical, features["n_codes"]),
            np.repeat(binned, widths).astype(np.intp),
        ]
    )


def prepared_width(shape: "DataShape", max_levels: int) -> int:
    """Return about how many columns dense rows have, for models of cost."""
    return sum(min(n, max_levels + 2) if n else 1 for n in shape.n_levels)


def _write_numbers(X: "np.ndarray", features: Features, out: "np.ndarray") -> None:
    """Write scaled numbers and flags of missing ones into the first columns."""
    import numpy as np

    numeric, with_gaps = features["numeric"], features["with_gaps"]
    for number, column in enumerate(numeric):
        values = X[:, column]
        if features["knots"] is None:
            scaled = (values - features["mean"][number]) / features["scale"][number]
            scaled = np.clip(scaled, -MOST_DEVIATIONS, MOST_DEVIATIONS)
        else:
            scaled = np.interp(values, *features["knots"][number])
        out[:, number] = np.where(np.isnan(values), 0.0, scaled)
        give_back(X)
    for position, number in enumerate(with_gaps, start=len(numeric)):
        out[:, position] = np.isnan(X[:, numeric[number]])


def _codes(X: "np.ndarray", features: Features) -> "Iterator[tuple[np.ndarray, int]]":
    """Yield whole numbers and how many there can be, a column at a time."""
    import numpy as np

    for column, n_codes in zip(features["categorical"], features["n_codes"], strict=True):
        codes = X[:, column].astype(np.intp)
        yield np.where(codes < n_codes, codes, OTHER), int(n_codes)
    for column, cuts in zip(features["numeric"], features["edges"] or (), strict=False):
        values = X[:, column]
        bins = np.where(
            np.isnan(values), len(cuts) + 1, np.searchsorted(cuts, values, side="right")
        )
        give_back(X)
        yield bins, len(cuts) + 2


def dense_features(X: "np.ndarray", features: Features) -> "np.ndarray":
    """Return the prepared rows as an array, float32, row-major."""
    import numpy as np

    offset = dense_width(features)
    out = np.zeros((len(X), offset + one_hot_width(features)), np.float32)
    _write_numbers(X, features, out)
    rows = np.arange(len(X))
    for codes, n_codes in _codes(X, features):
        out[rows, offset + codes] = 1.0
        offset += n_codes
    return out


def sparse_features(X: "np.ndarray", features: Features) -> Any:
    """Return the prepared rows as a `csr_array`, float32: each row as long as any other."""
    import numpy as np
    from scipy.sparse import csr_array

    n_dense = dense_width(features)
    n_entries = n_dense + len(features["categorical"]) + len(features["edges"] or ())
    values = np.ones((len(X), n_entries), np.float32)
    places = np.empty((len(X), n_entries), np.int32)
    _write_numbers(X, features, values)
    places[:, :n_dense] = np.arange(n_dense, dtype=np.int32)
    offset = n_dense
    for entry, (codes, n_codes) in enumerate(_codes(X, features), start=n_dense):
        places[:, entry] = offset + codes
        offset += n_codes
    starts = np.arange(len(X) + 1, dtype=np.int64) * n_entries
    index_type = np.int32 if starts[-1] < 2**31 else np.int64
    return csr_array(
        (values.ravel(), places.ravel().astype(index_type, copy=False), starts.astype(index_type)),
        shape=(len(X), offset),
    )
