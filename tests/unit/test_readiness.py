"""One readiness, for a container and for a server that runs already: real small servers on loopback."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import builders
import pytest
from defects import defect
from service import Service, listening, served

from harness.cli.main import main
from harness.client.http import Target
from harness.client.protocols import OPENAPI, PLAIN
from harness.config.spec import Spec
from harness.errors import InfrastructureError
from harness.evidence.records import Exit, Interface, ReadinessProbe
from harness.runner.stages import api_document, readiness
from harness.runner.stages.readiness import Inquiry, await_ready, until_ready

Answer = tuple[int, Any]
OK: Answer = (200, {"predictions": [1.5]})
GONE: Answer = (404, {"detail": "Not Found"})
POST = {"post": {"responses": {"200": {"description": "OK"}}}}
GET = {"get": {"responses": {"200": {"description": "OK"}}}}


def _document(**paths: Any) -> Answer:
    return 200, {"openapi": "3.1.0", "info": {"title": "x", "version": "1"}, "paths": dict(paths)}


class Told(Service):
    """Answers what it is told to, by method and path; all else is not found."""

    def __init__(self, answers: Mapping[str, Answer | list[Answer]]) -> None:
        super().__init__()
        self.answers = {key: list(value) if isinstance(value, list) else [value] for key, value in answers.items()}
        self.asked: list[str] = []

    def answer(self, method: str, path: str, body: bytes, content_type: str) -> Answer:
        """The next answer of a list, the last one for ever."""
        self.asked.append(f"{method} {path}")
        del body, content_type
        known = self.answers.get(f"{method} {path}", [GONE])
        return known.pop(0) if len(known) > 1 else known[0]


def _spec(timeout: str = "10s", predict: str = "/predict", examples: Any = None, **serve: Any) -> Spec:
    block = {"serve": {"timeout": timeout, **serve}, "contract": {"predict": predict}}
    given = (builders.example(has_response=False),) if examples is None else examples
    return builders.spec(block, examples=given, behaviours=())


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "PATIENCE", 0.3)


READY: dict[str, tuple[dict[str, Any], Interface]] = {
    "it says so": ({"GET /health": (200, {}), "POST /predict": OK}, Interface("plain", "/health", "/predict")),
    "it says so, and errs": (
        {"GET /health": (200, {}), "POST /predict": (500, {})}, Interface("plain", "/health", "/predict")
    ),
    "it says so, and has no such path": ({"GET /health": (200, {})}, Interface("plain", "/health", "/predict")),
    "no ready path": ({"POST /predict": OK}, Interface("plain", "/health", "/predict")),
    "no ready path, and it refuses": ({"POST /predict": (422, {})}, Interface("plain", "/health", "/predict")),
    "a ready path for others": (
        {"GET /health": (401, {}), "POST /predict": OK}, Interface("plain", "/health", "/predict")
    ),
    "a ready path that leads elsewhere": (
        {"GET /health": (307, {}), "POST /predict": OK}, Interface("plain", "/health", "/predict")
    ),
    "a documented one": (
        {"GET /openapi.json": _document(**{"/healthz": GET, "/p": POST}), "GET /healthz": OK, "POST /predict": OK},
        Interface("openapi", "/healthz", "/predict"),
    ),
    "a documented one below": (
        {"GET /openapi.json": _document(**{"/api/v1/health": GET}), "GET /api/v1/health": OK, "POST /predict": OK},
        Interface("openapi", "/api/v1/health", "/predict"),
    ),
    "a documented one that is not there": (
        {"GET /openapi.json": _document(**{"/ready": GET}), "POST /predict": OK},
        Interface("openapi", "/health", "/predict"),
    ),
    "it only lives": (
        {"GET /openapi.json": _document(**{"/ping": GET, "/": GET}), "GET /ping": OK, "POST /predict": [(500, {}), OK]},
        Interface("openapi", "/health", "/predict"),
    ),
    "predictions elsewhere": (
        {"GET /openapi.json": _document(**{"/v1/predict": POST})}, Interface("openapi", "/health", "/predict")
    ),
    "it loads, then is there": (
        {"GET /health": [*[(503, {})] * 4, (200, {})], "POST /predict": [(503, {}), OK]},
        Interface("plain", "/health", "/predict"),
    ),
    "not found, then there": (
        {"GET /health": [*[GONE] * 8, (200, {})], "POST /predict": [*[GONE] * 3, OK]},
        Interface("plain", "/health", "/predict"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("answers", "interface"), READY.values(), ids=READY)
def test_ready(answers: dict[str, Any], interface: Interface) -> None:
    """Who says so and predicts, who errs for long, and who predicts without having said anything."""
    with listening(Told(answers)) as target:
        start = time.monotonic()
        assert await_ready(_spec(), target) == interface
        assert time.monotonic() - start < 8, "not the whole limit is waited for"


NEVER: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    "it loads": ({"GET /health": (503, {})}, {}, ("GET /health: 503", "no prediction was asked for")),
    "not yet": (
        {"GET /health": (200, {}), "POST /predict": (503, {})}, {}, ("GET /health: 200; POST /predict: 503",)
    ),
    "nothing there": ({}, {}, ("GET /health: 404; POST /predict: 404",)),
    "no path of that name": (
        {"GET /openapi.json": _document(**{"/healthz": GET}), "GET /healthz": OK, "POST /predict": OK},
        {"ready": "/ready"},
        ("GET /ready: 404", "`serve.ready`", "/healthz"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("answers", "serve", "said"), NEVER.values(), ids=NEVER)
def test_never_ready(answers: dict[str, Any], serve: dict[str, Any], said: tuple[str, ...]) -> None:
    """The last answers, of the ready path and of the prediction, are in the message."""
    with listening(Told(answers)) as target, pytest.raises(InfrastructureError) as caught:
        await_ready(_spec("800ms", **serve), target)
    for text in said:
        assert text in str(caught.value)
    assert caught.value.hint


def test_nobody_listens(unused_port: int) -> None:
    """A connection that is refused is named, and what to do."""
    with pytest.raises(InfrastructureError, match="ConnectionRefusedError") as caught:
        await_ready(_spec("500ms"), Target("127.0.0.1", unused_port))
    assert "Start it" in caught.value.hint


def test_an_error_without_a_ready_path_is_waited_for() -> None:
    """It may be that of a model that loads; at the end of its time it is the contract's to judge."""
    with listening(Told({"POST /predict": (500, {})})) as target:
        start = time.monotonic()
        assert await_ready(_spec("1500ms"), target).predict == "/predict"
        assert time.monotonic() - start > 1.4
        inquiry = Inquiry(_spec("1s"), 0.5)
        ready = until_ready(inquiry, lambda: (target,), lambda: time.sleep(0.05))
    assert ready.target is None, "in a container it is serve.ready that fails"
    assert ready.last == "GET /health: 404; POST /predict: 500"


