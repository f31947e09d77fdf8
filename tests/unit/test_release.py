"""Promotion, rollback and approval: what is refused, what is kept, and what a kill leaves."""

import contextlib
import json
import random
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from automl_assets.cli import app
from automl_assets.core.errors import RequestError, SnapshotError
from automl_assets.core.probe import PROBE_PREDICTIONS, predictions_sha256, read_probe, write_probe
from automl_assets.core.promotion import approve, promote, roll_back
from automl_assets.core.release import (
    ReleaseEvent,
    aliases_of,
    broken_link,
    champions,
    replaced_champion,
)
from automl_assets.core.values import ModelVersion
from automl_assets.settings import Settings
from tests.fakes import InMemoryModelRegistry
from tests.releases import NOW, Releases, releases

RISK: dict[str, Any] = {"required": ["model_risk"]}


@pytest.fixture
def made(tmp_path: Path) -> Releases:
    return releases(tmp_path)


def approved(made: Releases, version: ModelVersion, by: str = "eve", **changes: Any) -> None:
    digest = changes.pop("digest", version.card_sha256)
    given = {"on_behalf_of": "model_risk", "comment": "read it", "groups": {}, **changes}
    approve(made.desk(by), version, digest=digest, **given)


# --- the log -------------------------------------------------------------------------------------


def moved(*moves: tuple[str, str]) -> list[ReleaseEvent]:
    return [
        ReleaseEvent.model_validate(
            {"kind": kind, "name": "churn", "version": v, "alias": "champion", "by": "b", "at": "t"}
        )
        for kind, v in moves
    ]


def test_rollbacks_go_back_and_not_to_and_fro() -> None:
    history = moved(("promoted", "1"), ("promoted", "2"), ("promoted", "3"), ("rolled_back", "2"))

    assert champions(history) == ["1", "2"]
    assert champions([*history, *moved(("rolled_back", "1"))]) == ["1"]
    assert champions([*history, *moved(("promoted", "4"))]) == ["1", "2", "4"]
    assert replaced_champion(history) == "3"


def test_two_rollbacks_at_the_same_moment_go_back_to_the_version_that_both_name() -> None:
    history = moved(("promoted", "1"), ("promoted", "2"), ("promoted", "3"))

    both = [*history, *moved(("rolled_back", "2"), ("rolled_back", "2"))]

    assert champions(both) == ["1", "2"]


@pytest.mark.parametrize("seed", range(3))
def test_the_log_alone_tells_which_version_has_which_alias(made: Releases, seed: int) -> None:
    versions = [made.register(number) for number in (1, 2, 3)]
    rng = random.Random(seed)

    for _ in range(10):
        with contextlib.suppress(RequestError):  # no champion before, or it cannot challenge itself
            if rng.random() < 0.3:
                roll_back(made.desk(), "churn", reason="complaints")
            else:
                alias = rng.choice(["champion", "challenger"])
                promote(made.desk(), rng.choice(versions), alias, reason="better")
        assert aliases_of(made.log.events("churn")) == made.aliases()


@pytest.mark.parametrize("position", range(4))
def test_an_event_that_was_changed_left_out_or_doubled_is_found(
    made: Releases, position: int
) -> None:
    for number in range(4):
        made.log.append(moved(("promoted", str(number)))[0])
    events = made.log.events("churn")
    assert broken_link(events) is None

    changed = events[position].model_copy(update={"by": "mallory"})
    as_before = [*events[:position], changed, *events[position + 1 :], moved(("promoted", "9"))[0]]
    last = {"number": 5, "previous_sha256": events[-1].sha256}
    assert broken_link([*as_before[:-1], as_before[-1].model_copy(update=last)]) is not None
    assert broken_link([*events[: position + 1], *events[position:]]) is not None


def test_an_event_in_the_middle_that_is_gone_is_named(made: Releases) -> None:
    for number in range(3):
        made.log.append(moved(("promoted", str(number)))[0])
    first, _, last = made.log.events("churn")

    assert broken_link([first, last]) == (
        "Event 2 of the release log is missing: 3 is in its place."
    )


# --- promotion -----------------------------------------------------------------------------------


def test_a_promotion_moves_the_alias_and_is_kept_with_who_when_and_why(made: Releases) -> None:
    version = made.register()

    done = promote(made.desk("bob"), version, "champion", reason="better on every slice")

    assert made.aliases() == {"champion": "1"}
    assert done.probe == "50 rows predicted identically"
    event = made.log.events("churn")[-1]
    assert done.event == event
    assert (event.kind, event.by, event.at) == ("promoted", "bob", NOW.isoformat())
    assert (event.reason, event.card_sha256) == ("better on every slice", version.card_sha256)


