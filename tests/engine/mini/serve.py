"""Serve the weight over HTTP, strictly; the variable FAULT breaks one thing."""

import json
import math
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FAULT = os.environ.get("FAULT", "")
DELAY = float(os.environ.get("DELAY", "0"))  # seconds that each prediction takes
LIMIT = 1e6
SLOW = 3.0  # seconds after the start, until which no prediction is answered
STARTED = time.monotonic()
OPEN: set[socket.socket] = set()


def predict(body: bytes) -> list[float]:
    """Return the predictions for a request; raises ValueError."""
    time.sleep(DELAY)
    if FAULT == "slow-start":
        time.sleep(max(0.0, STARTED + SLOW - time.monotonic()))
    request = json.loads(body)
    if not isinstance(request, dict) or set(request) != {"instances"} or not request["instances"]:
        raise ValueError("expected `instances` alone")
    for row in request["instances"]:
        if set(row) != {"x"} or type(row["x"]) not in (int, float) or abs(row["x"]) > LIMIT:
            raise ValueError("expected rows with a number `x` alone")
    return [weight * row["x"] for row in request["instances"]]


class Handler(BaseHTTPRequestHandler):
    """GET /health and POST /predict."""

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
        """Say that the service is ready."""
        ready = self.path == "/health" and FAULT != "unready"
        self.answer(200 if ready else 503, b"{}")

    def do_POST(self) -> None:
        """Answer a prediction."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        unloaded = math.isnan(weight) or (FAULT == "lies-about-ready" and time.monotonic() < STARTED + SLOW)
        if FAULT == "http-500" or unloaded:
            self.answer(503 if FAULT == "lies-about-ready" else 500, b'{"error": "boom"}')
        elif FAULT == "not-json":
            self.answer(200, b"<html>2.0</html>")
        else:
            self.try_to_predict(body)

    def try_to_predict(self, body: bytes) -> None:
        """Answer 200 with predictions, or 400."""
        try:
            predictions = predict(body)
        except ValueError as error:
            if FAULT == "hangs" and isinstance(error, json.JSONDecodeError):
                time.sleep(600)
            self.answer(200 if FAULT == "accepts-anything" else 400, json.dumps({"error": str(error)}).encode())
            return
        if FAULT == "wrong-answer":
            predictions = [value + 1 for value in predictions]
        self.answer(200, json.dumps({"predictions": predictions}).encode())

    def answer(self, status: int, body: bytes) -> None:
        """Send an answer."""
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
        if FAULT == "drops-on-sigterm":
            signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        elif FAULT != "ignores-sigterm":
            signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=self.shutdown).start())
        self.serve_forever()
        for connection in tuple(OPEN):  # what was sent is still read, then comes the end
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RD)
        self.server_close()


def load() -> float:
    """Return the weight that training found; raises OSError or ValueError."""
    try:
        return float(json.loads(Path("/model/model.json").read_text(encoding="utf-8"))["weight"])
    except (OSError, ValueError):
        if FAULT == "serves-without-model":
            return 2.0
        if FAULT == "ready-without-model":
            return float("nan")
        if FAULT == "silent-without-model":
            time.sleep(600)
        raise


def needs() -> None:
    """Fail where the container does not have what a careless service takes for granted."""
    if FAULT == "needs-root":
        os.chown("/tmp", 1, 1)
    if FAULT == "needs-writable-root":
        Path("/var/tmp/cache").write_text("", encoding="utf-8")
    if FAULT == "needs-network":
        socket.gethostbyname("serve")  # a name of the project's network only


if FAULT == "dies":
    print("cannot load the model: the last words of the service", flush=True)
    sys.exit(3)
needs()
weight = load()
host = "127.0.0.1" if FAULT == "loopback" else ""
Server((host, 9999 if FAULT == "wrong-port" else 8080), Handler).serve()
