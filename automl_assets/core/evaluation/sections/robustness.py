"""What happens to decisions when inputs are a little off, incomplete, or in another unit."""

from collections.abc import Callable, Iterator

import numpy as np
import polars as pl

from automl_assets.core.encoding import ColumnEncoding
from automl_assets.core.evaluation.disturbing import (
    are_whole,
    emptied,
    jittered,
    scaled,
    shifted,
    unseen,
    with_holes,
)
from automl_assets.core.evaluation.drawn import (
    affordable_rows,
    draw_rows,
    seconds_per_row,
    taken,
)
from automl_assets.core.evaluation.effects import Bench, Effect, Kind, said
from automl_assets.core.evaluation.examination import Examined, Section
from automl_assets.core.evaluation.wording import percent, short
from automl_assets.core.request import TrainingRequest
from automl_assets.core.request.release import Robustness
from automl_assets.core.values import Value

DEFAULTS = Robustness(jitter=0.02, missing=0.05, unseen_category=True)
"""What is tried where the request has no `robustness`."""

MAX_ROWS = 10_000
"""Rows that all columns are disturbed on: a share of decisions is then within a percent."""

MAX_COLUMN_ROWS = 2_000
"""Rows that one column is disturbed on."""

FEWEST_ROWS = 200

MAX_LISTED = 50
"""Columns that are told, the most sensitive ones."""

N_CLOSE, N_WAYS = 10, 4
"""Columns of which every disturbance is tried, up to so many beside leaving it empty: those whose
loss changes most."""

N_TOGETHER = 6
"""Disturbances whose loss is told: two of all columns, and the largest of each kind."""

UNIT = 1_000.0
"""The mistake of kilograms for grams, of euros for thousands of euros."""


class ColumnEffects(Value):
    """What disturbing one column does, the largest effect first."""

    name: str
    kind: str
    effects: tuple[Effect, ...]


class Disturbances(Value):
    """How decisions bear disturbed inputs.

    Attributes:
        effects: Of all columns together, and of each kind the column with the largest effect.
        columns: The most sensitive column first, at most `MAX_LISTED`.
        n_columns: Raw columns of the model.
        n_looked_at: Of these, columns that were disturbed alone.
        was_asked: Whether the request says how inputs are disturbed.
    """

    metric: str
    is_regression: bool
    jitter: float
    missing: float
    was_asked: bool
    seed: int
    n_rows: int
    n_column_rows: int
    n_columns: int
    n_looked_at: int
    effects: tuple[Effect, ...]
    columns: tuple[ColumnEffects, ...]
    notes: tuple[str, ...] = ()


_Trial = tuple[Kind, str, Callable[[pl.Series], pl.Series]]


def _trials(column: ColumnEncoding, values: pl.Series, asked: Robustness) -> Iterator[_Trial]:
    """Yield what is tried with one column besides leaving it empty."""
    if column.kind == "numeric":
        yield "unit", f"{UNIT:,.0f} times too large", lambda v: scaled(v, column, UNIT)
        yield "unit", f"{UNIT:,.0f} times too small", lambda v: scaled(v, column, 1 / UNIT)
        if are_whole(values, column):
            yield "off by one", "1 too large", lambda v: shifted(v, column, 1.0)
            yield "off by one", "1 too small", lambda v: shifted(v, column, -1.0)
    if column.kind == "categorical" and asked.unseen_category:
        yield "unseen category", "a category never seen", lambda v: unseen(v, column)


def _all_columns(examined: Examined, bench: Bench, asked: Robustness) -> Iterator[Effect]:
    """Yield what happens when all columns are disturbed a little."""
    rng = np.random.default_rng(examined.seed)
    columns, frame = examined.predictor.preprocessing.columns, bench.rows.frame
    noisy = [column for column in columns if column.kind == "numeric"]
    if asked.jitter and noisy:
        changed = {
            column.name: jittered(
                frame[column.name], column, asked.jitter * rng.standard_normal(frame.height)
            )
            for column in noisy
        }
        how = f"noise of {percent(asked.jitter)} of its spread on every number"
        yield bench.effect("jitter", how, changed, n_tried=1)
    if asked.missing:
        changed = {
            column.name: with_holes(frame[column.name], rng.random(frame.height) < asked.missing)
            for column in columns
        }
        how = f"{percent(asked.missing)} of all values missing"
        yield bench.effect("missing", how, changed, n_tried=1)


