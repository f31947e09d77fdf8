"""Whether a model can tell the rows of one part from those of another.

If it cannot, the parts are alike as far as the features can show (Lopez-Paz and Oquab,
"Revisiting Classifier Two-Sample Tests", ICLR 2017). Raw values are compared, not the matrix:
encodings that are made out of fold differ between train and the rest by their making.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from automl_assets.core.evaluation.intervals import delong_interval
from automl_assets.core.separation import N_FOLDS, Separation, TwoClasses, separate

_MAX_CODES = 250


@dataclass(frozen=True, kw_only=True)
class TwoSamples:
    """Rows of two parts.

    Attributes:
        features: Raw values of the rows.
        is_second: Whether a row is of the second part, `(n_rows,)`.
        groups: Rows of one group share a fold: each group is in one part only, so that a
            model that knows its other rows would know its part.
    """

    features: pl.DataFrame
    is_second: np.ndarray
    groups: pl.Series | None


@dataclass(frozen=True, kw_only=True)
class Told:
    """How well two samples of rows can be told apart, by rows that the model did not see.

    Attributes:
        auc, low, high: Area under the ROC curve, with its 95 % interval; 0.5 is by chance.
        columns: The three that tell most, most first.
    """

    auc: float
    low: float
    high: float
    columns: tuple[str, ...]


def tell_apart(pairs: Sequence[TwoSamples], *, seed: int, scratch: Path) -> list[Told]:
    """Fit a small LightGBM out of fold on the rows of each pair of parts.

    Args:
        seed: Decides the folds.
        scratch: An empty folder for the features.

    Raises:
        ServiceError: The process that fits failed.
    """
    found = separate((_task(pair, seed) for pair in pairs), seed=seed, scratch=scratch)
    return [_told(pair, item) for pair, item in zip(pairs, found, strict=True)]


def _task(pair: TwoSamples, seed: int) -> TwoClasses:
    X, categorical = _encode(pair.features)
    fold = _folds(pair.features.height, pair.groups, seed=seed)
    return TwoClasses(X=X, categorical=categorical, is_second=pair.is_second, fold=fold)


def _told(pair: TwoSamples, found: Separation) -> Told:
    low, high, _ = delong_interval(pair.is_second.astype(np.int8), found.score)
    best = [int(place) for place in np.argsort(-found.gain, kind="stable")[:3]]
    return Told(
        auc=_auc(pair.is_second, found.score),
        low=low,
        high=high,
        columns=tuple(pair.features.columns[place] for place in best if found.gain[place] > 0),
    )


def _auc(is_second: np.ndarray, score: np.ndarray) -> float:
    ranks = pl.Series(score).rank("average").to_numpy()
    n_second, n_first = int(is_second.sum()), int((~is_second).sum())
    least = n_second * (n_second + 1) / 2
    return float((ranks[is_second].sum() - least) / (n_second * n_first))


def _folds(n_rows: int, groups: pl.Series | None, *, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    if groups is None:
        return generator.permutation(n_rows) % N_FOLDS
    codes = groups.rank("dense").fill_null(0).to_numpy().astype(np.int64)
    return (generator.permutation(int(codes.max(initial=0)) + 1) % N_FOLDS)[codes]


def _encode(features: pl.DataFrame) -> tuple[np.ndarray, list[int]]:
    """Return numbers, NaN where missing, and the positions of the columns that hold codes."""
    X = np.empty((features.height, features.width), np.float32, order="F")
    categorical = []
    for place, values in enumerate(features.iter_columns()):
        dtype = values.dtype
        if dtype.is_numeric() or dtype == pl.Boolean:
            numbers = values.cast(pl.Float64).to_numpy()
        elif dtype.is_temporal():
            # float32 holds a time in days to some minutes, one in microseconds to hours.
            numbers = values.cast(pl.Datetime("us")).to_physical().cast(pl.Float64).to_numpy()
            numbers = numbers / 86_400_000_000
        else:
            categorical.append(place)
            numbers = _level_codes(values.cast(pl.String))
        X[:, place] = np.clip(numbers, -3e38, 3e38)
    return X, categorical


def _level_codes(text: pl.Series) -> np.ndarray:
    """Return a code for each of the most frequent texts, one for all others, NaN for none."""
    counts = text.drop_nulls().alias("level").value_counts(name="rows")
    levels = counts.sort(["rows", "level"], descending=[True, False])["level"].head(_MAX_CODES)
    codes = {level: float(code) for code, level in enumerate(levels, start=1)}
    coded = text.replace_strict(codes, default=0.0, return_dtype=pl.Float64)
    return coded.set(text.is_null(), None).to_numpy()
