"""Every check: evidence that passes it, and evidence that does not."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import builders
import pytest
from builders import artifact, base, built, contract, data, ended, evidence, exchange, images, lock, serving, training
from defects import shows
from service import DOCUMENT, FAULTS
from test_trainings import CASES as TRAININGS

from harness.checks import all_checks
from harness.checks.judge import judge_one
from harness.client.compare import compare
from harness.config.spec import Tolerance
from harness.evidence.records import Evidence, FileHash, Finding, Status, Violation

PASS, WARN, FAIL, SKIP = Status.PASS, Status.WARN, Status.FAIL, Status.SKIP
CHECKS = {check.name: check for check in all_checks()}
OTHER = FileHash("model.bin", 1000, "0" * 64)


def _judge(name: str, evidence_: Evidence) -> list[Finding]:
    return list(judge_one(evidence_, CHECKS[name]))


def _spec(**block: Any) -> Evidence:
    return evidence(spec=builders.spec(block))


def _case(name: str, status: int | None, request: Any, answer: Any = None, **changes: Any) -> Evidence:
    """Evidence with another answer to one malformed request."""
    body = json.dumps(request).encode()
    return evidence(contract=contract(exchange(name, status, answer or {}, request=body), **changes))


UNKNOWN = {"instances": [{"length": 1.5, "island": "Dream", "harness_unknown_field": 1}]}
NO_LENGTH = {"instances": [{"island": "Dream"}]}
RELAXED = json.loads(json.dumps(DOCUMENT).replace('"additionalProperties": false, ', ""))
AN_UNKNOWN = "rejects-unknown:/instances/0/harness_unknown_field"
A_MISSING = "rejects-missing:/instances/0/length"
BROKEN = "rejects-malformed:/"
BATCH = contract().answer("batch:all").request  # type: ignore[union-attr]
VIOLATIONS = tuple(Violation("train.csv", "sex", row, "x", "isin") for row in range(7))

GOOD: dict[str, list[Evidence]] = {
    "images.built": [evidence(), evidence(images=images(images=(built(),), builder="classic"))],
    "images.pinned": [evidence(), evidence(lock=None), evidence(images=images(bases=(), requirements={}))],
    "data.pinned": [evidence()],
    "data.schema": [evidence()],
    "train.exits-cleanly": [evidence()],
    "train.outside-build": [evidence()],
    "train.loss-finite": [evidence(), evidence(artifact=artifact(1, -2.5))],
    "train.loss-decreases": [
        evidence(),
        evidence(artifact=artifact(4, 3, 2, 1)),
        evidence(artifact=artifact(-1, -1.5, -2, -2)),
        evidence(artifact=artifact(9, 8, 1, 2, 1, 2, 9, 1)),
        evidence(artifact=artifact(2.0, 1.0)),
        evidence(artifact=artifact(1, 3.0, 0)),
        evidence(artifact=artifact(-1.0, -2.0)),
        evidence(artifact=artifact(metrics=({"loss": 2.0}, {"epoch": 1}, {"loss": 1.0}))),
    ],
    "artifact.present": [evidence(), evidence(artifact=artifact(files=(OTHER, FileHash("empty", 0, "e"))))],
    "artifact.handed-over": [
        evidence(),
        evidence(serve=serving(files=(*artifact().files, FileHash("cache.bin", 1, "9")))),
    ],
    "serve.ready": [evidence()],
    "contract.examples": [
        evidence(),
        evidence(contract=contract(exchange(body={"predictions": [0.25], "model": "v1"}))),
        evidence(contract=contract(exchange(body={"predictions": [0.25 + 1e-8]}))),
        evidence(spec=builders.spec(examples=(builders.example(status=422, has_response=False),)),
                 contract=contract(exchange(status=422, body=b"no JSON"))),
    ],
    "contract.rejects-unknown": [
        evidence(),
        *(_case(AN_UNKNOWN, status, UNKNOWN, document=None) for status in (400, 404, 413, 415, 422, 499)),
        _case(AN_UNKNOWN, 422, UNKNOWN, document={"paths": {"/predict": {"post": {"responses": {"4XX": {}}}}}}),
        _case(AN_UNKNOWN, 418, UNKNOWN, document={"paths": {"/predict": {"post": {"responses": {"default": {}}}}}}),
        _case(AN_UNKNOWN, 200, UNKNOWN, document=RELAXED),
    ],
    "contract.finite": [
        evidence(spec=builders.spec(examples=(builders.example(response={"predictions": [None]}),)),
                 contract=contract(exchange(body={"predictions": [None]}))),
    ],
    "contract.recovers": [evidence(), evidence(contract=contract(exchange(
        f"recovers:{BROKEN}", body={"predictions": [0.25 + 1e-12]})))],
}  # fmt: skip

BAD: dict[str, list[tuple[Status, str, Evidence]]] = {
    "images.built": [(FAIL, "#9 DONE", evidence(images=images(failure="train", images=())))],
    "images.pinned": [
        (WARN, "alpine:3", evidence(lock=None, images=images(bases=(base(reference="alpine:3", digest=None),)))),
        (FAIL, "alpine:3", evidence(images=images(bases=(base(reference="alpine:3", digest=None),)))),
        (FAIL, builders.PINNED, evidence(lock=lock(bases={builders.PINNED: "sha256:" + "0" * 64}))),
        (FAIL, builders.PINNED, evidence(lock=lock(bases={}))),
        (FAIL, "a" * 64, evidence(lock=lock(requirements={}))),
        (WARN, "linux/arm64", evidence(images=images(images=(built(platform="linux/arm64"), built("serve"))))),
        (FAIL, "0" * 64, evidence(images=images(requirements={"requirements.txt": "0" * 64}))),
        (
            WARN,
            "a local base",
            evidence(
                images=images(
                    bases=(base(reference="local:1", digest=None, local="f" * 64, default=builders.PINNED),)
                )
            ),
        ),
    ],
    "data.pinned": [
        (WARN, "no `data`", evidence(spec=builders.spec({"data": None}), data=None, stages=())),
        (WARN, "no harness.lock", evidence(lock=None)),
        (FAIL, "0" * 64, evidence(data=data(sha256="0" * 64))),
        (FAIL, "b" * 64, evidence(lock=lock(data=None))),
    ],
    "data.schema": [
        (SKIP, "no `data`", evidence(spec=builders.spec({"data": None}), data=None, stages=())),
        (SKIP, "no `schema`", _spec(data={"schema": None})),
        (FAIL, "train.csv", evidence(data=data(tables=()))),
        (FAIL, "no file at all", evidence(data=data(tables=(), files=()))),
        (FAIL, "... and 3 more", evidence(data=data(violations=VIOLATIONS, violation_count=8))),
        (FAIL, "a.csv, line 9, column x: isin, received y", evidence(data=data(
            violations=(Violation("a.csv", "x", 7, "y", "isin", 9),), violation_count=1, violations_listed=1))),
        (FAIL, "train.csv, row 4, column sex: isin", evidence(data=data(violations=VIOLATIONS, violation_count=8))),
    ],
    "train.exits-cleanly": [
        (FAIL, "exit code 3", evidence(train=training(exit=ended(code=3)))),
        (FAIL, "signal 11", evidence(train=training(exit=ended(code=139)))),
        (FAIL, "stopped at its time limit", evidence(train=training(exit=ended(code=None, timed_out=True)))),
        (FAIL, "used all its memory", evidence(train=training(exit=ended(code=137, oom_killed=True)))),
    ],
    "train.outside-build": [(WARN, "inside an image build", evidence(train=training(in_image_build=True)))],
    "train.loss-finite": [
        (FAIL, "nan", evidence(artifact=artifact(0.9, math.nan, 0.1))),
        (FAIL, "inf", evidence(artifact=artifact(math.inf, 0.1))),
        (FAIL, "'0.5'", evidence(artifact=artifact(0.9, "0.5"))),
        (FAIL, "None", evidence(artifact=artifact(0.9, None, 0.1))),
        (FAIL, "True", evidence(artifact=artifact(0.9, True, 0.1))),
        (FAIL, "1 of 2 are not", evidence(artifact=artifact(10**400, 0.1))),
        (SKIP, "no `loss`", evidence(artifact=artifact(metrics=({"mae": 1.0},)))),
    ],
    "train.loss-decreases": [
        (FAIL, "first 0.5, last 0.5", evidence(artifact=artifact(0.5, 0.1, 0.5))),
        (FAIL, "first 0.1, last 0.5", evidence(artifact=artifact(0.1, 0.5))),
        (FAIL, "first quarter 1, of the last 0.995", evidence(artifact=artifact(1, 0.2, 0.2, 0.995))),
        (FAIL, "last 1 over 4 points", evidence(artifact=artifact(1, 1, 1, 1))),
        (FAIL, "of the last -1.005", evidence(artifact=artifact(-1, -1, -1, -1.005))),
        (SKIP, "train.loss-finite", evidence(artifact=artifact(0.9, math.nan, 0.1))),
        (FAIL, "1 among 1 lines", evidence(artifact=artifact(0.9))),
        (FAIL, "0 among 2 lines", evidence(artifact=artifact(metrics=({"mae": 1.0}, {"mae": 0.5})))),
        (FAIL, "0 among 0 lines", evidence(artifact=artifact(metrics=()))),
        (FAIL, "there is no /m", evidence(artifact=artifact(metrics=None, metrics_error="there is no /m"))),
        (
            SKIP,
            "no metrics: there is no /m",
            evidence(artifact=artifact(metrics=None, metrics_error="there is no /m", metrics_declared=False)),
        ),
    ],
    "artifact.present": [
        (FAIL, "nothing at /model", evidence(artifact=artifact(files=(), missing="nothing at /model"))),
        (FAIL, "1 empty files", evidence(artifact=artifact(files=(FileHash("model.bin", 0, "e"),)))),
        (FAIL, "no file that this training wrote", evidence(artifact=artifact(files=()))),
    ],
    "artifact.handed-over": [
        (FAIL, "model.bin: 1000 bytes", evidence(serve=serving(files=(artifact().files[0], OTHER)))),
        (FAIL, "model.bin: not at /model", evidence(serve=serving(files=artifact().files[:1]))),
        (FAIL, "metrics.jsonl: not at /model", evidence(serve=serving(files=None))),
        (
            FAIL,
            "... and 4 more",
            evidence(
                artifact=artifact(files=tuple(FileHash(f"{n}", 1, "a") for n in range(9))), serve=serving(files=())
            ),
        ),
    ],
    "serve.ready": [
        (FAIL, "the container died", evidence(serve=serving(ready=False, died=ended(code=1)))),
        (FAIL, "the last answer was GET /health: 503", evidence(
            serve=serving(ready=False, last_answer="GET /health: 503"))),
    ],
    "contract.examples": [
        (SKIP, "names no examples", evidence(spec=builders.spec(examples=()))),
        (FAIL, "status 500", evidence(contract=contract(exchange(status=500, body=b"Traceback")))),
        (FAIL, "no answer: gone", evidence(contract=contract(exchange(status=None, body=b"", error="gone")))),
        (FAIL, "not JSON: <html>", evidence(contract=contract(exchange(body=b"<html>")))),
        (FAIL, "not JSON", evidence(contract=contract(exchange(body=b"\xff\xfe")))),
        (FAIL, "/predictions/0: expected 0.25, received 0.26", evidence(
            contract=contract(exchange(body={"predictions": [0.26]})))),
        (FAIL, "received nan", evidence(contract=contract(exchange(body=b'{"predictions": [NaN]}')))),
        (FAIL, "received inf", evidence(contract=contract(exchange(body=b'{"predictions": [1e999]}')))),
        (FAIL, "received 1000", evidence(contract=contract(
            exchange(body=b'{"predictions": [1' + b"0" * 400 + b"]}")))),
        (FAIL, "no request was recorded", evidence(
            spec=builders.spec(examples=(builders.example(), builders.example("three"))))),
        (FAIL, "not JSON", evidence(contract=contract(exchange(body=b"[" * 100_000)))),
    ],
    "contract.rejects-unknown": [
        (SKIP, "names no examples", evidence(spec=builders.spec(examples=()), contract=contract(exchanges=()))),
        (WARN, "accepted, though nobody promised", _case(AN_UNKNOWN, 200, UNKNOWN, document=None)),
        (FAIL, "accepted, though nobody promised", replace(
            _case(AN_UNKNOWN, 200, UNKNOWN, document=None), spec=builders.spec({"contract": {"strict": True}}))),
        (FAIL, "rules it out", _case(AN_UNKNOWN, 200, UNKNOWN)),
        (FAIL, "status 500", _case(AN_UNKNOWN, 500, UNKNOWN)),
        (FAIL, "a traceback", _case(AN_UNKNOWN, 400, UNKNOWN, "Traceback (most recent call last):")),
        (WARN, "does not list", _case(AN_UNKNOWN, 418, UNKNOWN)),
        (WARN, "not in the form of an error", evidence(contract=contract(
            exchange(AN_UNKNOWN, 422, b"<p>no</p>", request=b"{}")))),
        (FAIL, "no answer: gone", evidence(contract=contract(
            exchange(AN_UNKNOWN, None, b"", error="gone", request=b"{}")))),
        (WARN, "accepted", _case(AN_UNKNOWN, 302, UNKNOWN, document=None)),
        (FAIL, "NaN or Infinity", evidence(contract=contract(
            exchange(AN_UNKNOWN, 200, b'{"predictions": [NaN]}', request=b"{}")))),
    ],
    "contract.rejects-missing": [
        (FAIL, "rules it out", _case(A_MISSING, 200, NO_LENGTH)),
        (WARN, "nobody promised", _case(A_MISSING, 200, NO_LENGTH, document=None)),
    ],
    "contract.rejects-malformed": [
        (FAIL, "rules it out", evidence(contract=contract(exchange(BROKEN, 200, request=b"{"), document=None))),
    ],
    "contract.rejects-boolean": [
        (WARN, "nobody promised", _case("rejects-boolean:/instances/0/length", 200,
                                        {"instances": [{"length": True, "island": "Dream"}]})),
    ],
    "contract.recovers": [
        (FAIL, "after 1 of", evidence(contract=contract(exchange(f"recovers:{BROKEN}", 503, {})))),
        (FAIL, "gone", evidence(contract=contract(exchange(f"recovers:{BROKEN}", None, b"", error="gone")))),
        (FAIL, "0.26", evidence(contract=contract(exchange(f"recovers:{BROKEN}", body={"predictions": [0.26]})))),
    ],
    "contract.finite": [
        (FAIL, "NaN", evidence(contract=contract(exchange(body=b'{"predictions": [NaN]}')))),
        (FAIL, "-Infinity", evidence(contract=contract(exchange("single:0", body=b'{"predictions": [-Infinity]}')))),
        (FAIL, "null", evidence(contract=contract(exchange("batch:all", body={"predictions": [None, 1.5]})))),
        (SKIP, "names no examples", evidence(spec=builders.spec(examples=()))),
        (SKIP, "no good request was answered", evidence(contract=contract(exchanges=()))),
    ],
    "contract.batch-invariant": [
        (FAIL, "row 1", evidence(contract=contract(exchange("single:1", body={"predictions": [9.0]})))),
        (FAIL, "status 500", evidence(contract=contract(exchange("single:0", 500, {})))),
        (SKIP, "answers no batch", evidence(contract=contract(exchange("batch:all", 422, {}, request=BATCH)))),
        (SKIP, "no list of 2 predictions", evidence(contract=contract(exchange("batch:all", body=5, request=BATCH)))),
        (SKIP, "names no examples", evidence(spec=builders.spec(examples=()))),
        (SKIP, "one row a request", evidence(contract=contract(exchanges=()))),
    ],
    "contract.minimum": [
        (SKIP, "no example file", evidence(spec=builders.spec(behaviours=()))),
        (FAIL, "1 of 2", evidence(contract=contract(
            exchange("behaviour:nothing is nothing/1", body={"predictions": [1.0]})))),
        (FAIL, "request 1 got status 422", evidence(contract=contract(
            exchange("behaviour:nothing is nothing/1", 422, {})))),
    ],
    "contract.directional": [
        (FAIL, "from step 1 to 2", evidence(contract=contract(
            exchange("behaviour:longer is more/2", body={"predictions": [0.01]})))),
        (FAIL, "is no number", evidence(contract=contract(
            exchange("behaviour:longer is more/2", body={"predictions": ["x"]})))),
        (FAIL, "leads nowhere", evidence(contract=contract(
            exchange("behaviour:longer is more/2", body={"predictions": []})))),
    ],
}  # fmt: skip


def test_every_check_has_evidence_on_both_sides() -> None:
    """A check without evidence that passes and evidence that fails or warns cannot be added."""
    # test_contract_faults.py, test_dialect_*.py, test_skew.py, test_robustness.py, test_quality_checks.py
    elsewhere = {*FAULTS, "contract.conforms", "contract.skew", "serve.ready-is-honest", "serve.healthcheck-works"}
    elsewhere |= {"serve.unprivileged", "serve.hermetic", "serve.stops-gracefully"}
    elsewhere |= {name for name in CHECKS if name.startswith("quality.")}
    elsewhere |= {"artifact.safe", "artifact.size", "artifact.not-in-git"}  # test_scan_checks.py
    elsewhere |= {"code.api", "code.unit-tests", "code.features"}  # test_skew.py, test_code.py
    elsewhere |= {"artifact.complete", "artifact.loads", "artifact.provenance"}  # test_manifest.py, test_provenance.py
    elsewhere |= {"data.no-leakage", "data.balanced", "data.drift", "data.no-secrets"}  # test_data_checks.py
    elsewhere |= {"data.dvc"}  # test_dvc.py
    elsewhere |= {"contract.volatile"}  # test_volatile.py
    elsewhere |= {"services.ready"}  # test_services.py
    elsewhere |= {name for name, *_ in TRAININGS}
    assert {name for name, cases in GOOD.items() if cases} | elsewhere >= set(CHECKS)
    bad = {name for name, cases in BAD.items() if any(case[0] in (WARN, FAIL) for case in cases)}
    assert bad | elsewhere >= set(CHECKS)


@pytest.mark.parametrize(("name", "given"), [(n, e) for n, cases in GOOD.items() for e in cases])
def test_passes(name: str, given: Evidence) -> None:
    """Good evidence has exactly one finding, a pass that says what was seen."""
    (finding,) = _judge(name, given)
    assert finding.status is PASS, finding
    assert finding.received


@pytest.mark.parametrize(
    ("name", "status", "received", "given"),
    [pytest.param(n, *c, marks=shows(n, c[0], c[1])) for n, cases in BAD.items() for c in cases],
)
def test_does_not_pass(name: str, status: Status, received: str, given: Evidence) -> None:
    """Bad evidence never passes; the finding shows what was received, what was expected and what to do."""
    findings = _judge(name, given)
    assert {finding.status for finding in findings} == {status}, findings
    assert any(received in finding.received for finding in findings)
    if status is not SKIP:
        assert all(finding.expected and finding.advice for finding in findings)


def test_names_and_sentences() -> None:
    """Names are `<subject>.<expectation>`, unique, and every check has one whole sentence."""
    assert len(CHECKS) == len(all_checks())
    for name, check in CHECKS.items():
        assert name.count(".") == 1
        assert name == name.lower()
        assert check.sentence.endswith(".")
        assert set(check.reads) | set(check.may_read) <= set(Evidence.__dataclass_fields__)


def test_one_finding_for_a_base_that_two_services_share() -> None:
    """Two services on one unpinned base are one finding that names both."""
    bases = (base(reference="alpine:3", digest=None), base(reference="alpine:3", digest=None, service="serve"))
    (finding,) = _judge("images.pinned", evidence(lock=None, images=images(bases=bases)))
    assert "train and serve" in finding.expected


def test_replaced_base_is_held_against_the_default() -> None:
    """A base that a build argument replaced is not verified by the lock of the default's digest."""
    replaced = base(reference="mirror/python@sha256:" + "0" * 64, digest="sha256:" + "0" * 64, default=builders.PINNED)
    (finding,) = _judge("images.pinned", evidence(images=images(bases=(replaced,))))
    assert finding.status is FAIL


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"listening": ()}, "Nothing listens"),
        ({"listening": ("0.0.0.0:9000",)}, "correct `serve.port`"),
        ({"listening": ("127.0.0.1:8080",)}, "127.0.0.1 only: bind 0.0.0.0:8080"),
        ({"listening": ("127.0.0.1:8080", "0.0.0.0:8080")}, "listens on the right port"),
        ({"listening": ("0.0.0.0:18080",)}, "correct `serve.port`"),
        ({"died": ended(code=1)}, "Read the log lines"),
    ],
)
def test_advice_of_readiness(changes: dict[str, Any], advice: str) -> None:
    """What listens inside the container decides what the user is told to do."""
    (finding,) = _judge("serve.ready", evidence(serve=serving(ready=False, **changes)))
    assert advice in finding.advice