def test_the_champion_that_is_replaced_is_archived(made: Releases) -> None:
    for number in (1, 2):
        promote(made.desk(), made.register(number), "champion", reason="newer")

    assert made.aliases() == {"champion": "2", "archived": "1"}


def test_an_older_version_may_be_the_challenger_again(made: Releases) -> None:
    first, _ = made.register(1), made.register(2)

    promote(made.desk(), first, "challenger", reason="try it once more")

    assert made.aliases() == {"challenger": "1"}
    assert made.told()[-1] == ("promoted", "1", "challenger")


def test_a_promotion_without_a_reason_is_refused(made: Releases) -> None:
    with pytest.raises(RequestError, match="found no reason"):
        promote(made.desk(), made.register(), "champion", reason=" ")
    assert made.aliases() == {"challenger": "1"}


@pytest.mark.parametrize(
    "reason", ["x" * 10_000_000, "fine\nintegrity ok", "fine\x1b[2K", "a\u202eb"]
)
def test_a_reason_is_one_line_that_shows_all_of_itself(made: Releases, reason: str) -> None:
    version = made.register()

    with pytest.raises(RequestError, match="one line of up to 1,024") as refused:
        promote(made.desk(), version, "champion", reason=reason)
    with pytest.raises(RequestError, match="one line of up to 1,024"):
        approved(made, version, comment=reason)

    assert len(str(refused.value)) < 400
    assert [kind for kind, _, _ in made.told()] == ["registered"]


def test_only_two_aliases_can_be_given(made: Releases) -> None:
    with pytest.raises(RequestError, match="promoted to champion or challenger, but found 'arch"):
        promote(made.desk(), made.register(), "archived", reason="old")


def test_the_champion_cannot_challenge_itself(made: Releases) -> None:
    version = made.register()
    promote(made.desk(), version, "champion", reason="first")

    with pytest.raises(RequestError, match="churn 1 is the champion"):
        promote(made.desk(), version, "challenger", reason="again")


def test_a_promotion_that_was_done_is_not_kept_twice(made: Releases) -> None:
    version = made.register()
    promote(made.desk(), version, "champion", reason="first")

    again = promote(made.desk(), version, "champion", reason="second")

    assert again.event is None
    assert made.told() == [("registered", "1", "challenger"), ("promoted", "1", "champion")]


class Killed(BaseException):
    pass


class DyingRegistry(InMemoryModelRegistry):
    """A registry that cannot move aliases until it is told that it can."""

    alive = True

    def set_alias(self, version: ModelVersion, alias: str) -> None:
        if not self.alive:
            raise Killed
        super().set_alias(version, alias)


def test_a_promotion_that_was_killed_before_the_alias_moved_is_finished_once(
    made: Releases,
) -> None:
    registry = DyingRegistry()
    made = replace(made, registry=registry)
    version = made.register()
    registry.alive = False
    with pytest.raises(Killed):
        promote(made.desk(), version, "champion", reason="first")
    assert made.aliases() == {"challenger": "1"}
    registry.alive = True

    promote(made.desk(), version, "champion", reason="first")

    assert made.aliases() == {"champion": "1"}
    assert made.told()[1:] == [("promoted", "1", "champion")]


def test_a_log_that_was_altered_stops_every_release(made: Releases) -> None:
    version = made.register()
    made.log.append(moved(("promoted", "9"))[0])
    events = made.log.events("churn")
    made.log.events = lambda name: [events[0].model_copy(update={"by": "eve"}), events[1]]  # type: ignore[method-assign]

    with pytest.raises(SnapshotError, match="Event 2 of the release log names"):
        promote(made.desk(), version, "champion", reason="newer")


# --- what is registered must be what was registered ----------------------------------------------


def test_a_version_that_predicts_its_probe_otherwise_is_not_promoted(made: Releases) -> None:
    given = made.given()
    probe, predictions = read_probe(given.report)
    other = predictions.copy()
    other[3] += [1e-12, -1e-12]
    digest = predictions_sha256(other)
    write_probe(given.report, probe.model_copy(update={"predictions_sha256": digest}), other)
    version = made.registry.register(replace(given, tags={**given.tags, "probe_sha256": digest}))

    with pytest.raises(SnapshotError, match=r"of 50 rows 1 differ, the first is row 7 of the data"):
        promote(made.desk(), version, "champion", reason="newer")
    assert made.aliases() == {"challenger": "1"}

    elsewhere = promote(made.desk(cpu="another"), version, "champion", reason="newer")
    assert elsewhere.probe == "50 rows predicted within 1e-09, on another processor"


