"""From raw columns to the matrix, fitted on train and applied the same ever after."""

from datetime import date, datetime

import numpy as np
import polars as pl
import pytest

from automl_assets.core.encoding import (
    MISSING,
    OTHER,
    Preprocessing,
    encode,
    encode_column,
    fit_column,
)
from automl_assets.core.errors import RequestError


def encoded(values: pl.Series, kind: str, fitted_on: pl.Series | None = None) -> list[list[float]]:
    encoding = fit_column(values if fitted_on is None else fitted_on, kind=kind)  # type: ignore[arg-type]
    return [feature.tolist() for feature in encode_column(values, encoding)]


def test_frequent_levels_have_codes_and_rare_missing_and_unseen_ones_share() -> None:
    train = pl.Series("plan", ["basic", "basic", "plus", "plus", "plus", "gold", None])
    new = pl.Series("plan", ["plus", "basic", "gold", "never seen", None])

    assert encoded(new, "categorical", train) == [[2.0, 3.0, OTHER, OTHER, MISSING]]


def test_what_is_missing_or_infinite_becomes_nan() -> None:
    (feature,) = encoded(pl.Series("x", [1.5, None, float("inf"), float("nan")]), "numeric")

    np.testing.assert_array_equal(feature, [1.5, np.nan, np.nan, np.nan])


def test_booleans_are_read_from_text_as_well() -> None:
    train = pl.Series("member", [True, False, None])
    text = pl.Series("member", ["true", "False", "0", ""])

    (feature,) = encoded(text, "boolean", train)

    np.testing.assert_array_equal(feature, [1.0, 0.0, 0.0, np.nan])


def test_a_number_that_is_no_boolean_is_refused() -> None:
    train = pl.Series("member", [True, False, None])

    (feature,) = encoded(pl.Series("member", [1, 0, None]), "boolean", train)

    np.testing.assert_array_equal(feature, [1.0, 0.0, np.nan])
    with pytest.raises(RequestError, match=r"1 of 3 rows do not, the first 7\.0"):
        encoded(pl.Series("member", [1, 7, None]), "boolean", train)


def test_dates_become_days_year_month_and_weekday() -> None:
    features = encoded(pl.Series("day", [date(1970, 1, 2), None]), "datetime")

    assert [feature[0] for feature in features] == [1.0, 1970.0, 1.0, 5.0]
    assert all(np.isnan(feature[1]) for feature in features)


def test_times_have_an_hour_and_text_is_read_as_the_training_column_was() -> None:
    train = pl.Series("at", [datetime(2026, 1, 1, 18)])
    text = pl.Series("at", ["2026-01-01T18:00:00"])

    assert encoded(text, "datetime", train) == encoded(train, "datetime")
    assert encoded(train, "datetime")[-1] == [18.0]


@pytest.mark.parametrize(
    ("train", "new", "message"),
    [
        (pl.Series("age", [1, 2]), pl.Series("age", ["41", "old"]), "1 of 2 rows do not, .* 'old'"),
        (pl.Series("age", [1, 2]), pl.Series("age", [date(2026, 1, 1)]), "its type is Date"),
        (
            pl.Series("age", [date(2026, 1, 1)]),
            pl.Series("age", ["soon"]),
            "must hold dates .* 'soon'",
        ),
    ],
)
def test_values_of_another_type_are_refused_by_name(
    train: pl.Series, new: pl.Series, message: str
) -> None:
    kind = "datetime" if train.dtype == pl.Date else "numeric"

    with pytest.raises(RequestError, match=message):
        encoded(new, kind, train)


@pytest.mark.parametrize("stored_as", [pl.String, pl.Categorical, pl.Enum(["01234", "AB"])])
@pytest.mark.parametrize(
    "new",
    [
        pl.Series("zip", [1234, None]),
        pl.Series("zip", [1234.0, None]),
        pl.Series("zip", [True, None]),
        pl.Series("zip", [date(2026, 1, 1), None]),
    ],
    ids=lambda values: str(values.dtype),
)
def test_a_column_of_texts_takes_texts_only(stored_as: pl.DataType, new: pl.Series) -> None:
    train = pl.Series("zip", ["01234", "01234", "AB"]).cast(stored_as)

    message = f"'zip' must hold text as in training, but its type is {new.dtype}: .* as text"
    with pytest.raises(RequestError, match=message):
        encoded(new, "categorical", train)


@pytest.mark.parametrize(
    "new",
    [
        pl.Series("zip", [None, None]),
        pl.Series("zip", [None, float("nan")], dtype=pl.Float64),
        pl.Series("zip", [None, None], dtype=pl.Int64),
    ],
    ids=lambda values: str(values.dtype),
)
def test_an_empty_column_of_any_type_is_missing(new: pl.Series) -> None:
    train = pl.Series("zip", ["01234", "01234", "AB"])

    assert encoded(new, "categorical", train) == [[MISSING, MISSING]]


def test_texts_may_be_stored_in_another_way_than_in_training() -> None:
    train = pl.Series("zip", ["01234", "01234", "AB"])

    assert encoded(train.cast(pl.Categorical), "categorical", train) == [[2.0, 2.0, OTHER]]


@pytest.mark.parametrize(
    "new", [pl.Series("day", [datetime(2026, 1, 31)]), pl.Series("day", ["2026-01-31"])]
)
def test_dates_are_the_same_dates_however_they_are_handed_over(new: pl.Series) -> None:
    train = pl.Series("day", [date(2026, 1, 31)])

    assert encoded(new, "datetime", train) == encoded(train, "datetime")


def test_a_missing_column_is_named() -> None:
    column = fit_column(pl.Series("age", [1, 2]), kind="numeric")
    preprocessing = Preprocessing(version="1", columns=(column,))

    with pytest.raises(RequestError, match="1 are missing: 'age'"):
        encode(pl.DataFrame({"other": [1]}), preprocessing)


def test_preprocessing_survives_json_and_encodes_the_same() -> None:
    frame = pl.DataFrame({"x": [1.0, None], "c": ["a", "b"], "extra": [0, 0]})
    columns = (
        fit_column(frame["x"], kind="numeric"),
        fit_column(pl.Series("c", ["a", "a", "b", "b"]), kind="categorical"),
    )
    preprocessing = Preprocessing(version="1", columns=columns)

    again = Preprocessing.model_validate_json(preprocessing.model_dump_json())

    np.testing.assert_array_equal(encode(frame, again), encode(frame, preprocessing))
    assert encode(frame, again).flags.f_contiguous
    assert again.n_levels == (0, 4)
