"""From a request to the plan of its search: what is tried first, how often, by how many."""

import math
from pathlib import Path
from typing import Any

import pytest

from automl_assets.core.errors import RequestError
from automl_assets.core.families import DataShape, load_families
from automl_assets.core.feature_sets import read_feature_set
from automl_assets.core.request import TrainingRequest
from automl_assets.core.search.budget import COST_SHARES
from automl_assets.core.search.forecast import Scale, forecast
from automl_assets.core.search.memory_plan import LEAST_SHARE, SHARE_OF_ROWS, spare_memory
from automl_assets.core.search.plan import SearchPlan
from automl_assets.core.search.planning import (
    DEFAULT_WORKERS,
    MAX_MEMBERS,
    Machine,
    make_plan,
)
from automl_assets.core.search.proposing import (
    MAX_GRID,
    MAX_PARENTS,
    PLAIN,
    QUICK_TREES,
)
from automl_assets.core.search.space import grid
from automl_assets.core.search.trial import Job
from automl_assets.core.values import (
    PARTS,
    Candidate,
    ColumnProfile,
    Part,
    Split,
    SplitPart,
    TableProfile,
)
from tests.searches import KINDS, make_matrix

N_ROWS: dict[Part, int] = {"train": 360, "validation": 90, "calibration": 60, "analysis": 90}


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_matrix(tmp_path_factory.mktemp("planning") / "m")


def request(**sections: Any) -> TrainingRequest:
    values = {
        "apiVersion": "automl/v1",
        "kind": "TrainingRequest",
        "name": "churn",
        "owner": "crm",
        "data": {"path": "churn.parquet", "target": "churned"},
    }
    return TrainingRequest.model_validate(values | sections)


def profile() -> TableProfile:
    columns = tuple(
        ColumnProfile.model_validate(
            {"name": name, "dtype": "Float64", "kind": kind, "n_nulls": 0, "n_distinct": 5}
        )
        for name, kind in KINDS.items()
    )
    return TableProfile(
        n_rows=600,
        columns=columns,
        task_type="binary",
        classes=("no", "yes"),
        features=tuple(KINDS),
        dropped=(),
    )


def split(strategy: str = "random", *, n_folds: int = 5, n_train: int | None = None) -> Split:
    n_rows = N_ROWS if n_train is None else {**N_ROWS, "train": n_train}
    return Split(
        repository="r",
        commit_id="c",
        strategy=strategy,
        seed=0,
        parts=tuple(
            SplitPart(part=name, n_rows=n_rows[name], path=name, sha256="0" * 64) for name in PARTS
        ),
        preprocessing_version="1",
        matrix_id="m",
        feature_names=tuple(KINDS),
        n_folds=n_folds,
    )


MACHINE = Machine(max_workers=2, memory_mb=4000.0, seconds=None)


def planned(
    matrix: Path,
    tmp_path: Path,
    *,
    machine: Machine = MACHINE,
    parents: tuple[Candidate, ...] = (),
    on: Split | None = None,
    **sections: Any,
) -> SearchPlan:
    return make_plan(
        request(**sections),
        profile(),
        on or split(),
        study_name="churn-1",
        matrix=matrix,
        artifacts=tmp_path / "candidates",
        machine=machine,
        parents=parents,
    )


def seconds(limit: float | None, **changes: Any) -> Machine:
    return Machine(**{"max_workers": 2, "memory_mb": 4000.0, "seconds": limit} | changes)


AMPLE = seconds(60.0, memory_mb=1e6, max_workers=4)


def parent(number: int, family: str = "linear", **params: Any) -> Candidate:
    return Candidate(number=number, family=family, params=params, state="complete", score=0.5)


# --- proposals ------------------------------------------------------------------------------------


def test_plain_defaults_come_first_then_earlier_candidates_then_the_portfolio(
    matrix, tmp_path
) -> None:
    plan = planned(matrix, tmp_path, parents=(parent(4, C=3.0),))

    assert [item.family for item in plan.proposals[:2]] == list(PLAIN)
    for item in plan.proposals[:2]:
        assert item.origin == "baseline"
        assert item.params == load_families()[item.family].default_params()
    assert (plan.proposals[2].origin, plan.proposals[2].params) == ("parent", {"C": 3.0})
    origins = [item.origin for item in plan.proposals[3:]]
    assert "portfolio" in origins
    assert origins == sorted(origins, key=("portfolio", "default").index)


