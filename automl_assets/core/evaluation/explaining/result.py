"""What the model relies on, as it is kept and told."""

from automl_assets.core.evaluation.explaining.cases import Case
from automl_assets.core.evaluation.explaining.dependence import Dependence
from automl_assets.core.evaluation.explaining.shap import ShapSummary
from automl_assets.core.evaluation.importance import FeatureImportance
from automl_assets.core.evaluation.wording import short, shown
from automl_assets.core.values import Value

DEFAULT_ROWS = 2_000


class Explanations(Value):
    """What the model relies on, from drawn rows of the analysis part.

    Attributes:
        n_rows: Rows drawn; importance may be of others.
        n_asked: Rows that the request asks for.
        metric: Label of what importance is measured in.
        importance: The most important first; empty where it was not asked for.
        importance_rows: Rows that it is measured on.
        n_added: How many of them are rows of rare classes beyond their share.
        n_unread: Columns that no member of the model reads; they have no importance.
        contributions: None where they were not asked for, or the model has none.
        outcome: What dependence is of.
        dependence: The most important column first.
        cases: Typical ones, then the worst of the whole analysis part.
        loss: What the loss of a case is.
        notes: What was not done, and why.
    """

    n_rows: int
    n_asked: int
    seed: int
    confidence: float
    metric: str
    importance: tuple[FeatureImportance, ...] = ()
    importance_rows: int = 0
    n_added: int = 0
    n_repeats: int = 0
    n_unread: int = 0
    contributions: ShapSummary | None = None
    outcome: str
    dependence: tuple[Dependence, ...] = ()
    cases: tuple[Case, ...] = ()
    loss: str
    notes: tuple[str, ...] = ()


def sentences(value: Value) -> tuple[str, ...]:
    """Say what the model relies on most."""
    if not isinstance(value, Explanations):
        return ()
    useful = [item for item in value.importance if item.is_useful]
    if useful:
        first, *others = useful
        more = f", then {' and '.join(short(item.name) for item in others[:2])}" if others else ""
        return (
            f"The model relies most on {short(first.name)}{more}: shuffling {short(first.name)} "
            f"costs {shown(first.mean)} of {value.metric}.",
        )
    if value.contributions and value.contributions.columns:
        names = [short(item.name) for item in value.contributions.columns[:3]]
        return (f"The largest contributions to predictions come from {', '.join(names)}.",)
    if value.importance:
        return (
            f"No column alone matters beyond noise on {value.importance_rows:,} rows of the "
            "analysis part.",
        )
    return ()


def limits(value: Value) -> tuple[str, ...]:
    """Say what importance does not mean, and on how little it rests."""
    if not isinstance(value, Explanations):
        return ()
    found = [
        "Importance, contributions and dependence say what this model uses, not what causes the "
        "target: another model as good may rely on other columns."
    ]
    together = [item for item in value.importance if item.together]
    if together:
        names = ", ".join(short(name) for name in (together[0].name, *together[0].together))
        found.append(
            f"Columns that say the same cannot be told apart: {names} are shuffled together"
            + (f", and so are {len(together) - 1} more groups." if together[1:] else ".")
        )
    if value.importance and value.importance_rows - value.n_added < min(value.n_rows, DEFAULT_ROWS):
        found.append(
            f"Importance rests on {value.importance_rows:,} rows and {value.n_repeats} shuffles "
            "only, since the model is slow."
        )
    return tuple(found)
