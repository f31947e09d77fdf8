"""Limits of a model's shape, from the columns that a request names to positions of features."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from automl_assets.core.errors import RequestError
from automl_assets.core.families import Structure
from automl_assets.core.request.text import did_you_mean

if TYPE_CHECKING:
    from automl_assets.core.encoding import ColumnEncoding, Preprocessing
    from automl_assets.core.request.sections import Model

_TREND = ("days", "year")


def compile_structure(model: "Model", preprocessing: "Preprocessing") -> Structure:
    """Return what the shape of every model must obey.

    A direction binds the feature of a number or a switch. Of a date it binds the
    trend (days and year); month, weekday and hour come round again and stay free.

    Args:
        model: What the request says about models.
        preprocessing: Which columns became which features.

    Raises:
        RequestError: A limit names a column that is no feature, or gives a
            category a direction.
    """
    return Structure(
        monotonic=_monotonic(model.monotonic, preprocessing),
        interactions=_interactions(model.interactions, preprocessing),
        max_depth=model.max_depth,
        max_leaves=model.max_leaves,
        max_trees=model.max_trees,
    )


def _positions(preprocessing: "Preprocessing") -> dict[str, tuple["ColumnEncoding", int]]:
    """Return for each raw column its encoding and the position of its first feature."""
    placed: dict[str, tuple[ColumnEncoding, int]] = {}
    position = 0
    for column in preprocessing.columns:
        placed[column.name] = column, position
        position += len(column.feature_names)
    return placed


def _found(
    key: str, name: str, placed: Mapping[str, tuple["ColumnEncoding", int]]
) -> tuple["ColumnEncoding", int]:
    if name not in placed:
        known = ", ".join(list(placed)[:20]) + (", …" if len(placed) > 20 else "")
        raise RequestError(
            f"model.{key} binds features, but {name!r} is none of them"
            f"{did_you_mean(name, placed)}. Features: {known}. Correct the name; or keep the "
            "column, if it was dropped, under data.features.keep."
        )
    return placed[name]


def _monotonic(directions: Mapping[str, str], preprocessing: "Preprocessing") -> tuple[int, ...]:
    if not directions:
        return ()
    placed = _positions(preprocessing)
    bound = [0] * len(preprocessing.feature_names)
    for name, direction in directions.items():
        column, first = _found("monotonic", name, placed)
        if column.kind == "categorical":
            raise RequestError(
                f"model.monotonic needs a column with an order, but {name!r} holds categories. "
                "Store it as a number, or remove it from model.monotonic."
            )
        parts = column.date_parts if column.kind == "datetime" else _TREND[:1]
        for offset, part in enumerate(parts):
            if part in _TREND:
                bound[first + offset] = 1 if direction == "increasing" else -1
    return tuple(bound)


def _interactions(
    groups: Sequence[Sequence[str]], preprocessing: "Preprocessing"
) -> tuple[tuple[int, ...], ...]:
    """Return sets of positions that together hold every feature.

    Libraries differ in what they do with a feature that is in no set. So each
    column that the request does not name has a set of its own.
    """
    if not groups:
        return ()
    placed = _positions(preprocessing)
    named = {name for columns in groups for name in columns}
    alone = [(name,) for name in placed if name not in named]
    sets = []
    for columns in (*groups, *alone):
        found = [_found("interactions", name, placed) for name in columns]
        sets.append(
            tuple(
                sorted(
                    first + offset
                    for column, first in found
                    for offset in range(len(column.feature_names))
                )
            )
        )
    return tuple(sorted(sets))
