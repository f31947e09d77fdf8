"""What an audit says: outcomes, sentences, tallies, and the page."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_assets.core.audit.copies import difference
from automl_assets.core.audit.registered import compare_files
from automl_assets.core.audit.result import AuditReport, Link, LinkBuilder, sentences
from automl_assets.core.errors import AlteredError, SnapshotError
from automl_assets.core.inventory import (
    INVENTORY,
    folder_digests,
    read_inventory,
    write_inventory,
)
from automl_assets.core.report.audit_page import link_state, render_audit

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def link(*found: str | None, name: str = "data") -> Link:
    builder = LinkBuilder(name)
    for item in found:
        builder.digest("table", "lakefs://r/c/table", expected="aa", found=item)
    return builder.build()


def report(*links: Link) -> AuditReport:
    return AuditReport(
        subject="churn@1",
        name="churn",
        version="1",
        audited_at="2026-11-21T12:00:00+00:00",
        links=links,
    )


def test_what_is_missing_is_told_apart_from_what_was_altered() -> None:
    told = link("aa", "bb", None)

    assert [check.outcome for check in told.checks] == ["verified", "altered", "missing"]
    assert list(sentences(told)) == [
        "table altered: lakefs://r/c/table has bb, expected aa.",
        "table missing: lakefs://r/c/table is not there; expected aa.",
    ]


def test_hashes_and_records_are_counted_apart() -> None:
    builder = LinkBuilder("owner")
    builder.record("owner", "card.json", expected="ann", found="ann")
    builder.record("owner", "registry", expected="ann", found=None)

    found = report(link("aa", "bb"), builder.build())

    assert found.tally("hash") == (1, 2)
    assert found.tally("record") == (1, 2)
    assert not found.is_whole
    assert report(link("aa")).is_whole


def test_numbers_and_their_texts_are_compared_as_json() -> None:
    builder = LinkBuilder("candidate")

    assert builder.record("params", "ledger", expected={"b": 1, "a": 2.0}, found={"a": 2.0, "b": 1})
    assert builder.record("score", "ledger", expected=0.1 + 0.2, found=0.30000000000000004)
    assert not builder.record("score", "ledger", expected=0.3, found=0.1 + 0.2)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (SnapshotError("It was removed from outside."), "missing"),
        (AlteredError("The bytes changed.", expected="aa", found="bb"), "altered"),
    ],
)
def test_what_the_store_refuses_is_altered_or_missing(error: SnapshotError, outcome: str) -> None:
    builder = LinkBuilder("approvals")

    builder.unreadable("release log", "log of churn", error)

    (check,) = builder.build().broken
    assert check.outcome == outcome
    assert str(error) in next(sentences(builder.build()))


@given(JSON, JSON)
def test_a_difference_is_named_exactly_where_there_is_one(left: object, right: object) -> None:
    same = json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)

    # Python takes 1 for True; JSON does not, and neither do two records of one fact.
    assert (difference(left, right) is None) == same
    assert difference(left, left) is None


def test_an_inventory_finds_what_changed_what_is_gone_and_what_was_added(tmp_path: Path) -> None:
    for name in ("same", "changed", "gone"):
        (tmp_path / name).write_text(name)
    first = write_inventory(tmp_path)
    assert write_inventory(tmp_path) == first
    (tmp_path / "changed").write_text("Changed")
    (tmp_path / "gone").unlink()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "added").write_text("added")
    builder = LinkBuilder("report")

    expected = read_inventory((tmp_path / INVENTORY).read_bytes())
    compare_files(builder, tmp_path, expected, skip={INVENTORY})

    outcomes = {check.what: check.outcome for check in builder.build().checks}
    assert outcomes == {
        "same": "verified",
        "changed": "altered",
        "gone": "missing",
        "folder/added": "altered",
    }
    assert INVENTORY not in folder_digests(tmp_path)


def test_what_is_no_inventory_is_told() -> None:
    with pytest.raises(SnapshotError, match="cannot be read"):
        read_inventory(b"[1]")


def test_the_page_says_first_what_is_wrong_and_escapes_what_it_shows() -> None:
    builder = LinkBuilder("request")
    builder.fact("purpose", "<script>alert(1)</script>")
    builder.fail("request.yaml", "<b>file</b>", outcome="altered", expected="aa", found="bb")

    page = render_audit(report(link("aa"), builder.build()))

    assert page.index("Something was altered") < page.index('id="data"')
    assert "<script" not in page
    assert "<b>file" not in page
    assert "&lt;b&gt;file" in page
    assert page == render_audit(report(link("aa"), builder.build()))


def test_the_page_of_a_whole_chain_says_so() -> None:
    page = render_audit(report(link("aa"), Link(name="lock", notes=("No lock was recorded.",))))

    assert "Nothing was altered" in page
    assert "1 of 1" in page
    assert "No lock was recorded." in page


def test_the_badge_of_a_link_says_how_it_stands() -> None:
    assert link_state(link("aa")) == ("1 verified", "good")
    assert link_state(link("bb", None)) == ("altered and missing", "bad")
    assert link_state(Link(name="history")) == ("nothing to verify", "")
