"""The dialect of MLflow's scoring server: rows in four forms, what it demands, and what is recognised as it."""

from __future__ import annotations

import json
from typing import Any

import builders
import pytest
from defects import defect

from harness.checks.contract import conforms
from harness.checks.rejects import judge
from harness.client.protocols import recognise
from harness.client.protocols.mlflow import FORMS, MLFLOW, answers, batch
from harness.evidence.records import Contract, Evidence, Exchange, Finding, Interface, Status

INTERFACE = Interface("mlflow", "/ping", "/invocations")
ERROR = b'{"error_code": "BAD_REQUEST", "message": "no"}'
ROWS = [{"a": 1, "b": 2.5}, {"a": 3, "b": 4.5}]
SPLIT = {"columns": ["a", "b"], "data": [[1, 2.5], [3, 4.5]]}
# What mlflow-skinny 3.17.2 answers.
GOOD: dict[str, tuple[int, bytes]] = {
    "ping": (200, b"\n"),
    "health": (200, b"\n"),
    "version": (200, b"3.17.2"),
    "predictions": (200, b'{"predictions": [1.0]}'),
    "no-form": (400, ERROR),
    "two-forms": (400, ERROR),
    "a-list": (400, ERROR),
    "no-json": (400, ERROR),
    "xml": (415, b"This predictor only supports the following content types"),
    "charset": (415, b"The scoring server only supports UTF-8"),
    "no-content-type": (400, ERROR),
}


def _contract(kind: str, answered: dict[str, tuple[int, bytes]]) -> Contract:
    exchanges = [
        builders.exchange(f"{kind}:{name}", status, body, path="/invocations")
        for name, (status, body) in answered.items()
    ]
    return Contract(tuple(exchanges), INTERFACE, document=None)


def _conforms(answered: dict[str, tuple[int, bytes]], *, strict: bool = False, examples: bool = True) -> list[Finding]:
    changes: dict[str, Any] = {} if examples else {"examples": ()}
    spec = builders.spec({"contract": {"strict": strict}}, **changes)
    return list(conforms(Evidence(spec=spec, contract=_contract("conforms", answered))))


def _rejects(kind: str, status: int, body: bytes, *, strict: bool = False) -> Status:
    spec = builders.spec({"contract": {"strict": strict}})
    (finding,) = judge(kind, spec, _contract(f"rejects-{kind}", {"/": (status, body)}))
    return finding.status


def test_the_real_answers_conform() -> None:
    """A server that meets every demand passes, also where strictness is asked for."""
    assert {probe.name for probe in MLFLOW.probes} == set(GOOD)
    for strict in (False, True):
        (finding,) = _conforms(GOOD, strict=strict)
        assert (finding.status, finding.received) == (Status.PASS, "11 of 11 demands of mlflow met")


BROKEN: dict[str, list[tuple[int, bytes]]] = {
    "ping": [(404, b""), (503, b"")],
    "health": [(404, b"")],
    "version": [(404, b"")],
    "predictions": [(200, b"[1.0]"), (200, b'{"outputs": [1.0]}'), (200, b"no JSON"), (400, ERROR)],
    "no-form": [(200, b"{}"), (500, b""), (400, b"text"), (400, b'{"detail": "no"}')],
    "two-forms": [(200, b'{"predictions": [1]}'), (400, b'{"error_code": 3, "message": "no"}')],
    "a-list": [(200, b"{}"), (400, b'{"error_code": "BAD_REQUEST"}')],
    "no-json": [(500, b"Internal Server Error"), (400, b'{"message": "no"}')],
    "xml": [(400, ERROR), (200, b"{}")],
    "charset": [(200, b'{"predictions": [1]}')],
    "no-content-type": [(200, b'{"predictions": [1]}'), (502, b"")],
}


@pytest.mark.parametrize(
    ("name", "answer"), [(name, answer) for name, found in BROKEN.items() for answer in found], ids=str
)
@defect("contract.conforms", "MLflow: one demand of the protocol is unmet, each in turn")
def test_each_demand_can_fail(name: str, answer: tuple[int, bytes]) -> None:
    """One wrong answer fails exactly its demand, and the finding names the probe and the specification."""
    assert set(BROKEN) == set(GOOD)
    (finding,) = _conforms(GOOD | {name: answer})
    assert finding.status is Status.FAIL
    assert f"({name})" in finding.expected
    assert "MLflow" in finding.expected or "mlflow" in finding.expected


