"""What is new in each answer is no difference; what a model says is one, whatever stands beside it."""

# ruff: noqa: ARG005 - a style may do without the number of the request, or without the predictions

from __future__ import annotations

import itertools
import json
import os
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import builders
import pytest
from defects import defect
from service import Service, asked, listening

from harness.checks import all_checks
from harness.checks.judge import judge
from harness.checks.volatile import left_out, pointer, without
from harness.cli.main import main
from harness.client.request_generators.skew import skew_requests
from harness.config.spec import Behaviour, Relation, Spec
from harness.errors import DescriptionError
from harness.evidence.records import Contract, Exit, Finding, Interface, Selection, Skew, Status, Stop
from harness.project.contract_file import load_contract
from harness.project.description import parse_block
from harness.runner import remote
from harness.runner.stages.contract import requests
from harness.runner.stages.load import pool

Answer = Callable[[list[float], int], Any]  # of predictions, and of how many requests there were before
OF_CONTRACT = tuple(check for check in all_checks() if {*check.reads, *check.may_read} <= {"spec", "contract"})
FAILED = (Status.FAIL, Status.ERROR)
PLAIN = Interface("plain", "/health", "/predict")
DICE = random.Random(7)  # noqa: S311 - no secret
START = time.time()


def _ulid() -> str:
    return "01" + "".join(DICE.choice("0123456789ABCDEFGHJKMNPQRSTVWXYZ") for _ in range(24))


def _hex(count: int) -> str:
    return f"{DICE.getrandbits(4 * count):0{count}x}"


def _now() -> str:
    return datetime.now(UTC).isoformat()


class Styled(Service):
    """The good service, whose predictions are told in some style; one row a request where `single`."""

    def __init__(self, style: Answer, *, single: bool = False) -> None:
        super().__init__()
        self.style, self.single, self.count = style, single, itertools.count()

    def _answer(self, method: str, path: str, body: bytes, content_type: str) -> Any:
        if path == "/openapi.json":
            path = "/nowhere"
        return super()._answer(method, path, body, content_type)

    def _predict(self, rows: list[dict[str, Any]], body: bytes) -> Any:
        predictions = super()._predict(rows, body)["predictions"]
        return self.style(predictions, next(self.count))


def _spec(*responses: Any, **contract: Any) -> Spec:
    """Two examples of one row; where there are no responses they promise a status alone."""
    names = (("one", builders.REQUEST), ("two", builders.TWO))
    examples = [
        builders.example(
            name, request=request, response=responses[n] if responses else None, has_response=bool(responses)
        )
        for n, (name, request) in enumerate(names)
    ]
    block = {"contract": {"skew": None, **contract}, "data": None}
    return replace(builders.spec(block), examples=tuple(examples), behaviours=(_COLOURS,), baseline=None)


_COLOURS = Behaviour(
    "any colour",
    "b.json",
    Relation.INVARIANCE,
    tuple({"instances": [{"length": 1.5, "island": "Dream", "colour": colour}]} for colour in ("black", "white")),
)


def _contract(service: Service, spec: Spec) -> Contract:
    exchanges = tuple(asked(service, request) for request in requests(spec, PLAIN))
    return Contract(exchanges, PLAIN, None, "the dialect `plain` has no document")


def _judged(service: Service, spec: Spec) -> list[Finding]:
    return list(judge(builders.evidence(spec=spec, contract=_contract(service, spec)), OF_CONTRACT))


def _failed(findings: list[Finding]) -> dict[str, str]:
    return {finding.check: finding.received for finding in findings if finding.status in FAILED}


