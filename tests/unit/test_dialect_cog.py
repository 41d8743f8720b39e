"""The dialect `cog`: what its servers said, each demand of it unmet once, and how a busy server is asked again."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import builders
import pytest
from defects import defect

from harness.checks import contract as checks
from harness.checks import finite, invariance
from harness.client.http import Target
from harness.client.protocols import DIALECTS, recognise
from harness.client.protocols.cog import COG
from harness.config.spec import Example, Spec, Tolerance
from harness.evidence.records import Contract, Evidence, Exchange, Finding, Interface, Status
from harness.runner.stages import contract as stage

INTERFACE = Interface("cog", "/health-check", "/predictions")
REQUEST = {"input": {"frost": 1.5}}
HEALTH = {"status": "READY", "setup": {"status": "succeeded", "logs": ""}, "version": {"coglet": "0.23.1"}}
ANSWER = {"id": "pred_1", "logs": "", "metrics": {"predict_time": 0.001}, "output": 4.2, "status": "succeeded"}
FAILURE = {"error": "Prediction failed: KeyError", "id": "pred_2", "logs": "", "status": "failed"}
INVALID = {"detail": [{"loc": ["body", "input"], "msg": "no object", "type": "value_error"}]}
INDEX = {"openapi_url": "/openapi.json", "healthcheck_url": "/health-check", "predictions_url": "/predictions"}
DOCUMENT = {"openapi": "3.0.2", "paths": {"/predictions": {"post": {}}}}
# Probe -> a good answer as Cog 0.23.1 gives it, and the wrong ones that must not pass.
ANSWERS: dict[str, tuple[tuple[int, Any], list[tuple[int, Any]]]] = {
    "health-check": ((200, HEALTH), [(503, HEALTH), (200, {"status": "ok"}), (200, {}), (200, b"OK")]),
    "index": ((200, INDEX), [(404, {}), (200, {**INDEX, "predictions_url": "/predict"}), (200, b"<html>")]),
    "document": ((200, DOCUMENT), [(503, {"error": "no schema"}), (200, {"openapi": "3.0.2", "paths": {}})]),
    "prediction": ((200, ANSWER), [(200, FAILURE), (201, ANSWER), (200, {"status": "succeeded", "output": 4.2})]),
    "idempotent": (
        (200, {**ANSWER, "id": "harness-probe"}),
        [(200, ANSWER), (405, {}), (200, {**FAILURE, "id": "harness-probe"})],
    ),
    "no-object": ((422, INVALID), [(400, INVALID), (422, {"detail": "no"}), (422, b"no"), (500, {}), (200, ANSWER)]),
    "cancel-unknown": ((404, b""), [(200, {}), (500, {})]),
}


def _example() -> Example:
    return Example("one", "one.json", REQUEST, {"status": "succeeded", "output": 4.2}, True, 200, Tolerance())


def _spec(**changes: Any) -> Spec:
    return replace(builders.spec(), examples=(_example(),), **changes)


def _said(case: str, status: int | None, body: Any) -> Exchange:
    return builders.exchange(case, status, body, request=json.dumps(REQUEST).encode(), path="/predictions")


def _contract(*exchanges: Exchange) -> Contract:
    return Contract(exchanges=exchanges, interface=INTERFACE, document=None)


def _conforms(**answers: tuple[int, Any]) -> list[Finding]:
    said = {name: good for name, (good, _) in ANSWERS.items()} | answers
    exchanges = [_said(f"conforms:{name}", status, body) for name, (status, body) in said.items()]
    return list(checks.conforms(Evidence(spec=_spec(), contract=_contract(*exchanges))))


def test_the_shipped_server_conforms() -> None:
    """Every demand has its answer here, and the answers of the real server meet them all."""
    assert set(ANSWERS) == {probe.name for probe in COG.probes}
    assert [finding.status for finding in _conforms()] == [Status.PASS]
    assert all(probe.source for probe in COG.probes)


@pytest.mark.parametrize(
    ("name", "answer"),
    [(name, answer) for name, (_, wrong) in ANSWERS.items() for answer in wrong],
    ids=lambda value: value if isinstance(value, str) else str(value)[:40],
)
@defect("contract.conforms", "Cog: one demand of the protocol is unmet, each in turn")
def test_each_demand_can_be_unmet(name: str, answer: tuple[int, Any]) -> None:
    """A wrong answer to one request fails, and the finding names the demand."""
    found = _conforms(**{name: answer})
    assert [finding.status for finding in found] == [Status.FAIL]
    assert f"({name})" in found[0].expected


def test_without_an_example_nothing_is_demanded_of_predictions() -> None:
    """The requests that need a good example are neither sent nor missed."""
    spec = replace(_spec(), examples=(), behaviours=())
    sent = [request.case for request in stage.requests(spec, INTERFACE)]
    assert sent == [f"conforms:{name}" for name in ANSWERS if name not in ("prediction", "idempotent")]
    exchanges = [_said(case, *ANSWERS[case.partition(":")[2]][0]) for case in sent]
    assert [f.status for f in checks.conforms.function(spec, _contract(*exchanges))] == [Status.PASS]


@pytest.mark.parametrize(
    ("status", "is_ready"),
    [("READY", True), ("STARTING", False), ("BUSY", False), ("SETUP_FAILED", False), ("DEFUNCT", False)],
)
def test_readiness_is_a_status_in_an_answer_200(status: str, *, is_ready: bool) -> None:
    """/health-check is always 200; the server is recognised in every state, and ready in one."""
    health = _said("ready", 200, {**HEALTH, "status": status})
    assert COG.is_ready(health) is is_ready
    assert recognise(lambda path: health if path == "/health-check" else _said("x", 404, b"")) is COG
    assert not COG.is_ready(replace(health, status=503))


@pytest.mark.parametrize("body", [b"", b"OK", b"[]", b'{"status": "healthy"}', b'{"status": {}}', b"\xff"])
def test_other_servers_are_not_cog(body: bytes) -> None:
    """A /health-check of another kind is no sign; what else the server shows then decides."""
    document = _said("x", 200, {"openapi": "3.1.0", "paths": {}})
    found = recognise(lambda path: document if path == "/openapi.json" else _said("x", 200, body))
    assert found is DIALECTS["openapi"]


def test_a_failed_prediction_is_no_answer() -> None:
    """200 with `status: failed` is a refusal, as is 422 and 409; 500 is neither."""
    assert COG.is_answer(_said("x", 200, ANSWER))
    for said in (_said("x", 200, FAILURE), _said("x", 422, INVALID), _said("x", 409, FAILURE)):
        assert COG.is_refusal(said)
        assert not COG.is_answer(said)
    assert not COG.is_refusal(_said("x", 500, FAILURE))
    assert not COG.is_refusal(_said("x", 200, ANSWER))


def test_ids_and_times_may_differ_and_predictions_not() -> None:
    """The same prediction under another ID is the same answer; another prediction is not."""
    same = {**ANSWER, "id": "pred_9", "metrics": {"predict_time": 3.0}, "logs": "hello"}
    for body, status in ((same, Status.PASS), ({**same, "output": 4.3}, Status.FAIL)):
        said = _contract(
            _said("batch:all", 200, ANSWER),
            _said("again:0", 200, body),
            _said("example:one", 200, ANSWER),
            _said("recovers:rejects-null:/x", 200, body),
        )
        assert [f.status for f in invariance.repeatable.function(_spec(), said)] == [status]
        assert [f.status for f in checks.recovers.function(_spec(), said)] == [status]


def test_nulls_beside_the_prediction_are_no_surprise() -> None:
    """The server of Cog 0.16 answers `error: null`; a prediction null is one that got lost."""
    old = {**ANSWER, "id": None, "error": None, "created_at": None, "input": {"frost": 1.5}}
    for body, status in ((old, Status.PASS), ({**old, "output": None}, Status.FAIL)):
        found = finite.finite.function(_spec(), _contract(_said("example:one", 200, body)))
        assert [finding.status for finding in found] == [status]


class _Busy(HTTPServer):
    """A server whose slot is free only after some requests."""

    left = 0
    asked = 0


class _Handler(BaseHTTPRequestHandler):
    server: _Busy

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked += 1
        self.server.left -= 1
        body = json.dumps(FAILURE if self.server.left >= 0 else ANSWER).encode()
        self.send_response(409 if self.server.left >= 0 else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def busy() -> Iterator[_Busy]:
    with _Busy(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("dialect", "status", "asked"), [("cog", 200, 4), ("plain", 409, 1)])
def test_a_busy_server_is_asked_again(dialect: str, status: int, asked: int, busy: _Busy) -> None:
    """409 says, in this protocol alone, that the same request may be sent again in a moment."""
    busy.left = 3
    request = next(iter(stage.requests(_spec(), INTERFACE)))
    exchange = stage._send(Target("127.0.0.1", busy.server_port), replace(INTERFACE, dialect=dialect), request)
    assert (exchange.status, busy.asked) == (status, asked)


def test_a_server_that_stays_busy_is_recorded(busy: _Busy, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that never becomes free is asked for a while, and then its answer is the evidence."""
    monkeypatch.setattr(stage, "PATIENCE", 0.1)
    busy.left = 10_000
    exchange = stage._send(
        Target("127.0.0.1", busy.server_port), INTERFACE, next(iter(stage.requests(_spec(), INTERFACE)))
    )
    assert exchange.status == 409
    assert 1 < busy.asked < 50


def test_a_refused_order_of_fields_is_a_warning() -> None:
    """A service that refuses another order of the fields says so itself; one that predicts something else is wrong."""
    good = builders.contract().answer("fields:all")
    assert good is not None
    for strict, status in ((False, Status.WARN), (True, Status.FAIL)):
        refused = replace(good, status=400, response=b'{"error": "order"}')
        said = builders.contract(refused)
        spec = builders.spec({"contract": {"strict": strict}})
        assert [f.status for f in invariance.field_order.function(spec, said)] == [status]
    wrong = builders.contract(fault="depends-on-field-order")
    assert [f.status for f in invariance.field_order.function(builders.spec(), wrong)] == [Status.FAIL]
