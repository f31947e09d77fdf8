"""A picture of how a search went."""

from io import BytesIO

from automl_assets.core.values import CandidateSet


def history_png(candidates: CandidateSet) -> bytes:
    """Draw each trial's validation score, and the best so far, as a small PNG."""
    from matplotlib.figure import Figure

    trials = sorted(
        (item for item in candidates.leaderboard if item.score is not None),
        key=lambda item: item.number,
    )
    better = max if candidates.direction == "maximize" else min
    best: list[float] = []
    for item in trials:
        score = float(item.score or 0.0)
        best.append(better(best[-1], score) if best else score)
    figure = Figure(figsize=(6.4, 2.8), dpi=90, layout="constrained")
    axes = figure.add_subplot()
    for family in sorted({item.family for item in trials}):
        points = [item for item in trials if item.family == family]
        axes.scatter(
            [item.number for item in points], [item.score for item in points], s=16, label=family
        )
    axes.step([item.number for item in trials], best, where="post", color="0.3", label="best so far")
    axes.set_xlabel("trial")
    axes.set_ylabel(f"{candidates.metric}, validation part")
    axes.legend(fontsize=7)
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