def _by_column(
    examined: Examined, bench: Bench, asked: Robustness, n_most: int
) -> list[tuple[Effect, pl.Series]]:
    """Return what happens when one column is emptied, and, of the most sensitive, all else."""
    columns, frame = examined.predictor.preprocessing.columns, bench.rows.frame
    chosen = columns[:: -(-len(columns) // max(1, n_most))]

    def alone(kind: Kind, how: str, values: pl.Series) -> tuple[Effect, pl.Series]:
        changed = {values.name: values}
        return bench.effect(kind, how, changed, column=values.name), values

    how = "the whole column empty"
    found = [alone("missing column", how, emptied(frame[item.name])) for item in chosen]
    by_name = {column.name: column for column in chosen}
    for leader in sorted((effect for effect, _ in found), key=_order)[:N_CLOSE]:
        values = frame[leader.column]
        for kind, said_of, disturb in _trials(by_name[leader.column], values, asked):
            found.append(alone(kind, said_of, disturb(values)))
    return found


def _order(effect: Effect) -> tuple[float, str]:
    return -effect.size, effect.column


def _largest(bench: Bench, found: list[tuple[Effect, pl.Series]]) -> Iterator[Effect]:
    """Yield, of each kind, the effect of the column with the largest one, with its loss."""
    kinds: tuple[Kind, ...] = ("missing column", "unseen category", "unit", "off by one")
    for kind in kinds:
        of_kind = [(effect, values) for effect, values in found if effect.kind == kind]
        if of_kind:
            first, values = min(of_kind, key=lambda item: _order(item[0]))
            changed = {first.column: values}
            yield bench.effect(kind, first.how, changed, column=first.column, n_tried=len(of_kind))


def _columns(
    examined: Examined, found: list[tuple[Effect, pl.Series]]
) -> tuple[ColumnEffects, ...]:
    kinds = {column.name: column.kind for column in examined.predictor.preprocessing.columns}
    by_column: dict[str, list[Effect]] = {}
    for effect, _ in found:
        by_column.setdefault(effect.column, []).append(effect)
    items = [
        ColumnEffects(name=name, kind=kinds[name], effects=tuple(sorted(effects, key=_order)))
        for name, effects in by_column.items()
    ]
    return tuple(sorted(items, key=lambda item: _order(item.effects[0])))


def examine(examined: Examined) -> Disturbances:
    """Disturb raw rows of the analysis part and see which decisions change."""
    asked = examined.request.robustness or DEFAULTS
    columns = examined.predictor.preprocessing.columns
    per_row, half = seconds_per_row(examined), examined.seconds / 2
    n_all = len(examined.analysis.y)
    n_rows = min(
        n_all, affordable_rows(half, per_row=per_row, n_predictions=N_TOGETHER, most=MAX_ROWS)
    )
    n_rows = min(n_all, max(n_rows, FEWEST_ROWS))
    n_predictions = len(columns) + N_WAYS * min(N_CLOSE, len(columns))
    n_column_rows = affordable_rows(
        half, per_row=per_row, n_predictions=n_predictions, most=min(n_rows, MAX_COLUMN_ROWS)
    )
    n_column_rows = max(n_column_rows, min(n_rows, FEWEST_ROWS))
    n_most = max(N_CLOSE, int(half / (per_row * n_column_rows)) - N_WAYS * N_CLOSE)
    bench = Bench(examined, taken(examined.analysis, draw_rows(n_all, n_rows, seed=examined.seed)))
    small = Bench(
        examined, taken(bench.rows, draw_rows(n_rows, n_column_rows, seed=examined.seed + 1))
    )
    found = _by_column(examined, small, asked, n_most)
    effects = (*_all_columns(examined, bench, asked), *_largest(small, found))
    n_looked_at = len({effect.column for effect, _ in found})
    return Disturbances(
        metric=examined.metric.name,
        is_regression=not examined.classes,
        jitter=asked.jitter,
        missing=asked.missing,
        was_asked=examined.request.robustness is not None,
        seed=examined.seed,
        n_rows=n_rows,
        n_column_rows=n_column_rows,
        n_columns=len(columns),
        n_looked_at=n_looked_at,
        effects=effects,
        columns=_columns(examined, found)[:MAX_LISTED],
    )


def fewest_rows(request: TrainingRequest, n_columns: int) -> int:
    """Return how many rows are predicted at least: each of few columns five times."""
    return FEWEST_ROWS * (N_TOGETHER + (1 + N_WAYS) * min(n_columns, N_CLOSE))


def _sentences(value: Value) -> tuple[str, ...]:
    if not isinstance(value, Disturbances):
        return ()
    small = [item for item in value.effects if item.kind in ("jitter", "missing")]
    told = [f"With {item.how}, {said(item)}." for item in small]
    whole = [item for item in value.effects if item.kind == "missing column" and item.size > 0.2]
    told += [
        f"It leans on one column: if {short(item.column)!r} is empty, {said(item)}."
        for item in whole
    ]
    return tuple(sorted(told, key=lambda text: not text.startswith("It leans"))[:2])


def _limits(value: Value) -> tuple[str, ...]:
    return (
        "Disturbed inputs are made up: real errors may strike several columns, and some kinds "
        "of rows, together.",
    )


SECTION = Section(
    name="robustness",
    title="Robustness",
    position=50,
    result=Disturbances,
    examine=examine,
    fewest_rows=fewest_rows,
    sentences=_sentences,
    limits=_limits,
)
