"""Raw columns and the features that are made of them."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from automl_assets.core.encoding import Preprocessing
from automl_assets.core.feature_sets.correlation import Redundancy

_N_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class ColumnTable:
    """Raw columns by their position in the preprocessing.

    Attributes:
        redundancy: What features share; empty where it was not looked for.
        drops_features: Whether redundant features are out of every set that is ranked.
        drops_columns: Whether columns of nothing but redundant features are ranked last.
    """

    preprocessing: Preprocessing
    redundancy: Redundancy
    drops_features: bool
    drops_columns: bool

    @cached_property
    def features(self) -> dict[int, list[int]]:
        """Positions of the features of each column."""
        positions, first = {}, 0
        for number, column in enumerate(self.preprocessing.columns):
            width = len(column.feature_names)
            positions[number] = list(range(first, first + width))
            first += width
        return positions

    @cached_property
    def ranked(self) -> dict[int, list[int]]:
        """Features of the columns that are ranked."""
        kept = {
            number: [p for p in own if p not in self.redundancy.kept_for]
            for number, own in self.features.items()
        }
        if self.drops_features:
            return {number: own for number, own in kept.items() if own}
        if self.drops_columns:
            return {number: self.features[number] for number, own in kept.items() if own}
        return self.features

    @property
    def unranked(self) -> list[int]:
        """The other columns, those that alone say most about the target first."""
        others = [number for number in self.features if number not in self.ranked]
        alone = self.redundancy.relations
        return sorted(others, key=lambda n: (-max(alone[p] for p in self.features[n]), n))

    def features_of(self, columns: Collection[int]) -> list[int]:
        """Return the positions of all features of some columns."""
        return [position for number in sorted(columns) for position in self.features[number]]

    def tell(self, columns: Collection[int]) -> str:
        """Return a sentence that says which columns stay."""
        chosen = set(columns)
        names = [
            column.name
            for number, column in enumerate(self.preprocessing.columns)
            if number not in chosen
        ]
        count = f"{len(chosen):,} of {len(self.features):,} raw columns"
        return f"{count}; left out: {listed(map(repr, names))}."


def listed(items: "Collection[str] | map[str]") -> str:
    """Return a few items, and how many more there are.

    Examples:
        >>> listed("abcdefg")
        'a, b, c, d, e and 2 more'
    """
    told = list(items)
    more = f" and {len(told) - _N_NAMED:,} more" if len(told) > _N_NAMED else ""
    return (", ".join(told[:_N_NAMED]) or "none") + more
