"""A search as a study: what is queued, what is run again, what counts, and what is added."""

from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from automl_assets.core.search.claim import Claim, claim_trial
from automl_assets.core.search.final import FinalModel
from automl_assets.core.search.plan import Addition, Proposal, SearchPlan
from automl_assets.core.search.sampler import make_sampler
from automl_assets.core.search.standing import (
    final_model,
    ledger,
    ledger_sha256,
    ranked,
    refused_models,
    search_status,
)
from automl_assets.core.search.study import (
    FINAL,
    JOB,
    MAX_RETRIES,
    USAGE,
    final_is_made,
    is_settled,
    job_of,
    n_waiting,
    open_study,
    others_run,
    read_plan,
    release_trials,
    requeue_trial,
    skip_trial,
    tell_failure,
    tell_result,
    trial_seed,
)
from automl_assets.core.values import Member
from tests.searches import PROPOSALS, SCALE, make_plan, make_result, run_all

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@pytest.fixture
def storage() -> InMemoryStorage:
    return InMemoryStorage()


def opened(plan: SearchPlan, storage: InMemoryStorage | None = None) -> optuna.Study:
    return open_study(plan, storage or InMemoryStorage())[0]


def claim(study: optuna.Study, plan: SearchPlan, worker: str = "w") -> Claim:
    found = claim_trial(study, plan, worker, scale=SCALE, left=float("inf"))
    assert found is not None
    return found


def queued(study: optuna.Study) -> list[dict[str, Any]]:
    return [t.user_attrs["proposal"] for t in study.trials if t.state == TrialState.WAITING]


# --- opening --------------------------------------------------------------------------------------


def test_a_new_study_has_its_proposals_queued_in_order(storage) -> None:
    study = opened(make_plan(), storage)

    assert [Proposal.model_validate(item) for item in queued(study)] == list(PROPOSALS)
    assert read_plan(study) == make_plan()


def test_an_opening_that_was_killed_between_two_proposals_is_finished_by_the_next(
    storage, monkeypatch
) -> None:
    real, calls = optuna.Study.enqueue_trial, []

    def killed(self: optuna.Study, *args: Any, **kwargs: Any) -> None:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(args)
        real(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "enqueue_trial", killed)
        with pytest.raises(KeyboardInterrupt):
            open_study(make_plan(), storage)

    study = opened(make_plan(), storage)

    assert [Proposal.model_validate(item) for item in queued(study)] == list(PROPOSALS)


def test_a_study_opened_again_queues_nothing_twice_and_goes_on(storage) -> None:
    first = opened(make_plan(), storage)
    done = claim(first, make_plan())
    tell_result(first, done.trial, make_result())

    again = opened(make_plan(), storage)

    assert len(queued(again)) == 2
    assert [item.trial.number for item in run_all(again, make_plan())] == [1, 2, 3, 4, 5]


def test_the_time_limit_is_that_of_the_first_attempt_and_places_are_those_of_the_last(
    storage,
) -> None:
    open_study(make_plan(time_limit_seconds=60.0), storage)

    study, plan = open_study(
        make_plan(time_limit_seconds=41.5, matrix="elsewhere", n_workers=1), storage
    )

    assert plan.time_limit_seconds == 60.0
    assert read_plan(study) == plan
    assert (plan.matrix, plan.n_workers) == ("elsewhere", 1)


@given(
    st.integers(0, 2**32), st.lists(st.integers(0, 10_000), unique=True, min_size=2, max_size=20)
)
def test_each_trial_has_a_seed_of_its_own_that_every_library_takes(
    study_seed: int, numbers: list[int]
) -> None:
    seeds = [trial_seed(study_seed, number) for number in numbers]

    assert seeds == [trial_seed(study_seed, number) for number in numbers]
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize(
    ("sampler", "kind"),
    [
        ("tpe", optuna.samplers.TPESampler),
        ("random", optuna.samplers.RandomSampler),
        ("grid", optuna.samplers.RandomSampler),
    ],
)
def test_each_way_to_search_has_its_sampler(sampler: str, kind: type) -> None:
    assert isinstance(make_sampler(make_plan(sampler=sampler), 1), kind)


