"""The dialect `bentoml`: what a real service said, and each demand of it unmet once."""

from __future__ import annotations

from typing import Any

import builders
import pytest
from defects import defect
from jsonschema import Draft202012Validator

from harness.checks import contract as checks
from harness.client.protocols import DIALECTS, recognise
from harness.client.protocols.bentoml import BENTOML
from harness.evidence.records import Contract, Evidence, Exchange, Finding, Interface, Status

INTERFACE = Interface("bentoml", "/readyz", "/predict")
OPERATION = {"post": {"x-bentoml-name": "predict", "responses": {}}}
DOCUMENT = {"openapi": "3.0.2", "paths": {"/livez": {"get": {}}, "/readyz": {"get": {}}, "/predict": OPERATION}}
PROBLEM = {"error": "1 validation error for Input", "detail": [{"type": "json_invalid", "loc": [], "msg": "EOF"}]}
# Probe -> a good answer as BentoML 1.4.40 gives it, and the wrong ones that must not pass.
ANSWERS: dict[str, tuple[tuple[int, Any], list[tuple[int, Any]]]] = {
    "live": ((200, b"\n"), [(404, b""), (500, b"")]),
    "ready": ((200, b"\n"), [(500, b""), (503, b"")]),
    "document": ((200, DOCUMENT), [(404, b"Not Found"), (200, b"<html>"), (200, {"openapi": "3.0.2", "paths": {}})]),
    "method": ((405, b"Method Not Allowed"), [(200, [1.0]), (404, b""), (500, b"")]),
    "no-json": ((400, PROBLEM), [(500, PROBLEM), (200, []), (400, b"no JSON"), (400, {"message": "no"}), (400, [])]),
    "unknown": ((404, b"Not Found"), [(200, {}), (500, b"")]),
}


def _said(case: str, status: int | None, body: Any) -> Exchange:
    return builders.exchange(case, status, body)


def _conforms(answers: dict[str, tuple[int, Any]] | None = None, *, strict: bool = False) -> list[Finding]:
    said = {name: good for name, (good, _) in ANSWERS.items()} | (answers or {})
    exchanges = [_said(f"conforms:{name}", status, body) for name, (status, body) in said.items()]
    spec = builders.spec({"contract": {"strict": strict}})
    return list(checks.conforms(Evidence(spec=spec, contract=Contract(tuple(exchanges), INTERFACE, document=None))))


def test_the_shipped_server_conforms() -> None:
    """Every demand has its answer here; the form of an error, not as the document says, is a known deviation."""
    assert set(ANSWERS) == {probe.name for probe in BENTOML.probes}
    assert all(probe.source for probe in BENTOML.probes)
    found = _conforms()
    assert [finding.status for finding in found] == [Status.PASS]
    assert "known deviations of shipped servers: no-json" in found[0].received


def test_a_strict_contract_holds_it_to_its_document() -> None:
    """With `contract.strict` the error must be as the service's own document says: `detail` is a text."""
    assert [finding.status for finding in _conforms(strict=True)] == [Status.FAIL]
    right = (400, {"error": "no JSON", "detail": "EOF"})
    assert [finding.status for finding in _conforms({"no-json": right}, strict=True)] == [Status.PASS]


@pytest.mark.parametrize(
    ("name", "answer"),
    [(name, answer) for name, (_, wrong) in ANSWERS.items() for answer in wrong],
    ids=lambda value: value if isinstance(value, str) else str(value)[:40],
)
@defect("contract.conforms", "BentoML: one demand of the protocol is unmet, each in turn")
def test_each_demand_can_be_unmet(name: str, answer: tuple[int, Any]) -> None:
    """A wrong answer to one request fails, and the finding names the demand."""
    found = _conforms({name: answer})
    assert [finding.status for finding in found] == [Status.FAIL]
    assert f"({name})" in found[0].expected


@pytest.mark.parametrize(
    ("body", "is_error"),
    [
        (PROBLEM, True),
        ([{"error": "This is a custom error message."}], True),
        ({"error": "Authorization error"}, True),
        ([], False),
        ([1.0], False),
        ({"detail": "Not Found"}, False),
        ("error", False),
    ],
)
def test_errors(body: Any, *, is_error: bool) -> None:
    """An error is an object, or, where the service's own exception was raised, an array of one."""
    assert BENTOML.error is not None
    assert Draft202012Validator(BENTOML.error).is_valid(body) is is_error


def test_it_is_recognised_by_the_names_of_its_api_methods() -> None:
    """/docs.json that names an API method is a BentoML service; any other document is not."""
    missing = _said("x", 404, b"Not Found")
    assert recognise(lambda path: _said("x", 200, DOCUMENT) if path == "/docs.json" else missing) is BENTOML
    others: tuple[Any, ...] = (
        {"paths": {"/predict": {"post": {}}}},
        {"paths": []},
        [],
        {"paths": {"/a": 5, "/b": {"get": 5}}},
        5,
    )
    for other in others:
        answer = _said("x", 200, other)
        assert recognise(lambda path, a=answer: a if path == "/docs.json" else missing) is None  # type: ignore[misc]
    assert recognise(lambda _: _said("x", 500, DOCUMENT)) is None
    names = list(DIALECTS)
    assert names.index("cog") < names.index("openapi")
    assert names.index("bentoml") < names.index("openapi")
