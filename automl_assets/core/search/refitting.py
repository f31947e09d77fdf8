"""The winner's main member fitted again: with another seed, or on fewer rows."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from automl_assets.core.errors import SearchError, SnapshotError
from automl_assets.core.evaluation.examination import Refitter
from automl_assets.core.families import DataShape, Encoded
from automl_assets.core.search.final import final_iterations
from automl_assets.core.search.plan import SearchPlan
from automl_assets.core.search.replay import Entry, is_replayable
from automl_assets.core.search.selection import SelectionData, load_selection, take_rows
from automl_assets.core.search.trial import Job, TrialResult, make_options, make_recipe
from automl_assets.core.values import CandidateSet, Member


def make_refitter(
    plan: SearchPlan, entries: Sequence[Entry], candidates: CandidateSet
) -> Refitter | None:
    """Return what fits the winner's main member again.

    Args:
        plan: As the study holds it.
        entries: The ledger of the study.
        candidates: What the search found.

    Returns:
        None where the encoded rows or the member's features are no longer there.

    Raises:
        SearchError: The winner is not in the ledger, or left no result there.
    """
    member = next((item for item in candidates.members if item.number == candidates.winner), None)
    entry = next((item for item in entries if int(item["number"]) == candidates.winner), None)
    if member is None or entry is None or not is_replayable(entry):
        raise SearchError(
            f"A winner is fitted again from the ledger, but trial {candidates.winner} has no "
            f"result among the {len(entries):,} trials of study {candidates.study_name!r}. "
            "Give the ledger as it was when the search ended."
        )
    job = Job.model_validate(entry["job"]).model_copy(update={"seconds": None})
    try:
        data, _ = load_selection(plan)
        return PlanRefitter(plan, data, job, TrialResult.model_validate(entry["result"]), member)
    except (FileNotFoundError, SnapshotError):
        return None


class PlanRefitter(Refitter):
    """Fits a member on rows of train and validation together, on one thread.

    A fit on a share of the rows gets iterations as the final model does: fewer, by the square
    root of the share. Rows are drawn from each class alike.

    Args:
        plan: Of the search.
        data: What candidates were fitted on.
        job: The member's trial.
        result: What the trial left.
        member: As the final model has it.

    Raises:
        SnapshotError: The member's feature set is not there.
    """

    def __init__(
        self,
        plan: SearchPlan,
        data: SelectionData,
        job: Job,
        result: TrialResult,
        member: Member,
    ) -> None:
        self._plan, self._data, self._job, self._result = plan, data, job, result
        self._recipe = make_recipe(plan, job.family, job.params, job.features)
        self.n_rows = len(data.train.y) + len(data.validation.y)
        fitted = max(1.0, data.n_fit_rows * job.row_share)
        whole = final_iterations(result, self.n_rows / fitted)
        self._n_iterations = member.n_iterations if member.refitted else whole

    def expected_seconds(self, share: float) -> float:
        """Return CPU seconds: what the trial took, grown as the family says that it grows.

        A trial on a graphics processor tells nothing about this machine; then the family's
        own forecast stands.
        """
        expected = self._forecast(share * self.n_rows)
        if self._plan.use_gpu:
            return expected
        result = self._result
        per_fit = self._plan.n_threads * result.fit_seconds / max(1, len(result.fold_scores))
        before = self._forecast(self._data.n_fit_rows * self._job.row_share)
        return expected * per_fit / max(before, 1e-9)

    def _forecast(self, n_rows: float) -> float:
        shape = DataShape(
            n_rows=max(1, round(n_rows)),
            n_levels=self._data.train.n_levels,
            n_classes=self._plan.n_classes,
        )
        return self._recipe.family.expected_seconds(shape, self._job.params)

    def fit(self, *, seed: int, share: float = 1.0) -> Callable[[np.ndarray], np.ndarray]:
        """Fit with another seed, or on fewer rows, and return what predicts encoded rows."""
        options = make_options(
            self._plan,
            self._recipe,
            seed=seed,
            n_threads=1,
            should_stop=lambda: False,
            n_iterations=self._iterations(share),
        )
        model = self._recipe.fit(self._rows(seed, share), None, replace(options, use_gpu=False))
        return lambda X: self._recipe.predict(model, X)

    def _iterations(self, share: float) -> int | None:
        if self._n_iterations is None:
            return None
        return max(1, round(self._n_iterations * math.sqrt(share)))

    def _rows(self, seed: int, share: float) -> Encoded:
        """Return the rows of a fit; of a share, no others are brought into memory."""
        if share >= 1.0:
            return self._data.all_rows
        validation, train = self._data.validation, self._data.train
        y = np.concatenate([validation.y, train.y])
        chosen = drawn_share(y, share, is_class=self._plan.n_classes > 0, seed=seed)
        first = take_rows(validation, chosen[chosen < len(validation.y)])
        rest = take_rows(train, chosen[chosen >= len(validation.y)] - len(validation.y))
        X = np.empty((len(chosen), train.X.shape[1]), np.float32, order="F")
        X[: len(first.y)], X[len(first.y) :] = first.X, rest.X
        return Encoded(X=X, y=y[chosen], n_levels=train.n_levels)


def drawn_share(y: np.ndarray, share: float, *, is_class: bool, seed: int) -> np.ndarray:
    """Return the positions of a share of rows, ascending, with as large a share of each class.

    A smaller share with the same seed is part of a larger one.

    Args:
        y: Class codes or values, `(n_rows,)`.
        share: Above 0, at most 1.
        is_class: Whether `y` holds codes; every class keeps one row at least.
        seed: Decides the rows.

    Examples:
        >>> y = np.array([0] * 90 + [1] * 10)
        >>> np.bincount(y[drawn_share(y, 0.1, is_class=True, seed=0)]).tolist()
        [9, 1]
    """
    order = np.random.default_rng(seed).permutation(len(y))
    if not is_class:
        return np.sort(order[: max(1, round(share * len(y)))])
    by_class = order[np.argsort(y[order], kind="stable")]
    _, starts, counts = np.unique(y[by_class], return_index=True, return_counts=True)
    kept = np.maximum(1, np.round(share * counts)).astype(np.intp)
    place = np.arange(len(y)) - np.repeat(starts, counts)
    return np.sort(by_class[place < np.repeat(kept, counts)])