# --- trials whose worker died ---------------------------------------------------------------------


def test_what_a_dead_worker_ran_is_run_again_with_the_same_values_and_seed(storage) -> None:
    plan = make_plan(proposals=())
    study = opened(plan, storage)
    lost, kept = claim(study, plan, "dead"), claim(study, plan, "alive")

    n_queued = release_trials(study, storage, alive={"alive"}, retry=True, reason="killed")

    assert n_queued == 1
    assert study.trials[lost.trial.number].state == TrialState.FAIL
    assert not is_settled(study.trials[lost.trial.number])
    assert study.trials[kept.trial.number].state == TrialState.RUNNING
    again = claim(study, plan)
    assert again.job.model_copy(update={"number": 0}) == lost.job
    assert again.trial.params == lost.trial.params
    tell_result(study, kept.trial, make_result())
    tell_result(study, again.trial, make_result())
    run_all(study, plan)
    assert sum(is_settled(trial) for trial in study.trials) == plan.n_trials


@pytest.mark.parametrize("which", range(3))
def test_a_proposal_that_is_run_again_is_still_that_proposal(storage, which: int) -> None:
    plan = make_plan(proposals=PROPOSALS[which : which + 1], n_trials=1)
    study = opened(plan, storage)
    lost = claim(study, plan, "dead")

    release_trials(study, storage, alive=(), retry=True, reason="killed")

    again = claim(study, plan)
    assert again.job.model_copy(update={"number": 0}) == lost.job
    assert again.trial.params == lost.trial.params


