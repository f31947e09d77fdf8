"""The winner's main member fitted again, from the plan and the ledger of a real search."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_assets.core.errors import SearchError
from automl_assets.core.predictor import load_predictor
from automl_assets.core.search.plan import SearchPlan
from automl_assets.core.search.refitting import drawn_share, make_refitter
from tests.whole_searches import make_problem, package_of, search


class Found:
    """A search of two trials, with all that it left."""

    def __init__(self, folder: Path, kind: str, family: str) -> None:
        self.problem = make_problem(
            folder,
            kind,
            model={"families": [family]},
            search={"n_trials": 2},
        )
        self.plan: SearchPlan = self.problem.plan(folder / "artifacts")
        self.candidates, self.entries = search(self.plan)

    def refitter(self, **changes):
        plan = self.plan.model_copy(update=changes)
        # Read back, as it is from a file.
        made = make_refitter(plan, json.loads(json.dumps(self.entries)), self.candidates)
        assert made is not None
        return made

    def others(self) -> np.ndarray:
        return np.asfortranarray(np.load(Path(self.plan.matrix) / "analysis.X.npy"))


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    return Found(tmp_path_factory.mktemp("search"), "binary", "lightgbm")


def test_the_seed_of_the_member_gives_the_model_of_the_package(searched):
    member = searched.candidates.members[0]
    model = load_predictor(package_of(searched.plan, searched.candidates)).model

    predict = searched.refitter().fit(seed=member.seed)

    assert len(searched.candidates.members) == 1
    assert np.array_equal(predict(searched.others()), model.predict(searched.others()))


def test_a_whole_fit_sees_train_and_validation(searched):
    parts = {part.part: part.n_rows for part in searched.problem.split.parts}

    assert searched.refitter().n_rows == parts["train"] + parts["validation"]


def test_fewer_rows_give_another_model_in_less_time(searched):
    refitter, rows = searched.refitter(), searched.others()

    whole, part = refitter.fit(seed=1)(rows), refitter.fit(seed=1, share=0.3)(rows)

    assert whole.shape == part.shape
    assert not np.array_equal(whole, part)
    assert 0 < refitter.expected_seconds(0.1) < refitter.expected_seconds(1.0)


def test_the_forecast_follows_from_what_was_written(searched):
    assert searched.refitter().expected_seconds(0.3) == searched.refitter().expected_seconds(0.3)


def test_the_same_seed_and_share_give_the_same_model(searched):
    rows = searched.others()

    first, second = (searched.refitter().fit(seed=5, share=0.3)(rows) for _ in range(2))

    assert np.array_equal(first, second)


@pytest.mark.parametrize("kind", ["multiclass", "regression"])
def test_other_tasks_are_fitted_again_too(kind, tmp_path):
    searched = Found(tmp_path, kind, "linear")

    prediction = searched.refitter().fit(seed=3, share=0.3)(searched.others())

    assert len(prediction) == len(searched.others())
    assert np.isfinite(prediction).all()


def test_without_the_matrix_nothing_can_be_fitted(searched, tmp_path):
    gone = searched.plan.model_copy(update={"matrix": str(tmp_path / "gone")})

    assert make_refitter(gone, searched.entries, searched.candidates) is None


def test_without_the_feature_set_nothing_can_be_fitted(searched):
    entries = json.loads(json.dumps(searched.entries))
    for entry in entries:
        entry["job"] = {**(entry["job"] or {}), "features": "pca-4"}

    assert make_refitter(searched.plan, entries, searched.candidates) is None


def test_a_ledger_without_the_winner_is_refused(searched):
    with pytest.raises(SearchError, match="has no result among the 0 trials"):
        make_refitter(searched.plan, [], searched.candidates)


@given(
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    share=st.floats(0.05, 1.0),
    seed=st.integers(0, 1_000),
)
def test_every_class_keeps_its_share(counts, share, seed):
    y = np.repeat(np.arange(len(counts)), counts)[::-1]

    chosen = drawn_share(y, share, is_class=True, seed=seed)

    kept = np.bincount(y[chosen], minlength=len(counts))
    assert kept.tolist() == [max(1, round(share * count)) for count in counts]
    assert (np.diff(chosen) > 0).all()


def test_a_smaller_share_is_part_of_a_larger_one():
    y = np.random.default_rng(0).integers(0, 3, 1_000)

    small, large = (drawn_share(y, share, is_class=True, seed=4) for share in (0.1, 0.3))

    assert set(small.tolist()) < set(large.tolist())
