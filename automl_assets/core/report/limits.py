"""What a reader must not conclude, written by rule."""

from collections.abc import Mapping, Set
from types import MappingProxyType

from automl_assets.core.evaluation.openings import Opening
from automl_assets.core.evaluation.result import Evaluation
from automl_assets.core.evaluation.sections import load_sections
from automl_assets.core.evaluation.wording import counted, percent, short, shown, shown_interval
from automl_assets.core.values import CandidateSet, DataSnapshot, Split, Value

MIN_ANALYSIS_ROWS = 500
MIN_CLASS_ROWS = 50
NO_FAILURES: Mapping[str, str] = MappingProxyType({})


def find_limits(
    *,
    snapshot: DataSnapshot,
    split: Split,
    candidates: CandidateSet,
    evaluation: Evaluation,
    sections: Mapping[str, Value],
    opening: Opening,
    failed: Mapping[str, str] = NO_FAILURES,
) -> tuple[str, ...]:
    """Return one sentence or two per limit of what the report shows.

    Args:
        failed: Why a section failed, by its name.
    """
    known = load_sections()
    return (
        *_of_failures(failed),
        *_of_opening(opening),
        *_of_rows(evaluation),
        *_of_search(candidates, evaluation),
        *_of_split(split),
        *(f"The data came with a warning: {text}" for text in snapshot.profile.warnings),
        *_of_calibration(candidates, split),
        *(text for name, found in sections.items() for text in known[name].limits(found)),
        *_unexamined({*sections, *failed}),
    )


def _of_failures(failed: Mapping[str, str]) -> list[str]:
    known = load_sections()
    return [
        f"Section {known[name].title!r} is missing, because it failed: {reason.rstrip('.')}. "
        "Nothing is known of what it would have told; the log of the run has the traceback."
        for name, reason in failed.items()
    ]


def _of_opening(opening: Opening) -> list[str]:
    if opening.number == 1:
        return []
    return [
        f"The analysis part has been opened {opening.number:,} times, for {opening.number:,} "
        "different models: the last of them was chosen knowing what it says of the others. "
        f"Intervals are therefore made at {percent(opening.confidence)} confidence."
    ]


def _of_rows(evaluation: Evaluation) -> list[str]:
    limits = []
    if evaluation.n_rows < MIN_ANALYSIS_ROWS:
        limits.append(
            f"The analysis part has only {evaluation.n_rows:,} rows. Small differences cannot be "
            "seen on it; the intervals say how large they would have to be."
        )
    rare = [result for result in evaluation.by_class if result.n_rows < MIN_CLASS_ROWS]
    if rare:
        least = min(rare, key=lambda result: result.n_rows)
        limits.append(
            f"{len(rare)} of {len(evaluation.classes)} classes have fewer than {MIN_CLASS_ROWS} "
            f"rows in the analysis part, {short(least.name)!r} the fewest ({least.n_rows:,}): what "
            "is said about them is uncertain."
        )
    absent = len(evaluation.classes) - len(evaluation.by_class)
    if absent:
        limits.append(
            f"{absent} of {len(evaluation.classes)} classes have no rows in the analysis part: "
            "nothing is known about them."
        )
    sure = [item.metric for item in evaluation.metrics if item.low == item.high]
    if sure:
        limits.append(
            f"The interval of {', '.join(sure)} has no width, because no resample of these rows "
            "gave another value. That does not make the value certain."
        )
    return limits


def off_choice(candidates: CandidateSet, evaluation: Evaluation) -> str | None:
    """Return a sentence if the model's score when chosen is outside the analysis interval."""
    primary = evaluation.metrics[0]
    score = candidates.best.score if candidates.score is None else candidates.score
    if score is None or primary.low <= score <= primary.high:
        return None
    return (
        f"When the model was chosen it scored {shown(score)} ({candidates.selection}), outside "
        f"the interval of the analysis part, {shown_interval(primary.low, primary.high)}: trust "
        "the analysis part."
    )


def _of_search(candidates: CandidateSet, evaluation: Evaluation) -> list[str]:
    limits = []
    if off_choice(candidates, evaluation) is not None:
        limits.append(
            "The score when the model was chosen is not what the analysis part shows: the choice "
            "was lucky, the refit or the calibration changed the model, or the parts differ."
        )
    if candidates.stopped_by == "time_limit":
        limits.append(
            "The clock ended the search, so another run may stop at another trial: the search "
            "cannot be replayed to the bit. Ask for a number of trials instead where that matters."
        )
    n_cut = sum(item.truncated for item in candidates.leaderboard)
    if n_cut:
        limits.append(
            f"The clock cut {counted(n_cut, 'fit', 'fits')} short: scores might have been better."
        )
    n_failed = sum(item.state == "failed" for item in candidates.leaderboard)
    if n_failed:
        limits.append(f"{n_failed:,} of {len(candidates.leaderboard):,} trials failed.")
    return limits


def _of_calibration(candidates: CandidateSet, split: Split) -> list[str]:
    if candidates.calibration != "none" or candidates.threshold is not None:
        return []
    return [
        f"The calibration part ({split.part('calibration').n_rows:,} rows) is not used by this "
        "model: probabilities and values are as its members give them."
    ]


def _unexamined(sections: Set[str]) -> list[str]:
    """Tell what nobody has looked at."""
    left = [
        section.title.lower() for name, section in load_sections().items() if name not in sections
    ]
    if not left:
        return []
    return [
        f"Not examined, because this task or this request has nothing of the kind: "
        f"{', '.join(left)}."
    ]


def _of_split(split: Split) -> list[str]:
    told = [finding.detail for finding in split.findings if finding.action == "warned"]
    if split.strategy != "random":
        return told
    return [
        *told,
        "The parts were drawn at random. If several rows belong to one person, thing or day, or "
        "if the model will be used on later data, the numbers are too good.",
    ]