def test_families_that_were_asked_for_begin_with_their_defaults_the_cheapest_first(
    matrix, tmp_path
) -> None:
    plan = planned(matrix, tmp_path, model={"families": ["catboost", "lightgbm", "linear"]})

    told = plan.proposals[:3]
    cost = {
        item.family: load_families()[item.family].expected_seconds(plan.shape, item.params)
        for item in told
    }
    assert set(cost) == {"catboost", "lightgbm", "linear"}
    assert list(cost) == sorted(cost, key=lambda name: cost[name])


def test_nothing_is_proposed_twice(matrix, tmp_path) -> None:
    default = load_families()["lightgbm"].default_params()
    parents = (parent(1, C=3.0), parent(2, C=3.0), parent(3, "lightgbm", **default))

    plan = planned(matrix, tmp_path, parents=parents)

    told = [(item.family, tuple(sorted(item.params.items()))) for item in plan.proposals]
    assert len(set(told)) == len(told)
    assert [item.origin for item in plan.proposals].count("parent") == 1


def test_only_the_best_earlier_candidates_of_families_that_are_searched_are_tried_again(
    matrix, tmp_path
) -> None:
    parents = (parent(0, "knn", n_neighbors=3), *(parent(i, C=float(i)) for i in range(1, 9)))

    plan = planned(matrix, tmp_path, parents=parents, model={"families": ["linear"]})

    again = [item.params["C"] for item in plan.proposals if item.origin == "parent"]
    assert again == [1.0, 2.0, 3.0, 4.0, 5.0][:MAX_PARENTS]


def test_every_proposal_obeys_the_request(matrix, tmp_path) -> None:
    plan = planned(
        matrix,
        tmp_path,
        parents=(parent(1, "lightgbm", num_leaves=500, learning_rate=0.9),),
        model={
            "families": ["lightgbm"],
            "fix": {"lightgbm.max_bin": 63},
            "search": {"lightgbm.num_leaves": {"low": 4, "high": 16}},
        },
    )

    assert len(plan.proposals) > 3
    for item in plan.proposals:
        assert item.params["max_bin"] == 63
        assert 4 <= int(item.params.get("num_leaves") or 4) <= 16
    assert "max_bin" not in plan.spaces["lightgbm"]
    assert plan.fixed["lightgbm"] == {"max_bin": 63}


def test_where_plain_trees_take_long_a_small_fit_comes_first(matrix, tmp_path) -> None:
    on = split(n_train=20_000_000)

    slow = planned(matrix, tmp_path, on=on, machine=seconds(60.0))
    fast = planned(matrix, tmp_path, machine=seconds(600.0))
    unlimited = planned(matrix, tmp_path, on=on)

    assert slow.proposals[0].origin == "first"
    assert slow.proposals[0].params["n_estimators"] == QUICK_TREES
    assert fast.proposals[0].origin == unlimited.proposals[0].origin == "baseline"


def test_with_little_time_what_is_cheap_comes_before_what_is_not(matrix, tmp_path) -> None:
    on, limit = split(n_train=150_000), 200.0

    plan = planned(matrix, tmp_path, on=on, machine=seconds(limit))
    unlimited = planned(matrix, tmp_path, on=on)

    def costs(plan: SearchPlan) -> list[float]:
        families = load_families()
        return [
            families[item.family].expected_seconds(plan.shape, item.params)
            for item in plan.proposals
            if item.origin == "portfolio"
        ]

    classes = [sum(cost > share * limit for share in COST_SHARES) for cost in costs(plan)]
    assert classes == sorted(classes)
    assert len(set(classes)) > 1
    assert sorted(costs(plan)) == sorted(costs(unlimited)) != costs(unlimited)


