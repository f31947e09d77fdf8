"""The published JSON Schema of `card.json`, made from the types that the card is made of."""

from typing import Any

from pydantic import create_model

from automl_assets.core.evaluation.openings import Opening
from automl_assets.core.evaluation.result import Evaluation
from automl_assets.core.evaluation.sections import load_sections
from automl_assets.core.request import TrainingRequest
from automl_assets.core.values import CandidateSet, DataSnapshot, Split, Value

CARD = "automl/card/v1"
"""Format of a card; it changes when a reader of the old one would misread the new one."""


class Identity(Value):
    """What the model is, and the digests that name what it was made from."""

    name: str
    request_id: str
    owner: str
    purpose: str
    accepted_at: str
    target: str
    seed: int
    data_uri: str
    data_sha256: str
    source_sha256: str
    request_sha256: str
    preprocessing_version: str
    model_sha256: str
    ledger_sha256: str


class MetricInfo(Value):
    """How a metric is called, and whether more or less of it is better."""

    label: str
    direction: str


class SectionSentence(Value):
    """What a person must know first of what a section found."""

    section: str
    text: str


def card_json_schema() -> dict[str, Any]:
    """Return the schema of `card.json`; numbers that JSON lacks are null there."""
    found: dict[str, Any] = {
        name: (section.result | None, None) for name, section in load_sections().items()
    }
    sections = create_model("Sections", __base__=Value, **found)
    fields: dict[str, Any] = {
        "identity": (Identity, ...),
        "request": (TrainingRequest, ...),
        "request_yaml": (str, ...),
        "data": (DataSnapshot, ...),
        "split": (Split, ...),
        "search": (CandidateSet, ...),
        "search_summary": (dict[str, Any], ...),
        "metrics": (dict[str, MetricInfo], ...),
        "opening": (Opening, ...),
        "evaluation": (Evaluation, ...),
        "findings": (list[SectionSentence], ...),
        "sections": (sections, ...),
        "limits": (list[str], ...),
        "environment": (dict[str, str], ...),
    }
    schema = create_model("Card", __base__=Value, **fields).model_json_schema()
    schema["properties"]["schema"] = {"const": CARD}
    schema["required"] = sorted([*schema["required"], "schema"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": CARD,
        "title": "Model card",
        **_with_null_numbers(schema),
    }


def _with_null_numbers(node: Any) -> Any:
    """Let each number be null as well: NaN and infinity are written so."""
    if isinstance(node, list):
        return [_with_null_numbers(item) for item in node]
    if not isinstance(node, dict):
        return node
    changed = {key: _with_null_numbers(item) for key, item in node.items()}
    if changed.get("type") == "number":
        changed["type"] = ["number", "null"]
    return changed
