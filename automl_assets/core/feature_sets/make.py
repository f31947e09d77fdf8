"""Which feature sets a search may choose from, as the request asks."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from automl_assets.core.encoding import Preprocessing
from automl_assets.core.families import Encoded, Structure
from automl_assets.core.feature_sets.components import fit_components
from automl_assets.core.feature_sets.correlation import (
    CORRELATION_LIMIT,
    Redundancy,
    find_redundant,
)
from automl_assets.core.feature_sets.ranking import Ranking, judged_rows, rank_columns
from automl_assets.core.feature_sets.sample import sample
from automl_assets.core.feature_sets.table import ColumnTable, listed
from automl_assets.core.feature_sets.transform import (
    ALL,
    FeatureSet,
    FeatureTransform,
    n_raw_columns,
)
from automl_assets.core.values import TaskType


def make_feature_sets(
    train: Encoded,
    validation: Encoded,
    *,
    preprocessing: Preprocessing,
    redundancy: Literal["pca", "correlation", "none"],
    selection: Literal["permutation", "none"],
    max_features: int | None,
    task_type: TaskType,
    n_classes: int,
    seed: int,
    n_threads: int,
    structure: Structure | None = None,
) -> tuple[FeatureSet, ...]:
    """Learn the feature sets that a search may choose from.

    The first one is for the baselines: `all`, or `top` where `max_features` rules `all` out.
    A set that equals an earlier one is not offered; the `detail` of the first one says so. The
    same arguments give the same sets, on any number of threads.

    Args:
        train: The train part; some 20,000 rows of it are read.
        validation: The validation part; up to 8,000 rows of it judge raw columns.
        max_features: Most raw columns that any set reads, at least 1; None: all.
        n_classes: 0 for regression.
        seed: Decides samples, noise and shuffles.
        structure: Limits of the models' shape, which every set must be able to hold.

    Raises:
        RequestError: Components cannot be made, or cannot hold `structure`.
        SnapshotError: The parts were not encoded by `preprocessing`.
    """
    everything = FeatureTransform.choosing(range(len(train.n_levels)), train.n_levels)
    n_raw = n_raw_columns(everything, preprocessing)
    limit = max_features if max_features is not None and max_features < n_raw else None
    all_features = FeatureSet(name=ALL, transform=everything, detail=f"All {n_raw:,} raw columns.")
    if redundancy == "none" and selection == "none" and limit is None:
        return (all_features,)
    asked = _Asked(
        redundancy=redundancy,
        selection=selection,
        limit=limit,
        task_type=task_type,
        n_classes=n_classes,
        seed=seed,
        n_threads=n_threads,
    )
    rows = sample(train, n_classes=n_classes, seed=seed)
    sets = tuple(_sets(asked, rows, validation, preprocessing))
    offered = sets if limit is not None else (all_features, *sets)
    for item in offered:
        item.transform.structure(structure or Structure())
    if selection == "permutation" and not any(item.name == "selected" for item in offered):
        told = f"{offered[0].detail} No raw column tells more than noise, so none was selected."
        offered = (offered[0].model_copy(update={"detail": told}), *offered[1:])
    return _different(offered)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What `make_feature_sets` was asked; `limit` is None where all columns are allowed."""

    redundancy: Literal["pca", "correlation", "none"]
    selection: Literal["permutation", "none"]
    limit: int | None
    task_type: TaskType
    n_classes: int
    seed: int
    n_threads: int

    @property
    def ranks(self) -> bool:
        """Whether raw columns are put in order."""
        return self.selection == "permutation" or self.limit is not None


def _sets(
    asked: _Asked, rows: Encoded, validation: Encoded, preprocessing: Preprocessing
) -> Iterable[FeatureSet]:
    by_correlation = asked.redundancy == "correlation"
    found = Redundancy(relations=(), kept_for={})
    if asked.ranks or by_correlation:
        found = find_redundant(rows, n_classes=asked.n_classes)
    table = ColumnTable(
        preprocessing=preprocessing,
        redundancy=found,
        drops_features=by_correlation,
        drops_columns=by_correlation or asked.limit is not None,
    )
    allowed, ranking = list(table.features), None
    if asked.ranks:
        ranking = _ranking(asked, rows, validation, table)
        allowed = [*ranking.order, *table.unranked][: asked.limit]
    if asked.limit is not None:
        yield _chosen("top", table.features_of(allowed), rows, table.tell(allowed))
    if asked.redundancy == "pca":
        transform, detail = fit_components(rows, table.features_of(allowed), seed=asked.seed)
        yield FeatureSet(name="pca", transform=transform, detail=detail)
    if by_correlation:
        yield _uncorrelated(table, table.features_of(allowed), rows)
    if asked.selection == "permutation" and ranking is not None:
        for name, columns in (("selected", ranking.useful), ("strongest", ranking.strongest)):
            if own := [p for number in columns[: asked.limit] for p in table.ranked[number]]:
                yield _chosen(name, own, rows, table.tell(columns[: asked.limit]))


def _ranking(asked: _Asked, rows: Encoded, validation: Encoded, table: ColumnTable) -> Ranking:
    n_judged = judged_rows(len(table.ranked), asked.n_classes)
    return rank_columns(
        rows,
        sample(validation, n_classes=asked.n_classes, max_rows=n_judged, seed=asked.seed),
        table.ranked,
        relations=table.redundancy.relations,
        task_type=asked.task_type,
        n_classes=asked.n_classes,
        seed=asked.seed,
        n_threads=asked.n_threads,
    )


def _chosen(name: str, positions: Iterable[int], rows: Encoded, detail: str) -> FeatureSet:
    transform = FeatureTransform.choosing(positions, rows.n_levels)
    return FeatureSet(name=name, transform=transform, detail=detail)


def _uncorrelated(table: ColumnTable, positions: list[int], rows: Encoded) -> FeatureSet:
    stand_ins = table.redundancy.kept_for
    # A feature stays where its stand-in is in a column that is not allowed.
    own = set(positions)
    redundant = {p for p in positions if stand_ins.get(p) in own}
    names = table.preprocessing.feature_names
    pairs = [f"{names[p]!r} as {names[stand_ins[p]]!r}" for p in sorted(redundant)]
    detail = (
        f"{len(redundant):,} of {len(positions):,} features say what another one says (rank "
        f"correlation from {CORRELATION_LIMIT}, or equal codes) and are left out: {listed(pairs)}."
    )
    kept = [p for p in positions if p not in redundant]
    return _chosen("uncorrelated", kept, rows, detail)


def _different(sets: tuple[FeatureSet, ...]) -> tuple[FeatureSet, ...]:
    first: dict[FeatureTransform, FeatureSet] = {}
    for item in sets:
        first.setdefault(item.transform, item)
    kept = list(first.values())
    equal = [item for item in sets if first[item.transform] is not item]
    told = " ".join(
        f"{item.name!r} is not offered: it equals {first[item.transform].name!r}." for item in equal
    )
    if told:
        kept[0] = kept[0].model_copy(update={"detail": f"{kept[0].detail} {told}"})
    return tuple(kept)