def test_a_larger_difference_is_refused_on_every_processor(made: Releases) -> None:
    given = made.given()
    probe, predictions = read_probe(given.report)
    other = predictions + 1e-6
    digest = predictions_sha256(other)
    write_probe(given.report, probe.model_copy(update={"predictions_sha256": digest}), other)
    version = made.registry.register(replace(given, tags={**given.tags, "probe_sha256": digest}))

    with pytest.raises(SnapshotError, match=r"50 differ, .* the largest distance is 1e-06"):
        promote(made.desk(cpu="another"), version, "champion", reason="newer")


def test_a_probe_that_was_replaced_as_a_whole_is_refused(made: Releases) -> None:
    given = made.given()
    version = made.registry.register(given)
    probe, predictions = read_probe(given.report)
    digest = predictions_sha256(predictions + 1)
    write_probe(
        given.report, probe.model_copy(update={"predictions_sha256": digest}), predictions + 1
    )

    with pytest.raises(SnapshotError, match="must be the one that was registered"):
        promote(made.desk(), version, "champion", reason="newer")


def test_a_version_without_a_probe_is_refused(made: Releases) -> None:
    given = made.given()
    version = made.registry.register(given)
    (given.report / PROBE_PREDICTIONS).unlink()

    with pytest.raises(SnapshotError, match=r"one cannot be read \(FileNotFoundError\)"):
        promote(made.desk(), version, "champion", reason="newer")


@pytest.mark.parametrize("file", ["model.json", "preprocessing.json"])
def test_a_package_that_changed_is_refused(made: Releases, file: str) -> None:
    given = made.given()
    version = made.registry.register(given)
    (given.package / file).write_text((given.package / file).read_text() + " ")

    with pytest.raises(SnapshotError, match="changed"):
        promote(made.desk(), version, "champion", reason="newer")


def test_a_report_that_changed_is_refused(made: Releases) -> None:
    version = made.register()
    change_card(made, version)

    with pytest.raises(SnapshotError, match=rf"registered, {version.card_sha256[:12]}\.\., but"):
        promote(made.desk(), version, "champion", reason="newer")


def change_card(made: Releases, version: ModelVersion) -> None:
    with made.registry.inspect(version) as record:
        assert record.report is not None
        card = json.loads((record.report / "card.json").read_bytes())
        (record.report / "card.json").write_text(json.dumps({**card, "limits": []}))


# --- rollback ------------------------------------------------------------------------------------


def test_a_rollback_restores_the_champion_before_and_archives_the_other(made: Releases) -> None:
    for number in (1, 2, 3):
        promote(made.desk(), made.register(number), "champion", reason="newer")

    done = roll_back(made.desk(), "churn", reason="complaints")

    assert (done.version.version, done.probe) == ("2", "50 rows predicted identically")
    assert made.aliases() == {"champion": "2", "archived": "3"}
    assert made.told()[-1] == ("rolled_back", "2", "champion")
    roll_back(made.desk(), "churn", reason="more complaints")
    assert made.aliases() == {"champion": "1", "archived": "2"}
    with pytest.raises(RequestError, match=r"'churn' had 1 champion\. Promote a version instead"):
        roll_back(made.desk(), "churn", reason="and more")


def test_a_rollback_needs_a_reason_and_a_champion(made: Releases) -> None:
    made.register()

    with pytest.raises(RequestError, match="'churn' had no champions"):
        roll_back(made.desk(), "churn", reason="complaints")
    with pytest.raises(RequestError, match="found no reason"):
        roll_back(made.desk(), "churn", reason="")


def test_a_rollback_to_a_version_that_predicts_otherwise_moves_nothing(made: Releases) -> None:
    first = made.given(1)
    promote(made.desk(), made.registry.register(first), "champion", reason="first")
    promote(made.desk(), made.register(2), "champion", reason="newer")
    np.save(first.report / PROBE_PREDICTIONS, np.zeros((50, 2)))

    with pytest.raises(SnapshotError, match="must have the digest"):
        roll_back(made.desk(), "churn", reason="complaints")
    assert made.aliases()["champion"] == "2"
    assert made.told()[-1] == ("promoted", "2", "champion")


def test_a_rollback_that_was_killed_is_finished_and_goes_no_further(made: Releases) -> None:
    registry = DyingRegistry()
    made = replace(made, registry=registry)
    for number in (1, 2, 3):
        promote(made.desk(), made.register(number), "champion", reason="newer")
    registry.alive = False
    with pytest.raises(Killed):
        roll_back(made.desk(), "churn", reason="complaints")
    registry.alive = True

    done = roll_back(made.desk(), "churn", reason="complaints")

    assert (done.event, done.version.version) == (None, "2")
    assert made.aliases()["champion"] == "2"
    assert [kind for kind, _, _ in made.told()].count("rolled_back") == 1


