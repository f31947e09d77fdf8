"""The links about the code and what it ran on: compared with the card, and with what is here."""

from collections.abc import Callable

from automl_assets.core.audit.evidence import Evidence
from automl_assets.core.audit.result import Link, LinkBuilder
from automl_assets.core.encoding import preprocessing_version

_CODE = ("code", "git_commit", "git_state", "preprocessing_version")
_LOCK = ("lock_sha256", "installed_sha256", "image")


def code_link(evidence: Evidence) -> Link:
    """Compare which code made the model, as the registry and the card have it."""
    return _origin_link("code", evidence, lambda name: name in _CODE)


def lock_link(evidence: Evidence) -> Link:
    """Compare which versions of libraries were locked and installed."""
    return _origin_link("lock", evidence, lambda name: name in _LOCK)


def environment_link(evidence: Evidence) -> Link:
    """Compare what the model was made on."""
    return _origin_link("environment", evidence, lambda name: name not in (*_CODE, *_LOCK))


def _origin_link(name: str, evidence: Evidence, belongs: Callable[[str], bool]) -> Link:
    link = LinkBuilder(name)
    recorded = {
        key.removeprefix("env."): value
        for key, value in sorted(evidence.version.tags.items())
        if key.startswith("env.") or key in (*_CODE, *_LOCK)
    }
    told = evidence.told("environment") or {}
    here = {**evidence.places.here, "preprocessing_version": preprocessing_version()}
    for key in sorted({*recorded, *told}):
        if not belongs(key):
            continue
        value = recorded.get(key, told.get(key))
        now = here.get(key)
        link.fact(key, f"{value} (here now: {now or 'unknown'})" if now != value else value)
        if key in told:
            where = f"tag env.{key} of {evidence.version.name} {evidence.version.version}"
            link.record(key, where, expected=told[key], found=recorded.get(key))
    if not any(belongs(key) for key in {*recorded, *told}):
        link.note(f"No {name} was recorded.")
    return link.build()
