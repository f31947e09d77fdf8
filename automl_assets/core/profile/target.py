"""What the target says about the task: its type, its classes and their order."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from automl_assets.core.errors import RequestError
from automl_assets.core.metrics import load_metrics
from automl_assets.core.request import TrainingRequest
from automl_assets.core.values import TaskType

MAX_CLASSES = 100
MAX_INTEGER_CLASSES = 20
MIN_CLASS_ROWS = 8
"""Two rows of each class for each of the four parts."""

_POSITIVE_WORDS = frozenset({"1", "true", "yes", "y", "positive"})


@dataclass(frozen=True, kw_only=True)
class Target:
    """The task that the target column calls for.

    Attributes:
        classes: As text, in code order; the positive one of a binary task is last.
        class_counts: Rows of each class.
    """

    task_type: TaskType
    classes: tuple[str, ...] = ()
    class_counts: tuple[int, ...] = ()


def class_text(expr: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Return the text by which a target value is known as a class.

    Whole numbers have no decimals, whatever their type; true and false are words.

    Examples:
        >>> values = pl.Series([1.0, 0.5, -0.0])
        >>> pl.select(class_text(pl.lit(values), values.dtype)).to_series().to_list()
        ['1', '0.5', '0']
    """
    if dtype.is_float() or dtype.is_decimal():
        text = expr.cast(pl.Float64).cast(pl.String)
        return text.str.strip_suffix(".0").str.replace("^-0$", "0")
    return expr.cast(pl.String)


def judge_target(frame: pl.LazyFrame, request: TrainingRequest) -> Target:
    """Find the task type, and for a classification the classes.

    Raises:
        RequestError: The target cannot be learned as the request asks.
    """
    name = request.data.target
    dtype = frame.collect_schema()[name]
    _check_type(name, dtype)
    if dtype.is_float():
        _check_finite(frame, name)
    frame = frame.select(name).drop_nulls()
    # Counting the distinct values of a regression target would fill the memory.
    found = frame.select(pl.len(), distinct=pl.col(name).approx_n_unique())
    n_rows, n_distinct = found.collect(engine="streaming").row(0)
    if n_rows == 0:
        raise RequestError(
            f"data.target must hold values. Column {name!r} is empty in all rows. "
            "Name another target, or take rows where it is known."
        )
    counts = count_classes(frame, name, dtype) if n_distinct <= 2 * MAX_CLASSES else {}
    n_distinct = len(counts) or n_distinct
    task_type = _task_type(request, dtype, n_distinct, counts)
    _check_metrics(request, task_type)
    if task_type == "regression":
        return Target(task_type=task_type)
    _check_class_sizes(name, counts)
    classes = tuple(counts)
    if task_type == "binary":
        classes = _positive_last(classes, request)
    return Target(
        task_type=task_type, classes=classes, class_counts=tuple(counts[c] for c in classes)
    )


def count_classes(frame: pl.LazyFrame, name: str, dtype: pl.DataType) -> dict[str, int]:
    """Return the rows of each class; sorted, numbers as numbers and texts as texts."""
    counts = (
        frame.select(
            text=class_text(pl.col(name), dtype),
            order=pl.col(name) if dtype.is_numeric() else class_text(pl.col(name), dtype),
        )
        .group_by("text")
        .agg(pl.len(), pl.col("order").first())
        .collect(engine="streaming")
        .sort("order")
    )
    return dict(zip(counts["text"], counts["len"], strict=True))


def _check_type(name: str, dtype: pl.DataType) -> None:
    if dtype.is_temporal() or dtype.is_nested() or dtype in (pl.Binary, pl.Object):
        raise RequestError(
            "data.target must hold numbers, texts or true/false. "
            f"Column {name!r} holds {dtype}. Name another target, or convert it before."
        )


def _check_finite(frame: pl.LazyFrame, name: str) -> None:
    column = pl.col(name)
    n_nan, n_infinite = (
        frame.select(nan=column.is_nan().sum(), infinite=column.is_infinite().sum())
        .collect(engine="streaming")
        .row(0)
    )
    if n_nan or n_infinite:
        raise RequestError(
            "data.target must hold numbers that a model can learn. "
            f"Column {name!r} has {n_nan:,} NaN and {n_infinite:,} infinite values. "
            "Correct them, or leave them empty: rows without a target are left out."
        )


