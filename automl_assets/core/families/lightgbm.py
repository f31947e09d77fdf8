"""LightGBM: histogram boosting that grows trees leaf by leaf."""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from automl_assets.core.families._base import (
    Choice,
    Contributions,
    DataShape,
    Dimension,
    Encoded,
    FitOptions,
    FittedModel,
    Integer,
    ModelFamily,
    Params,
    Real,
    Structure,
    thinned_curve,
)
from automl_assets.core.families._boosting import (
    best_round,
    draws_some,
    most_rounds,
    tree_contributions,
)

if TYPE_CHECKING:
    import lightgbm
    import numpy as np

_FILE, _PASSES_FILE = "model.txt", "passes.json"
_LEAVES_PER_PASS = 16_384
"""Trees of about 500 KB, which stay in a core's cache while all rows go through them.

LightGBM takes one row through all trees, and reads large models from memory for each row: 545
rounds of 3 trees with 95 leaves took 444 ms for 1,000 rows on a busy machine, in passes 115 ms;
327 rounds with 24 leaves 57 and 31 ms. A single row takes 0.05 ms longer for each pass."""
_MAX_ROUNDS = 3000
_PLAIN_ROUNDS = 100
_PATIENCE = 50
_MANY_ROWS = 5_000_000
_MOST_LEAVES, _ROWS_OF_MANY_LEAVES = 2048, 60
"""With many rows trees of up to so many leaves are searched, that hold so many rows on average."""
_BYTES_PER_HISTOGRAM, _BYTES_OF_MANY_LEAVES = 256 * 24, 512_000_000
"""Of one feature in one leaf, and of all: 300 features have no trees of more than 277 leaves."""
MAX_NATIVE_CODES = 256
"""Codes up to which a column is split by sets of its levels; above, by their order of frequency.

LightGBM's own advice for many levels ("Advanced Topics: Categorical Feature Support"). On flights
with 2,988 aircraft, 1 - ROC AUC fell from 0.175 to 0.094."""
_OBJECTIVES = {"binary": "binary", "multiclass": "multiclass", "regression": "regression"}
_LOSSES = {"binary": "binary_logloss", "multiclass": "multi_logloss", "regression": "rmse"}


class LightGBMModel(FittedModel):
    """A booster, cut at its best iteration.

    Args:
        iterations_per_pass: Iterations whose trees all rows go through before the next ones; 0:
            all at once. It is kept with the model, since sums in another order differ in their
            last bits.
    """

    def __init__(
        self,
        booster: "lightgbm.Booster",
        task_type: str,
        n_threads: int = 1,
        losses: list[float] | None = None,
        n_rounds: int | None = None,
        *,
        iterations_per_pass: int = 0,
    ) -> None:
        self._booster = booster
        self._iterations_per_pass = iterations_per_pass
        self._task_type = task_type
        self._n_threads = n_threads
        # A round in which nothing could be split has left no tree.
        n_trees = booster.num_trees() // max(1, booster.num_model_per_iteration())
        self.n_iterations = n_rounds or n_trees
        self.curve = thinned_curve(losses or [])

    def predict(self, X: "np.ndarray") -> "np.ndarray":
        """Return probabilities `(n_samples, n_classes)`, or values `(n_samples,)`."""
        import numpy as np

        found = self._in_passes(X) if self._iterations_per_pass else self._raw(X)
        return np.column_stack([1.0 - found, found]) if self._task_type == "binary" else found

    def _raw(self, X: "np.ndarray", **options: Any) -> "np.ndarray":
        import numpy as np

        return np.asarray(self._booster.predict(X, num_threads=self._n_threads, **options))

    def _in_passes(self, X: "np.ndarray") -> "np.ndarray":
        import numpy as np
        from scipy.special import expit, softmax

        # Once, not in each pass.
        X = np.ascontiguousarray(X)
        n, step = self._booster.current_iteration(), self._iterations_per_pass
        raw = self._raw(X, raw_score=True, start_iteration=0, num_iteration=step)
        for start in range(step, n, step):
            raw += self._raw(X, raw_score=True, start_iteration=start, num_iteration=step)
        if self._task_type == "binary":
            return expit(raw)
        return softmax(raw, axis=1) if self._task_type == "multiclass" else raw

    def contributions(self, X: "np.ndarray", *, background: "np.ndarray") -> Contributions:
        """Return LightGBM's own Shapley values, and its raw predictions."""
        return tree_contributions(self._raw(X, pred_contrib=True), self._raw(X, raw_score=True))

    def save(self, folder: Path) -> None:
        """Write LightGBM's text format, and how its trees are taken."""
        self._booster.save_model(folder / _FILE)
        passes = {"iterations_per_pass": self._iterations_per_pass}
        (folder / _PASSES_FILE).write_text(json.dumps(passes) + "\n")


