"""What every snapshot must keep to before a model is trained on it, whoever asks."""

import math
from collections.abc import Iterator

import polars as pl

from automl_assets.core.contract.report import ContractReport, ContractRule
from automl_assets.core.profile.target import count_classes
from automl_assets.core.request import TrainingRequest
from automl_assets.core.values import PARTS, Part, TableProfile

MIN_PART_ROWS = 20
MIN_PART_CLASS_ROWS = 2
MOST_PERCENT = 20
"""Largest share of a part beside train that is advised; more rows are the cure above."""


def check_snapshot(
    frame: pl.LazyFrame, profile: TableProfile, request: TrainingRequest
) -> ContractReport:
    """Try every rule on a snapshot, in streaming passes.

    Rules about values are tried only on a table whose columns are as profiled.
    """
    rules = [_columns(frame, profile), _types(frame, profile), _features(frame, profile)]
    if all(rule.passed for rule in rules):
        rules += _value_rules(frame, profile, request)
    return ContractReport.of(rules)


def _rule(name: str, n_tried: int, unit: str, broken: list[str]) -> ContractRule:
    shown = f"{'; '.join(broken[:5])}{f' and {len(broken) - 5} more' if len(broken) > 5 else ''}"
    return ContractRule(
        name=name,
        passed=not broken,
        n_tried=n_tried,
        n_violations=len(broken),
        detail=f"{n_tried:,} {unit} tried, {shown or 'all keep it'}.",
    )


def _row_rule(name: str, n_tried: int, n_violations: int, what: str) -> ContractRule:
    found = f"{n_violations:,} {what}" if n_violations else "all keep it"
    return ContractRule(
        name=name,
        passed=n_violations == 0,
        n_tried=n_tried,
        n_violations=n_violations,
        detail=f"{n_tried:,} rows tried, {found}.",
    )


def _columns(frame: pl.LazyFrame, profile: TableProfile) -> ContractRule:
    names = [column.name for column in profile.columns]
    if frame.collect_schema().names() == names:
        # pandera takes seconds to load, and minutes for thousands of columns.
        return _rule("columns as profiled, in order", len(names), "columns", [])
    import pandera.polars as pa

    schema = pa.DataFrameSchema(
        {name: pa.Column(nullable=True) for name in names}, strict=True, ordered=True
    )
    broken: list[str] = []
    try:
        schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as error:
        broken = [
            f"{case['failure_case']!r} breaks {case['check']}"
            for case in error.failure_cases.to_dicts()
        ]
    return _rule("columns as profiled, in order", len(names), "columns", broken)


def _types(frame: pl.LazyFrame, profile: TableProfile) -> ContractRule:
    schema = frame.collect_schema()
    broken = [
        f"{column.name!r} is {schema[column.name]}, expected {column.dtype}"
        for column in profile.columns
        if column.name in schema and str(schema[column.name]) != column.dtype
    ]
    return _rule("types as profiled", len(profile.columns), "columns", broken)


def _features(frame: pl.LazyFrame, profile: TableProfile) -> ContractRule:
    names = set(frame.collect_schema().names())
    broken = [f"{name!r} is missing" for name in profile.features if name not in names]
    if not profile.features:
        broken = ["there is no feature"]
    return _rule("features present", len(profile.features), "features", broken)


def _value_rules(
    frame: pl.LazyFrame, profile: TableProfile, request: TrainingRequest
) -> Iterator[ContractRule]:
    target, dtype = request.data.target, frame.collect_schema()[request.data.target]
    column = pl.col(target)
    is_odd = ~column.is_finite() if dtype.is_float() else column.is_null() & False
    found = frame.select(n=pl.len(), n_null=column.null_count(), n_odd=is_odd.sum())
    n_rows, n_null, n_odd = found.collect(engine="streaming").row(0)
    off = abs(n_rows - profile.n_rows)
    yield _row_rule("rows as profiled", n_rows, off, f"more or fewer than {profile.n_rows:,}")
    yield _row_rule("target known", n_rows, n_null, f"have no {target!r}")
    yield _row_rule("target finite", n_rows, n_odd, f"have NaN or infinity as {target!r}")
    yield _part_sizes(n_rows, request)
    if profile.task_type != "regression":
        present = frame.select(target).drop_nulls()
        yield from _class_rules(count_classes(present, target, dtype), profile, request)


def _part_sizes(n_rows: int, request: TrainingRequest) -> ContractRule:
    # A share like 0.1 is not exact in binary: 0.1 * 200 must count as 20.
    sizes = {part: math.floor(share * n_rows + 1e-9) for part, share in _shares(request).items()}
    needed = math.ceil(100 * MIN_PART_ROWS / max(n_rows, 1))
    small = [
        f"{part} gets {size} of at least {MIN_PART_ROWS} rows"
        + (f" (give it split.{part}: {needed}%)" if needed <= MOST_PERCENT else "")
        for part, size in sizes.items()
        if size < MIN_PART_ROWS
    ]
    return _rule("enough rows for each part", len(PARTS), "parts", small)


def _class_rules(
    counts: dict[str, int], profile: TableProfile, request: TrainingRequest
) -> Iterator[ContractRule]:
    n_rows = sum(counts.values())
    n_strange = sum(n for name, n in counts.items() if name not in profile.classes)
    yield _row_rule("classes as profiled", n_rows, n_strange, "are of another class")
    single = [f"only {name!r} has rows" for name in counts] if len(counts) < 2 else []
    yield _rule("at least two classes", len(counts), "classes", single)
    rare = [
        f"{name!r} gives {part} {share * n:.1f} of at least {MIN_PART_CLASS_ROWS} rows"
        for name, n in counts.items()
        for part, share in _shares(request).items()
        if share * n + 1e-9 < MIN_PART_CLASS_ROWS
    ]
    yield _rule("each class in each part", len(counts) * len(PARTS), "pairs", rare)


def _shares(request: TrainingRequest) -> dict[Part, float]:
    return {part: getattr(request.split, part) for part in PARTS}
