"""`automl predict`: rows of a file in, predictions out, and what is refused."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from automl_assets.cli.execution import CommandLine, build_for_cli
from automl_assets.core.encoding import MISSING, OTHER, Preprocessing, fit_column
from automl_assets.core.errors import RequestError, SnapshotError
from automl_assets.core.families import FittedModel
from automl_assets.core.package import PackageManifest
from automl_assets.core.prediction_log import (
    log_file,
    parse_prediction_id,
    read_batch,
    read_line,
)
from automl_assets.core.predictor import Predictor
from automl_assets.settings import Settings
from tests.fakes import InMemoryModelRegistry, registration

# The package has a command of the same name.
predict = import_module("automl_assets.cli.predict")

UNLOGGED = predict.Origin(about={"version": "1"}, folder=None)

Train = Callable[[pl.Series], None]


class FirstFeature(FittedModel):
    """Predicts the first feature itself."""

    def predict(self, X: np.ndarray) -> np.ndarray:
        return X[:, 0].astype(np.float64)

    def save(self, folder: Path) -> None:
        (folder / "first").touch()


class Broken(FirstFeature):
    """Fails as polars does."""

    def predict(self, X: np.ndarray) -> np.ndarray:
        raise pl.exceptions.ComputeError("not the data's fault")


def predictor(
    *columns: pl.Series,
    kind: str = "categorical",
    classes: tuple[str, ...] = (),
    model: FittedModel | None = None,
) -> Predictor:
    encodings = [fit_column(column, kind=kind) for column in columns]  # type: ignore[arg-type]
    manifest = PackageManifest(
        family="first",
        params={},
        task_type="binary" if classes else "regression",
        classes=classes,
        target="y",
        n_iterations=None,
        files={},
    )
    preprocessing = Preprocessing(version="1", columns=tuple(encodings))
    return Predictor(manifest, preprocessing, model or FirstFeature())


@pytest.fixture
def train(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Registers a model `churn` that was trained on one categorical column."""
    registry = InMemoryModelRegistry()
    registry.register(registration(tmp_path))

    @contextmanager
    def build(_: Settings, console: Console, *, extra_root: Path) -> Iterator[CommandLine]:
        with build_for_cli(settings, console, extra_root=extra_root) as cli:
            yield replace(cli, model_registry=registry)  # type: ignore[arg-type]

    def train(column: pl.Series) -> None:
        trained = predictor(column)
        monkeypatch.setattr(predict, "load_predictor", lambda folder, *, sha256: trained)

    monkeypatch.setattr(predict, "build_for_cli", build)
    return train


def test_codes_are_the_same_codes_without_the_rows_that_made_them_text(
    train: Train, tmp_path: Path
) -> None:
    train(pl.Series("zip", ["01234"] * 4 + ["9876"] * 3 + ["AB"] * 2))
    data, output = tmp_path / "new.csv", tmp_path / "scores.csv"
    data.write_text('n,zip\n1,9876\n2,9876\n3,\n4,777\n5,"9876"\n')

    predict.predict_file("churn", data, output)

    assert pl.read_csv(output)["prediction"].to_list() == [3.0, 3.0, MISSING, OTHER, 3.0]


def test_words_that_look_like_true_and_false_stay_words(train: Train, tmp_path: Path) -> None:
    train(pl.Series("answer", ["TRUE"] * 4 + ["FALSE"] * 3 + ["maybe"] * 2))
    data, output = tmp_path / "new.csv", tmp_path / "scores.parquet"
    data.write_text("answer\nFALSE\nTRUE\n")

    predict.predict_file("churn", data, output)

    assert pl.read_parquet(output)["prediction"].to_list() == [3.0, 2.0]


def test_numbers_of_a_parquet_file_are_refused_where_training_had_text(
    train: Train, tmp_path: Path
) -> None:
    train(pl.Series("zip", ["01234", "01234", "AB", "AB"]))
    data, output = tmp_path / "new.parquet", tmp_path / "scores.csv"
    pl.DataFrame({"zip": [1234, 9876]}).write_parquet(data)

    with pytest.raises(RequestError, match=r"'zip' must hold text as in training, .* Int64"):
        predict.predict_file("churn", data, output)
    assert not output.exists()


