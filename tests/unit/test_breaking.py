"""What of a new API document breaks the clients of the old one, and what does not."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from harness.openapi.breaking import breaking_changes, changes

JSON = "application/json"
ROW = {
    "type": "object",
    "properties": {
        "x": {"type": "number", "minimum": 0, "maximum": 10},
        "sex": {"enum": ["f", "m"]},
        "note": {"anyOf": [{"type": "string", "maxLength": 5}, {"type": "null"}]},
        "list": {"type": "array", "items": {"$ref": "#/components/schemas/Item"}, "minItems": 1},
        "next": {"$ref": "#/components/schemas/Row"},
    },
    "required": ["x"],
}
ITEM = {"type": "object", "properties": {"y": {"type": "integer"}}, "required": ["y"]}
REMOVED = object()


def document(version: str = "3.1.0") -> dict[str, Any]:
    """Take rows and answer with rows."""
    body = {JSON: {"schema": {"$ref": "#/components/schemas/Row"}}}
    operation = {
        "parameters": [{"name": "q", "in": "query", "schema": {"type": "string"}}],
        "requestBody": {"content": body},
        "responses": {"200": {"description": "", "content": body}, "422": {"description": ""}},
    }
    return {
        "openapi": version,
        "paths": {"/predict/{id}": {"post": operation}, "/health": {"get": {"responses": {"200": {}}}}},
        "components": {"schemas": {"Row": deepcopy(ROW), "Item": deepcopy(ITEM)}},
    }


def changed(where: str, value: Any, whole: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the document with one thing set or removed; keys are separated by `|`."""
    made = deepcopy(whole or document())
    node: Any = made
    *path, last = where.split("|")
    for key in path:
        node = node[key]
    if value is REMOVED:
        del node[last]
    elif isinstance(node, list):
        node.append(value)
    else:
        node[last] = value
    return made


POST = "paths|/predict/{id}|post"
R = "components|schemas|Row"
AT = "POST /predict/{id}: "

# What is changed -> what a client that sends rows suffers, and one that reads them; None: nothing.
SCHEMAS: list[tuple[str, Any, str | None, str | None]] = [
    (f"{R}|required", ["x", "sex"], "request sex is now required", None),
    (f"{R}|required", [], None, "answer 200 x is no longer always there"),
    (f"{R}|properties|sex", REMOVED, None, "answer 200 sex is gone from the answer"),
    (f"{R}|properties|new", {"type": "string"}, None, None),
    (f"{R}|additionalProperties", False, "request unknown fields are now refused", None),
    (f"{R}|additionalProperties", {"type": "string"}, "request * no longer takes anything (only string)", None),
    (f"{R}|properties|x|type", "integer", "request x no longer takes number (only integer)", None),
    (f"{R}|properties|x|type", "string", "request x no longer takes number", "answer 200 x may now be string"),
    (f"{R}|properties|x|type", ["number", "null"], None, "answer 200 x may now be null (was number)"),
    (f"{R}|properties|x|type", REMOVED, None, "answer 200 x may now be anything (was number)"),
    (f"{R}|properties|x|minimum", 1, "request x minimum was 0, is 1", None),
    (f"{R}|properties|x|minimum", REMOVED, None, "answer 200 x minimum was 0, is not limited"),
    (f"{R}|properties|x|maximum", 11, None, "answer 200 x maximum was 10, is 11"),
    (f"{R}|properties|x|exclusiveMaximum", 10, 'request x maximum was 10, is "10 (excluded)"', None),
    (f"{R}|properties|x|multipleOf", 2, "request x multipleOf was not limited, is 2", None),
    (f"{R}|properties|x|enum", [1, 2], "request x no longer takes any number (only 1, 2)", None),
    (f"{R}|properties|sex|enum", ["f"], 'request sex no longer takes "m"', None),
    (f"{R}|properties|sex|enum", ["f", "m", "x"], None, 'answer 200 sex may now be "x"'),
    (f"{R}|properties|sex", {"const": "f"}, 'request sex no longer takes "m"', None),
    (f"{R}|properties|note|anyOf", [{"type": "string", "maxLength": 5}], "request note no longer takes null", None),
    (f"{R}|properties|note|anyOf|0|maxLength", 4, "request note maxLength was 5, is 4", None),
    (f"{R}|properties|note|anyOf|0|pattern", "^a", 'request note pattern was not limited, is "^a"', None),
    (f"{R}|properties|note|anyOf", {"type": "boolean"}, None, "answer 200 note may now be boolean"),
    (f"{R}|properties|list|minItems", 2, "request list minItems was 1, is 2", None),
    (f"{R}|properties|list|uniqueItems", True, "request list uniqueItems was not limited, is true", None),
    ("components|schemas|Item|properties|y|type", "number", None, "answer 200 list/[]/y may now be number"),
    ("components|schemas|Item|required", [], None, "answer 200 list/[]/y is no longer always there"),
    (f"{R}|description", "other words", None, None),
]


