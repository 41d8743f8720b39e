"""A container while it runs: started, listened to, waited for, ended."""

from __future__ import annotations

import threading
import time
import zlib
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self

import docker
import docker.errors
import urllib3.exceptions

from harness.engine.events import seen
from harness.engine.frames import STDERR, STDOUT, BrokenStreamError, FrameStream, attach, logged
from harness.engine.limits import limits_of
from harness.engine.sdk import GONE_HINT, kill, mapped_errors, reach
from harness.errors import DescriptionError, EngineUnavailableError, HarnessError, InfrastructureError
from harness.evidence.records import Exit
from harness.system.output import Lines, Tails

STALL = 30.0  # seconds without a byte, after which the rest of the output of an ended container is given up
MOMENT = 5.0  # seconds between the end of the output and that of its container, as long as nothing is amiss
KEPT = 64 * 1024 * 1024  # bytes of standard output for `printed`
NO_PROCESS = (126, 127)  # exit codes of a container whose command cannot be run, as in a shell
WRONG_FORMAT = "exec format error"  # some runtimes say so at the start, others let the container end


class Sink(Protocol):
    """Takes the output of a container: text of whole lines, on another thread. It must not wait for anybody."""

    def write(self, text: str) -> None:
        """Take more of it."""

    @property
    def dropped(self) -> int:
        """How many bytes of it were not kept."""


class Nowhere:
    """A sink that keeps nothing, for a container of which the tail is enough."""

    dropped = 0

    def write(self, text: str) -> None:
        """Leave it."""


