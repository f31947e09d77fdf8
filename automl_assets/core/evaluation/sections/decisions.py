"""What the model decides: right and wrong, what that costs, and what another threshold would do."""

from typing import Any

import numpy as np
from pydantic import Field

from automl_assets.core.errors import ContractError
from automl_assets.core.evaluation.clusters import clusters_of
from automl_assets.core.evaluation.confusion import decided, label_counts
from automl_assets.core.evaluation.costs import account
from automl_assets.core.evaluation.examination import Examined, Section
from automl_assets.core.evaluation.intervals import estimate, mean_interval, share_interval
from automl_assets.core.evaluation.ranking import ranks_of_truth
from automl_assets.core.evaluation.resampling import Interval
from automl_assets.core.evaluation.result import CostAccount, Points
from automl_assets.core.evaluation.thresholds import (
    benefit_curves,
    cost_curve,
    part_of_highest,
)
from automl_assets.core.evaluation.wording import percent, short, shown, shown_interval
from automl_assets.core.metrics import load_metrics
from automl_assets.core.values import MetricEstimate, TaskType, Value

SHARES_SELECTED = (0.01, 0.05, 0.10, 0.20)
SHARES_OFF = (0.05, 0.10, 0.20, 0.50)
TOP = (1, 2, 3, 5)
MAX_CONFUSIONS = 10


class Selected(Value):
    """The rows with the highest scores, as many as a share of all.

    Attributes:
        precision: Share of them that is positive.
        gain: Share of all positive rows that is among them.
        lift: How many times as often they are positive as rows are on the whole.
    """

    share: float
    n_rows: int
    precision: MetricEstimate
    gain: MetricEstimate
    lift: float


class Confusion(Value):
    """Rows of one class that are taken for another one."""

    true: str
    decided: str
    n_rows: int
    share: float = Field(description="Of the rows of the true class.")
    low: float
    high: float


class NetBenefit(Value):
    """True positives per row less false ones, weighed by the odds of a threshold.

    Attributes:
        model, everyone: (threshold, net benefit) pairs, of the model and of saying yes always;
            saying no always has none.
        at_threshold: At the model's own threshold; None where it never says yes.
    """

    model: Points
    everyone: Points
    at_threshold: MetricEstimate | None


class DecisionsResult(Value):
    """Decisions on the analysis part; fields of other tasks are empty."""

    task_type: TaskType
    n_rows: int
    confidence: float
    classes: tuple[str, ...] = ()
    threshold: float | None = Field(default=None, description="None: the most probable class.")
    sentences: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    measures: tuple[MetricEstimate, ...] = Field(default=(), description="At the threshold.")
    undefined: tuple[str, ...] = ()
    cost: CostAccount | None = None
    cost_curve: Points = Field(default=(), description="(threshold, cost per 1,000 rows).")
    selected: tuple[Selected, ...] = ()
    net_benefit: NetBenefit | None = None
    top: tuple[MetricEstimate, ...] = Field(
        default=(), description="True class among the k most probable ones."
    )
    confusions: tuple[Confusion, ...] = ()
    within: tuple[MetricEstimate, ...] = Field(
        default=(), description="Regression: rows whose error is at most a share of the target."
    )


class _Sample:
    """The rows of an examination, and how intervals of them are made."""

    def __init__(self, examined: Examined) -> None:
        rows = examined.analysis
        self.y, self.prediction, self.seed = rows.y, rows.prediction, examined.seed
        self.groups = clusters_of(rows.groups, rows.times)
        self.confidence = examined.confidence

    def named(
        self, name: str, value: float, interval: Interval, n_rows: int | None = None
    ) -> MetricEstimate:
        return MetricEstimate(
            metric=name,
            value=value,
            low=min(interval.low, value),
            high=max(interval.high, value),
            confidence=self.confidence,
            method=interval.method,
            n_rows=len(self.y) if n_rows is None else n_rows,
        )

    def share(
        self, name: str, hits: np.ndarray, rows: np.ndarray | slice = slice(None)
    ) -> MetricEstimate:
        """Return the share of hits among some rows; 0 where there are none."""
        of_rows = hits[rows]
        groups = None if self.groups is None else self.groups[rows]
        value = float(of_rows.mean()) if len(of_rows) else 0.0
        return self.named(
            name, value, share_interval(of_rows, self.confidence, groups), len(of_rows)
        )


