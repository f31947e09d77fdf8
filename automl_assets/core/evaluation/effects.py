"""What disturbed rows do to decisions and to the search's metric."""

from typing import Literal

import numpy as np
import polars as pl

from automl_assets.core.errors import ContractError
from automl_assets.core.evaluation.clusters import clusters_of
from automl_assets.core.evaluation.comparison import compare
from automl_assets.core.evaluation.disturbing import Disturbed
from automl_assets.core.evaluation.drawn import seen_by_metric
from automl_assets.core.evaluation.examination import Examined, Rows
from automl_assets.core.evaluation.intervals import share_interval
from automl_assets.core.evaluation.wording import percent, shown
from automl_assets.core.values import Value

Kind = Literal["jitter", "missing", "unseen category", "unit", "off by one", "missing column"]


MIN_ROWS = 2
"""Of one row a loss has no interval."""


class Loss(Value):
    """How much worse the search's metric gets on disturbed rows; positive is worse."""

    value: float
    low: float
    high: float
    confidence: float
    method: str


class Effect(Value):
    """What one disturbance does.

    Attributes:
        column: The raw column; empty where all are disturbed.
        how: What is done to the values, as the end of a sentence.
        changed: Share of decisions that change, with Wilson's interval; None for regression.
        change: Mean size of the change of a prediction, in the target's unit; regression only.
        change_share: That in standard deviations of the target; regression only.
        loss: Of the search's metric; None where it is undefined, or was not asked.
        n_tried: Columns of which this is the one with the largest effect; 1 where there was
            no choice. The interval of the loss allows for the choice (C. Bonferroni, 1936).
    """

    kind: Kind
    column: str = ""
    how: str
    n_rows: int
    changed: float | None = None
    changed_low: float | None = None
    changed_high: float | None = None
    change: float | None = None
    change_share: float | None = None
    loss: Loss | None = None
    n_tried: int = 1

    @property
    def size(self) -> float:
        """Share of changed decisions, or the change in spreads of the target."""
        return self.change_share or 0.0 if self.changed is None else self.changed


class Bench:
    """Some rows, and what disturbing them does to decisions.

    Args:
        examined: Whose model decides.
        rows: Of its analysis part.
    """

    def __init__(self, examined: Examined, rows: Rows) -> None:
        self._examined, self.rows = examined, rows
        self._disturbed = Disturbed(rows.X, examined.predictor.preprocessing)
        self._clusters = clusters_of(rows.groups, rows.times)
        self._spread = float(np.std(rows.y)) or 1.0

    def _predicted(self, changed: dict[str, pl.Series]) -> np.ndarray:
        return self._examined.predictor.predict_matrix(self._disturbed.encoded(changed))

    def effect(
        self,
        kind: Kind,
        how: str,
        changed: dict[str, pl.Series],
        *,
        column: str = "",
        n_tried: int | None = None,
    ) -> Effect:
        """Return what a disturbance does.

        Args:
            kind: What is disturbed.
            how: As in `Effect`.
            changed: New values of raw columns, by name.
            column: The one column that is disturbed; empty where all are.
            n_tried: As in `Effect`; None: the loss is not asked, which saves a bootstrap.
        """
        after, before = self._predicted(changed), self.rows.prediction
        found: dict[str, float] = {}
        n_rows = len(before)
        if self._examined.classes:
            decide = self._examined.decisions
            differs = decide(after) != decide(before)
            low, high, _ = share_interval(differs, self._examined.confidence, self._clusters)
            found = {"changed": float(differs.mean()), "changed_low": low, "changed_high": high}
        else:
            change = float(np.abs(after - before).mean())
            found = {"change": change, "change_share": change / self._spread}
        loss = None if n_tried is None else self._loss(after, n_tried)
        return Effect(
            kind=kind,
            column=column,
            how=how,
            n_rows=n_rows,
            loss=loss,
            n_tried=n_tried or 1,
            **found,
        )

    def _loss(self, after: np.ndarray, n_tried: int) -> Loss | None:
        examined = self._examined
        if len(after) < MIN_ROWS:
            return None
        try:
            found = compare(
                examined.metric,
                self.rows.y,
                seen_by_metric(examined, after),
                seen_by_metric(examined, self.rows.prediction),
                seed=examined.seed,
                confidence=1 - (1 - examined.confidence) / n_tried,
                groups=self._clusters,
            )
        except ContractError:
            return None
        return Loss(
            value=-found.gain,
            low=-found.high,
            high=-found.low,
            confidence=found.confidence,
            method=found.method,
        )


def said(effect: Effect) -> str:
    """Return the size of an effect in words.

    Examples:
        >>> said(Effect(kind="jitter", how="noise", n_rows=10, changed=0.1))
        '10% of decisions change'
    """
    if effect.changed is not None:
        return f"{percent(effect.changed)} of decisions change"
    return (
        f"predictions change by {shown(effect.change or 0.0)} on average, "
        f"{percent(effect.change_share or 0.0)} of the target's spread"
    )
