"""Sections of an evaluation, one file each; a new file is a new section."""

from functools import cache

from automl_assets.core.evaluation.examination import Section
from automl_assets.core.plugins import load_plugins


@cache
def load_sections() -> dict[str, Section]:
    """Return all sections by name, in the order in which they are shown."""
    found = load_plugins(__name__, "SECTION")
    return dict(sorted(found.items(), key=lambda item: item[1].position))
