"""What a search tries before it asks a sampler."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice, product, zip_longest

from automl_assets.core.families import DataShape, load_families
from automl_assets.core.request import TrainingRequest
from automl_assets.core.search.budget import COST_SHARES
from automl_assets.core.search.plan import QUICK, Proposal
from automl_assets.core.search.portfolio import proposals
from automl_assets.core.search.space import CompiledSpace, grid
from automl_assets.core.values import Candidate, TableProfile

PLAIN = ("lightgbm", "catboost")
"""Families whose plain defaults on all rows are tried before anything else: a search must never
end below the better of them."""

QUICK_TREES = 100

QUICK_SHARE = 0.02
"""Of the time, what plain LightGBM may be expected to take before a smaller fit comes first."""

PARENT = "parent"
"""Origin of what was among the best of an earlier search: it is tried as long as it fits."""

MAX_PARENTS = 5
"""Best candidates of an earlier search that are tried again."""

MAX_GRID = 1_000
"""Points of a grid: all are queued before the first is tried, which takes 5 to 20 ms each."""


def make_proposals(
    request: TrainingRequest,
    profile: TableProfile,
    shape: DataShape,
    space: CompiledSpace,
    feature_sets: tuple[str, ...],
    parents: Sequence[Candidate],
    *,
    seconds: float | None,
    n_fits: int,
) -> tuple[Proposal, ...]:
    """Return what is tried before a sampler is asked, in order.

    Args:
        shape: What a fit sees.
        parents: Candidates of an earlier search for the same model, best first.
        seconds: What the search has; None without a limit.
        n_fits: How often a candidate is fitted.
    """
    if request.search.sampler == "grid":
        return _grid(space, feature_sets)
    first = feature_sets[0]
    families = load_families()
    cheapest_first = sorted(
        space.families,
        key=lambda name: families[name].expected_seconds(shape, families[name].default_params()),
    )

    def default(name: str, features: str = first) -> Proposal:
        origin = "baseline" if name in PLAIN else "default"
        params = space.admitted(name, families[name].default_params())
        return Proposal(family=name, params=params, origin=origin, features=features)

    asked = request.model.families is not None
    plain = [default(name) for name in PLAIN if name in space.families]
    defaults = [default(name) for name in cheapest_first]
    again = [
        Proposal(
            family=item.family,
            params=space.admitted(item.family, item.params),
            origin=PARENT,
            features=first,
        )
        for item in [item for item in parents if item.family in space.families][:MAX_PARENTS]
    ]
    learned = [
        item.model_copy(update={"features": first})
        for item in proposals(profile.task_type, shape, space.families, space.spaces, space.fixed)
    ]
    if seconds is not None:
        own = {item.family: item for item in defaults if item.family not in PLAIN}
        learned = _cheap_first(learned, own, shape, seconds / n_fits)
    narrower = [
        default(plain[0].family if plain else cheapest_first[0], features=name)
        for name in feature_sets[1:]
    ]
    order = [*defaults, *again, *narrower, *learned]
    if not asked:
        order = [*plain, *again, *narrower, *learned, *defaults]
    return _different([*_quick(space, shape, first, seconds), *order])


def _cheap_first(
    learned: Sequence[Proposal],
    defaults: Mapping[str, Proposal],
    shape: DataShape,
    seconds: float,
) -> list[Proposal]:
    """Return proposals of a cheaper class first, else in their order.

    A family's own defaults come before what is dear, if they take half as long: so it is known
    whether the family is any good there.

    Args:
        defaults: By family.
        seconds: What there is for one fit of each.
    """
    families = load_families()

    def cost(item: Proposal) -> float:
        family = families[item.family]
        return family.expected_seconds(shape, {**family.default_params(), **item.params})

    found = []
    for item in sorted(learned, key=lambda item: bisect_left(COST_SHARES, cost(item) / seconds)):
        default = defaults.get(item.family)
        is_dear = cost(item) > COST_SHARES[0] * seconds
        if is_dear and default is not None and cost(default) <= cost(item) / 2:
            found.append(default)
        found.append(item)
    return found


def _quick(
    space: CompiledSpace, shape: DataShape, features: str, seconds: float | None
) -> list[Proposal]:
    """Return a small fit that leaves a model early, where plain LightGBM alone takes long."""
    name = PLAIN[0]
    if seconds is None or name not in space.families:
        return []
    expected = load_families()[name].expected_seconds(shape, {})
    if expected < QUICK_SHARE * seconds or "n_estimators" in space.fixed[name]:
        return []
    params = space.admitted(name, {"n_estimators": QUICK_TREES})
    return [Proposal(family=name, params=params, origin=QUICK, features=features)]


def _different(order: Sequence[Proposal]) -> tuple[Proposal, ...]:
    """Return proposals without repetition, whoever proposed them."""
    found: dict[str, Proposal] = {}
    for item in order:
        found.setdefault(repr((item.family, sorted(item.params.items()), item.features)), item)
    return tuple(found.values())


def _grid(space: CompiledSpace, feature_sets: tuple[str, ...]) -> tuple[Proposal, ...]:
    def points(name: str) -> Iterator[Proposal]:
        default = space.admitted(name, load_families()[name].default_params())
        for params, features in product(grid(space.spaces[name])[:MAX_GRID], feature_sets):
            chosen = {**default, **params}
            yield Proposal(family=name, params=chosen, origin="grid", features=features)

    # In turn, so that a family with many points leaves room for the others.
    in_turn = chain.from_iterable(zip_longest(*map(points, space.families)))
    return _different(tuple(islice((item for item in in_turn if item is not None), MAX_GRID)))
