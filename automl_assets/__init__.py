"""From a request file to a registered model, as Dagster assets."""

__version__ = "0.1.0"
