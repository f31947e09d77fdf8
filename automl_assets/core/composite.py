"""Several fitted models as one: the weighted mean of what they predict.

    composite.json    members in order: family, weight, feature transform
    <i>/              the files of member i, in its family's own format

A single member without a transform needs none of this: it is saved as itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from automl_assets.core.errors import SearchError
from automl_assets.core.families import FittedModel, load_families
from automl_assets.core.feature_sets import FeatureTransform
from automl_assets.core.values import Value

COMPOSITE = "composite.json"


@dataclass(frozen=True)
class CompositeMember:
    """A fitted model and its share.

    Attributes:
        weight: Above zero; those of all members sum to one.
        transform: From the matrix that all see to the one that this model was
            fitted on; None where that is the same.
    """

    family: str
    model: FittedModel
    weight: float
    transform: FeatureTransform | None = None


class _SavedMember(Value):
    family: str
    weight: float
    transform: FeatureTransform | None = None


class _SavedComposite(Value):
    format: str = "automl/composite/v1"
    members: tuple[_SavedMember, ...]


_Groups = list[tuple[FeatureTransform | None, list[CompositeMember]]]


def _by_transform(members: Sequence[CompositeMember]) -> _Groups:
    groups: dict[str, tuple[FeatureTransform | None, list[CompositeMember]]] = {}
    for member in members:
        # By their JSON: a used transform keeps arrays, which cannot be compared.
        key = member.transform.model_dump_json() if member.transform else ""
        groups.setdefault(key, (member.transform, []))[1].append(member)
    return list(groups.values())


class CompositeModel(FittedModel):
    """The weighted mean of its members' predictions.

    Every member predicts once, and every transform is applied once, however many
    members share it; without transforms no copy of the rows is made.

    Args:
        members: At least one, none of them such a mean itself.

    Raises:
        SearchError: There is none, their weights are no shares of a whole, or one of
            them is such a mean.
    """

    def __init__(self, members: Sequence[CompositeMember]) -> None:
        total = sum(member.weight for member in members)
        if not members or min(member.weight for member in members) <= 0 or abs(total - 1) > 1e-6:
            raise SearchError(
                "The weights of an ensemble's members must be above 0 and sum to 1, but they are "
                f"{[member.weight for member in members]!r}. Divide them by their sum."
            )
        if any(isinstance(member.model, CompositeModel) for member in members):
            raise SearchError(
                "The members of an ensemble must be models of one family each, but one of "
                f"{len(members)} is an ensemble. Name its members instead."
            )
        self.members = tuple(members)
        self._groups = _by_transform(self.members)
        steps = [member.model.n_iterations for member in self.members]
        known = [n for n in steps if n is not None]
        self.n_iterations = sum(known) if known else None

    @property
    def families(self) -> tuple[str, ...]:
        """Families of the members, each once, in order."""
        return tuple(dict.fromkeys(member.family for member in self.members))

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the weighted mean of probabilities `(n_samples, n_classes)`, or of values."""
        total: np.ndarray | float = 0.0
        for transform, members in self._groups:
            seen = X if transform is None else transform.apply(X)
            for member in members:
                total += np.multiply(member.model.predict(seen), member.weight, dtype=np.float64)
        return np.asarray(total)

    def save(self, folder: Path) -> None:
        """Write each member into a folder of its own, and the list of them."""
        for index, member in enumerate(self.members):
            (folder / str(index)).mkdir()
            member.model.save(folder / str(index))
        saved = _SavedComposite(
            members=tuple(
                _SavedMember(family=item.family, weight=item.weight, transform=item.transform)
                for item in self.members
            )
        )
        (folder / COMPOSITE).write_text(saved.model_dump_json())


def load_composite(folder: Path, options: dict[str, Any]) -> CompositeModel:
    """Read what `CompositeModel.save` wrote; the digests were verified before.

    Args:
        options: For each family's `load`: `task_type`, `n_classes`, `n_threads`.
    """
    saved = _SavedComposite.model_validate_json((folder / COMPOSITE).read_bytes())
    families = load_families()
    return CompositeModel(
        [
            CompositeMember(
                item.family,
                families[item.family].load(folder / str(index), options),
                item.weight,
                item.transform,
            )
            for index, item in enumerate(saved.members)
        ]
    )
