"""The values that flow between assets: small, frozen, JSON.

Tables live in the snapshot store, models and reports in files and in the
registry, trials in the study's storage; these values only name them.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from automl_assets.core.request import TrainingRequest
from automl_assets.core.request.sections import Data

TaskType = Literal["binary", "multiclass", "regression"]
Part = Literal["train", "validation", "calibration", "analysis"]
ColumnKind = Literal["numeric", "boolean", "categorical", "datetime"]

PARTS: tuple[Part, ...] = ("train", "validation", "calibration", "analysis")

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""Where a profile gives the quantiles of a column."""


class Value(BaseModel):
    """A frozen value that is stored as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=True)


class AcceptedRequest(Value):
    """A request that passed every check of its text, as it was accepted."""

    request_id: str = Field(description="Partition key: `<name>-<first 10 hex of the digest>`.")
    request_sha256: str = Field(description="Digest of the canonical JSON of the request.")
    accepted_at: str = Field(description="UTC, ISO 8601.")
    request: TrainingRequest
    data_commit: str = Field(
        default="", description="What `data.ref` stood for then; empty without a repository."
    )

    @property
    def data(self) -> Data:
        """The request's `data` section, with `ref` resolved to a commit."""
        commit = self.data_commit or None
        return self.request.data.model_copy(update={"commit": self.request.data.commit or commit})


class ColumnProfile(Value):
    """What one column holds.

    `kind` says how a column would be encoded as a feature; it is None where a
    column cannot be one (a constant, an all-null column, free identifiers).
    """

    name: str
    dtype: str
    kind: ColumnKind | None
    n_nulls: int
    n_distinct: int = Field(description="Approximate above 10,000.")
    minimum: str | None = None
    maximum: str | None = None
    mean: float | None = None
    std: float | None = None
    quantiles: tuple[float, ...] = Field(
        default=(), description="At `QUANTILES`, within half a percent of rank; numbers only."
    )
    top: tuple[tuple[str, int], ...] = Field(
        default=(), description="Most frequent texts and their rows, most frequent first."
    )
    holds: str = Field(
        default="",
        description="What the values look like beyond their type: `dates`, `0/1`, `numbers`, "
        "`identifiers`, or nothing.",
    )


class Finding(Value):
    """Something about the data that a person should know before trusting a model.

    `dropped` columns do not become features; `kept` ones were named under
    `features.keep`; `warned` ones stay and are told; `blocked` ones stop the run.
    """

    rule: str = Field(description="For example `single feature`, `personal data`.")
    column: str = Field(default="", description="Empty where it is not about one column.")
    action: Literal["dropped", "kept", "warned", "blocked"]
    value: float | None = Field(default=None, description="The number that the rule looks at.")
    limit: float | None = Field(default=None, description="Where the rule begins.")
    detail: str = Field(description="A sentence with the numbers, and the cure.")


class PeriodCount(Value):
    """The target in one stretch of time."""

    period: str
    n_rows: int
    class_counts: tuple[int, ...] = ()
    mean: float | None = None


class DroppedColumn(Value):
    """A column that does not become a feature, and why."""

    name: str
    reason: str


class TableProfile(Value):
    """What one streaming pass over the snapshot found, and what follows for the task."""

    n_rows: int
    columns: tuple[ColumnProfile, ...]
    task_type: TaskType
    classes: tuple[str, ...] = Field(
        description="Target values as text, in code order; the positive class of a binary task "
        "is last. Empty for regression."
    )
    class_counts: tuple[int, ...] = ()
    features: tuple[str, ...] = Field(description="Columns that become features, in table order.")
    dropped: tuple[DroppedColumn, ...]
    warnings: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = Field(
        default=(), description="Suspected leaks and personal data, with what was done."
    )
    n_duplicates: int = Field(default=0, description="Rows that equal an earlier row.")
    target_over_time: tuple[PeriodCount, ...] = Field(
        default=(), description="Oldest first; empty without data.time."
    )

    def column(self, name: str) -> ColumnProfile:
        """Return the profile of one column."""
        return next(column for column in self.columns if column.name == name)


class RowStep(Value):
    """How many rows were left after one step of reading."""

    step: str
    n_rows: int


