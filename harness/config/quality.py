"""The `quality` part of the `x-harness` block."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from harness.config import gate_language
from harness.config.reference import SCHEME, Reference
from harness.config.values import HostPath, ProjectPath, Reads


def _condition(value: str) -> str:
    gate_language.parse(value)
    return value


def _not_empty(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise ValueError(
            f"expected at least one condition, for example `{gate_language.EXAMPLES[0]}`, received an empty list"
        )
    return value


ConditionText = Annotated[str, AfterValidator(_condition), Field(examples=list(gate_language.EXAMPLES))]


def _store(value: str) -> str:
    if value.startswith(SCHEME):
        Reference.parse(value)
    return value


StorePlace = Annotated[str, Field(min_length=1), AfterValidator(_store), HostPath(Reads.STORE)]


class PublishedBaseline(BaseModel):
    """The artifact that `harness publish` put into a store last."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    store: StorePlace = Field(
        description="Folder in the project, relative to compose.yaml, or oci://HOST[:PORT]/REPOSITORY[:TAG]; "
        "one model in each.",
        examples=["models/store", "oci://127.0.0.1:5000/models/penguins:main"],
    )
    plain_http: bool = Field(default=False, description="The registry speaks no TLS.")


class QualityBlock(BaseModel):
    """How good the served model must be on hold-out rows; a bare list is a list of conditions."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    conditions: Annotated[tuple[ConditionText, ...], AfterValidator(_not_empty)] = Field(
        strict=False,
        json_schema_extra={"minItems": 1},
        description="What must hold, such as `accuracy[island=Dream] >= 0.8`.",
    )
    holdout: ProjectPath | None = Field(
        None,
        description="CSV, JSON-lines or Parquet file with labelled rows; default: holdout.* or test.* in the data.",
    )
    target: str | None = Field(None, description="The column with the labels; default: `data.target`.")
    prediction: str = Field(
        "",
        description="JSON pointer to the prediction in the answer to one row; default: the answer itself, or its field "
        "with the name of the target.",
        examples=["/species"],
    )
    baseline: ProjectPath | PublishedBaseline | None = Field(
        None,
        description="Predictions of the model that the new one must not be worse than: a committed file, as each run "
        "writes one (quality/predictions.jsonl in its folder), or those of the last published artifact.",
        examples=["tests/baseline.jsonl", {"store": "oci://127.0.0.1:5000/models/penguins"}],
    )
    training: ProjectPath | None = Field(
        None, description="Rows that a dummy and a linear model learn from; default: train.* in the data."
    )
    unknown: Literal["warn", "fail", "pass"] = Field(
        "warn", description="What becomes of a condition that the rows are too few to decide."
    )

    @model_validator(mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return {"conditions": value} if isinstance(value, list | tuple) else value


def or_list(schema: JsonDict) -> None:
    """Add to the JSON Schema of the block that a list of conditions alone will do."""
    conditions = QualityBlock.model_json_schema()["properties"]["conditions"]
    choices = schema["anyOf"]
    if isinstance(choices, list):
        choices.insert(0, conditions)
