"""Columns that know the answer before it is asked, and what follows for the features.

Scores are taken on a sample of rows; what they make suspicious is counted on all rows.
"""

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import polars as pl

from automl_assets.core.errors import RequestError
from automl_assets.core.leakage.available import find_late
from automl_assets.core.leakage.privacy import find_personal
from automl_assets.core.leakage.single_feature import (
    SingleScore,
    halves,
    score_classes,
    score_values,
)
from automl_assets.core.leakage.target_copies import (
    EQUAL_SHARE,
    SCREEN_SHARE,
    Gaps,
    count_gaps,
    fit_line,
    line_share,
    mapping_share,
)
from automl_assets.core.matrix import target_vector
from automl_assets.core.profile.personal import without_values
from automl_assets.core.request import TrainingRequest
from automl_assets.core.rows.sample import gather, sampled_rows
from automl_assets.core.values import ColumnProfile, DroppedColumn, Finding, TableProfile

SINGLE_FEATURE_LIMIT = 0.98
"""Of AUC, and of R2 of ranks. Honest columns stay below it: the best one of the breast cancer
data, measured on the tumour itself, reaches 0.96 by this score."""

SURE_LIMIT = 0.95
"""Where the interval must begin before a column is dropped: 73 rows of the rarer class that
are told apart without an error. With fewer the column stays and is told."""

MAX_SAMPLE = 100_000
_BATCH_COLUMNS = 50

_CURE = "Exclude it, set data.available_at, or name it under features.keep."
_STAYS = "It stays a feature until more rows make it certain: "


def find_suspects(
    table: pl.LazyFrame, profile: TableProfile, request: TrainingRequest
) -> tuple[Finding, ...]:
    """Find columns that look like a leak or hold personal data, before anything is trained.

    A column has at most one finding of the rules about the target; the strictest tells. Time
    availability and personal data are told beside it. Columns in `features.keep` are judged
    as all others, and kept.

    Args:
        table: All rows of the snapshot; no target is null.
        profile: As `profile_table` made it; only its features can be leaks.

    Raises:
        RequestError: A column of `data.available_at` is not there or holds no times.
    """
    late = find_late(table, profile.features, request)
    told = {finding.column for finding in late if finding.action != "warned"}
    rows = sampled_rows(profile.n_rows, MAX_SAMPLE, seed=request.seed)
    leaks: list[Finding] = []
    left = set(profile.features) - told
    columns = [column for column in profile.columns if column.name in left]
    for start in range(0, len(columns), _BATCH_COLUMNS):
        batch = columns[start : start + _BATCH_COLUMNS]
        leaks += _Judge(table, profile, request, rows, batch).findings()
    return (*late, *leaks, *find_personal(table, profile, request))


def with_findings(profile: TableProfile, findings: Iterable[Finding]) -> TableProfile:
    """Return the profile with what findings mean for it.

    Dropped columns leave the features; warned and kept ones become warnings. Of columns that
    hold personal data no value is left in it: profiles are stored, and shown to many.

    Raises:
        RequestError: No feature is left.
    """
    findings = tuple(findings)
    reasons: dict[str, str] = {}
    for finding in findings:
        if finding.action == "dropped" and finding.column in profile.features:
            reasons.setdefault(finding.column, f"{finding.rule}: {finding.detail}")
    features = tuple(name for name in profile.features if name not in reasons)
    if not features:
        shown = ", ".join(map(repr, list(reasons)[:5]))
        more = f" and {len(reasons) - 5} more" if len(reasons) > 5 else ""
        first = next(iter(reasons.values()), "the table has none")
        raise RequestError(
            "Training needs at least one feature. All columns that were left look like a leak or "
            f"hold personal data: {shown}{more}; the first by {first} Name those that are known "
            "before the prediction under features.keep, or add columns to the data."
        )
    told = profile.model_copy(
        update={
            "features": features,
            "dropped": (
                *profile.dropped,
                *(DroppedColumn(name=name, reason=reason) for name, reason in reasons.items()),
            ),
            "warnings": (
                *profile.warnings,
                *(item.detail for item in findings if item.action in ("warned", "kept")),
            ),
            "findings": (*profile.findings, *findings),
        }
    )
    return without_values(told)


def refuse_blocked(findings: Iterable[Finding]) -> None:
    """Stop a run whose data must not be used.

    Raises:
        RequestError: A finding is blocked; the message tells up to five.
    """
    blocked = [finding for finding in findings if finding.action == "blocked"]
    if blocked:
        more = f" There are {len(blocked) - 5} more." if len(blocked) > 5 else ""
        raise RequestError(
            "The data break a rule that blocks the run; nothing was trained. "
            + " ".join(finding.detail for finding in blocked[:5])
            + more
        )


