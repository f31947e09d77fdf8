"""Registered models side by side, on rows that none of them has seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from automl_assets.core.comparing.changes import (
    Changes,
    find_changes,
    metric_differences,
    shown_features,
)
from automl_assets.core.comparing.rows import mark_seen, same_rows
from automl_assets.core.errors import RequestError
from automl_assets.core.evaluation.clusters import clusters_of
from automl_assets.core.evaluation.comparison import Difference
from automl_assets.core.evaluation.openings import open_analysis
from automl_assets.core.evaluation.sections.champion import aligned
from automl_assets.core.examined_rows import MAX_EXAMINED_ROWS, group_codes
from automl_assets.core.matrix import target_vector
from automl_assets.core.ports import SnapshotStore
from automl_assets.core.predictor import Predictor
from automl_assets.core.prepare import read_rows, rows_frame
from automl_assets.core.request import TrainingRequest
from automl_assets.core.values import CandidateSet, DataSnapshot, ModelVersion, Split, Value

FEWEST_ROWS = 50


@dataclass(frozen=True, kw_only=True)
class Registered:
    """A registered version with all that its card tells.

    Attributes:
        card: As `card.json` has it.
    """

    version: ModelVersion
    predictor: Predictor
    card: Mapping[str, Any]

    @property
    def label(self) -> str:
        """Name and number of the version."""
        return f"{self.version.name}@{self.version.version}"

    @property
    def request(self) -> TrainingRequest:
        """The request it was made for."""
        return TrainingRequest.model_validate(self.card["request"])

    @property
    def snapshot(self) -> DataSnapshot:
        """The data it was made from."""
        return DataSnapshot.model_validate(self.card["data"])

    @property
    def split(self) -> Split:
        """The parts of the data."""
        return Split.model_validate(self.card["split"])

    @property
    def candidates(self) -> CandidateSet:
        """What its search found."""
        return CandidateSet.model_validate(self.card["search"])


class ModelFacts(Value):
    """One model of a comparison."""

    label: str
    semver: str
    aliases: tuple[str, ...]
    family: str
    n_members: int
    model_bytes: int | None
    seconds_per_1000_rows: float
    data_uri: str
    n_rows: int
    measured: dict[str, float]
    limits: dict[str, float]
    mlflow_run_id: str


class ParameterChange(Value):
    """A value that differs; None where one side has none."""

    name: str
    first: str | None
    second: str | None


class Pair(Value):
    """Another model in the place of the first one.

    Attributes:
        n_rows: Rows of the first one's analysis part that both are compared on.
        n_seen: Rows left out because the other one was made from them.
        differences: Gains of the other one, paired by row; the first one's metric first.
        parameters: What differs in request and hyperparameters.
        data: What differs in the data.
    """

    label: str
    n_rows: int
    n_seen: int
    confidence: float
    differences: tuple[Difference, ...]
    changes: Changes
    parameters: tuple[ParameterChange, ...]
    data: tuple[ParameterChange, ...]


class Comparison(Value):
    """Models side by side; the first one is what the others are compared with."""

    models: tuple[ModelFacts, ...]
    pairs: tuple[Pair, ...]


def compare_registered(models: Sequence[Registered], *, store: SnapshotStore) -> Comparison:
    """Compare registered models with the first of them, on its analysis part.

    Each further model opens that part once more, and is counted so.

    Raises:
        RequestError: Two models solve different tasks, or no rows are new to both.
        SnapshotError: Data are gone or changed.
    """
    first, *others = models
    for other in others:
        _require_same_task(first, other)
    return Comparison(
        models=tuple(map(_facts, models)),
        pairs=tuple(_pair(first, other, store) for other in others),
    )


def _require_same_task(first: Registered, other: Registered) -> None:
    ours, theirs = first.predictor.manifest, other.predictor.manifest
    same = ours.task_type == theirs.task_type and sorted(ours.classes) == sorted(theirs.classes)
    if same and ours.target == theirs.target:
        return
    raise RequestError(
        f"Models are compared when they predict the same, but {first.label} predicts "
        f"{ours.target!r} ({ours.task_type}, {len(ours.classes)} classes) and {other.label} "
        f"{theirs.target!r} ({theirs.task_type}, {len(theirs.classes)} classes). Name models of "
        "one task."
    )


def _facts(model: Registered) -> ModelFacts:
    found = model.candidates
    members = [item for item in found.leaderboard if item.number == found.winner]
    serving = model.card["sections"].get("serving") or {}
    return ModelFacts(
        label=model.label,
        semver=model.version.tags.get("semver", ""),
        aliases=model.version.aliases,
        family=found.model_family,
        n_members=max(1, len(found.members)),
        model_bytes=serving.get("package_bytes") or (members[0].model_bytes if members else None),
        seconds_per_1000_rows=1_000 * found.seconds_per_row,
        data_uri=model.snapshot.uri,
        n_rows=model.snapshot.n_rows,
        measured=found.measured,
        limits=found.limits,
        mlflow_run_id=model.version.mlflow_run_id,
    )


def _pair(first: Registered, other: Registered, store: SnapshotStore) -> Pair:
    opening = open_analysis(
        store,
        first.split,
        request_id=str(first.card["identity"]["request_id"]),
        candidates_sha256=other.candidates.ledger_sha256,
    )
    request, profile = first.request, first.snapshot.profile
    rows = read_rows(first.split, "analysis", store)
    if len(rows) > MAX_EXAMINED_ROWS:
        rows = rows[np.linspace(0, len(rows) - 1, MAX_EXAMINED_ROWS).round().astype(np.intp)]
    frame = rows_frame(first.snapshot, rows, _columns(first, other), store)
    seen = np.zeros(frame.height, np.bool_)
    if not same_rows(first.snapshot, first.split, other.snapshot, other.split):
        seen = mark_seen(frame, other.snapshot, other.split, store)
    if frame.height - seen.sum() < FEWEST_ROWS:
        raise RequestError(
            f"Models are compared on at least {FEWEST_ROWS} rows that neither was made from, but "
            f"of the {frame.height:,} rows of the analysis part of {first.label}, "
            f"{int(seen.sum()):,} were seen by {other.label}. Name them the other way round, or "
            "compare models of the same data."
        )
    frame = frame.filter(~seen)
    y = target_vector(frame[request.data.target], profile)
    group, time = request.data.group, request.data.time
    clusters = clusters_of(
        None if group is None else group_codes(frame[group]), None if time is None else frame[time]
    )
    ours = first.predictor.predict_array(frame)
    theirs = other.predictor.predict_array(frame)
    classes, decisions = profile.classes, None
    if classes:
        named = other.predictor.manifest.classes
        code_of = np.array([classes.index(name) for name in named])
        decisions = (code_of[other.predictor.decide(theirs)], first.predictor.decide(ours))
        theirs = aligned(theirs, named, classes)
    metrics = [item["metric"] for item in first.card["evaluation"]["metrics"]]
    return Pair(
        label=other.label,
        n_rows=frame.height,
        n_seen=int(seen.sum()),
        confidence=opening.confidence,
        differences=metric_differences(
            tuple(metrics),
            y,
            (theirs, other.predictor.manifest.threshold),
            (ours, first.predictor.manifest.threshold),
            seed=request.seed,
            confidence=opening.confidence,
            groups=clusters,
        ),
        changes=find_changes(
            frame.select(shown_features(profile)),
            theirs,
            ours,
            classes=classes,
            decisions=decisions,
            spread=0.0 if classes else float(y.std()),
            confidence=opening.confidence,
            groups=clusters,
        ),
        parameters=parameter_changes(first, other),
        data=data_changes(first.snapshot, other.snapshot),
    )


def _columns(first: Registered, other: Registered) -> tuple[str, ...]:
    known = {column.name for column in first.snapshot.profile.columns}
    needed = [column.name for column in other.predictor.columns]
    missing = [name for name in needed if name not in known]
    if missing:
        raise RequestError(
            f"{other.label} must find its columns in the data of {first.label}, but "
            f"{', '.join(map(repr, missing[:5]))} {'is' if len(missing) == 1 else 'are'} not "
            "there. Name the models the other way round."
        )
    data = first.request.data
    more = (name for name in (data.group, data.time) if name is not None)
    return tuple(dict.fromkeys((*first.snapshot.profile.features, *needed, data.target, *more)))


def _flat(value: Any, path: str = "") -> dict[str, str]:
    if isinstance(value, dict) and value:
        found: dict[str, str] = {}
        for key, item in value.items():
            found |= _flat(item, f"{path}.{key}" if path else str(key))
        return found
    return {path: str(value)}


def _differences(first: dict[str, str], second: dict[str, str]) -> tuple[ParameterChange, ...]:
    names = sorted(set(first) | set(second))
    return tuple(
        ParameterChange(name=name, first=first.get(name), second=second.get(name))
        for name in names
        if first.get(name) != second.get(name)
    )


def parameter_changes(first: Registered, second: Registered) -> tuple[ParameterChange, ...]:
    """Return what differs between two requests and the hyperparameters of their winners."""

    def values(model: Registered) -> dict[str, str]:
        best = model.candidates.best
        params = {f"winner.{best.family}.{key}": str(v) for key, v in best.params.items()}
        return {**_flat(dict(model.card["request"])), **params, "winner.family": best.family}

    return _differences(values(first), values(second))


def data_changes(first: DataSnapshot, second: DataSnapshot) -> tuple[ParameterChange, ...]:
    """Return what differs between two snapshots: commit, rows, columns, types, target."""
    is_same = first.content_sha256 == second.content_sha256

    def values(snapshot: DataSnapshot) -> dict[str, str]:
        profile = snapshot.profile
        return {
            # The same content is committed again for each request that reads it.
            **({} if is_same else {"commit": snapshot.commit_id}),
            "content sha256": snapshot.content_sha256,
            "rows": f"{snapshot.n_rows:,}",
            **{f"column {item.name}": item.dtype for item in profile.columns},
            **{
                f"share of {name}": f"{count / max(1, sum(profile.class_counts)):.2%}"
                for name, count in zip(profile.classes, profile.class_counts, strict=False)
            },
        }

    return _differences(values(first), values(second))
