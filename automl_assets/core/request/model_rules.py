"""What must hold between the keys about models: families, hyperparameters, shape."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from automl_assets.core.request.chosen_families import (
    ChosenFamilies,
    asked_limits,
    choose_families,
)
from automl_assets.core.request.data_rules import why_no_feature
from automl_assets.core.request.text import Loc, did_you_mean, shown

if TYPE_CHECKING:
    from automl_assets.core.families import Dimension
    from automl_assets.core.request import TrainingRequest
    from automl_assets.core.request.sections import Range

SHAPE_OF = {
    "depth": "max_depth",
    "max_depth": "max_depth",
    "num_leaves": "max_leaves",
    "max_leaves": "max_leaves",
    "max_leaf_nodes": "max_leaves",
    "iterations": "max_trees",
    "n_estimators": "max_trees",
}
"""What the libraries call the hyperparameters that a limit of the model's shape bounds."""


def _families(request: "TrainingRequest") -> Iterator[tuple[Loc, str]]:
    from automl_assets.core.families import load_families

    asked = request.model.families or ()
    families = load_families() if asked else {}
    for index, name in enumerate(asked):
        loc = ("model", "families", index)
        if name not in families:
            yield (
                loc,
                f"{shown(name)} is not one of {', '.join(families)}" + did_you_mean(name, families),
            )
        elif request.task.type not in ("auto", *families[name].task_types):
            yield loc, f"{name!r} does not learn {request.task.type} tasks; remove it"
        elif name in asked[:index]:
            yield loc, f"{name!r} is listed twice; keep one"


def _bound_columns(request: "TrainingRequest") -> Iterator[tuple[Loc, str]]:
    model = request.model
    bound: list[tuple[Loc, str]] = [
        (("model", "monotonic", name), name) for name in model.monotonic
    ]
    for index, columns in enumerate(model.interactions):
        loc = ("model", "interactions", index)
        bound += [(loc, column) for column in columns]
    for loc, column in bound:
        reason = why_no_feature(request, column)
        if reason is not None:
            yield loc, f"only features can be bound, but {column!r} {reason}; remove it"


def _space(request: "TrainingRequest") -> Iterator[tuple[Loc, str]]:
    model = request.model
    narrowed = asked_limits(model) or model.interpretable_only or model.fix or model.search
    if narrowed or request.resources.gpu:
        yield from broken_choice(request, request.task.type)


def broken_choice(request: "TrainingRequest", task_type: str) -> Iterator[tuple[Loc, str]]:
    """Yield why no family can be tried on such a task, or what is asked of families that are not.

    Args:
        task_type: `auto` where it is not known yet; every family learns it.
    """
    from automl_assets.core.families import load_families

    model, known = request.model, load_families()
    if not set(model.families or ()) <= set(known):
        return  # That is told already, with a cure.
    chosen = choose_families(model, task_type)
    if not chosen.names:
        yield (
            ("model",),
            f"no model family can do all that is asked: {chosen.reasons}. "
            "Remove one of these keys, or name another family",
        )
        return
    for parameter in dict.fromkeys((*model.fix, *model.search)):
        family = parameter.partition(".")[0]
        if family not in chosen.names:
            yield ("model",), _not_tried(parameter, chosen, known)
    if request.resources.gpu and not any(known[name].gpu for name in chosen.names):
        capable = [name for name, family in known.items() if family.gpu]
        yield (
            ("resources", "gpu"),
            f"no family of [{', '.join(chosen.names)}] can use a graphics processor; "
            f"name one of [{', '.join(capable)}], or write 0",
        )


def _not_tried(parameter: str, chosen: ChosenFamilies, known: Iterable[str]) -> str:
    family = parameter.partition(".")[0]
    if family in chosen.left_out:
        return f"{parameter!r} constrains {family!r}, which {chosen.left_out[family]}; remove it"
    near = "" if family in known else did_you_mean(family, known)
    return (
        f"{parameter!r} constrains {family!r}, which is not in families "
        f"[{', '.join(chosen.names)}]{near or '; name it under model.families or remove the key'}"
    )


