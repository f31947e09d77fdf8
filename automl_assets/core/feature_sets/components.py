"""Principal components instead of numeric features."""

import base64
from collections.abc import Sequence

import numpy as np

from automl_assets.core.errors import RequestError
from automl_assets.core.families import Encoded
from automl_assets.core.feature_sets.transform import FeatureTransform, Projection

KEPT_VARIANCE = 0.95
"""Share of the variance of standardised features that the components keep."""

MAX_COMPONENTS = 256
"""Components at most, whatever share they keep: each costs as much as a feature in every fit."""

_MAX_EXACT = 1_000
"""Features up to which all components are computed; it takes the cube of their number."""


def fit_components(
    rows: Encoded, positions: Sequence[int], *, seed: int
) -> tuple[FeatureTransform, str]:
    """Learn components of numeric features from a sample.

    Missing values become the median and every feature is standardised. A feature of one value
    stays as it is, as do the categorical ones.

    Args:
        rows: A sample in memory.
        positions: Features that the set may read.
        seed: Of the approximation that is used above a thousand features.

    Returns:
        The transform, and a sentence that says what it keeps.

    Raises:
        RequestError: Fewer than two numeric features vary.
    """
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    mixed, fill, X = _imputed(rows, positions)
    if len(mixed) < 2:
        raise RequestError(
            "Principal components need two numeric features that vary, but the train part has "
            f"{len(mixed)}. Set model.preprocessing.redundancy to correlation or none."
        )
    center, scale = X.mean(axis=0), X.std(axis=0)
    X -= center
    X /= scale
    if len(mixed) <= _MAX_EXACT:
        pca = PCA(svd_solver="covariance_eigh", copy=False)
    else:
        n = min(MAX_COMPONENTS, len(X) - 1)
        pca = PCA(n, svd_solver="randomized", copy=False, random_state=seed)
    # The order of adding, and with it the last digit, depends on the number of threads.
    with threadpool_limits(1, user_api="blas"):
        pca.fit(X)
    shares = np.cumsum(pca.explained_variance_ratio_)
    n_components = min(MAX_COMPONENTS, int(np.searchsorted(shares, KEPT_VARIANCE)) + 1, len(shares))
    loadings = pca.components_[:n_components].astype("<f4")
    projection = Projection(
        positions=tuple(mixed),
        fill=tuple(fill.tolist()),
        center=tuple(center.tolist()),
        scale=tuple(scale.tolist()),
        n_components=n_components,
        components=base64.b64encode(loadings.tobytes()).decode(),
    )
    stay = sorted(set(positions) - set(mixed))
    transform = FeatureTransform(
        n_features=len(rows.n_levels),
        kept=tuple(stay),
        kept_levels=tuple(rows.n_levels[position] for position in stay),
        projection=projection,
    )
    detail = (
        f"{n_components} principal components of {len(mixed)} numeric features keep "
        f"{shares[n_components - 1]:.1%} of their variance; {len(stay)} other features stay."
    )
    return transform, detail


def _imputed(rows: Encoded, positions: Sequence[int]) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Return the numeric features that vary, their medians, and their values, float64."""
    mixed, fill, columns = [], [], []
    for position in sorted(positions):
        column = rows.X[:, position].astype(np.float64)
        missing = np.isnan(column)
        if rows.n_levels[position] or missing.all():
            continue
        median = float(np.median(column[~missing]))
        column[missing] = median
        if column.std() > 0:
            mixed.append(position)
            fill.append(median)
            columns.append(column)
    X = np.stack(columns, axis=1) if columns else np.empty((len(rows.X), 0))
    return mixed, np.array(fill), X
