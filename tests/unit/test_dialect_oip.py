"""The dialect oip-v2: rows in tensors, its conformance suite, and how it is recognised."""

from __future__ import annotations

import json
from typing import Any

import builders
import pytest
from conformance import Answer, assert_failed, assert_passed, judged
from defects import defect

from harness.checks.contract import recovers
from harness.checks.invariance import repeatable
from harness.checks.rejects import judge
from harness.client import http
from harness.client.http import Target
from harness.client.protocols import DIALECTS, interface, recognise
from harness.client.protocols.oip import ID, OIP, answers, batch
from harness.client.request_generators.invariance import pool
from harness.config.spec import Spec
from harness.evidence.records import Contract, Exchange, Status
from harness.runner.stages.contract import requests
from harness.runner.stages.readiness import speak

METADATA = {"name": "mlserver", "version": "1.7.1", "extensions": []}
TENSOR = {"name": "x", "datatype": "FP64", "shape": [-1, 2]}
MODEL = {"name": "model", "versions": ["v1"], "platform": "numpy", "inputs": [TENSOR], "outputs": [TENSOR]}
OUTPUT = {"name": "y", "datatype": "FP64", "shape": [1, 1], "data": [1.5]}
ANSWER = {"model_name": "model", "id": "17", "outputs": [OUTPUT]}
ERROR = {"error": "no"}
REQUEST: dict[str, Any] = {
    "inputs": [
        {"name": "x", "shape": [2, 2], "datatype": "FP64", "data": [1, 2, 3, 4]},
        {"name": "s", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]},
    ]
}
NESTED: dict[str, Any] = {
    "inputs": [
        {"name": "x", "shape": [2, 2], "datatype": "FP64", "data": [[1, 2], [3, 4]]},
        {"name": "s", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]},
    ]
}

GOOD = {
    "server-metadata": Answer(200, METADATA),
    "live": Answer(200, {"live": True}),
    "ready": Answer(200, {"ready": True}),
    "model-metadata": Answer(200, MODEL),
    "model-ready": Answer(200, {"name": "model", "ready": True}),
    "unknown-model": Answer(404, ERROR),
    "infer": Answer(200, ANSWER),
    "infer-id": Answer(200, {**ANSWER, "id": ID}),
    "infer-unknown-model": Answer(400, ERROR),
    "infer-no-inputs": Answer(400, ERROR),
    "infer-wrong-shape": Answer(400, ERROR),
}
MLSERVER = {
    **GOOD,
    "live": Answer(200),
    "ready": Answer(200),
    "model-ready": Answer(200),
    "infer-no-inputs": Answer(422, {"detail": [{"type": "missing", "loc": ["body", "inputs"]}]}),
}
KSERVE = {**GOOD, "model-metadata": Answer(200, {**MODEL, "versions": None, "platform": "", "inputs": []})}
TRITON = {**MLSERVER, "infer-no-inputs": Answer(400, ERROR), "unknown-model": Answer(400, ERROR)}


def _without(mapping: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if name != key}


def _with_output(**changes: Any) -> dict[str, Any]:
    return {**ANSWER, "outputs": [{**OUTPUT, **changes}]}


