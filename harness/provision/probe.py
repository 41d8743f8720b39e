"""Asks the engine by trying, in short-lived containers that carry our labels and are removed on every path."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.client import http
from harness.engine import Engine, Leftover, labels
from harness.errors import EngineUnavailableError, InfrastructureError

TIMEOUT = 60.0
REACH_TIMEOUT = 5.0
INTERVAL = 0.05
PORT = 8000
MOUNT = "/harness-probe"
PYTHON_HINT = "The image that installs the wheels must have python3: use such a base."
# Answers a word that nobody else knows, so that a stranger on the same port is not taken for it.
SERVER = f"""\
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(sys.argv[1].encode())
http.server.HTTPServer(("", {PORT}), Handler).serve_forever()
"""


def ask_python(engine: Engine, image: str, script: str) -> str:
    """Run a Python script in an image and return what it printed. Raises InfrastructureError."""
    with _container(engine, image, ["python3", "-c", script]) as made:
        try:
            engine.start(made)
            code, output = engine.result(made, TIMEOUT)
        except EngineUnavailableError:
            raise
        except InfrastructureError as exc:
            raise InfrastructureError(f"{image} cannot run python3: {exc}", hint=PYTHON_HINT) from exc
    if code != 0:
        raise InfrastructureError(f"python3 in {image} ended with exit code {code}:\n{output}", hint=PYTHON_HINT)
    return output


def sees(engine: Engine, image: str, file: Path) -> bool:
    """Whether a bind mount of a folder of this machine shows its file inside a container."""
    try:
        with _container(engine, image, ["true"], mount=(file.parent, MOUNT)) as made:
            stream = engine.read(made, f"{MOUNT}/{file.name}")
            return stream is not None and any([*stream])  # read to its end, or the connection stays open
    except EngineUnavailableError:
        raise
    except InfrastructureError:  # the engine's machine has no such folder
        return False


def reach(engine: Engine, image: str) -> str | None:
    """Return how this machine reaches a port of a container; None where it does not."""
    word = secrets.token_hex(8)
    with _container(engine, image, ["python3", "-c", SERVER, word], port=PORT) as made:
        engine.start(made)
        deadline = time.monotonic() + REACH_TIMEOUT
        while time.monotonic() < deadline:
            for address in engine.reach.addresses(made, PORT):
                target = http.Target(address.host, address.port)
                if http.send(target, "/", case="probe", timeout=1.0).response == word.encode():
                    return f"{address.way} {address.host}"
            time.sleep(INTERVAL)
    return None


@contextmanager
def _container(
    engine: Engine, image: str, argv: list[str], *, mount: tuple[Path, str] | None = None, port: int | None = None
) -> Iterator[str]:
    own = labels.labels_of_run(f"setup-{secrets.token_hex(3)}", "harness-setup")
    made = engine.create(image, argv, own, mount=mount, port=port)
    try:
        yield made
    finally:
        engine.remove(Leftover("container", made, made, own))
