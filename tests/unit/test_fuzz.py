"""Property-based testing of the served API: real servers on this machine, fuzzed by the real tool.

Where the tool does nothing new, a report that it made is played (`fuzz_servers.Player`); what comes of the report is
asked of the server in each test.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import builders
import fuzz_servers
import pytest
from defects import defect

from harness.checks import fuzz as checks
from harness.checks.judge import judge_one
from harness.client import fuzzer, http
from harness.client.fuzz_report import Report, read, with_integers
from harness.client.http import Target
from harness.client.request_generators.operations import operations, references_elsewhere, restricted
from harness.client.request_generators.shrink import shrink
from harness.evidence.records import Contract, Evidence, Finding, Fuzz, FuzzFailure, Interface, Status
from harness.evidence.run_folder import RunFolder
from harness.runner.stages import Recording
from harness.runner.stages import fuzz as stage

Fuzzed = Callable[..., tuple[Fuzz, list[Finding]]]
STRICT = builders.spec({"contract": {"strict": True}})


def recording(folder: Path) -> Recording:
    return Recording(spec=builders.spec(), folder=RunFolder(folder), say=lambda _stage, _line: None)


def contract_of(target: Target) -> Contract:
    answer = http.send(target, "/openapi.json", case="document")
    return Contract((), Interface("openapi", "/health", "/predict"), json.loads(answer.response))


def judged(record: Fuzz | None, spec: Any = None) -> list[Finding]:
    return list(judge_one(Evidence(spec=spec or builders.spec(), fuzz=record), checks.fuzz))


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """The folder of a run; the runs of all tests share one cache."""
    path: Path = tmp_path_factory.getbasetemp() / "project" / ".harness" / "runs" / str(request.node.name)
    path.mkdir(parents=True)
    return path


@pytest.fixture
def fuzzed(folder: Path) -> Fuzzed:
    """Fuzz an application and judge it; the record has been written to disk and read again."""

    def do(app: Any, **options: Any) -> tuple[Fuzz, list[Finding]]:
        run = recording(folder)
        run.folder.write("spec", run.spec)
        with fuzz_servers.served(app) as target:
            run.folder.write("fuzz", stage.collect(run, target, contract_of(target), **options))
        record = run.folder.load().fuzz
        assert record is not None
        return record, judged(record)

    return do


@pytest.fixture
def played(fuzzed: Fuzzed, monkeypatch: pytest.MonkeyPatch) -> Fuzzed:
    """The same, with the report that the tool once made of the application: it is kept under a name."""

    def do(name: str, app: Any, **options: Any) -> tuple[Fuzz, list[Finding]]:
        monkeypatch.setattr(fuzzer, "run", fuzz_servers.Player(name))
        if fuzz_servers.RECORD:
            options["budget"] = 90.0  # however busy this machine is
        return fuzzed(app, **options)

    return do


def _requests(folder: Path) -> list[str]:
    """What the tool sent, as its report says."""
    sent = []
    for line in (folder / "fuzz" / "coverage.ndjson").read_text().splitlines():
        recorder = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
        for exchange in recorder.get("interactions", {}).values():
            request = exchange["request"]
            sent.append(f"{request['method']} {request['uri'].split('/', 3)[3]} {request.get('body')}")
    return sent


def test_a_strict_service_passes(
    fuzzed: Fuzzed, folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A good service passes with at least 40 cases; nothing is printed, and no file is left but in the run folder.

    A proxy of the user is not asked. The same seed sends the same requests; and on somebody's own server nothing but
    predictions and GET requests is sent: what else it offers changes nothing.
    """
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.chdir(tmp_path)
    app = fuzz_servers.Counted(fuzz_servers.strict())
    record, findings = fuzzed(app, seed=7)
    assert [finding.status for finding in findings] == [Status.PASS], findings
    assert record.cases >= 40
    assert record.phases == ("examples", "coverage")
    assert f"{record.cases} cases of 2 operations (examples, coverage; seed 7; schemathesis 4." in findings[0].received
    assert ("POST", "/admin/shutdown") not in app.seen  # what ends a service is left alone
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")
    names = {path.name for path in (folder / "fuzz").iterdir()}
    assert names == {"openapi.json", "schemathesis.toml", "coverage.ndjson", "log.txt"}
    assert {path.name for path in folder.parents[1].iterdir()} == {"cache", "runs"}
    first = _requests(folder)
    assert len(first) >= 40

    theirs = fuzz_servers.strict()
    reset = theirs.post("/reset")
    reset(lambda: None)
    counted = fuzz_servers.Counted(theirs)
    record, _ = fuzzed(counted, seed=7, foreign=True)
    assert set(record.operations) == {"GET /health", "POST /predict"}
    assert {path for method, path in counted.seen if method != "GET"} == {"/predict"}
    assert _requests(folder) == first


