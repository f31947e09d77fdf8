"""Whether a model can tell the rows of one part from those of another.

If it cannot, the parts are alike as far as the features can show (Lopez-Paz and Oquab,
"Revisiting Classifier Two-Sample Tests", ICLR 2017). Raw values are compared, not the matrix:
encodings that are made out of fold differ between train and the rest by their making.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from automl_assets.core.evaluation.intervals import delong_interval

N_FOLDS = 3
_MAX_CODES = 250
_N_TREES = 40
_PARAMS = {
    "objective": "binary",
    "num_leaves": 15,
    "learning_rate": 0.1,
    "min_data_in_leaf": 50,
    "max_bin": 63,
    "num_threads": 1,
    # Equal in every run and on every machine.
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


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


def tell_apart(
    features: pl.DataFrame, is_second: np.ndarray, groups: pl.Series | None, *, seed: int
) -> Told:
    """Fit a small LightGBM out of fold on rows of two parts.

    Args:
        features: Raw values of the rows.
        is_second: Whether a row is of the second part, `(n_rows,)`.
        groups: Rows of one group share a fold: each group is in one part only, so that a
            model that knows its other rows would know its part.
        seed: Decides the folds.
    """
    import lightgbm as lgb

    X, categorical = _encode(features)
    fold = _folds(features.height, groups, seed=seed)
    score = np.zeros(features.height)
    gain = np.zeros(features.width)
    for number in range(N_FOLDS):
        inside = fold != number
        data = lgb.Dataset(
            X[inside],
            is_second[inside].astype(np.int8),
            categorical_feature=categorical,
            params={"verbosity": -1, "max_bin": _PARAMS["max_bin"]},
        )
        booster = lgb.train({**_PARAMS, "seed": seed % 2**31}, data, num_boost_round=_N_TREES)
        score[~inside] = np.asarray(booster.predict(X[~inside], num_threads=1))
        gain += booster.feature_importance("gain")
    low, high, _ = delong_interval(is_second.astype(np.int8), score)
    auc = _auc(is_second, score)
    best = [features.columns[place] for place in np.argsort(-gain, kind="stable")[:3]]
    telling = [name for name in best if gain[features.columns.index(name)] > 0]
    return Told(auc=auc, low=low, high=high, columns=tuple(telling))


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