def test_a_connection_that_breaks_at_each_prediction() -> None:
    """It says that it is ready and drops every prediction: for the contract to judge, too."""

    class Drops(Told):
        def answer(self, method: str, path: str, body: bytes, content_type: str) -> Answer:
            if method == "POST":
                raise ConnectionResetError
            return super().answer(method, path, body, content_type)

    with _quiet(), listening(Drops({"GET /health": (200, {})})) as target:
        assert await_ready(_spec(), target).dialect == "plain"


def test_the_container_is_asked_by_the_same_loop() -> None:
    """Its death ends the waiting; two addresses of one service are asked in turn, and one suffices."""
    died = Exit(code=1, oom_killed=False, timed_out=False, seconds=0.1, log_tail=())
    with listening(Told({"GET /health": (200, {}), "POST /predict": (500, {})})) as target:
        nobody = Target("127.0.0.1", 1)
        ready = until_ready(Inquiry(_spec(), 5.0), lambda: (nobody, target), lambda: None)
        assert ready.target == target
        assert any(asked.ready and not asked.honest for asked in ready.asked), "that it lied is recorded"
        gone = until_ready(Inquiry(_spec(), 5.0), lambda: (nobody,), lambda: died)
    assert (gone.target, gone.died) == (None, died)


def test_without_a_ready_path_nothing_is_a_lie() -> None:
    """A service that never called itself ready may err until it can predict."""
    with listening(Told({"POST /predict": [(500, {}), (503, {}), OK]})) as target:
        ready = until_ready(Inquiry(_spec(), 5.0), lambda: (target,), lambda: None)
    assert all(asked.honest for asked in ready.asked)
    assert ready.asked[-1] == ReadinessProbe(
        ready.asked[-1].at, True, "GET /health: 404", 404, "POST /predict: 200", 200
    )


