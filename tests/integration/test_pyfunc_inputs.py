"""What people hand to a registered model: raw rows in every shape, through `mlflow.pyfunc`."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from automl_assets.core.encoding import ColumnKind, Preprocessing, encode, fit_column
from automl_assets.core.errors import RequestError, SnapshotError
from automl_assets.core.families import Encoded, FitOptions, load_families
from automl_assets.core.package import MANIFEST, write_package
from automl_assets.core.predictor import Predictor, load_predictor
from automl_assets.serving.pyfunc import PyfuncModel
from resources.mlflow_model import PACKAGE_PATH, write_mlflow_model
from resources.mlflow_setup import calling_mlflow

KINDS: dict[str, ColumnKind] = {
    "age": "numeric",
    "plan": "categorical",
    "zip": "categorical",
    "rooms": "categorical",
    "member": "boolean",
    "since": "datetime",
}


def rows(n_rows: int = 200) -> pl.DataFrame:
    """Return rows of every kind of column, a tenth of each column empty."""
    rng = np.random.default_rng(7)
    table = pl.DataFrame(
        {
            "age": rng.integers(18, 80, n_rows),
            "plan": rng.choice(["basic", "plus", "max"], n_rows),
            "zip": rng.integers(1000, 1004, n_rows).astype(str),
            "rooms": rng.integers(1, 4, n_rows),
            "member": rng.random(n_rows) < 0.5,
            "since": pl.Series(rng.integers(16_000, 18_000, n_rows)).cast(pl.Date),
        }
    )
    return table.with_columns(
        pl.when(pl.int_range(pl.len()) % 10 != position).then(pl.col(name))
        for position, name in enumerate(KINDS)
    )


def package(folder: Path, task_type: str) -> str:
    table = rows()
    columns = tuple(fit_column(table[name], kind=kind) for name, kind in KINDS.items())
    preprocessing = Preprocessing(version="1", columns=columns)
    y = np.nan_to_num(table["age"].to_numpy().astype(float), nan=40.0)
    if task_type == "binary":
        y = (y > 50).astype(np.int32)
    encoded = Encoded(X=encode(table, preprocessing), y=y, n_levels=preprocessing.n_levels)
    plugin = load_families()["hist_gradient_boosting"]
    params = plugin.default_params()
    n_classes = 2 if task_type == "binary" else 0
    options = FitOptions(task_type=task_type, n_classes=n_classes, seed=0)  # type: ignore[arg-type]
    return write_package(
        folder,
        plugin.fit(encoded, encoded, params, options),
        preprocessing,
        family="hist_gradient_boosting",
        params=params,
        task_type=task_type,  # type: ignore[arg-type]
        classes=("no", "yes") if n_classes else (),
        target="bought",
    )


class Served:
    """A model as a user has it, and the same model here."""

    def __init__(self, folder: Path, task_type: str) -> None:
        sha256 = package(folder / "package", task_type)
        (folder / "scratch").mkdir()
        with calling_mlflow("file:", "the test"):
            import mlflow.pyfunc

            self.path = write_mlflow_model(
                folder / "scratch",
                package=folder / "package",
                artifact_sha256=sha256,
                input_example=rows(3),
            )
            self.model = mlflow.pyfunc.load_model(str(self.path), suppress_warnings=True)
        self.predictor: Predictor = load_predictor(folder / "package")

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        return self.model.predict(frame)

    def expected(self, table: pl.DataFrame) -> pd.DataFrame:
        return self.predictor.predict(table).to_pandas()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return Served(tmp_path_factory.mktemp("served"), "binary")


@pytest.fixture
def frame() -> pd.DataFrame:
    return rows(30).to_pandas()


# --- right answers -------------------------------------------------------------------------------


def test_raw_rows_are_predicted_as_the_platform_does(served: Served, frame: pd.DataFrame) -> None:
    found = served.predict(frame)

    assert list(found.columns) == ["prediction", "probability_no", "probability_yes"]
    pd.testing.assert_frame_equal(found, served.expected(rows(30)))


def test_a_regression_gives_numbers(tmp_path: Path, frame: pd.DataFrame) -> None:
    served = Served(tmp_path, "regression")

    found = served.predict(frame)

    assert list(found.columns) == ["prediction"]
    pd.testing.assert_frame_equal(found, served.expected(rows(30)))


@pytest.mark.parametrize(
    "index", [range(100, 130), [f"row {i}" for i in range(30)], [7] * 30], ids=type
)
def test_the_index_is_kept(served: Served, frame: pd.DataFrame, index: Any) -> None:
    found = served.predict(frame.set_axis(pd.Index(index), axis=0))

    assert list(found.index) == list(index)


def test_columns_in_another_order_and_columns_too_many_change_nothing(
    served: Served, frame: pd.DataFrame
) -> None:
    other = frame[list(frame.columns[::-1])].assign(note="unknown", bought="yes", extra=object())

    pd.testing.assert_frame_equal(served.predict(other), served.predict(frame))


@pytest.mark.parametrize("nothing", [None, np.nan, pd.NA, pd.NaT], ids=str)
def test_a_missing_value_is_missing_however_it_is_written(
    served: Served, frame: pd.DataFrame, nothing: Any
) -> None:
    empty = pd.DataFrame({name: pd.Series([nothing] * 3, dtype=object) for name in KINDS})
    nulls = pl.DataFrame({name: pl.Series([None] * 3, dtype=pl.String) for name in KINDS})

    pd.testing.assert_frame_equal(served.predict(empty), served.expected(nulls))


def test_one_missing_value_among_others_is_missing(served: Served) -> None:
    table = rows(10)
    frame = table.to_pandas()
    assert frame["age"].dtype == np.float64
    assert frame["since"].isna().sum() == 1

    pd.testing.assert_frame_equal(served.predict(frame), served.expected(table))


def test_all_that_pandas_can_hold_a_column_in_gives_the_same(
    served: Served, frame: pd.DataFrame
) -> None:
    expected = served.predict(frame)
    others = [
        frame.convert_dtypes(),
        frame.assign(plan=frame["plan"].astype("category")),
        frame.assign(since=pd.to_datetime(frame["since"])),
        frame.assign(since=frame["since"].map(lambda day: None if pd.isna(day) else str(day)[:10])),
        frame.assign(age=frame["age"].astype("Int32")),
        frame.assign(age=frame["age"].map(lambda age: None if pd.isna(age) else str(int(age)))),
        frame.assign(member=frame["member"].map({True: 1, False: 0})),
        frame.assign(member=frame["member"].map({True: "true", False: " FALSE"})),
        frame.assign(rooms=frame["rooms"].astype("float64")),
        frame.astype(object),
    ]

    for other in others:
        pd.testing.assert_frame_equal(served.predict(other), expected)


def test_a_category_never_seen_is_answered_like_a_rare_one(served: Served) -> None:
    table = rows(5).with_columns(plan=pl.lit("never seen"), zip=pl.lit("99999"))

    found = served.predict(table.to_pandas())

    pd.testing.assert_frame_equal(found, served.expected(table))
    assert found["probability_yes"].between(0, 1).all()


def test_no_rows_give_no_predictions_with_the_same_columns(
    served: Served, frame: pd.DataFrame
) -> None:
    found = served.predict(frame.head(0))

    assert found.shape == (0, 3)
    assert list(found.columns) == list(served.predict(frame).columns)


def test_no_rows_of_no_type_give_no_predictions(served: Served) -> None:
    assert served.predict(pd.DataFrame(columns=list(KINDS))).shape == (0, 3)


def test_infinite_numbers_are_missing_ones(served: Served, frame: pd.DataFrame) -> None:
    infinite = served.predict(frame.assign(age=np.inf))

    pd.testing.assert_frame_equal(infinite, served.predict(frame.assign(age=np.nan)))


@pytest.mark.slow
def test_a_million_rows_are_predicted_in_one_call(served: Served) -> None:
    once = rows(1_000)
    frame = pd.concat([once.to_pandas()] * 1_000, ignore_index=True)

    found = served.predict(frame)

    assert len(found) == 1_000_000
    expected = served.expected(once)
    for start in (0, 500_000, 999_000):
        part = found.iloc[start : start + 1_000].reset_index(drop=True)
        pd.testing.assert_frame_equal(part, expected)


# --- clear errors --------------------------------------------------------------------------------


def test_a_missing_column_is_named(served: Served, frame: pd.DataFrame) -> None:
    with pytest.raises(Exception, match=r"missing inputs \['plan', 'zip'\]"):
        served.predict(frame.drop(columns=["plan", "zip"]))


def test_a_column_under_another_name_is_a_missing_one(served: Served, frame: pd.DataFrame) -> None:
    with pytest.raises(Exception, match=r"missing inputs \['age'\]"):
        served.predict(frame.rename(columns={"age": "Age"}))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("age", "forty", r"'age' must hold numeric values .* 30 of 30 .* first 'forty'"),
        ("age", pd.Timestamp("2026-01-01"), r"'age' must hold numeric values .* Datetime"),
        ("member", "perhaps", r"'member' must hold boolean values .* first 'perhaps'"),
        ("member", 2, r"'member' must hold true and false, or 1 and 0, .* first 2"),
        ("since", "last week", r"'since' must hold dates .* first 'last week'"),
        ("since", 17_000, r"'since' must hold dates as in training, but its type is Int64"),
        ("zip", 1_001, r"'zip' must hold text as in training, but its type is Int64"),
    ],
)
def test_a_value_of_another_type_is_named_with_its_column(
    served: Served, frame: pd.DataFrame, column: str, value: Any, message: str
) -> None:
    with pytest.raises(Exception, match=f"Column {message}"):
        served.predict(frame.assign(**{column: value}))


@pytest.mark.parametrize("column", KINDS)
@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, object(), b"\xff", 3 + 4j], ids=repr)
def test_what_is_no_value_of_a_table_is_named_with_its_column(
    served: Served, frame: pd.DataFrame, column: str, value: Any
) -> None:
    strange = frame.assign(**{column: pd.Series([value] * 30, dtype=object)})

    with pytest.raises(Exception, match=f"Column '{column}' must hold .*, but .*"):
        served.predict(strange)


def test_texts_among_numbers_are_counted_and_the_first_is_shown(
    served: Served, frame: pd.DataFrame
) -> None:
    mixed: list[Any] = [30, 31.5, "forty", None, "41", "fifty", *[20] * 24]

    with pytest.raises(Exception, match=r"'age' .* 2 of 30 rows do not, the first 'forty'"):
        served.predict(frame.assign(age=mixed))


def test_two_columns_of_one_name_are_refused(served: Served, frame: pd.DataFrame) -> None:
    double = pd.concat([frame, frame[["age"]]], axis=1)

    with pytest.raises(Exception, match="Failed to enforce schema"):
        served.predict(double)
    with pytest.raises(RequestError, match="'age' is there 2 times"):
        PyfuncModel(served.predictor).predict(double)


# --- only files that run no code -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.pkl", "model.joblib", "code.py", "weights.pt", "run.so"])
def test_a_package_with_another_kind_of_file_is_not_loaded(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "package"
    package(folder, "binary")
    (folder / "model" / name).write_bytes(b"anything")
    # As somebody does who also knows how to write a manifest.
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][f"model/{name}"] = hashlib.sha256(b"anything").hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest))

    with pytest.raises(SnapshotError, match=f"holds only .cbm, .* but .* holds 'model/{name}'"):
        load_predictor(folder)


def test_what_is_registered_holds_no_other_kind_of_file(served: Served) -> None:
    files = [path for path in (served.path / PACKAGE_PATH).rglob("*") if path.is_file()]

    assert {path.suffix for path in files} <= {".json", ".skops"}