@defect("contract.fuzz", "answers 500 to an empty text", proof="server")
def test_the_coverage_phase_finds_a_500(played: Fuzzed, folder: Path) -> None:
    """A 500 to an empty string fails; the recorded request, shrunk, reproduces it byte for byte."""
    record, findings = played("empty", fuzz_servers.strict(fuzz_servers.fails_on_empty))
    [failure] = record.failures
    assert [finding.status for finding in findings] == [Status.FAIL]
    assert "status 500" in findings[0].received
    assert failure.curl in findings[0].advice
    assert (failure.check, failure.status, failure.reproduced, failure.shrunk) == (
        "not_a_server_error",
        500,
        True,
        True,
    )
    assert failure.sent.request == b'{"instances": [{"island": "", "length": 0}]}'
    assert (folder / "fuzz" / "1.body").read_bytes() == failure.sent.request
    with fuzz_servers.served(fuzz_servers.strict(fuzz_servers.fails_on_empty)) as target:
        assert replayed(target, failure).status == 500
        assert http.send(target, "/predict", case="", method="POST", body=b'{"instances": []}').status == 422


def replayed(target: Target, failure: FuzzFailure) -> Any:
    sent = failure.sent
    return http.send(
        target,
        sent.path,
        case="again",
        method=sent.method,
        body=sent.request,
        content_type=sent.request_type,
        headers=failure.headers,
    )


@defect("contract.fuzz", "answers 500 where two things meet", proof="server")
def test_fuzzing_finds_what_needs_two_things_at_once(fuzzed: Fuzzed) -> None:
    """What the coverage phase cannot meet is found by fuzzing within seconds, and made small."""
    record, findings = fuzzed(fuzz_servers.strict(fuzz_servers.fails_rarely), deep=True, budget=20.0)
    [failure] = record.failures
    assert [finding.status for finding in findings] == [Status.FAIL]
    assert record.phases == ("examples", "coverage", "fuzzing")
    assert failure.shrunk
    [row] = json.loads(failure.sent.request)["instances"]
    assert set(row) == {"island", "length"}
    assert len(row["island"]) == 4
    assert len(failure.sent.request) <= 60
    with fuzz_servers.served(fuzz_servers.strict(fuzz_servers.fails_rarely)) as target:
        assert replayed(target, failure).status == 500


@defect("contract.fuzz", "gives an answer that its document rules out", proof="server")
def test_an_answer_that_breaks_its_document_fails(played: Fuzzed) -> None:
    """A good answer of another shape than the document's breaks a promise."""
    record, findings = played("document", fuzz_servers.strict(fuzz_servers.breaks_document))
    assert [finding.status for finding in findings] == [Status.FAIL]
    assert record.failures[0].check == "response_schema_conformance"
    assert '"many" is not of type "number"' in findings[0].received


def test_a_lax_service_is_warned(played: Fuzzed) -> None:
    """A tutorial's service that reads `false` as 0.0 gets warnings and no failure, unless `strict` is asked for."""
    record, findings = played("lax", fuzz_servers.lax(), deep=True, budget=16.0)
    assert findings
    assert {finding.status for finding in findings} == {Status.WARN}
    assert "negative_data_rejection" in {failure.check for failure in record.failures}
    assert Status.FAIL in {finding.status for finding in judged(record, STRICT)}


@defect("contract.fuzz", "redirects to elsewhere", proof="server", status="warn")
def test_redirects_are_not_followed(played: Fuzzed) -> None:
    """A redirect to elsewhere is an answer, and one that the document does not list."""
    record, findings = played("redirects", fuzz_servers.strict(fuzz_servers.redirects))
    assert [finding.status for finding in findings] == [Status.WARN]
    assert record.failures[0].status == 307


