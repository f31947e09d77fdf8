"""How a matrix of all features becomes the matrix that one model sees."""

import base64
from collections.abc import Iterable
from functools import cached_property

import numpy as np
from pydantic import Field, model_validator

from automl_assets.core.encoding import Preprocessing
from automl_assets.core.errors import RequestError, SnapshotError
from automl_assets.core.families import Encoded, Structure
from automl_assets.core.values import Value

ALL = "all"
"""Name of the set of all features."""

_BLOCK_VALUES = 2**21
"""Values that are standardised at once: 16 MB."""


class Projection(Value):
    """Numeric features, imputed and standardised, projected on principal components.

    Attributes:
        positions: The features, by position in the matrix.
        fill: What stands for a missing value of each: its median.
        center, scale: Mean and standard deviation of each, after imputing.
        components: Base64 of float32, little-endian, `(n_components, n_positions)`.
    """

    positions: tuple[int, ...] = Field(min_length=1)
    fill: tuple[float, ...]
    center: tuple[float, ...]
    scale: tuple[float, ...]
    n_components: int = Field(ge=1)
    components: str = Field(repr=False)

    @model_validator(mode="after")
    def _fits(self) -> "Projection":
        n = len(self.positions)
        n_bytes = len(base64.b64decode(self.components, validate=True))
        if {len(self.fill), len(self.center), len(self.scale)} != {n}:
            raise ValueError(f"fill, center and scale need a number for each of {n} features")
        if n_bytes != 4 * n * self.n_components:
            raise ValueError(
                f"{self.n_components} components of {n} features take "
                f"{4 * n * self.n_components} bytes, but there are {n_bytes}"
            )
        if not all(scale > 0 for scale in self.scale):
            raise ValueError("every scale must be above 0")
        return self

    @cached_property
    def _numbers(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Positions, fills, and the matrix that a standardised row is multiplied with."""
        flat = np.frombuffer(base64.b64decode(self.components), "<f4")
        loadings = flat.reshape(self.n_components, -1).astype(np.float64)
        # (x - center) / scale @ loadings.T, with the division done once.
        weights = (loadings / np.array(self.scale)).T
        return np.array(self.positions, np.intp), np.array(self.fill), weights

    def write(self, X: np.ndarray, out: np.ndarray) -> None:
        """Write the components of some rows into `out`, `(n_rows, n_components)`.

        In double precision, so that a row has the same components alone and among others.
        """
        positions, fill, weights = self._numbers
        center = np.array(self.center)
        limit = np.finfo(np.float32).max
        step = max(1, _BLOCK_VALUES // len(positions))
        for start in range(0, len(X), step):
            # Taken from the transposed matrix, whose features are contiguous.
            block = X[start : start + step].T[positions].astype(np.float64)
            block = np.where(np.isnan(block), fill[:, None], block) - center[:, None]
            out[start : start + step] = np.clip(block.T @ weights, -limit, limit)


class FeatureTransform(Value):
    """Chosen features of a matrix as they are, then components of others.

    Attributes:
        n_features: Features of the matrix that it reads.
        kept: Positions of the features that stay as they are, ascending.
        kept_levels: For each of them the number of codes if it is categorical, else 0.
        projection: What the others become; None: they are left out.
    """

    n_features: int = Field(ge=1)
    kept: tuple[int, ...]
    kept_levels: tuple[int, ...]
    projection: Projection | None = None

    @model_validator(mode="after")
    def _positions_exist(self) -> "FeatureTransform":
        read = self.positions
        if not read:
            raise ValueError("a feature set needs at least one feature")
        if len(set(read)) != len(read) or list(self.kept) != sorted(self.kept):
            raise ValueError("a feature may be read once, and those that stay keep their order")
        if min(read) < 0 or max(read) >= self.n_features:
            wrong = next(position for position in read if not 0 <= position < self.n_features)
            raise ValueError(f"position {wrong} is not one of {self.n_features} features")
        if len(self.kept_levels) != len(self.kept):
            raise ValueError(f"{len(self.kept)} features need as many numbers of levels")
        return self

    @classmethod
    def choosing(cls, positions: Iterable[int], n_levels: tuple[int, ...]) -> "FeatureTransform":
        """Return the transform that keeps some features and drops the others.

        Args:
            positions: In any order.
            n_levels: Of all features, as in `Encoded`.
        """
        kept = tuple(sorted(positions))
        return cls(
            n_features=len(n_levels),
            kept=kept,
            kept_levels=tuple(n_levels[position] for position in kept),
        )

    @property
    def positions(self) -> tuple[int, ...]:
        """Every feature that it reads."""
        return self.kept + (self.projection.positions if self.projection else ())

    @property
    def n_outputs(self) -> int:
        """Features that the model sees."""
        return len(self.n_levels)

    @property
    def n_levels(self) -> tuple[int, ...]:
        """As in `Encoded`, of the features that the model sees."""
        return self.kept_levels + (0,) * (self.projection.n_components if self.projection else 0)

    @property
    def is_identity(self) -> bool:
        """Whether the model sees every feature as it is."""
        return self.projection is None and len(self.kept) == self.n_features

    @cached_property
    def _kept(self) -> np.ndarray:
        return np.array(self.kept, np.intp)

    def apply(self, X: np.ndarray) -> np.ndarray:
        """Return the matrix `(n_rows, n_outputs)` that the model sees, float32, column-major.

        Only what it reads is touched: of a memory-mapped matrix the other columns stay on disk.

        Args:
            X: Matrix `(n_rows, n_features)`; where nothing changes, it comes back itself.

        Raises:
            SnapshotError: The matrix has another number of features.
        """
        self._check(X.shape[1])
        if self.is_identity and X.dtype == np.float32 and X.flags.f_contiguous:
            return X
        out = np.empty((len(X), self.n_outputs), np.float32, order="F")
        n_kept = len(self.kept)
        # In a long matrix a copy of one column at a time is the fastest and needs no other
        # memory; in a short and wide one the loop itself would cost more than the copy.
        if len(X) < n_kept:
            out[:, :n_kept] = X[:, self._kept]
        else:
            for place, position in enumerate(self.kept):
                out[:, place] = X[:, position]
        if self.projection:
            self.projection.write(X, out[:, n_kept:])
        return out

    def encoded(self, part: Encoded) -> Encoded:
        """Return the rows of a part as the model sees them.

        Raises:
            SnapshotError: The part has other features.
        """
        self._check(len(part.n_levels))
        return Encoded(X=self.apply(part.X), y=part.y, n_levels=self.n_levels)

    def structure(self, structure: Structure) -> Structure:
        """Return limits of a model's shape, as they are for what the model sees.

        A feature that is left out needs no limit.

        Raises:
            RequestError: A component would mix a feature that has a limit of its own.
        """
        if structure.monotonic:
            self._check(len(structure.monotonic))
        return Structure(
            monotonic=self._monotonic(structure.monotonic),
            interactions=self._interactions(structure.interactions),
            max_depth=structure.max_depth,
            max_leaves=structure.max_leaves,
            max_trees=structure.max_trees,
        )

    def _monotonic(self, bound: tuple[int, ...]) -> tuple[int, ...]:
        if not any(bound):
            return ()
        mixed = [p for p in self.projection.positions if bound[p]] if self.projection else []
        if mixed:
            raise RequestError(
                "Principal components mix features, so none of these may have a direction of its "
                f"own, but {len(mixed)} of {len(bound)} numeric features have one. Remove "
                "model.monotonic, or set model.preprocessing.redundancy to correlation."
            )
        directions = tuple(bound[position] for position in self.kept)
        n_components = self.n_outputs - len(directions)
        return directions + (0,) * n_components if any(directions) else ()

    def _interactions(self, sets: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
        if not sets:
            return ()
        mixed = set(self.projection.positions) if self.projection else set()
        place = {position: number for number, position in enumerate(self.kept)}
        components = tuple(range(len(self.kept), self.n_outputs))
        found = []
        for together in sets:
            own = tuple(place[position] for position in together if position in place)
            # A component brings all its features along.
            found.append(own + components if mixed and mixed <= set(together) else own)
        if mixed and not any(mixed <= set(together) for together in sets):
            raise RequestError(
                "Principal components mix all numeric features, but by model.interactions not all "
                f"{len(mixed)} of them may act together. Remove model.interactions, or set "
                "model.preprocessing.redundancy to correlation."
            )
        left = tuple(dict.fromkeys(own for own in found if own))
        # No set at all would say that every feature may act with every other.
        return left or tuple((number,) for number in range(self.n_outputs))

    def _check(self, n_features: int) -> None:
        if n_features != self.n_features:
            raise SnapshotError(
                f"This feature set reads a matrix of {self.n_features:,} features, but the matrix "
                f"has {n_features:,}. They come from different runs: run the request again."
            )


class FeatureSet(Value):
    """A transform that the search may choose by its name.

    Attributes:
        detail: A sentence that says what was done.
    """

    name: str = Field(pattern="^[a-z][a-z_]{0,39}$")
    transform: FeatureTransform
    detail: str


def raw_columns(transform: FeatureTransform, preprocessing: Preprocessing) -> tuple[str, ...]:
    """Return the raw columns that a model behind the transform reads, in table order.

    Raises:
        SnapshotError: The transform was made for another preprocessing.
    """
    names = [column.name for column in preprocessing.columns for _ in column.feature_names]
    transform._check(len(names))
    read = set(transform.positions)
    return tuple(dict.fromkeys(name for place, name in enumerate(names) if place in read))


def n_raw_columns(transform: FeatureTransform, preprocessing: Preprocessing) -> int:
    """Return the number of raw columns that a model behind the transform reads."""
    return len(raw_columns(transform, preprocessing))
