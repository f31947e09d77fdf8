"""What must hold for hard limits, and for what a run may use."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from automl_assets.core.errors import RequestError
from automl_assets.core.request.data_rules import why_no_feature
from automl_assets.core.request.text import Loc, shown

if TYPE_CHECKING:
    from automl_assets.core.request import TrainingRequest


def _slice_gap(request: "TrainingRequest") -> Iterator[tuple[Loc, str]]:
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


def _slices(request: "TrainingRequest") -> Iterator[tuple[Loc, str]]:
    for index, text in enumerate(request.slices):
        loc = ("slices", index)
        columns, reason = _read_slice(text)
        if reason is not None:
            yield loc, reason
        elif text in request.slices[:index]:
            yield loc, f"{shown(text)} is listed twice; keep one"
        elif request.data.target in columns:
            yield (
                loc,
                "slices are made from what is known before the prediction, but "
                f"{request.data.target!r} is the target; name another column",
            )
        elif columns == (text,) and text == request.data.id:
            yield loc, f"{text!r} is the id: each row would be a slice; name another column"


def slice_columns(request: "TrainingRequest") -> tuple[str, ...]:
    """Return the columns that `slices` names or compares, each once."""
    named = (name for text in request.slices for name in _read_slice(text)[0])
    return tuple(dict.fromkeys(named))


def _read_slice(text: str) -> tuple[tuple[str, ...], str | None]:
    """Return the columns that an entry of `slices` names, and what is wrong with it.

    Any text can be the name of a column, so only what looks like a comparison must be one.
    """
    from automl_assets.core.predicate import parse_predicate

    try:
        return parse_predicate(text).columns, None
    except RequestError as error:
        return (text,), str(error) if _COMPARES.search(text) else None


_COMPARES = re.compile(
    r"[=<>!]|\b(in|is|like|ilike|between)\b\s*['(\d]|\bis\s+(not\s+)?null\b", re.I
)


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


RULES = (_slice_gap, _slices, _latency, _cores)
"""Each takes a request and yields where to look, and a sentence."""