def examine(examined: Examined) -> DecisionsResult | None:
    """Look at the decisions on the analysis part; None where there is nothing to tell."""
    if len(examined.analysis.y) < 2:
        return None
    sample, task_type = _Sample(examined), examined.profile.task_type
    by_task = {"binary": _binary, "multiclass": _multiclass, "regression": _regression}
    found = by_task[task_type](sample, examined)
    if not found:
        return None
    return DecisionsResult(
        task_type=task_type,
        n_rows=len(sample.y),
        confidence=examined.confidence,
        classes=examined.classes,
        threshold=examined.threshold,
        **found,
    )


def _binary(sample: _Sample, examined: Examined) -> dict[str, Any]:
    certain = decided(sample.prediction, examined.threshold)
    yes, positive = certain[:, 1] == 1, sample.y == 1
    score = sample.prediction[:, 1].astype(float)
    counts = label_counts(sample.y, yes.astype(np.intp), 2)
    measures = [
        sample.share("precision", positive, yes),
        sample.share("recall", yes, positive),
        sample.share("specificity", ~yes, ~positive),
    ]
    undefined = []
    for name in ("f1", "mcc"):
        metric = load_metrics()[name]
        try:
            measures.append(
                estimate(
                    metric,
                    sample.y,
                    certain,
                    seed=sample.seed,
                    confidence=sample.confidence,
                    groups=sample.groups,
                )
            )
        except ContractError as error:
            undefined.append(f"{metric.label} is not reported. {error}")
    cost = examined.request.task.cost
    found = {
        "confusion": tuple(tuple(int(n) for n in row) for row in counts),
        "measures": tuple(measures),
        "undefined": tuple(undefined),
        "cost": account(
            sample.y,
            sample.prediction,
            examined.threshold,
            cost,
            confidence=sample.confidence,
            groups=sample.groups,
        ),
        "cost_curve": () if cost is None else cost_curve(positive, score, cost),
        "selected": _selected(sample, positive, score) if positive.any() else (),
        "net_benefit": _net_benefit(sample, positive, yes, score, examined.threshold),
    }
    return found | {"sentences": _binary_words(found, examined)}


def _binary_words(found: dict[str, Any], examined: Examined) -> tuple[str, ...]:
    precision, recall = found["measures"][:2]
    name, sure = short(examined.classes[1]), percent(examined.confidence)
    where = "The most probable class is decided on"
    if examined.threshold is not None:
        where = f"The model says {name!r} from a probability of {shown(examined.threshold)} on"
    words = [
        f"{where}: that finds {percent(recall.value)} of the rows of class {name!r} ({sure} "
        f"interval {percent(recall.low)} to {percent(recall.high)}), and "
        f"{percent(precision.value)} of what it calls {name!r} is "
        f"({percent(precision.low)} to {percent(precision.high)})."
    ]
    if found["cost_curve"]:
        threshold, cheapest = min(found["cost_curve"], key=lambda point: point[1])
        cost: CostAccount = found["cost"]
        words.append(
            f"Its decisions cost {shown(cost.per_1000)} {cost.currency} per 1,000 rows "
            f"{shown_interval(cost.low, cost.high)}; on these rows no threshold would have cost "
            f"less than {shown(cheapest)} (at {shown(threshold)}), which is known only afterwards."
        )
    return tuple(words)


