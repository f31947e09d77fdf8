"""The model card: all that the report shows, as data."""

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from automl_assets.core.evaluation.openings import Opening
from automl_assets.core.evaluation.result import Evaluation
from automl_assets.core.evaluation.sections import load_sections
from automl_assets.core.metrics import load_metrics
from automl_assets.core.report.limits import NO_FAILURES, find_limits, off_choice
from automl_assets.core.report.schema import CARD
from automl_assets.core.report.search_importance import parameter_importance
from automl_assets.core.report.search_words import (
    family_accounts,
    final_model,
    gap,
    limit_rows,
    model_parts,
    refit_text,
    why_not,
)
from automl_assets.core.values import AcceptedRequest, CandidateSet, DataSnapshot, Split, Value


def build_card(
    *,
    accepted: AcceptedRequest,
    snapshot: DataSnapshot,
    split: Split,
    candidates: CandidateSet,
    evaluation: Evaluation,
    sections: Mapping[str, Value],
    opening: Opening,
    environment: dict[str, str],
    failed: Mapping[str, str] = NO_FAILURES,
) -> dict[str, Any]:
    """Return the card as plain JSON values; numbers that JSON lacks become null."""
    request = accepted.request
    card = {
        "schema": CARD,
        "identity": {
            "name": request.name,
            "request_id": accepted.request_id,
            "owner": request.owner,
            "purpose": request.purpose,
            "accepted_at": accepted.accepted_at,
            "target": request.data.target,
            "seed": request.seed,
            "data_uri": snapshot.uri,
            "data_sha256": snapshot.content_sha256,
            "source_sha256": snapshot.source_sha256,
            "request_sha256": accepted.request_sha256,
            "preprocessing_version": split.preprocessing_version,
            "model_sha256": candidates.artifact_sha256,
            "ledger_sha256": candidates.ledger_sha256,
        },
        "request": json.loads(request.canonical_json()),
        "request_yaml": request.to_yaml(),
        "data": snapshot.model_dump(mode="json"),
        "split": split.model_dump(mode="json"),
        "search": candidates.model_dump(mode="json"),
        "search_summary": _search_summary(candidates),
        "metrics": {
            name: {"label": metric.label, "direction": metric.direction}
            for name, metric in load_metrics().items()
        },
        "evaluation": evaluation.model_dump(mode="json"),
        "opening": opening.model_dump(mode="json"),
        "findings": [
            *_off_choice(candidates, evaluation),
            *(
                {"section": name, "text": text}
                for name, found in sections.items()
                for text in load_sections()[name].sentences(found)
            ),
        ],
        "sections": {name: found.model_dump(mode="json") for name, found in sections.items()},
        "limits": list(
            find_limits(
                snapshot=snapshot,
                split=split,
                candidates=candidates,
                evaluation=evaluation,
                sections=sections,
                opening=opening,
                failed=failed,
            )
        ),
        "environment": environment,
    }
    return _without_nan(card)


def _off_choice(candidates: CandidateSet, evaluation: Evaluation) -> list[dict[str, str]]:
    told = off_choice(candidates, evaluation)
    return [] if told is None else [{"section": "search", "text": told}]


def _search_summary(candidates: CandidateSet) -> dict[str, Any]:
    """Return what follows from the trials, so that no reader of the card computes it again."""
    leaders = candidates.leaderboard
    members = model_parts(candidates)
    return {
        "model": final_model(candidates),
        "family": candidates.model_family,
        "refit": refit_text(members),
        "members": [member.model_dump(mode="json") for member in members],
        "limits": [dataclasses.asdict(row) for row in limit_rows(candidates)],
        "families": [
            dataclasses.asdict(account)
            for account in family_accounts(leaders, candidates.direction)
        ],
        "parameter_importance": [
            dataclasses.asdict(item) for item in parameter_importance(candidates)
        ],
        "why_not": {str(item.number): why_not(item, candidates.limits) for item in leaders},
        "gap": {str(item.number): gap(item, candidates.direction) for item in leaders},
    }


def card_bytes(card: dict[str, Any]) -> bytes:
    """Return the one spelling of a card; its digest is what people approve."""
    text = json.dumps(card, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
