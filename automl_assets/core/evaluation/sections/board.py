"""Which candidates are as good as the best, and how much of the best score is luck?"""

from typing import Literal

from pydantic import Field

from automl_assets.core.evaluation.examination import Examined, Section
from automl_assets.core.evaluation.wording import percent, shown, shown_interval
from automl_assets.core.metrics import load_metrics
from automl_assets.core.values import Board, CandidateSet, Value

MAX_SHOWN = 15


class Entry(Value):
    """One of the best candidates."""

    number: int = Field(description="Trial number.")
    family: str
    score: float
    p_best: float
    is_tied: bool
    model_bytes: int | None
    weight: float = Field(description="In the model; 0: it is not in it.")


class Leaderboard(Value):
    """What can be said of the candidates by the rows that they were chosen by.

    Attributes:
        n_admissible: Candidates that are complete and break no limit, compared or not.
        entries: The best of those compared, best first.
        n_tied: Of those compared, also of those that are not among the entries.
        ignored_group: Column of the groups, where their rows were taken for independent.
    """

    metric: str
    direction: Literal["maximize", "minimize"]
    selection: str
    select: Literal["best", "simplest_of_tied"]
    winner: int
    n_members: int
    n_admissible: int
    n_compared: int
    n_tied: int
    entries: tuple[Entry, ...]
    naive: float
    corrected: float
    low: float
    high: float
    confidence: float
    method: str
    seed: int
    n_rows: int
    n_drawn: int
    by_group: bool
    ignored_group: str = ""


def examine(examined: Examined) -> Leaderboard | None:
    """Return the leaderboard; None where nobody could tell who is tied."""
    candidates, board = examined.candidates, examined.candidates.board
    if board is None:
        return None
    told = ("metric", "direction", "naive", "corrected", "low", "high", "confidence")
    how = ("method", "seed", "n_rows", "n_drawn", "by_group")
    group = examined.request.data.group
    return Leaderboard(
        **{name: getattr(board, name) for name in (*told, *how)},
        selection=candidates.selection,
        select=candidates.select,
        winner=candidates.winner,
        n_members=max(1, len(candidates.members)),
        n_admissible=sum(item.is_admissible for item in candidates.leaderboard),
        n_compared=len(board.contenders),
        n_tied=len(board.tied),
        entries=_entries(candidates, board),
        ignored_group=group if group and not board.by_group else "",
    )


def _entries(candidates: CandidateSet, board: Board) -> tuple[Entry, ...]:
    known = {item.number: item for item in candidates.leaderboard}
    weights = {item.number: item.weight for item in candidates.members}
    weights = weights or {candidates.winner: 1.0}
    # One that won is shown whatever its place is: the simplest of many may be far down.
    shown_ones = [
        item
        for place, item in enumerate(board.contenders)
        if place < MAX_SHOWN or item.number in weights
    ]
    return tuple(
        Entry(
            number=item.number,
            family=known[item.number].family,
            score=item.score,
            p_best=item.p_best,
            is_tied=item.is_tied,
            model_bytes=known[item.number].model_bytes,
            weight=weights.get(item.number, 0.0),
        )
        for item in shown_ones
        if item.number in known
    )


def sentences(found: Value) -> tuple[str, ...]:
    """Say how many candidates are tied, and what the best of them is worth."""
    assert isinstance(found, Leaderboard)
    label = load_metrics()[found.metric].label
    told = (
        f"One candidate is better than the {found.n_compared - 1:,} others by more than chance "
        "explains."
        if found.n_tied == 1
        else f"{found.n_tied:,} of {found.n_compared:,} candidates cannot be told apart from the "
        "best."
    )
    return (
        told,
        f"The best one's {label} when chosen, {shown(found.naive)}, is worth "
        f"{shown(found.corrected)} {shown_interval(found.low, found.high)} once its luck is taken "
        "off.",
    )


def limits(found: Value) -> tuple[str, ...]:
    """Say what the comparison left out of account."""
    assert isinstance(found, Leaderboard)
    told = []
    if found.n_admissible > found.n_compared:
        told.append(
            f"Ties and the corrected score are those of the best {found.n_compared:,} of "
            f"{found.n_admissible:,} admissible candidates. To be among them took luck, too, which "
            "is not taken off."
        )
    if found.ignored_group:
        told.append(
            f"Candidates were compared row by row, though rows of one {found.ignored_group!r} are "
            "alike: more of them may be tied, and the interval of the corrected score is too "
            "narrow."
        )
    if found.n_members > 1:
        told.append(
            f"The model is a mean of {found.n_members} candidates, chosen on the same rows; the "
            f"corrected score is that of its best single candidate ({percent(found.confidence)} "
            "interval)."
        )
    return tuple(told)


SECTION = Section(
    name="board",
    title="Leaderboard",
    position=10,
    result=Leaderboard,
    examine=examine,
    sentences=sentences,
    limits=limits,
)
