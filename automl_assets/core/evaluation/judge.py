"""Judging the winner, once, on the analysis part."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from automl_assets.core.errors import ContractError, RequestError
from automl_assets.core.evaluation import curves
from automl_assets.core.evaluation.clusters import dense_codes, design_effect, n_clusters_of
from automl_assets.core.evaluation.comparison import compare
from automl_assets.core.evaluation.confusion import decided, decided_labels, label_counts
from automl_assets.core.evaluation.costs import account
from automl_assets.core.evaluation.intervals import estimate
from automl_assets.core.evaluation.result import Evaluation
from automl_assets.core.evaluation.verdict import sentences
from automl_assets.core.metrics import Metric, load_metrics
from automl_assets.core.values import MetricEstimate, TaskType

if TYPE_CHECKING:
    import numpy as np

    from automl_assets.core.request.sections import Cost

OF_DECISIONS = frozenset(
    {"accuracy", "balanced_accuracy", "f1", "f1_macro", "mcc", "precision", "recall"}
)
"""Metrics that look at decisions, not at probabilities."""


def seen_by(metric: Metric, prediction: "np.ndarray", threshold: float | None) -> "np.ndarray":
    """Return predictions as a metric is to see them: probabilities, or decisions.

    Args:
        threshold: Probability from which the positive class is decided on; None: the most
            probable class is.
    """
    if metric.name in OF_DECISIONS and threshold is not None:
        return decided(prediction, threshold)
    return prediction


@dataclass(frozen=True, kw_only=True)
class JudgeInput:
    """Predictions of the analysis part and what is needed to judge them.

    Attributes:
        classes: Names in code order, the positive one of a binary task last; empty for
            regression.
        y_true: Class codes or values of the analysis part, `(n_samples,)`.
        prediction: Probabilities `(n_samples, n_classes)` or values `(n_samples,)`.
        y_train: Codes or values of the train part: the baseline is made from them.
        metric: What the search optimised.
        report: Further metrics; by default all of the task.
        seed: Decides the resamples of bootstraps.
        threshold: Probability from which the positive class is decided on; None: the most
            probable class is.
        cost: What wrong decisions cost; binary only.
        groups: Cluster of each row of the analysis part, as `clusters_of` returns it; None:
            rows are independent.
        confidence: Of all intervals.
    """

    task_type: TaskType
    classes: tuple[str, ...]
    y_true: "np.ndarray"
    prediction: "np.ndarray"
    y_train: "np.ndarray"
    metric: str
    report: tuple[str, ...] = ()
    seed: int = 0
    threshold: float | None = None
    cost: "Cost | None" = None
    groups: "np.ndarray | None" = None
    confidence: float = 0.95

    def seen_by(self, metric: Metric, prediction: "np.ndarray") -> "np.ndarray":
        """Return predictions as a metric is to see them: probabilities, or decisions."""
        return seen_by(metric, prediction, self.threshold)


def judge(judged: JudgeInput) -> Evaluation:
    """Score predictions with intervals, beside a constant prediction on the same rows.

    Raises:
        ContractError: Predictions are not finite or do not fit the rows, or the search's
            metric is undefined for them.
        RequestError: A metric is not one of the task.
    """
    _check(judged)
    metrics = _metrics(judged)
    baseline_name, baseline = _baseline(judged, metrics[0])
    scored, undefined = _estimates(judged, metrics, baseline)
    ours, theirs = (judged.seen_by(metrics[0], p) for p in (judged.prediction, baseline))
    sampling = {"confidence": judged.confidence, "groups": judged.groups}
    difference = compare(metrics[0], judged.y_true, ours, theirs, seed=judged.seed, **sampling)
    evaluation = Evaluation(
        task_type=judged.task_type,
        classes=judged.classes,
        n_rows=len(judged.y_true),
        seed=judged.seed,
        confidence=judged.confidence,
        n_clusters=None if judged.groups is None else n_clusters_of(dense_codes(judged.groups)),
        design_effect=_design_effect(judged),
        metrics=tuple(ours for ours, _ in scored),
        baseline=tuple(theirs for _, theirs in scored),
        baseline_name=baseline_name,
        undefined=tuple(undefined),
        difference=difference,
        threshold=judged.threshold,
        cost=account(judged.y_true, judged.prediction, judged.threshold, judged.cost, **sampling),
        verdict=(),
        **_figures(judged),
    )
    return evaluation.model_copy(update={"verdict": sentences(evaluation, metrics[0].label)})


def _design_effect(judged: JudgeInput) -> float | None:
    """Return the design effect of the mean log loss, or of the mean squared error."""
    if judged.groups is None:
        return None
    row_losses = load_metrics()["log_loss"].row_losses
    if not judged.classes or row_losses is None:
        return design_effect((judged.y_true - judged.prediction) ** 2, judged.groups)
    return design_effect(row_losses(judged.y_true, judged.prediction), judged.groups)


def _check(judged: JudgeInput) -> None:
    import numpy as np

    y_true, prediction = judged.y_true, judged.prediction
    expected = (len(y_true), len(judged.classes)) if judged.classes else (len(y_true),)
    if prediction.shape != expected:
        raise ContractError(
            f"Predictions of the analysis part must have the shape {expected}, but have "
            f"{prediction.shape}. The model does not fit the split; run the search again."
        )
    n_bad = int((~np.isfinite(prediction.reshape(len(y_true), -1)).all(axis=1)).sum())
    if n_bad:
        raise ContractError(
            f"Predictions must be finite numbers, but those of {n_bad:,} of {len(y_true):,} rows "
            "are not. The model has diverged; exclude its family or search longer."
        )


def _metrics(judged: JudgeInput) -> list[Metric]:
    """Return the search's metric, then the others in the order asked."""
    known = {
        name: metric
        for name, metric in load_metrics().items()
        if judged.task_type in metric.task_types
    }
    names = dict.fromkeys((judged.metric, *(judged.report or known)))
    for name in names:
        if name not in known:
            raise RequestError(
                f"Metric {name!r} is not known for {judged.task_type} tasks. "
                f"Known: {', '.join(known)}. Choose one of these."
            )
    return [known[name] for name in names]


