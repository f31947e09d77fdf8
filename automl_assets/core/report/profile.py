"""The profile of a table as one page for people."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from automl_assets.core.evaluation.wording import percent, short, shown
from automl_assets.core.profile.personal import personal_columns
from automl_assets.core.profile.sample import SAMPLE_ROWS
from automl_assets.core.report.profile_figures import period_bars, period_line, quantile_box
from automl_assets.core.values import (
    ColumnProfile,
    PeriodCount,
    RowStep,
    Split,
    TableProfile,
)

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup

MAX_COLUMNS = 1_000
MAX_LISTED = 200
MAX_CLASSES = 20
MAX_PERIODS = 200
MAX_TOP = 3
MAX_SENTENCE = 600


@dataclass(frozen=True, kw_only=True)
class ProfilePage:
    """All that the page shows.

    Attributes:
        source: How people know the table.
        columns: In the order of the table.
        n_duplicates: None where they were not counted.
        rows: How many rows each step left; empty where nothing was left out.
        profile: What follows for a task; None without a target.
        target: Name of the column to predict.
        split: The parts, if there are any.
        personal: Columns with personal data, where no profile with findings tells them.
    """

    source: str
    n_rows: int
    columns: tuple[ColumnProfile, ...]
    n_duplicates: int | None = None
    rows: tuple[RowStep, ...] = ()
    profile: TableProfile | None = None
    target: str | None = None
    split: Split | None = None
    personal: frozenset[str] = frozenset()

    @property
    def hidden(self) -> frozenset[str]:
        """The columns whose values are not shown: those with personal data."""
        return self.personal | personal_columns(self.profile)


def render_profile(page: ProfilePage) -> str:
    """Return one self-contained page without scripts; text from data is escaped.

    Equal pages give equal bytes. Long lists are cut, and the page says so. The values of
    columns with personal data are not shown.
    """
    template = _templates().get_template("profile.html.j2")
    profile = page.profile
    return template.render(
        page=page,
        profile=profile,
        dropped={column.name: column.reason for column in profile.dropped} if profile else {},
        features=frozenset(profile.features) if profile else frozenset(),
        hidden=page.hidden,
        charts=_charts(profile) if profile else (),
        max_columns=MAX_COLUMNS,
        max_listed=MAX_LISTED,
        max_classes=MAX_CLASSES,
        max_periods=MAX_PERIODS,
        max_top=MAX_TOP,
        exact_rows=SAMPLE_ROWS,
    )


@dataclass(frozen=True, kw_only=True)
class _Chart:
    title: str
    caption: str
    svg: "Markup"


def _charts(profile: TableProfile) -> tuple[_Chart, ...]:
    """Return the figures of the target over time."""
    periods = profile.target_over_time[:MAX_PERIODS]
    if not periods:
        return ()
    ends = f"from {periods[0].period} to {periods[-1].period}"
    values, title = _over_time(periods, profile)
    known = [value for value in values if value is not None] or [0.0]
    low, high = (0.0, max(known)) if profile.classes else (min(known), max(known))
    least = f"Between {shown(min(known))} and {shown(max(known))}, {ends}."
    rows = f"Rows of each period, {ends}."
    return (
        _Chart(
            title=title,
            caption=least,
            svg=_markup(period_line(values, label=f"{title}. {least}", low=low, high=high)),
        ),
        _Chart(
            title="Rows",
            caption=rows,
            svg=_markup(period_bars([period.n_rows for period in periods], label=rows)),
        ),
    )


def _over_time(
    periods: Sequence[PeriodCount], profile: TableProfile
) -> tuple[list[float | None], str]:
    if not profile.classes:
        return [period.mean for period in periods], "Mean of the target"
    # Of several classes the most frequent is drawn; the table beside it has all.
    binary = profile.task_type == "binary"
    counts = profile.class_counts
    position = len(profile.classes) - 1 if binary else counts.index(max(counts))
    shares = [
        period.class_counts[position] / period.n_rows if period.n_rows else None
        for period in periods
    ]
    return shares, f"Share of {short(profile.classes[position])!r}"


@cache
def _templates() -> "jinja2.Environment":
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("automl_assets.core.report"),
        autoescape=lambda name: name is not None and name.endswith((".html.j2", ".css.j2")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        shown=shown,
        short=short,
        percent=percent,
        count=lambda number: f"{number:,}",
        box=lambda column: _markup(quantile_box(column.quantiles)),
        end=range_end,
        sentence=_sentence,
        looks=looks_like,
    )
    return environment


def looks_like(column: ColumnProfile) -> str:
    """Return the type of a column and what it holds beyond it, for people."""
    return f"{column.dtype}, {column.holds}" if column.holds else column.dtype


def range_end(text: str | None) -> str:
    """Return the end of a range as people read it."""
    if text is None:
        return ""
    try:
        return shown(float(text))
    except ValueError:
        return short(text.removesuffix(".000000").removesuffix(" 00:00:00"))


def _sentence(text: str) -> str:
    return text if len(text) <= MAX_SENTENCE else text[:MAX_SENTENCE] + "…"


def _markup(svg: str) -> "Markup":
    from markupsafe import Markup

    return Markup(svg)
