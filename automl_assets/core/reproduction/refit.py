"""From the records and the data of a version to its model, fitted again."""

from pathlib import Path

from automl_assets.core.feature_sets.transform import ALL
from automl_assets.core.ports import SnapshotStore
from automl_assets.core.prepare import ensure_matrix
from automl_assets.core.reproduction.records import Records
from automl_assets.core.search.plan import SearchPlan
from automl_assets.core.search.planning import learn_feature_sets


def rebuild(
    records: Records, *, store: SnapshotStore, folder: Path
) -> tuple[SearchPlan, tuple[str, ...]]:
    """Encode the matrix from the data commit, and learn the feature sets again, if any are used.

    Args:
        folder: Where all of it goes; as much as the matrix took in the first run.

    Returns:
        The plan, with the folders of this run in place of those of the first, and a sentence
        for each thing that is not as it was then.

    Raises:
        SnapshotError: The disk is full, or the table is not what was split.
    """
    matrix = ensure_matrix(
        records.accepted,
        records.snapshot,
        records.split,
        store=store,
        matrices=folder / "matrices",
    )
    plan = records.plan.model_copy(
        update={"matrix": str(matrix), "artifacts": str(folder / "candidates")}
    )
    if set(plan.feature_sets) == {ALL}:
        return plan, ()
    names = _learn_feature_sets(plan, records)
    if names == plan.feature_sets:
        return plan, ()
    return plan, (
        f"feature sets: {', '.join(plan.feature_sets)} were found then, {', '.join(names)} are "
        "found here.",
    )


def _learn_feature_sets(plan: SearchPlan, records: Records) -> tuple[str, ...]:
    """Do what the search did before its first trial; the same arguments give the same sets."""
    return learn_feature_sets(
        records.accepted.request.model.preprocessing,
        max_features=plan.constraints.max_features if plan.constraints else None,
        task_type=plan.task_type,
        n_classes=plan.n_classes,
        seed=plan.seed,
        structure=plan.structure,
        matrix=Path(plan.matrix),
        artifacts=Path(plan.artifacts),
    )
