"""Whether groups of rows are treated alike: rates of decisions and of errors, group by group."""

from automl_assets.core.evaluation.examination import Examined, Section
from automl_assets.core.evaluation.slicing import LeftOut, asked_columns, slicing_of_column
from automl_assets.core.evaluation.slicing.groups import (
    Disparity,
    FairnessColumn,
    compare_groups,
)
from automl_assets.core.evaluation.slicing.study import judged_rows
from automl_assets.core.evaluation.wording import counted, short, shown, shown_interval
from automl_assets.core.profile.personal import personal_columns
from automl_assets.core.values import Value


class FairnessReport(Value):
    """Groups by each column that people asked for.

    Attributes:
        confidence: Of each group's interval by itself, and of each largest difference.
        is_clustered: Whether intervals count groups of rows or blocks of time, not rows.
        left_out: Columns that were asked for and are not compared, and why.
    """

    n_rows: int
    confidence: float
    is_clustered: bool
    columns: tuple[FairnessColumn, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def beyond_chance(self) -> tuple[tuple[str, Disparity], ...]:
        """Column and difference, where even the good end of the interval is one."""
        return tuple(
            (column.column, item)
            for column in self.columns
            for item in column.disparities
            if item.low > 0
        )


def examine(examined: Examined) -> FairnessReport | None:
    """Compare groups by the columns under `slices` and `slice_gap`; None if there are none."""
    frame = examined.analysis.frame
    names = asked_columns(examined.request, frame)
    if not names:
        return None
    judged = judged_rows(examined.metric, examined)
    hidden = personal_columns(examined.profile)
    columns: list[FairnessColumn] = []
    left_out: list[LeftOut] = []
    for name in names:
        if name in hidden:
            why = "it holds personal data, of which no value is shown"
            left_out.append(LeftOut(what=name, why=why))
            continue
        slicing = slicing_of_column(name, frame)
        found = None if slicing is None else compare_groups(slicing, examined, judged.clusters)
        if found is None:
            left_out.append(LeftOut(what=name, why="fewer than two groups are large enough"))
        else:
            columns.append(found)
    return FairnessReport(
        n_rows=len(judged),
        confidence=examined.confidence,
        is_clustered=judged.clusters is not None,
        columns=tuple(columns),
        left_out=tuple(left_out),
    )


def _sentences(report: Value) -> tuple[str, ...]:
    assert isinstance(report, FairnessReport)
    if not report.columns:
        return ()
    found = report.beyond_chance
    if not found:
        return ("Between the groups that were asked for, no difference is beyond chance.",)
    # What is furthest from chance, in units of its own interval: bias has the target's unit.
    column, item = max(found, key=lambda pair: pair[1].low / (pair[1].high - pair[1].low or 1.0))
    of_class = f" of {short(item.of_class)!r}" if item.of_class else ""
    return (
        f"Groups by {short(column)} differ in {_in_sentence(item.label)}{of_class} by "
        f"{shown(item.difference)} {shown_interval(item.low, item.high)}: {short(item.lowest)} "
        f"{shown(item.lowest_value)}, {short(item.highest)} {shown(item.highest_value)}.",
    )


def _in_sentence(label: str) -> str:
    return label if label.isupper() else label[0].lower() + label[1:]


def _limits(report: Value) -> tuple[str, ...]:
    assert isinstance(report, FairnessReport)
    told = [
        "Differences between groups describe these rows. They are no finding about law, cause "
        "or intent, and groups that nobody asked for were not compared."
    ]
    n_small = sum(bool(group.why_small) for column in report.columns for group in column.groups)
    if n_small:
        told.append(f"{counted(n_small, 'group was', 'groups were')} too small to be compared.")
    return tuple(told)


SECTION = Section(
    name="fairness",
    title="Groups compared",
    position=32,
    result=FairnessReport,
    examine=examine,
    sentences=_sentences,
    limits=_limits,
)