def _baseline(judged: JudgeInput, primary: Metric) -> "tuple[str, np.ndarray]":
    """Return the best constant prediction that the train part suggests, and its name."""
    import numpy as np

    n_rows, y_train = len(judged.y_true), judged.y_train
    if judged.classes:
        counts = np.bincount(y_train.astype(np.intp), minlength=len(judged.classes))
        return "always predicting the class frequencies", np.tile(
            counts / counts.sum(), (n_rows, 1)
        )
    constants = {"mean": float(y_train.mean()), "median": float(np.median(y_train))}
    scores = {
        name: primary.score(y_train, np.full(len(y_train), value))
        for name, value in constants.items()
    }
    choose = max if primary.direction == "maximize" else min
    name = choose(scores, key=scores.__getitem__)
    return f"always predicting the {name} target", np.full(n_rows, constants[name])


def _estimates(
    judged: JudgeInput, metrics: list[Metric], baseline: "np.ndarray"
) -> tuple[list[tuple[MetricEstimate, MetricEstimate]], list[str]]:
    """Return estimates of model and baseline, and why some metrics have none.

    Only the search's metric must be defined; the others inform.
    """
    scored, undefined = [], []
    for metric in metrics:
        try:
            ours, theirs = (
                estimate(
                    metric,
                    judged.y_true,
                    judged.seen_by(metric, prediction),
                    seed=judged.seed,
                    confidence=judged.confidence,
                    groups=judged.groups,
                )
                for prediction in (judged.prediction, baseline)
            )
        except ContractError as error:
            if metric.name == judged.metric:
                raise
            undefined.append(f"{metric.label} is not reported. {error}")
        else:
            scored.append((ours, theirs))
    return scored, undefined


def _figures(judged: JudgeInput) -> dict[str, Any]:
    """Return the data of the task's figures, as fields of `Evaluation`."""
    y_true, prediction = judged.y_true, judged.prediction
    sampling = {"confidence": judged.confidence, "groups": judged.groups}
    if not judged.classes:
        residual = y_true - prediction
        return {
            "calibration": curves.calibration_bins(prediction, y_true, share=False, **sampling),
            "predicted_actual": curves.scatter_cells(prediction, y_true),
            "predicted_residual": curves.scatter_cells(prediction, residual),
            "residual_quantiles": curves.residual_quantiles(residual),
        }
    labels = decided_labels(prediction, judged.threshold)
    counts = label_counts(y_true, labels, len(judged.classes))
    figures: dict[str, Any] = {
        "confusion": tuple(tuple(int(n) for n in row) for row in counts),
        "by_class": curves.class_results(y_true, labels, judged.classes, **sampling),
    }
    if judged.task_type == "binary":
        score = prediction[:, 1]
        figures["calibration"] = curves.calibration_bins(score, y_true == 1, share=True, **sampling)
        figures["roc"] = curves.roc_points(y_true, score)
        figures["precision_recall"] = curves.precision_recall_points(y_true, score)
    else:
        sure, right = prediction.max(axis=1), prediction.argmax(axis=1) == y_true
        figures["calibration"] = curves.calibration_bins(sure, right, share=True, **sampling)
    return figures
