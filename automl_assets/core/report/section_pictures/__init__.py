"""Pictures of an evaluation's sections, one file for each section that has some."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from automl_assets.core.plugins import load_plugins
from automl_assets.core.report.search_pictures import Picture


@dataclass(frozen=True, kw_only=True)
class SectionPictures:
    """Draws one section.

    Attributes:
        name: Of the section.
        pictures: Takes what the section found, and returns what is drawn of it.
    """

    name: str
    pictures: Callable[[Any], tuple[Picture, ...]]


@cache
def load_section_pictures() -> dict[str, SectionPictures]:
    """Return who draws a section, by the section's name."""
    return load_plugins(__name__, "PICTURES")