def test_without_examples_any_sign_will_do() -> None:
    """Where no prediction can be asked for, a documented path by which it lives is taken, else its document."""
    with listening(Told({"GET /openapi.json": _document(**{"/ping": GET}), "GET /ping": OK})) as target:
        assert await_ready(_spec(examples=()), target).ready == "/ping"
    with listening(Told({"GET /openapi.json": _document(**{"/predict": POST})})) as target:
        assert await_ready(_spec(examples=()), target).dialect == "openapi"


def test_a_slow_start(unused_port: int) -> None:
    """Nobody listens, then it says "not yet", then nothing is found, then it predicts: it is waited for."""
    answers = {"GET /health": [(503, {}), (503, {}), *[GONE] * 50], "POST /predict": [GONE, GONE, OK]}
    found: list[Interface] = []
    thread = threading.Thread(target=lambda: found.append(await_ready(_spec(), Target("127.0.0.1", unused_port))))
    thread.start()
    time.sleep(0.5)
    with listening(Told(answers), unused_port):
        thread.join(8)
    assert [each.predict for each in found] == ["/predict"]


PAGE = b"""<html><script>const ui = SwaggerUIBundle({
    url: '/api/v1/spec/v3.json', "dom_id": "#swagger-ui"})</script><script src="https://cdn.invalid/a.json"></script>"""
PLACES: dict[str, tuple[dict[str, Answer], str | None]] = {
    "beside the predictions": ({"GET /ml/v2/openapi.json": _document(a=POST)}, "a"),
    "above them": ({"GET /ml/openapi.json": _document(b=POST)}, "b"),
    "in the usual place": ({"GET /api/openapi.json": _document(c=POST)}, "c"),
    "of another framework": ({"GET /v3/api-docs": _document(d=POST)}, "d"),
    "an answer for everything": ({"GET /docs": (200, {}), "GET /swagger.json": (200, [1])}, None),
    "nowhere": ({}, None),
}


@pytest.mark.parametrize(("answers", "path"), PLACES.values(), ids=PLACES)
def test_the_document_is_looked_for(answers: dict[str, Answer], path: str | None) -> None:
    """Where the conventional path has none; what is found there is a document, or nothing."""
    with listening(Told(answers)) as target:
        document, error = api_document.find(target, _spec().block.serve, PLAIN, "/ml/v2/predict")
    assert (list(document["paths"]) if document else None) == ([path] if path else None)
    assert (error is None) == (path is not None)


@pytest.mark.parametrize("at", ["/api/v1/spec/v3.json", "/spec/v3.json", "/v3.json"])
def test_the_document_that_a_page_shows(at: str) -> None:
    """The address in the page of Swagger UI, with or without the part that a proxy takes away."""
    with _pages({"/docs": PAGE}, Told({f"GET {at}": _document(e=POST)})) as target:
        document, error = api_document.find(target, _spec().block.serve, PLAIN, "/predict")
    assert document is not None, error
    assert list(document["paths"]) == ["e"]


def test_a_named_document_wins() -> None:
    """`serve.document` is the only place that is asked; a project that says `plain` has none."""
    told = Told({"GET /openapi.json": _document(a=POST), "GET /mine.json": _document(b=POST)})
    with listening(told) as target:
        document, _ = api_document.find(target, _spec(document="/mine.json").block.serve, OPENAPI, "/predict")
        assert document is not None
        assert list(document["paths"]) == ["b"]
        _, error = api_document.find(target, _spec(document="/not.json").block.serve, OPENAPI, "/predict")
        assert error == "GET /not.json: 404"
        found = api_document.find(target, _spec(dialect="plain").block.serve, PLAIN, "/predict")
    assert found == (None, "the dialect `plain` has no document")


