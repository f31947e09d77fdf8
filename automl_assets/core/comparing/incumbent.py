"""The version that is in use, with what is needed to compare a new one with it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from automl_assets.core.comparing.rows import mark_seen, same_rows
from automl_assets.core.errors import RequestError
from automl_assets.core.evaluation.examination import Rival
from automl_assets.core.ports import ModelRegistry, SnapshotStore
from automl_assets.core.predictor import Predictor, load_predictor
from automl_assets.core.registered import registered_card
from automl_assets.core.values import DataSnapshot, ModelVersion, Split

CHAMPION = "champion"


@dataclass(frozen=True, kw_only=True)
class Incumbent:
    """A registered version, and the rows it was made from."""

    version: ModelVersion
    predictor: Predictor
    snapshot: DataSnapshot
    split: Split

    def as_rival(
        self, frame: pl.DataFrame, snapshot: DataSnapshot, split: Split, store: SnapshotStore
    ) -> Rival:
        """Return it as a rival on some rows of the analysis part of another split.

        Args:
            frame: The rows, raw.
            snapshot: The data that they are of.
            split: Whose analysis part they are of.
        """
        seen: np.ndarray | None = None
        if not same_rows(snapshot, split, self.snapshot, self.split):
            seen = mark_seen(frame, self.snapshot, self.split, store)
        return Rival(
            name=self.version.name,
            version=self.version.version,
            predictor=self.predictor,
            data_uri=self.snapshot.uri,
            seen=seen,
        )


def find_incumbent(registry: ModelRegistry, name: str, request_id: str) -> Incumbent | None:
    """Return the champion of a model name; None where there is none, or it is this request's own.

    Raises:
        SnapshotError: Its files are not those that were registered.
        ServiceError: The registry does not answer.
    """
    try:
        version, folder = registry.fetch(name, CHAMPION)
    except RequestError:
        return None
    if version.tags.get("automl.request_id") == request_id:
        return None
    card = read_card(registry, version)
    return Incumbent(
        version=version,
        predictor=load_predictor(folder, sha256=version.artifact_sha256),
        snapshot=DataSnapshot.model_validate(card["data"]),
        split=Split.model_validate(card["split"]),
    )


def read_card(registry: ModelRegistry, version: ModelVersion) -> dict[str, Any]:
    """Return the card that was registered with a version, once its digest is verified.

    Raises:
        SnapshotError: It is gone, or not what was registered.
        ServiceError: The registry does not answer.
    """
    with registry.inspect(version) as record:
        return registered_card(record, version, ())