# --- approval ------------------------------------------------------------------------------------


def test_a_champion_needs_every_approval_that_its_request_names(made: Releases) -> None:
    version = made.register(approval={"required": ["model_risk", "legal"]})
    assert made.aliases() == {"challenger": "1"}
    approved(made, version)

    with pytest.raises(RequestError, match=r"but 'legal' has not approved it\. They read"):
        promote(made.desk(), version, "champion", reason="newer")
    approved(made, version, on_behalf_of="legal")
    promote(made.desk(), version, "champion", reason="newer")

    assert made.aliases() == {"champion": "1"}


@pytest.mark.parametrize(("before", "is_hidden"), [("register", True), ("challenger", False)])
@pytest.mark.parametrize("alias", ["challenger", "champion"])
def test_a_version_that_waits_has_no_alias_until_it_is_approved_and_promoted(
    made: Releases, before: str, is_hidden: bool, alias: str
) -> None:
    version = made.register(approval={**RISK, "before": before})
    assert (made.aliases(), version.is_hidden) == ({}, is_hidden)

    with pytest.raises(
        RequestError, match=f"churn@1 becomes {alias} only when all have approved it"
    ):
        promote(made.desk(), version, alias, reason="newer")
    approved(made, version)
    promote(made.desk(), version, alias, reason="newer")

    assert made.aliases() == {alias: "1"}
    assert made.registry.find("churn").version == "1"


def test_before_champion_nothing_waits_to_be_challenger(made: Releases) -> None:
    version = made.register(1, approval=RISK)
    made.register(2)

    promote(made.desk(), version, "challenger", reason="try it")

    assert made.aliases() == {"challenger": "1"}


def test_an_approval_is_void_once_the_report_changed(made: Releases) -> None:
    version = made.register(approval=RISK)
    approved(made, version)
    change_card(made, version)

    with pytest.raises(SnapshotError) as caught:
        promote(made.desk(), version, "champion", reason="newer")
    expected = f"digest {version.card_sha256[:12]}.. was approved, the report is now "
    assert expected in str(caught.value)


def test_an_approval_of_another_digest_does_not_count(made: Releases) -> None:
    version = made.register(approval=RISK)
    event = made.desk("eve").event("approved", version, reason="", on_behalf_of="model_risk")
    made.log.append(event.model_copy(update={"card_sha256": "7be0" + "0" * 60}))

    expected = (
        f"'model_risk': digest 7be000000000.. was approved, "
        f"the report is now {version.card_sha256[:12]}.."
    )
    with pytest.raises(RequestError, match=expected):
        promote(made.desk(), version, "champion", reason="newer")


def test_an_approval_of_another_version_does_not_count(made: Releases) -> None:
    first, second = (made.register(number, approval=RISK) for number in (1, 2))
    approved(made, first)

    with pytest.raises(RequestError, match="'model_risk' has not approved it"):
        promote(made.desk(), second, "champion", reason="newer")


def test_an_approval_expires(made: Releases) -> None:
    version = made.register(approval={**RISK, "expires": "30d"})
    approved(made, version)
    late = made.desk(now=NOW + timedelta(days=30))

    with pytest.raises(RequestError, match=r"'eve' approved, but that expired 2026-12-18T09:12"):
        promote(late, version, "champion", reason="newer")
    in_time = made.desk(now=NOW + timedelta(days=30, seconds=-1))
    assert promote(in_time, version, "champion", reason="newer").event is not None


def test_a_later_approval_renews_one_that_expired(made: Releases) -> None:
    version = made.register(approval={**RISK, "expires": "30d"})
    approved(made, version)
    late = NOW + timedelta(days=40)
    approve(
        made.desk("eve", now=late),
        version,
        digest=version.card_sha256,
        on_behalf_of="model_risk",
        comment="",
        groups={},
    )

    promote(made.desk(now=late), version, "champion", reason="newer")

    assert made.aliases() == {"champion": "1"}


@pytest.mark.parametrize("owner", ["ada", "Ada"])
def test_the_owner_of_a_request_never_approves_it(made: Releases, owner: str) -> None:
    version = made.register(approval=RISK)

    with pytest.raises(RequestError, match=r"'ada' owns this request\. Ask somebody else"):
        approved(made, version, by=owner)

    forged = made.desk(owner).event("approved", version, reason="", on_behalf_of="model_risk")
    made.log.append(forged)
    with pytest.raises(RequestError, match=f"'model_risk': '{owner}', who approved, owns the"):
        promote(made.desk(), version, "champion", reason="newer")


