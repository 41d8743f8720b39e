"""A container while it runs: started, listened to, waited for, ended."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

import docker
import docker.errors
import docker.types
import requests.exceptions
import urllib3.exceptions

from harness.engine.events import seen
from harness.engine.limits import limits_of
from harness.engine.sdk import GONE_HINT, close_stream, kill, mapped_errors, reach
from harness.errors import DescriptionError, EngineUnavailableError, HarnessError, InfrastructureError
from harness.records import Exit

LOG_TAIL = 40
NO_PROCESS = (126, 127)  # exit codes of a container whose command cannot be run, as in a shell
WRONG_FORMAT = "exec format error"  # some runtimes say so at the start, others let the container end


class Running:
    """A container from its start to its end: attached before the start so that no output is lost."""

    def __init__(
        self, api: docker.APIClient, container: str, on_line: Callable[[str], None], url: str | None = None
    ) -> None:
        self.container = container
        self.tail: deque[str] = deque(maxlen=LOG_TAIL)
        self.api = api
        self._on_line = on_line
        self._url = url  # of the engine; None: the configured one
        self._ended = threading.Event()
        self._failure: Exception | None = None
        self._timed_out = False
        self._signalled = False
        self._start = 0.0

    def __enter__(self) -> Self:
        with mapped_errors():
            stream = self.api.attach(self.container, stdout=True, stderr=True, stream=True, logs=False)
            self._reader = threading.Thread(target=self._read, args=(stream,), daemon=True)
            self._reader.start()
            self._start = time.monotonic()
            self._start_process()
            self._waiter = threading.Thread(target=self._watch, daemon=True)
            self._waiter.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        # After an error the run's clean-up removes the container, and both threads end with it.
        if kind is None:
            kill(self.api, self.container)
            self._reader.join(timeout=5)

    def _start_process(self) -> None:
        try:
            self.api.start(self.container)
        except docker.errors.APIError as exc:
            state = self.api.inspect_container(self.container).get("State", {})
            if state.get("ExitCode") not in NO_PROCESS and WRONG_FORMAT not in str(exc.explanation):
                raise
            raise DescriptionError(
                f"the container cannot start: {exc.explanation}",
                hint="Correct `command` or `entrypoint` of the service, in compose.yaml or in its Dockerfile.",
            ) from exc

    def wait(self, timeout: float) -> bool:
        """Wait until the container has ended, at most `timeout` seconds; whether it has.

        Raises EngineUnavailableError when the engine is lost meanwhile.
        """
        ended = self._ended.wait(timeout)
        if isinstance(self._failure, HarnessError):
            raise self._failure
        if self._failure is not None:
            raise EngineUnavailableError(
                f"the engine stopped answering while a container ran: {self._failure}", hint=GONE_HINT
            ) from self._failure
        return ended

    @property
    def seconds(self) -> float:
        """How long ago it was started."""
        return round(time.monotonic() - self._start, 3)

    def signal(self, name: str) -> None:
        """Send a signal to the container's first process; one that has ended is left as it is."""
        self._signalled = True
        kill(self.api, self.container, name)

    def stop(self) -> None:
        """End the container because its time is over."""
        self._timed_out = True
        kill(self.api, self.container)
        self.wait(30)

    def ended(self, patience: float) -> Exit | None:
        """Say how a container ended that was to go on; None where it has not within `patience` seconds."""
        return self.exit() if self.wait(patience) else None

    def undisturbed(self) -> None:
        """Raise InfrastructureError where somebody else asked the engine to end the container, ended or not as yet."""
        with mapped_errors():
            started = str(self.api.inspect_container(self.container).get("State", {}).get("StartedAt", ""))
            _, killed = seen(self.api, self.container, started, str(self.api.info().get("SystemTime", "")))
        if killed and not self._signalled:
            raise _ended_from_outside("it still runs")

    def exit(self) -> Exit:
        """Say how the container ended. Only after `wait` or `stop`.

        Raises InfrastructureError where it did not end by itself: the engine goes down, or was asked to end it.
        """
        self._reader.join(timeout=5)
        ooms, killed = 0, False
        with mapped_errors():
            inspected = self.api.inspect_container(self.container)
            state = inspected.get("State", {})
            started, finished = str(state.get("StartedAt", "")), str(state.get("FinishedAt", ""))
            reach(self._url)  # an engine that goes down ends its containers first, and answers old connections
            if state.get("ExitCode") and not self._timed_out:
                ooms, killed = seen(self.api, self.container, started, finished)
        if killed and not self._signalled:
            raise _ended_from_outside(str(state.get("ExitCode")))
        return Exit(
            code=None if self._timed_out else state.get("ExitCode"),
            oom_killed=bool(state.get("OOMKilled")) and not self._timed_out,
            timed_out=self._timed_out,
            seconds=self.seconds,
            log_tail=tuple(self.tail),
            started=started,
            finished=finished,
            error=str(state.get("Error") or ""),
            ooms=ooms,
            limits=limits_of(inspected),
        )

    def printed(self) -> str:
        """Return all that it wrote to standard output, without standard error. Only after `wait` or `stop`."""
        with mapped_errors():
            return bytes(self.api.logs(self.container, stdout=True, stderr=False)).decode(errors="replace")

    def _watch(self) -> None:
        try:
            self.api.wait(self.container, timeout=None)
        except docker.errors.NotFound:
            pass  # removed: that is an end too
        except Exception as exc:  # noqa: BLE001 - handed to the thread that waits
            self._failure = exc
        finally:
            self._ended.set()

    def _read(self, stream: docker.types.CancellableStream) -> None:
        rest = b""
        try:
            for chunk in stream:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._line(line)
        except (OSError, ValueError, urllib3.exceptions.HTTPError, requests.exceptions.RequestException):
            pass  # the connection ended with the container or the engine; `_watch` tells which
        except HarnessError as exc:  # the line could not be kept: the run cannot go on
            self._failure = exc
            self._ended.set()
        else:
            if rest:
                self._line(rest)
        finally:
            close_stream(stream)

    def _line(self, raw: bytes) -> None:
        line = raw.decode(errors="replace").rstrip("\r")
        self.tail.append(line)
        self._on_line(line)


def _ended_from_outside(state: str) -> InfrastructureError:
    return InfrastructureError(
        f"the container was ended from outside: the engine was asked to ({state})",
        hint="Somebody stopped it, or the engine went down: run again.",
    )