def test_a_family_is_tried_with_its_defaults_before_what_takes_twice_as_long(
    matrix, tmp_path
) -> None:
    limit = 200.0
    plan = planned(matrix, tmp_path, on=split(n_train=150_000), machine=seconds(limit))

    seen: set[str] = set()
    n_screened = 0
    for item in plan.proposals:
        family = load_families()[item.family]
        cost = family.expected_seconds(plan.shape, {**family.default_params(), **item.params})
        own = family.expected_seconds(plan.shape, family.default_params())
        if item.origin == "portfolio" and cost > COST_SHARES[0] * limit and own <= cost / 2:
            assert item.family in seen
            n_screened += item.family not in PLAIN
        if item.origin in ("default", "baseline"):
            seen.add(item.family)
    assert n_screened > 0


def test_a_grid_proposes_each_point_of_each_family_once(matrix, tmp_path) -> None:
    plan = planned(
        matrix,
        tmp_path,
        model={
            "families": ["lightgbm", "linear"],
            "fix": {"linear.scaling": "standard", "linear.n_bins": 16},
        },
        search={"sampler": "grid"},
    )

    points = [item.params["C"] for item in plan.proposals if item.family == "linear"]
    assert len(points) == len(set(points)) == 3
    assert {item.origin for item in plan.proposals} == {"grid"}
    assert {item.params["scaling"] for item in plan.proposals if item.family == "linear"} == {
        "standard"
    }
    names = plan.spaces["lightgbm"]
    trees = [
        tuple(item.params[name] for name in names)
        for item in plan.proposals
        if item.family == "lightgbm"
    ]
    assert len(trees) == len(set(trees)) > 3


def test_a_large_grid_is_cut_and_leaves_room_for_each_family(matrix, tmp_path) -> None:
    families = ["catboost", "lightgbm", "linear", "xgboost"]

    plan = planned(matrix, tmp_path, model={"families": families}, search={"sampler": "grid"})

    counts = {name: sum(item.family == name for item in plan.proposals) for name in plan.families}
    assert set(counts) == set(families)
    assert sum(counts.values()) == MAX_GRID
    linear = len(grid(plan.spaces["linear"]))
    assert counts["linear"] == linear
    others = [count for name, count in counts.items() if name != "linear"]
    assert max(others) - min(others) <= 1


# --- how often, by how many -----------------------------------------------------------------------


def test_few_rows_are_compared_out_of_fold_with_enough_time(matrix, tmp_path) -> None:
    assert planned(matrix, tmp_path).n_fits == 6
    assert planned(matrix, tmp_path, machine=seconds(3600.0)).n_fits == 6
    assert planned(matrix, tmp_path, machine=seconds(1e-3)).n_fits == 1


@pytest.mark.parametrize(
    "on", [split("time"), split(n_folds=0), split(n_train=50_000)], ids=["time", "folds", "rows"]
)
def test_time_no_folds_or_many_rows_make_a_held_out_part_judge(matrix, tmp_path, on: Split) -> None:
    assert planned(matrix, tmp_path, on=on).n_fits == 1


@pytest.mark.parametrize(
    ("machine", "sections", "workers", "threads"),
    [
        (seconds(60.0), {}, 2, 1),
        (seconds(60.0, max_workers=64), {}, DEFAULT_WORKERS, 16),
        (seconds(60.0, max_workers=64), {"search": {"workers": 16}}, 16, 4),
        (seconds(60.0, max_workers=3), {"search": {"workers": 16}}, 3, 1),
        (seconds(60.0, max_workers=64), {"resources": {"cpu": 2}}, 2, 1),
        (seconds(60.0, max_workers=2), {"resources": {"cpu": 64}}, 2, 1),
        # Without a clock a search can be repeated, if nobody asks for workers.
        (seconds(None, max_workers=8), {"search": {"n_trials": 9}}, 1, 8),
        (seconds(None, max_workers=8), {"search": {"n_trials": 9, "workers": 2}}, 2, 4),
    ],
)
def test_workers_and_their_threads_share_the_cores(
    matrix, tmp_path, machine, sections, workers: int, threads: int
) -> None:
    plan = planned(matrix, tmp_path, machine=machine, **sections)

    assert (plan.n_workers, plan.n_threads) == (workers, threads)
    assert plan.memory_mb == pytest.approx(4000.0 / workers)


