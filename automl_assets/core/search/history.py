"""A picture of how a search went."""

from io import BytesIO

from automl_assets.core.values import CandidateSet


def history_png(candidates: CandidateSet) -> bytes:
    """Draw each trial's validation score, and the best so far, as a small PNG."""
    from matplotlib.figure import Figure

    trials = sorted(
        (item.number, item.score, item.family)
        for item in candidates.leaderboard
        if item.score is not None
    )
    better = max if candidates.direction == "maximize" else min
    best: list[float] = []
    for _, score, _ in trials:
        best.append(better(best[-1], score) if best else score)
    figure = Figure(figsize=(6.4, 2.8), dpi=90, layout="constrained")
    axes = figure.add_subplot()
    for family in sorted({family for _, _, family in trials}):
        points = [(number, score) for number, score, name in trials if name == family]
        axes.scatter(*zip(*points, strict=True), s=16, label=family)
    axes.step([number for number, _, _ in trials], best, where="post", color="0.3", label="best")
    axes.set_xlabel("trial")
    axes.set_ylabel(f"{candidates.metric}, validation part")
    axes.legend(fontsize=7)
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