@pytest.mark.parametrize("strict", [False, True])
def test_a_server_that_keeps_to_the_specification(strict: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """It meets every demand, in strict mode too."""
    assert_passed(judged(OIP, GOOD, strict=strict))


@pytest.mark.parametrize(
    ("server", "deviations"),
    [
        (MLSERVER, ["live", "ready", "model-ready", "infer-no-inputs"]),
        (KSERVE, ["model-metadata"]),
        (TRITON, ["live", "ready", "model-ready"]),
    ],
)
def test_the_servers_as_shipped(server: dict[str, Answer], deviations: list[str]) -> None:
    """MLServer, KServe and Triton pass, the deviations are named, and strict mode takes the specification alone."""
    findings = judged(OIP, server)
    assert_passed(findings)
    assert findings[0].received.endswith(f"known deviations of shipped servers: {', '.join(deviations)}")
    strict = judged(OIP, server, strict=True)
    assert [finding.status for finding in strict] == [Status.FAIL] * len(deviations)


@pytest.mark.parametrize(
    ("probe", "faulty"),
    [
        ("server-metadata", Answer(404, ERROR)),
        ("server-metadata", Answer(200, _without(METADATA, "extensions"))),
        ("live", Answer(503)),
        ("ready", Answer(400, {"ready": False})),
        ("model-metadata", Answer(200, _without(MODEL, "platform"))),
        ("model-metadata", Answer(200, {**MODEL, "inputs": [_without(TENSOR, "shape")]})),
        ("model-metadata", Answer(200, b"<html>")),
        ("model-ready", Answer(404, ERROR)),
        ("unknown-model", Answer(200, MODEL)),
        ("unknown-model", Answer(500, ERROR)),
        ("unknown-model", Answer(404, b"not found")),
        ("infer", Answer(200, {"predictions": [1.5]})),
        ("infer", Answer(200, _without(ANSWER, "model_name"))),
        ("infer", Answer(200, {**ANSWER, "outputs": []})),
        ("infer", Answer(200, _with_output(shape="1,1"))),
        ("infer", Answer(200, _with_output(data=1.5))),
        ("infer", Answer(200, {**ANSWER, "outputs": [_without(OUTPUT, "datatype")]})),
        ("infer-id", Answer(200, ANSWER)),
        ("infer-id", Answer(200, _without(ANSWER, "id"))),
        ("infer-unknown-model", Answer(200, ANSWER)),
        ("infer-no-inputs", Answer(200, ANSWER)),
        ("infer-no-inputs", Answer(500, b"Internal Server Error")),
        ("infer-no-inputs", Answer(400, {"message": "no"})),
        ("infer-wrong-shape", Answer(200, ANSWER)),
        ("infer-wrong-shape", Answer(500, b"Internal Server Error")),  # MLServer's own NumpyCodec
        ("infer-wrong-shape", Answer(500, {"error": "ValueError : cannot reshape"})),  # KServe's as_numpy()
    ],
)
@defect("contract.conforms", "Open Inference Protocol V2: one demand of the protocol is unmet, each in turn")
def test_each_probe_can_fail(probe: str, faulty: Answer) -> None:
    """One faulty answer fails its own probe and no other, also beside the deviations of a shipped server."""
    for server in (GOOD, MLSERVER):
        assert_failed(judged(OIP, {**server, probe: faulty}), probe)


def test_every_probe_is_shown_to_fail() -> None:
    """The list above leaves out no probe."""
    marks = [mark for mark in test_each_probe_can_fail.pytestmark if mark.name == "parametrize"]  # type: ignore[attr-defined]
    assert {probe for probe, _ in marks[0].args[1]} == set(GOOD)


@pytest.mark.parametrize("request_", [REQUEST, NESTED])
def test_rows_are_slices_of_all_tensors(request_: dict[str, Any]) -> None:
    """Flat and nested data give the same rows; the same rows give the same request, others one of their shape."""
    found = batch(request_)
    assert found is not None
    assert found.rows == ([[1, 2], ["a"]], [[3, 4], ["b"]])
    assert found.build(found.rows) == request_
    turned = found.build([found.rows[1], found.rows[0], found.rows[1]])
    assert [tensor["shape"] for tensor in turned["inputs"]] == [[3, 2], [3]]
    assert turned["inputs"][1]["data"] == ["b", "a", "b"]
    assert turned["inputs"][0]["data"] == ([[3, 4], [1, 2], [3, 4]] if request_ is NESTED else [3, 4, 1, 2, 3, 4])
    assert found.build(()) == {
        "inputs": [
            {**REQUEST["inputs"][0], "shape": [0, 2], "data": []},
            {**REQUEST["inputs"][1], "shape": [0], "data": []},
        ]
    }


def test_three_dimensions() -> None:
    """A row of several dimensions keeps them."""
    data = [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
    found = batch({"inputs": [{"name": "x", "shape": [2, 2, 2], "datatype": "FP32", "data": data}]})
    assert found is not None
    assert found.rows == ([[1, 2, 3, 4]], [[5, 6, 7, 8]])
    assert found.build(found.rows[1:])["inputs"][0]["data"] == data[1:]


@pytest.mark.parametrize(
    "request_",
    [
        None,
        [],
        {},
        {"inputs": {}},
        {"inputs": []},
        {"inputs": [3]},
        {"inputs": [{"name": "x", "shape": [2], "datatype": "FP64"}]},  # Triton's binary data
        {"inputs": [{"name": "x", "shape": [], "datatype": "FP64", "data": [1]}]},
        {"inputs": [{"name": "x", "shape": [0, 2], "datatype": "FP64", "data": []}]},
        {"inputs": [{"name": "x", "shape": [-1, 2], "datatype": "FP64", "data": [1, 2]}]},
        {"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP64", "data": [1, 2, 3]}]},
        {"inputs": [REQUEST["inputs"][0], {**REQUEST["inputs"][1], "shape": [1], "data": ["a"]}]},
    ],
)
def test_requests_without_rows(request_: Any) -> None:
    """Tensors of different lengths, broken ones and none at all have no rows."""
    assert batch(request_) is None


