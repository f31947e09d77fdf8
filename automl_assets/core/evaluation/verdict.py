"""The evaluation in words, by rule."""

from typing import TYPE_CHECKING

from automl_assets.core.evaluation.wording import percent, short, shown, shown_interval

if TYPE_CHECKING:
    from automl_assets.core.evaluation.result import Evaluation

MIN_ROWS = 200
"""Below, a share's interval is wider than +-7 points at worst."""

NOTABLE_EFFECT = 1.5
"""From here on intervals are a fifth wider than those of independent rows."""


def sentences(evaluation: "Evaluation", label: str) -> tuple[str, ...]:
    """Say what was found, the most important first.

    Args:
        evaluation: Complete but for its verdict.
        label: Name of the search's metric for people.
    """
    by_task = {"binary": _binary, "multiclass": _multiclass, "regression": _regression}
    return (
        _against_baseline(evaluation, label),
        f"{label} is {shown(evaluation.metrics[0].value)} "
        f"{_interval(evaluation)} on {evaluation.n_rows:,} rows that took no part in training or "
        f"choosing the model; {evaluation.baseline_name} gets "
        f"{shown(evaluation.baseline[0].value)}.",
        *by_task[evaluation.task_type](evaluation),
        *_cautions(evaluation),
    )


def _interval(evaluation: "Evaluation") -> str:
    primary = evaluation.metrics[0]
    sure = percent(evaluation.confidence)
    return f"({sure} interval {shown_interval(primary.low, primary.high)})"


def _against_baseline(evaluation: "Evaluation", label: str) -> str:
    gain = evaluation.difference
    interval, sure = shown_interval(gain.low, gain.high), percent(gain.confidence)
    if gain.is_better:
        return (
            f"The model is better than {evaluation.baseline_name}: {label} gains "
            f"{shown(gain.gain)}, {sure} interval {interval}."
        )
    if gain.is_worse:
        return (
            f"The model is worse than {evaluation.baseline_name}: {label} loses "
            f"{shown(-gain.gain)}, {sure} interval of the gain {interval}. Do not use it."
        )
    return (
        f"The model is not shown to be better than {evaluation.baseline_name}: the {sure} "
        f"interval of its gain in {label}, {interval}, includes zero. Collect more rows or better "
        "features."
    )


def _binary(evaluation: "Evaluation") -> list[str]:
    (_, false_positives), (missed, found) = evaluation.confusion
    positive = short(evaluation.classes[1])
    n_called = found + false_positives
    where = "At a probability of one half"
    if evaluation.threshold is not None:
        where = f"From a probability of {shown(evaluation.threshold)} on"
    words = _costs(evaluation)
    words.append(
        f"{where} it finds {found:,} of the {found + missed:,} rows of class "
        f"{positive!r}; of {n_called:,} rows it assigns to that class, {found:,} belong to it."
    )
    predicted = sum(b.predicted * b.n_rows for b in evaluation.calibration) / evaluation.n_rows
    observed = (found + missed) / evaluation.n_rows
    words.append(
        f"It expects {percent(predicted)} of rows to be {positive!r}, and {percent(observed)} are."
    )
    return words


def _costs(evaluation: "Evaluation") -> list[str]:
    cost = evaluation.cost
    if cost is None:
        return []
    unit = f"{cost.currency} per 1,000 rows"
    text = (
        f"Its decisions cost {shown(cost.per_1000)} {unit} "
        f"({percent(evaluation.confidence)} interval {shown_interval(cost.low, cost.high)})"
    )
    simpler = {"always saying yes": cost.always, "never saying yes": cost.never}
    if evaluation.threshold is not None:
        simpler = {"saying yes from one half on": cost.at_half, **simpler}
    text += "; " + ", ".join(f"{name} {shown(value)}" for name, value in simpler.items()) + "."
    cheapest = min(simpler, key=simpler.__getitem__)
    if simpler[cheapest] < cost.per_1000:
        text += f" On these rows {cheapest} is cheaper."
    return [text]


def _multiclass(evaluation: "Evaluation") -> list[str]:
    weakest = min(evaluation.by_class, key=lambda result: result.recall)
    right = sum(row[code] for code, row in enumerate(evaluation.confusion))
    words = [
        f"It assigns {right:,} of {evaluation.n_rows:,} rows to their true class "
        f"({percent(right / evaluation.n_rows)})."
    ]
    if weakest.most_taken_for is not None:
        words.append(
            f"The class it finds worst is {short(weakest.name)!r}: {percent(weakest.recall)} of "
            f"{weakest.n_rows:,} rows, and most often taken for {short(weakest.most_taken_for)!r}."
        )
    return words


def _regression(evaluation: "Evaluation") -> list[str]:
    residual = dict(evaluation.residual_quantiles)
    return [
        f"Half of the targets lie between {shown(residual[0.25])} and {shown(residual[0.75])} of "
        f"the prediction, and 90% between {shown(residual[0.05])} and {shown(residual[0.95])}."
    ]


def _cautions(evaluation: "Evaluation") -> list[str]:
    words = list(evaluation.undefined)
    effect = evaluation.design_effect
    if effect is not None and effect >= NOTABLE_EFFECT:
        words.append(
            f"Rows of one group resemble each other: the {evaluation.n_rows:,} rows say as much "
            f"about the mean loss as {evaluation.n_rows / effect:,.0f} independent ones, and "
            "intervals are wider for it."
        )
    if evaluation.n_rows < MIN_ROWS:
        words.append(
            f"The analysis part is small ({evaluation.n_rows:,} rows): read the intervals, "
            "not the numbers."
        )
    if evaluation.confusion and evaluation.threshold is None:
        predicted = [sum(column) for column in zip(*evaluation.confusion, strict=True)]
        actual = [sum(row) for row in evaluation.confusion]
        top = max(range(len(predicted)), key=predicted.__getitem__)
        share, base = predicted[top] / evaluation.n_rows, actual[top] / evaluation.n_rows
        if share > 0.9 and base < 0.7:
            words.append(
                f"It assigns {percent(share)} of rows to class {short(evaluation.classes[top])!r}, "
                f"which only {percent(base)} belong to: it hardly tells the classes apart."
            )
    return words
