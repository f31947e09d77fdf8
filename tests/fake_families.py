"""Model families that learn nothing: what spaces and requests look at, and no more."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from automl_assets.core import families
from automl_assets.core.families import (
    DataShape,
    Dimension,
    Encoded,
    FitOptions,
    FittedModel,
    ModelFamily,
    Params,
)
from automl_assets.core.search import space


class FakeFamily(ModelFamily):
    """A family with given declarations; its space is all its parameters."""

    summary = "a stand-in"
    requirements = ()

    def __init__(
        self,
        name: str,
        parameters: Mapping[str, Dimension],
        *,
        tasks: Iterable[Any] = ("binary", "multiclass", "regression"),
        honours: Iterable[Any] = (),
        interpretable: bool = False,
        gpu: bool = False,
        by_default: bool = True,
    ) -> None:
        self.name = name
        self.parameters = parameters  # pyright: ignore[reportAttributeAccessIssue]
        self.task_types = frozenset(tasks)
        self.honours = frozenset(honours)
        self.interpretable = interpretable
        self.gpu = gpu
        self.by_default = by_default

    def default_params(self) -> Params:
        """None."""
        return {}

    def space(self, shape: DataShape) -> dict[str, Dimension]:
        """All parameters."""
        return dict(self.parameters)

    def expected_seconds(self, shape: DataShape, params: Params) -> float:
        """A second."""
        return 1.0

    def fit(
        self, train: Encoded, validation: Encoded | None, params: Params, options: FitOptions
    ) -> FittedModel:
        """Not to be called."""
        raise NotImplementedError

    def load(self, folder: Path, options: dict[str, Any]) -> FittedModel:
        """Not to be called."""
        raise NotImplementedError


def use_families(monkeypatch: pytest.MonkeyPatch, *fakes: FakeFamily) -> None:
    """Let these be all the families there are."""
    known = {fake.name: fake for fake in sorted(fakes, key=lambda fake: fake.name)}
    monkeypatch.setattr(families, "load_families", lambda: known)
    monkeypatch.setattr(space, "load_families", lambda: known)