def test_without_known_memory_there_is_no_limit_of_it(matrix, tmp_path) -> None:
    assert planned(matrix, tmp_path, machine=seconds(60.0, memory_mb=None)).memory_mb is None


def test_memory_for_one_fit_only_makes_one_worker(matrix, tmp_path) -> None:
    on = split(n_train=2_000_000)
    families: dict[str, Any] = {"model": {"families": ["linear"]}}
    whole = load_families()["linear"].expected_bytes(
        planned(matrix, tmp_path, on=on, **families).shape,
        load_families()["linear"].default_params(),
    )

    plan = planned(
        matrix, tmp_path, on=on, machine=seconds(60.0, memory_mb=1.5 * whole / 1e6), **families
    )

    assert plan.n_workers == 1
    assert plan.memory_mb == pytest.approx(1.5 * whole / 1e6)


def whole(plan: SearchPlan, name: str) -> float:
    """Return what a plain fit of a family on all rows is expected to hold, in MB."""
    family = load_families()[name]
    return family.expected_bytes(plan.shape, family.default_params()) / 1e6


def test_fits_of_many_rows_share_the_cores_instead_of_the_memory(matrix, tmp_path) -> None:
    large = planned(matrix, tmp_path, on=split(n_train=20_000_000), machine=AMPLE)

    assert (large.n_workers, large.n_threads) == (1, 4)
    assert large.notes == (
        "1 trial at a time on 4 threads, not 4, since each fit holds its own copy of "
        "20,000,000 rows. search.workers asks for more.",
    )
    assert large.spare_mb == pytest.approx(LEAST_SHARE * whole(large, "catboost"))


@pytest.mark.parametrize(("origin", "sees_all"), [("tpe", False), ("baseline", True)])
def test_a_trial_of_many_rows_sees_what_it_may_hold_but_a_plain_default_sees_all(
    matrix, tmp_path, origin: str, sees_all: bool
) -> None:
    plan = planned(
        matrix, tmp_path, on=split(n_train=20_000_000), machine=AMPLE, search={"workers": 3}
    )
    plan = plan.model_copy(update={"time_limit_seconds": None})
    scale = Scale(fit=plan.shape, n_fits=1, everything=plan.shape)
    job = Job(number=1, family="catboost", params={}, seed=0, origin=origin)

    found = forecast(job, [], plan, scale, left=math.inf, has_model=True)

    assert found.megabytes > (plan.spare_mb or math.inf)
    assert (found.row_share == 1.0) == sees_all
    assert found.refusal == ""


def test_a_table_that_is_not_large_has_its_workers_and_no_note(matrix, tmp_path) -> None:
    plan = planned(matrix, tmp_path, on=split(n_train=500_000), machine=AMPLE)

    assert (plan.n_workers, plan.n_threads) == (4, 1)
    assert (plan.spare_mb, plan.notes) == (None, ())


def test_workers_that_were_asked_for_are_there_whatever_the_rows(matrix, tmp_path) -> None:
    plan = planned(
        matrix, tmp_path, on=split(n_train=20_000_000), machine=AMPLE, search={"workers": 3}
    )

    assert (plan.n_workers, plan.notes) == (3, ())
    assert plan.spare_mb == pytest.approx(LEAST_SHARE * whole(plan, "catboost"))


def test_what_a_trial_of_many_rows_may_hold_grows_with_the_columns() -> None:
    wide = DataShape(n_rows=3_000_000, n_levels=(0,) * 200, n_classes=2)

    spared = spare_memory(2, ["lightgbm", "catboost"], wide, n_cores=2)

    assert spared.n_workers == 2
    assert spared.trial_mb == pytest.approx(SHARE_OF_ROWS * 4e-6 * 3_000_000 * 200 / 2)


def test_a_search_that_can_be_repeated_plans_nothing_by_what_trials_hold(matrix, tmp_path) -> None:
    machine = seconds(None, memory_mb=1e6, max_workers=4)
    on = split(n_train=20_000_000)

    plan = planned(matrix, tmp_path, on=on, machine=machine, search={"n_trials": 5})

    assert (plan.n_workers, plan.spare_mb, plan.notes) == (1, None, ())