def test_a_lost_probe_fails() -> None:
    """A demand whose request was not recorded is not met."""
    (finding,) = _conforms({name: answer for name, answer in GOOD.items() if name != "version"})
    assert (finding.status, finding.received) == (Status.FAIL, "no request was recorded")


def test_without_an_example_no_prediction_is_demanded() -> None:
    """The demand that needs the project's own request falls away where it names none."""
    (finding,) = _conforms({name: answer for name, answer in GOOD.items() if name != "predictions"}, examples=False)
    assert (finding.status, finding.received) == (Status.PASS, "10 of 10 demands of mlflow met")


def test_a_chat_model_answers_unwrapped() -> None:
    """A raw payload is answered without `predictions`."""
    (finding,) = _conforms(GOOD | {"predictions": (200, b'{"choices": []}')})
    assert finding.status is Status.PASS


def test_the_shipped_deviation_is_known() -> None:
    """The real server answers 500 to a request without a content type: said, and a failure where strict."""
    shipped = GOOD | {"no-content-type": (500, b"Internal Server Error")}
    (finding,) = _conforms(shipped)
    assert finding.status is Status.PASS
    assert finding.received.endswith("known deviations of shipped servers: no-content-type")
    (finding,) = _conforms(shipped, strict=True)
    assert finding.status is Status.FAIL


def test_the_shipped_weakness_is_a_warning() -> None:
    """The real server's 500 to deep nesting warns; where strict, elsewhere, or with a traceback it fails."""
    assert _rejects("deep-nesting", 500, b"Internal Server Error") is Status.WARN
    assert _rejects("deep-nesting", 400, ERROR) is Status.PASS
    assert _rejects("deep-nesting", 500, b"Internal Server Error", strict=True) is Status.FAIL
    assert _rejects("deep-nesting", 502, b"Bad Gateway") is Status.FAIL
    assert _rejects("deep-nesting", 500, b"Traceback (most recent call last):") is Status.FAIL
    assert _rejects("huge-integer", 500, b"Internal Server Error") is Status.FAIL


TRACE = {"error_code": "BAD_REQUEST", "message": "no", "stack_trace": "Traceback (most recent call last):\n"}


def test_the_models_traceback_is_a_warning() -> None:
    """A traceback where MLflow puts it warns; anywhere else, with another status, and where strict it fails."""

    def status(*, code: int = 400, strict: bool = False, **changes: str) -> Status:
        return _rejects("missing", code, json.dumps(TRACE | changes).encode(), strict=strict)

    assert status() is Status.WARN
    assert status(strict=True) is Status.FAIL
    assert status(code=500) is Status.FAIL
    assert status(code=200) is Status.FAIL
    assert status(message=TRACE["stack_trace"]) is Status.FAIL
    assert _rejects("missing", 400, json.dumps({"stack_trace": TRACE["stack_trace"]}).encode()) is Status.FAIL
    assert _rejects("missing", 400, TRACE["stack_trace"].encode()) is Status.FAIL


def test_a_415_may_be_text() -> None:
    """415 is text in this protocol; any other refusal is JSON of the protocol's form."""
    assert _rejects("content-type", 415, b"This predictor only supports", strict=True) is Status.PASS
    assert _rejects("content-type", 400, b"text") is Status.WARN
    assert _rejects("content-type", 415, b"Traceback (most recent call last):") is Status.FAIL
    assert _rejects("null", 400, b'{"detail": "no"}') is Status.WARN


def test_an_unknown_method_may_be_501() -> None:
    """501 is an answer to a method that the server knows nowhere, and to nothing else."""
    assert _rejects("method", 501, b"", strict=True) is Status.PASS
    assert _rejects("method", 500, b"") is Status.FAIL
    assert _rejects("method", 501, b"Traceback (most recent call last):") is Status.FAIL
    assert _rejects("path", 501, b"") is Status.FAIL


