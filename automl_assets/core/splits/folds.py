"""Folds inside train: what an encoding of the target is made from never holds the row itself."""

import heapq

import numpy as np
import polars as pl

from automl_assets.core.splits import NO_FOLD, Assignment, count_codes, deal
from automl_assets.core.splits.columns import cut, group_key, read_labels

_TRAIN = 0
_LARGE_GROUPS = 10_000


def _assignment(part: np.ndarray, fold_of_train: np.ndarray, n_folds: int) -> Assignment:
    fold = np.full(len(part), NO_FOLD, np.int8)
    fold[part == _TRAIN] = fold_of_train
    return Assignment(part=part, fold=fold, n_folds=n_folds if n_folds > 1 else 0)


def random_folds(
    part: np.ndarray, n_folds: int, *, seed: int, strata: np.ndarray | None = None
) -> Assignment:
    """Fold train at random; folds differ by one row at most, in each stratum and in all.

    Args:
        part: Part of each row, as a split returns it.
        n_folds: Number of folds, at least 2.
        seed: Decides who goes where.
        strata: Small code of each row of the table; None makes one stratum.
    """
    codes = np.zeros(len(part), np.int8) if strata is None else strata
    codes = codes[part == _TRAIN]
    n_folds = min(n_folds, len(codes))
    sizes = count_codes(codes)
    counts = np.repeat((sizes // n_folds)[:, None], n_folds, axis=1)
    # What is left over goes round, so that the first fold does not get it in every stratum.
    first = 0
    for stratum, left in enumerate(sizes % n_folds):
        counts[stratum, (first + np.arange(left)) % n_folds] += 1
        first = (first + left) % n_folds
    # A stream of its own: the parts do not depend on the number of folds.
    generator = np.random.default_rng([seed, 1])
    return _assignment(part, deal(codes, counts, generator), n_folds)


def time_folds(part: np.ndarray, moments: np.ndarray, n_folds: int) -> Assignment:
    """Fold train into stretches of time; rows of one moment share a fold.

    Stretches, because a row drawn from between its neighbours in time tells of
    them. They are not trained forward in time: train as a whole is older than
    what it is judged on, and each row needs an encoding from the other folds.

    Args:
        part: Part of each row.
        moments: Time of each row as a number.
        n_folds: Number of folds; fewer are made of fewer distinct times.
    """
    own = moments[part == _TRAIN]
    pieces = cut(own, np.arange(1, n_folds) / n_folds)
    found = np.flatnonzero(np.bincount(pieces, minlength=n_folds))
    renumbered = np.zeros(n_folds, np.int8)
    renumbered[found] = np.arange(len(found))
    return _assignment(part, renumbered[pieces], len(found))


def _share_groups(sizes: np.ndarray, n_folds: int) -> np.ndarray:
    """Give each group the fold with the fewest rows, largest groups first.

    Longest processing time first (Graham 1969). The many small groups that are
    left then fill the folds up to the same size, one fold after the other.
    """
    by_size = np.argsort(-sizes, kind="stable")
    fold = np.empty(len(sizes), np.int8)
    heap = [(0, number) for number in range(n_folds)]
    for group in by_size[:_LARGE_GROUPS]:
        n_rows, number = heap[0]
        fold[group] = number
        heapq.heapreplace(heap, (n_rows + int(sizes[group]), number))
    small = by_size[_LARGE_GROUPS:]
    if len(small):
        held = np.array([n_rows for n_rows, _ in sorted(heap, key=lambda item: item[1])])
        room = np.maximum(0, sizes.sum() / n_folds - held)
        middle = (np.cumsum(sizes[small]) - sizes[small] / 2) / sizes[small].sum()
        ends = np.cumsum(room)[:-1] / room.sum()
        fold[small] = np.searchsorted(ends, middle, side="right")
    return fold


def group_folds(
    table: pl.LazyFrame, column: str, part: np.ndarray, n_folds: int, *, seed: int
) -> Assignment:
    """Fold train by whole groups, as evenly as they allow.

    Args:
        table: The snapshot.
        column: Group of each row; rows without one form a group.
        part: Part of each row; no group is in two parts.
        n_folds: Number of folds; fewer are made of fewer groups.
        seed: Decides between groups of equal size.
    """
    keys = table.select(group=group_key(table, column))
    parts = pl.LazyFrame({"part": part})
    own = pl.concat([keys, parts], how="horizontal").filter(pl.col("part") == _TRAIN)
    own = own.select("group")
    groups = own.group_by("group").agg(size=pl.len()).collect(engine="streaming").sort("group")
    order = np.random.default_rng([seed, 1]).permutation(groups.height)
    n_folds = min(n_folds, groups.height)
    sizes = groups["size"].to_numpy().astype(np.int64)[order]
    fold_of_group = np.empty(groups.height, np.int8)
    fold_of_group[order] = _share_groups(sizes, n_folds)
    labels = groups.select("group", fold=pl.Series(fold_of_group))
    return _assignment(part, read_labels(own, labels, name="fold"), n_folds)
