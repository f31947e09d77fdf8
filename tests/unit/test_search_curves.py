import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_assets.core.search.curves import (
    ASKED_EVERY,
    FAR,
    FEWEST_ITERATIONS,
    FEWEST_SHARE,
    Outlook,
    loss_to_beat,
    projected_loss,
)


def power_law(n: int, *, floor: float = 0.3, fall: float = 0.4, power: float = 0.5) -> list[float]:
    return [floor + fall * k**-power for k in range(1, n + 1)]


def still(seconds: float = 0.0):
    return lambda: seconds


@given(
    n=st.integers(1, 50).map(lambda k: ASKED_EVERY * k),
    more=st.floats(1.0, 50.0),
    floor=st.floats(0.0, 1.0),
    fall=st.floats(0.01, 1.0),
    power=st.floats(0.05, 2.0),
)
def test_a_curve_that_falls_as_a_power_never_comes_below_its_projection(
    n: int, more: float, floor: float, fall: float, power: float
) -> None:
    n_last = math.floor(n * more)
    curve = power_law(n_last, floor=floor, fall=fall, power=power)

    projection = projected_loss(curve[:n], n_last)

    assert projection is not None
    assert projection <= curve[-1] + 1e-9
    assert projection <= curve[n - 1]


def test_a_flat_curve_is_projected_where_it_is() -> None:
    assert projected_loss([0.6] + [0.5] * 39, n_last=3000) == 0.5


def test_a_curve_that_rises_again_is_projected_from_its_best() -> None:
    falling = [1.0, 0.7, 0.6, 0.55]
    assert projected_loss([*falling, 0.9, 0.9, 0.9, 0.9], n_last=8) == 0.55


@pytest.mark.parametrize(
    "losses",
    [
        [],
        [1.0, 0.9, 0.8],
        [1.0] * 8 + [0.9] * 2,
        [1.0] + [1.1] * 15,
        [1.0 - 0.01 * k for k in range(40)],
    ],
    ids=["none", "three", "beginning to fall", "not falling yet", "falling ever faster"],
)
def test_nobody_can_tell_where_a_curve_ends_that_has_just_begun(losses: list[float]) -> None:
    assert projected_loss(losses, n_last=100) is None


@given(
    n=st.integers(2, 50).map(lambda k: ASKED_EVERY * k),
    more=st.floats(1.0, 50.0),
    growth=st.floats(0.9, 1.2),
)
def test_falls_that_still_grow_a_little_are_projected_to_go_on_so(
    n: int, more: float, growth: float
) -> None:
    n_last = math.floor(n * more)

    def fallen(k: int) -> float:
        doublings = math.log2(k)
        return doublings if growth == 1 else (growth**doublings - 1) / (growth - 1)

    curve = [10.0 - 0.1 * fallen(k) for k in range(1, n_last + 1)]

    projection = projected_loss(curve[:n], n_last)

    assert projection is not None
    assert projection <= curve[-1] + 1e-9


@given(n=st.integers(16, 400), more=st.floats(1.0, 50.0), rate=st.floats(0.001, 0.3))
def test_a_curve_that_falls_fast_and_then_flat_never_comes_below_its_projection(
    n: int, more: float, rate: float
) -> None:
    n_last = math.floor(n * more)
    curve = [0.3 + 0.4 * math.exp(-rate * k) for k in range(n_last)]

    projection = projected_loss(curve[:n], n_last)

    # Before the first time constant is over, nobody can tell.
    assert projection is not None or rate * n < 1.5
    assert projection is None or projection <= curve[-1] + 1e-3


@given(best=st.floats(0.0, 1e6), more=st.floats(0.0, 1e6))
def test_what_is_to_be_beaten_lies_between_the_best_and_no_model(best: float, more: float) -> None:
    bar = loss_to_beat(best, best + more)

    assert best <= bar <= best + more + 1e-6
    assert bar <= best * (1 + FAR) * (1 + 1e-9)


def test_a_best_candidate_that_is_worse_than_no_model_is_to_be_beaten_itself() -> None:
    assert loss_to_beat(0.8, 0.7) == 0.8


def first_end(curve: list[float], bar: float, n_most: int) -> int | None:
    outlook = Outlook(lambda: bar, clock=still(), until=math.inf)
    for n in range(1, len(curve) + 1):
        if outlook.is_hopeless(curve[:n], n_most):
            assert outlook.projection is not None
            assert outlook.projection > bar
            return n
    assert outlook.projection is None
    return None


def test_a_fit_far_above_the_bar_ends_after_an_eighth_of_it() -> None:
    curve = power_law(3000, floor=0.5)

    assert first_end(curve, 0.3, 3000) == FEWEST_SHARE * 3000 + (-FEWEST_SHARE * 3000) % ASKED_EVERY


def test_a_short_fit_ends_no_sooner_than_after_a_few_iterations() -> None:
    assert first_end(power_law(100, floor=0.5), 0.3, 100) == FEWEST_ITERATIONS


def test_a_fit_that_comes_below_the_bar_is_never_ended() -> None:
    curve = power_law(3000, floor=0.28)

    assert curve[-1] < 0.3
    assert first_end(curve, 0.3, 3000) is None


def run_until(curve: list[float], bar: float, *, until: float, setup: float) -> int | None:
    """Return the iteration after which a fit with one iteration a second is ended."""
    now = 0.0
    outlook = Outlook(lambda: bar, clock=lambda: now, until=until)
    now = setup
    for n in range(1, len(curve) + 1):
        now += 1.0
        if outlook.is_hopeless(curve[:n], 100_000):
            return n
    return None


def test_time_that_is_left_says_how_far_a_fit_will_come() -> None:
    curve = power_law(3_000, floor=0.28)

    # It comes to 0.3 after 400 iterations.
    assert curve[399] == pytest.approx(0.3)
    assert run_until(curve[:600], 0.3, until=600.0, setup=0.0) is None
    ended = run_until(curve, 0.3, until=150.0, setup=0.0)
    assert ended is not None
    assert FEWEST_ITERATIONS <= ended < 100


def test_what_comes_before_the_first_iteration_tells_nothing_of_those_to_come() -> None:
    curve = power_law(3_000, floor=0.28)

    assert run_until(curve[:600], 0.3, until=1600.0, setup=1000.0) is None
    assert run_until(curve, 0.3, until=1150.0, setup=1000.0) == run_until(
        curve, 0.3, until=150.0, setup=0.0
    )


@pytest.mark.parametrize("bar", [math.nan, math.inf])
def test_a_bar_that_nobody_knows_ends_nothing(bar: float) -> None:
    assert first_end([math.nan] * 200, 0.3, 200) is None
    assert first_end(power_law(200), bar, 200) is None
