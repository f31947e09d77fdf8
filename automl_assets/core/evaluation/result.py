"""What judging a model on the analysis part found."""

from automl_assets.core.evaluation.comparison import Difference
from automl_assets.core.values import EvaluationReport, MetricEstimate, TaskType, Value

Points = tuple[tuple[float, float], ...]


class Bin(Value):
    """Rows of about equal prediction, and what came true of them."""

    n_rows: int
    predicted: float
    observed: float
    low: float
    high: float


class Cell(Value):
    """Rows that lie close together in a scatter plot."""

    x: float
    y: float
    n_rows: int


class CostAccount(Value):
    """What decisions cost on the analysis part, per 1,000 rows.

    Attributes:
        per_1000: With the threshold that the model has.
        low, high: Interval of it, of the evaluation's confidence.
        at_half: Saying yes from a probability of one half.
        never, always: Without a model.
    """

    currency: str
    per_1000: float
    low: float
    high: float
    at_half: float
    never: float
    always: float


class ClassResult(Value):
    """How well one class is found. Precision is None where it is never predicted."""

    name: str
    n_rows: int
    recall: float
    recall_low: float
    recall_high: float
    precision: float | None
    most_taken_for: str | None


class Evaluation(Value):
    """The winner judged once on the analysis part.

    Attributes:
        confidence: Of all intervals; above 0.95 where the analysis part was opened before.
        n_clusters: Groups or blocks of time that rows are drawn in; None: rows are independent.
        design_effect: How much larger the variance of the mean loss (log loss, or squared
            error) is than if rows were independent; None without clusters.
        metrics: The search's metric first; only it decides.
        baseline: The same metrics of a constant prediction, in the same order.
        baseline_name: What the constant is.
        undefined: One sentence per metric that these rows cannot show.
        difference: Gain over the baseline in the search's metric.
        threshold: Probability from which the positive class is decided on; None: the most
            probable class is.
        cost: Of the decisions, where wrong ones have a cost.
        confusion: Rows by true class and decision; empty for regression.
        calibration: Probability (of the positive class, or of the predicted class) against
            its share of true rows; for regression, prediction against mean target.
        roc: False and true positive rates; binary only.
        precision_recall: Recall and precision; binary only.
        predicted_actual: Prediction (x) against target (y); regression only.
        predicted_residual: Prediction (x) against target - prediction (y); regression only.
        residual_quantiles: Share and residual; regression only.
        verdict: Sentences for a person, the most important first.
    """

    task_type: TaskType
    classes: tuple[str, ...]
    n_rows: int
    seed: int
    confidence: float = 0.95
    n_clusters: int | None = None
    design_effect: float | None = None
    metrics: tuple[MetricEstimate, ...]
    baseline: tuple[MetricEstimate, ...]
    baseline_name: str
    undefined: tuple[str, ...]
    difference: Difference
    threshold: float | None = None
    cost: CostAccount | None = None
    confusion: tuple[tuple[int, ...], ...] = ()
    by_class: tuple[ClassResult, ...] = ()
    calibration: tuple[Bin, ...]
    roc: Points = ()
    precision_recall: Points = ()
    predicted_actual: tuple[Cell, ...] = ()
    predicted_residual: tuple[Cell, ...] = ()
    residual_quantiles: Points = ()
    verdict: tuple[str, ...]

    @property
    def better_than_baseline(self) -> bool:
        """Whether even the bad end of the difference is a gain."""
        return self.difference.is_better

    def as_report(self, *, folder: str, card_sha256: str) -> EvaluationReport:
        """Return what the report of this evaluation passes on."""
        return EvaluationReport(
            card_sha256=card_sha256,
            folder=folder,
            verdict=self.verdict,
            metrics=self.metrics,
            baseline=self.baseline,
            better_than_baseline=self.better_than_baseline,
        )
