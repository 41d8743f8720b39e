"""What an OpenAPI document says of a request and of an answer, and what is wrong with it."""

from __future__ import annotations

import socket
from copy import deepcopy
from typing import Any

import pytest

from harness.openapi.bodies import documented_statuses, holder, request_validator
from harness.openapi.reading import Content, is_json, matches, operation, resolve
from harness.openapi.validity import errors, references_elsewhere, version

VERSIONS = ("3.0.3", "3.1.0", "3.2.0")
JSON = "application/json"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference to elsewhere must never make a check ask the network."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a check asked the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def document(version_: str = "3.1.0", **schemas: Any) -> dict[str, Any]:
    """A valid document with one operation; `Request` and `Answer` are its bodies."""
    return {
        "openapi": version_,
        "info": {"title": "demo", "version": "1"},
        "paths": {
            "/predict": {
                "post": {
                    "requestBody": {"content": {JSON: {"schema": {"$ref": "#/components/schemas/Request"}}}},
                    "responses": {
                        "200": {
                            "description": "ok",
                            "content": {JSON: {"schema": {"$ref": "#/components/schemas/Answer"}}},
                        },
                        "4XX": {"description": "refused", "content": {"application/problem+json": {}}},
                    },
                }
            }
        },
        "components": {"schemas": {"Request": {"type": "object"}, "Answer": {"type": "object"}, **schemas}},
    }


@pytest.mark.parametrize(
    ("template", "path", "fits"),
    [
        ("/predict", "/predict", True),
        ("/predict", "/predict/", False),
        ("/v1/models/{name}:predict", "/v1/models/penguins:predict", True),
        ("/v1/models/{name}:predict", "/v1/models/a/b:predict", False),
        ("/v1/models/{name}:predict", "/v1/models/penguins", False),
        ("/{a}/{b}", "/x/y", True),
        ("/a.b", "/acb", False),
    ],
)
def test_templates_match_real_paths(template: str, path: str, *, fits: bool) -> None:
    """A template stands for one segment or a part of one, and for nothing else."""
    assert matches(template, path) is fits


def test_the_operation_of_a_path() -> None:
    """An exact path wins over a template; path items, bodies and responses may be references."""
    whole = document()
    whole["paths"] |= {"/{any}": {"post": {"responses": {}}}, "/other": {"$ref": "#/components/pathItems/P"}}
    whole["components"]["pathItems"] = {"P": {"post": {"requestBody": {"$ref": "#/components/requestBodies/B"}}}}
    whole["components"]["requestBodies"] = {"B": {"content": {JSON: {"schema": {"type": "string"}}}}}
    exact, templated, referred = (operation(whole, path) for path in ("/predict?x=1", "/nothing", "/other"))
    assert exact is not None
    assert exact.path == "/predict"
    assert templated is not None
    assert templated.path == "/{any}"
    assert referred is not None
    assert referred.request.schema(JSON) == {"type": "string"}
    assert operation(whole, "/a/b") is None
    assert operation(whole, "/predict", "get") is None
    assert operation(None, "/predict") is None


def test_the_path_of_a_server_stands_before() -> None:
    """A document whose server has a path speaks of what stands below it."""
    whole = document() | {"servers": [{"url": "https://example.org/api/"}, {"url": "http://["}, "no server"]}
    assert operation(whole, "/api/predict") is not None
    assert operation(whole, "/apipredict") is None


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        ("#/a/b~1c/1", "y"),
        ("#/a/b%7E1c/0", "x"),
        ("#/a/circle", None),
        ("#/a/gone", None),
        ("http://127.0.0.1:9/x.json#/a", None),
        ("other.yaml", None),
    ],
)
def test_references(reference: str, target: Any) -> None:
    """A reference is followed inside the document only."""
    whole = {"a": {"b/c": ["x", "y"], "circle": {"$ref": "#/a/circle"}}}
    assert resolve(whole, {"$ref": reference}) == target


