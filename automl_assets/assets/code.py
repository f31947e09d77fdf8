"""Which code each asset depends on; a change of it makes what was made before stale.

Code that every step shares (values, ports, errors, plugins, durable writes) and
code that only decides when a request is made, or who uses a model, are left out.
"""

from automl_assets.core.code_version import code_version
from automl_assets.core.encoding import preprocessing_version


def _core(*names: str) -> tuple[str, ...]:
    return tuple(f"automl_assets.core.{name}" for name in names)


MODULES = {
    "training_request": _core("request", "predicate"),
    "data_snapshot": (
        *_core("ingest", "rows", "profile", "leakage", "contract", "acceptance"),
        "resources.formats",
        "resources.sources",
    ),
    "splits": _core("splits", "prepare", "matrix", "encoding", "leakage", "separation"),
    "candidate_models": _core(
        *("search", "families", "metrics", "package", "feature_sets"),
        *("pages", "row_copies", "ensemble", "composite", "calibration", "threshold"),
    ),
    "evaluation_report": _core(
        *("evaluation", "metrics", "report", "predictor", "judgement"),
        *("examined_rows", "comparing"),
        *("composite", "calibration", "threshold", "feature_sets", "families"),
    ),
    "registered_model": (
        *_core("registration", "probe", "versioning", "inventory"),
        "automl_assets.serving",
        "resources.mlflow_model",
    ),
    "reproduction_report": _core("reproduction"),
}

SHARED = _core(
    *("code_version", "errors", "files", "idle_memory", "inbox", "intake", "plugins", "ports"),
    *("retraining", "staging", "values"),
    # What people do with a version that is registered; no asset is made of it.
    *("approval", "promotion", "registered", "release", "audit", "prediction_log"),
)


def version_of(asset: str) -> str:
    """Return the code version of an asset."""
    version = code_version(*MODULES[asset])
    if asset == "splits":
        # A change of the preprocessing can be told from other changes.
        return f"{version}-{preprocessing_version()}"
    return version
