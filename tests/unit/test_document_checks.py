"""The checks of the API document: records that pass each, and records that fail exactly it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import builders
import pytest
from builders import exchange
from defects import defect, shows

from harness.checks import all_checks
from harness.checks.judge import judge_one
from harness.evidence.records import Contract, Evidence, Exchange, Finding, Interface, Status

PASS, WARN, FAIL, SKIP = Status.PASS, Status.WARN, Status.FAIL, Status.SKIP
CHECKS = {check.name: check for check in all_checks()}
JSON = "application/json"
ROUTE = "POST /predict: "

DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "demo", "version": "1"},
    "paths": {
        "/predict": {
            "post": {
                "requestBody": {"content": {JSON: {"schema": {"type": "object"}}}},
                "responses": {
                    "200": {"description": "", "content": {JSON: {"schema": {"$ref": "#/components/schemas/Answer"}}}},
                    "422": {"description": "", "content": {JSON: {"schema": {"required": ["detail"]}}}},
                },
            }
        }
    },
    "components": {
        "schemas": {
            "Answer": {
                "type": "object",
                "properties": {"predictions": {"type": "array", "items": {"type": "number"}}},
                "required": ["predictions"],
            }
        }
    },
}


def contract(*exchanges: Exchange, document: Any = DOCUMENT, error: str | None = None, **interface: str) -> Contract:
    spoken = Interface(**{"dialect": "openapi", "ready": "/health", "predict": "/predict", **interface})
    return Contract(exchanges or (exchange(),), spoken, document, error)


def judged(name: str, contract_: Contract, **spec: Any) -> list[Finding]:
    found = Evidence(contract=contract_, spec=builders.spec(spec.pop("block", None), **spec))
    return list(judge_one(found, CHECKS[name]))


def changed(*path: str, value: Any) -> dict[str, Any]:
    made = deepcopy(DOCUMENT)
    node: Any = made
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return made


def test_a_valid_document_passes() -> None:
    """The document of a good service is one."""
    [found] = judged("contract.openapi-valid", contract())
    assert (found.status, found.received) == (PASS, "OpenAPI 3.1, 1 paths")


INVALID: list[tuple[Any, str]] = [
    (changed("info", value={}), "$.info: 'title' is a required property"),
    (changed("components", "schemas", "Answer", "type", value="strnig"), "$.components.schemas.Answer.type: "),
    (changed("openapi", value="three"), "$.openapi: no version"),
    ({"swagger": "2.0"}, "$.openapi: no version"),
]


@pytest.mark.parametrize(
    ("document", "said"), [pytest.param(*i, marks=shows("contract.openapi-valid", FAIL, i[1])) for i in INVALID]
)
def test_an_invalid_document_fails(document: Any, said: str) -> None:
    """Its faults are named with their places."""
    [found] = judged("contract.openapi-valid", contract(document=document))
    assert found.status is FAIL
    assert said in found.received
    assert found.advice


def test_many_faults_are_cut() -> None:
    """A finding names five faults and counts the rest."""
    schemas = {name: {"type": "strnig"} for name in ("Answer", *"ABCDEFGH")}
    [found] = judged("contract.openapi-valid", contract(document=changed("components", "schemas", value=schemas)))
    assert found.received.endswith("more")
    assert len(found.received.splitlines()) == 6


def test_references_to_elsewhere_are_counted() -> None:
    """They are not looked at, and the finding says so."""
    document = changed("components", "schemas", "Far", value={"$ref": "https://127.0.0.1:9/x.json"})
    [found] = judged("contract.openapi-valid", contract(document=document))
    assert (found.status, found.received) == (PASS, "OpenAPI 3.1, 1 paths; 1 references to elsewhere not looked at")


@pytest.mark.parametrize(
    ("contract_", "status"),
    [
        pytest.param(
            contract(document=None, error="GET /openapi.json: 404"),
            FAIL,
            marks=defect("contract.openapi-valid", "the promised document is not there"),
        ),
        (contract(document=None, error="GET /openapi.json: not JSON: x"), FAIL),
        (contract(document=None, error="the dialect `plain` has no document", dialect="plain"), SKIP),
        (contract(document=changed("openapi", value="4.0.0")), SKIP),
    ],
)
def test_a_document_that_is_not_there(contract_: Contract, status: Status) -> None:
    """What the dialect `openapi` promises must be there; other dialects promise nothing."""
    [found] = judged("contract.openapi-valid", contract_)
    assert found.status is status
    assert (contract_.document_error or "4.0") in found.received


GOOD = [
    exchange("example:one"),
    exchange("batch:all", content_type="application/json; charset=utf-8"),
    exchange("skew:0", body={"predictions": [1], "more": True}),
    exchange("rejects-null:/x", 422, {"detail": "no"}),
]


def test_true_answers_pass_and_are_counted() -> None:
    """Good answers and refusals are held against the document; what it does not list as a refusal stands aside."""
    [found] = judged("contract.schema", contract(*GOOD, exchange("rejects-malformed:/", 400, b"no")))
    assert found.status is PASS
    assert found.received == (
        "4 answers as documented: 3 of 200, 1 of 422; aside: 1 a refusal that the document does not list"
    )


LIES = [
    (exchange("single:0", body={"predictions": ["a"]}), "$.predictions[0]: 'a' is not of type 'number'"),
    (exchange("single:0", body={}), "'predictions' is a required property"),
    (exchange("single:0", body=b"no JSON"), "the body is not JSON"),
    (exchange("single:0", content_type="text/html; charset=utf-8"), "content type text/html, documented is"),
    (exchange("single:0", 201), "a status that the document does not list"),
    (exchange("rejects-null:/x", 422, {"error": "no"}), "'detail' is a required property"),
    (exchange("again:0", body={"predictions": None}), "$.predictions: None is not of type 'array'"),
    (exchange("behaviour:one:0", body={"predictions": 5}), "$.predictions: 5 is not of type 'array'"),
]


@pytest.mark.parametrize(
    ("lie", "said"), [pytest.param(*lie, marks=shows("contract.schema", FAIL, lie[1]), id=lie[1]) for lie in LIES]
)
def test_a_document_that_lies(lie: Exchange, said: str) -> None:
    """One answer that breaks its documented form fails, whichever request it belongs to."""
    [found] = judged("contract.schema", contract(*GOOD, lie))
    assert found.status is FAIL
    assert said in found.received
    assert f"1 of 5, first {lie.case}" in found.received


def test_other_requests_are_not_looked_at() -> None:
    """Answers of other paths and methods, cut ones and missing ones are other checks' business."""
    others = [
        exchange("rejects-path:/x", 404, b"no", path="/x"),
        exchange("rejects-method:/", 200, b"no", method="DELETE"),
        exchange("rejects-deep-nesting:/", None, b"", error="no answer within 30 s"),
        exchange("example:long", body=b"{", error="the answer is too long"),
    ]
    [found] = judged("contract.schema", contract(*GOOD, *others))
    assert (found.status, found.received) == (PASS, "4 answers as documented: 3 of 200, 1 of 422")


