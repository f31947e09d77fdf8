"""What a search found: who won and why, why the others lost, and why nobody did."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import InMemoryStorage

from automl_assets.core.errors import NoAdmissibleError, SearchError
from automl_assets.core.search.final import FinalModel
from automl_assets.core.search.outcome import (
    N_KEPT_PACKAGES,
    NOT_TRIED,
    collect_candidates,
    require_admissible,
    settled_candidates,
    sweep_packages,
)
from automl_assets.core.search.plan import Addition, Proposal, SearchPlan
from automl_assets.core.search.standing import (
    finalists,
    ledger,
    ledger_sha256,
)
from automl_assets.core.search.study import (
    FINAL,
    USAGE,
    open_study,
    release_trials,
    skip_trial,
    tell_failure,
    tell_result,
)
from automl_assets.core.search.trial import PACKAGE, PREDICTIONS, TrialResult
from automl_assets.core.values import LeftOut, Member
from tests.searches import PROPOSALS, claims, make_plan, make_result

LIMIT = {"model_size_mb": {"max": 5}, "p99_latency_ms": {"max": 15}}


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    folder = tmp_path / "candidates"
    folder.mkdir()
    return folder


def searched(
    artifacts: Path,
    *told: TrialResult | str,
    storage: InMemoryStorage | None = None,
    **changes: Any,
) -> tuple[optuna.Study, SearchPlan]:
    """Return a search whose trials gave these results, or failed for these reasons."""
    plan = make_plan(**{"n_trials": len(told), "artifacts": str(artifacts)} | changes)
    study, plan = open_study(plan, storage or InMemoryStorage())
    results = list(told)
    for claim in claims(study, plan):
        result = results.pop(0)
        if isinstance(result, str):
            tell_failure(study, claim.trial, result)
        else:
            tell_result(study, claim.trial, result)
            leave(artifacts, claim.job.number)
        if not results:
            break
    return study, plan


def leave(artifacts: Path, number: int) -> None:
    (artifacts / str(number) / PACKAGE).mkdir(parents=True)
    (artifacts / str(number) / PREDICTIONS).write_bytes(b"")


def member(number: int, weight: float = 1.0, **changes: Any) -> Member:
    values = {"number": number, "family": "linear", "params": {}, "weight": weight, "seed": 1}
    return Member.model_validate({**values, "n_iterations": None, "refitted": True, **changes})


def end(study: optuna.Study, *members: Member, refused: tuple = (), **changes: Any) -> FinalModel:
    values = {"folder": "final", "package_sha256": "f" * 64, "members": members, "score": 0.25}
    model = FinalModel.model_validate(values | changes)
    study.set_user_attr(FINAL, {"model": model.model_dump(mode="json"), "refused": list(refused)})
    return model


def reasons(study: optuna.Study, plan: SearchPlan) -> dict[int, str]:
    found = collect_candidates(study, plan, seconds=1.0)
    return {item.number: item.reason for item in found.leaderboard}


# --- the final model ------------------------------------------------------------------------------


def test_the_member_of_largest_weight_wins_and_of_equals_the_first(artifacts: Path) -> None:
    study, plan = searched(artifacts, *(make_result(score) for score in (0.5, 0.3, 0.4)))
    end(study, member(0, 0.2), member(2, 0.4), member(1, 0.4))

    found = collect_candidates(study, plan, seconds=7.5)

    assert found.winner == 1
    assert [(item.number, item.weight) for item in found.members] == [(1, 0.4), (2, 0.4), (0, 0.2)]
    assert found.best.number == 1
    assert found.model_family == "ensemble of linear"
    assert found.artifact == f"{plan.study_name}/candidates/final"
    assert (found.artifact_sha256, found.score, found.seconds) == ("f" * 64, 0.25, 7.5)


def test_what_was_measured_and_decided_of_the_final_model_is_told(artifacts: Path) -> None:
    study, plan = searched(artifacts, make_result(), constraints=LIMIT)
    end(
        study,
        member(0),
        measured={"model_size_mb": 2.0, "p99_latency_ms": 3.0},
        calibration="sigmoid",
        threshold=0.2,
        notes=("There were few rows.",),
        seconds_per_row=1e-6,
    )
    study.set_user_attr(USAGE, {"seconds": 9.0, "cpu_seconds": 12.5, "peak_mb": 640.0})

    found = collect_candidates(study, plan, seconds=9.0)

    assert found.limits == {"p99_latency_ms": 15.0, "model_size_mb": 5.0}
    assert found.measured == {"model_size_mb": 2.0, "p99_latency_ms": 3.0}
    assert (found.calibration, found.threshold, found.notes) == (
        "sigmoid",
        0.2,
        ("There were few rows.",),
    )
    assert (found.cpu_seconds, found.peak_mb) == (12.5, 640.0)
    assert found.ledger_sha256 == ledger_sha256(ledger(study))


def test_families_that_were_left_out_are_told_with_the_reason(artifacts: Path) -> None:
    left_out = (LeftOut(family="knn", reason="It cannot honour model.monotonic."),)
    study, plan = searched(artifacts, make_result(), left_out=left_out)
    end(study, member(0))

    assert collect_candidates(study, plan, seconds=1.0).left_out == left_out


@pytest.mark.parametrize(("n_fits", "text"), [(1, "validation part"), (6, "out of 6 folds")])
def test_what_candidates_were_compared_on_is_told(artifacts: Path, n_fits: int, text: str) -> None:
    study, plan = searched(artifacts, make_result(), n_fits=n_fits)
    end(study, member(0))

    assert collect_candidates(study, plan, seconds=1.0).selection == text


# --- why the others lost --------------------------------------------------------------------------


def test_each_candidate_is_told_why_it_is_not_the_model(artifacts: Path) -> None:
    study, plan = searched(
        artifacts,
        make_result(0.5),
        make_result(0.3),
        make_result(0.3),
        make_result(0.1, violated={"model_size_mb": 0.5, "p99_latency_ms": 0.1}),
        make_result(0.4, pruned=True),
        "ValueError: broken",
        make_result(0.6, truncated=True),
    )
    end(study, member(1))

    assert reasons(study, plan) == {
        0: "0.2 worse than trial 1",
        1: "",
        2: "equal, but later",
        3: "breaks model_size_mb, p99_latency_ms",
        4: "given up: clearly worse than the best after some folds",
        5: "ValueError: broken",
        6: "0.3 worse than trial 1; fit cut short by the time limit",
    }


def test_members_are_told_their_share_and_the_best_why_it_has_none(artifacts: Path) -> None:
    study, plan = searched(artifacts, *(make_result(score) for score in (0.3, 0.4, 0.5)))
    end(study, member(1, 0.75), member(2, 0.25))

    assert reasons(study, plan) == {
        0: "best by itself, but not in the final model",
        1: "75% of the final model",
        2: "25% of the final model",
    }


@pytest.mark.parametrize(("direction", "first"), [("minimize", [2, 0]), ("maximize", [0, 2])])
def test_the_best_come_first_then_who_breaks_a_limit_then_pruned_then_failed(
    artifacts: Path, direction: str, first: list[int]
) -> None:
    study, plan = searched(
        artifacts,
        make_result(0.5),
        "broken",
        make_result(0.3),
        make_result(0.2, pruned=True),
        make_result(0.4, violated={"model_size_mb": 0.5}),
        direction=direction,
    )

    assert [item.number for item in settled_candidates(study, plan)] == [*first, 4, 3, 1]


def test_a_trial_that_was_run_again_or_given_back_is_no_candidate(artifacts: Path) -> None:
    storage = InMemoryStorage()
    plan = make_plan(n_trials=2, artifacts=str(artifacts))
    study, _ = open_study(plan, storage)
    next(claims(study, plan, worker="dead"))
    release_trials(study, storage, alive=(), retry=True, reason="killed")
    skip_trial(study, next(claims(study, plan)).trial, "no time")
    for claim in claims(study, plan):
        tell_result(study, claim.trial, make_result())

    assert [item.number for item in settled_candidates(study, plan)] == [2, 3]


# --- when no final model was made -----------------------------------------------------------------


def test_where_time_ended_before_the_final_model_the_best_is_given_as_it_was_found(
    artifacts: Path,
) -> None:
    study, plan = searched(
        artifacts,
        make_result(0.5),
        make_result(0.3, measured={"model_size_mb": 1.0}, package_sha256="e" * 64),
        constraints={"model_size_mb": {"max": 5}},
        calibration="isotonic",
        cost={"false_positive": 1, "false_negative": 2},
    )
    study.set_user_attr(FINAL, "begun")

    found = collect_candidates(study, plan, seconds=1.0)

    assert (found.winner, found.score) == (1, 0.3)
    assert found.artifact == f"{plan.study_name}/candidates/1/{PACKAGE}"
    assert found.artifact_sha256 == "e" * 64
    assert not found.members[0].refitted
    assert found.measured == {"model_size_mb": 1.0}
    assert found.notes[0].startswith("The time limit was reached before the final model")
    assert found.notes[1:] == (
        "There was no time for model.calibration.",
        "There was no time for task.cost.",
    )
    assert (found.calibration, found.threshold) == ("none", None)


def test_a_limit_that_nobody_had_time_to_measure_is_not_taken_for_held(artifacts: Path) -> None:
    limits = {"serving_memory_mb": {"max": 500}}
    study, plan = searched(artifacts, make_result(), constraints=limits)

    with pytest.raises(NoAdmissibleError, match="1 of 1 trials finished"):
        collect_candidates(study, plan, seconds=1.0)


def test_where_every_candidate_breaks_a_limit_the_nearest_are_told(artifacts: Path) -> None:
    def far(size: float, milliseconds: float) -> TrialResult:
        measured = {"model_size_mb": size, "p99_latency_ms": milliseconds}
        limits = {"model_size_mb": 5.0, "p99_latency_ms": 15.0}
        broken = {key: value / limits[key] - 1 for key, value in measured.items()}
        return make_result(
            measured=measured, violated={key: value for key, value in broken.items() if value > 0}
        )

    study, plan = searched(
        artifacts, far(6, 3), far(50, 3), far(4, 16), far(40, 30), "broken", constraints=LIMIT
    )

    with pytest.raises(NoAdmissibleError) as caught:
        collect_candidates(study, plan, seconds=1.0)

    text = str(caught.value)
    assert "4 of 5 trials finished" in text
    assert "model_size_mb removed 3, p99_latency_ms removed 2" in text
    assert [line.split(" (")[0] for line in caught.value.nearest] == [
        "trial 2",
        "trial 0",
        "trial 3",
    ]
    assert "p99_latency_ms 16 against 15" in caught.value.nearest[0]
    assert caught.value.removed_by == {"model_size_mb": 3, "p99_latency_ms": 2}


def test_where_only_final_models_break_a_limit_they_are_told(artifacts: Path) -> None:
    study, plan = searched(
        artifacts, make_result(), constraints={"serving_memory_mb": {"max": 100}}
    )
    refused = [{"serving_memory_mb": 140.0}, {"serving_memory_mb": 120.0}]
    study.set_user_attr(FINAL, {"model": None, "refused": refused})

    with pytest.raises(NoAdmissibleError, match="serving_memory_mb removed 2") as caught:
        collect_candidates(study, plan, seconds=1.0)
    assert "final model serving_memory_mb 120 against 100" in caught.value.nearest


def test_where_every_trial_failed_the_last_reason_and_the_cure_are_told(artifacts: Path) -> None:
    study, plan = searched(artifacts, "ValueError: first", "MemoryError: last")

    message = (
        r"No trial of lightgbm, linear completed: 2 ran within 9 s and failed, the last with: "
        r"MemoryError: last\. Raise search\.time_limit"
    )
    with pytest.raises(SearchError, match=message) as caught:
        collect_candidates(study, plan, seconds=9.0)
    assert not isinstance(caught.value, NoAdmissibleError)


def test_where_nothing_began_that_is_told(artifacts: Path) -> None:
    study, plan = open_study(make_plan(artifacts=str(artifacts)), InMemoryStorage())

    with pytest.raises(SearchError, match="the last with: none began"):
        require_admissible(study, plan, seconds=0.0)


# --- what ended it --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "seconds", "stopped_by"),
    [
        ({"n_trials": 2}, 1.0, "n_trials"),
        ({"n_trials": None, "time_limit_seconds": 60.0}, 60.0, "time_limit"),
        ({"n_trials": None, "time_limit_seconds": 60.0}, 58.0, "time_limit"),
        ({"n_trials": 2, "time_limit_seconds": 60.0}, 5.0, "n_trials"),
        ({"n_trials": 9, "time_limit_seconds": 60.0}, 60.0, "time_limit"),
        ({"n_trials": 9}, 5.0, "exhausted"),
    ],
)
def test_what_ended_the_search_is_told(artifacts: Path, changes, seconds, stopped_by) -> None:
    study, plan = searched(artifacts, make_result(), make_result(0.4), **changes)
    end(study, member(0))

    assert collect_candidates(study, plan, seconds=seconds).stopped_by == stopped_by


GRID = {
    "sampler": "grid",
    "n_trials": None,
    "time_limit_seconds": 60.0,
    "proposals": (Proposal(family="linear", params={"C": 0.5}, origin="grid"), PROPOSALS[2]),
}


def test_a_grid_that_ends_before_its_time_is_exhausted(artifacts: Path) -> None:
    study, plan = searched(artifacts, make_result(), make_result(0.4), **GRID)
    end(study, member(0))

    assert collect_candidates(study, plan, seconds=9.0).stopped_by == "exhausted"


@pytest.mark.parametrize(
    ("last", "seconds"), [("not begun: it would take about 9 s of 2 s", 50.0), ("killed", 61.0)]
)
def test_a_grid_whose_last_points_had_no_time_ended_by_the_time_limit(
    artifacts: Path, last: str, seconds: float
) -> None:
    study, plan = searched(artifacts, make_result(), last, **GRID)
    end(study, member(0))

    assert collect_candidates(study, plan, seconds=seconds).stopped_by == "time_limit"


def test_the_points_of_a_grid_that_nobody_came_to_are_counted(artifacts: Path) -> None:
    more = [Proposal(family="linear", params={"C": 0.1 * n}, origin="grid") for n in range(1, 4)]
    grid = {**GRID, "proposals": (*GRID["proposals"], *more)}
    study, plan = searched(artifacts, make_result(), make_result(0.4), **grid)
    end(study, member(0))

    found = collect_candidates(study, plan, seconds=61.0)

    assert NOT_TRIED.format(3, 5) in found.notes
    assert len(found.leaderboard) == 2


@pytest.mark.parametrize("changes", [GRID, {"n_trials": 2}])
def test_a_grid_at_its_end_and_another_sampler_have_nothing_to_tell(
    artifacts: Path, changes: dict[str, Any]
) -> None:
    study, plan = searched(artifacts, make_result(), make_result(0.4), **changes)
    end(study, member(0))

    assert collect_candidates(study, plan, seconds=9.0).notes == ()


# --- what is kept ---------------------------------------------------------------------------------


def swept(artifacts: Path, storage: InMemoryStorage) -> tuple[optuna.Study, SearchPlan]:
    results = [make_result(0.1 * number) for number in range(1, 9)]
    study, plan = searched(artifacts, *results, storage=storage)
    for name in ("as-found", "final"):
        (artifacts / name).mkdir()
    (artifacts / "rows.parquet").write_bytes(b"")
    end(study, member(0, 0.5), member(7, 0.5))
    sweep_packages(collect_candidates(study, plan, seconds=1.0), artifacts)
    return study, plan


def test_the_best_few_members_and_the_model_are_kept_and_other_packages_swept(
    artifacts: Path,
) -> None:
    swept(artifacts, InMemoryStorage())

    best = [str(number) for number in range(N_KEPT_PACKAGES)]
    assert sorted(path.name for path in artifacts.iterdir()) == [
        *best,
        "7",
        "final",
        "rows.parquet",
    ]


def test_a_search_that_goes_on_makes_its_model_of_what_was_kept_and_what_is_new(
    artifacts: Path,
) -> None:
    storage = InMemoryStorage()
    swept(artifacts, storage)
    longer = make_plan(n_trials=8, artifacts=str(artifacts))

    study, plan = open_study(longer, storage, Addition(name="run 2", seconds=10.0))
    claim = next(claims(study, plan, left=10.0))
    tell_result(study, claim.trial, make_result(0.05))
    leave(artifacts, claim.job.number)

    numbers = [item.job.number for item in finalists(study, plan)]
    assert numbers == [claim.job.number, 0, 1, 2, 3, 4, 7]


def test_a_model_that_was_kept_as_found_is_not_swept(artifacts: Path) -> None:
    results = [make_result(1.0 - 0.1 * number) for number in range(8)]
    study, plan = searched(artifacts, *results)

    sweep_packages(collect_candidates(study, plan, seconds=1.0), artifacts)

    assert (artifacts / "7" / PACKAGE).is_dir()
    assert not (artifacts / "0").exists()


def test_where_trials_ran_out_of_memory_the_cure_is_memory_and_not_time(artifacts: Path) -> None:
    study, plan = searched(artifacts, "out of memory: it held more than 1 MB")

    with pytest.raises(SearchError, match=r"Raise resources\.memory"):
        collect_candidates(study, plan, seconds=9.0)