def test_predictions_are_slices_of_the_outputs() -> None:
    """Each row gets its slice of every output that has as many rows."""
    label = {"name": "label", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]}
    odds = {"name": "odds", "shape": [2, 2], "datatype": "FP64", "data": [[0.1, 0.9], [0.8, 0.2]]}
    other = {"name": "version", "shape": [1], "datatype": "INT64", "data": [3]}
    assert answers({"outputs": [label, odds, other]}, 2) == (
        {"label": ["a"], "odds": [0.1, 0.9]},
        {"label": ["b"], "odds": [0.8, 0.2]},
    )


@pytest.mark.parametrize(
    ("response", "count", "expected"),
    [
        ({"outputs": [OUTPUT]}, 2, None),
        ({"outputs": []}, 1, None),
        ({"outputs": []}, 0, ()),
        ({"outputs": [{**OUTPUT, "shape": [0, 1], "data": []}]}, 0, ()),
        ({"outputs": [{**OUTPUT, "data": [1.5, 2.5]}]}, 1, None),
        ({"outputs": None}, 1, None),
        ({"error": "no"}, 0, None),
        ([1.5], 1, None),
        (None, 0, None),
    ],
)
def test_answers_without_predictions(response: Any, count: int, expected: Any) -> None:
    """Another number of rows is none; no rows are an honest answer to no rows."""
    assert answers(response, count) == expected


def test_rows_of_all_examples_are_pooled() -> None:
    """Flat and nested examples of one form make one batch."""
    other = json.loads(json.dumps(NESTED))
    other["inputs"][0]["data"] = [[5, 6], [3, 4]]
    pooled = pool([builders.example(request=REQUEST), builders.example(request=other)], OIP)
    assert pooled is not None
    assert pooled.rows == ([[1, 2], ["a"]], [[3, 4], ["b"]], [[5, 6], ["a"]])


def _spec(**contract: Any) -> Spec:
    example = builders.example(request=REQUEST, response={"outputs": [OUTPUT]})
    return builders.spec(block={"serve": {"dialect": "oip-v2"}, "contract": contract}, examples=(example,))


def test_probes_are_sent_with_the_example() -> None:
    """A probe of `infer` carries the first good example and goes to the predict path; without one it is not sent."""
    spec = _spec()
    sent = {request.case: request for request in requests(spec, interface(spec, OIP))}
    assert json.loads(sent["conforms:infer-id"].body) == {**REQUEST, "id": ID}
    wrong = json.loads(sent["conforms:infer-wrong-shape"].body)
    assert [tensor["shape"] for tensor in wrong["inputs"]] == [[3, 2], [2]]
    assert wrong["inputs"][0]["data"] == REQUEST["inputs"][0]["data"]
    assert sent["conforms:infer"].path == "/v2/models/model/infer"
    assert sent["conforms:model-ready"].path == "/v2/models/model/ready"
    bare = builders.spec(block={"serve": {"dialect": "oip-v2"}}, examples=())
    cases = {request.case for request in requests(bare, interface(bare, OIP))}
    assert {case for case in cases if "infer" in case} == {"conforms:infer-no-inputs"}


@pytest.mark.parametrize(
    "request_", [[1], 3, {"instances": [1]}, {"inputs": [3]}, {"inputs": [{"shape": ["a"]}]}, None]
)
def test_an_example_of_another_form(request_: Any) -> None:
    """An example that is no request of this protocol is sent as it is: the answer says that it is wrong."""
    spec = builders.spec(block={"serve": {"dialect": "oip-v2"}}, examples=(builders.example(request=request_),))
    sent = {request.case: request for request in requests(spec, interface(spec, OIP))}
    assert json.loads(sent["conforms:infer"].body) == request_
    assert "conforms:infer-id" in sent