def _applied(where: str, value: Any) -> dict[str, Any]:
    if "anyOf|0|" in where:
        made = deepcopy(document())
        made["components"]["schemas"]["Row"]["properties"]["note"]["anyOf"][0][where.rpartition("|")[2]] = value
        return made
    if where.endswith("anyOf") and isinstance(value, dict):
        made = deepcopy(document())
        made["components"]["schemas"]["Row"]["properties"]["note"]["anyOf"].append(value)
        return made
    return changed(where, value)


@pytest.mark.parametrize(("where", "value", "request_", "answer"), SCHEMAS)
def test_changes_of_a_schema(where: str, value: Any, request_: str | None, answer: str | None) -> None:
    """A narrower request and a wider answer break; the opposite does not."""
    found = breaking_changes(document(), _applied(where, value))
    expected = [text for text in (request_, answer) if text]
    assert len(found) == len(expected), found
    for said, text in zip(found, expected, strict=True):
        assert said.startswith(AT + text), found


NEW_PARAMETER = f"{AT}query parameter n is new and required"
OPERATIONS: list[tuple[str, Any, str | None]] = [
    ("paths|/health", REMOVED, "/health: the path is gone"),
    ("paths|/health", {"put": {"responses": {}}}, "GET /health: the operation is gone"),
    (f"{POST}|parameters", [], None),
    (
        f"{POST}|parameters|-",
        {"name": "n", "in": "query", "required": True},
        NEW_PARAMETER,
    ),
    (f"{POST}|parameters|-", {"name": "n", "in": "header"}, None),
    (f"{POST}|parameters|-", {"name": "id", "in": "path", "required": True}, None),
    (f"{POST}|parameters", [{"name": "q", "in": "query", "required": True}], f"{AT}query parameter q is now required"),
    (
        f"{POST}|parameters",
        [{"name": "q", "in": "query", "schema": {"type": "integer"}}],
        f"{AT}query parameter q no longer takes string (only integer)",
    ),
    (f"{POST}|requestBody|required", True, f"{AT}the request body is now required"),
    (f"{POST}|requestBody|content", {"text/csv": {}}, f"{AT}request no longer takes {JSON}"),
    (f"{POST}|requestBody|content|text/csv", {}, None),
    (f"{POST}|requestBody|content", {"application/*": {"schema": {}}}, None),
    (f"{POST}|responses|200|content", {"text/csv": {}}, f"{AT}answer 200 is no longer {JSON}"),
    (f"{POST}|responses|200", REMOVED, f"{AT}answer 200 is gone"),
    (f"{POST}|responses|422", REMOVED, None),
    (f"{POST}|responses|201", {"description": ""}, None),
    ("paths|/new", {"get": {}}, None),
]


@pytest.mark.parametrize(("where", "value", "said"), OPERATIONS)
def test_changes_of_operations(where: str, value: Any, said: str | None) -> None:
    """What is gone or newly demanded breaks; what is new and may be ignored does not."""
    assert breaking_changes(document(), changed(where, value)) == ([said] if said else [])


def test_additions_are_counted() -> None:
    """What is new and breaks nobody is an addition."""
    new = changed("paths|/new", {"get": {}})
    new = changed(f"{R}|properties|new", {"type": "string"}, new)
    new = changed(f"{POST}|responses|201", {"description": ""}, new)
    found = changes(document(), new)
    assert found.breaking == []
    assert found.additions == [
        f"{AT}request new is new and optional",
        f"{AT}answer 200 new is new in the answer",
        f"{AT}answer 201 is new",
        "/new: is new",
    ]


