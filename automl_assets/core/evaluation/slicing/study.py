"""The metric of every slice against all other rows, made once for the sections that need it."""

import weakref
from dataclasses import dataclass, replace

import numpy as np

from automl_assets.core.errors import ContractError
from automl_assets.core.evaluation.clusters import clusters_of
from automl_assets.core.evaluation.examination import Examined
from automl_assets.core.evaluation.judge import seen_by
from automl_assets.core.evaluation.slicing import Slicings, make_slicings
from automl_assets.core.evaluation.slicing.inference import Contrast, contrast
from automl_assets.core.evaluation.slicing.scores import (
    MAX_OTHERS,
    Judged,
    Score,
    is_cheap,
    score,
)
from automl_assets.core.metrics import Metric

MIN_ROWS = 100
MIN_CLASS_ROWS = 20
"""A slice with fewer rows, or fewer of a class, is shown in grey and not ranked."""

MIN_CLUSTERS = 10
"""Fewer clusters do not tell how far a number may be off."""


@dataclass(frozen=True, kw_only=True)
class StudiedSlice:
    """One slice.

    Attributes:
        name: What people call it.
        source: Column or predicate that it comes from.
        rows: Positions of its rows.
        why_small: Why nothing is concluded about it; empty where something is.
        score, elsewhere, contrast: The metric here, of all other rows, and whether they differ;
            None where `why_small` says something.
    """

    name: str
    source: str
    is_asked: bool
    rows: np.ndarray
    why_small: str = ""
    score: Score | None = None
    elsewhere: Score | None = None
    contrast: Contrast | None = None


@dataclass(frozen=True, kw_only=True)
class Study:
    """All slices of the analysis part.

    Attributes:
        judged: Rows as the metric sees them.
        clusters: Cluster of each row; None where rows are independent.
        overall: The metric of all rows.
    """

    slicings: Slicings
    judged: Judged
    overall: Score
    slices: tuple[StudiedSlice, ...]

    @property
    def tested(self) -> tuple[StudiedSlice, ...]:
        """The slices that are large enough."""
        return tuple(item for item in self.slices if item.contrast is not None)


_last: list[tuple[weakref.ref[Examined], Study]] = []
"""Two sections need the same study of the same winner; a second one would double its cost."""


def study_slices(examined: Examined) -> Study:
    """Score every slice of the analysis part against all other rows."""
    for of, study in _last:
        if of() is examined:
            return study
    study = _study(examined)
    _last[:] = [(weakref.ref(examined), study)]
    return study


def judged_rows(metric: Metric, examined: Examined) -> Judged:
    """Return the analysis part as a metric is to see it."""
    rows = examined.analysis
    return Judged(
        y=rows.y,
        prediction=seen_by(metric, rows.prediction, examined.threshold),
        clusters=clusters_of(rows.groups, rows.times),
    )


def why_small(y: np.ndarray, n_classes: int, clusters: np.ndarray | None) -> str:
    """Return why so few rows say nothing, as the end of a sentence; empty where they do.

    A class that many tasks have beside two others is allowed to be rare: what is said about
    single classes looks at those with rows enough.

    Args:
        y: Class codes or values of the rows.
        n_classes: 0 for regression.
        clusters: Of the rows.

    Examples:
        >>> why_small(np.zeros(99), 0, None)
        'it has 99 rows, and 100 are needed'
    """
    if len(y) < MIN_ROWS:
        return f"it has {len(y):,} rows, and {MIN_ROWS} are needed"
    if n_classes:
        counts = np.sort(np.bincount(y.astype(np.intp), minlength=n_classes))[::-1]
        if counts[1] < MIN_CLASS_ROWS:
            found = f"{counts[1]:,} rows of {'one' if n_classes == 2 else 'the second'} class"
            return f"it has {found}, and {MIN_CLASS_ROWS} are needed"
    if clusters is not None:
        n_clusters = int(np.count_nonzero(np.bincount(clusters)))
        if n_clusters < MIN_CLUSTERS:
            return f"it has rows of {n_clusters:,} clusters, and {MIN_CLUSTERS} are needed"
    return ""


def _study(examined: Examined) -> Study:
    judged = judged_rows(examined.metric, examined)
    rows, n_classes = examined.analysis, len(examined.classes)

    def is_large(chosen: np.ndarray) -> bool:
        clusters = None if judged.clusters is None else judged.clusters[chosen]
        return not why_small(rows.y[chosen], n_classes, clusters)

    slicings = make_slicings(examined.request, examined.profile, rows.frame, is_large=is_large)
    return Study(
        slicings=slicings,
        judged=judged,
        overall=score(examined.metric, judged, seed=examined.seed),
        slices=tuple(
            _studied(
                StudiedSlice(
                    name=name,
                    source=slicing.source,
                    is_asked=slicing.is_asked,
                    rows=slicing.rows(number),
                ),
                slicing.others(number),
                judged,
                examined,
            )
            for slicing in slicings.found
            for number, name in enumerate(slicing.names)
        ),
    )


def _studied(
    item: StudiedSlice, others: np.ndarray, judged: Judged, examined: Examined
) -> StudiedSlice:
    """Return a slice with its scores, or with why it has none."""
    metric, n_classes = examined.metric, len(examined.classes)
    here = judged.take(item.rows)
    if reason := why_small(here.y, n_classes, here.clusters):
        return replace(item, why_small=reason)
    # Only a random part of what is compared with, where more than a sum is needed of it.
    if len(others) > MAX_OTHERS and not is_cheap(metric):
        rng = np.random.default_rng(examined.seed)
        others = np.sort(rng.choice(others, MAX_OTHERS, replace=False, shuffle=False))
    there = judged.take(others)
    if reason := why_small(there.y, n_classes, there.clusters):
        why = reason.replace("it has", "they have", 1)
        return replace(item, why_small=f"all other rows are too few: {why}")
    try:
        ours = score(metric, here, seed=examined.seed)
        theirs = score(metric, there, seed=examined.seed + 1)
    except ContractError as error:
        return replace(item, why_small=f"{metric.label} is undefined for it: {error}")
    if not np.isfinite([ours.error, theirs.error]).all():
        return replace(item, why_small=f"too few of its rows count for {metric.label}")
    return replace(item, score=ours, elsewhere=theirs, contrast=contrast(ours, theirs))