def _exchange(case: str, body: Any, status: int = 200) -> Exchange:
    return Exchange(
        case, "POST", "/v2/models/model/infer", b"{}", status, "application/json", json.dumps(body).encode(), 0.01
    )


def test_a_made_up_id_is_no_difference() -> None:
    """MLServer makes up an ID for each answer: answers that differ in it alone are the same, others are not."""
    spec = _spec()

    def statuses(second: dict[str, Any]) -> list[Status]:
        found = (
            _exchange("example:one", ANSWER),
            _exchange("recovers:rejects-null:/", second),
            _exchange("batch:all", ANSWER),
            _exchange("again:0", second),
        )
        contract = Contract(found, interface(spec, OIP), None)
        judged_ = [*recovers.function(spec, contract), *repeatable.function(spec, contract)]
        return [finding.status for finding in judged_]

    assert statuses({**ANSWER, "id": "18"}) == [Status.PASS, Status.PASS]
    assert statuses({**_with_output(data=[2.5]), "id": "18"}) == [Status.FAIL, Status.FAIL]


@pytest.mark.parametrize(
    ("body", "lax", "strict"),
    [
        (ERROR, Status.PASS, Status.PASS),
        ({"detail": [{"type": "json_invalid"}]}, Status.PASS, Status.FAIL),
        ({"message": "no"}, Status.WARN, Status.FAIL),
        ({"error": 3}, Status.WARN, Status.FAIL),
    ],
)
def test_the_form_of_an_error(body: Any, lax: Status, strict: Status) -> None:
    """A refusal says `error`; that MLServer says `detail` is known, and no excuse in strict mode."""
    for is_strict, expected in ((False, lax), (True, strict)):
        spec = _spec(strict=is_strict)
        contract = Contract((_exchange("rejects-malformed:/", body, 422),), interface(spec, OIP), None)
        assert [finding.status for finding in judge("malformed", spec, contract)] == [expected]


@pytest.mark.parametrize(
    ("answer", "ready"),
    [
        (Answer(200), True),
        (Answer(200, {"ready": True}), True),
        (Answer(200, {"ready": False}), False),
        (Answer(503), False),
    ],
)
def test_ready(answer: Answer, ready: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """The server is ready by its status, unless its body says otherwise."""
    assert OIP.is_ready(answer.exchange("ready")) is ready


def _asked(pages: dict[str, Any]) -> Any:
    return lambda path: (Answer(200, pages[path]) if path in pages else Answer(404, ERROR)).exchange("recognise")


def test_recognised_before_openapi() -> None:
    """MLServer and KServe have an OpenAPI document too: they are recognised by what is more particular."""
    document = {"openapi": "3.1.0"}
    assert recognise(_asked({"/v2": METADATA, "/openapi.json": document})) is OIP
    assert recognise(_asked({"/v2": {"name": "x"}, "/openapi.json": document})) is DIALECTS["openapi"]


def test_the_example_decides_between_two_versions() -> None:
    """KServe speaks both versions of its protocol: the request of the project tells which one is meant."""
    ask = _asked({"/v2": METADATA, "/v1/models": {"models": ["heat"]}})
    assert recognise(ask, REQUEST) is OIP
    assert recognise(ask, {"instances": [[1, 2]]}) is DIALECTS["kserve-v1"]


def test_a_server_that_begins_to_answer_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is recognised while the server starts is not believed: an earlier question may have come too soon."""
    pages = {"/v2": METADATA, "/openapi.json": {"openapi": "3.1.0"}}
    sent: list[str] = []

    def send(target: Target, path: str, **_: Any) -> Exchange:
        del target
        sent.append(path)
        if len(sent) == 1:
            return Exchange("recognise", "GET", path, b"", None, "", b"", 0.0, "ConnectionRefusedError")
        exchange: Exchange = _asked(pages)(path)
        return exchange

    monkeypatch.setattr(http, "send", send)
    spec = builders.spec(examples=(builders.example(request=REQUEST),))
    target = Target("127.0.0.1", 8080)
    assert speak(spec, target) is None
    found = speak(spec, target)
    assert found is not None
    assert found.dialect == "oip-v2"
