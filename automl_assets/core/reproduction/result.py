"""What a reproduction found, and how equal is equal."""

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from automl_assets.core.evaluation.comparison import Difference
from automl_assets.core.values import Value

Level = Literal["identical", "equal within 1e-9", "statistically equal", "failed"]

LEVELS: tuple[Level, ...] = ("identical", "equal within 1e-9", "statistically equal", "failed")
"""From the strongest to the weakest."""

CheckName = Literal["records", "data", "feature sets", "probe set", "metrics", "search"]


def weakest(levels: Iterable[Level]) -> Level:
    """Return the level that all of some reach; identical where there are none.

    Examples:
        >>> weakest(["identical", "statistically equal", "equal within 1e-9"])
        'statistically equal'
    """
    found: Level = "identical"
    for level in levels:
        found = level if LEVELS.index(level) > LEVELS.index(found) else found
    return found


def level_title(level: Level) -> str:
    """Return a level as people read it.

    Examples:
        >>> level_title("identical"), level_title("equal within 1e-9")
        ('IDENTICAL', 'equal within 1e-9')
    """
    return level.upper() if level in ("identical", "failed") else str(level)


class Check(Value):
    """One thing that was looked at, with its level and what a person reads about it."""

    name: CheckName
    level: Level
    text: str
    differences: tuple[str, ...] = Field(
        default=(), description="Each thing that differs, in a sentence."
    )


class EnvironmentDifference(Value):
    """One thing that the numbers may depend on and that is not as it was recorded."""

    name: str
    recorded: str = Field(description="Empty where nothing was recorded.")
    now: str = Field(description="Empty where it is not here.")


class FirstDifference(Value):
    """The first prediction that differs."""

    row: int = Field(description="Row number in the data snapshot.")
    column: str
    recorded: float
    found: float


class ProbeComparison(Value):
    """The predictions of the probe rows, as recorded and of the model that was fitted again."""

    level: Level
    n_rows: int
    recorded_sha256: str
    found_sha256: str
    n_different: int = Field(default=0, description="Rows where any number differs.")
    largest: float = Field(default=0.0, description="The largest difference of two numbers.")
    first: FirstDifference | None = None
    agreement: float = Field(
        default=1.0,
        description="Share of rows with the same decision; of a number, within a thousandth of "
        "the target's standard deviation.",
    )
    difference: Difference | None = Field(
        default=None,
        description="Gain of the new model in the search's metric, paired by row; None where "
        "the predictions are equal, or the metric is undefined for these rows.",
    )
    note: str = Field(default="", description="Why there is no paired difference.")


class MetricComparison(Value):
    """One number of the card, and the same of the model that was fitted again."""

    metric: str
    level: Level
    recorded: float
    found: float


class TrialComparison(Value):
    """A trial whose score is not the one of the ledger to the bit."""

    number: int
    family: str
    level: Level
    recorded: float
    found: float


class ReproductionReport(Value):
    """What became of a registered version when it was made again from its records alone.

    Attributes:
        level: The weakest of all checks.
        checks: In the order in which they were made; after one that failed before the fit
            no model was fitted.
        seconds: Of what was done, by name.
    """

    name: str
    version: str
    at: str = Field(description="UTC, ISO 8601.")
    level: Level
    sentence: str = Field(description="The result in words.")
    checks: tuple[Check, ...]
    environment: tuple[EnvironmentDifference, ...]
    probe: ProbeComparison | None = None
    metrics: tuple[MetricComparison, ...] = ()
    n_trials: int = Field(description="Trials of the ledger that can be run again.")
    n_replayed: int = 0
    trials: tuple[TrialComparison, ...] = Field(
        default=(), description="The first that differ, at most `MAX_TRIALS`."
    )
    request_id: str
    data_commit: str
    seed: int
    card_sha256: str
    model_sha256: str = Field(description="Digest of the registered package.")
    refitted_sha256: str = Field(
        default="",
        description="Digest of the package made now; libraries may write the same model in "
        "other bytes.",
    )
    seconds: dict[str, float] = Field(default={})

    @property
    def failed(self) -> bool:
        """Whether the version could not be made again."""
        return self.level == "failed"


MAX_TRIALS = 20
