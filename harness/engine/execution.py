"""Runs a command inside a running container, within its time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

import docker
import docker.errors

from harness.engine.sdk import close_stream, mapped_errors

NOT_FOUND = 127  # as a shell says it of a command that is not there
KEPT = 16 * 1024 * 1024  # bytes of what a command prints: more is not asked for, however much it prints


@dataclass(frozen=True)
class Executed:
    """What a command printed, and its exit code: None where it had not ended within its time."""

    code: int | None
    output: str


@dataclass
class End:
    """The end of what comes in pieces: at least its last `KEPT` bytes, where there are so many."""

    pieces: deque[bytes] = field(default_factory=deque)
    size: int = 0

    @classmethod
    def of(cls, pieces: Iterable[bytes]) -> Self:
        """Take all pieces."""
        end = cls()
        for piece in pieces:
            end.add(piece)
        return end

    def add(self, data: bytes) -> None:
        """Take more; let go of what came first."""
        self.pieces.append(data)
        self.size += len(data)
        while self.size - len(self.pieces[0]) >= KEPT:
            self.size -= len(self.pieces.popleft())

    @property
    def text(self) -> str:
        """What is kept. Called while pieces may still come."""
        return b"".join(self.pieces.copy()).decode(errors="replace")


def execute(api: docker.APIClient, container: str, argv: list[str], timeout: float) -> Executed:
    """Run a command in a running container for at most `timeout` seconds.

    A command that is not there ends with 126 or 127 and the engine's message. One that does not end goes on until
    its container ends: the engine's API has no way to end it.
    """
    with mapped_errors():
        try:
            call = api.exec_create(container, argv)["Id"]
            printed = End()
            reader = threading.Thread(target=_read, args=(api, call, printed), daemon=True)
            reader.start()
            reader.join(timeout)
            code = None if reader.is_alive() else api.exec_inspect(call).get("ExitCode")
        except docker.errors.APIError as exc:
            return Executed(NOT_FOUND, str(exc.explanation or exc))
    return Executed(code, printed.text)


def _read(api: docker.APIClient, call: str, printed: End) -> None:
    try:
        stream = api.exec_start(call, stream=True)
        try:
            for data in stream:
                printed.add(data)
        finally:
            close_stream(stream)
    except docker.errors.DockerException as exc:  # the runtime's refusal; the exit code is asked for afterwards
        printed.add(str(getattr(exc, "explanation", exc)).encode())
    except OSError:
        pass  # the connection ended with the container
