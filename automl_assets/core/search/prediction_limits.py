"""What limits look at in predictions of the selection rows: slices, and the lead over the prior."""

from typing import TYPE_CHECKING

from automl_assets.core.errors import ContractError, SearchError
from automl_assets.core.evaluation.comparison import compare
from automl_assets.core.evaluation.confusion import rarest_class_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from automl_assets.core.metrics import Metric

MIN_SLICE_ROWS = 50
"""A slice with fewer rows is not compared: its metric is mostly chance."""

MIN_CLASS_ROWS = 10
"""A slice with fewer rows of either class is not compared by what depends on both classes."""

MOST_ROWS = 1_000_000
"""Above, a random million rows are looked at: slices and intervals hardly gain from more."""

BOOTSTRAP_ROWS = 500
"""Up to here a bootstrap costs about 0.2 s; above, a jackknife takes its place."""

JACKKNIFE_ROWS = 100_000
"""Above, the jackknife looks at so many random rows; its interval is that of these, so wider."""

N_GROUPS, FEWEST_GROUPS = 10, 5
"""Groups of the jackknife: each costs two evaluations; of 10, Student's quantile is 15 % above
the normal one."""

RAREST_IN_GROUP = 5
"""Rows of the rarer class that a group should have; fewer groups are made for it."""


def slice_gap(
    metric: "Metric",
    y: "np.ndarray",
    prediction: "np.ndarray",
    slices: "Mapping[str, np.ndarray]",
    *,
    seed: int,
) -> float:
    """Return the largest difference of a metric between two slices of one column.

    Each column is sliced by itself; the column with the largest difference counts.

    Args:
        y: As `Metric.score` takes it.
        prediction: As `Metric.score` takes it.
        slices: The slice of each row by column: codes, `(n_rows,)`; missing ones are a slice.
        seed: Decides which rows are looked at where there are very many.

    Raises:
        SearchError: A column has fewer than two slices that can be compared.
    """
    rows = _some_rows(len(y), MOST_ROWS, seed)
    y, prediction = y[rows], prediction[rows]
    gaps = []
    for name, codes in slices.items():
        scores = _slice_scores(metric, y, prediction, codes[rows])
        if len(scores) < 2:
            raise SearchError(
                f"constraints.slice_gap compares slices of at least {MIN_SLICE_ROWS} rows for "
                f"which {metric.name} is defined, but column {name!r} has {len(scores)} of them "
                f"among {len(y):,} selection rows. Use more rows, or leave {name!r} out of "
                "constraints.slice_gap.by."
            )
        gaps.append(max(scores) - min(scores))
    return max(gaps)


def _some_rows(n_rows: int, most: int, seed: int) -> "np.ndarray | slice":
    if n_rows <= most:
        return slice(None)
    import numpy as np

    return np.random.default_rng(seed).choice(n_rows, most, replace=False, shuffle=False)


def _slice_scores(
    metric: "Metric", y: "np.ndarray", prediction: "np.ndarray", codes: "np.ndarray"
) -> list[float]:
    """Score each slice that is large enough for the metric.

    Which ones are does not depend on predictions: all candidates are compared on the same.
    """
    import numpy as np

    _, slice_of_row, sizes = np.unique(codes, return_inverse=True, return_counts=True)
    of_slice = np.split(np.argsort(slice_of_row, kind="stable"), np.cumsum(sizes)[:-1])
    needs_both = prediction.ndim == 2 and prediction.shape[1] == 2 and not _is_mean(metric)
    scores = []
    for rows in of_slice:
        n_positive = int((y[rows] == 1).sum())
        n_rarer = min(n_positive, len(rows) - n_positive)
        if len(rows) < MIN_SLICE_ROWS or (needs_both and n_rarer < MIN_CLASS_ROWS):
            continue
        try:
            scores.append(metric.score(y[rows], prediction[rows]))
        except ContractError:
            # Undefined for these rows, such as R2 where the target is constant.
            continue
    return scores


def _is_mean(metric: "Metric") -> bool:
    """Whether a score is the mean over all rows; precision and recall look at some only."""
    import numpy as np

    if metric.row_losses is None:
        return False
    if "regression" in metric.task_types:
        return True
    return len(metric.row_losses(np.array([0, 1]), np.eye(2))) == 2


def lead_over_baseline(
    metric: "Metric",
    y: "np.ndarray",
    prediction: "np.ndarray",
    baseline: "np.ndarray",
    *,
    confidence: float,
    seed: int,
) -> float:
    """Return the bad end of the interval of the gain over a baseline, paired by row.

    Where an interval needs a bootstrap, and there are more rows than it can afford for each
    candidate, rows are dealt into groups of equal class shares, and the standard error comes
    from leaving out each group in turn (the delete-a-group jackknife: Kott, Journal of
    Official Statistics 17, 2001), with Student's quantile.

    Args:
        y: As `Metric.score` takes it.
        prediction: As `Metric.score` takes it.
        baseline: Other predictions of the same rows.
        confidence: Share of intervals made like this that hold the truth.
        seed: Decides how rows are dealt.

    Raises:
        ContractError: The metric is undefined for these rows.
    """
    n_groups = _n_groups(y, prediction)
    analytic = metric.interval == "delong" or _is_mean(metric)
    by_compare = analytic or len(y) <= BOOTSTRAP_ROWS or n_groups < FEWEST_GROUPS
    rows = _some_rows(len(y), MOST_ROWS if by_compare else JACKKNIFE_ROWS, seed)
    y, prediction, baseline = y[rows], prediction[rows], baseline[rows]
    if by_compare:
        return compare(metric, y, prediction, baseline, seed=seed, confidence=confidence).low
    return _jackknife_low(metric, y, prediction, baseline, n_groups, confidence, seed)


def _n_groups(y: "np.ndarray", prediction: "np.ndarray") -> int:
    n_rarest = rarest_class_rows(y, prediction)
    if n_rarest is None or prediction.shape[1] > 2:
        return N_GROUPS
    return min(N_GROUPS, n_rarest // RAREST_IN_GROUP)


def _jackknife_low(
    metric: "Metric",
    y: "np.ndarray",
    prediction: "np.ndarray",
    baseline: "np.ndarray",
    n_groups: int,
    confidence: float,
    seed: int,
) -> float:
    import numpy as np
    from scipy.special import stdtrit

    sign = 1 if metric.direction == "maximize" else -1

    def gain(rows: "np.ndarray | slice") -> float:
        scores = (metric.score(y[rows], each[rows]) for each in (prediction, baseline))
        return sign * (next(scores) - next(scores))

    order = np.random.default_rng(seed).permutation(len(y))
    if prediction.ndim == 2:
        order = order[np.argsort(y[order], kind="stable")]
    group = np.empty(len(y), np.int8)
    group[order] = np.arange(len(y)) % n_groups
    gains = np.array([gain(np.flatnonzero(group != left_out)) for left_out in range(n_groups)])
    error = float(gains.std()) * (n_groups - 1) ** 0.5
    return gain(slice(None)) - float(stdtrit(n_groups - 1, (1 + confidence) / 2)) * error
