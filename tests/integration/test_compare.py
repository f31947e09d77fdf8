"""`automl compare`: registered versions side by side, on rows that neither has seen."""

import polars as pl
import pytest

from automl_assets.core.comparing.rows import mark_seen, same_rows
from automl_assets.core.prepare import read_rows, rows_frame
from automl_assets.core.values import Part
from automl_assets.settings import Settings
from tests.integration.test_train import automl, write_table
from tests.registered_versions import Registered, register

TRAIN = ("--target", "churned", "--id", "customer", "--family", "linear", "--n-trials", "2")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Registered:
    """A small registered version, with its data."""
    return register(
        tmp_path_factory.mktemp("version"),
        model={"families": ["linear"]},
        search={"n_trials": 1},
    )


def test_rows_of_the_same_split_are_known_without_being_read(made: Registered) -> None:
    other = made.split.model_copy(
        update={
            "parts": tuple(
                part.model_copy(update={"sha256": "0" * 64}) for part in made.split.parts
            )
        }
    )

    assert same_rows(made.snapshot, made.split, made.snapshot, made.split)
    assert not same_rows(made.snapshot, made.split, made.snapshot, other)


def test_row_numbers_of_other_data_are_other_rows(made: Registered) -> None:
    other = made.snapshot.model_copy(update={"content_sha256": "0" * 64})

    assert not same_rows(made.snapshot, made.split, other, made.split)


def rows_of(made: Registered, part: Part) -> pl.DataFrame:
    columns = tuple(column.name for column in made.snapshot.profile.columns)
    rows = read_rows(made.split, part, made.store)
    return rows_frame(made.snapshot, rows, columns, made.store)


def test_rows_that_a_model_was_made_from_are_marked_and_no_others(made: Registered) -> None:
    seen, unseen = rows_of(made, "train"), rows_of(made, "analysis")
    known = seen.join(unseen, on=seen.columns, how="semi").height

    marked = mark_seen(pl.concat([unseen, seen.head(7)]), made.snapshot, made.split, made.store)

    assert marked[-7:].all()
    assert marked[:-7].sum() == known == 0


def test_rows_that_share_no_column_count_as_seen(made: Registered) -> None:
    marked = mark_seen(pl.DataFrame({"unknown": [1, 2]}), made.snapshot, made.split, made.store)

    assert marked.tolist() == [True, True]


@pytest.mark.slow
def test_versions_are_compared_in_the_terminal_and_on_a_page(settings: Settings) -> None:
    folder = settings.root.parent
    write_table(folder, n_rows=1_500)
    first = automl(settings, "train", "churn.csv", *TRAIN)
    write_table(folder, n_rows=1_500, seed=1)
    second = automl(settings, "train", "churn.csv", *TRAIN, "--seed", "7")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr

    done = automl(settings, "compare", "churn@1", "churn@2", "--html", "both.html")
    wrong = automl(settings, "compare", "churn@1")
    nobody = automl(settings, "compare", "churn@1", "churn@9")

    assert done.returncode == 0, done.stderr
    told = " ".join(done.stdout.split())
    assert "churn@2 in the place of churn@1, on 225 rows new to both" in told
    assert "roc_auc gain" in told
    assert "decisions changed" in told
    assert "asked or chosen seed: - -> 7" in told
    page = (folder / "both.html").read_text()
    assert "<script" not in page
    assert "churn@2 in the place of churn@1" in page
    assert "97.5% intervals" in page  # the second opening of these rows
    assert (wrong.returncode, nobody.returncode) == (2, 2)
    assert "at least two models" in wrong.stderr
    assert "no version" in nobody.stderr
