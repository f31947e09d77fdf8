"""How many trials run at the same time, by the memory that their fits hold."""

from collections.abc import Collection
from dataclasses import dataclass

from automl_assets.core.errors import RequestError
from automl_assets.core.families import DataShape, load_families
from automl_assets.core.search.budget import FIRST_ROW_SHARE
from automl_assets.core.search.proposing import PLAIN

LARGE_MB = 150.0
"""Encoded rows of one fit from which memory is spared: 1.8 million rows of 21 features."""

SHARE_OF_ROWS = 3.0
"""What the fits of all workers together may hold then: so many times the encoded rows."""

LEAST_SHARE = 0.5
"""Of what the heaviest plain default holds, what any trial may: of few columns, what a fit holds
besides them is most."""

MOST_THREADS = 4
"""Up to so many threads share a large fit with little loss."""


def workers_within(
    n_workers: int, families: Collection[str], shape: DataShape, memory_mb: float | None
) -> int:
    """Return how many workers the memory is enough for, each with one of the leaner fits.

    Args:
        n_workers: How many are wanted.
        families: Names of those that are searched.
        shape: What one fit sees.
        memory_mb: Memory for all trials together; None: unknown.

    Raises:
        RequestError: It is not enough for a sixteenth of the rows in the leanest family.
    """
    if memory_mb is None:
        return n_workers
    needed = _megabytes(families, shape)
    leanest = min(needed, key=lambda name: (needed[name], name))
    if needed[leanest] * FIRST_ROW_SHARE > memory_mb:
        raise RequestError(
            "All trials together may hold as much as resources.memory and the operator allow, "
            f"which is {memory_mb:,.0f} MB, but {leanest} alone needs "
            f"{needed[leanest] * FIRST_ROW_SHARE:,.0f} MB for a part of {shape.n_rows:,} rows and "
            f"{shape.n_features:,} features. Allow more, or keep fewer columns."
        )
    return max(1, min(n_workers, int(memory_mb / max(needed[leanest], 1e-6))))


@dataclass(frozen=True, kw_only=True)
class Spared:
    """How a search of many rows spares memory.

    Attributes:
        n_workers: Trials at the same time.
        trial_mb: What one of them is planned to hold at most, but for a plain default, which sees
            all rows; None: whatever it needs.
    """

    n_workers: int
    trial_mb: float | None = None


def spare_memory(
    n_workers: int,
    families: Collection[str],
    shape: DataShape,
    *,
    n_cores: int,
    is_asked: bool = False,
) -> Spared:
    """Return how many workers there are, and what a trial of each may hold.

    Each fit holds its own copy of the rows. Where these are large, fewer workers share the cores,
    with more threads each, and families that need much for a row see some of the rows.

    Args:
        n_workers: How many there would be of a small table.
        families: Names of those that are searched.
        shape: What one fit sees.
        n_cores: Cores that all of them share.
        is_asked: Whether the request says how many workers.

    Examples:
        >>> large = DataShape(n_rows=3_000_000, n_levels=(0,) * 21, n_classes=2)
        >>> for n_cores in (4, 8, 32):
        ...     spare_memory(4, ["lightgbm", "catboost"], large, n_cores=n_cores).n_workers
        1
        2
        4
        >>> small = DataShape(n_rows=300_000, n_levels=(0,) * 21, n_classes=2)
        >>> spare_memory(4, ["lightgbm", "catboost"], small, n_cores=4)
        Spared(n_workers=4, trial_mb=None)
    """
    rows_mb = 4e-6 * shape.n_rows * shape.n_features
    if rows_mb < LARGE_MB:
        return Spared(n_workers=n_workers)
    allowed = SHARE_OF_ROWS * rows_mb
    plain = [name for name in PLAIN if name in families]
    heaviest = max(_megabytes(plain or families, shape).values())
    if not is_asked:
        by_memory = int(allowed / heaviest)
        n_workers = min(n_workers, max(by_memory, -(-n_cores // MOST_THREADS), 1))
    trial_mb = max(allowed / n_workers, LEAST_SHARE * heaviest)
    return Spared(n_workers=n_workers, trial_mb=trial_mb)


def about_workers(n_workers: int, wanted: int, *, n_threads: int, shape: DataShape) -> str:
    """Return what is said of fewer workers than there would be; empty if there are as many."""
    if n_workers >= wanted:
        return ""
    trials = "1 trial" if n_workers == 1 else f"{n_workers} trials"
    return (
        f"{trials} at a time on {n_threads} threads, not {wanted}, since each fit holds its own "
        f"copy of {shape.n_rows:,} rows. search.workers asks for more."
    )


def _megabytes(families: Collection[str], shape: DataShape) -> dict[str, float]:
    """Return about what a plain fit of each family holds."""
    known = load_families()
    return {
        name: known[name].expected_bytes(shape, known[name].default_params()) / 1e6
        for name in families
    }