def test_a_release_that_was_killed_queues_no_second_successor(storage, monkeypatch) -> None:
    study = opened(make_plan(), storage)
    lost = claim(study, make_plan(), "dead")

    def killed(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(storage, "set_trial_user_attr", killed)
        with pytest.raises(KeyboardInterrupt):
            release_trials(study, storage, alive=(), retry=True, reason="killed")
    assert study.trials[lost.trial.number].state == TrialState.RUNNING

    release_trials(study, storage, alive=(), retry=True, reason="killed")

    successors = [t for t in study.trials if t.user_attrs.get("retry_of") == lost.trial.number]
    assert len(successors) == 1
    assert study.trials[lost.trial.number].state == TrialState.FAIL


def test_a_trial_is_run_again_at_most_twice(storage) -> None:
    plan = make_plan(n_trials=1, proposals=PROPOSALS[:1])
    study = opened(plan, storage)

    for _ in range(MAX_RETRIES):
        requeue_trial(study, storage, claim(study, plan).trial.number, "killed by signal 9")
        assert not any(is_settled(trial) for trial in study.trials)
    requeue_trial(study, storage, claim(study, plan).trial.number, "killed by signal 9")

    assert claim_trial(study, plan, "w", scale=SCALE, left=float("inf")) is None
    (settled,) = [trial for trial in study.trials if is_settled(trial)]
    assert settled.state == TrialState.FAIL
    assert settled.user_attrs["reason"] == "killed by signal 9"


def test_trials_that_end_for_good_are_not_queued_again(storage) -> None:
    study = opened(make_plan(), storage)
    lost = claim(study, make_plan())

    assert release_trials(study, storage, alive=(), retry=False, reason="time is up") == 0

    assert is_settled(study.trials[lost.trial.number])
    assert len(study.trials) == 3


def test_a_trial_that_has_ended_is_not_queued_again(storage) -> None:
    study = opened(make_plan(), storage)
    done = claim(study, make_plan())
    tell_result(study, done.trial, make_result())

    requeue_trial(study, storage, done.trial.number, "killed")

    assert study.trials[0].state == TrialState.COMPLETE
    assert len(study.trials) == 3


@pytest.mark.parametrize("tell", ["result", "failure", "skip"])
def test_what_a_worker_tells_of_a_trial_that_was_taken_from_it_is_ignored(
    storage, tell: str
) -> None:
    study = opened(make_plan(), storage)
    lost = claim(study, make_plan())
    release_trials(study, storage, alive=(), retry=True, reason="killed")

    if tell == "result":
        tell_result(study, lost.trial, make_result(violated={"model_size_mb": 0.5}))
    elif tell == "failure":
        tell_failure(study, lost.trial, "broken")
    else:
        skip_trial(study, lost.trial, "no time")

    assert study.trials[0].state == TrialState.FAIL
    assert study.trials[0].user_attrs["reason"] == "killed"
    assert ranked(study.trials, make_plan()) == []


# --- what counts ----------------------------------------------------------------------------------


def test_a_trial_that_was_given_back_is_no_candidate(storage) -> None:
    plan = make_plan(proposals=(), n_trials=2)
    study = opened(plan, storage)
    skip_trial(study, claim(study, plan).trial, "no time")

    assert ledger(study) == []
    assert search_status(study, plan, 1.0).n_finished == 0
    assert len(run_all(study, plan)) == 2


@pytest.mark.parametrize(
    ("direction", "order"), [("minimize", [1, 2, 0, 3]), ("maximize", [3, 0, 1, 2])]
)
def test_the_best_comes_first_and_of_equals_the_earlier_one(storage, direction, order) -> None:
    plan = make_plan(direction=direction)
    study = opened(plan, storage)
    for score in (0.5, 0.3, 0.3, 0.9):
        tell_result(study, claim(study, plan).trial, make_result(score))

    assert [trial.number for trial in ranked(study.trials, plan)] == order


def test_a_candidate_that_breaks_a_limit_is_not_ranked(storage) -> None:
    study = opened(make_plan(), storage)
    broken = make_result(0.1, violated={"model_size_mb": 0.5})
    tell_result(study, claim(study, make_plan()).trial, broken)
    tell_result(study, claim(study, make_plan()).trial, make_result(0.4))

    assert [trial.number for trial in ranked(study.trials, make_plan())] == [1]
    status = search_status(study, make_plan(), 2.0)
    assert (status.best_score, status.best_family, status.n_inadmissible) == (0.4, "linear", 1)


def test_a_pruned_trial_is_settled_and_not_ranked(storage) -> None:
    study = opened(make_plan(), storage)
    tell_result(study, claim(study, make_plan()).trial, make_result(0.1, pruned=True))

    assert is_settled(study.trials[0])
    assert ranked(study.trials, make_plan()) == []
    assert study.trials[0].user_attrs["reason"].startswith("given up")


def test_a_trial_that_was_ended_for_its_losses_tells_them(storage) -> None:
    study = opened(make_plan(), storage)
    ended = make_result(0.1, pruned=True, projected_loss=0.35931, needed_loss=0.3031234)
    tell_result(study, claim(study, make_plan()).trial, ended)

    reason = study.trials[0].user_attrs["reason"]
    assert "would have come to 0.35931 at best" in reason
    assert "above 0.303123 it is hardly of use" in reason


def test_progress_counts_what_is_over_and_names_what_runs(storage) -> None:
    plan = make_plan(time_limit_seconds=60.0)
    study = opened(plan, storage)
    tell_result(study, claim(study, plan).trial, make_result(0.3, cpu_seconds=2.0))
    tell_failure(study, claim(study, plan).trial, "broken")
    claim(study, plan)

    status = search_status(study, plan, 20.0, memory_mb=12.0)

    assert (status.n_finished, status.n_failed, status.running) == (2, 1, ("lightgbm",))
    assert (status.seconds, status.seconds_left, status.memory_mb) == (20.0, 40.0, 12.0)
    assert status.seconds_by_family == (("lightgbm", 2.0),)
    assert [item.number for item in status.leaders] == [0]
    assert status.stage == "trials"
    assert search_status(study, plan, 61.0).seconds_left == 0.0


def test_waiting_trials_beyond_the_asked_number_do_not_count(storage) -> None:
    plan = make_plan(n_trials=2)
    study = opened(plan, storage)

    assert n_waiting(study.get_trials(), plan) == 2
    tell_result(study, claim(study, plan).trial, make_result())
    assert n_waiting(study.get_trials(), plan) == 1
    claim(study, plan)
    assert n_waiting(study.get_trials(), plan) == 0
    assert n_waiting(study.get_trials(), make_plan(n_trials=None)) == 1


def test_a_worker_knows_whether_others_run_trials(storage) -> None:
    plan = make_plan(n_trials=1)
    study = opened(plan, storage)
    running = claim(study, plan, "other")

    assert others_run(study, "me")
    assert not others_run(study, "other")
    tell_result(study, running.trial, make_result())
    assert not others_run(study, "me")


# --- the ledger -----------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_one_worker_runs_the_same_trials_in_every_run(sampler: str) -> None:
    plan = make_plan(n_trials=20, sampler=sampler)
    ledgers = []
    for _ in range(2):
        study = opened(plan)
        run_all(study, plan)
        ledgers.append(ledger(study))

    assert ledgers[0] == ledgers[1]
    assert ledger_sha256(ledgers[0]) == ledger_sha256(ledgers[1])
    drawn = [str(entry["job"]["params"]) for entry in ledgers[0][3:]]
    assert len(set(drawn)) == len(drawn) == 17


def test_a_search_that_was_opened_again_in_between_runs_the_same_trials(storage) -> None:
    plan = make_plan(n_trials=16)
    study = opened(plan)
    run_all(study, plan)
    whole = ledger_sha256(ledger(study))
    run_all(opened(make_plan(n_trials=9), storage), make_plan(n_trials=9))

    again = opened(plan, storage)
    run_all(again, plan)

    assert ledger_sha256(ledger(again)) == whole


def digest(**changes: Any) -> str:
    study = opened(make_plan())
    tell_result(study, claim(study, make_plan()).trial, make_result(**changes))
    return ledger_sha256(ledger(study))


@pytest.mark.parametrize(
    "measured",
    [{"fit_seconds": 9.0}, {"peak_mb": 9.0}, {"measured": {"p99_latency_ms": 3.0}}],
)
def test_the_digest_does_not_depend_on_measurements(measured: dict[str, Any]) -> None:
    assert digest(**measured) == digest()


@pytest.mark.parametrize(
    "change", [{"score": 0.4}, {"n_iterations": (21,)}, {"truncated": True}, {"train_score": 0.1}]
)
def test_the_digest_tells_any_other_difference(change: dict[str, Any]) -> None:
    assert digest(**change) != digest()


def test_the_digest_tells_another_seed() -> None:
    digests = set()
    for seed in (5, 6):
        study = opened(make_plan(seed=seed))
        run_all(study, make_plan(seed=seed))
        digests.add(ledger_sha256(ledger(study)))

    assert len(digests) == 2


# --- time that is added ---------------------------------------------------------------------------

FINAL_MODEL = FinalModel(
    folder="final",
    package_sha256="f" * 64,
    members=(
        Member(
            number=0,
            family="linear",
            params={},
            weight=1.0,
            seed=1,
            n_iterations=None,
            refitted=True,
        ),
    ),
    score=0.4,
)


def end(study: optuna.Study, seconds: float) -> None:
    """Leave a study as a finished search does."""
    study.set_user_attr(USAGE, {"seconds": seconds})
    made = {"model": FINAL_MODEL.model_dump(mode="json"), "refused": [{"model_size_mb": 9.0}]}
    study.set_user_attr(FINAL, made)


def test_the_final_model_is_kept_with_what_was_refused(storage) -> None:
    study = opened(make_plan(), storage)
    assert not final_is_made(study)
    study.set_user_attr(FINAL, "begun")
    assert not final_is_made(study)
    assert search_status(study, make_plan(), 1.0).stage == "final model"

    end(study, 9.0)

    assert final_is_made(study)
    assert final_model(study) == FINAL_MODEL
    assert refused_models(study) == [{"model_size_mb": 9.0}]


def test_added_time_lets_a_search_that_has_ended_go_on(storage) -> None:
    plan = make_plan(n_trials=6, time_limit_seconds=60.0)
    study = opened(plan, storage)
    run_all(study, plan)
    end(study, seconds=40.0)

    study, longer = open_study(plan, storage, Addition(name="run 2", seconds=10.0))

    assert longer.time_limit_seconds == 50.0
    assert longer.n_trials is None
    assert not final_is_made(study)
    assert read_plan(study) == longer
    assert claim_trial(study, longer, "w", scale=SCALE, left=10.0) is not None


def test_the_same_addition_counts_once_and_another_one_again(storage) -> None:
    plan = make_plan(n_trials=None, time_limit_seconds=60.0)
    end(opened(plan, storage), seconds=60.0)

    _, longer = open_study(plan, storage, Addition(name="run 2", seconds=10.0))
    _, again = open_study(plan, storage, Addition(name="run 2", seconds=10.0))
    _, without = open_study(plan, storage)
    study, twice = open_study(plan, storage, Addition(name="run 3", seconds=5.0))

    limits = [item.time_limit_seconds for item in (longer, again, without, twice)]
    assert limits == [70.0, 70.0, 70.0, 75.0]
    assert not final_is_made(study)


def test_a_search_by_trials_gets_the_added_time_and_no_more(storage) -> None:
    plan = make_plan(n_trials=6)
    end(opened(plan, storage), seconds=33.0)

    _, longer = open_study(plan, storage, Addition(name="run 2", seconds=10.0))

    assert (longer.n_trials, longer.time_limit_seconds) == (None, 43.0)


def test_time_is_added_to_what_was_used_where_that_is_more_than_the_limit(storage) -> None:
    plan = make_plan(n_trials=None, time_limit_seconds=60.0)
    study = opened(plan, storage)
    study.set_user_attr(USAGE, {"seconds": 64.0})

    _, longer = open_study(plan, storage, Addition(name="run 2", seconds=10.0))

    assert longer.time_limit_seconds == 74.0


def test_no_added_time_changes_nothing(storage) -> None:
    plan = make_plan(time_limit_seconds=60.0)
    study = opened(plan, storage)
    end(study, seconds=40.0)

    study, same = open_study(plan, storage, Addition(name="run 2", seconds=0.0))

    assert same == plan
    assert final_is_made(study)


@pytest.mark.parametrize("n_writes", range(5))
def test_an_addition_that_was_killed_is_counted_once_and_makes_the_final_model_anew(
    storage, monkeypatch, n_writes: int
) -> None:
    plan = make_plan(n_trials=None, time_limit_seconds=60.0)
    end(opened(plan, storage), seconds=60.0)
    real, calls = optuna.Study.set_user_attr, []

    def killed(self: optuna.Study, key: str, value: Any) -> None:
        if len(calls) == n_writes:
            raise KeyboardInterrupt
        calls.append(key)
        real(self, key, value)

    added = Addition(name="run 2", seconds=10.0)
    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "set_user_attr", killed)
        try:
            open_study(plan, storage, added)
        except KeyboardInterrupt:
            assert len(calls) == n_writes

    study, longer = open_study(plan, storage, added)

    assert longer.time_limit_seconds == 70.0
    assert not final_is_made(study)


def test_a_trial_that_was_never_told_has_no_job(storage) -> None:
    study = opened(make_plan(), storage)
    claimed = claim(study, make_plan())

    assert job_of(study.trials[1]) is None
    assert job_of(study.trials[0]) == claimed.job
    assert JOB in study.trials[0].user_attrs