def _selected(sample: _Sample, positive: np.ndarray, score: np.ndarray) -> tuple[Selected, ...]:
    """Return what the highest scores hold; of equal scores at the edge, each row counts in part."""
    found = []
    for share in SHARES_SELECTED:
        part = part_of_highest(score, share)
        rows, n_rows = part > 0, round(float(part.sum()))
        groups = None if sample.groups is None else sample.groups[rows]
        hits = float(part[positive].sum())
        interval = share_interval(positive[rows], sample.confidence, groups)
        found.append(
            Selected(
                share=share,
                n_rows=n_rows,
                precision=sample.named("precision", hits / n_rows, interval, n_rows),
                gain=sample.share("gain", part, positive),
                lift=hits / n_rows / float(positive.mean()),
            )
        )
    return tuple(found)


def _net_benefit(
    sample: _Sample,
    positive: np.ndarray,
    yes: np.ndarray,
    score: np.ndarray,
    threshold: float | None,
) -> NetBenefit:
    model, everyone = benefit_curves(positive, score)
    own, at_threshold = 0.5 if threshold is None else threshold, None
    if own < 1:
        terms = yes * np.where(positive, 1.0, -own / (1 - own))
        interval = mean_interval(terms, sample.confidence, sample.groups)
        at_threshold = sample.named("net_benefit", float(terms.mean()), interval)
    return NetBenefit(model=model, everyone=everyone, at_threshold=at_threshold)


def _multiclass(sample: _Sample, examined: Examined) -> dict[str, Any]:
    rank = ranks_of_truth(sample.y.astype(np.intp), sample.prediction)
    tops = [k for k in TOP if k == 1 or k < len(examined.classes)]
    top = tuple(sample.share(f"top_{k}", rank < k) for k in tops)
    labels = sample.prediction.argmax(axis=1)
    confusions = _confusions(sample, labels, examined.classes)
    words = [f"The true class of {percent(top[0].value)} of rows is the most probable one"]
    if len(top) > 1:
        words[0] += f", and of {percent(top[-1].value)} among the {tops[-1]} most probable ones"
    words[0] += "."
    if confusions:
        worst = confusions[0]
        words.append(
            f"The most frequent mistake: {worst.n_rows:,} rows of {short(worst.true)!r} are taken "
            f"for {short(worst.decided)!r}, {percent(worst.share)} of that class."
        )
    return {"top": top, "confusions": confusions, "sentences": tuple(words)}


def _confusions(
    sample: _Sample, labels: np.ndarray, classes: tuple[str, ...]
) -> tuple[Confusion, ...]:
    counts = label_counts(sample.y, labels, len(classes))
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:MAX_CONFUSIONS]
    found = []
    for true, other in zip(*np.unravel_index(order, counts.shape), strict=True):
        if not counts[true, other]:
            break
        share = sample.share("taken_for", labels == other, sample.y == true)
        found.append(
            Confusion(
                true=classes[true],
                decided=classes[other],
                n_rows=int(counts[true, other]),
                share=share.value,
                low=share.low,
                high=share.high,
            )
        )
    return tuple(found)


def _regression(sample: _Sample, examined: Examined) -> dict[str, Any]:
    """Return shares within some percent; nothing where percents mean nothing."""
    y = sample.y
    if not ((y > 0).all() or (y < 0).all()):
        return {}
    off = np.abs(y - sample.prediction) / np.abs(y)
    within = tuple(sample.share(f"within_{share:.0%}", off <= share) for share in SHARES_OFF)
    words = ", ".join(
        f"{percent(item.value)} within {share:.0%}"
        for item, share in zip(within, SHARES_OFF, strict=True)
    )
    return {"within": within, "sentences": (f"Of the predictions, {words} of the target.",)}


def _sentences(result: Value) -> tuple[str, ...]:
    assert isinstance(result, DecisionsResult)
    return result.sentences[:1] if result.task_type == "regression" else ()


SECTION = Section(
    name="decisions",
    title="Decisions",
    position=22,
    result=DecisionsResult,
    examine=examine,
    sentences=_sentences,
)
