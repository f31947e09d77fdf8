"""A storage that is away for a while, and locks that are held by others."""

from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import OperationalError

from resources.study_storage import SQLiteStudyStorage, patiently, storage_lock, try_lock


class Clock:
    """A clock that only sleeping moves on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def away_until(clock: Clock, end: float, error: Exception) -> Callable[[], str]:
    def call() -> str:
        if clock.now < end:
            raise error
        return "kept"

    return call


ERRORS = (StorageInternalError("away"), OperationalError("insert", None, OSError("away")))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_storage_that_comes_back_keeps_what_it_is_told(error: Exception) -> None:
    clock = Clock()

    kept = patiently(away_until(clock, 12.0, error), sleep=clock.sleep, clock=clock)

    assert kept == "kept"
    assert clock.pauses[:4] == [0.1, 0.2, 0.4, 0.8]
    assert max(clock.pauses) == 5.0


def test_a_storage_that_stays_away_is_told_of_after_a_minute() -> None:
    clock = Clock()

    with pytest.raises(StorageInternalError, match="away"):
        patiently(away_until(clock, 999.0, ERRORS[0]), sleep=clock.sleep, clock=clock)

    assert 50 < clock.now <= 60


def test_other_errors_are_raised_at_once() -> None:
    clock = Clock()

    with pytest.raises(ValueError, match="mistake"):
        patiently(away_until(clock, 1.0, ValueError("mistake")), sleep=clock.sleep, clock=clock)

    assert clock.pauses == []


def test_a_call_that_leaves_traces_may_be_repeated_in_another_way() -> None:
    clock = Clock()

    kept = patiently(
        away_until(clock, 1.0, ERRORS[0]), again=lambda: "mended", sleep=clock.sleep, clock=clock
    )

    assert kept == "mended"


def test_a_held_lock_is_not_had_twice(tmp_path: Path) -> None:
    url = SQLiteStudyStorage(tmp_path).url("study")

    with try_lock(url, "final") as first, try_lock(url, "final") as second:
        held = (first, second)
    with try_lock(url, "final") as third, storage_lock(url):
        held += (third,)

    assert held == (True, False, True)
