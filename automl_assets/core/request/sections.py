"""The sections of a training request, one frozen model each.

Here is only the shape: keys, types, bounds, defaults. What must hold between
keys, and what this version does not act on yet, is in `rules`.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from automl_assets.core.request.numbers import (
    Amount,
    Count,
    Duration,
    Moment,
    Number,
    Part,
    Scalar,
    Seed,
    Switch,
)
from automl_assets.core.request.text import (
    Column,
    Currency,
    Line,
    Name,
    Parameter,
    Sha256,
    problem,
    shown,
)

Family = Column
Folds = Annotated[int, Field(strict=True, ge=2, le=20)]
MetricName = Column

DEFAULT_REF = "main"
"""Branch of a repository when a request names none."""

DEFAULT_TIME_LIMIT = 120.0
"""Seconds of search when a request names neither trials nor time."""


class Section(BaseModel):
    """A frozen part of the request; a key it does not know is an error."""

    # defer_build: only the whole request is built, once, which keeps parsing fast. For the
    # same reason defaults are made by model_construct: it needs no validator.
    model_config = ConfigDict(
        frozen=True, extra="forbid", serialize_by_alias=True, defer_build=True
    )


class Features(Section):
    """Which columns become features."""

    include: tuple[Column, ...] = Field(
        default=("*",),
        min_length=1,
        max_length=5000,
        description="Column names or patterns such as `usage_*`.",
    )
    exclude: tuple[Column, ...] = Field(
        default=(),
        max_length=5000,
        description="Column names or patterns that never become features; wins over include.",
    )
    keep: tuple[Column, ...] = Field(
        default=(),
        max_length=5000,
        description="Columns that stay features although they look like a leak, an identifier or "
        "personal data: they are known before the prediction, and may be used.",
    )


class Sample(Section):
    """A random sample of the rows."""

    max_rows: Count | None = Field(default=None, description="Keep at most this many rows.")
    seed: Seed | None = Field(
        default=None, description="Decides which rows are kept. Default: the seed of the request."
    )


class Rows(Section):
    """Which rows are used."""

    from_: Moment | None = Field(
        default=None, alias="from", description="First moment of data.time, inclusive."
    )
    until: Moment | None = Field(
        default=None, description="Moment of data.time at which to stop, exclusive."
    )
    where: Line | None = Field(
        default=None,
        description="A predicate over columns, such as `tenure_days >= 30 AND plan IN ('a', 'b')`.",
    )
    duplicates: Literal["keep", "drop"] = Field(
        default="keep",
        description="What to do about rows that equal an earlier row in every column that is kept.",
    )
    sample: Sample = Field(
        default=Sample.model_construct(), description="Keep a random part of the rows."
    )


class Privacy(Section):
    """What happens to personal data."""

    pii: Literal["block", "warn", "allow"] = Field(
        default="warn", description="What to do about columns that hold personal data."
    )
    k_anonymity: Count | None = Field(
        default=None, description="Groups of fewer rows are merged in reports."
    )


class Data(Section):
    """Where the rows are and what the columns mean."""

    path: Line | None = Field(
        default=None,
        description="A CSV, TSV, Parquet or NDJSON file, a pattern such as `sales/*.parquet`, or a "
        "partitioned folder, in one of the folders that the operator allows; or a URL (https, s3, "
        "gs) below one that the operator allows.",
    )
    connection: Name | None = Field(
        default=None, description="A database that the operator has named; `table` names the table."
    )
    repository: Name | None = Field(default=None, description="Repository of the snapshot store.")
    ref: Line | None = Field(
        default=None,
        description="Branch, tag or commit; resolved once to `commit`. Default: main.",
    )
    commit: Sha256 | None = Field(
        default=None, description="The commit that `ref` stood for when the request was accepted."
    )
    table: Line | None = Field(
        default=None,
        description="Parquet file or folder in the repository, or `schema.table` of the database.",
    )
    sha256: Sha256 | None = Field(
        default=None,
        description="Digest of the source file; a file that changed since is refused.",
    )
    target: Column = Field(description="Column to predict.")
    positive: Scalar | None = Field(
        default=None, description="Value of the target that counts as positive (binary tasks)."
    )
    id: Column | None = Field(
        default=None,
        description="Names a row; never a feature, carried through to the predictions.",
    )
    time: Column | None = Field(
        default=None, description="Time of a row; splits then respect the order of time."
    )
    group: Column | None = Field(
        default=None, description="Rows of one group never straddle two parts of the split."
    )
    available_at: dict[Column, Column] = Field(
        default={}, description="Column -> column with the time from which it is known."
    )
    features: Features = Field(
        default=Features.model_construct(), description="Which columns become features."
    )
    rows: Rows = Field(default=Rows.model_construct(), description="Which rows are used.")
    expect: Line | None = Field(
        default=None, description="File with the data contract: what the columns must hold."
    )
    privacy: Privacy | None = Field(default=None, description="What happens to personal data.")


class Split(Section):
    """How the rows become four disjoint parts."""

    strategy: Literal["time", "group", "random", "column"] | None = Field(
        default=None,
        description="How rows are dealt out. Default: time if data.time is given, else group if "
        "data.group is, else random.",
    )
    column: Column | None = Field(
        default=None,
        description="For strategy `column`: holds train, validation, calibration or analysis in "
        "each row; never a feature.",
    )
    folds: Folds = Field(default=5, description="Folds inside train, for out-of-fold encodings.")
    validation: Part = Field(default=0.15, description="Share that the search is scored on.")
    calibration: Part = Field(default=0.10, description="Share that probabilities are tuned on.")
    analysis: Part = Field(
        default=0.15, description="Share that is opened once, when the winner is known."
    )

    @property
    def train(self) -> float:
        """Share that models are fitted on: what the other three leave."""
        # Rounded because 0.15 + 0.10 + 0.15 is not exactly 0.4 in binary.
        return round(1 - self.validation - self.calibration - self.analysis, 12)


class Cost(Section):
    """What wrong decisions cost; picks the threshold."""

    false_positive: Amount = Field(description="Cost of one false alarm.")
    false_negative: Amount = Field(description="Cost of one miss.")
    currency: Currency = Field(default="EUR", description="Currency code.")


class Task(Section):
    """What is learned and how it is judged."""

    type: Literal["binary", "multiclass", "regression", "auto"] = Field(
        default="auto", description="Kind of learning problem; auto looks at the target."
    )
    metric: MetricName | None = Field(
        default=None,
        description="What the search optimises. Default: roc_auc (binary), "
        "log_loss (multiclass), rmse (regression).",
    )
    report: tuple[MetricName, ...] = Field(
        default=(), max_length=50, description="Metrics to report beside it."
    )
    cost: Cost | None = Field(default=None, description="What wrong decisions cost.")


class Range(Section):
    """Bounds of one hyperparameter."""

    low: Number = Field(description="Smallest value.")
    high: Number = Field(description="Largest value.")
    log: Switch = Field(default=False, description="Draw on a logarithmic scale.")


class Preprocessing(Section):
    """What happens to features before the fit."""

    redundancy: Literal["pca", "correlation", "none"] = Field(
        default="none", description="How features that say the same are reduced."
    )
    feature_selection: Literal["permutation", "none"] = Field(
        default="none", description="How features without effect are found."
    )


def _as_sets(groups: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    """Return sets of columns in one spelling: their order has no meaning."""
    for columns in groups:
        twice = next((name for name in columns if columns.count(name) > 1), None)
        if twice is not None:
            raise problem("sets", f"a set names a column once; found {shown(twice)} twice")
    return tuple(sorted({tuple(sorted(columns)) for columns in groups}))


ColumnSet = Annotated[tuple[Column, ...], Field(min_length=1, max_length=5000)]


class Model(Section):
    """Which models may be built."""

    families: tuple[Family, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=50,
        description="Model families to try. Default: those that suit most data.",
    )
    fix: dict[Parameter, Scalar] = Field(
        default={}, description="Hyperparameters with a fixed value."
    )
    search: dict[Parameter, Range] = Field(
        default={}, description="Bounds that replace a family's own."
    )
    max_depth: Count | None = Field(
        default=None, le=1000, description="Most splits from the root of a tree to a leaf."
    )
    max_leaves: Count | None = Field(default=None, ge=2, description="Most leaves of a tree.")
    max_trees: Count | None = Field(
        default=None, description="Most trees of the model, those of all classes together."
    )
    monotonic: dict[Column, Literal["increasing", "decreasing"]] = Field(
        default={}, description="Features whose effect has one direction."
    )
    interactions: Annotated[tuple[ColumnSet, ...], AfterValidator(_as_sets)] = Field(
        default=(),
        max_length=1000,
        description="Sets of columns: two columns may act together only inside one set, and a "
        "column in no set acts alone.",
    )
    interpretable_only: Switch = Field(
        default=False, description="Try only families whose models a person can read."
    )
    preprocessing: Preprocessing = Field(
        default=Preprocessing.model_construct(),
        description="What happens to features before the fit.",
    )
    calibration: Literal["isotonic", "sigmoid", "temperature", "none"] = Field(
        default="none", description="How probabilities are calibrated."
    )


class Search(Section):
    """How long and how the search looks for models; the first limit reached ends it."""

    sampler: Literal["grid", "random", "tpe"] = Field(
        default="tpe", description="Who proposes hyperparameters."
    )
    n_trials: Count | None = Field(
        default=None,
        le=100_000,
        description="Number of trials. With one worker, the default without time_limit, every "
        "run proposes the same trials.",
    )
    time_limit: Duration | None = Field(
        default=None,
        description="Limit such as 90s, 30m, 3h or 7d, or seconds. Default: 2m if n_trials is "
        "not given either, else none.",
    )
    workers: Count | None = Field(
        default=None,
        le=1024,
        description="Trials at the same time. Default: 4, or fewer if the operator allows fewer "
        "or the rows are very many; 1 without a time limit.",
    )
    select: Literal["best", "simplest_of_tied"] = Field(
        default="best", description="Which of the best candidates wins."
    )
    ensemble: Literal["greedy", "none"] = Field(
        default="greedy", description="Whether the best candidates are combined into one model."
    )

    @property
    def effective_time_limit(self) -> float | None:
        """Seconds after which the search ends; None if only a number of trials ends it."""
        if self.time_limit is None and self.n_trials is None:
            return DEFAULT_TIME_LIMIT
        return self.time_limit
