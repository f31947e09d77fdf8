"""What people see of a search: words, pictures, importance, Dagit's metadata."""

import math
import re

import dagster as dg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_assets.assets.search_metadata import (
    DagitProgress,
    candidates_metadata,
    status_metadata,
)
from automl_assets.core.ports import Progress
from automl_assets.core.report.search_importance import MIN_TRIALS, parameter_importance
from automl_assets.core.report.search_pictures import MAX_POINTS, picture_png, search_pictures
from automl_assets.core.report.search_words import (
    family_accounts,
    final_model,
    gap,
    limit_rows,
    why_not,
)
from automl_assets.core.search.plan import SearchStatus
from automl_assets.core.values import Candidate, CandidateSet
from tests.candidate_sets import LIMITS, candidate, candidate_set

NAMES = ["history", "families", "curves", "gaps", "parameters"]


# --- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("direction", "expected"), [("maximize", 0.1), ("minimize", -0.1)])
def test_the_gap_is_positive_where_a_model_learned_by_heart(direction, expected) -> None:
    item = candidate(0).model_copy(update={"score": 0.8, "train_score": 0.9})

    assert gap(item, direction) == pytest.approx(expected)


def test_a_broken_limit_is_told_with_its_value_beside_the_recorded_reason() -> None:
    item = candidate(4).model_copy(update={"reason": "0.01 worse"})

    assert why_not(item, LIMITS) == "0.01 worse; p99_latency_ms 17.2, at most 15"


def test_a_limit_that_the_reason_names_already_is_not_told_twice() -> None:
    item = candidate(4).model_copy(update={"reason": "p99_latency_ms 17.2 above 15"})

    assert why_not(item, LIMITS) == "p99_latency_ms 17.2 above 15"


def test_every_trial_that_did_not_complete_has_a_reason() -> None:
    item = candidate(8).model_copy(update={"reason": ""})

    assert why_not(item, {}) == "no reason recorded"


def test_the_model_is_told_with_members_refit_calibration_and_threshold() -> None:
    text = final_model(candidate_set())

    assert text.startswith("ensemble of 3: ")
    assert " 0.60, " in text
    assert "1 of 3 fitted again" in text
    assert "calibration isotonic; says yes from probability 0.31" in text


def test_a_search_without_members_has_its_winner_as_model() -> None:
    found = candidate_set().model_copy(update={"members": ()})

    assert final_model(found).startswith(f"{found.best.family}, trial {found.winner}; not fitted")


def test_limits_tell_what_they_removed_and_which_end_counts() -> None:
    found = candidate_set()

    rows = {row.name: row for row in limit_rows(found)}

    n_broken = sum("p99_latency_ms" in item.violated for item in found.leaderboard)
    assert rows["p99_latency_ms"].n_removed == n_broken > 0
    assert rows["beat_baseline_by"].bound == "at least"
    assert rows["model_size_mb"].measured == 1.9


def test_the_accounts_of_the_families_add_up_to_the_search() -> None:
    found = candidate_set()

    accounts = family_accounts(found.leaderboard, found.direction)

    spent = sum(item.cpu_seconds or 0.0 for item in found.leaderboard)
    assert sum(account.n_trials for account in accounts) == len(found.leaderboard)
    assert sum(account.cpu_seconds for account in accounts) == pytest.approx(spent)
    assert max(account.best or 0.0 for account in accounts) == found.best.score


# --- importance ----------------------------------------------------------------------------------


def with_params(params: list[dict], scores: list[float]) -> CandidateSet:
    trials = tuple(
        Candidate(number=n, family="knn", params=given, state="complete", score=score)
        for n, (given, score) in enumerate(zip(params, scores, strict=True))
    )
    return candidate_set().model_copy(update={"leaderboard": trials, "winner": 0})


def test_the_parameter_that_decides_is_the_most_important() -> None:
    rates = [10 ** (-2 + step / 20) for step in range(40)]
    params = [{"rate": rate, "other": n * 7 % 10, "fixed": 1} for n, rate in enumerate(rates)]
    found = with_params(params, [-abs(math.log10(rate) + 1) for rate in rates])

    first, *rest = parameter_importance(found)

    assert (first.family, first.parameter) == ("knn", "rate")
    assert first.share > 0.8
    assert [item.parameter for item in rest] == ["other"]


def test_a_family_with_few_trials_is_not_judged() -> None:
    params = [{"rate": float(n)} for n in range(MIN_TRIALS - 1)]

    assert parameter_importance(with_params(params, [float(n) for n in range(len(params))])) == ()


PARAM = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(-1e12, 1e12),
    st.sampled_from(["a", "b", ""]),
)


@settings(max_examples=60, deadline=None)
@given(
    trials=st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from(["x", "y", "z"]), PARAM),
            st.floats(allow_nan=True, allow_infinity=True),
        ),
        min_size=MIN_TRIALS,
        max_size=20,
    )
)
def test_importance_is_a_share_whatever_the_parameters_are(trials) -> None:
    found = with_params([params for params, _ in trials], [score for _, score in trials])

    importance = parameter_importance(found)

    assert all(0 <= item.share <= 1 for item in importance)
    assert not importance or sum(item.share for item in importance) == pytest.approx(1)


# --- pictures ------------------------------------------------------------------------------------


def test_a_search_has_its_pictures_and_they_are_small() -> None:
    pictures = search_pictures(candidate_set(60))

    drawn = [picture_png(picture) for picture in pictures]

    assert [picture.name for picture in pictures] == NAMES
    assert all(png.startswith(b"\x89PNG") and len(png) < 60_000 for png in drawn)