def test_names_of_path_parameters_do_not_count() -> None:
    """A path is the same under other names of its parameters."""
    new = document()
    new["paths"]["/predict/{name}"] = new["paths"].pop("/predict/{id}")
    assert breaking_changes(document(), new) == []


def test_a_new_required_field() -> None:
    """A new field that must be sent breaks; as a part of the answer it does not."""
    new = changed(f"{R}|properties|z", {"type": "string"})
    new["components"]["schemas"]["Row"]["required"].append("z")
    assert breaking_changes(document(), new) == [f"{AT}request z is new and required"]


def test_a_field_that_a_closed_request_no_longer_takes() -> None:
    """A field that is gone breaks where unknown fields are refused."""
    old = changed(f"{R}|additionalProperties", False)
    new = changed(f"{R}|properties|sex", REMOVED, old)
    assert f"{AT}request sex is no longer taken, and unknown fields are refused" in breaking_changes(old, new)


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
def test_nullable_of_3_0(version: str) -> None:
    """`nullable` is null in 3.0 and nothing later."""
    old = document(version)
    new = changed(f"{R}|properties|x|nullable", True, old)
    expected = [f"{AT}answer 200 x may now be null (was number)"] if version == "3.0.3" else []
    assert breaking_changes(old, new) == expected


def test_from_3_0_to_3_1() -> None:
    """The same promise in the words of another version is the same promise."""
    old, new = document("3.0.3"), document("3.1.0")
    row = {"type": "number", "nullable": True, "minimum": 0, "exclusiveMinimum": True}
    old["components"]["schemas"]["Row"]["properties"]["x"] = row
    new["components"]["schemas"]["Row"]["properties"]["x"] = {"type": ["number", "null"], "exclusiveMinimum": 0}
    assert breaking_changes(old, new) == []
    assert breaking_changes(new, old) == []


def test_a_schema_put_together() -> None:
    """`allOf` of parts is the same as one schema of them, and its changes are seen."""
    new = document()
    schemas = new["components"]["schemas"]
    whole = schemas["Row"]
    fields = dict(whole["properties"])
    base = {"type": "object", "properties": {"x": fields.pop("x")}, "required": ["x"]}
    schemas |= {"Base": base, "Row": {"allOf": [{"$ref": "#/components/schemas/Base"}, {"properties": fields}]}}
    assert breaking_changes(document(), new) == []
    base["required"] = []
    assert breaking_changes(document(), new) == [f"{AT}answer 200 x is no longer always there"]


def test_circles_end() -> None:
    """Schemas that contain or are composed of themselves are compared in finite time."""
    circle = {"$ref": "#/components/schemas/Row"}
    for row in (
        circle,
        {"anyOf": [circle, {"type": "string"}]},
        {"allOf": [circle]},
        {"allOf": [{"$ref": "#/components/schemas/Item"}, {"properties": {"y": circle}}]},
        {"type": "array", "items": {"anyOf": [circle, {"type": "array", "items": circle}]}},
    ):
        one, other = document(), document()
        one["components"]["schemas"]["Row"] = row
        one["components"]["schemas"]["Item"]["properties"]["y"] = circle
        assert breaking_changes(one, deepcopy(one)) == []
        assert isinstance(breaking_changes(one, other), list)
        assert isinstance(breaking_changes(other, one), list)


@pytest.mark.parametrize(
    "broken",
    [{}, {"paths": 5}, {"paths": {"/health": 5, "/predict/{id}": {"post": {"responses": 5, "parameters": 5}}}}],
)
def test_documents_that_are_none(broken: Any) -> None:
    """A document of another form is compared as far as it goes."""
    assert breaking_changes(broken, document()) == []
    assert breaking_changes(document(), broken) != []


@pytest.mark.parametrize("value", [[], 5, {"type": 5}, {"properties": [], "required": 5}, {"enum": 5}, {"allOf": {}}])
def test_schemas_that_are_none(value: Any) -> None:
    """A schema of another form is compared as far as it goes."""
    for field in ("Row", "Item"):
        new = changed(f"components|schemas|{field}", value)
        assert isinstance(breaking_changes(document(), new), list)
        assert isinstance(breaking_changes(new, document()), list)
