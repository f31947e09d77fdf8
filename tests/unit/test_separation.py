"""Two classes of rows told apart by trees, in a process of its own."""

import sys
from pathlib import Path

import numpy as np
import pytest

from automl_assets.core import separation
from automl_assets.core.errors import ServiceError
from automl_assets.core.separation import N_FOLDS, TwoClasses, separate

N_ROWS = 900


def task(shift: float) -> TwoClasses:
    generator = np.random.default_rng(1)
    is_second = generator.random(N_ROWS) < 0.4
    X = generator.normal(size=(N_ROWS, 3)).astype(np.float32)
    X[:, 1] += shift * is_second
    X[::50, 2] = np.nan
    return TwoClasses(
        X=X, categorical=[], is_second=is_second, fold=generator.permutation(N_ROWS) % N_FOLDS
    )


def test_each_task_gets_its_own_scores_in_its_order(tmp_path: Path) -> None:
    alike, apart = separate([task(0.0), task(3.0)], seed=7, scratch=tmp_path)

    second = task(0.0).is_second
    assert alike.score.shape == apart.score.shape == (N_ROWS,)
    assert apart.score[second].min() > 0
    assert apart.score[second].mean() > apart.score[~second].mean() + 0.4
    assert abs(alike.score[second].mean() - alike.score[~second].mean()) < 0.2
    assert int(np.argmax(apart.gain)) == 1


def test_lightgbm_is_not_loaded_here(tmp_path: Path) -> None:
    known = set(sys.modules)

    separate([task(1.0)], seed=7, scratch=tmp_path)

    assert not {name for name in set(sys.modules) - known if name.startswith("lightgbm")}


def test_nothing_to_tell_apart_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(separation.sys, "executable", "/nowhere/python")

    assert separate([], seed=7, scratch=tmp_path) == []


def test_a_process_that_fails_is_told_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(separation, "_MODULE", "automl_assets.core.no_such_module")

    with pytest.raises(ServiceError, match=r"ended with code 1: .*no_such_module"):
        separate([task(1.0)], seed=7, scratch=tmp_path)
