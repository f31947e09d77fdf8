"""A search as a study: who runs which trial, what is repeated, and who wins."""

import optuna
import pytest
from optuna.trial import TrialState

from automl_assets.core.errors import SearchError
from automl_assets.core.search.outcome import collect_candidates
from automl_assets.core.search.plan import SearchPlan
from automl_assets.core.search.study import (
    MAX_RETRIES,
    RESULT,
    claim_trial,
    is_over,
    is_settled,
    ledger,
    ledger_sha256,
    open_study,
    read_plan,
    release_trials,
    search_status,
    seed_of,
    uses_defaults,
)


def plan(**changes: object) -> SearchPlan:
    values: dict[str, object] = {
        "study_name": "churn-0123456789",
        "metric": "log_loss",
        "direction": "minimize",
        "task_type": "binary",
        "classes": ("no", "yes"),
        "target": "churned",
        "families": ("catboost", "lightgbm", "linear"),
        "sampler": "tpe",
        "n_trials": 6,
        "time_limit_seconds": None,
        "n_workers": 2,
        "n_threads": 1,
        "seed": 5,
        "matrix": "matrix",
        "artifacts": "artifacts",
    }
    return SearchPlan.model_validate(values | changes)


@pytest.fixture
def storage() -> optuna.storages.InMemoryStorage:
    return optuna.storages.InMemoryStorage()


def finish(study: optuna.Study, trial: optuna.Trial, score: float) -> None:
    """End a trial as a worker does."""
    family = trial.suggest_categorical("family", plan().families)
    trial.suggest_float(f"{family}.rate", 0.0, 1.0)
    result = {
        "score": score,
        "cpu_seconds": 0.1,
        "n_iterations": 3,
        "model_bytes": 10,
        "package_sha256": f"digest of {trial.number}",
        "params": {},
        "truncated": False,
    }
    trial.set_user_attr(RESULT, result)
    study.tell(trial, score)


def run_all(study: optuna.Study, the_plan: SearchPlan, worker: str = "w") -> list[int]:
    numbers = []
    while (trial := claim_trial(study, the_plan, worker)) is not None:
        numbers.append(trial.number)
        finish(study, trial, score=1.0 / (1 + trial.number % 4))
    return numbers


def test_the_first_trials_are_the_defaults_of_each_family_cheapest_first(storage) -> None:
    study = open_study(plan(), storage)

    trials = [claim_trial(study, plan(), "w") for _ in range(4)]

    families = [trial.suggest_categorical("family", plan().families) for trial in trials[:3]]
    assert families == ["lightgbm", "linear", "catboost"]
    assert [uses_defaults(trial) for trial in trials] == [True, True, True, False]


def test_exactly_the_asked_number_of_trials_is_given_out(storage) -> None:
    study = open_study(plan(), storage)

    assert run_all(study, plan()) == [0, 1, 2, 3, 4, 5]
    assert is_over(search_status(study, plan(), seconds=1.0))


def test_a_study_opened_again_goes_on_with_its_own_plan(storage) -> None:
    first = open_study(plan(), storage)
    finish(first, claim_trial(first, plan(), "w"), 0.5)

    again = open_study(plan(), storage)

    assert read_plan(again) == plan()
    assert len(again.trials) == 3
    assert run_all(again, plan()) == [1, 2, 3, 4, 5]


def test_what_a_dead_worker_was_running_is_run_again_with_the_same_seed(storage) -> None:
    study = open_study(plan(), storage)
    lost = claim_trial(study, plan(), "dead")
    kept = claim_trial(study, plan(), "alive")

    n_queued = release_trials(study, plan(), storage, alive={"alive"}, retry=True, reason="killed")

    assert n_queued == 1
    assert study.trials[lost.number].state == TrialState.FAIL
    assert not is_settled(study.trials[lost.number])
    assert study.trials[kept.number].state == TrialState.RUNNING
    finish(study, kept, 0.4)
    run_all(study, plan())
    (again,) = [t for t in study.trials if t.user_attrs.get("retry_of") == lost.number]
    assert again.state == TrialState.COMPLETE
    assert again.params["family"] == "lightgbm"
    assert seed_of(again, plan()) == seed_of(study.trials[lost.number], plan())
    assert sum(is_settled(trial) for trial in study.trials) == 6


def test_a_release_that_was_cut_short_queues_no_second_successor(storage) -> None:
    study = open_study(plan(), storage)
    lost = claim_trial(study, plan(), "dead")
    study.enqueue_trial({}, user_attrs={"retry_of": lost.number})

    n_queued = release_trials(study, plan(), storage, alive=(), retry=True, reason="killed")

    assert n_queued == 0
    assert study.trials[lost.number].user_attrs["requeued"]


def test_a_trial_that_kills_its_worker_again_and_again_has_failed(storage) -> None:
    deadly = plan(n_trials=1, families=("linear",))
    study = open_study(deadly, storage)

    for _ in range(MAX_RETRIES + 1):
        assert claim_trial(study, deadly, "dead") is not None
        release_trials(study, deadly, storage, alive=(), retry=True, reason="out of memory")

    assert claim_trial(study, deadly, "w") is None
    with pytest.raises(SearchError, match=r"1 ran within 9 s and failed, .* out of memory"):
        collect_candidates(study, deadly, seconds=9.0)


def test_the_winner_is_the_best_and_of_equals_the_first(storage) -> None:
    study = open_study(plan(), storage)
    for score in (0.5, 0.3, 0.3, 0.9):
        finish(study, claim_trial(study, plan(), "w"), score)

    found = collect_candidates(study, plan(n_trials=4), seconds=1.0)

    assert found.winner == 1
    assert [item.number for item in found.leaderboard] == [1, 2, 0, 3]
    assert found.leaderboard[1].reason == "equal, but later"
    assert found.leaderboard[2].reason == "0.2 worse than trial 1"
    assert found.artifact_sha256 == "digest of 1"
    assert found.stopped_by == "n_trials"


def test_the_time_limit_ends_a_search(storage) -> None:
    limited = plan(n_trials=None, time_limit_seconds=10.0)
    study = open_study(limited, storage)
    finish(study, claim_trial(study, limited, "w"), 0.5)

    assert not is_over(search_status(study, limited, seconds=9.9))
    assert is_over(search_status(study, limited, seconds=10.0))
    assert collect_candidates(study, limited, seconds=10.0).stopped_by == "time_limit"


def test_one_worker_proposes_the_same_trials_in_every_run() -> None:
    ledgers = []
    for _ in range(2):
        study = open_study(plan(n_trials=14), optuna.storages.InMemoryStorage())
        run_all(study, plan(n_trials=14))
        ledgers.append(ledger(study, plan(n_trials=14)))

    assert ledgers[0] == ledgers[1]
    assert ledger_sha256(ledgers[0]) == ledger_sha256(ledgers[1])
    drawn = [tuple(entry["params"].values()) for entry in ledgers[0][3:]]
    assert len(set(drawn)) == len(drawn)