def test_predictions_without_a_file_go_to_standard_output(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(pl.Series("zip", ["01234"] * 2))
    (tmp_path / "new.csv").write_text("zip\n01234\n1234\n")

    predict.predict_file("churn", tmp_path / "new.csv", None)

    header, *lines = capsys.readouterr().out.splitlines()
    assert header == "prediction,prediction_id,model_version"
    assert [line.split(",")[0] for line in lines] == ["2.0", "1.0"]
    assert [line.split(",")[2] for line in lines] == ["1", "1"]


def test_each_prediction_gets_an_id_under_which_its_log_has_it(
    train: Train, settings: Settings, tmp_path: Path
) -> None:
    train(pl.Series("zip", ["01234"] * 2))
    data, output = tmp_path / "new.csv", tmp_path / "scores.csv"
    data.write_text("zip\n01234\nsomebody's own\n")

    predict.predict_file("churn", data, output)

    ids = [parse_prediction_id(text) for text in pl.read_csv(output)["prediction_id"]]
    assert [item.row for item in ids] == [0, 1]
    batch = read_batch(settings.predictions_folder, ids[0])
    assert (batch.name, batch.version, batch.columns, batch.n_rows) == ("churn", "1", ("zip",), 2)
    line = read_line(log_file(settings.predictions_folder, ids[1]), ids[1].row)
    assert line is not None
    assert line["prediction"] == OTHER
    # Nothing that the file held is in the log.
    assert b"somebody" not in log_file(settings.predictions_folder, ids[0]).read_bytes()


def test_predictions_that_are_not_logged_have_no_id(
    train: Train, settings: Settings, tmp_path: Path
) -> None:
    train(pl.Series("zip", ["01234"] * 2))
    data, output = tmp_path / "new.csv", tmp_path / "scores.csv"
    data.write_text("zip\n01234\n")

    predict.predict_file("churn", data, output, is_logged=False)

    assert pl.read_csv(output).columns == ["prediction", "model_version"]
    assert not settings.predictions_folder.exists()


def test_a_log_that_cannot_be_written_is_named_before_a_file_of_predictions_is_there(
    train: Train, settings: Settings, tmp_path: Path
) -> None:
    train(pl.Series("zip", ["01234"] * 2))
    data, output = tmp_path / "new.csv", tmp_path / "scores.csv"
    data.write_text("zip\n01234\n")
    settings.root.mkdir(exist_ok=True)
    settings.predictions_folder.write_text("a file where the folder should be")

    with pytest.raises(RequestError, match=r"log in .* cannot be written: .* --no-log"):
        predict.predict_file("churn", data, output)
    assert not output.exists()


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("scores.json", "are written as .csv or .parquet"),
        ("none/scores.csv", "none/scores.csv' has no folder to be in. Make the folder first"),
        ("folder.csv", "folder.csv' is a folder. "),
    ],
)
def test_outputs_that_cannot_be_are_refused_before_any_work(
    tmp_path: Path, output: str, message: str
) -> None:
    (tmp_path / "folder.csv").mkdir()

    with pytest.raises(RequestError, match=message):
        predict.predict_file("churn", tmp_path / "new.csv", tmp_path / output)


@pytest.mark.parametrize("name", ["scores.csv", "scores.parquet"])
def test_an_output_that_cannot_be_written_is_named(train: Train, tmp_path: Path, name: str) -> None:
    train(pl.Series("zip", ["01234"] * 2))
    (tmp_path / "new.csv").write_text("zip\n01234\n")

    with pytest.raises(RequestError, match=f"'/proc/{name}' cannot: .* Name another file"):
        predict.predict_file("churn", tmp_path / "new.csv", Path("/proc") / name)


def test_the_id_comes_first_and_keeps_its_zeros() -> None:
    rows = pl.LazyFrame({"x": [1.0, 2.0], "other": [0, 0], "id": ["007", "7"]})

    (chunk,) = predict._predicted(
        predictor(pl.Series("x", [1.0]), kind="numeric"), rows, "id", UNLOGGED
    )

    assert chunk.columns == ["id", "prediction", "model_version"]
    assert chunk.rows() == [("007", 1.0, "1"), ("7", 2.0, "1")]


def test_rows_are_predicted_in_chunks_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "ROWS_AT_ONCE", 10)
    model = predictor(pl.Series("x", [1.0]), kind="numeric")
    rows = pl.LazyFrame({"x": range(95)})

    chunks = list(predict._predicted(model, rows, None, UNLOGGED))

    assert len(chunks) > 1
    assert pl.concat(chunks)["prediction"].to_list() == list(range(95))


@pytest.mark.parametrize("name", ["prediction", "probability_yes", "prediction_id"])
def test_an_id_named_like_a_prediction_is_refused_before_predicting(name: str) -> None:
    model = predictor(pl.Series("x", [1.0]), kind="numeric", classes=("no", "yes"), model=Broken())
    rows = pl.LazyFrame({"x": [1.0], name: [1]})

    with pytest.raises(RequestError, match=f"The id column '{name}' has .* Rename the column"):
        next(predict._predicted(model, rows, name, UNLOGGED))


def test_only_errors_of_reading_are_told_as_errors_of_reading() -> None:
    column = pl.Series("x", [1.0])
    good = pl.LazyFrame({"x": [1.0]})
    bad = pl.LazyFrame({"x": ["old"]}).select(pl.col("x").cast(pl.Float64))

    with pytest.raises(pl.exceptions.ComputeError, match="not the data's fault"):
        next(
            predict._predicted(
                predictor(column, kind="numeric", model=Broken()), good, None, UNLOGGED
            )
        )
    with pytest.raises(SnapshotError, match="Every row of the data must be readable"):
        next(predict._predicted(predictor(column, kind="numeric"), bad, None, UNLOGGED))
