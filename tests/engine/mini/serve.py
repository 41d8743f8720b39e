"""Serve the weight over HTTP, strictly; the variable FAULT breaks one thing."""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FAULT = os.environ.get("FAULT", "")
LIMIT = 1e6
SLOW = 3.0  # seconds after the start, until which no prediction is answered
STARTED = time.monotonic()


def predict(body: bytes) -> list[float]:
    """Return the predictions for a request; raises ValueError."""
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

    def do_GET(self) -> None:
        """Say that the service is ready."""
        ready = self.path == "/health" and FAULT != "unready"
        self.answer(200 if ready else 503, b"{}")

    def do_POST(self) -> None:
        """Answer a prediction."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if FAULT == "http-500":
            self.answer(500, b'{"error": "boom"}')
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


if FAULT == "dies":
    print("cannot load the model: the last words of the service", flush=True)
    sys.exit(3)
weight = json.loads(Path("/model/model.json").read_text(encoding="utf-8"))["weight"]
host = "127.0.0.1" if FAULT == "loopback" else ""
ThreadingHTTPServer((host, 9999 if FAULT == "wrong-port" else 8080), Handler).serve_forever()