def _task_type(
    request: TrainingRequest, dtype: pl.DataType, n_distinct: int, counts: dict[str, int]
) -> TaskType:
    name, asked = request.data.target, request.task.type
    if n_distinct == 1:
        raise RequestError(
            "data.target must hold at least two values. "
            f"Column {name!r} holds only {next(iter(counts))!r} in all {sum(counts.values()):,} "
            "rows. Name another target, or take rows where it differs."
        )
    natural = _natural_type(dtype, n_distinct)
    if asked == "auto" and natural is not None:
        return natural
    if asked == "regression" and dtype.is_numeric():
        return asked
    if asked == "binary" and n_distinct == 2:
        return asked
    if asked == "multiclass" and 3 <= n_distinct <= MAX_CLASSES:
        return asked
    needs = {
        "binary": "A binary target has two values",
        "multiclass": f"A multiclass target has 3 to {MAX_CLASSES} values",
        "regression": "A regression target holds numbers",
        "auto": f"A target of texts has 2 to {MAX_CLASSES} values",
    }
    cure = f"Set task.type to {natural}" if natural else "Group its values, or name another target"
    raise RequestError(f"{needs[asked]}. Column {name!r} {_shown(dtype, n_distinct)}. {cure}.")


def _natural_type(dtype: pl.DataType, n_distinct: int) -> TaskType | None:
    if n_distinct == 2:
        return "binary"
    if dtype.is_numeric() and not (dtype.is_integer() and n_distinct <= MAX_INTEGER_CLASSES):
        return "regression"
    return "multiclass" if n_distinct <= MAX_CLASSES else None


def _shown(dtype: pl.DataType, n_distinct: int) -> str:
    about = "about " if n_distinct > 2 * MAX_CLASSES else ""
    return f"({dtype}) holds {about}{n_distinct:,} different values"


def _check_metrics(request: TrainingRequest, task_type: TaskType) -> None:
    metrics = load_metrics()
    fitting = ", ".join(name for name, item in metrics.items() if task_type in item.task_types)
    asked = [("task.metric", request.task.metric)]
    asked += [("task.report", name) for name in request.task.report]
    for key, name in asked:
        if name is not None and task_type not in metrics[name].task_types:
            raise RequestError(
                f"{key} must suit the task. {request.data.target!r} makes it {task_type}, and "
                f"{name!r} is no {task_type} metric. Choose from: {fitting}; or set task.type."
            )


def _check_class_sizes(name: str, counts: dict[str, int]) -> None:
    small = [f"{text!r} has {n}" for text, n in counts.items() if n < MIN_CLASS_ROWS]
    if small:
        more = f" and {len(small) - 5} more classes" if len(small) > 5 else ""
        raise RequestError(
            f"Each class needs at least {MIN_CLASS_ROWS} rows, two for each of the four parts. "
            f"In column {name!r}, {', '.join(small[:5])}{more}. "
            "Take more rows, or merge or leave out rare classes."
        )


def _positive_last(classes: Sequence[str], request: TrainingRequest) -> tuple[str, ...]:
    asked = request.data.positive
    if asked is None:
        words = [text for text in classes if text.strip().lower() in _POSITIVE_WORDS]
        positive = words[0] if len(words) == 1 else classes[-1]
    else:
        positive = _positive_class(classes, asked, request.data.target)
    return (*(text for text in classes if text != positive), positive)


def _positive_class(classes: Sequence[str], asked: str | bool | int | float, target: str) -> str:
    """Find a value of the request among the classes: `true` is also 'True', and 1.0 is 1."""
    text = pl.select(class_text(pl.lit(asked), pl.Series([asked]).dtype)).item()
    if text in classes:
        return text
    alike = [name for name in classes if name.lower() == text.lower()]
    if set(classes) == {"0", "1"} and isinstance(asked, bool):
        alike = [str(int(asked))]
    if len(alike) == 1:
        return alike[0]
    shown = text if isinstance(asked, bool | int | float) else repr(text)
    raise RequestError(
        "data.positive must be one of the target's two values. "
        f"data.positive is {shown} but {target} holds {' and '.join(map(repr, classes))}. "
        "Write it as the data do."
    )
