"""Is one model better than another? Decided on the same rows, by the difference."""

from typing import TYPE_CHECKING

from automl_assets.core.evaluation.confusion import rarest_class_rows
from automl_assets.core.evaluation.intervals import (
    delong_interval,
    delong_name,
    mean_interval,
    placements_error,
    placements_freedom,
    rarer_worth,
)
from automl_assets.core.evaluation.ranking import placements
from automl_assets.core.evaluation.resampling import (
    Interval,
    bootstrap_interval,
    skewed_ends,
    student,
)
from automl_assets.core.values import Value

if TYPE_CHECKING:
    import numpy as np

    from automl_assets.core.metrics import Metric


class Difference(Value):
    """How much one set of predictions is better than another on the same rows.

    `gain` is positive where the first is better, whatever the metric's direction.
    """

    metric: str
    gain: float
    low: float
    high: float
    confidence: float
    method: str

    @property
    def is_better(self) -> bool:
        """Whether even the bad end of the interval is a gain."""
        return self.low > 0

    @property
    def is_worse(self) -> bool:
        """Whether even the good end of the interval is a loss."""
        return self.high < 0


def compare(
    metric: "Metric",
    y_true: "np.ndarray",
    prediction: "np.ndarray",
    reference: "np.ndarray",
    *,
    seed: int,
    confidence: float = 0.95,
    groups: "np.ndarray | None" = None,
) -> Difference:
    """Estimate the gain of `prediction` over `reference`, paired by row.

    Args:
        metric: Decides what is compared.
        y_true: As `Metric.score` takes it; at least two rows.
        prediction: As `Metric.score` takes it.
        reference: Other predictions of the same rows.
        seed: Decides the resamples of a bootstrap.
        confidence: Share of intervals made like this that hold the truth.
        groups: Cluster of each row, as `clusters_of` returns it; None: rows are independent.

    Raises:
        ContractError: The metric is undefined for these rows.
    """
    sign = 1 if metric.direction == "maximize" else -1

    def gain(rows: "np.ndarray | slice") -> float:
        y = y_true[rows]
        return sign * (metric.score(y, prediction[rows]) - metric.score(y, reference[rows]))

    terms = [metric.row_losses(y_true, p) for p in (prediction, reference) if metric.row_losses]
    if metric.interval == "delong":
        scores = prediction[:, 1], reference[:, 1]
        interval = _delong_difference(y_true, scores, confidence, groups)
    elif terms and all(len(of_rows) == len(y_true) for of_rows in terms):
        interval = mean_interval(sign * (terms[0] - terms[1]), confidence, groups)
    else:
        interval = bootstrap_interval(
            gain,
            len(y_true),
            seed=seed,
            confidence=confidence,
            n_rarest=rarest_class_rows(y_true, prediction),
            groups=groups,
            bounds=metric.gain_range,
        )
    low, high, method = interval
    return Difference(
        metric=metric.name,
        gain=gain(slice(None)),
        low=low,
        high=high,
        confidence=confidence,
        method=f"paired, {method}",
    )


def _delong_difference(
    y_true: "np.ndarray",
    scores: "tuple[np.ndarray, np.ndarray]",
    confidence: float,
    groups: "np.ndarray | None",
) -> Interval:
    """Return DeLong's interval of the difference of two areas on the same rows."""
    ours, theirs = (placements(y_true, score) for score in scores)
    area, other = float(ours[0].mean()), float(theirs[0].mean())
    varies = all(bool(values.std() > 0) for values in (*ours, *theirs))
    if varies and rarer_worth(y_true, groups) >= 2:
        between = ours[0] - theirs[0], ours[1] - theirs[1]
        error, pulls = placements_error(y_true, between, groups)
        reach = student(confidence, placements_freedom(y_true, groups))
        low, high = skewed_ends(area - other, error=error, reach=reach, pulls=pulls)
        return Interval(max(-1.0, low), min(1.0, high), delong_name(groups))
    # A constant or perfect ranking has no variance to pair: join the two intervals, as
    # Newcombe does for shares (MOVER).
    a, b = (delong_interval(y_true, values, confidence, groups) for values in scores)
    down = ((area - a.low) ** 2 + (b.high - other) ** 2) ** 0.5
    up = ((a.high - area) ** 2 + (other - b.low) ** 2) ** 0.5
    return Interval(area - other - down, area - other + up, f"Newcombe, from {a.method}")
