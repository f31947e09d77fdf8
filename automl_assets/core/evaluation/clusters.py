"""Rows that belong together: of one customer, or of one stretch of time.

Rows of a cluster resemble each other, so they tell less than as many rows drawn at random.
Everything here costs one or two passes over the rows, whatever the number of clusters.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

MAX_BLOCKS = 30
"""Blocks of time at most: long blocks hold what lasts long, and 30 still bear a variance."""


def clusters_of(groups: "np.ndarray | None", times: "pl.Series | None") -> "np.ndarray | None":
    """Return each row's cluster: its group, else its block of time.

    Blocks are successive and of about equally many rows; rows of one time share a block.
    Their number is the two-thirds power of the number of rows, at most 30 (up to there a
    block's length grows as H. Künsch, Annals of Statistics 17, 1989, asks).

    Args:
        groups: Code of each row's group, `(n_rows,)`.
        times: Time of each row, `(n_rows,)`, in any order; nulls count as the earliest.

    Returns:
        Codes from 0 without gaps, `(n_rows,)`; None where rows are independent as far as is
        known: neither is given, each row is a cluster of its own, or all are one.

    Examples:
        >>> import numpy as np
        >>> clusters_of(np.array([7, 7, 3]), None).tolist()
        [1, 1, 0]
        >>> clusters_of(np.array([7, 4, 3]), None) is None
        True
    """
    if groups is not None:
        codes = dense_codes(groups)
    elif times is not None:
        codes = _blocks(times)
    else:
        return None
    n_clusters = int(codes.max()) + 1 if len(codes) else 0
    return codes if 1 < n_clusters < len(codes) else None


def _blocks(times: "pl.Series") -> "np.ndarray":
    import numpy as np

    n_rows = len(times)
    n_blocks = max(2, min(MAX_BLOCKS, round(n_rows ** (2 / 3))))
    # The least rank of a tie is the same for all of its rows, so they share a block.
    rank = times.rank("min").fill_null(0).to_numpy().astype(np.int64)
    return dense_codes(np.maximum(rank - 1, 0) * n_blocks // max(n_rows, 1))


def dense_codes(groups: "np.ndarray") -> "np.ndarray":
    """Return codes from 0 without gaps, in the order of the groups.

    Examples:
        >>> import numpy as np
        >>> dense_codes(np.array([5, 2, 5])).tolist()
        [1, 0, 1]
    """
    import numpy as np

    if len(groups) and groups.dtype.kind in "iu" and groups.min() >= 0:
        n_codes = int(groups.max()) + 1
        if n_codes <= 4 * len(groups):
            occurs = np.zeros(n_codes, np.bool_)
            occurs[groups] = True
            return (np.cumsum(occurs) - 1)[groups]
    return np.unique(groups, return_inverse=True)[1].reshape(-1)


def n_clusters_of(codes: "np.ndarray") -> int:
    """Return how many clusters there are."""
    return int(codes.max()) + 1


def effective_clusters(codes: "np.ndarray") -> float:
    """Return how many clusters of equal size tell as much about a variance.

    The square of the rows over the sum of the squared sizes, as C. Carter, K. Schnepel and
    D. Steigerwald (Review of Economics and Statistics 99, 2017) have it for a constant.

    Examples:
        >>> import numpy as np
        >>> effective_clusters(np.array([0, 0, 1, 1])), effective_clusters(np.array([0, 0, 0, 1]))
        (2.0, 1.6)
    """
    import numpy as np

    sizes = np.bincount(codes).astype(float)
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def pulls_on_mean(terms: "np.ndarray", codes: "np.ndarray | None") -> "np.ndarray":
    """Return how far the mean moves if a cluster, or a row, is left out; negated.

    The pulls bear the jackknife's variance (CV3), which is right for few clusters of unequal
    sizes, too (J. MacKinnon, M. Nielsen and M. Webb, Journal of Applied Econometrics 38, 2023).

    Args:
        terms: What is averaged, `(n_rows,)`.
        codes: Cluster of each row, from 0 without gaps, two at least; None: each its own.
    """
    import numpy as np

    centred = terms - terms.mean()
    if codes is None:
        return centred / (len(terms) - 1)
    sizes = np.bincount(codes)
    return np.bincount(codes, weights=centred) / (len(terms) - sizes)


def error_of_pulls(pulls: "np.ndarray") -> float:
    """Return the jackknife's standard error.

    Examples:
        >>> import numpy as np
        >>> terms = np.array([1.0, 2.0, 4.0])
        >>> round(error_of_pulls(pulls_on_mean(terms, None)), 6)
        0.881917
        >>> float(round(terms.std(ddof=1) / 3**0.5, 6))
        0.881917
    """
    return float(pulls @ pulls * (len(pulls) - 1) / len(pulls)) ** 0.5


def design_effect(terms: "np.ndarray", groups: "np.ndarray | None") -> float | None:
    """Return how much larger the variance of a mean is than if rows were independent.

    L. Kish, "Survey Sampling", 1965. Below 1 where rows of a cluster differ more than others.

    Args:
        terms: What is averaged, `(n_rows,)`.
        groups: Cluster of each row, `(n_rows,)`; None: rows are independent.

    Returns:
        The factor; None without clusters, or where there is but one.

    Examples:
        >>> import numpy as np
        >>> effect = design_effect(np.array([1.0, 1, 0, 0, 2, 2]), np.array([0, 0, 1, 1, 2, 2]))
        >>> round(effect, 6)
        2.5
    """
    if groups is None:
        return None
    codes = dense_codes(groups)
    if n_clusters_of(codes) < 2:
        return None
    independent = error_of_pulls(pulls_on_mean(terms, None))
    clustered = error_of_pulls(pulls_on_mean(terms, codes))
    return (clustered / independent) ** 2 if independent > 0 else 1.0