class Running:
    """A container from its start to its end: attached before the start so that no output is lost.

    With `keep_output` its standard output is kept for `printed`.
    """

    def __init__(
        self,
        api: docker.APIClient,
        container: str,
        sink: Sink,
        url: str | None = None,
        *,
        keep_output: bool = False,
    ) -> None:
        self.container = container
        self.api = api
        self._sink = sink
        self._url = url  # of the engine; None: the configured one
        self._tail = Tails()
        self._lines = Lines()
        self._keep = keep_output
        self._output: list[bytes] = []  # standard output, where it is kept
        self._taken: dict[int, tuple[int, int]] = {}  # stream -> bytes that came, and their CRC
        self._read_bytes = 0
        self._drained = threading.Event()  # all that it printed has been passed on
        self._lost = ""  # why not, as far as known
        self._ended = threading.Event()
        self._over: float | None = None  # when that was
        self._failure: Exception | None = None
        self._timed_out = False
        self._signalled = False
        self._start = 0.0

    def __enter__(self) -> Self:
        with mapped_errors():
            output = attach(self.api, self.container)
            threading.Thread(target=self._read, args=(output,), daemon=True).start()
            self._start = time.monotonic()
            self._start_process()
            self._waiter = threading.Thread(target=self._watch, daemon=True)
            self._waiter.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        # After an error the run's clean-up removes the container, and both threads end with it.
        if kind is None:
            kill(self.api, self.container)
            self._drain()

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
    def tail(self) -> tuple[str, ...]:
        """The last lines that it has printed so far, those of standard error whatever else was printed."""
        return self._tail.lines

    @property
    def unread(self) -> str:
        """Why what was kept of its output so far is not all that it printed; empty where it is."""
        return Exit.not_whole(self._lost, self._sink.dropped)

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
        seconds = round((self._over or time.monotonic()) - self._start, 3)
        self._drain()
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
            seconds=seconds,
            log_tail=self.tail,
            lost=self._lost if self._drained.is_set() else f"no more of its output came within {STALL:g} s",
            dropped=self._sink.dropped,
            started=started,
            finished=finished,
            error=str(state.get("Error") or ""),
            ooms=ooms,
            limits=limits_of(inspected),
        )

    def printed(self) -> str:
        """Return all that it wrote to standard output. Only after `exit`. Raises ValueError where that is too much."""
        size, _ = self._taken.get(STDOUT, (0, 0))
        if size > KEPT:
            raise ValueError(f"it wrote {size} bytes to its standard output: at most {KEPT} of them are read")
        return b"".join(self._output).decode(errors="replace")

    def _watch(self) -> None:
        try:
            self.api.wait(self.container, timeout=None)
        except docker.errors.NotFound:
            pass  # removed: that is an end too
        except Exception as exc:  # noqa: BLE001 - handed to the thread that waits
            self._failure = exc
        finally:
            self._over = time.monotonic()
            self._ended.set()

    def _drain(self) -> None:
        """Wait until all that an ended container printed has been passed on, as long as more of it comes."""
        before = -1
        while not self._drained.wait(STALL) and before != self._read_bytes:
            before = self._read_bytes

    def _read(self, output: FrameStream) -> None:
        """Pass the output on, to its end. Where the connection was cut, the engine's own log has the rest."""
        try:
            self._lost = self._attached(output) and self._completed()
            self._pass_on(self._lines.end())
            if self._lost:
                self._pass_on(f"[harness: the log is not whole: {self._lost}]\n")
        except HarnessError as exc:  # it could not be kept: the run cannot go on
            self._failure, self._lost = exc, str(exc)
            self._ended.set()
        except Exception as exc:  # noqa: BLE001 - a fault of ours: then nobody may take the log for whole
            self._lost = f"it was not read to its end: {exc!r}"
        finally:
            self._drained.set()

    def _attached(self, output: FrameStream) -> str:
        """Read to the end of the connection; say why that is not the end of the output, empty where it is."""
        try:
            for frames in output.frames:
                self._pass_on("".join([self._take(stream, data) for stream, data in frames]))
        except (OSError, ValueError, BrokenStreamError, urllib3.exceptions.HTTPError) as exc:
            self._lost = f"the output broke off: {exc}"
        finally:
            with suppress(OSError):
                output.close()
        if not self._lost and not self._ended.wait(MOMENT):
            self._lost = "the output ended before its container did"
        return self._lost

    def _completed(self) -> str:
        """Take the rest from the engine's log of the ended container; say why that is not all, empty where it is.

        That log is believed only where it begins with what came before.
        """
        self._ended.wait()
        known, passed = dict(self._taken), dict.fromkeys(self._taken, (0, 0))
        try:
            for stream, data in (frame for frames in logged(self.api, self.container) for frame in frames):
                size, crc = passed.get(stream, (0, 0))
                old = data[: known.get(stream, (0, 0))[0] - size]
                passed[stream] = size + len(old), zlib.crc32(old, crc)
                if new := data[len(old) :]:
                    if passed[stream] != known.get(stream, (0, 0)):
                        return f"{self._lost}, and the engine's own log of it begins otherwise"
                    self._pass_on(self._take(stream, new))
        except (OSError, BrokenStreamError, urllib3.exceptions.HTTPError, docker.errors.DockerException) as exc:
            return f"{self._lost}, and the engine's own log of it cannot be read: {exc}"
        whole = all(passed[stream] == known[stream] for stream in known)
        return "" if whole else f"{self._lost}, and the engine's own log of it has less"

    def _take(self, stream: int, data: bytes) -> str:
        """Take bytes of the output; return the text of the lines that end in them."""
        size, crc = self._taken.get(stream, (0, 0))
        self._taken[stream] = size + len(data), zlib.crc32(data, crc)
        self._read_bytes += len(data)
        if self._keep and stream == STDOUT and size + len(data) <= KEPT:
            self._output.append(data)
        text = self._lines.feed(stream, data)
        if stream == STDERR:
            self._tail.feed_error(text)
        return text

    def _pass_on(self, text: str) -> None:
        if text:
            self._tail.feed(text)
            self._sink.write(text)


def _ended_from_outside(state: str) -> InfrastructureError:
    return InfrastructureError(
        f"the container was ended from outside: the engine was asked to ({state})",
        hint="Somebody stopped it, or the engine went down: run again.",
    )