class DataSnapshot(Value):
    """A table at one commit of a repository: immutable, and named for ever."""

    repository: str
    commit_id: str
    path: str
    content_sha256: str
    source: str = Field(description="Where the rows came from, as the request names it.")
    source_sha256: str
    rows: tuple[RowStep, ...] = Field(description="Waterfall from the source to the snapshot.")
    profile: TableProfile
    source_commit: str = Field(
        default="", description="Commit of the source, where it is a repository."
    )
    contract_path: str = Field(
        default="", description="Object at the commit that holds the contract, if there is one."
    )

    @property
    def uri(self) -> str:
        """The name of the table, the same on every kind of store."""
        return f"lakefs://{self.repository}/{self.commit_id}/{self.path}"

    @property
    def n_rows(self) -> int:
        """Rows in the snapshot."""
        return self.profile.n_rows


class SplitPart(Value):
    """The rows of one part, as a file of row numbers at the split's commit."""

    part: Part
    n_rows: int
    path: str
    sha256: str
    class_counts: tuple[int, ...] = Field(default=(), description="In class order.")
    target_mean: float | None = Field(default=None, description="Of a regression target.")


class Split(Value):
    """Four disjoint parts that cover the snapshot, and the matrix encoded from them."""

    repository: str
    commit_id: str
    strategy: str
    seed: int
    parts: tuple[SplitPart, ...]
    preprocessing_version: str = Field(description="Digest of the preprocessing code.")
    matrix_id: str = Field(description="Name of the folder that holds the encoded matrix.")
    feature_names: tuple[str, ...]
    n_folds: int = Field(default=0, description="Folds inside train; column `fold` of its rows.")
    findings: tuple[Finding, ...] = Field(
        default=(), description="What the parts share or differ in."
    )

    def part(self, name: Part) -> SplitPart:
        """Return one part."""
        return next(part for part in self.parts if part.part == name)


class Candidate(Value):
    """One finished trial, or the reason why it is none."""

    number: int
    family: str
    params: dict[str, float | int | str | bool | None]
    state: Literal["complete", "pruned", "failed", "not begun"]
    score: float | None = Field(description="On the selection data, in the metric's own unit.")
    cpu_seconds: float | None = None
    n_iterations: int | None = Field(default=None, description="Trees or steps, where it has them.")
    model_bytes: int | None = None
    reason: str = Field(default="", description="Why it lost, or failed.")
    origin: str = Field(
        default="", description="Who proposed it: `baseline`, `portfolio`, `parent`, or a sampler."
    )
    seed: int = 0
    features: str = Field(default="all", description="Name of the feature set that it saw.")
    train_score: float | None = Field(
        default=None, description="On rows it was fitted on; its distance to `score` is the gap."
    )
    curve: tuple[tuple[int, float], ...] = Field(
        default=(), description="(iteration, validation loss) pairs."
    )
    seconds: float | None = Field(default=None, description="Time from start to end of the trial.")
    peak_mb: float | None = Field(default=None, description="Largest memory of its process.")
    io_mb: float | None = Field(default=None, description="Bytes read from and written to disks.")
    measured: dict[str, float] = Field(
        default={}, description="What constraints look at, by the constraint's name."
    )
    violated: dict[str, float] = Field(
        default={},
        description="Broken constraints, each with its distance: 0.1 is a tenth above the limit.",
    )
    truncated: bool = Field(default=False, description="Whether the clock ended its fit.")

    @property
    def is_admissible(self) -> bool:
        """Whether it is complete and breaks no constraint."""
        return self.state == "complete" and not self.violated


class Member(Value):
    """One candidate's share in the model that a search gives back."""

    number: int = Field(description="Trial number.")
    family: str
    params: dict[str, float | int | str | bool | None]
    weight: float
    seed: int
    n_iterations: int | None
    features: str = "all"
    refitted: bool = Field(description="Whether it was fitted again on all rows of the search.")
    more_seeds: tuple[int, ...] = Field(
        default=(), description="Seeds of more fits that it is the mean of."
    )
    with_found: bool = Field(
        default=False, description="Whether it is the mean of the refit and the model as found."
    )


class LeftOut(Value):
    """A model family that a search did not try, and why."""

    family: str
    reason: str


class Contender(Value):
    """A candidate's place on the board."""

    number: int = Field(description="Trial number.")
    score: float = Field(description="On the selection rows, in the metric's own unit.")
    p_best: float = Field(description="Share of resamples of the rows in which it is the best.")
    is_tied: bool = Field(description="Whether it cannot be told apart from the best.")


