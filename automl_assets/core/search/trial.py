"""One trial: fit on each fold, score what was held out, keep the first fold's model."""

import errno
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import Field

from automl_assets.core.composite import CompositeMember, CompositeModel
from automl_assets.core.encoding import Preprocessing
from automl_assets.core.families import (
    Encoded,
    FitOptions,
    FittedModel,
    ModelFamily,
    Params,
    load_families,
)
from automl_assets.core.feature_sets import FeatureTransform, read_feature_set
from automl_assets.core.files import publishing
from automl_assets.core.metrics import Metric, load_metrics
from automl_assets.core.package import package_bytes, write_package
from automl_assets.core.pages import give_back, given_back
from automl_assets.core.search.curves import Outlook, loss_to_beat
from automl_assets.core.search.limits import limits_of, violations
from automl_assets.core.search.measuring import Timers, measure_candidate, seconds_per_row
from automl_assets.core.search.plan import SearchPlan
from automl_assets.core.search.selection import Fold, SelectionData, prior_prediction, take_rows
from automl_assets.core.values import Value

PACKAGE, PREDICTIONS, RESULT_FILE = "package", "selection.npy", "result.json"
"""What a trial leaves in its folder: the model, its selection predictions, its result."""

PREDICTED_AT_ONCE = 200_000
"""Rows of one prediction: libraries copy what they predict, some of them as float64."""

N_TRAIN_SCORE_ROWS = 10_000
"""Rows of train on which the gap between training and selection score is looked at."""


class Job(Value):
    """All that the process of one trial is told.

    Attributes:
        params: By bare name, fixed ones included.
        seconds: How long all its fits may take; None: as long as they need.
        is_first: Whether there is no model yet: it may go on for a while after the time is
            over, since a model that is late is better than none.
        row_share: Share of a fit's rows that it sees, where all of them cannot be afforded.
        rival: Scores of the best candidate so far on each fold; a trial that is
            clearly worse after a fold or two is pruned, or whose only fit stays far from it.
        rival_number: Of that candidate.
    """

    number: int
    family: str
    params: Params
    features: str = "all"
    seed: int
    origin: str
    seconds: float | None = None
    is_first: bool = False
    row_share: float = 1.0
    rival: tuple[float, ...] = ()
    rival_number: int | None = None


class TrialResult(Value):
    """What a finished trial leaves in the ledger.

    Attributes:
        score: On all selection rows; of a pruned trial the mean of its folds.
        fold_scores: One for each fit.
        fit_seconds: Of all fits.
        n_iterations: Of each fit; empty where the family has none.
        projected_loss: The lowest validation loss that it could have come to, where its fit was
            ended since that is far from the best candidate's.
        needed_loss: What it should have come to.
        train_score: On rows that the first fold was fitted on.
        seconds_per_row: What predicting one row takes, among many; 0 without a time limit.
    """

    score: float
    fold_scores: tuple[float, ...]
    fit_seconds: float
    seconds_per_row: float = 0.0
    n_iterations: tuple[int, ...]
    model_bytes: int
    package_sha256: str
    truncated: bool
    pruned: bool = False
    projected_loss: float | None = None
    needed_loss: float | None = None
    train_score: float | None = None
    curve: tuple[tuple[int, float], ...] = ()
    measured: dict[str, float] = Field(default={})
    violated: dict[str, float] = Field(default={})
    cpu_seconds: float = 0.0
    seconds: float = 0.0
    peak_mb: float = 0.0
    io_mb: float = 0.0


@contextmanager
def _as_its_own() -> Iterator[None]:
    """Let an error of the system that a family meets be the family's, unless the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise RuntimeError(f"its library met {type(error).__name__}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one candidate is fitted, on whatever rows."""

    family: ModelFamily
    params: Params
    transform: FeatureTransform | None

    def fit(self, part: Encoded, held_out: Encoded | None, options: FitOptions) -> FittedModel:
        """Fit on rows that are encoded for all features."""
        rows = part if held_out is None else held_out
        with given_back(part.X, rows.X), _as_its_own():
            if self.transform is None:
                return self.family.fit(part, held_out, self.params, options)
            return self.family.fit(
                self.transform.encoded(part),
                None if held_out is None else self.transform.encoded(held_out),
                self.params,
                options,
            )

    def predict(self, model: FittedModel, X: np.ndarray) -> np.ndarray:
        """Predict rows that are encoded for all features, a block of many rows at a time."""
        if len(X) <= PREDICTED_AT_ONCE:
            return self._predict(model, X)
        blocks = []
        for start in range(0, len(X), PREDICTED_AT_ONCE):
            rows = np.asfortranarray(X[start : start + PREDICTED_AT_ONCE])
            give_back(X)
            blocks.append(self._predict(model, rows))
        return np.concatenate(blocks)

    def _predict(self, model: FittedModel, X: np.ndarray) -> np.ndarray:
        with _as_its_own():
            return model.predict(X if self.transform is None else self.transform.apply(X))

    def packaged(self, model: FittedModel) -> FittedModel:
        """Return the model with its features chosen inside, as it is deployed."""
        if self.transform is None:
            return model
        return CompositeModel([CompositeMember(self.family.name, model, 1.0, self.transform)])


