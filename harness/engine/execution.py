"""Runs a command inside a running container, within its time."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import docker
import docker.errors

from harness.engine.sdk import mapped_errors

NOT_FOUND = 127  # as a shell says it of a command that is not there


@dataclass(frozen=True)
class Executed:
    """What a command printed, and its exit code: None where it had not ended within its time."""

    code: int | None
    output: str


def execute(api: docker.APIClient, container: str, argv: list[str], timeout: float) -> Executed:
    """Run a command in a running container for at most `timeout` seconds.

    A command that is not there ends with 126 or 127 and the engine's message. One that does not end goes on until
    its container ends: the engine's API has no way to end it.
    """
    with mapped_errors():
        try:
            call = api.exec_create(container, argv)["Id"]
            pieces: list[bytes] = []
            reader = threading.Thread(target=_read, args=(api, call, pieces), daemon=True)
            reader.start()
            reader.join(timeout)
            code = None if reader.is_alive() else api.exec_inspect(call).get("ExitCode")
        except docker.errors.APIError as exc:
            return Executed(NOT_FOUND, str(exc.explanation or exc))
    return Executed(code, b"".join(pieces).decode(errors="replace"))


def _read(api: docker.APIClient, call: str, pieces: list[bytes]) -> None:
    try:
        pieces.append(bytes(api.exec_start(call)))
    except docker.errors.DockerException as exc:  # the runtime's refusal; the exit code is asked for afterwards
        pieces.append(str(getattr(exc, "explanation", exc)).encode())
    except OSError:
        pass  # the connection ended with the container