def test_a_template_is_the_documented_path() -> None:
    """The answers of `/v1/models/demo:predict` are held against those of `/v1/models/{name}:predict`."""
    document = deepcopy(DOCUMENT)
    document["paths"] = {"/v1/models/{name}:predict": document["paths"]["/predict"]}
    path = "/v1/models/demo:predict"
    lie = exchange("single:0", body={}, path=path)
    [found] = judged("contract.schema", contract(lie, document=document, predict=path))
    assert found.status is FAIL


PATHLESS = "the document lacks the predict path"


@pytest.mark.parametrize(
    ("strict", "status"),
    [
        pytest.param(False, WARN, marks=defect("contract.schema", PATHLESS, status="warn")),
        pytest.param(True, FAIL, marks=defect("contract.schema", f"strict: {PATHLESS}")),
    ],
)
def test_a_document_without_the_predict_path(*, strict: bool, status: Status) -> None:
    """Nothing was promised, so it is a warning, and a failure where strict."""
    document = changed("paths", value={"/other": {}})
    [found] = judged("contract.schema", contract(document=document), block={"contract": {"strict": strict}})
    assert found.status is status
    assert "/other" in found.received


@pytest.mark.parametrize(
    "document",
    [None, changed("components", value={}), changed("paths", "/predict", "post", "responses", value={"422": {}})],
)
def test_what_cannot_be_held(document: Any) -> None:
    """No document, or one that says nothing of these answers: a skip, or a lie about the status; never a pass."""
    [found] = judged("contract.schema", contract(document=document, error="GET /openapi.json: 404"))
    assert found.status is (FAIL if document and "components" in document and document["components"] else SKIP)


def test_statuses_without_a_body() -> None:
    """A documented status that promises no body is kept by any."""
    document = changed("paths", "/predict", "post", "responses", "400", value={"description": "no"})
    refused = exchange("rejects-malformed:/", 400, b"no", content_type="text/plain")
    [found] = judged("contract.schema", contract(refused, document=document))
    assert (found.status, found.received) == (PASS, "1 answers as documented: 1 of 400")


BASELINE = {"contract": {"baseline": "openapi.json"}}


def test_no_baseline_is_a_skip() -> None:
    """Without a committed document there is nothing to compare with."""
    [found] = judged("contract.compatible", contract(), baseline=None)
    assert (found.status, found.received) == (SKIP, "x-harness.contract names no `baseline` document")


def test_no_document_is_a_skip() -> None:
    """Without a served document either; contract.openapi-valid says what is wrong with that."""
    gone = contract(document=None, error="GET /openapi.json: 404")
    [found] = judged("contract.compatible", gone, block=BASELINE, baseline=DOCUMENT)
    assert (found.status, found.received) == (SKIP, "GET /openapi.json: 404")


def test_additions_pass_and_are_counted() -> None:
    """What breaks nobody passes."""
    new = changed("paths", "/more", value={})
    [found] = judged("contract.compatible", contract(document=new), block=BASELINE, baseline=DOCUMENT)
    assert (found.status, found.received) == (PASS, "no breaking change against openapi.json, 1 additions")


@defect("contract.compatible", "a prediction may now be a text")
def test_breaking_changes_fail() -> None:
    """What breaks a client is named with its place."""
    new = changed("components", "schemas", "Answer", "properties", "predictions", value={"type": "string"})
    del new["paths"]["/predict"]["post"]["responses"]["422"]
    [found] = judged("contract.compatible", contract(document=new), block=BASELINE, baseline=DOCUMENT)
    assert found.status is FAIL
    assert found.received == f"{ROUTE}answer 200 predictions may now be string (was array)"
    assert "openapi.json" in found.expected
    assert "openapi.json" in found.advice