def _hyperparameters(request: "TrainingRequest") -> Iterator[tuple[Loc, str]]:
    model = request.model
    if not (model.fix or model.search):
        return
    from automl_assets.core.families import load_families

    known = load_families()
    for key, values in (("fix", model.fix), ("search", model.search)):
        for parameter in values:
            family, _, name = parameter.partition(".")
            if family in known and name not in known[family].parameters:
                names = sorted(known[family].parameters)
                yield (
                    ("model", key, parameter),
                    f"{family!r} has no hyperparameter {name!r}; known: {', '.join(names)}"
                    + did_you_mean(name, names),
                )
    for parameter in sorted(set(model.fix) & set(model.search)):
        yield (
            ("model", "search", parameter),
            f"{parameter!r} is fixed under model.fix, so it cannot be searched; keep one of them",
        )


def _values(request: "TrainingRequest") -> Iterator[tuple[Loc, str]]:
    for parameter, value in request.model.fix.items():
        dimension = _dimension(parameter)
        loc = ("model", "fix", parameter)
        if dimension is not None and not admits(dimension, value):
            yield loc, f"must be {described(dimension)}; found {shown(value)}"
        yield from _beyond_limit(request, loc, parameter, value)
    for parameter, bounds in request.model.search.items():
        loc = ("model", "search", parameter)
        if bounds.low >= bounds.high or (bounds.log and bounds.low <= 0):
            yield (
                loc,
                f"'low' must be below 'high', and above 0 if 'log' is true; found low "
                f"{bounds.low:.12g} and high {bounds.high:.12g}",
            )
            continue
        dimension = _dimension(parameter)
        if dimension is not None:
            yield from _bad_range(loc, dimension, bounds)
        yield from _beyond_limit(request, loc, parameter, bounds.low)


def _dimension(parameter: str) -> "Dimension | None":
    from automl_assets.core.families import load_families

    name, _, key = parameter.partition(".")
    family = load_families().get(name)
    return family.parameters.get(key) if family else None


def _bad_range(loc: Loc, dimension: "Dimension", bounds: "Range") -> Iterator[tuple[Loc, str]]:
    if dimension.kind == "choice":
        yield loc, f"must be {described(dimension)}, not a range; give it one value under model.fix"
        return
    for key, value in (("low", bounds.low), ("high", bounds.high)):
        whole = dimension.kind == "integer" and value.is_integer()
        if not admits(dimension, int(value) if whole else value):
            yield loc, f"{key!r} must be {described(dimension)}; found {value:.12g}"


def _beyond_limit(
    request: "TrainingRequest", loc: Loc, parameter: str, least: object
) -> Iterator[tuple[Loc, str]]:
    limit_name = SHAPE_OF.get(parameter.partition(".")[2])
    limit = getattr(request.model, limit_name) if limit_name else None
    if limit is not None and isinstance(least, int | float) and least > limit:
        yield (
            loc,
            f"must be at most model.{limit_name} {limit}; found {shown(least)}; change one of them",
        )


def admits(dimension: "Dimension", value: object) -> bool:
    """Return whether a value is one that the dimension holds.

    Examples:
        >>> from automl_assets.core.families import Integer, Real
        >>> admits(Integer(low=1, high=9), 9), admits(Integer(low=1, high=9), 2.5)
        (True, False)
        >>> admits(Real(low=0, high=1), 1), admits(Real(low=0, high=1), True)
        (True, False)
    """
    if dimension.kind == "choice":
        # A switch is no number here, although Python says that True equals 1.
        return any(
            value == known and isinstance(value, bool) == isinstance(known, bool)
            for known in dimension.values
        )
    types = (int,) if dimension.kind == "integer" else (int, float)
    if isinstance(value, bool) or not isinstance(value, types):
        return False
    return dimension.low <= value <= dimension.high


def described(dimension: "Dimension") -> str:
    """Return what a dimension holds, in words.

    Examples:
        >>> from automl_assets.core.families import Choice, Integer
        >>> described(Integer(low=1, high=16)), described(Choice(values=("a", True, None)))
        ('a whole number from 1 to 16', "one of 'a', true")
    """
    if dimension.kind == "choice":
        words = {True: "true", False: "false"}
        # None cannot be written into a request.
        values = [value for value in dimension.values if value is not None]
        return "one of " + ", ".join(
            words[value] if isinstance(value, bool) else repr(value) for value in values
        )
    kind = "a whole number" if dimension.kind == "integer" else "a number"
    return f"{kind} from {dimension.low:.12g} to {dimension.high:.12g}"


RULES = (_families, _space, _hyperparameters, _values, _bound_columns)
"""Each takes a request and yields where to look, and a sentence."""