def make_recipe(plan: SearchPlan, family: str, params: Params, features: str) -> Recipe:
    """Return how a candidate is fitted."""
    feature_set = read_feature_set(Path(plan.artifacts), features)
    return Recipe(
        family=load_families()[family],
        params=params,
        transform=None if feature_set is None else feature_set.transform,
    )


def make_options(
    plan: SearchPlan,
    recipe: Recipe,
    *,
    seed: int,
    n_threads: int,
    should_stop: Callable[[], bool],
    outlook: Outlook | None = None,
    n_iterations: int | None = None,
) -> FitOptions:
    """Return how to fit, apart from hyperparameters."""
    structure = plan.structure
    if recipe.transform is not None:
        structure = recipe.transform.structure(structure)
    options = FitOptions(
        task_type=plan.task_type,
        n_classes=plan.n_classes,
        seed=seed,
        n_threads=plan.useful_threads(n_threads),
        should_stop=should_stop,
        structure=structure,
        n_iterations=n_iterations,
        use_gpu=plan.use_gpu and recipe.family.gpu,
    )
    return options if outlook is None else replace(options, is_hopeless=outlook.is_hopeless)


CLEARLY_WORSE = 2.5
"""Standard errors of a paired difference. On prices with a heavy tail plain CatBoost was 2.1 worse
after the first of six folds, and better after all; on california what was given up was 3.5 to
9.5 worse after one."""


def standard_errors_worse(
    metric: Metric, y: np.ndarray, own: np.ndarray, best: np.ndarray
) -> float | None:
    """Return by how many standard errors predictions are worse than others on the same rows.

    Of the differences between the rows' values (`row_values`); None where the metric has none.

    Args:
        own, best: As `Metric.score` takes them, for the rows of `y`.
    """
    from automl_assets.core.evaluation.row_values import row_values

    mine, theirs = row_values(metric, y, own), row_values(metric, y, best)
    if mine is None or theirs is None:
        return None
    worse = mine - theirs if metric.direction == "minimize" else theirs - mine
    error = float(worse.std()) / math.sqrt(len(worse))
    return float(worse.mean()) / error if error > 0 else 0.0


def is_hopeless(own: list[float], rival: tuple[float, ...], *, sign: float) -> bool:
    """Tell whether a trial can be given up after the folds that it has been scored on.

    It is worse than the best candidate on every fold, and on average by more
    than the best candidate's scores differ between folds (half of that from the
    second fold on): two candidates see the same rows, so that most of the
    spread between folds cancels out of their differences.

    Args:
        sign: 1 where lower scores are better, -1 where higher ones are.

    Examples:
        >>> is_hopeless([5.0], (1.0, 1.2, 0.8), sign=1.0)
        True
        >>> is_hopeless([1.1], (1.0, 1.2, 0.8), sign=1.0)
        False
    """
    if len(rival) < 2 or len(own) >= len(rival):
        return False
    worse_by = [sign * (mine - best) for mine, best in zip(own, rival, strict=False)]
    spread = float(np.std(rival))
    bar = spread if len(own) == 1 else spread / 2
    return min(worse_by) > 0 and float(np.mean(worse_by)) > bar