def test_an_old_document_is_named_and_not_read() -> None:
    """Swagger 2.0 is no OpenAPI 3: it is said, and judged by nobody."""
    with listening(Told({"GET /swagger.json": (200, {"swagger": "2.0", "paths": {}})})) as target:
        found = api_document.find(target, _spec().block.serve, PLAIN, "/predict")
    assert found == (None, "GET /swagger.json: Swagger 2.0, and OpenAPI 3 alone is read")


def _contract(tmp_path: Path, answers: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    builders.write_files(tmp_path, {"one.json": json.dumps({"request": builders.REQUEST})})
    with listening(Told(answers)) as target:
        code = main(["contract", "--project", str(tmp_path), "--url", target.url, "--examples", "one.json", "--fast"])
    text = (tmp_path / ".harness/runs/latest/findings.json").read_text(encoding="utf-8")
    return code, {finding["check"]: finding for finding in json.loads(text)}


REJECTS = (
    "boolean", "content-type", "deep-nesting", "empty-batch", "huge-integer", "malformed", "missing", "non-finite",
    "null", "number-as-text", "oversized", "unknown", "wrong-type",
)  # fmt: skip


@defect(
    "contract.examples",
    "every prediction is an error",
    proof="server",
    also=[f"contract.rejects-{kind}" for kind in REJECTS],
)
def test_every_prediction_is_an_error(tmp_path: Path) -> None:
    """A service that says that it is ready and errs breaks the contract; the infrastructure is in order."""
    code, found = _contract(tmp_path, {"GET /health": (200, {}), "POST /predict": (500, {"detail": "boom"})})
    assert code == 1
    assert found["contract.examples"]["status"] == "fail"
    assert "500" in found["contract.examples"]["received"]


ELSEWHERE: list[tuple[dict[str, Any], Answer, str]] = [
    ({"/v1/predict": POST}, GONE, "`contract.predict: /v1/predict`"),
    ({"/predict/": POST}, (307, {}), "`contract.predict: /predict/`"),
    ({"/score": POST, "/health": GET}, GONE, "`contract.predict: /score`"),
    ({"/a": POST, "/b": POST}, GONE, "one that takes POST: /a, /b"),
    ({"/predict": GET}, (405, {}), "The document has GET /predict alone"),
    ({"/health": GET}, (405, {}), "no path that takes POST"),
]


@pytest.mark.parametrize("health", [(200, {}), GONE])
@pytest.mark.parametrize(("paths", "predicted", "advice"), ELSEWHERE)
def test_predictions_are_elsewhere(
    paths: dict[str, Any], predicted: Answer, advice: str, health: Answer, tmp_path: Path
) -> None:
    """A path without predictions is a failure of the contract, and the document says where they are."""
    answers = {"GET /health": health, "GET /openapi.json": _document(**paths), "POST /predict": predicted}
    code, found = _contract(tmp_path, answers)
    assert code == 1
    assert found["contract.examples"]["status"] == "fail"
    assert found["contract.schema"]["status"] == "fail"
    assert advice in found["contract.schema"]["advice"]


@pytest.fixture
def unused_port() -> int:
    """A port on which nobody listens."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def _quiet() -> Iterator[None]:
    """Let a server drop connections without a word."""
    from socketserver import BaseServer

    kept, BaseServer.handle_error = BaseServer.handle_error, lambda *_: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        BaseServer.handle_error = kept  # type: ignore[method-assign]


@contextmanager
def _pages(pages: Mapping[str, bytes], service: Service) -> Iterator[Target]:
    """Serve pages in HTML beside a service."""
    from http.server import BaseHTTPRequestHandler

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, answer = service.answer("GET", self.path, b"", "")
            page = pages.get(self.path)
            body = json.dumps(answer).encode() if page is None else page
            self.send_response(status if page is None else 200)
            self.send_header("Content-Type", "application/json" if page is None else "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with served(Handler) as target:
        yield target