class LightGBM(ModelFamily):
    """LightGBM with early stopping on the validation part.

    The ranges are those that worked in practice (docs/decisions/0005).
    """

    name = "lightgbm"
    task_types = frozenset({"binary", "multiclass", "regression"})
    summary = "gradient-boosted trees, leaf by leaf"
    requirements = ("lightgbm",)
    honours = frozenset({"monotonic", "interactions", "max_depth", "max_leaves", "max_trees"})
    parallel_share = 0.6
    parameters: ClassVar[Mapping[str, Dimension]] = {
        "n_estimators": Integer(low=1, high=100_000, log=True),
        "learning_rate": Real(low=1e-4, high=1.0, log=True),
        "num_leaves": Integer(low=2, high=4096, log=True),
        "max_depth": Integer(low=-1, high=64),
        "min_data_in_leaf": Integer(low=1, high=1_000_000, log=True),
        "min_sum_hessian_in_leaf": Real(low=0.0, high=1e4),
        "min_gain_to_split": Real(low=0.0, high=1e4),
        "feature_fraction": Real(low=0.01, high=1.0),
        "feature_fraction_bynode": Real(low=0.01, high=1.0),
        "bagging_fraction": Real(low=0.01, high=1.0),
        "bagging_freq": Integer(low=0, high=100),
        "lambda_l1": Real(low=0.0, high=1e4),
        "lambda_l2": Real(low=0.0, high=1e4),
        "path_smooth": Real(low=0.0, high=1e4),
        "extra_trees": Choice(values=(False, True)),
        "max_bin": Integer(low=2, high=65_535, log=True),
        "min_data_in_bin": Integer(low=1, high=1_000_000, log=True),
        "cat_smooth": Real(low=0.0, high=1e4),
        "cat_l2": Real(low=0.0, high=1e4),
        "max_cat_threshold": Integer(low=1, high=10_000, log=True),
        "max_cat_to_onehot": Integer(low=1, high=256, log=True),
        "min_data_per_group": Integer(low=1, high=1_000_000, log=True),
    }

    def default_params(self) -> Params:
        """LightGBM's own defaults; early stopping chooses the number of trees."""
        return {}

    def space(self, shape: DataShape) -> dict[str, Dimension]:
        """Return the learning rate, the shape of trees, sampling, penalties and smoothing."""
        # Leaves that would hold fewer than four rows on average are not worth a trial; more than
        # 256 are only where each would hold many rows.
        most_leaves = min(256, max(16, shape.n_rows // 4))
        held = _BYTES_OF_MANY_LEAVES // (_BYTES_PER_HISTOGRAM * max(1, shape.n_features))
        many = min(_MOST_LEAVES, shape.n_rows // _ROWS_OF_MANY_LEAVES, held)
        most_leaves = max(most_leaves, many)
        space: dict[str, Dimension] = {
            "learning_rate": Real(low=0.02, high=0.2, log=True),
            "num_leaves": Integer(low=8, high=most_leaves, log=True),
            "min_data_in_leaf": Integer(
                low=1, high=min(200, max(20, shape.n_rows // 20)), log=True
            ),
            "feature_fraction": Real(low=0.4, high=1.0),
            "bagging_fraction": Real(low=0.6, high=1.0),
            "lambda_l1": Real(low=1e-3, high=5.0, log=True),
            "lambda_l2": Real(low=1e-3, high=10.0, log=True),
            "extra_trees": Choice(values=(False, True)),
        }
        if shape.n_rows > _MANY_ROWS:
            space["max_bin"] = Choice(values=(63,))
        if any(1 < n <= MAX_NATIVE_CODES for n in shape.n_levels):
            space["cat_smooth"] = Real(low=1.0, high=100.0, log=True)
            space["cat_l2"] = Real(low=0.1, high=30.0, log=True)
        return space

    def fewest_trees(self, shape: DataShape) -> int:
        """One for each class."""
        return shape.n_outputs

    def is_random(self, params: Params) -> bool:
        """Rows, features or cuts are drawn where the hyperparameters say so."""
        return bool(params.get("extra_trees")) or draws_some(
            params, "feature_fraction", "feature_fraction_bynode", "bagging_fraction"
        )

    def expected_seconds(self, shape: DataShape, params: Params) -> float:
        """Return rounds x (histograms of the rows on each level + the search of each leaf).

        Constants: least squares over fits of 5,000 to 100,000 synthetic rows with 10 to 50
        features, 0 or 4 of them categories, and 2 or 6 classes, on one thread of about 3 GHz.
        """
        rate = float(params.get("learning_rate") or 0.1)
        leaves = min(int(params.get("num_leaves") or 31), max(2, shape.n_rows // 20))
        rounds = min(int(params.get("n_estimators") or _MAX_ROUNDS), 25.0 / rate + _PATIENCE)
        features = shape.n_features * float(params.get("feature_fraction") or 1.0)
        levels = math.log2(leaves + 1)
        per_tree = (
            _SECONDS_PER_CELL * shape.n_rows * ((features + _ROW_CELLS) * levels + _ROW_CELLS_ONCE)
            + _SECONDS_PER_SCAN * leaves * features
        )
        return 0.05 + rounds * shape.n_outputs * per_tree

    def expected_bytes(self, shape: DataShape, params: Params) -> int:
        """Return the bins by column and by row, gradients, scores and histograms.

        Validation rows, a quarter as many, are counted in. Constants: fits of 2 and 4 million
        rows with 21 features.
        """
        leaves = int(params.get("num_leaves") or 31)
        cell = 1 if int(params.get("max_bin") or 255) <= 255 else 2
        per_row = 2.25 * cell * shape.n_features + 24 * shape.n_outputs + 26
        return int(shape.n_rows * per_row) + leaves * shape.n_features * _BYTES_PER_HISTOGRAM

    def fit(
        self, train: Encoded, validation: Encoded | None, params: Params, options: FitOptions
    ) -> FittedModel:
        """Boost until the validation loss has not fallen for 50 rounds."""
        import lightgbm as lgb

        stops_early = validation is not None and options.n_iterations is None
        categorical = [i for i in train.categorical if train.n_levels[i] <= MAX_NATIVE_CODES]
        settings = _settings(train, params, options)
        data = lgb.Dataset(train.X, train.y, categorical_feature=categorical, params=settings)
        n_most = most_rounds(params, options, _MAX_ROUNDS if stops_early else _PLAIN_ROUNDS)
        losses: list[float] = []
        n_trees: list[int] = []

        def watch(env: "lightgbm.callback.CallbackEnv") -> None:
            if isinstance(env.model, lgb.Booster):
                n_trees.append(env.model.num_trees() // env.model.num_model_per_iteration())
            scores = env.evaluation_result_list or []
            losses.extend(score[2] for score in scores)
            if options.ends(losses, n_most):
                raise lgb.callback.EarlyStopException(env.iteration, scores)

        callbacks: list[Any] = [watch]
        held_out = []
        if stops_early and validation is not None:
            held_out = [lgb.Dataset(validation.X, validation.y, reference=data, params=settings)]
            callbacks.insert(0, lgb.early_stopping(_PATIENCE, verbose=False))
        booster = lgb.train(
            settings,
            data,
            num_boost_round=n_most,
            valid_sets=held_out,
            callbacks=callbacks,
        )
        n_rounds = best_round(losses) if losses else len(n_trees)
        # A booster read back from text holds the trees of the best round and no data.
        text = booster.model_to_string(num_iteration=n_trees[n_rounds - 1])
        booster = lgb.Booster(model_str=text)
        return LightGBMModel(
            booster,
            options.task_type,
            options.n_threads,
            losses,
            n_rounds,
            iterations_per_pass=_iterations_per_pass(text, booster.current_iteration()),
        )

    def load(self, folder: Path, options: dict[str, Any]) -> FittedModel:
        """Read the text format; it holds numbers, never code."""
        import lightgbm as lgb

        passes = folder / _PASSES_FILE
        per_pass = json.loads(passes.read_bytes())["iterations_per_pass"] if passes.exists() else 0
        return LightGBMModel(
            lgb.Booster(model_file=folder / _FILE),
            options["task_type"],
            iterations_per_pass=int(per_pass),
        )


# Seconds of one core of about 3 GHz.
_SECONDS_PER_CELL = 6.0e-10
_SECONDS_PER_SCAN = 2.5e-6
# A row costs as much as so many cells, on each level and once more.
_ROW_CELLS = 12
_ROW_CELLS_ONCE = 8


def _iterations_per_pass(text: str, n_iterations: int) -> int:
    """Return how many iterations go into a pass; 0 if all fit into one."""
    n_leaves = sum(map(int, re.findall(r"^num_leaves=(\d+)$", text, flags=re.MULTILINE)))
    if n_leaves <= _LEAVES_PER_PASS:
        return 0
    return max(1, _LEAVES_PER_PASS * n_iterations // n_leaves)


def _settings(train: Encoded, params: Params, options: FitOptions) -> dict[str, Any]:
    """Return what LightGBM is told: the hyperparameters, bound by the structure."""
    settings: dict[str, Any] = {
        "objective": _OBJECTIVES[options.task_type],
        "metric": _LOSSES[options.task_type],
        "num_threads": options.n_threads,
        "seed": options.seed,
        # Equal predictions in every run, on any number of threads.
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
        "bagging_freq": 1,
        "max_bin": 63 if len(train.y) > _MANY_ROWS else 255,
        **{name: value for name, value in params.items() if name != "n_estimators"},
    }
    if options.task_type == "multiclass":
        settings["num_class"] = options.n_classes
    _bind(settings, options.structure, train.X.shape[1])
    return settings


def _bind(settings: dict[str, Any], structure: Structure, n_features: int) -> None:
    """Bound depth, leaves, directions and interactions, whatever the hyperparameters say."""
    if structure.max_depth is not None:
        asked = int(settings.get("max_depth", -1))
        settings["max_depth"] = min(asked if asked > 0 else 64, structure.max_depth)
    if structure.max_leaves is not None:
        settings["num_leaves"] = min(int(settings.get("num_leaves", 31)), structure.max_leaves)
    if structure.monotonic:
        settings["monotone_constraints"] = list(structure.monotonic)
    if structure.interactions:
        # LightGBM never uses a feature that is in no set: each of those gets its own.
        named = {feature for group in structure.interactions for feature in group}
        alone = [[feature] for feature in range(n_features) if feature not in named]
        settings["interaction_constraints"] = [*map(list, structure.interactions), *alone]


FAMILY = LightGBM()
