"""Pictures of a search, drawn once for every place that shows them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from automl_assets.core.evaluation.wording import shown
from automl_assets.core.metrics import load_metrics
from automl_assets.core.report.drawing import saved
from automl_assets.core.report.search_importance import parameter_importance
from automl_assets.core.report.search_words import family_accounts, gap
from automl_assets.core.values import Candidate, CandidateSet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_POINTS = 400
MAX_CURVES = 4
MAX_GAPS = 10
MAX_PARAMETERS = 12

_COLOURS = (
    *("#2f5fd0", "#d98200", "#0f9d78", "#c2549b", "#3fa7d6"),
    *("#d1495b", "#8c6bb1", "#8a8d24", "#7f7f7f"),
)
_MARKERS = "osD^vP*Xh"

_STYLE: dict[Any, Any] = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 8,
    "grid.alpha": 0.25,
    "text.parse_math": False,
}


@dataclass(frozen=True, kw_only=True)
class Palette:
    """Colours of what is drawn; those of families suit a light and a dark page."""

    ink: str = "#1b1f24"
    accent: str = "#2f5fd0"
    muted: str = "#667079"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture of a search.

    Attributes:
        height: In inches, for a width of 4.6.
        draw: Draws on empty axes.
    """

    name: str
    title: str
    caption: str
    draw: "Callable[[Axes, Palette], None]" = field(repr=False)
    height: float = 3.0


def search_pictures(candidates: CandidateSet) -> tuple[Picture, ...]:
    """Return the pictures that a search gives rise to, in reading order."""
    found = (
        _history(candidates),
        _families(candidates),
        _curves(candidates),
        _gaps(candidates),
        _importance(candidates),
    )
    return tuple(picture for picture in found if picture is not None)