class Fits:
    """The fits of one trial, fold by fold.

    Args:
        clock: What the job's seconds are counted by.
        exact: Iterations of each fit, where they are known from an earlier run of the same
            trial: then no fit stops by itself.

    Attributes:
        first: The model of the first fold, the one that is kept.
        prediction: Of the selection rows; NaN where no fold has predicted yet.
        scores: Of each fold.
        outlook: On the only fit, if it was ended for it.
    """

    def __init__(
        self,
        job: Job,
        plan: SearchPlan,
        data: SelectionData,
        metric: Metric,
        clock: Callable[[], float],
        exact: Sequence[int] = (),
    ) -> None:
        self._job, self._plan, self._data, self._clock = job, plan, data, clock
        self._metric, self._exact = metric, exact
        self._started = clock()
        self.recipe = make_recipe(plan, job.family, job.params, job.features)
        self.first: FittedModel | None = None
        self.prediction: np.ndarray | None = None
        self.scores: list[float] = []
        self.n_iterations: list[int] = []
        self.truncated = False
        self.pruned = False
        self.outlook: Outlook | None = None

    def run(self) -> None:
        """Fit and score each fold, unless the trial is hopeless before."""
        sign = 1.0 if self._metric.direction == "minimize" else -1.0
        for number in range(self._data.n_folds):
            self.run_fold(number)
            ended = self.outlook is not None
            hopeless = ended or is_hopeless(self.scores, self._job.rival, sign=sign)
            if hopeless and self._is_sure():
                self.pruned = True
                return

    def _of_rival(self, rows: np.ndarray) -> np.ndarray | None:
        """Return predictions of the best candidate, if they are there."""
        file = Path(self._plan.artifacts) / str(self._job.rival_number) / PREDICTIONS
        with suppress(FileNotFoundError):
            # Losses of float32 are clipped sooner.
            return np.load(file, mmap_mode="r", allow_pickle=False)[rows].astype(np.float64)
        return None

    def _is_sure(self) -> bool:
        """Tell whether a few rows are not the reason that the rival looks better."""
        if self.prediction is None:
            return True
        first_column = self.prediction.reshape(len(self.prediction), -1)[:, 0]
        rows = np.flatnonzero(~np.isnan(first_column))
        best = self._of_rival(rows)
        if best is None:
            return True
        worse = standard_errors_worse(self._metric, self._data.y[rows], self.prediction[rows], best)
        return worse is None or worse > CLEARLY_WORSE

    @property
    def score(self) -> float:
        """On all selection rows; of a pruned trial the mean of its folds."""
        if self.pruned or len(self.scores) < 2 or self.prediction is None:
            return float(np.mean(self.scores))
        return _finite(self._metric, self._data.y, self.prediction)

    def run_fold(self, number: int) -> None:
        """Fit and score one fold."""
        fold = self._data.fold(number)
        until = math.inf
        if self._job.seconds is not None:
            left = self._started + self._job.seconds - self._clock()
            until = self._clock() + left / (self._data.n_folds - number)
        outlook = self._outlook(fold, until)
        options = make_options(
            self._plan,
            self.recipe,
            seed=self._job.seed,
            n_threads=self._plan.n_threads,
            should_stop=lambda: self._clock() >= until,
            outlook=outlook,
            n_iterations=self._exact[number] if self._exact else None,
        )
        part = fold.fit
        if self._job.row_share < 1.0:
            part = take_rows(part, _some_rows(len(part.y), self._job))
        model = self.recipe.fit(part, None if self._exact else fold.held_out, options)
        self.truncated |= self._clock() >= until
        if outlook is not None and outlook.projection is not None:
            self.outlook = outlook
        prediction = self.recipe.predict(model, fold.held_out.X)
        if self.prediction is None:
            shape = (len(self._data.y), *prediction.shape[1:])
            self.prediction = np.full(shape, np.nan)
        self.prediction[fold.rows] = prediction
        self.scores.append(_finite(self._metric, fold.held_out.y, prediction))
        if model.n_iterations is not None:
            self.n_iterations.append(model.n_iterations)
        if self.first is None:
            self.first = model

    def _outlook(self, fold: Fold, until: float) -> Outlook | None:
        """Return what watches the only fit; of several, folds that are over tell more."""
        if self._data.n_folds > 1 or self._exact or self._job.rival_number is None:
            return None
        if not self._metric.follows_loss:
            return None
        return Outlook(lambda: self._loss_to_beat(fold), clock=self._clock, until=until)

    def _loss_to_beat(self, fold: Fold) -> float:
        """Return what the only fit has to come to; infinite without predictions of the best."""
        best, y = self._of_rival(fold.rows), fold.held_out.y
        if best is None:
            return math.inf
        without = prior_prediction(fold.fit.y, len(y), self._plan.n_classes)
        loss = load_metrics()["log_loss" if self._plan.n_classes else "rmse"]
        return loss_to_beat(
            loss.score(y, best),
            loss.score(y, without),
            standard_error=_standard_error(loss, y, best),
        )


