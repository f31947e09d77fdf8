"""What the model relies on: importance, contributions, dependence, and cases to look at."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from automl_assets.core.evaluation.drawn import seconds_per_row
from automl_assets.core.evaluation.examination import Examined, Section
from automl_assets.core.evaluation.explaining import cases, shap
from automl_assets.core.evaluation.explaining.cases import Case
from automl_assets.core.evaluation.explaining.columns import RawFeatures, raw_features
from automl_assets.core.evaluation.explaining.correlated import (
    MAX_FEATURES,
    correlated_groups,
    ranks,
)
from automl_assets.core.evaluation.explaining.dependence import (
    MAX_COLUMNS,
    Dependence,
    affordable_grid,
    dependence,
    fewest_predicted,
)
from automl_assets.core.evaluation.explaining.result import (
    DEFAULT_ROWS,
    Explanations,
    limits,
    sentences,
)
from automl_assets.core.evaluation.explaining.shap import ShapSummary
from automl_assets.core.evaluation.importance import (
    FEWEST_ROWS,
    FEWEST_SHUFFLES,
    affordable_shuffles,
    permutation_importance,
    with_rare_classes,
)
from automl_assets.core.evaluation.wording import short
from automl_assets.core.profile.personal import personal_columns
from automl_assets.core.request import TrainingRequest
from automl_assets.core.request.release import Explain
from automl_assets.core.search.limits import columns_read

SECONDS = 2.6
"""CPU time for importance and dependence at the default number of rows; a slow model is asked
about fewer. Contributions may take what a section may."""

IMPORTANCE_SHARE, DEPENDENCE_SHARE = 0.75, 0.2

_MOST_VALUES = 50_000_000
"""Encoded values of the shuffled rows in memory at once: 200 MB."""


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    """Rows to explain, and what all steps share.

    Attributes:
        chosen: Positions in the analysis part, ascending.
        shown_class: Of which probability dependence is; None for values.
        read: Raw columns that the model reads.
    """

    examined: Examined
    asked: Explain
    chosen: np.ndarray
    X: np.ndarray
    columns: dict[str, RawFeatures]
    read: dict[str, RawFeatures]
    shown_class: int | None
    seconds: float
    seconds_per_row: float

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the probability of the class shown, or the value."""
        predicted = self.examined.predictor.predict_matrix(X)
        return predicted if self.shown_class is None else predicted[:, self.shown_class]


def examine(examined: Examined) -> Explanations | None:
    """Explain the winner as the request asks; None where it asks for nothing."""
    asked = examined.request.explain or Explain()
    if asked.global_ == "none" and asked.local == "none":
        return None
    drawn = _draw(examined, asked)
    notes: list[str] = []
    importance = _importance(drawn, notes)
    contributions = _contributions(drawn, notes)
    order = [item.name for item in importance.get("importance", ())]
    if not order and contributions is not None:
        order = [item.name for item in contributions.columns if item.name in drawn.read]
    curves = _dependence(drawn, order, notes)
    return Explanations(
        n_rows=len(drawn.chosen),
        n_asked=asked.rows,
        seed=examined.seed,
        confidence=examined.confidence,
        metric=examined.metric.label,
        **importance,
        n_unread=len(drawn.columns) - len(drawn.read),
        contributions=contributions,
        outcome=_outcome(drawn),
        dependence=curves,
        cases=_cases(drawn, order or list(drawn.read), contributions is not None),
        loss="surprise of the actual class, in nats" if examined.classes else "absolute error",
        notes=tuple(notes),
    )


