"""How well trees tell two classes of rows apart, out of fold, in a process of its own.

    python -m automl_assets.core.separation FOLDER

fits what `separate` wrote into the folder. LightGBM brings scikit-learn, SciPy and pandas along:
150 MB that the process which asks would hold as long as it lives, and a search with it.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from automl_assets.core.errors import ServiceError

N_FOLDS = 3
N_TREES = 40
MAX_BIN = 63

LONGEST_SECONDS = 600.0
"""After so long the process is ended: its rows are drawn, and take seconds."""

_MODULE = "automl_assets.core.separation"
_TASK, _FEATURES, _FOUND = "task.json", "features.npy", "found.npz"
_PARAMS = {
    "objective": "binary",
    "num_leaves": 15,
    "learning_rate": 0.1,
    "min_data_in_leaf": 50,
    "max_bin": MAX_BIN,
    "num_threads": 1,
    # Equal in every run and on every machine.
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


@dataclass(frozen=True, kw_only=True)
class TwoClasses:
    """Rows of two classes, as numbers.

    Attributes:
        X: One row each, NaN where missing, `(n_rows, n_features)`.
        categorical: Positions of the features that hold codes.
        is_second: Whether a row is of the second class, `(n_rows,)`.
        fold: From 0 to `N_FOLDS - 1`, `(n_rows,)`.
    """

    X: np.ndarray
    categorical: Sequence[int]
    is_second: np.ndarray
    fold: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Separation:
    """What the trees found.

    Attributes:
        score: Of each row, by a model that did not see it, `(n_rows,)`; larger: second class.
        gain: Of each feature, summed over the models, `(n_features,)`.
    """

    score: np.ndarray
    gain: np.ndarray


def separate(tasks: Iterable[TwoClasses], *, seed: int, scratch: Path) -> list[Separation]:
    """Fit each task out of fold, all in one process, which costs a second of CPU time to start.

    Args:
        scratch: An empty folder for the features of all tasks, as long as they are fitted.

    Raises:
        ServiceError: The process failed.
    """
    folders = []
    for number, task in enumerate(tasks):
        folder = scratch / str(number)
        folder.mkdir()
        folders.append(folder)
        np.save(folder / _FEATURES, task.X)
        content = {
            "categorical": list(task.categorical),
            "is_second": task.is_second.astype(int).tolist(),
            "fold": task.fold.tolist(),
            "seed": seed % 2**31,
        }
        (folder / _TASK).write_text(json.dumps(content))
    if folders:
        _run(scratch)
    return [_read(folder) for folder in folders]


def _run(scratch: Path) -> None:
    try:
        subprocess.run(
            [sys.executable, "-m", _MODULE, str(scratch)],
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise ServiceError(
            "Rows of two parts are told apart in a process of its own within "
            f"{LONGEST_SECONDS:.0f} s, but it had not ended then. Run the request again when the "
            "machine is less busy."
        ) from error
    except subprocess.CalledProcessError as error:
        told = error.stderr.strip().splitlines()
        raise ServiceError(
            "Rows of two parts are told apart in a process of its own, but it ended with code "
            f"{error.returncode}: {told[-1] if told else 'it wrote nothing'}. Run the request "
            "again; if it was ended for its memory, with more of it."
        ) from error


def _read(folder: Path) -> Separation:
    with np.load(folder / _FOUND) as found:
        return Separation(score=found["score"], gain=found["gain"])


def _fit(folder: Path) -> None:
    """Fit one task, and leave what was found in its folder."""
    import lightgbm as lgb

    X = np.load(folder / _FEATURES)
    task = json.loads((folder / _TASK).read_bytes())
    is_second, fold = np.array(task["is_second"], np.int8), np.array(task["fold"])
    score, gain = np.zeros(len(X)), np.zeros(X.shape[1])
    for number in range(N_FOLDS):
        inside = fold != number
        data = lgb.Dataset(
            X[inside],
            is_second[inside],
            categorical_feature=task["categorical"],
            params={"verbosity": -1, "max_bin": MAX_BIN},
        )
        booster = lgb.train({**_PARAMS, "seed": task["seed"]}, data, num_boost_round=N_TREES)
        score[~inside] = np.asarray(booster.predict(X[~inside], num_threads=1))
        gain += booster.feature_importance("gain")
    np.savez(folder / _FOUND, score=score, gain=gain)


def main(arguments: Sequence[str]) -> None:
    """Fit every task of a folder.

    LightGBM wraps scikit-learn and takes pandas where they are there. This process, which does
    nothing else, needs neither, and they are two of the three seconds that it takes.
    """
    (scratch,) = arguments
    for name in ("sklearn", "pandas"):
        sys.modules.setdefault(name, None)  # pyright: ignore[reportArgumentType]
    for folder in sorted(Path(scratch).iterdir()):
        _fit(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
