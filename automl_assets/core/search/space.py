"""What a search may try: the request's limits, compiled for the data at hand."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, overload

from automl_assets.core.errors import RequestError
from automl_assets.core.families import (
    Choice,
    DataShape,
    Dimension,
    Integer,
    Param,
    Params,
    Real,
    Structure,
    load_families,
)
from automl_assets.core.request.chosen_families import choose_families
from automl_assets.core.request.model_rules import SHAPE_OF, broken_choice
from automl_assets.core.request.task_rules import broken_task_rules
from automl_assets.core.search.structure import compile_structure
from automl_assets.core.values import LeftOut

if TYPE_CHECKING:
    from automl_assets.core.encoding import Preprocessing
    from automl_assets.core.request import TrainingRequest
    from automl_assets.core.request.sections import Range
    from automl_assets.core.values import TaskType

GRID_POINTS = 3
"""Values of a number in a grid: both ends and the middle."""

_GOLDEN = (math.sqrt(5) - 1) / 2


class Suggests(Protocol):
    """Draws values: an Optuna trial, a fixed trial, or a stand-in."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Return a number between two bounds, both inclusive."""
        ...

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """Return a whole number between two bounds, both inclusive."""
        ...

    def suggest_categorical(self, name: str, choices: Sequence[Param]) -> Param:
        """Return one of some values."""
        ...


@dataclass(frozen=True, kw_only=True)
class CompiledSpace:
    """What a search may try.

    Attributes:
        families: In the order of the request, or sorted; never empty.
        spaces: For each family what is searched, by bare name, without what is fixed.
        bounds: For each family the ranges that the request sets, by bare name; part of `spaces`.
        fixed: For each family hyperparameters with a fixed value, by bare name.
        structure: Limits of the model's shape, by position of the feature.
        left_out: Families that were asked for, or are tried by default, and cannot be.
    """

    families: tuple[str, ...]
    spaces: dict[str, dict[str, Dimension]]
    bounds: dict[str, dict[str, Dimension]]
    fixed: dict[str, Params]
    structure: Structure
    left_out: tuple[LeftOut, ...]

    def admitted(self, family: str, params: Mapping[str, Param]) -> Params:
        """Return hyperparameters from elsewhere, such as defaults, as the request admits them.

        What the request fixes is set. A value outside the request's range becomes the
        nearest one inside; where there is none, as when a library has a default of its
        own, it is the middle of the range.
        """
        bounds = self.bounds[family]
        middle = {name: _axis(dimension, 1)[0] for name, dimension in bounds.items()}
        near = {name: _nearest(value, bounds.get(name)) for name, value in params.items()}
        return {**middle, **near, **self.fixed[family]}


def check_space(request: "TrainingRequest", *, task_type: "TaskType") -> None:
    """Check what could not be known while `task.type` was `auto`.

    To be called as soon as the task is known: it costs nothing, and whatever is
    refused later has cost the reading and encoding of the data.

    Raises:
        RequestError: A key does not fit the task, or no family can do what is asked.
    """
    broken = [
        *broken_task_rules(request, task_type),
        *broken_choice(request, task_type),
    ]
    if broken:
        raise RequestError(
            "\n".join(f"{'.'.join(map(str, loc))}: {message}." for loc, message in broken)
        )


def compile_space(
    request: "TrainingRequest",
    *,
    task_type: "TaskType",
    preprocessing: "Preprocessing",
    shape: DataShape,
) -> CompiledSpace:
    """Return what may be tried on these data within the limits of the request.

    Args:
        task_type: As found in the data.
        preprocessing: Which columns became which features.
        shape: Rows, features and classes that a fit sees.

    Raises:
        RequestError: A limit names a column that is no feature, or binds the
            direction of a category, or is too low for every family; or `check_space` would.
    """
    check_space(request, task_type=task_type)
    chosen = choose_families(request.model, task_type)
    structure = compile_structure(request.model, preprocessing)
    too_large = _too_large(chosen.names, structure, shape)
    names = tuple(name for name in chosen.names if name not in too_large)
    if not names:
        told = "; ".join(f"{name}: {reason}" for name, reason in too_large.items())
        raise RequestError(
            f"model.max_trees: must allow the smallest model of one family, but {told}. Allow more "
            "trees, or other families."
        )
    fixed = {name: _fixed(request, name) for name in names}
    bounds = {name: _bounds(request, name) for name in names}
    spaces = {
        name: _space(load_families()[name].space(shape), bounds[name], fixed[name], structure)
        for name in names
    }
    return CompiledSpace(
        families=names,
        spaces=spaces,
        bounds=bounds,
        fixed=fixed,
        structure=structure,
        left_out=tuple(
            LeftOut(family=name, reason=reason)
            for name, reason in {**chosen.left_out, **too_large}.items()
        ),
    )


def _too_large(names: Sequence[str], structure: Structure, shape: DataShape) -> dict[str, str]:
    """Return the families whose smallest model has too many trees, with the reason."""
    if structure.max_trees is None:
        return {}
    fewest = {name: load_families()[name].fewest_trees(shape) for name in names}
    return {
        name: f"has {n:,} trees at least, and model.max_trees is {structure.max_trees:,}"
        for name, n in fewest.items()
        if n > structure.max_trees
    }


