"""Which raw columns a quick model needs: permutation importance with a bar of pure noise.

All features of a raw column are shuffled together: its code, its count and its target
encodings say the same, and each alone would hide the loss of another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from automl_assets.core.families import Encoded, FitOptions, FittedModel, load_families
from automl_assets.core.values import TaskType

if TYPE_CHECKING:
    from automl_assets.core.evaluation.importance import FeatureImportance

N_NOISE = 3
"""Columns of random numbers; the luckiest of them is the bar."""

MAX_RANKED = 128
"""Raw columns that take part; of more, those that alone say most about the target."""

_JUDGED_ROWS, _LEAST_ROWS = 8_000, 400
_MOST_WORK = 2_000 * 64 * 80
"""Rows times columns times trees that are judged: two seconds of a core."""

_FAMILY = "lightgbm"
_N_TREES = 80
_MIN_ROUNDS = 6
_N_SHUFFLES = 5
_THREAD_VALUES = 2_000_000
"""Values that a thread needs to be worth its start: with 20,000 x 43, two threads took three times
the CPU time of one."""


def n_rounds(n_classes: int) -> int:
    """Return the iterations of the quick model; each takes a tree for every class."""
    return max(_MIN_ROUNDS, _N_TREES // _trees_of_round(n_classes))


def judged_rows(n_columns: int, n_classes: int) -> int:
    """Return how many validation rows are shuffled: fewer for many columns and classes."""
    n_trees = n_rounds(n_classes) * _trees_of_round(n_classes)
    fit = _MOST_WORK // (n_trees * min(max(n_columns, 1), MAX_RANKED))
    return min(_JUDGED_ROWS, max(_LEAST_ROWS, fit))


def _trees_of_round(n_classes: int) -> int:
    return n_classes if n_classes > 2 else 1


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Raw columns by what the quick model loses without them.

    Attributes:
        order: All columns by position in the preprocessing, the most important first.
        useful: Those that cost more to shuffle than the luckiest noise column, in the same order.
        strongest: Those of them that cost more than shuffles of a useless column would reach by
            chance in 39 of 40 cases.
    """

    order: tuple[int, ...]
    useful: tuple[int, ...]
    strongest: tuple[int, ...]


def rank_columns(
    train: Encoded,
    validation: Encoded,
    columns: Mapping[int, Sequence[int]],
    *,
    relations: Sequence[float],
    task_type: TaskType,
    n_classes: int,
    seed: int,
    n_threads: int,
) -> Ranking:
    """Fit a quick model on a sample of train, and shuffle columns of a sample of validation.

    Args:
        train: A sample in memory.
        validation: A sample in memory.
        columns: Features of each raw column that takes part.
        relations: For each feature how much it alone says about the target.
        seed: Decides noise, fit and shuffles.
    """

    def alone(column: int) -> float:
        return max(relations[position] for position in columns[column])

    by_relation = sorted(columns, key=lambda column: (-alone(column), column))
    ranked = sorted(by_relation[:MAX_RANKED])
    features = [list(columns[column]) for column in ranked]
    parts = [_with_noise(part, features, seed + n) for n, part in enumerate((train, validation))]
    options = FitOptions(
        task_type=task_type,
        n_classes=n_classes,
        seed=seed,
        n_threads=min(n_threads, max(1, parts[0].X.size // _THREAD_VALUES)),
        n_iterations=n_rounds(n_classes),
    )
    family = load_families()[_FAMILY]
    model = family.fit(parts[0], None, family.default_params(), options)
    found = _importances(model, parts[1], [*map(len, features), *[1] * N_NOISE], options)
    bar = max(0.0, *(found[len(ranked) + number].mean for number in range(N_NOISE)))
    gains = {column: found[number].mean for number, column in enumerate(ranked)}
    useful = sorted((c for c in ranked if gains[c] > bar), key=lambda c: (-gains[c], c))
    sure = {column for number, column in enumerate(ranked) if found[number].is_useful}
    # What lies below the bar is in an order of chance; the relation says more.
    rest = [column for column in by_relation if column not in set(useful)]
    return Ranking(
        order=(*useful, *rest),
        useful=tuple(useful),
        strongest=tuple(column for column in useful if column in sure),
    )


def _importances(
    model: FittedModel, part: Encoded, widths: Sequence[int], options: FitOptions
) -> "dict[int, FeatureImportance]":
    """Return the importance of each group of features that stand next to each other."""
    from automl_assets.core.evaluation.importance import permutation_importance
    from automl_assets.core.metrics import load_metrics

    groups, first = [], 0
    for width in widths:
        groups.append(range(first, first + width))
        first += width
    n_rows = len(part.X)
    found = permutation_importance(
        _ByRow(model, part.X, groups),
        np.repeat(np.arange(n_rows, dtype=np.int32)[:, None], len(groups), axis=1),
        part.y,
        load_metrics()["log_loss" if options.n_classes else "rmse"],
        feature_names=[str(number) for number in range(len(groups))],
        seed=options.seed,
        n_repeats=_N_SHUFFLES,
        max_rows=n_rows,
    )
    return {int(item.name): item for item in found}


def _with_noise(part: Encoded, features: Sequence[Sequence[int]], seed: int) -> Encoded:
    """Return the chosen features, then columns of random numbers."""
    chosen = [position for own in features for position in own]
    X = np.empty((len(part.X), len(chosen) + N_NOISE), np.float32, order="F")
    for place, position in enumerate(chosen):
        X[:, place] = part.X[:, position]
    X[:, len(chosen) :] = np.random.default_rng(seed).normal(size=(len(X), N_NOISE))
    n_levels = tuple(part.n_levels[position] for position in chosen) + (0,) * N_NOISE
    return Encoded(X=X, y=part.y, n_levels=n_levels)


class _ByRow:
    """A prediction whose input says, for each group of features, which row it is read from.

    So a shuffle of one input column moves all features of a group together. Row `i` of the
    input stands for row `i` of `X`, over and over; where it says otherwise, values are moved.
    """

    def __init__(self, model: FittedModel, X: np.ndarray, groups: Sequence[Sequence[int]]) -> None:
        self._model, self._X, self._groups = model, X, groups
        self._own = np.arange(0)
        self._tile = X[:0]

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        if len(rows) != len(self._own):
            self._own = np.arange(len(rows)) % len(self._X)
            self._tile = np.asfortranarray(self._X[self._own])
        moved = np.flatnonzero((rows != self._own[:, None]).any(axis=0)).tolist()
        positions = [position for group in moved for position in self._groups[group]]
        for group in moved:
            for position in self._groups[group]:
                self._tile[:, position] = self._X[rows[:, group], position]
        predicted = self._model.predict(self._tile)
        for position in positions:
            self._tile[:, position] = self._X[self._own, position]
        return predicted
