"""Versions of code change with what code does, and with nothing else."""

import pytest

from automl_assets.core.code_version import code_version, source_digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def f():\n    return 1", "def f():\n    '''Say one.'''\n    return 1  # the first"),
        ("x = (1 +\n     2)", "x = 1 + 2"),
    ],
)
def test_comments_docstrings_and_layout_do_not_count(one: str, other: str) -> None:
    assert source_digest(one) == source_digest(other)


def test_a_changed_constant_counts() -> None:
    assert source_digest("MIN = 2") != source_digest("MIN = 3")


def test_a_package_counts_with_all_its_modules() -> None:
    assert code_version("automl_assets.core.families") != code_version(
        "automl_assets.core.families.linear"
    )


def test_a_module_that_is_not_there_is_named() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"automl_assets\.core\.nothing"):
        code_version("automl_assets.core.nothing")