def draw(trial: Suggests, family: str, dims: Mapping[str, Dimension]) -> Params:
    """Draw a value of each dimension; the trial knows it as `<family>.<name>`.

    Returns:
        Hyperparameters by bare name.
    """
    params: Params = {}
    for name, dimension in dims.items():
        full = f"{family}.{name}"
        match dimension:
            case Real(low=low, high=high, log=log):
                params[name] = trial.suggest_float(full, low, high, log=log)
            case Integer(low=low, high=high, log=log):
                params[name] = trial.suggest_int(full, low, high, log=log)
            case Choice(values=values):
                params[name] = trial.suggest_categorical(full, values)
    return params


class Grid(Sequence[Params]):
    """Every combination of a few values of each dimension, made when asked for.

    The order is the same in every run, and spread out: a search that ends early
    has seen all parts of the space, not one corner.
    """

    def __init__(self, dims: Mapping[str, Dimension], points: int) -> None:
        self._axes = {name: _axis(dimension, points) for name, dimension in dims.items()}
        self._length = math.prod(len(axis) for axis in self._axes.values())
        # Steps of the golden section are spread most evenly of all, however many are taken;
        # a step without a common factor with the length meets each combination once.
        step = max(1, round(self._length * _GOLDEN))
        while math.gcd(step, self._length) > 1:
            step += 1
        self._step = step

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Params: ...
    @overload
    def __getitem__(self, index: slice) -> list[Params]: ...
    def __getitem__(self, index: int | slice) -> Params | list[Params]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(self._length))]
        place = range(self._length)[index] * self._step % self._length
        params: Params = {}
        for name, axis in self._axes.items():
            place, digit = divmod(place, len(axis))
            params[name] = axis[digit]
        return params


def grid(dims: Mapping[str, Dimension], points: int = GRID_POINTS) -> Grid:
    """Return the combinations of all choices and of `points` values of each number.

    Examples:
        >>> list(grid({"depth": Integer(low=1, high=9)}))
        [{'depth': 1}, {'depth': 9}, {'depth': 5}]
    """
    return Grid(dims, points)


def _axis(dimension: Dimension, points: int) -> list[Param]:
    if dimension.kind == "choice":
        return list(dimension.values)
    low, high, log = dimension.low, dimension.high, dimension.log
    if log:
        low, high = math.log(low), math.log(high)
    shares = [i / (points - 1) for i in range(points)] if points > 1 else [0.5]
    numbers = [low + share * (high - low) for share in shares]
    if log:
        numbers = [math.exp(number) for number in numbers]
    # Rounding of logarithms must not leave the range.
    numbers = [min(max(number, dimension.low), dimension.high) for number in numbers]
    if dimension.kind == "integer":
        return list(dict.fromkeys(round(number) for number in numbers))
    return list(dict.fromkeys(numbers))


def _own(values: Mapping[str, object], family: str) -> Iterator[str]:
    """Yield the bare names of the hyperparameters of one family."""
    return (name.partition(".")[2] for name in values if name.partition(".")[0] == family)


def _fixed(request: "TrainingRequest", family: str) -> Params:
    parameters = load_families()[family].parameters
    fixed: Params = {}
    for name in _own(request.model.fix, family):
        value = request.model.fix[f"{family}.{name}"]
        # A whole number is a number, too; the library gets the type that it gets from a draw.
        fixed[name] = float(value) if parameters[name].kind == "real" else value
    return fixed


def _bounds(request: "TrainingRequest", family: str) -> dict[str, Dimension]:
    parameters = load_families()[family].parameters
    ranges = request.model.search
    return {
        name: _narrowed(parameters[name], ranges[f"{family}.{name}"])
        for name in _own(ranges, family)
    }


def _narrowed(dimension: Dimension, bounds: "Range") -> Dimension:
    if dimension.kind == "integer":
        return Integer(low=int(bounds.low), high=int(bounds.high), log=bounds.log)
    return Real(low=bounds.low, high=bounds.high, log=bounds.log)


def _space(
    own: Mapping[str, Dimension],
    bounds: Mapping[str, Dimension],
    fixed: Params,
    structure: Structure,
) -> dict[str, Dimension]:
    """Return a family's own space with the request's ranges, without what is fixed."""
    space = {name: dimension for name, dimension in {**own, **bounds}.items() if name not in fixed}
    return {name: _within_shape(name, dimension, structure) for name, dimension in space.items()}


def _within_shape(name: str, dimension: Dimension, structure: Structure) -> Dimension:
    """Leave out what the family would cut to the limit anyway: equal models under many names."""
    limit = getattr(structure, SHAPE_OF[name]) if name in SHAPE_OF else None
    if limit is None or not isinstance(dimension, Integer) or dimension.high <= limit:
        return dimension
    return Integer(low=min(dimension.low, limit), high=limit, log=dimension.log)


def _nearest(value: Param, dimension: Dimension | None) -> Param:
    if dimension is None or dimension.kind == "choice" or not isinstance(value, int | float):
        return value
    return min(max(value, dimension.low), dimension.high)