def picture_png(picture: Picture, *, dpi: int = 80) -> bytes:
    """Draw a picture as a small PNG with a white ground."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5.6, picture.height), dpi=dpi, layout="constrained")
        axes = figure.add_subplot()
        axes.set_axisbelow(True)
        picture.draw(axes, Palette())
        axes.set_title(picture.title, loc="left", fontsize=9)
        return saved(figure, "png", metadata={"Software": None})


def _looks(candidates: CandidateSet) -> dict[str, tuple[str, str]]:
    """Return the colour and marker of each family."""
    families = sorted({item.family for item in candidates.leaderboard})
    return {
        family: (_COLOURS[index % len(_COLOURS)], _MARKERS[index % len(_MARKERS)])
        for index, family in enumerate(families)
    }


def _scored(candidates: CandidateSet) -> list[tuple[Candidate, float]]:
    return [(item, item.score) for item in candidates.leaderboard if item.score is not None]


def _best_so_far(candidates: CandidateSet) -> list[tuple[int, float]]:
    """Return the trials that were the best admissible one when they ended, in their order."""
    better = max if candidates.direction == "maximize" else min
    best: list[tuple[int, float]] = []
    for item, score in sorted(_scored(candidates), key=lambda pair: pair[0].number):
        if item.is_admissible and (not best or better(best[-1][1], score) != best[-1][1]):
            best.append((item.number, score))
    return best


def _history(candidates: CandidateSet) -> Picture | None:
    scored = _scored(candidates)
    best = _best_so_far(candidates)
    if not scored or not best:
        return None
    looks = _looks(candidates)
    # The best half of what is drawn, and every so many of the others: a page has its size.
    half = MAX_POINTS // 2
    step = max(1, -(-len(scored[half:]) // half))
    kept = scored[:half] + scored[half::step]
    last = max(item.number for item in candidates.leaderboard)

    def draw(axes: "Axes", palette: Palette) -> None:
        for family, (colour, marker) in looks.items():
            for admissible in (True, False):
                points = [
                    (item.number, score)
                    for item, score in kept
                    if item.family == family and item.is_admissible == admissible
                ]
                if points:
                    axes.scatter(
                        *zip(*points, strict=True),
                        s=16,
                        marker=marker,
                        facecolors=colour if admissible else "none",
                        edgecolors=colour,
                        linewidths=0.8,
                        label=family if admissible else None,
                    )
        if any(not item.is_admissible for item, _ in kept):
            # One entry for all families: an empty mark is one whatever its colour.
            axes.scatter(
                [], [], s=16, facecolors="none", edgecolors=palette.muted, label="breaks a limit"
            )
        steps = [*best, (last, best[-1][1])]
        axes.step(*zip(*steps, strict=True), where="post", color=palette.ink, linewidth=1.1)
        _zoom(axes, [score for _, score in kept], candidates.direction)
        axes.set_xlabel("Trial")
        axes.set_ylabel(f"{load_metrics()[candidates.metric].label}, {candidates.selection}")
        _legend_below(axes)

    return Picture(
        name="history",
        title="Score by trial",
        caption=f"Each mark is a trial, the line the best admissible one so far: "
        f"{shown(best[0][1])} at trial {best[0][0]}, {shown(best[-1][1])} from trial "
        f"{best[-1][0]} on.",
        draw=draw,
    )


def _legend_below(axes: "Axes", *, n_columns: int = 3) -> None:
    axes.get_figure(root=True).legend(  # pyright: ignore[reportOptionalMemberAccess]
        loc="outside lower center", fontsize=7, frameon=False, ncols=n_columns, columnspacing=1.2
    )


def _zoom(axes: "Axes", scores: list[float], direction: str) -> None:
    """Leave out of sight what is so bad that the good ones would be one line."""
    ordered = sorted(scores, reverse=direction == "maximize")
    best, middle, worst = ordered[0], ordered[len(ordered) // 2], ordered[-1]
    reach = 4 * abs(middle - best)
    if reach == 0 or abs(worst - best) <= 2 * reach:
        return
    margin = 0.08 * reach
    if direction == "maximize":
        axes.set_ylim(best - reach, best + margin)
    else:
        axes.set_ylim(best - margin, best + reach)


def _families(candidates: CandidateSet) -> Picture | None:
    accounts = family_accounts(candidates.leaderboard, candidates.direction)[::-1]
    total = sum(account.cpu_seconds for account in accounts)
    if not total:
        return None
    looks = _looks(candidates)

    def draw(axes: "Axes", palette: Palette) -> None:
        names = [account.family for account in accounts]
        bars = axes.barh(
            names,
            [account.cpu_seconds for account in accounts],
            color=[looks[name][0] for name in names],
            height=0.6,
        )
        labels = [
            f"{account.n_trials} trials"
            + (f", best {shown(account.best)}" if account.best is not None else "")
            for account in accounts
        ]
        axes.bar_label(bars, labels, padding=3, fontsize=7, color=palette.muted)
        axes.margins(x=0.45)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("CPU seconds")

    most = accounts[-1]
    return Picture(
        name="families",
        title="Time by family",
        caption=f"{shown(total)} CPU seconds in trials; {most.family} took "
        f"{most.cpu_seconds / total:.0%} of them.",
        draw=draw,
        height=0.9 + 0.32 * len(accounts),
    )


def _curves(candidates: CandidateSet) -> Picture | None:
    drawn = [item for item in candidates.leaderboard if len(item.curve) > 1][:MAX_CURVES]
    if not drawn:
        return None
    looks = _looks(candidates)

    def draw(axes: "Axes", palette: Palette) -> None:
        for index, item in enumerate(drawn):
            iterations, losses = zip(*item.curve, strict=True)
            axes.plot(
                iterations,
                losses,
                color=looks[item.family][0],
                linestyle=("-", "--", ":", "-.")[index],
                linewidth=1.5,
                label=f"trial {item.number}, {item.family}",
            )
            low = min(losses)
            axes.plot(
                [iterations[losses.index(low)]], [low], marker="o", markersize=4, color=palette.ink
            )
        axes.set_xlabel("Iterations")
        axes.set_ylabel("Validation loss")
        _legend_below(axes, n_columns=2)

    return Picture(
        name="curves",
        title="Learning curves of the best",
        caption="Loss on rows that were not fitted on, as a fit goes on; a dot is its lowest. A "
        "curve that still falls at its end was stopped too early, one that rises learns by heart.",
        draw=draw,
    )


def _gaps(candidates: CandidateSet) -> Picture | None:
    drawn = [
        (item, item.train_score, item.score)
        for item in candidates.leaderboard
        if item.train_score is not None and item.score is not None
    ][:MAX_GAPS][::-1]
    if not drawn:
        return None
    widest = max((gap(item, candidates.direction) or 0.0 for item, _, _ in drawn), default=0.0)

    def draw(axes: "Axes", palette: Palette) -> None:
        names = [f"{item.number} {item.family}" for item, _, _ in drawn]
        train, score = [row[1] for row in drawn], [row[2] for row in drawn]
        axes.hlines(names, train, score, color=palette.muted, linewidth=1)
        axes.scatter(
            train, names, s=22, facecolors="none", edgecolors=palette.ink, label="fitted rows"
        )
        axes.scatter(score, names, s=22, color=palette.accent, label="other rows", zorder=3)
        axes.grid(visible=False, axis="y")
        axes.margins(y=0.12)
        axes.set_xlabel(load_metrics()[candidates.metric].label)
        _legend_below(axes)

    return Picture(
        name="gaps",
        title="Train and validation",
        caption="The score of each of the best on rows it was fitted on, and on others. The "
        f"widest gap is {shown(widest)}.",
        draw=draw,
        height=1.1 + 0.24 * len(drawn),
    )


def _importance(candidates: CandidateSet) -> Picture | None:
    found = parameter_importance(candidates)
    if not found:
        return None
    by_share = sorted(found, key=lambda item: (-item.share, item.family, item.parameter))
    drawn = by_share[:MAX_PARAMETERS][::-1]
    looks = _looks(candidates)

    def draw(axes: "Axes", palette: Palette) -> None:
        names = [f"{item.family}.{item.parameter}" for item in drawn]
        bars = axes.barh(
            names,
            [item.share for item in drawn],
            color=[looks[item.family][0] for item in drawn],
            height=0.6,
        )
        labels = [f"{item.share:.0%}" for item in drawn]
        axes.bar_label(bars, labels, padding=3, fontsize=7, color=palette.muted)
        axes.margins(x=0.15)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("Share within its family")

    return Picture(
        name="parameters",
        title="Hyperparameters that mattered",
        caption="How much the values in a family's best quarter differ from those of all its "
        "trials (PED-ANOVA).",
        draw=draw,
        height=0.9 + 0.24 * len(drawn),
    )
