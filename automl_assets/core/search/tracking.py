"""Writing searches down where people compare them, beside the search and never in its way."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal

from automl_assets.core.search.plan import SearchPlan
from automl_assets.core.values import AcceptedRequest, Candidate, CandidateSet


@dataclass(frozen=True, kw_only=True)
class TrackedSearch:
    """What names a search where it is written down.

    Attributes:
        name: Registered-model name; searches of one name are compared.
        request_id, request_sha256, study_name: Together the identity: beginning
            the same search again goes on where the earlier attempt stopped.
        metric, direction: What scores are in, and whether more is better.
        params: What people filter searches by, as it was when the search first began.
    """

    name: str
    owner: str
    request_id: str
    request_sha256: str
    study_name: str
    metric: str
    direction: Literal["maximize", "minimize"]
    params: Mapping[str, str] = field(default_factory=dict)


class SearchLog(AbstractContextManager["SearchLog"]):
    """One attempt at a search as it is written down.

    Methods return at once and never raise: what cannot be written is told in the
    log once, and the next attempt adds what is missing. Leaving the block stops
    what was not finished.
    """

    @abstractmethod
    def add(self, candidates: Sequence[Candidate]) -> None:
        """Write finished trials down, some time soon; those known already are ignored."""

    @abstractmethod
    def finish(self, candidates: CandidateSet) -> None:
        """Write down what is missing, and the totals. The process does not end before that."""

    @abstractmethod
    def stop(self, reason: str) -> None:
        """End without a result, as after Ctrl-C; after `finish` it does nothing."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop("it found nothing" if kind is None else kind.__name__)


class SearchTracker(ABC):
    """Where searches and their trials are written down for people.

    A search has one entry and each of its trials at most one below it, however
    often it was killed and begun again. One process at a time tracks a search.
    """

    @abstractmethod
    def begin(self, search: TrackedSearch) -> SearchLog:
        """Begin, or go on with, the entry of a search; returns at once and never raises."""


def tracked_search(accepted: AcceptedRequest, plan: SearchPlan) -> TrackedSearch:
    """Return what names the search of a request, and what of its plan people filter by."""
    budget = {"n_trials": plan.n_trials, "time_limit_seconds": plan.time_limit_seconds}
    return TrackedSearch(
        name=accepted.request.name,
        owner=accepted.request.owner,
        request_id=accepted.request_id,
        request_sha256=accepted.request_sha256,
        study_name=plan.study_name,
        metric=plan.metric,
        direction=plan.direction,
        params={
            "search.families": ", ".join(plan.families),
            "search.sampler": plan.sampler,
            "search.fits_of_a_trial": str(plan.n_fits),
            "search.workers": str(plan.n_workers),
            "search.task_type": plan.task_type,
            **{f"search.{key}": str(value) for key, value in budget.items() if value is not None},
        },
    )