@pytest.mark.parametrize("digits", [8, 12, 64])
def test_a_report_is_approved_by_the_first_digits_of_its_digest(
    made: Releases, digits: int
) -> None:
    version = made.register(approval=RISK)

    approved(made, version, digest=f"{version.card_sha256[:digits]}..")

    event = made.log.events("churn")[-1]
    assert (event.kind, event.card_sha256) == ("approved", version.card_sha256)
    assert (event.by, event.on_behalf_of, event.reason) == ("eve", "model_risk", "read it")


@pytest.mark.parametrize(
    ("digest", "message"),
    [
        ("7be0", "given with 8 digits or more, but found '7be0'"),
        ("7be07be0", r"digest 7be07be0\.\. was approved, the report is now"),
    ],
)
def test_another_digest_is_refused_at_once(made: Releases, digest: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        approved(made, made.register(approval=RISK), digest=digest)


def test_an_approval_is_given_as_somebody_whom_the_request_names(made: Releases) -> None:
    with pytest.raises(RequestError, match="names, 'model_risk', but found 'marketing'"):
        approved(made, made.register(approval=RISK), on_behalf_of="marketing")


def test_where_the_operator_lists_groups_only_members_approve_for_them(made: Releases) -> None:
    version = made.register(approval=RISK)

    with pytest.raises(RequestError, match="'eve' is no member of 'model_risk'"):
        approved(made, version, groups={"model_risk": ("risk-officer",)})
    approved(made, version, by="risk-officer", groups={"model_risk": ("risk-officer",)})

    assert made.told()[-1] == ("approved", "1", "")


def test_what_is_still_missing_is_told_to_whoever_approves(made: Releases) -> None:
    version = made.register(approval={"required": ["model_risk", "legal"]})

    _, missing = approve(
        made.desk("eve"),
        version,
        digest=version.card_sha256,
        on_behalf_of="legal",
        comment="",
        groups={},
    )

    assert missing == ("'model_risk' has not approved it",)


# --- the commands --------------------------------------------------------------------------------


@pytest.fixture
def as_user(made: Releases, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets the commands run as somebody, on the registry and log of the test."""
    commands = import_module("automl_assets.cli.release")

    def become(user: str) -> None:
        monkeypatch.setenv("AUTOML_USER", user)
        monkeypatch.setattr(
            commands, "_open_desk", lambda settings: nullcontext(made.desk(settings.user))
        )

    return become


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_the_commands_approve_promote_and_roll_back(
    made: Releases, as_user: Callable[[str], None]
) -> None:
    version = made.register(1, approval=RISK)
    digest = version.card_sha256[:12]
    as_user("eve")

    approval = run("approve", "churn@1", "--as", "model_risk", "--digest", digest)
    as_user("bob")
    first = run("promote", "churn@1.0.0", "--reason", "slices are fine")
    promote(made.desk(), made.register(2), "champion", reason="newer")
    back = run("rollback", "churn", "--reason", "complaints")

    assert approval.output == (
        f"approved churn 1.0.0+data.dddddddd (version 1) as model_risk by eve, digest {digest}\n"
    )
    assert first.output.splitlines()[:2] == [
        "probe    50 rows predicted identically",
        "champion churn 1.0.0+data.dddddddd (version 1), by bob: slices are fine",
    ]
    assert back.output.splitlines()[1] == (
        "champion churn 1.0.0+data.dddddddd (version 1), by bob: complaints"
    )
    assert made.aliases() == {"champion": "1", "archived": "2"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("promote", "churn@9", "--reason", "x"), "no version or alias '9'"),
        (("promote", "churn"), "found no reason"),
        (("rollback", "churn"), "found no reason"),
        (("rollback", "price", "--reason", "x"), "'price' had no champions"),
        (("approve", "churn", "--digest", "7be07be0"), "'model_risk', but found 'eve'"),
    ],
)
def test_a_command_that_is_refused_says_why(
    made: Releases, as_user: Callable[[str], None], arguments: tuple[str, ...], message: str
) -> None:
    made.register(1, approval=RISK)
    as_user("eve")

    refused = run(*arguments)

    assert isinstance(refused.exception, RequestError)
    assert message in str(refused.exception)


def test_whoever_runs_a_command_is_the_user_of_the_system_or_of_the_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    monkeypatch.delenv("AUTOML_USER", raising=False)
    assert Settings().user == "ada"

    monkeypatch.setenv("AUTOML_USER", "ci-for-bob")
    assert Settings().user == "ci-for-bob"
