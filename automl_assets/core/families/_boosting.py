"""What boosters that grow one tree for each class and round share."""

from typing import TYPE_CHECKING

from automl_assets.core.families._base import Contributions, FitOptions, Params

if TYPE_CHECKING:
    import numpy as np


def tree_contributions(found: "np.ndarray", margin: "np.ndarray") -> Contributions:
    """Return what a booster gave: the features of each output, then its base.

    They are Shapley values of trees (S. Lundberg, G. Erion and S.-I. Lee, "Consistent
    individualized feature attribution for tree ensembles", 2018).

    Args:
        found: `(n_samples, n_outputs, n_features + 1)`, in any shape of this order.
        margin: `(n_samples, n_outputs)`, or `(n_samples,)` for one output.
    """
    import numpy as np

    margin = np.asarray(margin, np.float64).reshape(len(margin), -1)
    values = np.asarray(found, np.float64).reshape(*margin.shape, -1)
    return Contributions(values=values[:, :, :-1], base=values[0, :, -1], margin=margin)


def best_round(losses: list[float]) -> int:
    """Return the first round with the lowest loss, counted from 1."""
    return min(range(len(losses)), key=losses.__getitem__) + 1


def most_rounds(params: Params, options: FitOptions, default: int) -> int:
    """Return how many rounds there may be at most.

    Args:
        default: Where neither the options nor `n_estimators` say it.

    Raises:
        ValueError: The limit on trees does not even allow one round.
    """
    rounds = int(options.n_iterations or params.get("n_estimators") or default)
    most_trees = options.structure.max_trees
    if most_trees is None:
        return rounds
    per_round = options.n_classes if options.task_type == "multiclass" else 1
    if most_trees < per_round:
        raise ValueError(
            f"max_trees must be at least the number of classes for this family, since each "
            f"round grows one tree for each class. It is {most_trees}, with {per_round} classes. "
            "Allow more trees, or choose another family."
        )
    return min(rounds, most_trees // per_round)


def draws_some(params: Params, *shares: str) -> bool:
    """Tell whether a hyperparameter lets a fit see only a part, which its seed draws."""
    return any(float(params.get(name) or 1.0) < 1.0 for name in shares)
