"""Which trial comes next: what is told first, how many there are, and what there is time for."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from threading import Lock
from typing import Any

import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from automl_assets.core.families import DataShape, Real, load_families
from automl_assets.core.search.budget import (
    BASELINE_SHARE,
    FIRST_ROW_SHARE,
    FIRST_TRIAL_SHARE,
    MAX_TRIAL_SHARE,
    faster_alone,
)
from automl_assets.core.search.claim import MAX_DRAWS, Claim, claim_trial, is_queue_open
from automl_assets.core.search.forecast import (
    BESIDE_FIT,
    FINAL_SECONDS,
    SMALLEST_ROW_SHARE,
    Scale,
    final_seconds,
    learned_costs,
)
from automl_assets.core.search.plan import Proposal, SearchPlan
from automl_assets.core.search.proposing import MAX_GRID
from automl_assets.core.search.space import grid
from automl_assets.core.search.standing import candidate_of, ledger, search_status
from automl_assets.core.search.study import (
    open_study,
    release_trials,
    tell_failure,
    tell_result,
    trial_seed,
)
from tests.searches import (
    SCALE,
    SHAPE,
    SPACES,
    claims,
    make_plan,
    make_result,
    run_all,
)

LINEAR = Proposal(family="linear", params={"C": 0.5}, origin="portfolio")
PLAIN = Proposal(family="lightgbm", origin="baseline")


def opened(plan: SearchPlan) -> optuna.Study:
    return open_study(plan, InMemoryStorage())[0]


def claim(
    study: optuna.Study, plan: SearchPlan, *, left: float = math.inf, scale: Scale = SCALE
) -> Claim | None:
    return claim_trial(study, plan, "w", scale=scale, left=left)


def take(study: optuna.Study, plan: SearchPlan, **changes: Any) -> Claim:
    found = claim(study, plan, **changes)
    assert found is not None
    return found


def timed(**changes: Any) -> SearchPlan:
    return make_plan(**{"n_trials": None, "time_limit_seconds": 100.0} | changes)


def after_one(plan: SearchPlan, **result: Any) -> optuna.Study:
    """Return a study whose first trial has ended well."""
    study = opened(plan)
    first = claim_trial(study, plan, "w", scale=SCALE, left=plan.time_limit_seconds or math.inf)
    assert first is not None
    tell_result(study, first.trial, make_result(**result))
    return study


# --- what comes first -----------------------------------------------------------------------------


def test_proposals_come_first_in_order_and_then_the_sampler() -> None:
    found = run_all(opened(make_plan()), make_plan())

    assert [item.job.origin for item in found] == ["baseline", "portfolio", "parent", *["tpe"] * 3]
    assert [item.job.family for item in found[:3]] == ["lightgbm", "linear", "lightgbm"]
    assert found[1].job.params["C"] == 0.5
    assert found[2].job.params["num_leaves"] == 8


def test_what_is_not_proposed_is_the_family_s_default_and_what_is_fixed_wins() -> None:
    plan = make_plan(
        fixed={"lightgbm": {"max_bin": 63}, "linear": {"scaling": "quantile"}}, n_trials=8
    )
    default = load_families()["lightgbm"].default_params()

    found = run_all(opened(plan), plan)

    assert found[0].job.params == {**default, "max_bin": 63}
    assert found[1].job.params["scaling"] == "quantile"
    for item in found:
        fixed = plan.fixed[item.job.family]
        assert item.job.params.items() >= fixed.items()


def test_the_sampler_sees_the_values_of_a_proposal_that_lie_in_the_space() -> None:
    study = opened(make_plan())
    run_all(study, make_plan())

    assert study.trials[1].params == {"family": "linear", "linear.C": 0.5}
    assert study.trials[2].params == {
        "family": "lightgbm",
        "lightgbm.learning_rate": 0.1,
        "lightgbm.num_leaves": 8,
    }


@pytest.mark.parametrize("params", [{"C": 1e6}, {"scaling": "bins"}])
def test_a_proposal_outside_of_the_space_is_run_as_it_is_and_not_shown_to_the_sampler(
    params,
) -> None:
    outside = Proposal(family="linear", params=params, origin="parent")
    plan = make_plan(proposals=(outside,))

    first = take(opened(plan), plan)

    assert first.job.params.items() >= params.items()
    assert first.trial.params == {"family": "linear"}


def test_each_trial_has_the_seed_of_its_number() -> None:
    found = run_all(opened(make_plan()), make_plan())

    assert [item.job.seed for item in found] == [trial_seed(5, number) for number in range(6)]


def test_a_proposal_names_its_features_and_the_sampler_draws_them() -> None:
    narrow = PLAIN.model_copy(update={"features": "selected"})
    plan = make_plan(
        proposals=(PLAIN, narrow), feature_sets=("all", "selected"), n_trials=30, sampler="random"
    )

    found = run_all(opened(plan), plan)

    assert [item.job.features for item in found[:2]] == ["all", "selected"]
    assert {item.job.features for item in found[2:]} == {"all", "selected"}
    assert all(item.trial.params["features"] == item.job.features for item in found)


def test_a_trial_knows_the_fold_scores_of_the_best_so_far() -> None:
    study = opened(make_plan())
    for score in (0.5, 0.3, 0.4):
        found = take(study, make_plan())
        tell_result(study, found.trial, make_result(score, fold_scores=(score, score + 0.1)))

    assert take(study, make_plan()).job.rival == (0.3, 0.4)
    assert study.trials[0].user_attrs["job"]["rival"] == []


def test_a_plain_default_is_given_up_for_nobody() -> None:
    plan = timed(proposals=(PLAIN, PLAIN, LINEAR))
    study = opened(plan)
    first = take(study, plan, left=99.0)
    tell_result(study, first.trial, make_result(0.3, fold_scores=(0.3, 0.4)))

    second, third = take(study, plan, left=99.0), take(study, plan, left=99.0)

    assert (second.job.origin, third.job.origin) == ("baseline", "portfolio")
    assert (second.job.rival, third.job.rival) == ((), (0.3, 0.4))


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_sampler_draws_within_the_space(sampler: str) -> None:
    plan = make_plan(sampler=sampler, n_trials=40)

    drawn = run_all(opened(plan), plan)[3:]

    assert {item.job.family for item in drawn} == {"lightgbm", "linear"}
    for item in drawn:
        assert item.job.origin == sampler
        for name, dimension in SPACES[item.job.family].items():
            assert dimension.low <= item.job.params[name] <= dimension.high


def test_tpe_draws_near_what_was_good_more_often_than_chance_does() -> None:
    distances = {}
    for sampler in ("tpe", "random"):
        plan = make_plan(
            sampler=sampler, n_trials=60, families=("linear",), proposals=(), n_workers=1
        )
        drawn = run_all(opened(plan), plan)[30:]
        far = [abs(math.log10(float(item.job.params["C"] or 1)) + 1) for item in drawn]
        distances[sampler] = sum(far) / len(far)

    assert distances["tpe"] < 0.7 * distances["random"]


# --- how many -------------------------------------------------------------------------------------


def test_workers_that_claim_at_once_share_exactly_the_asked_number() -> None:
    plan = make_plan(n_trials=23, sampler="random")
    study, lock = opened(plan), Lock()

    def work(name: str) -> list[int]:
        numbers = []
        while True:
            with lock:
                found = claim_trial(study, plan, name, scale=SCALE, left=math.inf)
            if found is None:
                return numbers
            numbers.append(found.trial.number)
            with lock:
                tell_result(study, found.trial, make_result(1.0 / (1 + found.trial.number)))

    with ThreadPoolExecutor(4) as pool:
        numbers = sorted(chain.from_iterable(pool.map(work, "abcd")))

    assert numbers == list(range(23))
    assert {trial.user_attrs["worker"] for trial in study.trials} <= set("abcd")


def test_a_running_trial_counts_as_taken_and_a_dead_one_is_replaced() -> None:
    storage = InMemoryStorage()
    plan = make_plan(n_trials=2)
    study, _ = open_study(plan, storage)
    take(study, plan)
    second = take(study, plan)

    assert claim(study, plan) is None
    tell_result(study, second.trial, make_result())
    release_trials(study, storage, alive=(), retry=True, reason="killed")
    numbers = [item.trial.number for item in claims(study, plan)]
    assert len(numbers) == 1


def test_a_trial_that_failed_counts() -> None:
    plan = make_plan(n_trials=3)
    study = opened(plan)
    for found in claims(study, plan):
        tell_failure(study, found.trial, "broken")

    assert [trial.state for trial in study.trials] == [TrialState.FAIL] * 3


def grid_plan(**changes: Any) -> SearchPlan:
    points = grid(SPACES["lightgbm"])
    told = tuple(
        Proposal(family="lightgbm", params=params, origin="grid") for params in points[:MAX_GRID]
    )
    values = {"sampler": "grid", "families": ("lightgbm",), "proposals": told, "n_trials": None}
    return make_plan(**values | changes)


def test_a_grid_ends_with_its_last_point() -> None:
    found = run_all(opened(grid_plan()), grid_plan())

    names = ("learning_rate", "num_leaves")
    seen = [tuple(item.job.params[name] for name in names) for item in found]
    assert len(seen) == len(set(seen)) == 9
    assert {item.job.origin for item in found} == {"grid"}


def test_a_grid_that_a_worker_died_in_is_run_to_its_end() -> None:
    storage = InMemoryStorage()
    study, plan = open_study(grid_plan(), storage)
    lost = take(study, plan)
    release_trials(study, storage, alive=(), retry=True, reason="killed")

    found = run_all(study, plan)

    assert len(found) == 9
    assert found[-1].job.params == lost.job.params
    assert found[-1].job.seed == lost.job.seed


def test_a_grid_may_end_at_a_number_of_trials() -> None:
    plan = grid_plan(n_trials=4)

    assert len(run_all(opened(plan), plan)) == 4


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_where_all_is_fixed_each_family_is_tried_once(sampler: str) -> None:
    plan = make_plan(
        spaces={"lightgbm": {}, "linear": {}},
        fixed={"lightgbm": {"num_leaves": 9}, "linear": {"C": 2.0}},
        proposals=(PLAIN, Proposal(family="linear", origin="default")),
        sampler=sampler,
        n_trials=50,
    )

    assert len(run_all(opened(plan), plan)) == 2


# --- time -----------------------------------------------------------------------------------------


def test_without_a_limit_a_trial_may_take_as_long_as_it_needs() -> None:
    assert take(opened(make_plan()), make_plan()).job.seconds is None


def test_the_first_trial_gets_little_time_so_that_there_is_a_model_early() -> None:
    found = take(opened(timed()), timed(), left=100.0)

    assert found.job.seconds == pytest.approx(FIRST_TRIAL_SHARE * 100.0)


def test_as_long_as_there_is_no_model_each_failure_gives_the_next_trial_more_time() -> None:
    plan = timed()
    study = opened(plan)
    given = []
    for _ in range(3):
        found = take(study, plan, left=80.0)
        given.append(found.job.seconds)
        tell_failure(study, found.trial, "ended by the time limit")

    assert given == pytest.approx([8.0, 24.0, 72.0])


@pytest.mark.parametrize(
    ("origin", "share"), [("baseline", BASELINE_SHARE), ("portfolio", MAX_TRIAL_SHARE)]
)
def test_no_trial_may_take_more_than_its_share_of_the_whole_time(origin, share) -> None:
    plan = timed(proposals=(PLAIN, LINEAR.model_copy(update={"origin": origin})))

    assert take(after_one(plan), plan, left=99.0).job.seconds == pytest.approx(share * 100.0)


def test_a_trial_ends_before_the_time_that_the_final_model_needs() -> None:
    plan = timed()
    study = after_one(plan, fit_seconds=2.0)
    reserved = final_seconds(study.get_trials(), plan, SCALE)

    found = take(study, plan, left=12.0)

    assert reserved > FINAL_SECONDS + 2.0
    # Predictions, the package and what is measured come on top of its fits.
    assert found.job.seconds == pytest.approx((12.0 - reserved) / BESIDE_FIT)


@pytest.mark.parametrize("left", [50.0, 1.5, 0.1, -1.0])
def test_the_first_trial_always_starts_however_little_is_left(left: float) -> None:
    found = take(opened(timed()), timed(), left=left)

    assert found.job.seconds is not None
    assert found.job.seconds >= 0.1


def test_only_what_may_become_the_first_model_may_outlast_the_time() -> None:
    plan = timed()
    study = opened(plan)
    first = take(study, plan, left=50.0)
    tell_result(study, first.trial, make_result())

    second = take(study, plan, left=50.0)

    assert first.job.is_first
    assert not second.job.is_first


def test_a_search_without_a_time_limit_has_no_time_to_outlast() -> None:
    plan = make_plan()

    assert not take(opened(plan), plan).job.is_first


def test_trials_that_all_fail_end_with_the_time() -> None:
    study = opened(timed())
    for left in (50.0, 1.0, -5.0):
        tell_failure(study, take(study, timed(), left=left).trial, "broken")

    assert claim(study, timed(), left=0.0) is None


def out_of_time(*told: Proposal) -> tuple[optuna.Study, SearchPlan]:
    """Return a search whose first trial took far longer than all that is left."""
    plan = timed(proposals=(PLAIN, *told), n_fits=5)
    study = opened(plan)
    first = take(study, plan, left=1e6)
    expected = load_families()["lightgbm"].expected_seconds(SHAPE, first.job.params)
    tell_result(study, first.trial, make_result(fit_seconds=1e5 * expected))
    return study, plan


def test_a_proposal_that_cannot_end_in_time_is_told_and_not_begun() -> None:
    study, plan = out_of_time(LINEAR, PLAIN)

    assert claim(study, plan, left=1e6) is None

    told = [trial for trial in study.trials if trial.user_attrs.get("proposal")]
    assert [trial.state.name for trial in told] == ["COMPLETE", "FAIL", "FAIL"]
    assert "not begun: it would take about" in told[1].user_attrs["reason"]
    assert [candidate_of(trial).state for trial in told[1:]] == ["not begun", "not begun"]
    assert search_status(study, plan, 50.0).n_failed == 0


def test_where_no_draw_fits_further_ones_are_of_a_family_that_does() -> None:
    plan = timed(proposals=(LINEAR, PLAIN), n_fits=5)
    study = opened(plan)
    for family, seconds in (("linear", 0.1), ("lightgbm", 1e5)):
        one = take(study, plan, left=1e6)
        assert one.job.family == family
        expected = load_families()[family].expected_seconds(SHAPE, one.job.params)
        tell_result(study, one.trial, make_result(fit_seconds=seconds * expected))

    families = set()
    for _ in range(12):
        found = take(study, plan, left=90.0)
        tell_result(study, found.trial, make_result(fit_seconds=0.1))
        families.add(found.job.family)

    assert families == {"linear"}


def test_draws_that_cannot_end_in_time_are_given_back_and_are_no_candidates() -> None:
    study, plan = out_of_time()

    assert claim(study, plan, left=1e6) is None

    assert 1 < len(study.trials) <= 2 + MAX_DRAWS
    assert len(ledger(study)) == 1
    assert search_status(study, plan, 50.0).n_finished == 1


def test_each_point_of_a_grid_that_cannot_end_in_time_has_its_reason() -> None:
    plan = grid_plan(time_limit_seconds=100.0, n_fits=5)
    study = opened(plan)
    first = take(study, plan, left=1e6)
    expected = load_families()["lightgbm"].expected_seconds(SHAPE, first.job.params)
    tell_result(study, first.trial, make_result(fit_seconds=1e5 * expected))

    assert claim(study, plan, left=1e6) is None

    refused = ledger(study)[1:]
    assert len(refused) == len(plan.proposals) - 1 == 8
    assert all(entry["reason"].startswith("not begun: it would take") for entry in refused)
    assert len({str(entry["job"]["params"]) for entry in refused}) == 8
    assert search_status(study, plan, 50.0).n_finished == len(plan.proposals)


def test_a_worker_looks_at_the_clock_between_refusals_of_a_large_grid() -> None:
    points = grid({**SPACES["lightgbm"], "lambda_l2": Real(low=0.1, high=1.0)})
    told = tuple(Proposal(family="lightgbm", params=item, origin="grid") for item in points[:20])
    plan = grid_plan(time_limit_seconds=100.0, n_fits=5, proposals=told)
    study = opened(plan)
    first = take(study, plan, left=1e6)
    expected = load_families()["lightgbm"].expected_seconds(SHAPE, first.job.params)
    tell_result(study, first.trial, make_result(fit_seconds=1e5 * expected))

    assert claim(study, plan, left=1e6) is None

    assert len([entry for entry in ledger(study) if entry["reason"]]) == MAX_DRAWS
    assert is_queue_open(study, plan, SCALE, left=1e6)


def test_nothing_begins_when_less_is_left_than_half_of_what_the_fastest_took() -> None:
    plan = timed(proposals=(PLAIN,))
    study = after_one(plan, seconds=8.0, fit_seconds=0.1)
    reserved = final_seconds(study.get_trials(), plan, SCALE)

    assert claim(study, plan, left=reserved + 3.9) is None
    assert claim(study, plan, left=reserved + 4.1) is not None


def test_nothing_is_kept_back_for_a_fit_of_the_final_model_that_cannot_end() -> None:
    plan = timed(proposals=(PLAIN,))
    study = after_one(plan, seconds=8.0, fit_seconds=8.0)
    trials = study.get_trials()

    assert final_seconds(trials, plan, SCALE, left=30.0) > FINAL_SECONDS + 8.0
    assert final_seconds(trials, plan, SCALE, left=9.0) == FINAL_SECONDS


def test_a_plain_default_leaves_time_to_be_fitted_again() -> None:
    plan = timed(proposals=(LINEAR, PLAIN))
    study = after_one(plan, seconds=1.0, fit_seconds=0.1)

    found = take(study, plan, left=20.0)

    assert found.job.origin == "baseline"
    assert found.job.seconds is not None
    after = 20.0 - found.job.seconds - FINAL_SECONDS
    growth = SCALE.everything.n_rows / SCALE.fit.n_rows
    assert after > 1.25 * growth * faster_alone("lightgbm", plan) * found.job.seconds
    assert found.job.seconds > 5.0


def test_a_queue_closes_when_no_trial_can_begin_any_more() -> None:
    plan = timed(proposals=(PLAIN, LINEAR, LINEAR))
    study = after_one(plan, seconds=8.0, fit_seconds=0.1)
    reserved = final_seconds(study.get_trials(), plan, SCALE)

    assert is_queue_open(study, plan, SCALE, left=reserved + 4.1)
    assert not is_queue_open(study, plan, SCALE, left=reserved + 3.9)
    # Whoever is told that it is open gets a trial.
    assert claim(study, plan, left=reserved + 3.9) is None
    assert claim(study, plan, left=reserved + 4.1) is not None


def test_every_trial_that_begins_can_end_by_what_is_known_of_its_family() -> None:
    plan = timed(sampler="random")
    study, now, n_begun = opened(plan), 0.0, 0
    while (found := claim(study, plan, left=100.0 - now)) is not None:
        expected = load_families()[found.job.family].expected_seconds(SHAPE, found.job.params)
        needed = 40.0 * expected * found.job.row_share
        seconds = found.job.seconds
        assert seconds is not None
        assert n_begun == 0 or needed <= seconds * 1.001
        used = min(needed, seconds)
        now += used
        told = make_result(fit_seconds=used, seconds=used, truncated=needed > seconds)
        tell_result(study, found.trial, told)
        n_begun += 1

    assert n_begun > 5
    assert 50.0 < now <= 100.0 - FINAL_SECONDS


# --- fewer rows -----------------------------------------------------------------------------------


def slow(share: float, *, n_fits: int = 1) -> Scale:
    """Return a scale at which a linear fit takes 30 s / share."""
    family = load_families()["linear"]
    params = {**family.default_params(), "C": 0.5}
    n_rows = SHAPE.n_rows
    while family.expected_seconds(shape_of(n_rows), params) < MAX_TRIAL_SHARE * 100.0 / share:
        n_rows = int(n_rows * 1.01)
    return Scale(fit=shape_of(n_rows), n_fits=n_fits, everything=shape_of(n_rows))


def shape_of(n_rows: int) -> DataShape:
    return DataShape(n_rows=n_rows, n_levels=SHAPE.n_levels, n_classes=2)


def second_job(scale: Scale, **changes: Any) -> Claim | None:
    """Return the linear trial that comes after a plain one, whose family it knows nothing of."""
    plan = timed(**{"proposals": (PLAIN, LINEAR), "families": ("lightgbm", "linear")} | changes)
    study = opened(plan)
    first = take(study, plan, left=90.0)
    # As fast as the cost model says.
    expected = load_families()["lightgbm"].expected_seconds(scale.fit, first.job.params)
    tell_result(study, first.trial, make_result(fit_seconds=expected * scale.n_fits, seconds=0.1))
    return claim(study, plan, left=1e6, scale=scale)


def test_all_rows_are_seen_where_there_is_time_for_them() -> None:
    found = second_job(slow(2.0))

    assert found is not None
    assert found.job.row_share == 1.0


def test_fewer_rows_are_seen_where_all_of_them_cannot_be_afforded() -> None:
    found = second_job(slow(0.6))

    assert found is not None
    assert found.job.family == "linear"
    assert SMALLEST_ROW_SHARE < found.job.row_share < 0.6


SLOW = Proposal(family="catboost", params={"depth": 8}, origin="portfolio")
WITH_SLOW = SPACES | {"catboost": {"learning_rate": Real(low=0.03, high=0.2, log=True)}}


def after_what_is_quick(
    quick: Proposal, slow: Proposal = SLOW, **changes: Any
) -> tuple[optuna.Study, Claim]:
    """Return what comes after a quick one, which can be fitted on all rows where a slow one cannot.

    The slow one takes 1.5 times as long as a trial may, the quick one less than half as long.
    """
    costs = [
        load_families()[item.family].expected_seconds(
            SCALE.fit, {**load_families()[item.family].default_params(), **item.params}
        )
        for item in (quick, slow)
    ]
    families = (quick.family, slow.family)
    plan = timed(proposals=(quick, slow), families=families, spaces=WITH_SLOW, **changes)
    study = opened(plan)
    begun = take(study, plan, left=90.0)
    slower = 1.5 * MAX_TRIAL_SHARE * 100.0 / costs[1]
    assert slower * costs[0] < MAX_TRIAL_SHARE * 100.0 / 2
    tell_result(study, begun.trial, make_result(fit_seconds=slower * costs[0], seconds=1.0))
    return study, take(study, plan, left=1e6)


def test_rows_are_left_out_only_where_plain_boosting_cannot_be_fitted_on_all() -> None:
    study, found = after_what_is_quick(PLAIN)

    assert (found.job.origin, found.job.row_share) == ("tpe", 1.0)
    assert study.trials[1].state == TrialState.FAIL
    assert "not begun: it would take about" in study.trials[1].user_attrs["reason"]


@pytest.mark.parametrize(
    "quick",
    [LINEAR, PLAIN.model_copy(update={"origin": "first", "params": {"n_estimators": 100}})],
    ids=["a linear model", "a small fit for a model early"],
)
def test_that_something_quick_fits_on_all_rows_rules_nothing_out(quick: Proposal) -> None:
    _, found = after_what_is_quick(quick)

    assert found.job.family == "catboost"
    assert found.job.row_share < 1.0


def test_the_points_of_a_grid_and_earlier_candidates_may_see_fewer_rows() -> None:
    _, point = after_what_is_quick(PLAIN, sampler="grid")
    _, again = after_what_is_quick(PLAIN, SLOW.model_copy(update={"origin": "parent"}))

    for found in (point, again):
        assert found.job.family == "catboost"
        assert found.job.row_share < 1.0


def test_what_takes_as_long_as_the_plain_default_did_is_judged_like_any_other() -> None:
    """A plain default may take longer than a trial, and is not fitted again."""
    twin = Proposal(family="lightgbm", params={"max_bin": 254}, origin="portfolio")
    plan = timed(proposals=(PLAIN, twin), families=("lightgbm",))
    study = opened(plan)
    begun = take(study, plan, left=90.0)
    # Of 100 s: less than a default may take, more than another may with its reserve.
    tell_result(study, begun.trial, make_result(fit_seconds=26.0, seconds=27.0))

    found = take(study, plan, left=1e6)

    assert found.job.origin == "portfolio"
    assert 0.5 < found.job.row_share < 1.0


def test_trials_that_were_not_begun_leave_the_asked_number_as_it_is() -> None:
    study, found = after_what_is_quick(PLAIN, n_trials=2)

    assert study.trials[1].state == TrialState.FAIL
    assert found.job.origin == "tpe"
    plan = timed(spaces=WITH_SLOW, families=("lightgbm", "catboost"), n_trials=2)
    assert claim(study, plan, left=1e6) is None


# --- time that is better spent --------------------------------------------------------------------


def after_a_linear_one(
    loss: float,
    *,
    share: float,
    origin: str = "default",
    again: str = "portfolio",
    **result: Any,
) -> tuple[optuna.Study, Claim]:
    """Return what comes after plain trees with a log loss of 0.5 and a linear candidate.

    Args:
        loss: Of the linear one.
        share: Of the time, what the next linear one is expected to take.
        origin: Of the first linear one.
        again: Of the next.
    """
    first = LINEAR.model_copy(update={"origin": origin, "params": {}})
    next_one = LINEAR.model_copy(update={"origin": again})
    plan = timed(proposals=(PLAIN, first, next_one), families=("lightgbm", "linear"))
    study = opened(plan)
    linear = load_families()["linear"]
    trees = load_families()["lightgbm"]
    slower = (
        share * 100.0 / linear.expected_seconds(SCALE.fit, {**linear.default_params(), "C": 0.5})
    )
    begun = take(study, plan, left=90.0)
    seconds = slower * trees.expected_seconds(SCALE.fit, {})
    tell_result(study, begun.trial, make_result(0.5, fit_seconds=seconds, seconds=1.0))
    begun = take(study, plan, left=1e6)
    seconds = slower * linear.expected_seconds(SCALE.fit, linear.default_params())
    told = {"fit_seconds": seconds, "seconds": 1.0} | result
    tell_result(study, begun.trial, make_result(loss, **told))
    return study, take(study, plan, left=1e6)


def test_a_family_that_is_far_behind_is_given_no_dear_trial_any_more() -> None:
    study, found = after_a_linear_one(0.75, share=0.1)

    assert found.job.origin == "tpe"
    assert study.trials[2].state == TrialState.FAIL
    assert "1.50 times the error of the best" in study.trials[2].user_attrs["reason"]
    assert study.trials[2].user_attrs["reason"].startswith("not begun: it would take about 10.0 s")


@pytest.mark.parametrize(
    ("loss", "share", "changes"),
    [
        (0.53, 0.1, {}),
        (0.75, 0.04, {}),
        (0.75, 0.1, {"truncated": True}),
        (0.75, 0.1, {"projected_loss": 0.7}),
        (0.75, 0.1, {"origin": "first"}),
        (0.75, 0.1, {"again": "parent"}),
    ],
    ids=[
        *("close", "cheap", "cut short", "ended for its losses"),
        *("small on purpose", "of an earlier search"),
    ],
)
def test_a_family_has_its_trial_where_it_is_cheap_or_not_known_to_be_behind(
    loss: float, share: float, changes: dict[str, Any]
) -> None:
    _, found = after_a_linear_one(loss, share=share, **changes)

    assert found.job.family == "linear"
    assert found.job.origin == changes.get("again", "portfolio")


@pytest.mark.parametrize(("times_expected", "ratio"), [(0.9, 1.0), (3.0, 6.0)])
def test_a_fit_that_was_ended_for_its_losses_says_no_more_than_that_others_take_longer(
    times_expected: float, ratio: float
) -> None:
    plan = timed(proposals=(PLAIN,))
    study = opened(plan)
    expected = load_families()["lightgbm"].expected_seconds(SCALE.fit, {}) / plan.n_threads
    ended = make_result(
        0.9,
        fit_seconds=times_expected * expected,
        pruned=True,
        projected_loss=0.8,
        needed_loss=0.5,
    )
    tell_result(study, take(study, plan, left=1e6).trial, ended)

    assert learned_costs(study.trials, plan, SCALE).ratio("lightgbm") == pytest.approx(ratio)


def test_a_family_is_not_behind_what_it_found_itself_with_less_time() -> None:
    twin = Proposal(family="lightgbm", params={"max_bin": 254}, origin="portfolio")
    other = twin.model_copy(update={"params": {"max_bin": 253}})
    plan = timed(proposals=(PLAIN, twin, other), families=("lightgbm",))
    study = opened(plan)
    cut = make_result(0.4, fit_seconds=10.0, seconds=11.0, truncated=True)
    tell_result(study, take(study, plan, left=90.0).trial, cut)
    worse = make_result(0.6, fit_seconds=10.0, seconds=11.0)
    tell_result(study, take(study, plan, left=1e6).trial, worse)

    assert take(study, plan, left=1e6).job.params["max_bin"] == 253


def test_a_trial_with_too_few_rows_tells_nothing_and_is_not_begun() -> None:
    found = second_job(slow(0.05))

    assert found is None or found.job.family != "linear"


def test_out_of_fold_a_trial_sees_all_rows_or_does_not_begin() -> None:
    found = second_job(slow(0.6), n_fits=5)

    assert found is None or found.job.row_share == 1.0


def test_plain_defaults_see_all_rows() -> None:
    plan = timed()

    assert take(opened(plan), plan, left=90.0, scale=slow(0.001)).job.row_share == 1.0


def test_the_very_first_candidate_may_see_a_sixteenth() -> None:
    plan = timed(proposals=(LINEAR,))

    assert take(opened(plan), plan, left=90.0, scale=slow(0.001)).job.row_share == FIRST_ROW_SHARE


# --- memory ---------------------------------------------------------------------------------------

BIG = Scale(fit=shape_of(2_000_000), n_fits=1, everything=shape_of(2_000_000))


def megabytes(family: str, params: dict[str, Any]) -> float:
    params = {**load_families()[family].default_params(), **params}
    return load_families()[family].expected_bytes(BIG.fit, params) / 1e6


def after_out_of_memory(memory: float, **changes: Any) -> tuple[optuna.Study, SearchPlan]:
    """Return a search whose second trial, a linear one, died of memory; a third one waits."""
    again = LINEAR.model_copy(update={"params": {"C": 0.7}})
    plan = make_plan(proposals=(PLAIN, LINEAR, again), memory_mb=memory, **changes)
    study = opened(plan)
    first = take(study, plan, scale=BIG)
    tell_result(study, first.trial, make_result(peak_mb=1.0))
    second = take(study, plan, scale=BIG)
    assert second.job.row_share == 1.0
    tell_failure(study, second.trial, "out of memory: it held 999 MB of 998 MB")
    return study, plan


def test_after_a_death_of_memory_the_next_one_of_the_family_sees_fewer_rows() -> None:
    needed = megabytes("linear", {"C": 0.7})
    study, plan = after_out_of_memory(1.2 * needed)

    found = take(study, plan, scale=BIG)

    assert found.job.params["C"] == 0.7
    assert found.job.row_share == pytest.approx(0.6)


def test_out_of_fold_the_next_one_is_refused_instead() -> None:
    needed = megabytes("linear", {"C": 0.7})
    study, plan = after_out_of_memory(1.2 * needed, n_fits=5, families=("linear", "lightgbm"))

    found = claim(study, plan, scale=BIG)

    assert study.trials[2].state == TrialState.FAIL
    assert "not begun: it would hold about" in study.trials[2].user_attrs["reason"]
    assert found is None or found.job.family == "lightgbm"


def test_a_death_of_memory_does_not_bind_other_families() -> None:
    needed = megabytes("linear", {"C": 0.7})
    study, plan = after_out_of_memory(1.2 * needed, n_fits=5)
    study.enqueue_trial(
        {"family": "lightgbm"}, user_attrs={"proposal": PLAIN.model_dump(mode="json")}
    )

    found = take(study, plan, scale=BIG)

    assert found.job.family == "lightgbm"


def test_what_any_process_holds_is_not_taken_for_what_grows_with_the_model() -> None:
    plan = make_plan(
        families=("catboost",),
        spaces={"catboost": {}},
        proposals=(
            Proposal(family="catboost", origin="baseline"),
            Proposal(family="catboost", params={"depth": 10}, origin="portfolio"),
        ),
        memory_mb=200.0,
    )
    study = opened(plan)
    tell_result(study, take(study, plan).trial, make_result(peak_mb=60.0))

    found = take(study, plan)

    assert (found.job.params["depth"], found.job.row_share) == (10, 1.0)


@pytest.mark.parametrize(("plan_of", "row_share"), [(timed, 0.5), (make_plan, 1.0)])
def test_a_family_that_holds_more_than_it_says_is_believed_its_deeds_where_time_decides(
    plan_of: Callable[..., SearchPlan], row_share: float
) -> None:
    again = LINEAR.model_copy(update={"params": {"C": 0.7}})
    needed = megabytes("linear", {"C": 0.5})
    plan = plan_of(proposals=(LINEAR, again), memory_mb=4.0 * needed)
    study = opened(plan)
    first = take(study, plan, scale=BIG)
    tell_result(study, first.trial, make_result(peak_mb=8.0 * needed))

    # Without a time limit a search is to be repeated, and a measurement is never twice the same.
    share = take(study, plan, scale=BIG).job.row_share
    assert share == pytest.approx(row_share, rel=0.2)


# --- costs ----------------------------------------------------------------------------------------


def test_costs_are_learned_from_what_fits_took_per_row_and_fold() -> None:
    plan = make_plan(n_threads=2)
    study = opened(plan)
    found = take(study, plan)
    expected = load_families()["lightgbm"].expected_seconds(SHAPE, found.job.params)
    scores = (0.5, 0.5, 0.5)
    result = make_result(fold_scores=scores, fit_seconds=3 * expected / 2 * 7.0)
    tell_result(study, found.trial, result)

    costs = learned_costs(study.get_trials(), plan, SCALE)

    assert costs.ratio("lightgbm") == pytest.approx(7.0)
    assert costs.ratio("linear") == pytest.approx(7.0)


def test_the_reserve_for_the_final_model_grows_with_its_members_up_to_a_share() -> None:
    one, four = timed(max_members=1, n_workers=1), timed(max_members=4, n_workers=1)
    study = opened(four)
    for score in (0.1, 0.2, 0.3, 0.4, 0.5):
        tell_result(study, take(study, four, left=1e4).trial, make_result(score, fit_seconds=3.0))
    trials = study.get_trials()
    refit = 1.25 * 3.0 * 6_000 / 5_000

    assert final_seconds([], four, SCALE) == FINAL_SECONDS
    assert final_seconds(trials, one, SCALE) == pytest.approx(FINAL_SECONDS + refit)
    assert final_seconds(trials, four, SCALE) == pytest.approx(FINAL_SECONDS + 2 * refit)


def test_a_fit_on_the_threads_of_all_workers_is_expected_to_be_faster() -> None:
    study = after_one(timed(), fit_seconds=3.0)
    trials = study.get_trials()

    def refit(n_rows: int = 200_000, **changes: Any) -> float:
        plan = timed(shape=shape_of(n_rows), **changes)
        return final_seconds(trials, plan, SCALE) - FINAL_SECONDS

    alone = refit(n_workers=1)
    assert refit(n_workers=1, n_threads=4) == alone
    assert refit(n_workers=4) == pytest.approx(alone * (1 - 0.6 * 3 / 4))
    assert alone / 4 < refit(n_workers=4, n_threads=2) < alone
    # Of few rows a fit gets no more threads than pay.
    assert refit(5_000, n_workers=4) == alone


def test_a_second_worker_does_not_hurry_while_the_first_model_is_made() -> None:
    plan = timed(proposals=(PLAIN, LINEAR))
    study = opened(plan)

    first, second = take(study, plan, left=90.0), take(study, plan, left=90.0)

    assert (first.job.is_first, second.job.is_first) == (True, False)
    assert first.job.seconds == pytest.approx(FIRST_TRIAL_SHARE * 100.0)
    assert (second.job.seconds or 0.0) > 2 * FIRST_TRIAL_SHARE * 100.0


def test_the_next_one_is_the_first_where_the_first_came_to_nothing() -> None:
    plan = timed(proposals=(PLAIN, LINEAR))
    study = opened(plan)
    tell_failure(study, take(study, plan, left=90.0).trial, "no luck")

    assert take(study, plan, left=90.0).job.is_first


def test_with_little_time_each_trial_may_become_the_first_model() -> None:
    plan = timed(time_limit_seconds=5.0, proposals=(PLAIN, LINEAR))
    study = opened(plan)

    assert take(study, plan, left=2.0).job.is_first
    assert take(study, plan, left=2.0).job.is_first
