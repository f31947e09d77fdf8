"""Semantic versions: what is MAJOR, MINOR and PATCH, and what is told about it."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_assets.core.versioning import (
    Bump,
    Predecessor,
    VersionFacts,
    base_of,
    decide_version,
)

BINARY: dict[str, Any] = {
    "columns": {"age": "Int64", "plan": "String"},
    "target": "churned",
    "task_type": "binary",
    "classes": ("no", "yes"),
    "decision": "the most probable class",
    "data_commit": "8f2c1d0e" + "0" * 56,
    "data_sha256": "a" * 64,
    "features": ("age", "plan"),
    "family": "catboost",
}


def facts(**changes: Any) -> VersionFacts:
    return VersionFacts(**{**BINARY, **changes})


def after(semver: str, old: VersionFacts | None, new: VersionFacts, bump: Bump = "auto") -> str:
    previous = Predecessor(version="11", semver=semver, facts=old)
    return base_of(decide_version(previous, new, bump).semver)


def reason(**changes: Any) -> str:
    previous = Predecessor(version="11", semver="3.1.4+data.8f2c1d0e", facts=facts())
    return decide_version(previous, facts(**changes)).reason


def test_the_first_version_names_the_commit_of_its_data() -> None:
    decision = decide_version(None, facts())

    assert (decision.semver, decision.reason) == ("1.0.0+data.8f2c1d0e", "first version")


def test_a_version_after_one_without_a_semantic_number_is_the_first() -> None:
    previous = Predecessor(version="11", semver="", facts=None)

    assert base_of(decide_version(previous, facts()).semver) == "1.0.0"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"columns": {"age": "Int64"}}, "major since version 11: without columns 'plan'"),
        (
            {"columns": {"age": "Float64", "plan": "String"}},
            "major since version 11: types of 1 columns: 'age' is Float64, was Int64",
        ),
        ({"target": "left"}, "major since version 11: target 'left', was 'churned'"),
        (
            {"task_type": "multiclass", "classes": ("maybe", "no", "yes")},
            "major since version 11: multiclass task, was binary; "
            "classes 'maybe', 'no', 'yes', were 'no', 'yes'",
        ),
        (
            {"classes": ("yes", "no")},
            "major since version 11: classes in another order: 'no' is last, was 'yes'",
        ),
        (
            {"decision": "a threshold on the probability of 'yes'"},
            "major since version 11: decides by a threshold on the probability of 'yes', "
            "was the most probable class",
        ),
    ],
)
def test_what_a_caller_must_know_is_a_major_version(changes: dict[str, Any], expected: str) -> None:
    assert reason(**changes) == expected
    assert after("3.1.4+data.8f2c1d0e", facts(), facts(**changes)) == "4.0.0"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"data_commit": "4c1f2a90" + "0" * 56, "data_sha256": "b" * 64},
            "new data, commit 4c1f2a90, was 8f2c1d0e",
        ),
        (
            {"features": ("age", "plan", "plan (target)")},
            "other features, 3 of them, were 2",
        ),
        ({"feature_sets": ("pca",)}, "feature sets 'pca', were 'all'"),
        ({"family": "lightgbm"}, "lightgbm, was catboost"),
        ({"calibration": "isotonic"}, "calibration isotonic, was none"),
    ],
)
def test_another_model_to_the_same_callers_is_a_minor_version(
    changes: dict[str, Any], expected: str
) -> None:
    assert reason(**changes) == f"minor since version 11: {expected}"
    assert after("3.1.4+data.8f2c1d0e", facts(), facts(**changes)) == "3.2.0"


def test_a_refit_is_a_patch() -> None:
    assert after("3.1.4+data.8f2c1d0e", facts(), facts()) == "3.1.5"
    assert reason() == "patch since version 11: fitted again on the same data"


def test_the_same_data_under_another_commit_is_a_patch_with_that_commit() -> None:
    previous = Predecessor(version="11", semver="3.1.4+data.8f2c1d0e", facts=facts())

    decision = decide_version(previous, facts(data_commit="4c1f2a90" + "0" * 56))

    assert decision.semver == "3.1.5+data.4c1f2a90"


def test_a_version_that_cannot_be_compared_with_is_followed_by_a_major_one() -> None:
    assert after("3.1.4+data.8f2c1d0e", None, facts()) == "4.0.0"


@pytest.mark.parametrize(("bump", "expected"), [("major", "4.0.0"), ("minor", "3.2.0")])
def test_the_request_may_ask_for_more(bump: Bump, expected: str) -> None:
    assert after("3.1.4+data.8f2c1d0e", facts(), facts(), bump) == expected


def test_a_request_that_asks_for_less_is_told_what_it_would_have_been() -> None:
    previous = Predecessor(version="11", semver="3.1.4+data.8f2c1d0e", facts=facts())

    decision = decide_version(previous, facts(target="left"), "patch")

    assert decision.semver == "3.1.5+data.8f2c1d0e"
    assert decision.reason == (
        "patch, as the request asks (version.bump); it would be "
        "major since version 11: target 'left', was 'churned'"
    )


def test_many_columns_are_counted_and_a_few_named() -> None:
    many = {f"c{i}": "Int64" for i in range(9)}

    assert "new columns 'c0', 'c1', 'c2', 'c3', 'c4' and 4 more; " in reason(columns=many)


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "columns": st.dictionaries(st.text(max_size=3), st.sampled_from(["Int64", "String"])),
        "target": st.text(max_size=3),
        "classes": st.permutations(["no", "yes"]).map(tuple),
        "data_sha256": st.sampled_from(["a" * 64, "b" * 64]),
        "family": st.sampled_from(["catboost", "linear"]),
    },
)


@given(steps=st.lists(st.tuples(CHANGES, st.sampled_from(get_args(Bump))), max_size=8))
def test_every_version_is_higher_than_the_one_before(steps: list[tuple[Any, Bump]]) -> None:
    old, semver, seen = facts(), "1.0.0+data.8f2c1d0e", [(1, 0, 0)]
    for changes, bump in steps:
        new = facts(**changes)
        previous = Predecessor(version=str(len(seen)), semver=semver, facts=old)
        old, semver = new, decide_version(previous, new, bump).semver
        seen.append(tuple(map(int, base_of(semver).split("."))))  # type: ignore[arg-type]

    assert seen == sorted(set(seen))


def test_equal_facts_have_equal_digests_and_others_do_not() -> None:
    assert facts().sha256 == facts(columns=dict(reversed(BINARY["columns"].items()))).sha256
    assert facts().sha256 != facts(target="left").sha256
