"""What a user asks for: the request file `automl/v1`, its canonical form and its digest.

A request is checked once, here. Whoever holds a `TrainingRequest` holds one that
is well formed, does not contradict itself, and asks for nothing that this
version would ignore.
"""

import hashlib
import json
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import InitErrorDetails, ValidationError

from automl_assets.core.request.numbers import HUMAN, Seed
from automl_assets.core.request.release import (
    Approval,
    Constraints,
    Deploy,
    Explain,
    Monitor,
    Resources,
    Robustness,
    Version,
)
from automl_assets.core.request.rules import NOT_SUPPORTED, broken_rules
from automl_assets.core.request.sections import Data, Model, Search, Section, Split, Task
from automl_assets.core.request.text import Column, Name, Owner, Prose, RequestId

SCHEMA_FILE = "automl-v1.schema.json"
"""Name under which the JSON Schema lies beside request files."""


class TrainingRequest(Section):
    """A request to train a model: one file, one partition, one run."""

    api_version: Literal["automl/v1"] = Field(
        alias="apiVersion", description="Version of this format."
    )
    kind: Literal["TrainingRequest"] = Field(description="What the file is.")
    name: Name = Field(description="Name of the registered model.")
    owner: Owner = Field(description="Who asks; must be the one who submits.")
    purpose: Prose = Field(default="", description="What the model is for, in words.")
    parent: RequestId | None = Field(
        default=None, description="The request that this one follows, as when data are new."
    )
    seed: Seed = Field(default=0, description="Decides every random choice.")
    data: Data = Field(description="Where the rows are and what the columns mean.")
    split: Split = Field(
        default=Split.model_construct(), description="How the rows become four disjoint parts."
    )
    task: Task = Field(
        default=Task.model_construct(), description="What is learned and how it is judged."
    )
    model: Model = Field(default=Model.model_construct(), description="Which models may be built.")
    search: Search = Field(
        default=Search.model_construct(), description="How models are looked for."
    )
    constraints: Constraints | None = Field(
        default=None, description="Hard limits: a candidate that breaks one cannot win."
    )
    slices: tuple[Column, ...] = Field(
        default=(), max_length=100, description="Columns or predicates that are looked at apart."
    )
    robustness: Robustness | None = Field(default=None, description="How inputs are disturbed.")
    explain: Explain | None = Field(default=None, description="How the model is explained.")
    resources: Resources = Field(
        default=Resources.model_construct(), description="What a run may use."
    )
    approval: Approval | None = Field(default=None, description="Who must agree first.")
    deploy: Deploy | None = Field(default=None, description="Where the model is served.")
    monitor: Monitor | None = Field(default=None, description="How it is watched.")
    version: Version | None = Field(default=None, description="How its version is counted.")

    @field_validator("constraints")
    @classmethod
    def _without_limits_is_none(cls, constraints: Constraints | None) -> Constraints | None:
        # Equal meanings have one canonical form.
        return None if constraints == Constraints.model_construct() else constraints

    @field_validator("version")
    @classmethod
    def _counted_as_usual_is_none(cls, version: Version | None) -> Version | None:
        return None if version == Version.model_construct() else version

    @field_validator("explain")
    @classmethod
    def _explained_as_usual_is_none(cls, explain: Explain | None) -> Explain | None:
        return None if explain == Explain.model_construct() else explain

    @model_validator(mode="after")
    def _keep_the_rules(self) -> Self:
        findings = [
            InitErrorDetails(type=finding.error, loc=finding.loc, input=None)
            for finding in broken_rules(self)
        ]
        if findings:
            # One error with many lines: pydantic merges them into its own report.
            raise ValidationError.from_exception_data("TrainingRequest", findings)
        return self

    def canonical_json(self) -> str:
        """Return the one spelling of this request: what differs from the defaults, keys sorted.

        Requests that mean the same have the same canonical form, and a new
        optional key in a later version does not change it.
        """
        content = self.model_dump(mode="json", exclude_defaults=True)
        return json.dumps(
            content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )

    @property
    def sha256(self) -> str:
        """Digest of the canonical JSON, 64 hexadecimal digits."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()

    @property
    def request_id(self) -> str:
        """Partition key: `<name>-<first 10 hex of the digest>`."""
        return f"{self.name}-{self.sha256[:10]}"

    @property
    def split_strategy(self) -> Literal["time", "group", "random", "column"]:
        """The strategy asked for, or the one that the data call for."""
        if self.split.strategy is not None:
            return self.split.strategy
        if self.data.time is not None:
            return "time"
        return "random" if self.data.group is None else "group"

    @property
    def sample_seed(self) -> int:
        """The seed of the row sample: its own, or that of the request."""
        seed = self.data.rows.sample.seed
        return self.seed if seed is None else seed

    @property
    def may_combine(self) -> bool:
        """Whether the final model may consist of several candidates.

        An ensemble of readable models is not readable, its trees add up, and an average
        of probabilities lets all columns act together.
        """
        model = self.model
        bound = model.interpretable_only or model.max_trees is not None or model.interactions
        return self.search.ensemble == "greedy" and not bound

    def to_yaml(self) -> str:
        """Return a request file for people, which reads back as this very request."""
        from automl_assets.core.request.yaml import write_yaml

        content = self.model_dump(mode="json", exclude_defaults=True, context=HUMAN)
        return f"# yaml-language-server: $schema={SCHEMA_FILE}\n{write_yaml(content)}"


def request_json_schema() -> dict[str, Any]:
    """Return the JSON Schema of request files, for editors and other programs.

    It accepts all that the parser accepts; the rules between keys are left to
    the parser. Keys that this version refuses say so in their description.
    """
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "automl/v1",
        **TrainingRequest.model_json_schema(),
    }
    for entry in NOT_SUPPORTED:
        node = schema
        *sections, key = entry.path.split(".")
        for section in sections:
            described = node["properties"][section]
            # A section that may be left out is "this or null".
            reference = described.get("$ref") or described["anyOf"][0]["$ref"]
            node = schema["$defs"][reference.rpartition("/")[2]]
        described = node["properties"][key]
        described["description"] += f" Not supported yet: {entry.cure}."
    return schema
