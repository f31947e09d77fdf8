"""What must hold for hard limits, and for what a run may use."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from automl_assets.core.request.data_rules import why_no_feature
from automl_assets.core.request.text import Loc

if TYPE_CHECKING:
    from automl_assets.core.request import TrainingRequest


def _slices(request: "TrainingRequest") -> Iterator[tuple[Loc, str]]:
    gap = request.constraints.slice_gap if request.constraints else None
    if gap is None:
        return
    for index, column in enumerate(gap.by):
        loc = ("constraints", "slice_gap", "by", index)
        reason = why_no_feature(request, column)
        if reason is not None:
            yield (
                loc,
                f"slices are made from features, but {column!r} {reason}; name another column",
            )
        elif column in gap.by[:index]:
            yield loc, f"{column!r} is listed twice; keep one"


def _latency(request: "TrainingRequest") -> Iterator[tuple[Loc, str]]:
    limit = request.constraints.p99_latency_ms if request.constraints else None
    cores = request.resources.cpu
    if limit is not None and cores is not None and limit.threads > cores:
        yield (
            ("constraints", "p99_latency_ms"),
            f"latency is measured on the cores of the run; found {limit.threads} threads and "
            f"resources.cpu {cores}; lower 'threads' or raise resources.cpu",
        )


def _cores(request: "TrainingRequest") -> Iterator[tuple[Loc, str]]:
    workers, cores = request.search.workers, request.resources.cpu
    if workers is not None and cores is not None and workers > cores:
        yield (
            ("resources", "cpu"),
            f"each worker needs a core; found search.workers {workers} and resources.cpu {cores}; "
            "lower the one or raise the other",
        )


RULES = (_slices, _latency, _cores)
"""Each takes a request and yields where to look, and a sentence."""