@pytest.mark.parametrize(
    ("changes", "limit", "advice"),
    [
        ({"code": 137}, 2**29, "The memory limit is 512 MiB"),
        ({"code": 137, "oom_killed": True}, 0, "that of the machine"),
        ({"code": None, "timed_out": True}, 0, "raise `train.timeout`"),
        ({"code": 1}, 0, "train/log.txt"),
    ],
)
def test_advice_of_training(changes: dict[str, Any], limit: int, advice: str) -> None:
    """How training ended decides what the user is told to do."""
    (finding,) = _judge("train.exits-cleanly", evidence(train=training(exit=ended(**changes), memory_limit=limit)))
    assert advice in finding.advice


def test_long_bodies_are_cut_in_a_finding() -> None:
    """A page of HTML in an answer does not flood the report."""
    (finding,) = _judge("contract.examples", evidence(contract=contract(exchange(body=b"<p>" * 10_000))))
    assert len(finding.received) < 500


def _documented(schema: Any) -> Evidence:
    document = json.loads(json.dumps(DOCUMENT))
    document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"] = schema
    return _case(AN_UNKNOWN, 200, UNKNOWN, document=document)


@pytest.mark.parametrize(
    "schema", [{"type": 5}, {"$ref": "#/components/schemas/Nowhere"}, {"$ref": "http://127.0.0.1:9/schema.json"}, None]
)
def test_useless_document_promises_nothing(schema: Any) -> None:
    """A document whose schema cannot be read rules nothing out; nobody asks the network for it, nothing crashes."""
    assert [finding.status for finding in _judge("contract.rejects-unknown", _documented(schema))] == [WARN]


