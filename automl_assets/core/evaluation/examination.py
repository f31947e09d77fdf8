"""What the sections of an evaluation look at, and what a section is.

The winner is judged by `judge`; each section then asks one more question about it:
where it is worse, what it relies on, how sure it is. A section is one file in
`sections`, one template in the report's `templates/sections`, and, where it has
pictures, one file in the report's `section_pictures`; all three bear its name.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from automl_assets.core.metrics import Metric
from automl_assets.core.predictor import Predictor
from automl_assets.core.request import TrainingRequest
from automl_assets.core.values import CandidateSet, Split, TableProfile, Value


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of one part, and what the model says about them.

    Attributes:
        rows: Row numbers in the snapshot, ascending, `(n_rows,)`.
        frame: Raw rows: features, target, and the columns that the request names for time,
            groups and slices.
        X: The encoded features, `(n_rows, n_features)`, column-major, in the order of
            `Predictor.preprocessing.feature_names`; do not write into it.
        y: Class codes or values, `(n_rows,)`.
        prediction: Probabilities `(n_rows, n_classes)` in class order, or values `(n_rows,)`;
            calibrated where the model is.
        groups: Code of each row's group, where the request names `data.group`.
        times: Time of each row, where the request names `data.time`.
    """

    rows: np.ndarray
    frame: pl.DataFrame
    X: np.ndarray
    y: np.ndarray
    prediction: np.ndarray
    groups: np.ndarray | None = None
    times: pl.Series | None = None


class Refitter(ABC):
    """Fits the winner's main member again, on rows that the search had."""

    n_rows: int
    """Rows of a whole fit."""

    @abstractmethod
    def expected_seconds(self, share: float) -> float:
        """Return what a fit on a share of the rows is expected to take; the same every time."""

    @abstractmethod
    def fit(self, *, seed: int, share: float = 1.0) -> Callable[[np.ndarray], np.ndarray]:
        """Fit with another seed, or on fewer rows, and return what predicts encoded rows.

        Predictions are the model's own, before any calibration.
        """


@dataclass(frozen=True, kw_only=True)
class Rival:
    """A registered version that the winner is compared with.

    Attributes:
        seen: Rows of the analysis part that the version was made from, `(n_rows,)`; None:
            none of them.
    """

    name: str
    version: str
    predictor: Predictor
    data_uri: str
    seen: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Examined:
    """A winner, and the rows it is examined on.

    Attributes:
        metric: What the search optimised.
        analysis: Rows that took no part in the search.
        calibration: Rows of the calibration part. A model that is calibrated, or has a
            threshold by cost, has learned that from them, and nothing else.
        y_train: Class codes or values of the train part.
        package: Folder of the model package.
        seed: Of the request; decides every random choice.
        confidence: Of all intervals; higher where the analysis part was opened before.
        seconds: CPU seconds that one section may take where it can do with fewer rows; what
            that means must follow from forecasts such as `candidates.seconds_per_row`, never
            from a clock: the same inputs give the same bytes.
        clock: CPU seconds of this process; for sections that measure.
        refitter: Fits again; None where the search's files are gone.
        champion: The version that is in use; None where there is none.
    """

    request: TrainingRequest
    profile: TableProfile
    split: Split
    candidates: CandidateSet
    predictor: Predictor
    package: Path
    metric: Metric
    analysis: Rows
    calibration: Rows
    y_train: np.ndarray
    seed: int
    confidence: float
    seconds: float
    clock: Callable[[], float]
    refitter: Refitter | None = None
    champion: Rival | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in code order, the positive one of a binary task last; else empty."""
        return self.profile.classes

    @property
    def threshold(self) -> float | None:
        """Probability from which a binary model says yes; None: the most probable class."""
        return self.predictor.manifest.threshold

    def decisions(self, prediction: np.ndarray) -> np.ndarray:
        """Return the class code that is decided on, of each row of probabilities."""
        return self.predictor.decide(prediction)


@dataclass(frozen=True, kw_only=True)
class Section:
    """One part of an evaluation.

    Attributes:
        name: Of its module, its template, its pictures and its key in `card.json`.
        title: Heading in the report.
        position: Sections are shown, and made, in this order.
        result: Type of what `examine` returns; its schema is part of the card's.
        examine: Examines; None where the task has nothing of the kind.
        fewest_rows: Rows that it has predicted at least, however slow the model is, for a request
            and so many raw columns.
        is_measured: Whether results hold measured times: they are kept with the report, and
            not made again for the same model. All other sections are deterministic.
        sentences: What a person must know of it first, at most two sentences; they are
            shown under the verdict.
        limits: What nobody may conclude from it.
    """

    name: str
    title: str
    position: int
    result: type[Value]
    examine: Callable[[Examined], Value | None]
    fewest_rows: Callable[[TrainingRequest, int], int] = lambda request, n_columns: 0
    is_measured: bool = False
    sentences: Callable[[Any], tuple[str, ...]] = lambda value: ()
    limits: Callable[[Any], tuple[str, ...]] = lambda value: ()