def _standard_error(metric: Metric, y: np.ndarray, prediction: np.ndarray) -> float:
    from automl_assets.core.evaluation.row_values import row_values

    values = row_values(metric, y, prediction)
    return math.inf if values is None else float(values.std()) / math.sqrt(len(values))


def _some_rows(n_rows: int, job: Job) -> np.ndarray:
    generator = np.random.default_rng(job.seed)
    n_kept = max(1, round(job.row_share * n_rows))
    return np.sort(generator.choice(n_rows, n_kept, replace=False, shuffle=False))


def _finite(metric: Metric, y: np.ndarray, prediction: np.ndarray) -> float:
    score = metric.score(y, prediction)
    if not math.isfinite(score):
        raise ArithmeticError(f"The score must be a finite number, but {metric.name} is {score}.")
    return score


def _train_score(fits: Fits, data: SelectionData, metric: Metric) -> float | None:
    if fits.first is None:
        return None
    n_rows = len(data.train.y)
    rows = take_rows(data.train, np.arange(0, n_rows, max(1, n_rows // N_TRAIN_SCORE_ROWS)))
    score = metric.score(rows.y, fits.recipe.predict(fits.first, rows.X))
    return score if math.isfinite(score) else None


N_WARM_UP_ROWS = 64


def warm_up(job: Job, plan: SearchPlan, data: SelectionData) -> None:
    """Fit a few rows, so that libraries are loaded when time begins to count.

    A deadline and a cost model that see imports would take a fast family for a slow one.
    """
    recipe = make_recipe(plan, job.family, job.params, job.features)
    rows = np.arange(min(N_WARM_UP_ROWS, len(data.train.y)))
    options = make_options(
        plan, recipe, seed=0, n_threads=1, should_stop=lambda: True, n_iterations=1
    )
    # What fails here fails in the trial as well, which tells it.
    with suppress(Exception):
        recipe.fit(take_rows(data.train, rows), None, options)


def run_trial(
    job: Job,
    plan: SearchPlan,
    data: SelectionData,
    preprocessing: Preprocessing,
    *,
    clock: Callable[[], float],
    timers: Timers,
) -> TrialResult:
    """Fit, score and keep one candidate.

    Its folder gets the first fold's model as a package, and the predictions of
    all selection rows. Call `warm_up` before, where the clock decides.

    Args:
        clock: What the job's seconds are counted by.
        timers: For latencies.

    Raises:
        ArithmeticError: The score is not a finite number.
        Exception: Whatever the family's library raises.
    """
    metric = load_metrics()[plan.metric]
    started = clock()
    fits = Fits(job, plan, data, metric, clock)
    fits.run()
    fit_seconds = clock() - started
    folder = Path(plan.artifacts) / str(job.number)
    model = fits.first
    if model is None or fits.prediction is None:
        raise ArithmeticError(f"A trial needs a fold to fit, but trial {job.number} had none.")
    digest, n_bytes, score, row_seconds = "", 0, fits.score, 0.0
    measured: dict[str, float] = {}
    if not fits.pruned:
        digest = write_package(
            folder / PACKAGE,
            fits.recipe.packaged(model),
            preprocessing,
            family=job.family,
            params=job.params,
            task_type=plan.task_type,
            classes=plan.classes,
            target=plan.target,
        )
        n_bytes = package_bytes(folder / PACKAGE)
        with publishing(folder / PREDICTIONS) as temporary, temporary.open("wb") as file:
            np.save(file, fits.prediction.astype(np.float32), allow_pickle=False)
        measured = measure_candidate(
            plan, data, package=folder / PACKAGE, prediction=fits.prediction, timers=timers
        )
        if plan.time_limit_seconds is not None:
            row_seconds = seconds_per_row(
                lambda X: fits.recipe.predict(model, X), data.validation.X, timers.cpu
            )
    return TrialResult(
        score=score,
        fold_scores=tuple(fits.scores),
        fit_seconds=fit_seconds,
        seconds_per_row=row_seconds,
        n_iterations=tuple(fits.n_iterations),
        model_bytes=n_bytes,
        package_sha256=digest,
        truncated=fits.truncated,
        pruned=fits.pruned,
        projected_loss=fits.outlook and fits.outlook.projection,
        needed_loss=fits.outlook and fits.outlook.bar,
        train_score=None if fits.pruned else _train_score(fits, data, metric),
        curve=model.curve,
        measured=measured,
        violated=violations(measured, limits_of(plan.constraints)),
    )