EXACT = Tolerance(0.0, 0.0)


@pytest.mark.parametrize(
    ("expected", "received", "tolerance"),
    [
        (1.0, 1.0, EXACT),
        (1, 1.0, EXACT),
        (1.0, 1, EXACT),
        (100.0, 100.5, Tolerance(0.005, 0.0)),
        (-100.0, -100.5, Tolerance(0.005, 0.0)),
        (0.0, 0.5, Tolerance(0.0, 0.5)),
        (100.0, 100.5, Tolerance(0.005, 0.0001)),
        (100.0, 101.0, Tolerance(0.001, 1.0)),
        (math.inf, math.inf, EXACT),
        (178.71884591244708, 178.7188459124471, Tolerance(1e-9, 0.0)),
        (2**60, 2**60, EXACT),
        ({"a": 1}, {"a": 1, "b": 2}, EXACT),
        ([], [], EXACT),
        (None, None, EXACT),
        (True, True, EXACT),
        ("", "", EXACT),
    ],
)
def test_equal(expected: Any, received: Any, tolerance: Tolerance) -> None:
    """Whole and broken numbers compare as numbers, within the wider of both tolerances; more keys are fine."""
    assert list(compare(expected, received, tolerance)) == []


@pytest.mark.parametrize(
    ("expected", "received", "tolerance"),
    [
        (1.0, 1.0000001, EXACT),
        (100.0, 100.6, Tolerance(0.005, 0.0)),
        (100.5, 100.0, Tolerance(0.00497, 0.0)),
        (0.0, 1e-12, Tolerance(0.5, 0.0)),
        (0.0, 0.6, Tolerance(0.0, 0.5)),
        (1.0, math.nan, Tolerance(1.0, 1e9)),
        (1.0, math.inf, Tolerance(1.0, 1e9)),
        (math.inf, 1.0, Tolerance(1.0, 1e9)),
        (math.inf, -math.inf, Tolerance(1.0, 1e9)),
        (1, True, Tolerance(1.0, 1.0)),
        (True, 1, Tolerance(1.0, 1.0)),
        (False, 0.0, Tolerance(1.0, 1.0)),
        (1, "1", Tolerance(1.0, 1.0)),
        (None, 0, Tolerance(1.0, 1.0)),
        (0, None, Tolerance(1.0, 1.0)),
        ([1], [1, 1], EXACT),
        ([1, 1], [1], EXACT),
        ({"a": 1}, {"b": 1}, EXACT),
        ({"a": 1}, [1], EXACT),
        ("a", "A", EXACT),
        (2**60, 2**60 + 1, EXACT),
        pytest.param(1, 10**400, EXACT, id="huge received"),
        pytest.param(10**400, 1, Tolerance(), id="huge expected"),
    ],
)
def test_different(expected: Any, received: Any, tolerance: Tolerance) -> None:
    """A number beyond the tolerance, NaN, another type, another length or a missing key is a difference."""
    assert len(list(compare(expected, received, tolerance))) == 1


def test_differences_name_their_place() -> None:
    """Every difference names its path, and all are listed."""
    found = list(compare({"a": [{"b": 1}, {"b": 2}], "c": 3}, {"a": [{"b": 1}, {"b": 5}]}, EXACT))
    assert [line.split(" ")[0] for line in found] == ["/a/1/b:", "/c"]


def test_findings_are_callable_on_any_order() -> None:
    """Checks do not depend on each other: backwards they find the same."""
    order: list[Callable[[], list[Finding]]] = [lambda n=n: _judge(n, evidence()) for n in CHECKS]  # type: ignore[misc]
    assert [f() for f in reversed(order)] == [f() for f in order][::-1]
