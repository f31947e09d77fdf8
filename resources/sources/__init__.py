"""Where rows come from; each module defines one `SOURCE`."""

from automl_assets.core.plugins import load_plugins
from resources.sources._base import Access, Source, Wanted

__all__ = ["Access", "Source", "Wanted", "load_sources"]


def load_sources() -> dict[str, Source]:
    """Return all sources by name."""
    return load_plugins("resources.sources", "SOURCE")