@defect("contract.fuzz", "never answers", proof="server")
def test_no_answer_fails(played: Fuzzed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hang fails, on a thread beside the main one too."""
    monkeypatch.setattr(stage, "TIMEOUT", (fuzz_servers.HANG / 2, fuzz_servers.HANG / 2))
    with ThreadPoolExecutor(1) as pool:
        record, findings = pool.submit(played, "hangs", fuzz_servers.strict(fuzz_servers.hangs)).result()
    assert [finding.status for finding in findings] == [Status.FAIL]
    assert (record.failures[0].check, record.failures[0].status) == ("no_answer", None)
    assert record.failures[0].reproduced


def test_a_tool_that_crashes_is_an_error(fuzzed: Fuzzed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool that cannot start says nothing about the service."""
    monkeypatch.setattr(fuzzer, "CHECKS", ("no_such_check",))
    record, findings = fuzzed(fuzz_servers.strict())
    assert record.error == "schemathesis ended with exit code 2"
    assert [finding.status for finding in findings] == [Status.ERROR]


def test_a_tool_that_does_not_end_is_ended(fuzzed: Fuzzed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The budget is enforced from outside too."""
    monkeypatch.setattr(fuzzer, "GRACE", -29.9)
    record, findings = fuzzed(fuzz_servers.strict())
    assert record.error.startswith("schemathesis did not end within")
    assert [finding.status for finding in findings] == [Status.ERROR]
    assert record.seconds < 5


def test_a_service_that_is_gone_is_no_pass(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody listens, each case is one without an answer."""
    monkeypatch.setattr(fuzzer, "run", fuzz_servers.Player("gone"))
    with fuzz_servers.served(fuzz_servers.strict()) as target:
        contract = contract_of(target)
    findings = judged(stage.collect(recording(folder), target, contract))
    assert findings
    assert {finding.status for finding in findings} <= {Status.FAIL, Status.ERROR}


def test_a_network_error_without_a_case_is_an_error(tmp_path: Path) -> None:
    """What cannot be blamed on a request is not passed over."""
    said = {"label": "Server", "value": {"type": "ServerUnavailable", "message": "stopped responding"}}
    (tmp_path / "coverage.ndjson").write_text(json.dumps({"NonFatalError": said}))
    assert read(tmp_path / "coverage.ndjson", Report(), limit=9.0).errors == ("ServerUnavailable: stopped responding",)


def test_a_report_cut_off_is_an_error(tmp_path: Path) -> None:
    """What stands in a report that has no end counts, and is not all."""
    path = tmp_path / "coverage.ndjson"
    path.write_text('{"EngineStarted": {}}\n{"ScenarioFin')
    report = read(path, Report(), limit=9.0)
    assert not report.stopped
    assert report.errors[0].startswith("a line of coverage.ndjson cannot be read")
    assert read(tmp_path / "nowhere", Report(), limit=9.0) == Report()


@pytest.mark.parametrize(("seconds", "cut"), [(4.0, False), (4.9, True)])
def test_an_operation_cut_off_is_seen(tmp_path: Path, seconds: float, *, cut: bool) -> None:
    """The tool gives each of two operations half of the 10 seconds, and does not say where that was too little."""
    event = {"phase": "coverage", "timestamp": 100 + seconds, "elapsed_time": seconds, "recorder": {"label": "GET /a"}}
    events = [
        {"LoadingFinished": {"statistic": {"operations": {"selected": 2}}}},
        {"EngineStarted": {"timestamp": 100}},
        {"ScenarioFinished": event},
        {"EngineFinished": {"stop_reason": "completed"}},
    ]
    (tmp_path / "coverage.ndjson").write_text("\n".join(map(json.dumps, events)))
    assert read(tmp_path / "coverage.ndjson", Report(), limit=10.0).cut is cut


def test_a_document_that_cannot_be_tested_is_no_pass(played: Fuzzed) -> None:
    """Operations that the document does not describe properly are named."""
    app = fuzz_servers.strict()
    app.openapi()["paths"]["/odd"] = {"get": {"parameters": [{"$ref": "#/components/x"}], "responses": {}}}
    record, findings = played("untested", app)
    assert record.untested[0].startswith("GET /odd: InvalidSchema")
    assert [finding.status for finding in findings] == [Status.WARN]
    assert "contract.openapi-valid" in findings[0].advice


def test_skips_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No document, a document that refers to elsewhere, nothing to fuzz, no tool: each is a skip with its reason."""
    target = Target("127.0.0.1", 9)

    def reason(document: dict[str, Any] | None) -> str:
        contract = Contract((), Interface("plain", "/", "/predict"), document, "the dialect `plain` has no document")
        [finding] = judged(stage.collect(recording(tmp_path), target, contract))
        assert finding.status is Status.SKIP
        return finding.received

    assert reason(None) == "the dialect `plain` has no document"
    assert "http://example.com/x.json" in reason({"paths": {"/a": {"$ref": "http://example.com/x.json"}}})
    assert "no operation" in reason({"paths": {"/shutdown": {"post": {}}}})
    monkeypatch.setattr(fuzzer, "PACKAGE", "no-such-package")
    assert "pip install 'ml-container-harness[fuzz]'" in reason({"paths": {}})
    assert judged(None)[0].received == "the service was not fuzzed"
    assert not list(tmp_path.iterdir())


def failure(check: str, status: int | None, **changes: Any) -> FuzzFailure:
    sent = builders.exchange("fuzz:1", status)
    whole = FuzzFailure(check, "title", "", "POST /predict", 1, status, sent, {}, True, True, False, "curl ...")
    return replace(whole, **changes)


@pytest.mark.parametrize(
    ("check", "status", "broken"),
    [
        ("no_answer", None, True),
        ("not_a_server_error", 503, True),
        ("response_schema_conformance", 200, True),
        ("content_type_conformance", 200, True),
        ("status_code_conformance", 201, True),
        ("response_schema_conformance", 422, False),
        ("status_code_conformance", 405, False),
        ("status_code_conformance", 415, False),
        ("negative_data_rejection", 200, False),
        ("positive_data_acceptance", 422, False),
        ("missing_required_header", 200, False),
    ],
)
def test_what_fails_and_what_warns(check: str, status: int | None, *, broken: bool) -> None:
    """Broken for everybody, or its own document broken: a failure; never promised: a warning, unless strict."""
    record = Fuzz(tool="t", cases=40, accepted=10, failures=(failure(check, status),))
    assert [finding.status for finding in judged(record)] == [Status.FAIL if broken else Status.WARN]
    assert [finding.status for finding in judged(record, STRICT)] == [Status.FAIL]


def test_a_whole_number_with_a_point_is_no_failure() -> None:
    """`2.0` is an integer to JSON Schema and none to a strict parser: neither is wrong."""
    refused = failure("positive_data_acceptance", 422, integers=True)
    assert judged(Fuzz(cases=40, accepted=10, failures=(refused,)), STRICT)[0].status is Status.PASS
    assert with_integers(b'{"a": [2.0, 2.5]}') == b'{"a": [2, 2.5]}'
    assert with_integers(b'{"a": [2, 2.5]}') is None
    assert with_integers(b"{") is None


@pytest.mark.parametrize(
    ("record", "status"),
    [
        (Fuzz(tool="t", cases=40, accepted=0), Status.WARN),  # only refusals were seen
        (Fuzz(tool="t", cases=40, accepted=9, out_of_time=True), Status.WARN),
        (Fuzz(tool="t", cases=0), Status.ERROR),
        (Fuzz(tool="t", cases=40, accepted=9, error="crashed"), Status.ERROR),
    ],
)
def test_what_is_incomplete_never_passes(record: Fuzz, status: Status) -> None:
    """A pass says that all was tried."""
    assert [finding.status for finding in judged(record)] == [status]


def test_a_failure_that_does_not_come_back_says_so() -> None:
    """A failure that depends on more than its request is still one."""
    [finding] = judged(Fuzz(cases=40, accepted=9, failures=(failure("not_a_server_error", 500, reproduced=False),)))
    assert finding.status is Status.FAIL
    assert "sent once more, it was not so" in finding.received


def test_restricted_documents() -> None:
    """Other servers and examples elsewhere go; names and examples that are called the same stay."""
    document = {
        "servers": [{"url": "http://elsewhere"}],
        "paths": {
            "/predict": {"servers": [{"url": "http://elsewhere"}], "post": {"responses": {}, "callbacks": {"x": {}}}},
            "/v1/models/m/unload": {"post": {}},
            "/reset": {"delete": {}, "get": {}},
        },
        "components": {
            "schemas": {"Row": {"properties": {"servers": {"type": "string"}}, "example": {"servers": 1}}},
            "examples": {"one": {"externalValue": "http://elsewhere", "value": {"links": 2}}},
        },
    }
    assert restricted(document) == {
        "paths": {"/predict": {"post": {"responses": {}}}, "/reset": {"delete": {}, "get": {}}},
        "components": {
            "schemas": {"Row": {"properties": {"servers": {"type": "string"}}, "example": {"servers": 1}}},
            "examples": {"one": {"value": {"links": 2}}},
        },
    }
    assert operations(restricted(document, "/predict")) == ("POST /predict", "GET /reset")
    assert list(references_elsewhere({"a": [{"$ref": "#/b"}, {"$ref": "file:///etc/passwd"}]})) == [
        "file:///etc/passwd"
    ]


@pytest.mark.parametrize(
    ("value", "breaks", "smallest"),
    [
        ({"a": [1, 2, {"b": "long text", "c": 5}], "d": 1}, lambda v: "a" in v, {"a": []}),
        ([5, 123456, 7], lambda v: any(x is not None and x > 1000 for x in v), [1234]),
        ({"x": -1.2345e20}, lambda v: "x" in v and abs(v["x"] or 0) > 1e19, {"x": -1e20}),
        ("abcdefgh", lambda v: len(v) >= 3, "000"),
        ([True, None], lambda v: len(v) == 2, [None, None]),
    ],
)
def test_shrink(value: Any, breaks: Callable[[Any], bool], smallest: Any) -> None:
    """What is left still breaks, and nothing smaller that was tried does."""
    assert shrink(value, breaks) == smallest


def test_shrink_gives_up() -> None:
    """It asks no more often than it may."""
    asked: list[Any] = []

    def breaks(value: Any) -> bool:
        asked.append(value)
        return False

    assert shrink(list(range(1000)), breaks, tries=10) == list(range(1000))
    assert len(asked) == 10