class Board(Value):
    """How far the scores of a search's best candidates can be believed."""

    metric: str
    direction: Literal["maximize", "minimize"]
    contenders: tuple[Contender, ...] = Field(description="Best score first.")
    naive: float = Field(description="The best score, too good since it was the best of many.")
    corrected: float = Field(description="What the best candidate is worth, bias removed.")
    low: float
    high: float
    confidence: float = Field(default=0.95, description="Of the interval and of the ties.")
    method: str
    seed: int
    n_rows: int = Field(description="Selection rows.")
    n_drawn: int = Field(description="Rows of one resample.")
    by_group: bool = Field(default=False, description="Whether whole groups were resampled.")

    @property
    def best(self) -> Contender:
        """The candidate with the best score."""
        return self.contenders[0]

    @property
    def tied(self) -> tuple[int, ...]:
        """Trial numbers of those that cannot be told apart from the best, itself among them."""
        return tuple(item.number for item in self.contenders if item.is_tied)


class CandidateSet(Value):
    """What the search found: the leaderboard, the winner, and why the others lost."""

    study_name: str
    metric: str
    direction: Literal["maximize", "minimize"]
    seed: int
    leaderboard: tuple[Candidate, ...] = Field(description="Best first; failed ones last.")
    winner: int = Field(description="Trial number of the winner: the member of largest weight.")
    members: tuple[Member, ...] = Field(default=(), description="Largest weight first.")
    score: float | None = Field(
        default=None, description="Of the whole model on the selection data, before any refit."
    )
    prior_score: float | None = Field(
        default=None, description="What no model at all scores on the selection data."
    )
    selection: str = Field(
        default="validation part",
        description="What candidates were compared on: `validation part` or `out of N folds`.",
    )
    left_out: tuple[LeftOut, ...] = ()
    limits: dict[str, float] = Field(default={}, description="Measured constraints: the limits.")
    measured: dict[str, float] = Field(
        default={}, description="What the final model was measured at, by constraint."
    )
    seconds_per_row: float = Field(
        default=0.0, description="CPU seconds to predict one encoded row, among many."
    )
    calibration: str = "none"
    threshold: float | None = Field(
        default=None, description="Probability from which a binary model says yes; None: 0.5."
    )
    notes: tuple[str, ...] = Field(
        default=(), description="What was asked for and could not be done, and why."
    )
    board: Board | None = Field(
        default=None, description="Which candidates are tied; None where nobody could tell."
    )
    select: Literal["best", "simplest_of_tied"] = Field(
        default="best", description="How the winner was chosen."
    )
    artifact: str = Field(description="Folder of the model package.")
    artifact_sha256: str = Field(description="Digest of the package's manifest.")
    ledger_sha256: str = Field(description="Digest of all trials as canonical JSON.")
    stopped_by: Literal["n_trials", "time_limit", "exhausted"]
    seconds: float = Field(description="Time the search used, all attempts together.")
    cpu_seconds: float = Field(default=0.0, description="CPU time of all its processes.")
    peak_mb: float = Field(default=0.0, description="Largest memory of all its processes together.")

    @property
    def best(self) -> Candidate:
        """The winner."""
        return next(item for item in self.leaderboard if item.number == self.winner)

    @property
    def model_family(self) -> str:
        """The family of the model, or the families of an ensemble."""
        if len(self.members) < 2:
            return self.best.family
        return "ensemble of " + ", ".join(dict.fromkeys(item.family for item in self.members))


class MetricEstimate(Value):
    """One metric on one part, with an interval and how it was made."""

    metric: str
    value: float
    low: float
    high: float
    confidence: float = 0.95
    method: str = Field(description="For example `wilson` or `bootstrap, 1000 resamples, seed 0`.")
    n_rows: int


class EvaluationReport(Value):
    """The winner judged once on the analysis part."""

    card_sha256: str = Field(description="Digest of `card.json`.")
    folder: str = Field(description="Folder with report.html, card.json and card.md.")
    verdict: tuple[str, ...] = Field(
        description="Sentences for a person, the most important first."
    )
    metrics: tuple[MetricEstimate, ...] = Field(description="The search's metric first.")
    baseline: tuple[MetricEstimate, ...] = Field(description="The prior's, in the same order.")
    better_than_baseline: bool


class ModelVersion(Value):
    """A version in the model registry."""

    name: str
    version: str = Field(description="The registry's number.")
    aliases: tuple[str, ...]
    mlflow_run_id: str
    artifact_sha256: str
    card_sha256: str
    tags: dict[str, str]
    semver: str = Field(
        default="", description="Such as `1.2.0+data.4c1f2a90`; empty before there were any."
    )
    semver_reason: str = Field(default="", description="What differs from the version before.")
    is_hidden: bool = Field(
        default=False, description="Whether it waits for approval and is found by number only."
    )
