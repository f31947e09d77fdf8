"""Whether a fit is worth its time, by the validation losses that it has shown so far."""

import math
from collections.abc import Callable, Sequence
from functools import cached_property

FEWEST_ITERATIONS, ASKED_EVERY = 16, 8
"""Of a fit that is judged, and how often: a look at 3,000 losses takes 0.1 ms."""

FEWEST_SHARE = 0.125
"""Of what a fit will take, before it is judged. Losses fall slowest at the start where a category
has many levels: a fit on flights came to 0.292, and after 4 % of it 0.297 seemed the best."""

MOST_GROWTH = 1.25
"""How many times as much a doubling may bring as the one before, of a fit that is judged. A fit
that falls ever faster is far from the scale of its predictions, so that its loss says little of how
it ranks."""

SLACK = 2.0
"""So many times the iterations that the time left seems enough for: the next ones may be faster."""

FAR, FAR_ERRORS = 0.05, 2.5
"""How far from the best candidate's loss another one is hardly of use: so large a share of that
loss, or of what it is below the loss without a model, if that is less; and at least so many
standard errors of the loss, since what differs by less may be as good."""


def projected_loss(losses: Sequence[float], n_last: float) -> float | None:
    """Return the lowest loss that a fit may still come to; None while nobody can tell.

    Losses of boosting fall at first faster and then slower than the logarithm of the number of
    iterations grows, as a power of it or sooner flat. So the fall of the last doubling, for as
    many doublings as are to come, is the most there can be; where the doubling before brought
    a little less, each to come is taken to bring as much more again. T. Domhan, J. Springenberg and
    F. Hutter ("Speeding up automatic hyperparameter optimization of deep neural networks by
    extrapolation of learning curves", IJCAI 2015) fit eleven models of curves for the same end.

    Args:
        losses: After each iteration.
        n_last: Iterations that it will end after at the latest.

    Examples:
        >>> projected_loss([1.0, 0.75, 0.5, 0.5], n_last=8)
        0.25
        >>> projected_loss([1.0, 0.9, 0.8, 0.7], n_last=16) is None
        True
    """
    n = len(losses)
    if n < 4:
        return None
    quarter, half, now = (min(losses[: n // part]) for part in (4, 2, 1))
    before, last = quarter - half, half - now
    if now == losses[0] or last > MOST_GROWTH * before:
        return None
    growth = max(1.0, last / before) if before else 1.0
    n_doublings = math.log2(max(1.0, n_last / n))
    # The sum of a geometric series, which needs no whole number of doublings.
    steps = n_doublings if growth == 1 else growth * (growth**n_doublings - 1) / (growth - 1)
    return now - last * steps


def loss_to_beat(best: float, without_model: float, *, standard_error: float = 0.0) -> float:
    """Return the loss above which a candidate is hardly of use.

    Args:
        best: Loss of the best candidate on the same rows.
        without_model: Of the prior.
        standard_error: Of `best`, by the choice of the rows.

    Examples:
        >>> round(loss_to_beat(0.2, 0.7), 3)
        0.21
        >>> round(loss_to_beat(0.86, 0.96), 3)
        0.865
        >>> round(loss_to_beat(0.86, 0.96, standard_error=0.01), 3)
        0.885
    """
    share = FAR * max(0.0, min(best, without_model - best))
    return best + max(share, FAR_ERRORS * standard_error)


class Outlook:
    """Judges one fit, between its iterations.

    Args:
        bar: Gives `loss_to_beat`; asked once, by a fit that tells its losses.
        clock: Counts seconds.
        until: When the fit ends at the latest, by that clock; infinite without a limit.

    Attributes:
        projection: The lowest loss that it could have come to, once that is above the bar.
    """

    def __init__(
        self, bar: Callable[[], float], *, clock: Callable[[], float], until: float
    ) -> None:
        self.projection: float | None = None
        self._find_bar, self._clock, self._until = bar, clock, until
        self._first: tuple[int, float] | None = None

    @cached_property
    def bar(self) -> float:
        """The loss that the fit has to come to."""
        return self._find_bar()

    def is_hopeless(self, losses: Sequence[float], n_most: int) -> bool:
        """Tell whether the fit will stay above the bar whatever comes, as `FitOptions` asks it."""
        n, now = len(losses), self._clock()
        if self._first is None:
            # What came before the first iteration says nothing of how long the next ones take.
            self._first = n, now
        if n < FEWEST_ITERATIONS or n % ASKED_EVERY:
            return False
        n_last = min(float(n_most), n + SLACK * self._still(n, now))
        if n < FEWEST_SHARE * n_last:
            return False
        projection = projected_loss(losses, n_last)
        if projection is None or not projection > self.bar:
            return False
        self.projection = projection
        return True

    def _still(self, n: int, now: float) -> float:
        """Return how many iterations there seems to be time for."""
        n_first, first = self._first or (n, now)
        return (n - n_first) * max(0.0, self._until - now) / max(now - first, 1e-9)
