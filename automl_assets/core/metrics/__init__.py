"""Metrics, one file each; a new file is a new metric."""

from functools import cache
from types import MappingProxyType

from automl_assets.core.metrics._base import Metric
from automl_assets.core.plugins import load_plugins

__all__ = ["DEFAULT_METRIC", "Metric", "load_metrics"]

DEFAULT_METRIC = MappingProxyType(
    {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}
)


@cache
def load_metrics() -> dict[str, Metric]:
    """Return all metrics by name."""
    return load_plugins(__name__, "METRIC")