@pytest.mark.parametrize(
    ("listed", "sent", "found"),
    [
        (JSON, "application/json; charset=utf-8", True),
        ("Application/JSON; charset=utf-8", JSON, True),
        ("application/*", "application/problem+json", True),
        ("application/*+json", "application/problem+json", True),
        ("application/*+json", JSON, False),
        ("*/*", "text/plain", True),
        (JSON, "text/html", False),
        (JSON, "", True),
    ],
)
def test_content_types(listed: str, sent: str, *, found: bool) -> None:
    """Parameters and case do not count, ranges do; an answer without a type is taken for JSON."""
    assert (Content({}, {listed: {"schema": {"type": "string"}}}).schema(sent) is not None) is found


def test_the_narrowest_content_type_wins() -> None:
    """A range is used where nothing narrower is listed."""
    types = {"*/*": {"schema": 1}, "application/*": {"schema": 2}, JSON: {"schema": 3}, "text/plain": {}}
    content = Content({}, types)
    assert [content.schema(t) for t in (JSON, "application/x", "image/png", "text/plain")] == [3, 2, 1, True]


def test_what_is_json() -> None:
    """JSON is JSON under its other names too."""
    assert [is_json(t) for t in (JSON, "application/problem+json;v=1", "", "text/json", "text/html")] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_responses_by_status() -> None:
    """The status itself comes before its class, that before `default`."""
    whole = document()
    responses = whole["paths"]["/predict"]["post"]["responses"]
    found = operation(whole, "/predict")
    assert found is not None
    assert found.response(500) is None
    assert found.response(200) is not None
    refused = found.response(422)
    assert refused is not None
    assert list(refused.types) == ["application/problem+json"]
    responses["default"] = {"$ref": "#/components/responses/R"}
    whole["components"]["responses"] = {"R": {"description": "", "content": {"text/plain": {}}}}
    other = found.response(500)
    assert other is not None
    assert list(other.types) == ["text/plain"]
    assert documented_statuses(whole, "/predict") == frozenset({"200", "4XX", "default"})
    assert documented_statuses(whole, "/nothing") is None
    assert documented_statuses(None, "/predict") is None


ROW = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "next": {"$ref": "#/components/schemas/Row"}},
    "required": ["x"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("version_", VERSIONS)
def test_bodies_are_held_against_their_schema(version_: str) -> None:
    """References, circles of them and the numbers of JSON are understood in every version."""
    holds = holder(document(version_, Row=ROW), {"$ref": "#/components/schemas/Row"})
    assert holds({"x": 1, "next": {"x": 2.0}}) == ""
    assert holds({"x": True}) == "$.x: True is not of type 'integer'"
    assert holds({"x": 1, "next": {"x": 1, "y": 2}}) != ""
    assert str(holds({"x": 1, "next": {"x": "a"}})).startswith("$.next.x: ")
    assert "required" in str(holds({}))


@pytest.mark.parametrize(
    ("schema", "allowed"),
    [
        ({"type": "string", "nullable": True}, True),
        ({"allOf": [{"$ref": "#/components/schemas/Word"}], "nullable": True}, True),
        ({"$ref": "#/components/schemas/Word", "nullable": True}, True),
        ({"type": "string", "enum": ["a"], "nullable": True}, True),
        ({"type": "string", "nullable": False}, False),
        ({"type": "string"}, False),
    ],
)
def test_nullable_is_of_3_0(schema: Any, *, allowed: bool) -> None:
    """`nullable` allows null in 3.0, beside a reference too; from 3.1 on the word means nothing."""
    word = {"type": "string"}
    assert (holder(document("3.0.3", Word=word), schema)(None) == "") is allowed
    assert holder(document("3.1.0", Word=word), schema)(None)
    assert holder(document("3.0.3", Word=word), schema)(5)


def test_what_is_write_only_is_missing_in_answers() -> None:
    """3.0: a required field that clients only write is not required in what they read."""
    schema = {"type": "object", "properties": {"key": {"type": "string", "writeOnly": True}}, "required": ["key"]}
    assert holder(document("3.0.3"), schema)({}) == ""


@pytest.mark.parametrize("version_", VERSIONS)
@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/components/schemas/Gone"},
        {"$ref": "http://127.0.0.1:9/x.json"},
        {"$ref": "other.yaml#/x"},
        {"$ref": "#/components/schemas/Circle"},
        {"type": "strnig"},
        {"pattern": "("},
        {"properties": []},
        {"required": 5},
    ],
)
def test_what_a_schema_cannot_tell(version_: str, schema: Any) -> None:
    """A broken schema, or one that leads elsewhere, says nothing; it never raises and never asks the network."""
    whole = document(version_, Circle={"$ref": "#/components/schemas/Circle"})
    holds = holder(whole, {"allOf": [schema]})
    assert None in (holds("x"), holds({"a": 1}))