PREDICTIONS = ({"predictions": [0.25]}, {"predictions": [1.5]})
ROWS = ({"predictions": [{"y": 0.25}]}, {"predictions": [{"y": 1.5}]})
# Name -> what the examples promise, the answer, and what has to be found in it.
GOOD: dict[str, tuple[tuple[Any, ...], Answer, set[str]]] = {
    "id, latency and time": (
        PREDICTIONS,
        lambda p, n: {
            "predictions": p,
            "request_id": str(time.time_ns()),
            "latency_ms": time.perf_counter() % 1,
            "timestamp": time.time(),
        },
        {"/request_id", "/latency_ms", "/timestamp"},
    ),
    "in camel case, in meta": (
        PREDICTIONS,
        lambda p, n: {
            "predictions": p,
            "meta": {"requestId": str(uuid.uuid4()), "processedAt": _now(), "workerPid": n % 2, "calls": n},
        },
        {"/meta/requestId", "/meta/processedAt", "/meta/workerPid", "/meta/calls"},
    ),
    "an ID in each row": (
        ROWS,
        lambda p, n: {"predictions": [{"id": str(uuid.uuid4()), "y": y} for y in p]},
        {"/predictions/*/id"},
    ),
    "a list of rows": (
        ([{"score": 0.25}], [{"score": 1.5}]),
        lambda p, n: [{"prediction_id": f"pred-{n}-{k}-{_hex(8)}", "score": y} for k, y in enumerate(p)],
        {"/*/prediction_id"},
    ),
    "a column of IDs": (
        PREDICTIONS,
        lambda p, n: {
            "ids": [_hex(32) for _ in p],
            "predictions": p,
            "took": ["0.2 ms" if n % 2 else "0.3 ms" for _ in p],
        },
        {"/ids", "/took"},
    ),
    "label, score and ID, nothing promised": (
        (),
        lambda p, n: {"label": "a", "score": p[0] + 0.5, "request_id": _hex(16), "list": p},
        {"/request_id"},
    ),
    "counters and flags": (
        PREDICTIONS,
        lambda p, n: {
            "predictions": p,
            "count": 17 + n,
            "cached": n > 0,
            "uptime": time.monotonic(),
            "cache": "HIT" * (n % 2),
        },
        {"/count", "/cached", "/uptime", "/cache"},
    ),
    "a ULID, a countdown, a host": (
        PREDICTIONS,
        lambda p, n: {
            "output": p,
            "predictions": p,
            "trace": {"traceId": _ulid()},
            "remaining": 1000 - n,
            "host": f"w{n % 3}",
        },
        {"/trace/traceId", "/remaining", "/host"},
    ),
    "numbered requests": (
        PREDICTIONS,
        lambda p, n: {"predictions": p, "id": n, "seq": f"req-{n}", "request": {"number": n}},
        {"/id", "/seq", "/request/number"},
    ),
    "like headers": (
        PREDICTIONS,
        lambda p, n: {"predictions": p, "headers": {"X-Request-ID": _hex(8), "X-Process-Time": f"{n * 1e-4:.6f}"}},
        {"/headers/X-Request-ID", "/headers/X-Process-Time"},
    ),
    "texts": (
        PREDICTIONS,
        lambda p, n: {
            "predictions": p,
            "message": f"{len(p)} rows at {_now()} in {n + 0.5} ms",
            "links": {"self": f"/jobs/{uuid.uuid4()}"},
            "date": datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT"),
        },
        {"/message", "/links/self"},
    ),
    "timings": (
        PREDICTIONS,
        lambda p, n: {
            "predictions": p,
            "timings": {"load": n * 1e-3, "model": 0.1 * n, "total": 0.2 * n},
            "inference_time_us": 350 + n,
            "elapsed": f"{n}.25ms",
        },
        {"/timings/load", "/timings/model", "/timings/total", "/inference_time_us", "/elapsed"},
    ),
    "clocks of many kinds": (
        PREDICTIONS,
        lambda p, n: {
            "predictions": p,
            "createdAt": int(time.time() * 1e3) + n,
            "ts": time.time_ns(),
            "server_time": (START + n),
            "time": f"21:59:{n % 60:02d}",
        },
        {"/createdAt", "/ts", "/server_time", "/time"},
    ),
    "an ID that an example promises": (
        tuple({**each, "request_id": str(uuid.uuid4()), "created_at": "2025-01-01T00:00:00Z"} for each in PREDICTIONS),
        lambda p, n: {"predictions": p, "request_id": str(uuid.uuid4()), "created_at": _now()},
        {"/request_id", "/created_at"},
    ),
    "the machine": (
        PREDICTIONS,
        lambda p, n: {"predictions": p, "memory_mb": 100 + n % 7, "cpu_percent": DICE.random(), "instance_id": _hex(8)},
        {"/memory_mb", "/cpu_percent", "/instance_id"},
    ),
    "null now and then": (
        PREDICTIONS,
        lambda p, n: {"predictions": p, "warning": None, "cacheHit": None if n % 2 else True, "explanation": None},
        {"/cacheHit"},
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_new_each_time_is_no_difference(name: str) -> None:
    """No check fails; one warning names each place and says how to declare it; declared, there is none."""
    promised, style, places = GOOD[name]
    found = _judged(Styled(style), _spec(*promised))
    assert not _failed(found)
    (told,) = [finding for finding in found if finding.check == "contract.volatile"]
    assert told.status is Status.WARN
    for place in places:
        assert f"{place} (" in told.received
        assert place in told.advice
    declared = [*(places), *(["/date"] if name == "texts" else [])]
    again = _judged(Styled(style), _spec(*promised, volatile=declared))
    assert not _failed(again)
    assert {f.status for f in again if f.check == "contract.volatile"} == {Status.PASS}, again


def _jitter(p: list[float]) -> list[float]:
    return [y + DICE.random() for y in p]


# Name -> what the examples promise, and an answer in which a prediction differs from time to time.
BAD: dict[str, tuple[tuple[Any, ...], Answer]] = {
    "random predictions": ((), lambda p, n: {"predictions": _jitter(p), "request_id": str(uuid.uuid4())}),
    "a random score beside an ID": (
        ({"label": "a"}, {"label": "a"}),
        lambda p, n: {"label": "a", "score": DICE.random(), "request_id": str(uuid.uuid4()), "rows": p},
    ),
    "a random score in each row": (
        ROWS,
        lambda p, n: {"predictions": [{"y": y, "confidence": DICE.random()} for y in p]},
    ),
    "a random score, nothing promised": ((), lambda p, n: {"label": "a", "score": DICE.random(), "id": _hex(32)}),
    "a random label": ((), lambda p, n: {"label": DICE.choice("ab"), "model": "v1", "time": time.time()}),
    "a random value": ((), lambda p, n: {"value": DICE.random(), "latency_ms": DICE.random()}),
    "a random field that nobody knows": ((), lambda p, n: {"predictions": p, "uplift": DICE.random()}),
    "a score that grows": ((), lambda p, n: {"score": n, "id": n}),
    "a random score in meta": ((), lambda p, n: {"predictions": p, "meta": {"score": DICE.random(), "id": _hex(32)}}),
    "a class under id": ((), lambda p, n: {"id": DICE.randrange(5), "name": "x", "request_id": _hex(32)}),
    "a product": ((), lambda p, n: {"items": [{"product_id": f"B{DICE.randrange(10**8):08d}"} for _ in p]}),
    "documents": (
        (),
        lambda p, n: {"results": [{"id": DICE.choice(["a1b2c3d4e5f60718", "b1b2c3d4e5f60718"])} for _ in p]},
    ),
    "a trip's duration": ((), lambda p, n: {"trip_duration": 600 + 99 * DICE.random(), "request_id": _hex(32)}),
    "a duration of minutes": (
        (),
        lambda p, n: {"duration": 600 + 99 * DICE.random(), "model_version": "2", "request_id": _hex(32)},
    ),
    "a duration alone": ((), lambda p, n: {"time": DICE.random(), "model": "m", "request_id": _hex(32)}),
    "a promised duration": (
        ({"time_ms": 1.0}, {"time_ms": 2.0}),
        lambda p, n: {"time_ms": p[0] * DICE.random(), "rows": p},
    ),
    "a date": ((), lambda p, n: {"next_visit_at": f"2027-01-{1 + DICE.randrange(28):02d}T00:00:00Z", "id": _hex(32)}),
    "a time that jumps": ((), lambda p, n: {"time": 1.7e9 + 1e6 * DICE.random(), "predictions": p}),
    "a probability of a class named time": (
        (),
        lambda p, n: {"probabilities": {"time": DICE.random(), "id": DICE.random()}, "request_id": _hex(32)},
    ),
    "a text": ((), lambda p, n: {"answer": f"It costs {DICE.randrange(10**6)}", "timestamp": _now()}),
    "a list that grows": ((), lambda p, n: {"predictions": p, "history": [0] * n}),
    "drift": (PREDICTIONS, lambda p, n: {"predictions": [y + n * 0.01 for y in p], "count": n, "id": n}),
    "NaN now and then": (
        (),
        lambda p, n: {"predictions": [float("nan") if n % 3 == 2 else y for y in p], "id": _hex(32)},
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_a_model_says_is_a_difference(name: str) -> None:
    """A prediction that differs between equal requests fails contract.repeatable; the advice says what to declare."""
    promised, style = BAD[name]
    found = _judged(Styled(style), _spec(*promised))
    assert "contract.repeatable" in _failed(found), [str(f) for f in found if f.status is not Status.SKIP]
    assert any("contract.volatile" in f.advice for f in found if f.check == "contract.repeatable")


def test_a_wrong_cache_is_found() -> None:
    """Answers kept by the number of rows belong to other requests: the flag beside them is no excuse."""
    kept: dict[int, list[float]] = {}

    def cached(p: list[float], _n: int) -> Any:
        is_known = len(p) in kept
        return {"predictions": kept.setdefault(len(p), p), "cached": is_known, "request_id": _hex(32)}

    failed = _failed(_judged(Styled(cached), _spec(*PREDICTIONS)))
    assert {"contract.examples", "contract.row-order"} <= failed.keys()


def test_the_good_service_has_nothing_new() -> None:
    """Where answers are the same to the byte, the check passes."""
    found = _judged(Styled(lambda p, n: {"predictions": p, "model": "v1", "loaded_at": START}), _spec(*PREDICTIONS))
    assert {f.status for f in found if f.check == "contract.volatile"} == {Status.PASS}
    assert not _failed(found)


@pytest.mark.parametrize(
    ("declared", "promised"),
    [
        pytest.param(
            ["/*/y"], PREDICTIONS, marks=defect("contract.volatile", "a wildcard over predictions", proof="server")
        ),
        (["/result"], ({"result": [0.25]}, {"result": [1.5]})),
        (["/rows/*/label", "/rows/*/score"], ()),
    ],
)
def test_predictions_are_not_declared(declared: list[str], promised: tuple[Any, ...]) -> None:
    """A declaration after which nothing is left to be compared fails."""
    by = {
        "/*/y": lambda p, n: {"predictions": {"y": p}, "version": 3},
        "/result": lambda p, n: {"result": p, "request_id": _hex(32), "note": "x"},
        "/rows/*/label": lambda p, n: {"rows": [{"label": "a", "score": y} for y in p], "status": "ok"},
    }
    promised = ({"predictions": {"y": [0.25]}}, {"predictions": {"y": [1.5]}}) if declared == ["/*/y"] else promised
    failed = _failed(_judged(Styled(by[declared[0]]), _spec(*promised, volatile=declared)))
    assert failed.keys() == {"contract.volatile"}, failed
    assert "nothing of" in failed["contract.volatile"]


@defect("contract.volatile", "an ID that nobody declared", proof="server", status="warn")
def test_it_is_named_over_http(tmp_path: Path) -> None:
    """A real server with ID, latency and time, declared in part: only the rest is told, and nothing fails."""
    promised, style, _ = GOOD["id, latency and time"]
    with listening(Styled(style)) as target:
        spec = replace(_spec(*promised, volatile=["/latency_ms", "/nowhere"]), root=tmp_path, port=target.port)
        found = list(remote.judge(spec, target, builders.Silent(), Selection(fast=True)).findings)
    assert not _failed(found)
    told = [finding.received for finding in found if finding.check == "contract.volatile"]
    assert told[0] == "no answer has /nowhere"
    assert "/latency_ms" not in told[1]
    assert "/request_id (an ID" in told[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/", "JSON pointer"),
        ("", "JSON pointer"),
        ("request_id", "JSON pointer"),
        ("/a//b", "JSON pointer"),
        ("/*", "no prediction would be compared"),
        ("/*/*", "no prediction would be compared"),
        ("/predictions", "no prediction would be compared"),
        ("/predictions/*", "no prediction would be compared"),
        ("/outputs", "no prediction would be compared"),
    ],
)
def test_refused_declarations(text: str, said: str) -> None:
    """What is no place, or covers every prediction, is refused with its place and the reason."""
    with pytest.raises(DescriptionError) as caught:
        parse_block({"version": 1, "contract": {"volatile": [text]}})
    assert "x-harness.contract.volatile.0" in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("value", "places", "left"),
    [
        ({"a": 1, "b": 2}, ["a"], {"b": 2}),
        ({"rows": [{"id": 1, "y": 2}, {"y": 3}]}, ["rows/*/id"], {"rows": [{"y": 2}, {"y": 3}]}),
        ({"x": {"id": 1}, "y": {"id": 2}}, ["*/id"], {"x": {}, "y": {}}),
        ({"p": [1, 2, 3]}, ["p/1"], {"p": [1, None, 3]}),
        ([{"id": 1}], ["*/id"], [{}]),
        ("text", ["a"], "text"),
        ({"a/b": 1, "c": 2}, ["a~1b"], {"c": 2}),
    ],
)
def test_without(value: Any, places: list[str], left: Any) -> None:
    """Keys are taken out; a position in a list keeps its place."""
    parts = [tuple(part.replace("~1", "/") for part in place.split("/")) for place in places]
    assert without(value, parts) == left
    assert [pointer(part) for part in parts] == [f"/{place}" for place in places]


def _noisy(p: list[float], n: int) -> Any:
    return {"predictions": p, "request_id": str(uuid.uuid4()), "at": _now(), "pid": os.getpid() + n % 2}


def test_load_expects_the_prediction_alone() -> None:
    """Answers under load are compared without what is new, also where it did not differ when it was asked again."""
    slow = lambda p, n: {"predictions": p, "time": int(time.time()), "mode": None}  # noqa: E731 - one second is one time
    for style in (_noisy, slow):
        service, spec = Styled(style), _spec()
        contract = _contract(service, spec)
        with listening(service) as target:
            asks = pool(spec, target, contract)
        assert {ask.expected for ask in asks} <= {
            *(json.dumps({"predictions": [y], **rest}).encode() for y in (0.25, 1.5) for rest in ({}, {"mode": None})),
        }


def test_requests_in_flight_are_compared_without_it() -> None:
    """A request that is answered at the end of the service has its own ID, and the same prediction."""
    service, spec = Styled(_noisy), _spec(*PREDICTIONS)
    contract = _contract(service, spec)
    (check,) = [check for check in all_checks() if check.name == "serve.stops-gracefully"]
    first = contract.answer("example:one")
    assert first is not None
    other = replace(first, response=json.dumps({"predictions": [9.0], "request_id": "x"}).encode())
    for exchange, status in ((asked(service, next(requests(spec, PLAIN))), Status.PASS), (other, Status.WARN)):
        stop = Stop("SIGTERM", 15, 10.0, 0.1, 0, killed=False, clients=1, in_flight=(exchange,))
        (finding,) = judge(builders.evidence(spec=spec, contract=contract, stop=stop), [check])
        assert finding.status is status, finding


def test_training_and_serving_have_other_ids() -> None:
    """The training image answers with its own IDs and times; predictions apart still fail."""
    (check,) = [check for check in all_checks() if check.name == "contract.skew"]
    block = {"rows": "holdout.csv", "command": ["python", "predict.py"]}
    service, spec = Styled(_noisy), _spec(*PREDICTIONS, skew=block)
    for shift, status in ((0.0, Status.PASS), (0.1, Status.FAIL)):
        answers = tuple(_noisy([y + shift], 5) for y in (0.25, 1.5))
        skew = Skew(
            (builders.REQUEST, builders.TWO),
            answers,
            Exit(0, oom_killed=False, timed_out=False, seconds=1.0, log_tail=()),
        )
        known = _contract(service, spec)
        known = replace(known, exchanges=(*known.exchanges, *(asked(service, each) for each in skew_requests(skew))))
        (finding,) = judge(builders.evidence(spec=spec, contract=known, skew=skew), [check])
        assert finding.status is status, finding


def test_golden_examples_promise_nothing_new(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`harness record` writes the prediction down and not the ID; a random prediction not at all."""
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, (builders.REQUEST, builders.TWO))), encoding="utf-8")
    for style, count in ((_noisy, 2), (lambda p, n: {"predictions": _jitter(p), "request_id": _hex(32)}, 0)):
        with listening(Styled(style)) as target:
            out = f"out{count}"
            command = ["record", "--project", str(tmp_path), "--url", target.url, "--out", out, "--yes"]
            assert main([*command, str(tmp_path / "rows.jsonl")]) == 0
        assert len(list(tmp_path.glob(f"{out}/*.json"))) == count
    examples, _ = load_contract(tmp_path, "out2/*.json")
    assert [example.response for example in examples] == [*PREDICTIONS]
    said = capsys.readouterr().out
    assert "new each time, not promised: /request_id, /at, /pid" in said
    assert "asked again, it answers something else" in said


def test_evidence_of_an_old_run_is_judged() -> None:
    """Without a contract, and of answers that are no JSON, nothing is known, and nothing breaks."""
    spec = _spec(volatile=["/a"])
    assert left_out(spec, None).promised({"a": 1, "b": 2}) == {"b": 2}
    service = Styled(lambda p, n: {"predictions": p})
    contract = _contract(service, spec)
    broken = tuple(
        replace(e, response=b"\xff{" if n % 2 else b"[" * 5000 + b"]" * 5000) for n, e in enumerate(contract.exchanges)
    )
    assert left_out(spec, replace(contract, exchanges=broken)).found == ()


@pytest.mark.parametrize(
    ("style", "fails"),
    [
        (lambda p, n: {"predictions": [{"index": k, "y": y} for k, y in enumerate(p)]}, False),
        (lambda p, n: [{"rowNumber": k, "score": y} for k, y in enumerate(p, start=1)], False),
        (lambda p, n: {"predictions": [{"label": k, "y": y} for k, y in enumerate(p)]}, True),
        (lambda p, n: {"predictions": [{"index": len(p), "y": y} for y in p]}, True),
    ],
)
def test_the_place_of_a_row_in_its_batch(style: Answer, fails: bool) -> None:  # noqa: FBT001
    """A row that says its own place says another one alone; a label that does so depends on its batch."""
    failed = _failed(_judged(Styled(style), _spec()))
    assert ("contract.batch-invariant" in failed) == fails
    assert fails or not failed
