"""Time as the search's scarcest good: what is left, and what a trial will take."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median

from automl_assets.core.families import DataShape, Params, load_families
from automl_assets.core.search.plan import SearchPlan
from automl_assets.core.search.trial import Job, TrialResult

MAX_TRIAL_SHARE = 0.3
"""No trial takes more of the whole budget: one slow family must not be the whole search."""

BASELINE_SHARE = 0.35
"""The same for plain defaults: the result should not be worse than theirs."""

FIRST_TRIAL_SHARE = 0.08
"""The first trial leaves a model within a tenth of the budget."""

FIRST_MODEL_SECONDS = 10.0
"""How long after the time limit a search may go on as long as it has no model: one that is late
is better than none."""

FIRST_ROW_SHARE = 1 / 16
"""Of the rows, what the very first candidate sees at least: without it there is no model."""

COST_SHARES = (0.05, 0.2)
"""Shares of the time that candidates are told apart by: those that take less are tried before those
that take more. On 150,000 rows and 240 s two slow ones took half of the time and lost; a third, of
10 s, was never begun."""

REFIT_SLACK = 1.1
"""A refit starts if so many times what it is expected to take is left."""

RESERVE_SLACK = 1.25
"""For a refit, so many times what it is expected to take is kept back."""

SLACK = 1.3
"""A trial starts if so many times what it is expected to take is left."""


SPENDING_SECTIONS = 4
"""Sections of the evaluation that take what a section may: explanations, robustness, fits with
other seeds, and the learning curve."""


def seconds_after_search(n_analysis_rows: int, n_features: int, *, section_seconds: float) -> float:
    """Return what the evaluation, the report and the registration are given of the time limit.

    On one core of about 3 GHz: 4 s to load the libraries of an ensemble, of pictures and of the
    registry, 1 s for the intervals of 3,000 rows, 2.5 s for a process that serves, 1 s for pictures
    and the report, 1.5 s for the registry, 1.5 s for the record of the trials, which is written
    beside; a million rows take 8.5 s and their prediction.

    Args:
        section_seconds: What one section of the evaluation may take.
    """
    fixed = 11.5 + 1.5e-5 * n_analysis_rows + 0.005 * n_features
    return fixed + SPENDING_SECTIONS * section_seconds


class Budget:
    """The time of a search, counted by a clock that only goes forward.

    Args:
        limit: Seconds in all; None: no limit.
        used_before: What earlier attempts used.
        clock: Seconds from any origin; a clock of CPU time works as well.
    """

    def __init__(
        self, limit: float | None, *, used_before: float, clock: Callable[[], float]
    ) -> None:
        self.limit = limit
        self._used_before = used_before
        self._clock = clock
        self._started = clock()

    def used(self) -> float:
        """Return the seconds used so far, all attempts together."""
        return self._used_before + self._clock() - self._started

    def left(self) -> float:
        """Return the seconds that are left; infinite without a limit."""
        return float("inf") if self.limit is None else self.limit - self.used()


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What one fit took.

    Attributes:
        expected: By the family's own cost model, for all its folds.
        seconds: What it took.
        truncated: Whether it was cut short: it would have taken longer.
    """

    family: str
    expected: float
    seconds: float
    truncated: bool = False


class CostModel:
    """What trials take, learned from what trials took.

    A family's own model says how its time grows; the machine and the data say
    how fast it runs here: the median ratio of what was seen to what was
    expected, of the family or else of all families.
    """

    def __init__(self, observations: Iterable[Observation]) -> None:
        ratios: dict[str, list[float]] = defaultdict(list)
        for item in observations:
            ratio = item.seconds / max(item.expected, 1e-6)
            ratios[item.family].append(max(1.0, 2 * ratio) if item.truncated else ratio)
        self._ratios = {family: median(values) for family, values in ratios.items()}

    def ratio(self, family: str) -> float:
        """Return how many times slower than expected a family is here."""
        if family in self._ratios:
            return self._ratios[family]
        return median(self._ratios.values()) if self._ratios else 1.0

    def seconds(
        self, family: str, params: Params, shape: DataShape, *, n_fits: int = 1, n_threads: int = 1
    ) -> float:
        """Return about how many seconds `n_fits` fits take."""
        alone = load_families()[family].expected_seconds(shape, params) * n_fits / n_threads
        return alone * self.ratio(family)


class Stopwatch:
    """How long a run has taken, from its first step on.

    Args:
        clock: Seconds from any origin; a clock of CPU time works as well.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._started: float | None = None

    def start(self) -> None:
        """Count from now on."""
        self._started = self._clock()

    def seconds(self) -> float:
        """Return the seconds since the start; 0 if there was none."""
        return 0.0 if self._started is None else self._clock() - self._started


def refit_seconds(job: Job, result: TrialResult, plan: SearchPlan, *, growth: float) -> float:
    """Return how long the fit of a candidate for the final model takes, on all threads.

    Args:
        growth: Rows of that fit, as a multiple of those of the trial's fits.
    """
    per_fit = result.fit_seconds / max(1, len(result.fold_scores))
    return per_fit * growth * faster_alone(job.family, plan)


def faster_alone(family: str, plan: SearchPlan) -> float:
    """Return what a fit takes on the threads of all workers, as a share of what it takes on one's.

    No other fit runs beside those of the final model. CPU seconds do not get fewer, and a fit on
    a graphics processor is not divided among threads.
    """
    found = load_families()[family]
    if plan.clock == "cpu" or (plan.use_gpu and found.gpu):
        return 1.0
    alone, beside = (
        found.share_of_seconds(plan.useful_threads(n_threads))
        for n_threads in (plan.n_threads * plan.n_workers, plan.n_threads)
    )
    return alone / beside
