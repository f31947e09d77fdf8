"""Where reproductions are kept, what the release log says of them, and whose turn it is."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from automl_assets.core.files import publish_text
from automl_assets.core.release import CHAMPION, ReleaseEvent
from automl_assets.core.reproduction.result import ReproductionReport, level_title
from automl_assets.core.reproduction.words import as_markdown
from automl_assets.core.values import ModelVersion

REPRODUCTIONS = "reproductions"
"""Folder of all reports, in the home."""


def keep_report(folder: Path, report: ReproductionReport) -> Path:
    """Write a report as JSON and Markdown; a version's reports lie side by side, named by time.

    Args:
        folder: Of all reproductions.

    Returns:
        The JSON file.
    """
    moment = report.at.replace(":", "").replace("+0000", "Z")
    own = folder / f"{report.name}@{report.version}"
    content = json.dumps(report.model_dump(mode="json"), sort_keys=True, indent=1)
    publish_text(own / f"{moment}.md", as_markdown(report))
    publish_text(own / f"{moment}.json", f"{content}\n")
    return own / f"{moment}.json"


def reproduced(report: ReproductionReport, version: ModelVersion, *, by: str) -> ReleaseEvent:
    """Return the event that a version was made again, or could not be.

    Args:
        by: Who asked for it.
    """
    return ReleaseEvent(
        kind="reproduced",
        name=report.name,
        version=report.version,
        semver=version.semver,
        by=by,
        at=report.at,
        reason=f"{level_title(report.level)}. {report.sentence}",
        card_sha256=report.card_sha256,
        key=f"reproduced {report.version} {report.at}",
    )


def champion_of_the_day(versions: Iterable[ModelVersion], day: str) -> ModelVersion | None:
    """Choose one champion at random, with the day as the seed.

    The same day gives the same one; a model that is added or goes changes the choice only
    where it is the one chosen (highest random weight: Thaler and Ravishankar, 1998).

    Args:
        versions: All versions; those without the alias are passed over.
        day: ISO date.
    """

    def weight(version: ModelVersion) -> str:
        drawn = f"{day}/{version.name}@{version.version}"
        return hashlib.sha256(drawn.encode()).hexdigest()

    champions = (version for version in versions if CHAMPION in version.aliases)
    return max(champions, key=weight, default=None)
