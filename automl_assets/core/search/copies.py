"""Members of the final model fitted again with other seeds, while time is left for it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from automl_assets.core.families import FittedModel, load_families
from automl_assets.core.search.assembly import Part
from automl_assets.core.search.budget import REFIT_SLACK
from automl_assets.core.search.trial import Job

MAX_COPIES = 3
"""Fits of one member with different seeds, whose mean is taken while time is left: the mean of
three is less random than one. Each costs the latency and size of one more."""

LEAST_COPY_GAIN = 0.03
"""Of the variance that one random fit of each member leaves in the mean, what one more fit takes
away at least: copies of a member with a tenth of the weight cost latency and are not seen."""

COPIES_SECONDS_PER_ROW = 1e-4
"""With its copies a model predicts 1,000 rows in a tenth of a second; a slower one gets none."""

FINISH_SECONDS = 0.5
"""What writing the final model takes at least."""


@dataclass(frozen=True, kw_only=True)
class Copier:
    """Fits members again with other seeds.

    Attributes:
        fit: Fits a job on all rows, with so many iterations.
        seconds_per_row: What predicting a row takes with one fit of a job.
        seconds_left: Until the deadline of the final model, if it predicts a row in so many
            seconds.
        seconds_per_model: What it takes to calibrate, write and measure one fit.
    """

    fit: Callable[[Job, int | None], FittedModel]
    seconds_per_row: Callable[[Job], float]
    seconds_left: Callable[[float], float]
    seconds_per_model: float

    def copied(self, parts: Sequence[Part]) -> list[Part]:
        """Return the parts with their copies.

        The next one is where a second of fitting lowers the variance of the mean most.
        """
        parts = list(parts)
        random = [part for part in parts if _is_random(part)]
        whole = sum(part.weight**2 for part in random)
        while True:
            gains = {
                place: self._gain(part, parts, whole) / max(part.seconds, 1e-3)
                for place, part in enumerate(parts)
            }
            place = max(gains, key=lambda item: gains[item])
            if gains[place] <= 0:
                return parts
            part = self._copy(parts[place])
            if self.seconds_left(self._row_seconds(parts)) <= 0:
                return parts
            parts[place] = part

    def _gain(self, part: Part, parts: Sequence[Part], whole: float) -> float:
        """Return what one more fit of a part is worth; 0 if it may have none."""
        if not _is_random(part) or len(part.seeds) >= MAX_COPIES:
            return 0.0
        row_seconds = self._row_seconds(parts) + self.seconds_per_row(part.job)
        if row_seconds > COPIES_SECONDS_PER_ROW:
            return 0.0
        n_models = 1 + sum(len(item.models) for item in parts)
        finish = max(FINISH_SECONDS, n_models * self.seconds_per_model)
        if self.seconds_left(row_seconds) - finish < REFIT_SLACK * part.seconds:
            return 0.0
        gain = variance_gain(part.weight, len(part.seeds))
        return gain if gain >= LEAST_COPY_GAIN * whole else 0.0

    def _row_seconds(self, parts: Sequence[Part]) -> float:
        return math.fsum(len(part.models) * self.seconds_per_row(part.job) for part in parts)

    def _copy(self, part: Part) -> Part:
        job, n_fits = part.job, len(part.seeds)
        seed = copy_seed(job.seed, n_fits)
        model = self.fit(job.model_copy(update={"seed": seed}), part.n_iterations)
        # The model as found, if it is among them, stays last.
        models = (*part.models[:n_fits], model, *part.models[n_fits:])
        return replace(part, models=models, seeds=(*part.seeds, seed))


def _is_random(part: Part) -> bool:
    """Tell whether another seed makes another model."""
    return part.refitted and load_families()[part.job.family].is_random(part.job.params)


def variance_gain(weight: float, n_fits: int) -> float:
    """Return by how much one more fit of a member lowers the variance of a weighted mean.

    The variance of the mean of n fits that differ by their seeds alone is one n-th of one's.

    Args:
        weight: Of the member in the mean.
        n_fits: That it has.

    Examples:
        >>> variance_gain(0.5, 1)
        0.125
    """
    return weight**2 * (1 / n_fits - 1 / (n_fits + 1))


def copy_seed(seed: int, number: int) -> int:
    """Return the seed of one more fit of a member."""
    return (seed + 7919 * number) % 2**31
