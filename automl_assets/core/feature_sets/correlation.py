"""Which features say what a stronger one says already."""

import hashlib
from dataclasses import dataclass

import numpy as np

from automl_assets.core.families import Encoded
from automl_assets.core.feature_sets.relation import (
    MIN_OTHER_ROWS,
    Ranks,
    code_bins,
    rank,
    relation,
    target_ranks,
)

CORRELATION_LIMIT = 0.95
"""Absolute rank correlation above which one of two numeric features is redundant: nine tenths
of the variance of one's ranks is then the other's."""

_BLOCK = 256
"""Features that are compared with all kept ones at once."""


@dataclass(frozen=True, kw_only=True)
class Redundancy:
    """What features of a sample share with each other and with the target.

    Attributes:
        relations: For each feature how much it alone says about the target.
        kept_for: For each redundant feature, the stronger one that says the same.
    """

    relations: tuple[float, ...]
    kept_for: dict[int, int]


def find_redundant(rows: Encoded, *, n_classes: int) -> Redundancy:
    """Compare all features of a sample with each other.

    Features are taken from the strongest relation with the target to the weakest; one is
    redundant if a kept one of its kind says the same, so every redundant feature has a stand-in.
    Numeric features say the same above `CORRELATION_LIMIT` if they also miss values in the same
    rows. Categorical ones do if their codes are one to one.

    Args:
        rows: A sample in memory.
        n_classes: 0 for regression.
    """
    from threadpoolctl import threadpool_limits

    y = rows.y if n_classes else target_ranks(rows.y)
    ranks: dict[int, Ranks] = {}
    relations = []
    for position, n_codes in enumerate(rows.n_levels):
        column = rows.X[:, position]
        if n_codes:
            bins = code_bins(column)
        else:
            ranks[position] = rank(column)
            bins = ranks[position].bins
        relations.append(relation(bins, y, n_classes))
    order = sorted(range(len(relations)), key=lambda position: (-relations[position], position))
    kept_for = _same_codes(rows, [position for position in order if rows.n_levels[position]])
    usable = [p for p in order if p in ranks and ranks[p].values is not None]
    # The order of adding, and with it the last digit, depends on the number of threads.
    with threadpool_limits(1, user_api="blas"):
        kept_for |= _same_ranks(ranks, usable)
    return Redundancy(relations=tuple(relations), kept_for=kept_for)


def _same_codes(rows: Encoded, positions: list[int]) -> dict[int, int]:
    seen: dict[bytes, int] = {}
    kept_for = {}
    for position in positions:
        _, first, place, counts = np.unique(
            rows.X[:, position], return_index=True, return_inverse=True, return_counts=True
        )
        if len(place) - counts.max() < MIN_OTHER_ROWS:
            continue
        # Codes by first appearance: equal for two columns whose codes are one to one.
        codes = np.argsort(np.argsort(first)).astype(np.int32)[place]
        key = hashlib.sha256(codes.tobytes()).digest()
        if (kept := seen.setdefault(key, position)) != position:
            kept_for[position] = kept
    return kept_for


def _same_ranks(ranks: dict[int, Ranks], order: list[int]) -> dict[int, int]:
    kept_for: dict[int, int] = {}
    kept: list[int] = []
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        for others in [kept[i : i + _BLOCK] for i in range(0, len(kept), _BLOCK)]:
            same = _say_the_same(ranks, block, others)
            for row in np.flatnonzero(same.any(axis=1)):
                kept_for.setdefault(block[row], others[int(same[row].argmax())])
        block = [position for position in block if position not in kept_for]
        same = _say_the_same(ranks, block, block)
        stay: list[int] = []
        for row, position in enumerate(block):
            found = next((other for other in stay if same[row, other]), None)
            if found is None:
                stay.append(row)
            else:
                kept_for[position] = block[found]
        kept += [block[row] for row in stay]
    return kept_for


def _say_the_same(ranks: dict[int, Ranks], left: list[int], right: list[int]) -> np.ndarray:
    values = [np.stack([_values(ranks[p]) for p in side]) for side in (left, right)]
    same = np.abs(values[0] @ values[1].T) >= CORRELATION_LIMIT
    if any(ranks[p].is_missing is not None for p in (*left, *right)):
        n_rows = values[0].shape[1]
        one, other = (
            np.stack([_missing(ranks[p], n_rows) for p in side]) for side in (left, right)
        )
        differ = one.sum(axis=1)[:, None] + other.sum(axis=1) - 2 * (one @ other.T)
        same &= differ <= (1 - CORRELATION_LIMIT) * n_rows
    return same


def _values(ranks: Ranks) -> np.ndarray:
    if ranks.values is None:
        raise ValueError("a feature of one value has no ranks")
    return ranks.values


def _missing(ranks: Ranks, n_rows: int) -> np.ndarray:
    if ranks.is_missing is None:
        return np.zeros(n_rows, np.float32)
    return ranks.is_missing.astype(np.float32)