def test_memory_for_no_fit_at_all_is_refused_with_the_numbers(matrix, tmp_path) -> None:
    message = r"may hold as much as .* which is 1 MB, but \w+ alone needs [\d,]+ MB"

    with pytest.raises(RequestError, match=message):
        planned(matrix, tmp_path, on=split(n_train=10**9), machine=seconds(60.0, memory_mb=1.0))


# --- what is passed on ----------------------------------------------------------------------------


def test_the_plan_holds_what_the_request_asks_for(matrix, tmp_path) -> None:
    plan = planned(
        matrix,
        tmp_path,
        machine=seconds(45.0),
        seed=9,
        task={"type": "binary", "metric": "roc_auc"},
        model={"calibration": "sigmoid", "max_depth": 3},
        search={"n_trials": 12, "sampler": "random"},
        constraints={"model_size_mb": {"max": 5}},
    )

    assert (plan.metric, plan.direction) == ("roc_auc", "maximize")
    assert (plan.n_trials, plan.time_limit_seconds, plan.sampler) == (12, 45.0, "random")
    assert (plan.calibration, plan.structure.max_depth, plan.seed) == ("sigmoid", 3, 9)
    assert plan.constraints is not None
    assert plan.constraints.model_size_mb is not None
    assert plan.max_members == MAX_MEMBERS
    assert (plan.classes, plan.n_classes, plan.shape.n_rows) == (("no", "yes"), 2, 360)
    assert SearchPlan.model_validate_json(plan.model_dump_json()) == plan


def test_a_request_for_no_ensemble_has_one_member(matrix, tmp_path) -> None:
    assert planned(matrix, tmp_path, search={"ensemble": "none"}).max_members == 1


def test_families_that_cannot_do_what_is_asked_are_left_out_with_the_reason(
    matrix, tmp_path
) -> None:
    plan = planned(matrix, tmp_path, model={"monotonic": {"age": "increasing"}})

    assert plan.left_out
    assert not {item.family for item in plan.left_out} & set(plan.families)
    assert all("monotonic" in item.reason for item in plan.left_out)


def test_slices_are_found_by_the_column_that_holds_their_codes(matrix, tmp_path) -> None:
    gap = {"metric": "roc_auc", "by": ["shop"], "max": 0.2}

    plan = planned(matrix, tmp_path, constraints={"slice_gap": gap})

    assert plan.slice_columns == {"shop": 2}


@pytest.mark.parametrize("column", ["age", "unknown"])
def test_a_slice_by_what_is_no_category_is_refused_with_those_there_are(
    matrix, tmp_path, column: str
) -> None:
    gap = {"metric": "roc_auc", "by": [column], "max": 0.2}

    with pytest.raises(RequestError, match=f"names '{column}', which is none. Choose .* 'shop'"):
        planned(matrix, tmp_path, constraints={"slice_gap": gap})


def test_all_features_are_one_set_unless_more_are_asked_for(matrix, tmp_path) -> None:
    plan = planned(matrix, tmp_path)

    assert plan.feature_sets == ("all",)
    assert {item.features for item in plan.proposals} == {"all"}


def test_a_limit_of_features_rules_out_all_of_them_in_every_proposal(matrix, tmp_path) -> None:
    plan = planned(matrix, tmp_path, constraints={"max_features": 2})

    assert "all" not in plan.feature_sets
    assert {item.features for item in plan.proposals} <= set(plan.feature_sets)
    for name in plan.feature_sets:
        assert read_feature_set(Path(plan.artifacts), name) is not None


def test_each_further_feature_set_is_tried_with_plain_trees(matrix, tmp_path) -> None:
    plan = planned(matrix, tmp_path, model={"preprocessing": {"redundancy": "pca"}})

    assert plan.feature_sets[0] == "all"
    assert len(plan.feature_sets) > 1
    told = {item.features: item.family for item in plan.proposals if item.features != "all"}
    assert told == dict.fromkeys(plan.feature_sets[1:], PLAIN[0])
