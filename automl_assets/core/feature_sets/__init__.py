"""Feature sets: which features of the matrix a model sees, and what they are turned into.

A set is one more hyperparameter of the search. It is learned on the train part (its ranking
is judged on the validation part), kept as JSON, and applied by the same code in the search
and in serving.

    all           every feature of the matrix
    top           the strongest raw columns, as many as `constraints.max_features` allows
    uncorrelated  without features that say what a stronger one says
    pca           principal components instead of numeric features
    selected      without raw columns that tell no more than columns of noise
    strongest     only raw columns that surely tell something
"""

from automl_assets.core.feature_sets.files import read_feature_set, write_feature_sets
from automl_assets.core.feature_sets.make import make_feature_sets
from automl_assets.core.feature_sets.transform import (
    ALL,
    FeatureSet,
    FeatureTransform,
    Projection,
    n_raw_columns,
    raw_columns,
)

__all__ = [
    "ALL",
    "FeatureSet",
    "FeatureTransform",
    "Projection",
    "make_feature_sets",
    "n_raw_columns",
    "raw_columns",
    "read_feature_set",
    "write_feature_sets",
]