class _Judge:
    """The rules about the target, for a few columns at a time: their sample is in memory."""

    def __init__(
        self,
        table: pl.LazyFrame,
        profile: TableProfile,
        request: TrainingRequest,
        rows: np.ndarray,
        columns: list[ColumnProfile],
    ) -> None:
        data = request.data
        self._table, self._profile, self._request = table, profile, request
        self._columns = {column.name: column for column in columns}
        self._target = data.target
        roles = [data.target, *([data.group] if data.group else [])]
        self._sample = gather(table, (*roles, *self._columns), rows)
        self._y = target_vector(self._sample[data.target], profile)
        groups = self._sample[data.group] if data.group else None
        self._half = halves(len(rows), groups, seed=request.seed)
        of_all = f"a sample of {len(rows):,} of {profile.n_rows:,} rows"
        self._where = of_all if len(rows) < profile.n_rows else f"all {len(rows):,} rows"

    def findings(self) -> Iterator[Finding]:
        """Yield what is found, one finding for each suspected column."""
        gaps = self._gaps()
        for name in self._columns:
            known = gaps.get(name)
            finding = self._copy(name) or self._gap(name, known and known.follow_classes)
            finding = finding or self._single(name, known)
            finding = finding or self._gap(name, known and known.tell_class)
            if finding is not None:
                yield finding

    def _gaps(self) -> dict[str, Gaps]:
        """Return the gaps of columns by class: on all rows where a sample made them suspicious."""
        if self._profile.task_type == "regression":
            return {}
        names = [name for name, column in self._columns.items() if column.n_nulls]
        if not names:
            return {}
        seen = count_gaps(self._sample.lazy(), names, self._target)
        suspects = [
            name
            for name, gaps in seen.items()
            if gaps.follow_classes(SCREEN_SHARE) or gaps.tell_class(SCREEN_SHARE)
        ]
        return seen | (count_gaps(self._table, suspects, self._target) if suspects else {})

    def _copy(self, name: str) -> Finding | None:
        share = self._line(name) if self._profile.task_type == "regression" else self._mapping(name)
        if share < EQUAL_SHARE:
            return None
        found = (
            f"{name!r} says the same as {self._target!r} in {_percent(share)} of "
            f"{self._profile.n_rows:,} rows: the answer under another name? "
        )
        return self._suspect("copy of the target", name, share, EQUAL_SHARE, found)

    def _mapping(self, name: str) -> float:
        # Stray values are allowed, but not so many that they could not be listed.
        if self._columns[name].n_distinct > 2 * len(self._profile.classes) + 2:
            return 0.0
        share = mapping_share(self._sample.lazy(), name, self._target)
        return mapping_share(self._table, name, self._target) if share >= SCREEN_SHARE else 0.0

    def _line(self, name: str) -> float:
        if not self._sample[name].dtype.is_numeric():
            return 0.0
        line = fit_line(self._sample, name, self._target, seed=self._request.seed)
        if line is None:
            return 0.0
        share = line_share(self._sample.lazy(), line, name, self._target)
        return line_share(self._table, line, name, self._target) if share >= SCREEN_SHARE else 0.0

    def _gap(self, name: str, tell: Callable[[float], str] | None) -> Finding | None:
        told = tell(EQUAL_SHARE) if tell else ""
        if not told:
            return None
        found = f"{name!r} {told}: known only after the event? "
        return self._suspect("missing with the target", name, None, EQUAL_SHARE, found)

    def _single(self, name: str, gaps: Gaps | None) -> Finding | None:
        score = self._score(name)
        if score is None or score.value < SINGLE_FEATURE_LIMIT:
            return None
        empty = ""
        if gaps is not None:
            answer, share = gaps.emptiest()
            empty = f" and is empty for {_percent(share)} of {answer!r}" if share >= 0.5 else ""
        found = (
            f"{name!r} alone reaches {score.measure} {_floor(score.value)} (at least "
            f"{_floor(score.low)}, on {self._where}){empty}: known only after the event? "
        )
        is_sure = score.low >= SURE_LIMIT
        return self._suspect(
            "single feature", name, score.value, SINGLE_FEATURE_LIMIT, found, is_sure=is_sure
        )

    def _score(self, name: str) -> SingleScore | None:
        if self._profile.task_type == "regression":
            return score_values(self._sample[name], self._y, self._half)
        n_classes = len(self._profile.classes)
        return score_classes(self._sample[name], self._y, self._half, n_classes)

    def _suspect(
        self,
        rule: str,
        name: str,
        value: float | None,
        limit: float,
        found: str,
        *,
        is_sure: bool = True,
    ) -> Finding:
        if name in self._request.data.features.keep:
            detail = f"{found}It stays, since features.keep names it."
            action = "kept"
        else:
            detail = found + (_CURE if is_sure else _STAYS + _CURE[0].lower() + _CURE[1:])
            action = "dropped" if is_sure else "warned"
        return Finding(
            rule=rule, column=name, action=action, value=value, limit=limit, detail=detail
        )


def _floor(score: float) -> str:
    """Return a score with three digits, which never rounds up to 1.

    Examples:
        >>> _floor(0.99996), _floor(1.0)
        ('0.999', '1.000')
    """
    return f"{math.floor(score * 1000) / 1000:.3f}"


def _percent(share: float) -> str:
    """Return a share with one digit, which never rounds up to all.

    Examples:
        >>> _percent(0.9972), _percent(0.99996), _percent(1.0)
        ('99.7 %', 'over 99.9 %', '100 %')
    """
    if share == 1:
        return "100 %"
    return "over 99.9 %" if share >= 0.9995 else f"{share:.1%}".replace("%", " %")
