"""The `automl` command: what it takes, and how it leaves."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from automl_assets import cli
from automl_assets.cli import release
from automl_assets.cli.reference import split_reference
from automl_assets.cli.train import TrainOptions, request_for, train_file
from automl_assets.core.errors import ContractError, RequestError, SearchError, ServiceError
from automl_assets.settings import Settings

NOTHING = dict.fromkeys(TrainOptions.__dataclass_fields__, None) | {
    "families": (),
    "exclude": (),
    "keep": (),
}


def leave(monkeypatch: pytest.MonkeyPatch, app: Callable[[], None]) -> int:
    """Run `main` with another app; return the exit code."""
    monkeypatch.setattr(cli, "app", app)
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    return int(leaving.value.code or 0)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RequestError("bad"), 2),
        (ContractError("bad"), 2),
        (SearchError("nothing"), 3),
        (ServiceError("away"), 1),
        (SystemExit(130), 1),
        (SystemExit(2), 2),
        (OSError(errno.ENOSPC, "No space left on device"), 1),
    ],
)
def test_each_way_to_end_has_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    def app() -> None:
        raise error

    assert leave(monkeypatch, app) == code


def test_a_full_disk_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def app() -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise RuntimeError("a step failed") from error

    leave(monkeypatch, app)

    assert "a disk is full" in capsys.readouterr().err


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def app() -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(cli, "app", app)

    with pytest.raises(KeyError):
        cli.main()


def test_a_fault_raised_from_what_it_caused_ends_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def app() -> None:
        first, second = KeyError("a bug"), RuntimeError("a step failed")
        second.__cause__ = first
        raise first from second

    monkeypatch.setattr(cli, "app", app)

    with pytest.raises(KeyError):
        cli.main()


def test_words_that_yaml_reads_as_switches_are_kept(settings: Settings) -> None:
    data = settings.root.parent / "table.csv"
    data.write_text("x,y\n1,yes\n2,no\n")
    options = TrainOptions(**NOTHING | {"target": "y", "positive": "yes"})

    request = request_for(data, options, settings, sha256="0" * 64)

    assert request.data.positive == "yes"
    assert request.data.path == "table.csv"
    assert request.name == "table"


def test_options_about_rows_and_columns_reach_the_request(settings: Settings) -> None:
    options = TrainOptions(
        **NOTHING
        | {"target": "y", "where": "x > 1", "keep": ("z",), "expect": str(settings.root / "c.yaml")}
    )

    data = request_for(Path("table.csv"), options, settings, sha256="0" * 64).data

    assert (data.rows.where, data.features.keep) == ("x > 1", ("z",))
    assert data.expect == ".automl/c.yaml"


def test_other_data_under_the_same_name_is_another_request(settings: Settings) -> None:
    data = settings.root.parent / "table.csv"
    options = TrainOptions(**NOTHING | {"target": "y"})

    one, other = (request_for(data, options, settings, sha256=d * 64) for d in "01")

    assert one.request_id != other.request_id


def test_options_beside_a_request_file_are_refused(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "request.yaml"
    file.write_text("apiVersion: automl/v1\n")

    with pytest.raises(RequestError, match="but n_trials, seed was given beside"):
        train_file(file, TrainOptions(**NOTHING | {"n_trials": 3, "seed": 0}))


def commands(group: typer.core.TyperGroup, prefix: str = "") -> dict[str, typer.core.TyperCommand]:
    """Return all commands by their full names."""
    found = {}
    for name, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            found |= commands(command, f"{prefix}{name} ")
        else:
            found[f"{prefix}{name}"] = command
    return found


COMMANDS = commands(typer.main.get_command(cli.app))


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_says_what_it_does_and_what_it_takes(name: str) -> None:
    command = COMMANDS[name]

    assert command.help.splitlines()[0].endswith(".")
    for parameter in command.params:
        assert parameter.name == "help" or parameter.help, parameter.name


def test_each_command_belongs_to_a_group_of_the_help() -> None:
    group = typer.main.get_command(cli.app)

    panels = {name: command.rich_help_panel for name, command in group.commands.items()}
    assert set(panels.values()) == {"Requests", "Models", "Data and platform"}
    models = [name for name, panel in panels.items() if panel == "Models"]
    assert models == ["predict", "compare", "approve", "promote", "rollback", "reproduce", "audit"]


@pytest.mark.parametrize(
    ("model", "meant"),
    [("churn", ("churn", None)), ("churn@12", ("churn", "12")), ("a b@c@d", ("a b", "c@d"))],
)
def test_a_model_is_named_with_or_without_a_version(model: str, meant: tuple[str, str]) -> None:
    assert split_reference(model) == meant


@pytest.mark.parametrize("model", ["churn@", "@1", "@", ""])
def test_half_a_name_of_a_model_is_never_taken_for_the_newest_version(model: str) -> None:
    with pytest.raises(RequestError, match="A model is NAME, or NAME@"):
        split_reference(model)


def test_a_move_without_a_reason_is_refused_before_anything_is_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(release, "_open_desk", lambda settings: pytest.fail("was opened"))

    with pytest.raises(RequestError, match="says why"):
        release.promote_version("churn@1", to="champion", reason=" ")
    with pytest.raises(RequestError, match="says why"):
        release.roll_back_version("churn", reason="")