def _draw(examined: Examined, asked: Explain) -> _Drawn:
    X = examined.analysis.X
    n_rows = max(FEWEST_ROWS, min(asked.rows, _MOST_VALUES // (5 * X.shape[1])))
    chosen = np.arange(len(X))
    if len(X) > n_rows:
        rng = np.random.default_rng(examined.seed)
        chosen = np.sort(rng.choice(len(X), n_rows, replace=False))
    columns = raw_features(examined.predictor.preprocessing)
    read = frozenset(columns_read(examined.predictor))
    shown_class = None
    if examined.classes:
        counts = np.bincount(examined.y_train.astype(np.intp), minlength=len(examined.classes))
        shown_class = 1 if len(examined.classes) == 2 else int(counts.argmax())
    return _Drawn(
        examined=examined,
        asked=asked,
        chosen=chosen,
        X=np.asfortranarray(X[chosen]),
        columns=columns,
        read={name: column for name, column in columns.items() if name in read},
        shown_class=shown_class,
        seconds=min(examined.seconds, SECONDS * max(1.0, asked.rows / DEFAULT_ROWS)),
        seconds_per_row=seconds_per_row(examined),
    )


def fewest_rows(request: TrainingRequest, n_columns: int) -> int:
    """Return how many rows are predicted however slow the model is, whichever model it will be.

    A row's contributions cost as much as many predictions; some models have none.
    """
    asked, total = request.explain or Explain(), 0
    if asked.global_ != "none":
        # For rare classes half as many are added at most.
        n_rows = FEWEST_ROWS if request.task.type == "regression" else FEWEST_ROWS * 3 // 2
        total += n_rows * (1 + FEWEST_SHUFFLES * n_columns)
    if asked.local != "none":
        # Of the cases, some are typical and some the worst.
        total += round(shap.FORECAST_FACTOR) * (shap.FEWEST_ROWS + 2 * cases.N_CASES)
    return total + fewest_predicted() if total else 0


def _outcome(drawn: _Drawn) -> str:
    classes = drawn.examined.classes
    if drawn.shown_class is None:
        return short(drawn.examined.request.data.target)
    return f"probability of {short(classes[drawn.shown_class])!r}"


def _importance(drawn: _Drawn, notes: list[str]) -> dict[str, Any]:
    """Return importances of groups of columns, and on how many rows and shuffles they rest."""
    if drawn.asked.global_ == "none" or not drawn.read:
        return {}
    examined, y = drawn.examined, drawn.examined.analysis.y
    groups = _groups(drawn, notes)
    n_rows, n_repeats = affordable_shuffles(
        IMPORTANCE_SHARE * drawn.seconds,
        seconds_per_row=drawn.seconds_per_row,
        n_features=len(groups),
        n_rows=len(drawn.chosen),
    )
    spread = np.linspace(0, len(drawn.chosen) - 1, n_rows).round().astype(np.intp)
    rows = with_rare_classes(
        drawn.chosen[spread], y, n_classes=len(examined.classes), seed=examined.seed
    )
    found = permutation_importance(
        examined.predictor.predict_matrix,
        examined.analysis.X[rows],
        y[rows],
        examined.metric,
        feature_names=[group[0] for group in groups],
        groups=[[p for name in group for p in drawn.read[name].positions] for group in groups],
        seed=examined.seed,
        n_repeats=n_repeats,
        max_rows=len(rows),
        confidence=examined.confidence,
    )
    together = {group[0]: group[1:] for group in groups}
    return {
        "importance": tuple(
            item.model_copy(update={"together": together[item.name]}) for item in found
        ),
        "importance_rows": len(rows),
        "n_added": len(rows) - n_rows,
        "n_repeats": n_repeats,
    }


def _groups(drawn: _Drawn, notes: list[str]) -> tuple[tuple[str, ...], ...]:
    if drawn.X.shape[1] > MAX_FEATURES:
        notes.append(
            f"Columns that say the same are not shuffled together: there are "
            f"{drawn.X.shape[1]:,} features, and more than {MAX_FEATURES:,} are not compared."
        )
        return tuple((name,) for name in drawn.read)
    sample = slice(0, None, max(1, len(drawn.X) // DEFAULT_ROWS))
    outcome = drawn.examined.analysis.prediction[drawn.chosen][sample]
    outcome = outcome if drawn.shown_class is None else outcome[:, drawn.shown_class]
    return correlated_groups(ranks(drawn.X[sample]), drawn.read, outcome)


def _contributions(drawn: _Drawn, notes: list[str]) -> ShapSummary | None:
    if drawn.asked.local == "none":
        return None
    examined = drawn.examined
    reason = shap.without_contributions(
        examined.predictor.model, examined.predictor.manifest.families
    )
    if reason:
        notes.append(f"Shapley values were asked for, but {reason}; importance is by shuffling.")
        return None
    n_rows = shap.affordable_rows(
        len(drawn.X),
        seconds=max(0.0, examined.seconds - drawn.seconds),
        seconds_per_row=drawn.seconds_per_row,
    )
    rows = np.linspace(0, len(drawn.X) - 1, n_rows).round().astype(np.intp)
    found = shap.summarise(
        examined.predictor.model,
        np.asfortranarray(drawn.X[rows]),
        drawn.columns,
        background=drawn.X,
        scale=_scale(examined),
        confidence=examined.confidence,
    )
    if found is None:
        notes.append(
            "Shapley values were asked for, but a member of the model never saw one of the "
            "classes, or its values do not add up to what it says; none are shown."
        )
    return found


def _scale(examined: Examined) -> str:
    if not examined.classes:
        return f"units of {short(examined.request.data.target)}"
    before = " before calibration" if examined.predictor.calibration else ""
    if len(examined.classes) == 2:
        return f"log-odds of {short(examined.classes[1])!r}{before}"
    return f"logarithms of each class's probability, against the mean of all classes{before}"


def _dependence(drawn: _Drawn, order: list[str], notes: list[str]) -> tuple[Dependence, ...]:
    if len(drawn.X) < 2:
        return ()
    personal = personal_columns(drawn.examined.profile)
    n_columns, n_points, n_rows = affordable_grid(
        DEPENDENCE_SHARE * drawn.seconds, seconds_per_row=drawn.seconds_per_row
    )
    hidden = [name for name in order[:n_columns] if name in personal]
    if hidden:
        notes.append(
            f"{len(hidden)} of the most important columns hold personal data "
            f"({', '.join(map(short, hidden))}): no value of theirs is shown."
        )
    found = (
        dependence(
            drawn.predict,
            drawn.X,
            drawn.read[name],
            n_points=n_points,
            n_rows=n_rows,
            confidence=drawn.examined.confidence,
            is_share=drawn.shown_class is not None,
        )
        for name in [name for name in order if name not in personal][:n_columns]
    )
    return tuple(item for item in found if item is not None)


def _cases(drawn: _Drawn, order: list[str], with_shap: bool) -> tuple[Case, ...]:
    examined, analysis = drawn.examined, drawn.examined.analysis
    top = tuple(drawn.read[name] for name in order[:MAX_COLUMNS])
    typical = drawn.chosen[cases.typical_rows(drawn.X, analysis.prediction[drawn.chosen], top)]
    loss = cases.losses(analysis.y, analysis.prediction)
    chosen = np.concatenate([typical, cases.worst_rows(loss)])
    values = None
    if with_shap:
        found = shap.explain(
            examined.predictor.model,
            np.asfortranarray(analysis.X[chosen]),
            drawn.columns,
            background=drawn.X,
        )
        values = None if found is None else found.values
    return cases.told_cases(
        examined,
        chosen,
        loss[chosen],
        n_typical=len(typical),
        columns=tuple(drawn.columns),
        order=order,
        contributions=values,
    )


SECTION = Section(
    name="explanations",
    title="What the model relies on",
    position=40,
    result=Explanations,
    examine=examine,
    fewest_rows=fewest_rows,
    sentences=sentences,
    limits=limits,
)
