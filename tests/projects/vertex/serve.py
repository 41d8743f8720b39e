"""Serve the heat model as a container on Vertex AI does.

No server of Vertex AI's own is on PyPI alone: this one is written from its public specification, "Custom container
requirements for inference", with the standard library. It refuses whatever is not a row.
"""

import json
import math
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PORT = int(os.environ["AIP_HTTP_PORT"])
HEALTH = os.environ["AIP_HEALTH_ROUTE"]
PREDICT = os.environ["AIP_PREDICT_ROUTE"]
# On the platform this is the URI of a bucket; where the model is mounted, as here, a path.
MODEL = json.loads((Path(os.environ["AIP_STORAGE_URI"]) / "model.json").read_text())
COLUMNS: list[str] = MODEL["columns"]
LIMIT = 1_000_000


def is_number(value: object) -> bool:
    """Tell whether a JSON value is a number of a sensible size; `true` is none."""
    return type(value) in (int, float) and abs(value) <= LIMIT  # type: ignore[arg-type]


def predict(body: bytes) -> dict[str, list[float]]:
    """Return the predictions for a request, or raise ValueError that says what is wrong."""
    try:
        request: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        message = "the body is not valid JSON"
        raise ValueError(message) from error
    if not isinstance(request, dict) or not {"instances"} <= set(request) <= {"instances", "parameters"}:
        message = 'expected an object with "instances", and "parameters" at most'
        raise ValueError(message)
    rows = request["instances"]
    if not isinstance(rows, list) or not rows:
        message = "instances: expected a list of at least one row"
        raise ValueError(message)
    for row in rows:
        if not isinstance(row, dict) or set(row) != set(COLUMNS):
            message = f"instances: expected rows with exactly {', '.join(COLUMNS)}"
            raise ValueError(message)
        if not all(map(is_number, row.values())):
            message = f"instances: expected numbers from -{LIMIT} to {LIMIT}"
            raise ValueError(message)
    inputs = [[1.0, *(row[name] for name in COLUMNS)] for row in rows]
    return {"predictions": [math.sumprod(MODEL["weights"], row) for row in inputs]}


class Handler(BaseHTTPRequestHandler):
    """Two routes, JSON in and out."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer the health check."""
        if self.path == HEALTH:
            self.answer(200, {"status": "ready"})
        else:
            self.answer(404, {"error": f"there are {HEALTH} and {PREDICT}"})

    def do_POST(self) -> None:
        """Answer a prediction, or 400 with the reason."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self.close_connection = True
            self.answer(411, {"error": "expected a Content-Length"})
            return
        body = self.rfile.read(int(length))
        if self.path != PREDICT:
            self.answer(404, {"error": f"there are {HEALTH} and {PREDICT}"})
            return
        try:
            self.answer(200, predict(body))
        except ValueError as error:
            self.answer(400, {"error": str(error)})

    def do_DELETE(self) -> None:
        """Refuse; without this the library answers 501."""
        self.answer(405, {"error": "there are GET and POST"})

    def answer(self, status: int, content: object) -> None:
        """Send one JSON answer."""
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    # As the container's first process Python would otherwise ignore the signal.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    ThreadingHTTPServer(("", PORT), Handler).serve_forever()
