"""The portfolio: what is shipped fits the families, and what is proposed obeys the request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_assets.core.families import (
    Choice,
    DataShape,
    Dimension,
    Integer,
    Params,
    Real,
    load_families,
)
from automl_assets.core.search.portfolio import (
    Portfolio,
    PortfolioEntry,
    fit_into,
    load_portfolio,
    proposals,
)
from automl_assets.core.values import TaskType

SHAPE = DataShape(n_rows=5_000, n_levels=(0, 0, 12), n_classes=2)
SPACES: dict[str, dict[str, Dimension]] = {
    "lightgbm": {"rate": Real(low=0.01, high=0.2), "leaves": Integer(low=8, high=64)},
    "linear": {"scaling": Choice(values=("standard", "quantile"))},
}
ENTRIES = (
    PortfolioEntry(family="lightgbm", params={"rate": 0.05, "leaves": 32}),
    PortfolioEntry(family="linear", params={"scaling": "quantile"}, task_types=("binary",)),
    PortfolioEntry(family="lightgbm", params={"rate": 0.5, "leaves": 128}),
    PortfolioEntry(family="lightgbm", params={"rate": 0.1, "leaves": 16}, min_rows=100_000),
    PortfolioEntry(family="knn", params={"n": 5}, fallback=True),
)
PORTFOLIO = Portfolio(entries=ENTRIES)


def proposed(
    task_type: TaskType = "binary",
    *,
    shape: DataShape = SHAPE,
    families: tuple[str, ...] = ("lightgbm", "linear", "knn"),
    spaces: dict[str, dict[str, Dimension]] = SPACES,
    fixed: dict[str, Params] | None = None,
) -> list[tuple[str, Params]]:
    found = proposals(task_type, shape, families, spaces, fixed or {}, portfolio=PORTFOLIO)
    return [(proposal.family, dict(proposal.params)) for proposal in found]


def test_entries_are_proposed_in_order_and_moved_to_the_nearest_bound() -> None:
    assert proposed() == [
        ("lightgbm", {"rate": 0.05, "leaves": 32}),
        ("linear", {"scaling": "quantile"}),
        ("lightgbm", {"rate": 0.2, "leaves": 64}),
    ]


def test_an_entry_for_another_task_is_left_out() -> None:
    assert [family for family, _ in proposed("regression")] == ["lightgbm", "lightgbm"]


def test_an_entry_for_more_rows_is_proposed_where_there_are_as_many() -> None:
    shape = DataShape(n_rows=100_000, n_levels=(0,), n_classes=2)

    assert ("lightgbm", {"rate": 0.1, "leaves": 16}) in proposed(shape=shape)


def test_a_fixed_value_wins_and_what_becomes_equal_is_proposed_once() -> None:
    spaces: dict[str, dict[str, Dimension]] = {"lightgbm": {"rate": Real(low=0.01, high=0.05)}}

    found = proposed(
        families=("lightgbm",), spaces=spaces, fixed={"lightgbm": {"leaves": 9, "extra": True}}
    )

    assert found == [("lightgbm", {"rate": 0.05, "leaves": 9, "extra": True})]


def test_a_choice_that_is_not_offered_drops_the_entry() -> None:
    spaces = {**SPACES, "linear": {"scaling": Choice(values=("standard",))}}

    assert "linear" not in [family for family, _ in proposed(spaces=spaces)]


def test_a_fallback_is_proposed_where_nothing_else_may_be() -> None:
    spaces: dict[str, dict[str, Dimension]] = {"knn": {"n": Integer(low=1, high=50)}}

    assert proposed(families=("knn",), spaces=spaces) == [("knn", {"n": 5})]


def test_proposals_say_where_they_come_from() -> None:
    found = proposals("binary", SHAPE, ("lightgbm",), SPACES, {}, portfolio=PORTFOLIO)

    assert {proposal.origin for proposal in found} == {"portfolio"}


NUMBERS = st.floats(-1e6, 1e6)
DIMENSIONS = st.one_of(
    st.tuples(NUMBERS, NUMBERS).map(lambda ends: Real(low=min(ends), high=max(ends))),
    st.tuples(st.integers(-99, 99), st.integers(-99, 99)).map(
        lambda ends: Integer(low=min(ends), high=max(ends))
    ),
    st.lists(st.sampled_from("abc"), min_size=1).map(lambda kept: Choice(values=tuple(kept))),
)
VALUES = st.one_of(NUMBERS, st.integers(-200, 200), st.sampled_from("abc"), st.booleans())


@given(
    space=st.dictionaries(st.sampled_from("pqrs"), DIMENSIONS),
    params=st.dictionaries(st.sampled_from("pqrs"), VALUES),
    fixed=st.dictionaries(st.sampled_from("pqrs"), VALUES),
)
def test_what_fits_is_inside_the_space_and_keeps_what_is_fixed(
    space: dict[str, Dimension], params: Params, fixed: Params
) -> None:
    fitted = fit_into(params, space, fixed)

    assert fitted is None or all(
        _holds(space[name], value) for name, value in fitted.items() if name not in fixed
    )
    assert fitted is None or fixed.items() <= fitted.items()


def _holds(dimension: Dimension, value: object) -> bool:
    if dimension.kind == "choice":
        return value in dimension.values
    is_kind = isinstance(value, int if dimension.kind == "integer" else float)
    return is_kind and dimension.low <= value <= dimension.high  # type: ignore[operator]


def test_the_shipped_portfolio_is_of_known_families_and_values_that_they_accept() -> None:
    families = load_families()

    refused = [
        (entry.family, name, value)
        for entry in load_portfolio().entries
        for name, value in entry.params.items()
        if not _accepts(families[entry.family].parameters[name], value)
    ]

    assert refused == []


def _accepts(dimension: Dimension, value: object) -> bool:
    number = float(value) if dimension.kind == "real" else value  # type: ignore[arg-type]
    return _holds(dimension, number)


def test_the_shipped_portfolio_says_what_it_was_learned_from() -> None:
    provenance = load_portfolio().provenance

    assert {"date", "tables", "versions", "runs_sha256", "code", "seed"} <= provenance.keys()


@pytest.mark.parametrize(
    ("task_type", "n_classes"), [("regression", 0), ("binary", 2), ("multiclass", 5)]
)
def test_the_shipped_portfolio_has_proposals_for_each_family_alone(
    task_type: TaskType, n_classes: int
) -> None:
    shape = DataShape(n_rows=20_000, n_levels=(0, 0, 30), n_classes=n_classes)
    families = {
        name: family
        for name, family in load_families().items()
        if family.by_default and task_type in family.task_types
    }

    silent = [
        name
        for name, family in families.items()
        if not proposals(task_type, shape, (name,), {name: family.space(shape)}, {})
    ]

    assert silent == []
