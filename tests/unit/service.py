"""A small strict prediction service, as a pure function and over HTTP; each fault breaks exactly one promise.

`FAULTS` says which check has to notice which fault. The service predicts `length / 6`, and 1 more on Biscoe.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from harness.client.http import Target
from harness.client.request_generators import Request
from harness.evidence.records import Exchange

JSON = "application/json"
LIMIT = 2**20
DEFAULT = {"length": 1.5, "island": "Dream"}
ISLANDS = ("Biscoe", "Dream")

# Check -> the fault that it, and no other check, has to notice.
FAULTS = {
    "contract.examples": "wrong-answer",
    "contract.recovers": "remembers-bad-requests",
    "contract.finite": "surprise-nan",
    "contract.schema": "document-lies",
    "contract.openapi-valid": "invalid-document",
    "contract.compatible": "forgets-an-old-path",
    "contract.rejects-malformed": "accepts-malformed",
    "contract.rejects-deep-nesting": "breaks-on-deep-nesting",
    "contract.rejects-content-type": "breaks-on-content-type",
    "contract.rejects-method": "breaks-on-method",
    "contract.rejects-path": "breaks-on-path",
    "contract.rejects-missing": "accepts-missing",
    "contract.rejects-unknown": "accepts-unknown",
    "contract.rejects-null": "accepts-null",
    "contract.rejects-wrong-type": "accepts-wrong-type",
    "contract.rejects-boolean": "accepts-boolean",
    "contract.rejects-number-as-text": "accepts-number-as-text",
    "contract.rejects-non-finite": "accepts-non-finite",
    "contract.rejects-huge-integer": "breaks-on-huge-integer",
    "contract.rejects-empty-batch": "breaks-on-empty-batch",
    "contract.rejects-oversized": "breaks-on-oversized",
    "contract.batch-invariant": "depends-on-batch",
    "contract.row-order": "sorts-predictions",
    "contract.field-order": "depends-on-field-order",
    "contract.repeatable": "drifts",
    "contract.invariance": "colour-matters",
    "contract.directional": "falls-beyond-five",
    "contract.minimum": "wrong-for-simple-rows",
    "contract.latency": "slow",
    "contract.load": "crosses-answers",
    "contract.fuzz": "breaks-on-whole-lengths",
}

_ROW = {
    "type": "object",
    "additionalProperties": False,
    "required": ["length", "island"],
    "properties": {
        "length": {"type": "number", "minimum": 0, "maximum": 1000},
        "island": {"type": "string", "enum": list(ISLANDS)},
        "colour": {"type": "string", "enum": ["black", "white"]},
    },
}
_REQUEST = {
    "type": "object",
    "additionalProperties": False,
    "required": ["instances"],
    "properties": {"instances": {"type": "array", "minItems": 1, "items": _ROW}},
}
_ANSWER = {
    "type": "object",
    "required": ["predictions"],
    "properties": {"predictions": {"type": "array", "items": {"type": "number"}}},
}
_ERROR = {"type": "object", "required": ["detail"], "properties": {"detail": {"type": "string"}}}


def _answers(schema: Any, *errors: int) -> dict[str, Any]:
    found = {"200": {"description": "Success", "content": {JSON: {"schema": schema}}}}
    for status in errors:
        found[str(status)] = {"description": "RefusedError", "content": {JSON: {"schema": _ERROR}}}
    return found


DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Lengths", "version": "1"},
    "paths": {
        "/health": {"get": {"responses": _answers({"type": "object"})}},
        "/predict": {
            "post": {
                "requestBody": {"required": True, "content": {JSON: {"schema": _REQUEST}}},
                "responses": _answers(_ANSWER, 400, 413, 415, 422),
            }
        },
    },
}


class RefusedError(Exception):
    """A request that is not answered: its status and why."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Service:
    """The service with one fault, or none."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self._bad = 0
        self._seen: dict[bytes, int] = {}
        self._last: list[Any] = []

    def answer(self, method: str, path: str, body: bytes, content_type: str) -> tuple[int, Any]:
        """Return status and JSON body."""
        try:
            return 200, self._answer(method, path, body, content_type)
        except RefusedError as exc:
            self._bad += path == "/predict"
            return exc.status, {"detail": str(exc)}

    def document(self) -> dict[str, Any]:
        """The API document."""
        document = deepcopy(DOCUMENT)
        if self.fault == "document-lies":
            schema = document["paths"]["/predict"]["post"]["responses"]["200"]["content"][JSON]["schema"]
            schema["required"] = ["predictions", "unit"]
        if self.fault == "invalid-document":
            del document["info"]
        return document

    def baseline(self) -> dict[str, Any]:
        """The document that clients were once given."""
        document = deepcopy(DOCUMENT)
        if self.fault == "forgets-an-old-path":
            document["paths"]["/v0/predict"] = document["paths"]["/predict"]
        return document

    def _answer(self, method: str, path: str, body: bytes, content_type: str) -> Any:
        if path == "/health" and method == "GET":
            return {}
        if path == "/openapi.json" and method == "GET":
            return self.document()
        if path != "/predict":
            raise RefusedError(500 if self.fault == "breaks-on-path" else 404, "no such path")
        if method != "POST":
            raise RefusedError(500 if self.fault == "breaks-on-method" else 405, "POST only")
        if content_type != JSON:
            raise RefusedError(500 if self.fault == "breaks-on-content-type" else 415, "JSON only")
        if len(body) > LIMIT:
            raise RefusedError(500 if self.fault == "breaks-on-oversized" else 413, "too large")
        rows = self._rows(self._parse(body))
        return self._predict(rows, body)

    def _parse(self, body: bytes) -> Any:
        try:
            return json.loads(body)
        except RecursionError:
            raise RefusedError(500 if self.fault == "breaks-on-deep-nesting" else 400, "nested too deeply") from None
        except ValueError as exc:
            if self.fault == "accepts-malformed":
                return {"instances": [DEFAULT]}
            raise RefusedError(400, f"no JSON: {exc}") from None

    def _rows(self, request: Any) -> list[dict[str, Any]]:
        if not isinstance(request, dict) or set(request) != {"instances"}:
            raise RefusedError(422, "expected `instances` alone")
        rows = request["instances"]
        if not isinstance(rows, list):
            raise RefusedError(422, "expected a list")
        if not rows:
            raise RefusedError(500 if self.fault == "breaks-on-empty-batch" else 422, "expected at least one row")
        return [self._row(row) for row in rows]

    def _row(self, row: Any) -> dict[str, Any]:
        if not isinstance(row, dict):
            raise RefusedError(422, "expected an object")
        if set(row) - {"length", "island", "colour"} and self.fault != "accepts-unknown":
            raise RefusedError(422, "unknown field")
        if not set(row) >= {"length", "island"}:
            if self.fault != "accepts-missing":
                raise RefusedError(422, "missing field")
            row = DEFAULT | row
        length = self._length(row["length"])
        island = row["island"] if row["island"] is not None or self.fault != "accepts-null" else "Dream"
        if island not in ISLANDS and (island is None or self.fault != "accepts-wrong-type"):
            raise RefusedError(422, "no such island")
        if "colour" in row and row["colour"] not in ("black", "white"):
            raise RefusedError(422, "no such colour")
        return {**row, "length": length, "island": island}

    def _length(self, value: Any) -> float:
        match value, self.fault:
            case (None, "accepts-null") | ("not a number", "accepts-wrong-type"):
                return 1.5
            case bool(), "accepts-boolean":
                return float(value)
            case str(), "accepts-number-as-text" if value.replace(".", "").isdigit():
                return float(value)
            case (bool(), _) | (str() | None | list() | dict(), _):
                raise RefusedError(422, "expected a number")
        if isinstance(value, float) and not math.isfinite(value):
            if self.fault == "accepts-non-finite":
                return 1.5
            raise RefusedError(422, "expected a finite number")
        if value > 10**300 and self.fault == "breaks-on-huge-integer":
            raise RefusedError(500, "overflow")
        if not 0 <= value <= 1000:
            raise RefusedError(422, "expected a length from 0 to 1000")
        if self.fault == "breaks-on-whole-lengths" and value == int(value):
            raise RefusedError(500, "whole")
        return float(value)

    def _predict(self, rows: list[dict[str, Any]], body: bytes) -> Any:
        if self.fault == "slow":
            time.sleep(0.05)
        predictions: list[Any] = [row["length"] / 6 + (row["island"] == "Biscoe") for row in rows]
        self._seen[body] = self._seen.get(body, 0) + 1
        shift = {
            "remembers-bad-requests": 0.01 * self._bad,
            "depends-on-batch": 0.01 * (len(rows) - 1),
            "depends-on-field-order": 1.0 * (next(iter(rows[0])) != "length"),
            "drifts": 0.01 * (self._seen[body] - 1) * (len(rows) > 1),
            "colour-matters": 0.1 * (rows[0].get("colour") == "white"),
        }.get(self.fault, 0.0)
        predictions = [prediction + shift for prediction in predictions]
        if self.fault == "wrong-answer":
            predictions = [p + (row["length"] == 3) for p, row in zip(predictions, rows, strict=True)]
        if self.fault == "sorts-predictions":
            predictions.sort()
        if self.fault == "falls-beyond-five" and rows[0]["length"] > 5:
            predictions[0] = 0.0
        if self.fault == "wrong-for-simple-rows" and rows[0]["length"] == 0:
            predictions[0] = 7.0
        if self.fault == "crosses-answers":  # a variable that two requests at once share
            self._last = predictions
            time.sleep(0.005)
            predictions = self._last
        answer: dict[str, Any] = {"result" if self.fault == "breaks-the-protocol" else "predictions": predictions}
        if self.fault == "surprise-nan" and "colour" in rows[0]:
            answer["predictions"] = [math.nan]
        return answer


def asked(service: Service, request: Request, predict: str = "/predict") -> Exchange:
    """Ask the service without a network, and record the exchange."""
    path = predict if request.path is None else request.path
    status, body = service.answer(request.method, path, request.body, request.content_type)
    return Exchange(
        case=request.case,
        method=request.method,
        path=path,
        request=request.body,
        status=status,
        content_type=JSON,
        response=json.dumps(body).encode(),
        seconds=0.001,
        request_type=request.content_type,
    )


@contextmanager
def listening(service: Service, port: int = 0) -> Iterator[Target]:
    """Serve it on loopback, on a free port unless one is given."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            status, answer = service.answer(self.command, self.path, body, self.headers.get("Content-Type", ""))
            raw = json.dumps(answer).encode()
            head = f"HTTP/1.1 {status} X\r\nContent-Type: {JSON}\r\nContent-Length: {len(raw)}\r\n\r\n"
            self.wfile.write(head.encode() + raw)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    for verb in ("POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS", "TRACE"):
        setattr(Handler, f"do_{verb}", Handler.do_GET)

    with served(Handler, port) as target:
        yield target


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


@contextmanager
def served(handler: type[BaseHTTPRequestHandler], port: int = 0) -> Iterator[Target]:
    """Let a handler answer on 127.0.0.1; on any free port where none is named."""
    server = _Server(("127.0.0.1", port), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield Target("127.0.0.1", server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
