"""Is the winner better than the version that is in use, and whose decisions would change?"""

import numpy as np

from automl_assets.core.comparing.changes import (
    Changes,
    find_changes,
    metric_differences,
    shown_features,
)
from automl_assets.core.evaluation.clusters import clusters_of
from automl_assets.core.evaluation.comparison import Difference
from automl_assets.core.evaluation.examination import Examined, Rival, Section
from automl_assets.core.evaluation.wording import percent, shown, shown_interval
from automl_assets.core.values import Value

FEWEST_ROWS = 50


class ChampionComparison(Value):
    """The winner beside the version in use, on the same rows.

    Attributes:
        n_seen: Rows that were left out because the champion was made from them.
        reason: Why nothing was compared; empty where something was.
        difference: Gain of the winner in the metric of the search; paired.
    """

    name: str
    version: str
    data_uri: str
    n_rows: int
    n_seen: int
    reason: str = ""
    difference: Difference | None = None
    changes: Changes | None = None


def aligned(prediction: np.ndarray, theirs: tuple[str, ...], ours: tuple[str, ...]) -> np.ndarray:
    """Return probabilities with their columns in the order of our classes.

    Examples:
        >>> aligned(np.array([[0.9, 0.1]]), ("no", "yes"), ("yes", "no")).tolist()
        [[0.1, 0.9]]
    """
    return prediction[:, [theirs.index(name) for name in ours]] if ours else prediction


def _not_comparable(examined: Examined, champion: Rival) -> str:
    theirs = champion.predictor.manifest
    if theirs.task_type != examined.profile.task_type:
        return f"it solves another kind of task ({theirs.task_type})"
    if sorted(theirs.classes) != sorted(examined.classes):
        return "it knows other classes"
    missing = [
        column.name
        for column in champion.predictor.columns
        if column.name not in examined.analysis.frame.columns
    ]
    return f"it needs columns that these data lack ({', '.join(missing[:5])})" if missing else ""


def examine(examined: Examined) -> ChampionComparison | None:
    """Compare with the champion; None where there is none."""
    champion, rows = examined.champion, examined.analysis
    if champion is None:
        return None
    reason = _not_comparable(examined, champion)
    seen = np.zeros(len(rows.y), np.bool_) if champion.seen is None else champion.seen
    n_left = int((~seen).sum())
    if not reason and n_left < FEWEST_ROWS:
        reason = (
            f"it was made from {int(seen.sum()):,} of the {len(seen):,} rows, so only {n_left:,} "
            f"are new to both (at least {FEWEST_ROWS} are needed)"
        )
    if reason:
        return _told(champion, n_rows=n_left, n_seen=int(seen.sum())).model_copy(
            update={"reason": reason}
        )
    new = np.flatnonzero(~seen)
    clusters = clusters_of(
        None if rows.groups is None else rows.groups[new],
        None if rows.times is None else rows.times[new],
    )
    frame, y, ours = rows.frame[new], rows.y[new], rows.prediction[new]
    predictor = champion.predictor
    theirs = predictor.predict_array(frame)
    classes = examined.classes
    decisions = None
    if classes:
        code_of = np.array([classes.index(name) for name in predictor.manifest.classes])
        decisions = (examined.decisions(ours), code_of[predictor.decide(theirs)])
        theirs = aligned(theirs, predictor.manifest.classes, classes)
    differences = metric_differences(
        (examined.metric.name,),
        y,
        (ours, examined.threshold),
        (theirs, predictor.manifest.threshold),
        seed=examined.seed,
        confidence=examined.confidence,
        groups=clusters,
    )
    changes = find_changes(
        frame.select(shown_features(examined.profile)),
        ours,
        theirs,
        classes=classes,
        decisions=decisions,
        spread=0.0 if classes else float(y.std()),
        confidence=examined.confidence,
        groups=clusters,
    )
    told = _told(champion, n_rows=len(new), n_seen=int(seen.sum()))
    gain = differences[0] if differences else None
    return told.model_copy(update={"difference": gain, "changes": changes})


def _told(champion: Rival, *, n_rows: int, n_seen: int) -> ChampionComparison:
    return ChampionComparison(
        name=champion.name,
        version=champion.version,
        data_uri=champion.data_uri,
        n_rows=n_rows,
        n_seen=n_seen,
    )


def sentences(found: Value) -> tuple[str, ...]:
    """Say whether the winner is better than the champion."""
    assert isinstance(found, ChampionComparison)
    name = f"version {found.version}, the champion"
    if found.reason:
        return (f"It was not compared with {name}: {found.reason}.",)
    gain, changes = found.difference, found.changes
    if gain is None or changes is None:
        return ()
    interval = shown_interval(gain.low, gain.high)
    told = f"not shown to be better than {name}"
    if gain.is_better:
        told = f"better than {name}"
    elif gain.is_worse:
        told = f"worse than {name}"
    return (
        f"It is {told}: the gain in {gain.metric} is {shown(gain.gain)}, interval {interval}; "
        f"{percent(changes.share)} of decisions change.",
    )


def limits(found: Value) -> tuple[str, ...]:
    """Say what was left out."""
    assert isinstance(found, ChampionComparison)
    if not found.n_seen or found.reason:
        return ()
    return (
        f"The comparison with the champion leaves out {found.n_seen:,} rows that the champion "
        "was made from.",
    )


SECTION = Section(
    name="champion",
    title="Against the version in use",
    position=35,
    result=ChampionComparison,
    examine=examine,
    sentences=sentences,
    limits=limits,
)
