"""Model families, one file each; a new file is a new family."""

from functools import cache

from automl_assets.core.families._base import (
    Choice,
    Contributions,
    DataShape,
    Dimension,
    Encoded,
    FitOptions,
    FittedModel,
    Integer,
    Limit,
    ModelFamily,
    Param,
    Params,
    Real,
    Structure,
)
from automl_assets.core.plugins import load_plugins

__all__ = [
    "Choice",
    "Contributions",
    "DataShape",
    "Dimension",
    "Encoded",
    "FitOptions",
    "FittedModel",
    "Integer",
    "Limit",
    "ModelFamily",
    "Param",
    "Params",
    "Real",
    "Structure",
    "load_families",
]


@cache
def load_families() -> dict[str, ModelFamily]:
    """Return all families by name."""
    return load_plugins(__name__, "FAMILY")
