"""Calibration: order kept, sums of one, and probabilities that come true."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_assets.core.calibration import (
    MIN_ROWS,
    CalibrationKind,
    SigmoidCalibration,
    TemperatureCalibration,
    fit_calibration,
    possible_calibration,
    read_calibration,
)
from automl_assets.core.errors import ContractError
from automl_assets.core.metrics import load_metrics

KINDS: list[CalibrationKind] = ["isotonic", "sigmoid", "temperature"]


def too_sure(n_rows: int, n_classes: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Class codes, and predictions whose log-odds are three times what they should be."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(size=(n_rows, n_classes))
    truth = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
    y = (truth.cumsum(axis=1) < rng.random((n_rows, 1))).sum(axis=1).astype(np.int32)
    sure = np.exp(3 * odds)
    return np.minimum(y, n_classes - 1), sure / sure.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_classes", [2, 5])
def test_calibrated_probabilities_are_nearer_to_the_truth(
    kind: CalibrationKind, n_classes: int
) -> None:
    log_loss = load_metrics()["log_loss"]
    calibration = fit_calibration(kind, *too_sure(3000, n_classes))
    y, prediction = too_sure(3000, n_classes, seed=1)

    calibrated = calibration.apply(prediction)

    assert log_loss.score(y, calibrated) < 0.8 * log_loss.score(y, prediction)
    # Of the rows that the model is so sure of, as many are right.
    assert calibrated.max(axis=1).mean() == pytest.approx(
        (calibrated.argmax(axis=1) == y).mean(), abs=0.03
    )


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(
    n_classes=st.integers(2, 4),
    n_rows=st.integers(120, 200),
    seed=st.integers(0, 2**16),
    decimals=st.integers(1, 8),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_probabilities_stay_probabilities_and_keep_their_order(
    kind: CalibrationKind, n_classes: int, n_rows: int, seed: int, decimals: int, dtype: type
) -> None:
    y, prediction = too_sure(n_rows, n_classes, seed=seed)
    y[: 5 * n_classes] = np.repeat(np.arange(n_classes), 5)
    calibration = fit_calibration(kind, y, prediction.round(decimals).astype(dtype))
    grid = np.linspace(0, 1, 101, dtype=dtype)
    ends = np.column_stack([1 - grid, *[np.zeros_like(grid)] * (n_classes - 2), grid])

    found = calibration.apply(ends)

    assert found.shape == ends.shape
    assert (found >= 0).all()
    assert (found <= 1).all()
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-9)
    if n_classes == 2:
        assert (np.diff(found[:, 1]) >= -1e-12).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_calibration_read_back_maps_the_same(kind: CalibrationKind) -> None:
    y, prediction = too_sure(300, 3)
    calibration = fit_calibration(kind, y, prediction)

    again = read_calibration(calibration.model_dump_json())

    assert again == calibration
    np.testing.assert_array_equal(again.apply(prediction), calibration.apply(prediction))


@pytest.mark.parametrize("kind", KINDS)
def test_no_rows_are_calibrated_to_no_rows(kind: CalibrationKind) -> None:
    calibration = fit_calibration(kind, *too_sure(300, 3))

    assert calibration.apply(np.empty((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("kind", ["isotonic", "sigmoid"])
def test_classes_that_are_told_apart_are_still_not_certain(kind: CalibrationKind) -> None:
    y = np.repeat([0, 1], 100)

    found = fit_calibration(kind, y, np.eye(2)[y]).apply(np.eye(2))

    assert 0.9 < found[1, 1] < 1
    assert 0 < found[0, 1] < 0.1


def test_sigmoid_agrees_with_scikit_learn() -> None:
    from sklearn.calibration import _sigmoid_calibration

    y, prediction = too_sure(500, 2)
    odds = np.log(prediction[:, 1] / prediction[:, 0])

    found = fit_calibration("sigmoid", y, prediction)

    assert isinstance(found, SigmoidCalibration)
    # scikit-learn's signs are Platt's: 1 / (1 + exp(A f + B)).
    slope, shift = _sigmoid_calibration(odds, y)
    assert (found.slopes[0], found.shifts[0]) == pytest.approx((-slope, -shift), abs=1e-3)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_temperature_finds_how_much_too_sure_a_model_is(n_classes: int) -> None:
    found = fit_calibration("temperature", *too_sure(20_000, n_classes))

    assert isinstance(found, TemperatureCalibration)
    assert found.temperature == pytest.approx(3.0, rel=0.05)


def test_a_model_that_ranks_the_wrong_way_round_keeps_its_order() -> None:
    y, prediction = too_sure(1000, 2)

    found = fit_calibration("sigmoid", 1 - y, prediction).apply(prediction)

    order = prediction[:, 1].argsort()
    assert (np.diff(found[order, 1]) >= -1e-12).all()


@pytest.mark.parametrize("kind", KINDS)
def test_too_few_rows_are_refused_with_their_number(kind: CalibrationKind) -> None:
    n = MIN_ROWS[kind] - 1
    y, prediction = too_sure(n, 2)
    y[:5], y[5:10] = 0, 1

    with pytest.raises(ContractError, match=f"{MIN_ROWS[kind]} rows, but there are {n}"):
        fit_calibration(kind, y, prediction)


@pytest.mark.parametrize("kind", KINDS)
def test_one_class_cannot_be_calibrated(kind: CalibrationKind) -> None:
    y, prediction = too_sure(500, 3)

    with pytest.raises(ContractError, match="two classes or more, but 500 rows have 1"):
        fit_calibration(kind, np.ones_like(y), prediction)


def test_predictions_that_are_no_numbers_are_refused() -> None:
    y, prediction = too_sure(500, 2)
    prediction[3] = np.nan

    with pytest.raises(ContractError, match="not finite"):
        fit_calibration("temperature", y, prediction)


@pytest.mark.parametrize(
    ("kind", "y", "expected", "reason"),
    [
        ("isotonic", [0, 1] * 50, "isotonic", ""),
        ("isotonic", [0, 1] * 49, "sigmoid", "'isotonic' needs 100 rows, but there are 98"),
        ("isotonic", [0] * 97 + [1] * 4, "sigmoid", "5 rows of each class, but the rarest has 4"),
        ("sigmoid", [0, 1] * 12, "temperature", "needs 30 rows"),
        ("sigmoid", [0, 1] * 5, None, "Instead the model has no calibration"),
        ("temperature", [0] * 500, None, "needs rows of two classes"),
    ],
)
def test_what_few_rows_bear_is_told_with_the_reason(
    kind: CalibrationKind, y: list[int], expected: CalibrationKind | None, reason: str
) -> None:
    found, why = possible_calibration(kind, np.array(y), 2)

    assert found == expected
    assert reason in why
    assert (why == "") == (found == kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_possible_calibration_can_be_fitted(kind: CalibrationKind) -> None:
    for n_rows in (2, 20, 40, 101, 150):
        y, prediction = too_sure(n_rows, 3, seed=n_rows)
        found, _ = possible_calibration(kind, y, 3)
        if found:
            assert np.isfinite(fit_calibration(found, y, prediction).apply(prediction)).all()
