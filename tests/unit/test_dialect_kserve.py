"""The dialect kserve-v1: rows, its conformance suite, and how it is recognised."""

from __future__ import annotations

from typing import Any

import builders
import pytest
from conformance import Answer, assert_failed, assert_passed, judged
from defects import defect

from harness.client.protocols import interface, recognise
from harness.client.protocols.kserve import KSERVE, answers, batch
from harness.evidence.records import Status

ERROR = {"error": "no"}
GOOD = {
    "list-models": Answer(200, {"models": ["model"]}),
    "model-ready": Answer(200, {"name": "model", "ready": True}),
    "unknown-model": Answer(404, ERROR),
    "predict": Answer(200, {"predictions": [1.5]}),
    "predict-unknown-model": Answer(404, ERROR),
    "predict-no-list": Answer(400, ERROR),
}
OLD = {**GOOD, "model-ready": Answer(200, {"name": "model", "ready": "True"}), "predict": Answer(200, {"label": "a"})}


@pytest.mark.parametrize("strict", [False, True])
def test_a_server_that_keeps_to_the_specification(strict: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """It meets every demand, in strict mode too."""
    assert_passed(judged(KSERVE, GOOD, strict=strict))


def test_the_servers_as_shipped() -> None:
    """An old KServe that says "True", and a custom answer, pass; in strict mode they do not."""
    findings = judged(KSERVE, OLD)
    assert_passed(findings)
    assert findings[0].received.endswith("known deviations of shipped servers: model-ready, predict")
    assert [finding.status for finding in judged(KSERVE, OLD, strict=True)] == [Status.FAIL] * 2


@pytest.mark.parametrize(
    ("probe", "faulty"),
    [
        ("list-models", Answer(404, ERROR)),
        ("list-models", Answer(200, {"object": "list", "data": []})),  # another protocol's /v1/models
        ("list-models", Answer(200, {"models": []})),
        ("model-ready", Answer(200, {"name": "model", "ready": False})),
        ("model-ready", Answer(200, {"name": "model"})),
        ("model-ready", Answer(503, ERROR)),
        ("unknown-model", Answer(200, {"name": "harness-no-such-model", "ready": True})),
        ("unknown-model", Answer(404, b"not found")),
        ("predict", Answer(500, {"error": "KeyError : 'instances'"})),
        ("predict-unknown-model", Answer(200, {"predictions": [1.5]})),
        ("predict-unknown-model", Answer(500, ERROR)),
        ("predict-no-list", Answer(200, {"predictions": []})),
        ("predict-no-list", Answer(500, {"error": "TypeError"})),
        ("predict-no-list", Answer(400, {"message": "no"})),
    ],
)
@defect("contract.conforms", "KServe V1: one demand of the protocol is unmet, each in turn")
def test_each_probe_can_fail(probe: str, faulty: Answer) -> None:
    """One faulty answer fails its own probe and no other."""
    assert_failed(judged(KSERVE, {**GOOD, probe: faulty}), probe)


@pytest.mark.parametrize("body", [[1.5], {"outputs": [1.5]}, {"predictions": 1.5}, b"1.5;2.5"])
def test_an_answer_of_another_form(body: Any) -> None:
    """What holds no `predictions` breaks the specification, though not what KServe lets its models do."""
    assert_failed(judged(KSERVE, {**GOOD, "predict": Answer(200, body)}, strict=True), "predict")


def test_every_probe_is_shown_to_fail() -> None:
    """The list above leaves out no probe."""
    marks = [mark for mark in test_each_probe_can_fail.pytestmark if mark.name == "parametrize"]  # type: ignore[attr-defined]
    assert {probe for probe, _ in marks[0].args[1]} == set(GOOD)


def test_rows_and_predictions() -> None:
    """The rows stand under `instances` (or `inputs`), the predictions under `predictions`."""
    found = batch({"instances": [[1, 2], [3, 4]], "parameters": {"top": 1}})
    assert found is not None
    assert found.rows == ([1, 2], [3, 4])
    assert found.build([[5, 6]]) == {"instances": [[5, 6]], "parameters": {"top": 1}}
    assert batch({"inputs": [[1, 2]]}) is not None
    assert answers({"predictions": [1, {"a": 2}]}, 2) == (1, {"a": 2})


@pytest.mark.parametrize("request_", [None, [], [[1]], {}, {"instances": []}, {"instances": 3}, {"inputs": {"x": [1]}}])
def test_requests_without_rows(request_: Any) -> None:
    """Requests of another form have no rows."""
    assert batch(request_) is None


@pytest.mark.parametrize("response", [None, [1], {}, {"predictions": [1, 2]}, {"predictions": None}, {"outputs": [1]}])
def test_answers_without_predictions(response: Any) -> None:
    """Another number of predictions is none."""
    assert answers(response, 1) is None


@pytest.mark.parametrize(
    ("answer", "ready"),
    [
        (Answer(200, {"name": "model", "ready": True}), True),
        (Answer(200, {"name": "model", "ready": "True"}), True),
        (Answer(200, {"name": "model", "ready": False}), False),
        (Answer(200, {"name": "model", "ready": "False"}), False),
        (Answer(200), False),
        (Answer(503, {"name": "model", "ready": True}), False),
    ],
)
def test_ready(answer: Answer, ready: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """The model is ready when the server says so."""
    assert KSERVE.is_ready(answer.exchange("ready")) is ready


def test_paths_hold_the_name_of_the_model() -> None:
    """`serve.model` names the model that is asked."""
    spoken = interface(builders.spec(block={"serve": {"model": "heat"}}), KSERVE)
    assert (spoken.ready, spoken.predict) == ("/v1/models/heat", "/v1/models/heat:predict")


def test_recognised_by_its_list_of_models() -> None:
    """The list of models gives it away; a chat server, which has a list of another form there, is none."""

    def ask(body: Any) -> Any:
        return lambda path: (Answer(200, body) if path == "/v1/models" else Answer(404)).exchange("recognise")

    assert recognise(ask({"models": ["heat"]})) is KSERVE
    assert recognise(ask({"object": "list", "data": []})) is None
