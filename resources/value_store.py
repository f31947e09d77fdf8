"""Stores the values that flow between assets, as JSON files for people and programs."""

import re
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg

from automl_assets.core.errors import RequestError
from automl_assets.core.files import publish_text
from automl_assets.core.ports import EarlierSearches
from automl_assets.core.values import CandidateSet, Value

AnyValue = TypeVar("AnyValue", bound=Value)

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


class JsonValueStore(dg.ConfigurableIOManager, EarlierSearches):
    """Keeps each asset's value of each request in `<folder>/<asset>/<request id>.json`.

    It takes values of `core.values` and nothing else: a table, a model or a
    plain dictionary between assets is a mistake, and pickle is never the way out.
    """

    folder: str

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write the value of an asset; the file is whole or untouched."""
        asset = context.asset_key.to_user_string()
        if not isinstance(obj, Value):
            raise TypeError(
                f"Assets hand on values of automl_assets.core.values; asset {asset!r} returned "
                f"a {type(obj).__name__}. Store tables and models elsewhere and return a value "
                "that names them."
            )
        path = self._path(asset, context.asset_partition_key)
        publish_text(path, obj.model_dump_json(indent=2) + "\n")
        context.add_output_metadata({"value": dg.MetadataValue.path(str(path))})

    def load_input(self, context: dg.InputContext) -> Any:
        """Read the value of an upstream asset as the type that the input is annotated with."""
        asset = context.asset_key.to_user_string()
        wanted = context.dagster_type.typing_type
        if not (isinstance(wanted, type) and issubclass(wanted, Value)):
            raise TypeError(
                f"Inputs are annotated with a value of automl_assets.core.values; the input for "
                f"asset {asset!r} is annotated with {wanted!r}."
            )
        request_id = context.asset_partition_key
        value = self.read(asset, request_id, wanted)
        if value is None:
            raise FileNotFoundError(
                f"Asset {asset!r} has no value for request {request_id!r}: "
                f"{self._path(asset, request_id)} is missing. Materialize the asset first."
            )
        return value

    def read(self, asset: str, request_id: str, value_type: type[AnyValue]) -> AnyValue | None:
        """Return the value of an asset for a request, or None if it has not been made.

        Raises:
            RequestError: The name cannot be a request id.
        """
        path = self._path(asset, request_id)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        return value_type.model_validate_json(text)

    def candidates(self, request_id: str) -> CandidateSet | None:
        """Return what the search of a request found; None if it found nothing yet."""
        return self.read("candidate_models", request_id, CandidateSet)

    def _path(self, asset: str, request_id: str) -> Path:
        for name in (asset, request_id):
            if SAFE_NAME.fullmatch(name) is None:
                raise RequestError(
                    "Names of assets and requests are letters, digits and . _ -, beginning with "
                    f"a letter or digit; found {name!r}. Check the request id."
                )
        return Path(self.folder) / asset / f"{request_id}.json"