def test_the_same_search_gives_the_same_pictures() -> None:
    first, second = (
        [picture_png(picture) for picture in search_pictures(candidate_set(30))] for _ in range(2)
    )

    assert first == second


@pytest.mark.parametrize("kept", [1, 2])
def test_a_search_of_few_bare_trials_is_drawn(kept: int) -> None:
    bare = [
        Candidate(number=n, family="linear", params={}, state="complete", score=0.5)
        for n in range(kept)
    ]
    found = candidate_set().model_copy(update={"leaderboard": tuple(bare), "winner": 0})

    pictures = search_pictures(found)

    assert [picture.name for picture in pictures] == ["history"]
    assert all(picture_png(picture) for picture in pictures)


def test_many_trials_make_no_larger_picture() -> None:
    history = search_pictures(candidate_set(5 * MAX_POINTS))[0]

    assert len(picture_png(history)) < 90_000


# --- Dagit ---------------------------------------------------------------------------------------


def test_the_metadata_name_a_reason_for_every_trial_that_is_not_in_the_model() -> None:
    found = candidate_set(40)

    metadata = candidates_metadata(found)

    records = {name: metadata[name].records for name in ("why_not", "limits", "members")}
    told = {record.data["trial"] for record in records["why_not"]}
    in_model = {record.data["trial"] for record in records["members"]}
    assert told | in_model == set(range(40))
    assert not told & in_model
    assert all(record.data["why not"] for record in records["why_not"])
    assert len(records["limits"]) == len(LIMITS)
    assert set(NAMES) <= set(metadata)
    assert metadata["peak_mb"] == found.peak_mb


def test_metadata_of_a_bare_search_have_no_empty_tables() -> None:
    bare = Candidate(number=0, family="linear", params={}, state="complete", score=0.5)
    found = candidate_set().model_copy(
        update={"leaderboard": (bare,), "winner": 0, "members": (), "limits": {}, "left_out": ()}
    )

    tables = [
        value
        for value in candidates_metadata(found).values()
        if isinstance(value, dg.TableMetadataValue)
    ]

    assert all(table.records for table in tables)


def status(**more: object) -> SearchStatus:
    known = {
        "n_finished": 3,
        "n_failed": 0,
        "running": ("catboost",),
        "n_trials": 40,
        "best_score": 0.9,
        "best_family": "catboost",
        "seconds": 10.0,
        "seconds_left": 50.0,
        "metric": "roc_auc",
        "leaders": candidate_set().leaderboard[:3],
        "seconds_by_family": (("catboost", 3.0),),
        "memory_mb": 500.0,
    }
    return SearchStatus(**(known | more))


def test_a_running_search_shows_its_leaders_with_their_gaps() -> None:
    metadata = status_metadata(status(), [(1.0, 1, 0.8), (9.0, 3, 0.9)])

    (first, *_) = metadata["leaderboard"].records
    assert re.fullmatch(r"0\.03\d*", first.data["gap"])
    assert [record.data["best"] for record in metadata["best_so_far"].records] == ["0.8", "0.9"]
    assert metadata["memory_mb"] == 500.0


def test_a_search_that_knows_nothing_yet_has_metadata_too() -> None:
    bare = status(best_score=None, leaders=(), seconds_by_family=(), n_trials=None, metric="")

    assert "leaderboard" not in status_metadata(bare, [])


class Told(Progress):
    def __init__(self) -> None:
        self.heard: list[object] = []

    def stage(self, name: str, text: str) -> None:
        self.heard.append(name)

    def search(self, status: SearchStatus) -> None:
        self.heard.append(status)


class Context:
    asset_key = dg.AssetKey("candidate_models")
    partition_key = "churn-1"

    def __init__(self) -> None:
        self.events: list[dg.AssetObservation] = []

    def log_event(self, event: dg.AssetObservation) -> None:
        self.events.append(event)


def test_dagit_is_refreshed_when_the_best_changes_and_else_rarely() -> None:
    context, told, now = Context(), Told(), [0.0]
    progress = DagitProgress(context, told, clock=lambda: now[0])  # pyright: ignore[reportArgumentType]
    seen = []

    for second in range(60):
        now[0] = float(second)
        best = 0.9 if second < 5 else 0.91
        progress.search(status(n_finished=second, best_score=best, seconds=float(second)))
        seen.append(len(context.events))

    assert (seen[0], seen[1], seen[4], seen[5]) == (0, 1, 1, 2)
    assert seen[-1] == 2 + (59 - 5) // 15
    assert len(told.heard) == 60
    assert {event.partition for event in context.events} == {"churn-1"}


def test_dagit_is_not_refreshed_where_nothing_moves() -> None:
    context, now = Context(), [0.0]
    progress = DagitProgress(context, Told(), clock=lambda: now[0])  # pyright: ignore[reportArgumentType]

    for second in range(100):
        now[0] = float(second)
        progress.search(status(seconds=float(second)))

    assert len(context.events) == 1


def test_observations_reach_the_event_log() -> None:
    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(["p"]))
    def candidate_models(context: dg.AssetExecutionContext) -> None:
        DagitProgress(context, Told()).search(status())

    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize([candidate_models], partition_key="p", instance=instance)
        found = instance.fetch_observations(dg.AssetKey("candidate_models"), limit=10).records

    (record,) = found
    observation = record.event_log_entry.asset_observation
    assert observation is not None
    assert observation.partition == "p"
    assert observation.metadata["trials"].value == 3
