"""The sections about what happens to a model after the search: limits, checks, release, service."""

from typing import Annotated, Literal

from pydantic import Field

from automl_assets.core.request.numbers import (
    Amount,
    Count,
    Duration,
    Part,
    Positive,
    Share,
    Switch,
)
from automl_assets.core.request.sections import MetricName, Section
from automl_assets.core.request.text import Column, Memory, Money, Name, Owner

BatchRows = Annotated[int, Field(strict=True, ge=1, le=100_000)]
Threads = Annotated[int, Field(strict=True, ge=1, le=1024)]

_BYTES = {"Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


class LatencyLimit(Section):
    """Limit of the 99th percentile of the latency."""

    max: Positive = Field(description="Milliseconds.")
    batch: BatchRows = Field(default=1, description="Rows of one call.")
    threads: Threads = Field(default=1, description="Threads of one call.")


class UpperLimit(Section):
    """An upper limit."""

    max: Positive = Field(description="Largest value that is admissible.")


class SliceGap(Section):
    """Limit of the difference between slices."""

    metric: MetricName = Field(description="What is compared.")
    by: tuple[Column, ...] = Field(min_length=1, description="Columns whose values are slices.")
    max: Positive = Field(description="Largest difference that is admissible.")


class BeatBaseline(Section):
    """How much better than the baseline a candidate must be."""

    metric: MetricName = Field(description="What is compared.")
    min: Amount = Field(description="Smallest difference that is admissible.")
    confidence: Part = Field(default=0.95, description="Of the interval whose bad end counts.")


class Constraints(Section):
    """Hard limits: a candidate that breaks one cannot win."""

    p99_latency_ms: LatencyLimit | None = Field(default=None, description="Latency in serving.")
    model_size_mb: UpperLimit | None = Field(default=None, description="Size of the model's files.")
    serving_memory_mb: UpperLimit | None = Field(default=None, description="Memory in serving.")
    max_features: Count | None = Field(default=None, description="Number of features.")
    slice_gap: SliceGap | None = Field(default=None, description="Difference between slices.")
    beat_baseline_by: BeatBaseline | None = Field(
        default=None, description="Distance to the baseline."
    )


class Robustness(Section):
    """How inputs are disturbed to see whether decisions flip."""

    jitter: Share = Field(default=0.0, description="Noise, as a share of a feature's spread.")
    missing: Share = Field(default=0.0, description="Share of values that are removed.")
    unseen_category: Switch = Field(default=False, description="Try categories never seen.")


class Explain(Section):
    """How the model is explained."""

    global_: Literal["permutation", "none"] = Field(
        default="permutation", alias="global", description="Importance of features."
    )
    local: Literal["shap", "none"] = Field(
        default="none", description="Explanation of one prediction."
    )
    rows: Count = Field(default=2000, description="Rows that explanations are made from.")


class Resources(Section):
    """What a run may use."""

    cpu: Count | None = Field(default=None, le=100_000, description="Cores.")
    memory: Memory | None = Field(default=None, description="Memory such as 32Gi.")
    gpu: int = Field(default=0, strict=True, ge=0, le=1024, description="Graphics processors.")
    priority: Literal["low", "normal", "high"] = Field(
        default="normal", description="Place in the queue."
    )
    max_cost: Money | None = Field(default=None, description="Largest cost, such as 25 EUR.")

    @property
    def memory_mb(self) -> float | None:
        """Memory in units of a million bytes; None if none is asked for."""
        if self.memory is None:
            return None
        return int(self.memory[:-2]) * _BYTES[self.memory[-2:]] / 1e6


class Approval(Section):
    """Who must agree before the model is used."""

    required: tuple[Owner, ...] = Field(
        min_length=1, max_length=50, description="Groups or people; never the owner."
    )
    before: Literal["register", "challenger", "champion"] = Field(
        default="champion", description="The step that waits."
    )
    expires: Duration | None = Field(default=None, description="How long an approval counts.")


class Deploy(Section):
    """Where the model is served."""

    target: Name = Field(description="Name of the service.")
    as_: Literal["challenger", "champion"] = Field(
        default="challenger", alias="as", description="Role of the new version."
    )
    traffic: Share = Field(default=0.0, description="Share of the calls that it answers.")
    fallback: Literal["champion", "none"] = Field(
        default="champion", description="Who answers when it cannot."
    )


class RetrainWhen(Section):
    """What asks for a new model."""

    data: Literal["new_commit"] | None = Field(default=None, description="New data.")
    drift_psi: Positive | None = Field(default=None, description="Drift of an input (PSI).")
    metric_drop: Positive | None = Field(default=None, description="Loss in the metric.")
    at_most_every: Duration | None = Field(default=None, description="Pause between two requests.")


class Monitor(Section):
    """How the served model is watched."""

    labels_after: Duration | None = Field(
        default=None, description="Time until the truth about a prediction is known."
    )
    retrain_when: RetrainWhen | None = Field(default=None, description="What asks for a new model.")


class Version(Section):
    """How the version of the model is counted."""

    bump: Literal["auto", "major", "minor", "patch"] = Field(
        default="auto", description="Part of the version that grows."
    )
