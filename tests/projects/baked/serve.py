"""Serve the heat model with the standard library alone; it refuses whatever is not a row."""

import json
import math
import os
import signal
import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MODEL = json.loads((Path(os.environ.get("MODEL_DIR", "/model")) / "model.json").read_text())
COLUMNS: list[str] = MODEL["columns"]
LIMIT = 1_000_000
OPEN: set[socket.socket] = set()


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
    if not isinstance(request, dict) or set(request) != {"instances"}:
        message = 'expected an object with "instances" alone'
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

    def setup(self) -> None:
        """Remember the open connection."""
        super().setup()
        OPEN.add(self.connection)

    def finish(self) -> None:
        """Forget it."""
        OPEN.discard(self.connection)
        super().finish()

    def do_GET(self) -> None:
        """Answer the health check."""
        if self.path == "/health":
            self.answer(200, {"status": "ready"})
        else:
            self.answer(404, {"error": "there are /health and /predict"})

    def do_POST(self) -> None:
        """Answer a prediction, or 400 with the reason."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self.close_connection = True
            self.answer(411, {"error": "expected a Content-Length"})
            return
        body = self.rfile.read(int(length))
        if self.path != "/predict":
            self.answer(404, {"error": "there are /health and /predict"})
            return
        try:
            self.answer(200, predict(body))
        except ValueError as error:
            self.answer(400, {"error": str(error)})

    def answer(self, status: int, content: object) -> None:
        """Send one JSON answer."""
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """Answers what was asked before it ends."""

    daemon_threads = False
    request_queue_size = 128

    def serve(self) -> None:
        """Serve until SIGTERM, which Python ignores as a container's first process unless it is handled."""
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=self.shutdown).start())
        self.serve_forever()
        for connection in tuple(OPEN):  # what was sent is still read, then comes the end
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RD)
        self.server_close()


if __name__ == "__main__":
    Server(("", 8080), Handler).serve()
