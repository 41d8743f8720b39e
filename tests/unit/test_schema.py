"""The published JSON Schema: valid, of one mind with the models, and true of every example project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import builders
import pytest
import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from pydantic import BaseModel

import harness
from harness.config.blocks import ArtifactBlock, Block, ContractBlock, DataBlock, ServeBlock, TrainBlock, json_schema

EXAMPLES = [builders.REPO / "compose.yaml", *sorted((builders.REPO / "tests/projects").glob("**/compose.yaml"))]


def _validator() -> Draft202012Validator:
    return Draft202012Validator(json_schema())


def test_schema_is_valid() -> None:
    """The schema is valid draft 2020-12 and says so."""
    assert json_schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_examples_satisfy_the_schema(path: Path) -> None:
    """The block of every example project satisfies the schema."""
    _validator().validate(yaml.safe_load(path.read_text(encoding="utf-8"))["x-harness"])


def test_there_are_examples() -> None:
    """The reference project and at least one project of each hand-over are tested."""
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("model", [TrainBlock, ArtifactBlock, ServeBlock, ContractBlock])
def test_defaults_are_those_of_the_model(model: type[BaseModel]) -> None:
    """Every default that the schema shows is the one that the model uses."""
    definition = json_schema()["$defs"][model.__name__]
    made = model().model_dump(mode="json", by_alias=True)
    shown = {name: entry["default"] for name, entry in definition["properties"].items()}
    assert shown == made


def test_defaults_of_the_dataset() -> None:
    """The block of the dataset requires its path alone."""
    definition = json_schema()["$defs"]["DataBlock"]
    made = DataBlock(path="x").model_dump(mode="json", by_alias=True)
    assert definition["required"] == ["path"]
    assert {n: e["default"] for n, e in definition["properties"].items() if n != "path"} | {"path": "x"} == made


def test_default_blocks_satisfy_the_schema() -> None:
    """The whole block of defaults, as the schema shows them, satisfies the schema itself."""
    properties = json_schema()["properties"]
    assert json_schema()["required"] == ["version"]
    shown = {name: entry["default"] for name, entry in properties.items() if "default" in entry}
    assert set(shown) == set(Block.model_fields) - {"version"} - ({"wheels", "skip", "manual"} - set(shown))
    _validator().validate({"version": 1, **shown})


@pytest.mark.parametrize(
    "block",
    [
        {"version": 1, "serv": {}},
        {"version": 1, "train": {"timout": "5s"}},
        {"version": 1, "train": {"from_": "x"}},
        {"version": 1, "data": {"path": "x", "schema_": "y"}},
        {"version": 2},
        {},
        {"version": 1, "serve": {"port": "8080"}},
        {"version": 1, "skip": {"data.pinned": ""}},
    ],
)
def test_schema_refuses_what_the_model_refuses(block: dict[str, Any]) -> None:
    """An unknown key, a wrong type and a missing version are refused by the schema too."""
    with pytest.raises(ValidationError):
        _validator().validate(block)


def test_every_key_is_described() -> None:
    """Every key has a description, so that an editor can show it."""
    for name, definition in json_schema()["$defs"].items():
        bare = [key for key, entry in definition["properties"].items() if not entry.get("description")]
        assert not bare, f"{name}: {bare}"


def test_published_schema_is_current() -> None:
    """The schema in the package, which editors read, is the one that `harness schema` prints."""
    published = json.loads((Path(harness.__file__).parent / "x-harness.schema.json").read_text(encoding="utf-8"))
    assert published == json_schema(), "run: harness schema > harness/x-harness.schema.json"