@pytest.mark.parametrize(
    "request_",
    [
        {"dataframe_split": SPLIT},
        {"dataframe_records": ROWS},
        {"instances": ROWS},
        {"inputs": ROWS},
        {"inputs": {"a": [1, 3], "b": [2.5, 4.5]}},
        {"inputs": [[1, 2], [3, 4]], "params": {"k": 1}},
    ],
    ids=json.dumps,
)
def test_rows_in_every_form(request_: Any) -> None:
    """The rows are found in each form, and the same request is made of them again, or of others."""
    before = json.dumps(request_)
    found = batch(request_)
    assert found is not None
    assert len(found.rows) == 2
    assert found.build(found.rows) == request_
    other = batch(found.build([found.rows[1]]))
    assert other is not None
    assert other.rows == found.rows[1:]
    assert json.dumps(request_) == before


def test_the_index_of_a_split_names_rows() -> None:
    """A request of other rows has no index: it would name rows that are not there."""
    found = batch({"dataframe_split": {"index": [7, 8], **SPLIT}})
    assert found is not None
    assert found.build(found.rows[:1]) == {"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2.5]]}}


def test_no_row_in_every_form() -> None:
    """A request without rows keeps its form."""
    columns = batch({"inputs": {"a": [1], "b": [2]}})
    assert columns is not None
    assert columns.build(()) == {"inputs": {"a": [], "b": []}}
    split = batch({"dataframe_split": SPLIT})
    assert split is not None
    assert split.build(()) == {"dataframe_split": {"columns": ["a", "b"], "data": []}}


@pytest.mark.parametrize(
    "request_",
    [
        {"messages": [{"role": "user", "content": "hi"}]},
        {"inputs": {"a": [1, 2], "b": [1]}},
        {"inputs": {"a": 1}},
        {"inputs": {}},
        {"inputs": 3},
        {"inputs": []},
        {"dataframe_split": [1]},
        {"dataframe_split": {"data": 3}},
        [1],
        None,
        {},
    ],
    ids=json.dumps,
)
def test_no_batch(request_: Any) -> None:
    """What holds no list of rows is one row."""
    assert batch(request_) is None


@pytest.mark.parametrize(
    ("response", "found"),
    [
        ({"predictions": [1, 2]}, (1, 2)),
        ({"predictions": [{"p": 1}, {"p": 2}]}, ({"p": 1}, {"p": 2})),
        ({"predictions": {"p": [1, 2], "q": [3, 4]}}, ({"p": 1, "q": 3}, {"p": 2, "q": 4})),
        ({"predictions": [1]}, None),
        ({"predictions": 1}, None),
        ({"outputs": [1, 2]}, None),
        ([1, 2], None),
    ],
    ids=str,
)
def test_predictions_are_unwrapped(response: Any, found: Any) -> None:
    """One prediction for each row, from under `predictions` alone."""
    assert answers(response, 2) == found


def test_all_forms_are_tested() -> None:
    """The forms are those of the documentation."""
    assert FORMS == ("dataframe_split", "dataframe_records", "instances", "inputs")


PATHS = {"/ping": (200, b"\n"), "/version": (200, b"3.17.2"), "/invocations": (405, b"{}")}


def _recognised(answered: dict[str, tuple[int, bytes]]) -> str | None:
    def ask(path: str) -> Exchange:
        status, body = answered.get(path, (404, b'{"detail": "Not Found"}'))
        return builders.exchange("recognise", status, body, path=path, method="GET")

    found = recognise(ask)
    return found.name if found else None


def test_it_is_recognised() -> None:
    """By its version, its ping and its predict path: also beside the document that its framework serves."""
    document = {"/openapi.json": (200, b'{"openapi": "3.1.0"}')}
    assert _recognised(PATHS) == "mlflow"
    assert _recognised(PATHS | document) == "mlflow"
    assert _recognised(PATHS | {"/version": (200, b'"2.9.2"')}) == "mlflow"
    assert _recognised(PATHS | {"/version": (200, b'{"version": "1.0"}')}) != "mlflow"
    assert _recognised(PATHS | {"/ping": (404, b"")}) is None
    assert _recognised({**document, "/version": (200, b"1.2"), "/ping": (200, b"pong")}) == "openapi"
