"""What is told about slices."""

from typing import Literal

from automl_assets.core.evaluation.slicing import LeftOut
from automl_assets.core.evaluation.slicing.figures import DominantLabel, SliceFigure
from automl_assets.core.evaluation.wording import short, shown, shown_interval
from automl_assets.core.values import Value

Standing = Literal["worse", "better", "alike", "too small"]


class Slice(Value):
    """One slice.

    Attributes:
        source: Column or predicate that it comes from.
        share: Of all rows.
        standing: Against all other rows, after Holm's correction.
        why_small: Why it is not ranked.
        low, high: Simultaneous interval of `value`.
        shrunken: `value` drawn towards the others as far as its error calls for.
        elsewhere: The metric of all other rows.
        difference, difference_low, difference_high: `value` - `elsewhere`; the interval is
            simultaneous.
        p_value: After Holm's correction.
        method: How the interval was made.
        dominant: A class that swallows the others here.
    """

    name: str
    source: str
    is_asked: bool
    n_rows: int
    share: float
    standing: Standing
    why_small: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    shrunken: float | None = None
    elsewhere: float | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    p_value: float | None = None
    method: str = ""
    figures: tuple[SliceFigure, ...] = ()
    dominant: DominantLabel | None = None

    def told(self, label: str) -> str:
        """Return what a person must know of a slice that was compared."""
        value, low, high, elsewhere = (
            number or 0.0 for number in (self.value, self.low, self.high, self.elsewhere)
        )
        return (
            f"{short(self.name)}: {label} {shown(value)} {shown_interval(low, high)} against "
            f"{shown(elsewhere)} elsewhere"
        )


class SliceGapCheck(Value):
    """The limit `slice_gap` on the analysis part; `found` is None where it cannot be told."""

    metric: str
    by: tuple[str, ...]
    limit: float
    found: float | None
    why_not: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the difference is within the limit."""
        return None if self.found is None else self.found <= self.limit


class SliceReport(Value):
    """The metric of every slice.

    Attributes:
        overall, overall_low, overall_high: The metric of all rows.
        confidence: Of the overall interval, and of each number beside the metric by itself.
        simultaneous_confidence: Of each slice's interval, so that all hold together with
            `confidence`.
        n_tests: Slices that were compared with the rest.
        is_clustered: Whether intervals count groups or blocks of time, not rows.
        follows_base_rate: Whether the metric depends on the share of positive rows.
        slices: The worst first, by shrunken value; those that are too small last.
    """

    metric: str
    label: str
    direction: Literal["maximize", "minimize"]
    overall: float
    overall_low: float
    overall_high: float
    confidence: float
    simultaneous_confidence: float
    n_rows: int
    n_tests: int
    seed: int
    is_clustered: bool
    follows_base_rate: bool
    slices: tuple[Slice, ...]
    left_out: tuple[LeftOut, ...]
    gap: SliceGapCheck | None = None

    @property
    def worse(self) -> tuple[Slice, ...]:
        """Slices that are worse than the rest beyond chance, the worst first."""
        return tuple(item for item in self.slices if item.standing == "worse")

    @property
    def better(self) -> tuple[Slice, ...]:
        """Slices that are better than the rest beyond chance."""
        return tuple(item for item in self.slices if item.standing == "better")

    @property
    def dominated(self) -> tuple[Slice, ...]:
        """Slices in which one class swallows the others."""
        return tuple(item for item in self.slices if item.dominant is not None)