def test_requests() -> None:
    """The validator of requests says yes, no, or that it does not know."""
    allows = request_validator(document(Request=ROW | {"additionalProperties": True}, Row=ROW), "/predict")
    assert allows is not None
    assert [allows({"x": 1}), allows({})] == [True, False]
    unknown = request_validator(document(Request={"$ref": "elsewhere.json"}), "/predict")
    assert unknown is not None
    assert unknown({}) is None
    assert request_validator(document(), "/other") is None
    assert request_validator(None, "/predict") is None
    no_body = document()
    del no_body["paths"]["/predict"]["post"]["requestBody"]
    assert request_validator(no_body, "/predict") is None


@pytest.mark.parametrize("paths", [None, [], {"/predict": 5}, {"/predict": {"post": 1}}])
def test_documents_that_are_none(paths: Any) -> None:
    """A document of another form says nothing."""
    broken = {"paths": paths}
    assert request_validator(broken, "/predict") is None
    assert documented_statuses(broken, "/predict") is None


@pytest.mark.parametrize("version_", VERSIONS)
def test_a_valid_document(version_: str) -> None:
    """Nothing is wrong with a good document, a default that its schema refuses, or a circle of fields."""
    whole = document(version_, Row=ROW, Word={"type": "string", "default": 5})
    assert errors(whole) == []
    assert version(whole) == version_[:3]


def _changed(version_: str, keys: str, value: Any) -> dict[str, Any]:
    """Return a valid document with one thing changed; None removes it."""
    whole = deepcopy(document(version_))
    node: Any = whole
    *path, last = keys.split("|")
    for key in path:
        node = node[key]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return whole


OPERATION = "paths|/predict|post"
TWICE = {"operationId": "twice", "responses": {"200": {"description": ""}}}


@pytest.mark.parametrize("version_", VERSIONS)
@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        ("info", None, "$: 'info' is a required property"),
        ("paths", [], "$.paths: [] is not of type 'object'"),
        ("components|schemas", [], "$.components.schemas: "),
        ("components|schemas|Answer", {"type": "strnig"}, "$.components.schemas.Answer.type: 'strnig' is not"),
        (f"{OPERATION}|responses|200", {"description": 5}, '$.paths["/predict"].post.responses.200'),
        (f"{OPERATION}|requestBody|content|{JSON}|schema", "no", '["application/json"].schema: '),
        (
            "components|schemas|Answer",
            {"$ref": "#/components/schemas/Gone"},
            "schemas/Gone leads to nothing",
        ),
        ("components|schemas|Answer", {"$ref": "#/components/schemas/Answer"}, "without end"),
        ("paths|/predict", {"get": TWICE, "put": TWICE}, "Operation ID 'twice'"),
        ("paths|/x/{id}", {"get": {"responses": {"200": {"description": ""}}}}, "Path parameter 'id'"),
    ],
)
def test_an_invalid_document(version_: str, keys: str, value: Any, said: str) -> None:
    """Each fault is named with its place."""
    found = errors(_changed(version_, keys, value))
    assert said in "\n".join(found), found


@pytest.mark.parametrize("version_", VERSIONS)
def test_references_to_elsewhere_are_not_fetched(version_: str) -> None:
    """They are legal, and nobody looks where they lead."""
    whole = document(version_, Far={"$ref": "https://127.0.0.1:9/x.json"}, Near={"$ref": "near.yaml#/X"})
    assert errors(whole) == []
    assert references_elsewhere(whole) == ["https://127.0.0.1:9/x.json", "near.yaml#/X"]
    assert isinstance(errors(document(version_, Base={"$id": "http://127.0.0.1:9/", "items": {"$ref": "#/x"}})), list)


@pytest.mark.parametrize(("text", "found"), [("3.1", None), ("3.1.0", "3.1"), (3.1, None), ("4.0.0-rc1", "4.0")])
def test_versions(text: Any, found: str | None) -> None:
    """A version has three numbers."""
    assert version({"openapi": text}) == found
    assert version({}) is None
