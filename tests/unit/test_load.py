"""Latency and load: the generator against good and bad servers, the stage, and both checks."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import builders
import pytest
from defects import defect, shows

from harness.checks import all_checks
from harness.checks.judge import judge_one
from harness.client import connections
from harness.client.http import Target
from harness.client.load import LoadRequest, Traffic, thinned
from harness.engine import stats
from harness.errors import EngineUnavailableError, InfrastructureError
from harness.evidence.records import Contract, Evidence, Exchange, Finding, Interface, Load, Status, Step
from harness.evidence.run_folder import RunFolder
from harness.runner.stages import Recording
from harness.runner.stages import load as stage

PASS, WARN, FAIL, SKIP = Status.PASS, Status.WARN, Status.FAIL, Status.SKIP
CHECKS = {check.name: check for check in all_checks()}
ASKS = tuple(LoadRequest(json.dumps({"x": n}).encode(), json.dumps({"y": 2 * n}).encode()) for n in range(8))


@dataclass
class Asked:
    """One request as a server sees it."""

    number: int  # of all requests
    body: bytes


Behaviour = Callable[[Asked], Awaitable[bytes | None]]  # the bytes to write, None to close the connection


class Server:
    """A server on a thread of its own, and what it saw."""

    def __init__(self, behave: Behaviour, tls: ssl.SSLContext | None) -> None:
        self.requests = 0
        self.connections = 0
        self.most = 0  # connections at once
        self.open: dict[asyncio.StreamWriter, asyncio.StreamReader] = {}
        self.target = Target("127.0.0.1", 0)
        self.behave, self._tls = behave, tls

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._converse, "127.0.0.1", 0, ssl=self._tls, backlog=512)
        port = self._server.sockets[0].getsockname()[1]
        self.target = Target("127.0.0.1", port, tls=self._tls is not None)

    async def stop(self) -> None:
        """Close everything."""
        self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.02)  # let the transports close

    def all_closed(self, within: float = 5.0) -> bool:
        """Whether the client closes all connections in time."""
        end = time.monotonic() + within
        while not (closed := all(r.at_eof() or r.exception() for r in tuple(self.open.values()))):
            if time.monotonic() > end:
                break
            time.sleep(0.01)
        return closed

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open[writer] = reader
        self.most = max(self.most, len(self.open))
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._exchange(reader, writer):
                pass
        writer.close()
        del self.open[writer]

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split()[0])
        asked = Asked(self.requests, await reader.readexactly(length))
        self.requests += 1
        answer = await self.behave(asked)
        if answer is None:
            return False
        writer.write(answer)
        await writer.drain()
        return b"\r\nConnection: close\r\n" not in answer and not answer.startswith(b"HTTP/1.0")


@contextmanager
def _serving(behave: Behaviour, *, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Run a server."""
    with closing(asyncio.new_event_loop()) as loop:
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        server = Server(behave, tls)
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(5)
        try:
            yield server
        finally:
            asyncio.run_coroutine_threadsafe(server.stop(), loop).result(5)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(5)


def _answer(body: bytes, status: int = 200) -> bytes:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _twice(body: bytes) -> bytes:
    return json.dumps({"y": 2 * json.loads(body)["x"]}).encode()


async def _good(asked: Asked) -> bytes:
    return _answer(_twice(asked.body))


def _raw(answer: bytes | None) -> Behaviour:
    async def behave(_asked: Asked) -> bytes | None:
        return answer

    return behave


async def _silent(_asked: Asked) -> bytes:
    await asyncio.Event().wait()
    return b""


def _stalling(after: int, seconds: float) -> Behaviour:
    """Answer at once, but from one request on nothing for a time, as in a long garbage collection."""
    until = 0.0

    async def behave(asked: Asked) -> bytes:
        nonlocal until
        if asked.number == after:
            until = time.monotonic() + seconds
        await asyncio.sleep(max(0.0, until - time.monotonic()))
        return await _good(asked)

    return behave


def _crossing() -> Behaviour:
    """Give two requests that are there at once each other's answer."""
    waiting: list[tuple[bytes, asyncio.Future[bytes]]] = []

    async def behave(asked: Asked) -> bytes:
        mine = _twice(asked.body)
        if waiting:
            other, future = waiting.pop()
            future.set_result(mine)
            return _answer(other)
        future = asyncio.get_running_loop().create_future()
        waiting.append((mine, future))
        done, _ = await asyncio.wait([future], timeout=0.1)
        if not done:
            waiting.clear()
        return _answer(future.result() if done else mine)

    return behave


async def _dropping(asked: Asked) -> bytes | None:
    return None if asked.number % 10 == 9 else await _good(asked)


def _traffic(seen: Server, **changes: Any) -> Traffic:
    return replace(Traffic(seen.target, "/predict", ASKS, same=stage.same, timeout=10.0), **changes)


def _is_whole(step: Step) -> bool:
    """Whether each request ended once."""
    return step.sent == step.answered + sum(step.errors.values()) > 0


@pytest.mark.parametrize("count", [1, 2, 7, 100, 1999, 2000, 2001, 4003, 61_234])
def test_percentiles_survive_thinning(count: int) -> None:
    """The percentiles by nearest rank are those of all latencies, and the maximum is kept."""
    values = [(number * 7919 % count) / 1000 for number in range(count)]
    whole = sorted(values)
    step = Step(None, 1, 1.0, count, count, thinned(whole))
    assert len(step.latencies) == min(count, 2000)
    for p in (1, 50, 90, 95, 99, 99.5, 100):
        assert step.percentile(p) == whole[max(0, -(-count * round(p * 10) // 1000) - 1)], p


def test_percentiles_of_few() -> None:
    """By nearest rank a percentile is always one of the values."""
    step = Step(None, 1, 1.0, 4, 4, (0.1, 0.2, 0.3, 0.4))
    assert [step.percentile(p) for p in (0, 25, 50, 75, 95, 100)] == [0.1, 0.1, 0.2, 0.3, 0.4, 0.4]
    with pytest.raises(IndexError):
        replace(step, latencies=()).percentile(50)


@pytest.mark.serial
def test_good_server() -> None:
    """Everything is answered over few connections, which are closed at the end."""
    with _serving(_good) as seen:
        stream = _traffic(seen).open_loop(100, 0.5)
        assert (stream.sent, stream.answered, stream.rate, stream.clients) == (50, 50, 100, None)
        assert len(stream.latencies) == 50
        assert list(stream.latencies) == sorted(stream.latencies)
        assert 0.45 < stream.seconds < 10
        assert seen.all_closed()
        step = _traffic(seen).closed_loop(4, 0.3)
        assert _is_whole(step)
        assert step.answered == step.sent > 8
        assert (step.errors, step.crossed, step.rate, step.clients) == ({}, {}, None, 4)
        assert seen.requests == stream.sent + step.sent
        assert seen.most <= 50
        assert seen.all_closed()


def test_clients_keep_their_connections() -> None:
    """A closed loop opens one connection for each client."""
    with _serving(_good) as seen:
        _traffic(seen).closed_loop(3, 0.2)
        assert seen.connections == 3


def test_in_a_thread() -> None:
    """The generator works in any thread."""
    with _serving(_good) as seen, ThreadPoolExecutor(1) as threads:
        step = threads.submit(_traffic(seen).closed_loop, 2, 0.1).result(20)
    assert step.answered == step.sent > 0


@pytest.mark.serial
def test_a_stall_shows_in_the_open_loop() -> None:
    """A server that stalls for a second in mid-stream: the stream sees all who would have waited, clients one each."""
    with _serving(_stalling(20, 1.0)) as seen:
        stream = _traffic(seen).open_loop(50, 2.0)
    assert (stream.sent, stream.answered) == (100, 100)
    assert stream.percentile(99) > 0.8
    assert stream.percentile(100) > 0.9
    assert sum(latency > 0.3 for latency in stream.latencies) > 20
    assert _statuses("contract.latency", _judge(_load(stream=stream), {"p99": "500ms"})) == [FAIL]
    with _serving(_stalling(20, 1.0)) as seen:
        closed = _traffic(seen).closed_loop(1, 1.5)
    assert closed.percentile(100) > 0.9
    assert sum(latency > 0.3 for latency in closed.latencies) < 20


def test_crossed_answers() -> None:
    """An answer that belongs to the request on another connection is noticed, and alone there is nothing to cross."""
    with _serving(_crossing()) as seen:
        step = _traffic(seen).closed_loop(2, 0.3)
        alone = _traffic(seen).closed_loop(1, 0.3)
    assert _is_whole(step)
    assert sum(step.crossed.values()) > 0
    assert all(" got the answer of request " in what for what in step.crossed)
    assert step.errors == {}
    assert alone.crossed == {}


def test_dropped_connections() -> None:
    """Each request on a connection that the server closes is one error; the others are answered."""
    with _serving(_dropping) as seen:
        stream = _traffic(seen).open_loop(200, 0.5)
        step = _traffic(seen).closed_loop(4, 0.3)
        assert seen.all_closed()
    assert _is_whole(stream)
    assert _is_whole(step)
    assert stream.errors == {"closed without an answer": 10}
    assert list(step.errors) == ["closed without an answer"]
    assert sum(step.errors.values()) * 9 <= step.answered + 18


def test_no_answer_ever() -> None:
    """A server that never answers costs the time-out, not more."""
    start = time.monotonic()
    with _serving(_silent) as seen:
        stream = _traffic(seen, timeout=0.3).open_loop(50, 0.2)
        step = _traffic(seen, timeout=0.3).closed_loop(2, 0.2)
        assert seen.all_closed()
    assert (stream.sent, stream.answered, stream.errors) == (10, 0, {"no answer within 0.3 s": 10})
    assert (step.sent, step.answered, step.errors) == (2, 0, {"no answer within 0.3 s": 2})
    assert time.monotonic() - start < 10


def test_more_than_the_connections_bear() -> None:
    """Requests beyond the limit of connections wait, and their waiting counts; out of time they fail."""

    async def slow(asked: Asked) -> bytes:
        await asyncio.sleep(0.05)
        return await _good(asked)

    with _serving(slow) as seen:
        stream = _traffic(seen).open_loop(100, 0.2, connections=2)
        assert seen.most <= 2
    assert (stream.sent, stream.answered) == (20, 20)
    assert stream.percentile(100) > 0.2
    with _serving(_silent) as seen:
        stream = _traffic(seen, timeout=0.3).open_loop(100, 0.1, connections=2)
    assert sum(stream.errors.values()) == 10
    assert {reason.partition(":")[0] for reason in stream.errors} == {"no answer within 0.3 s"}


@pytest.mark.parametrize("status", [302, 404, 429, 500, 503])
def test_statuses(status: int) -> None:
    """Every status but 2xx is an error under its number; a redirect is not followed."""
    with _serving(_raw(_answer(b"{}", status))) as seen:
        step = _traffic(seen).closed_loop(2, 0.1)
        assert seen.connections == 2
    assert step.errors == {f"status {status}": step.sent}
    assert step.latencies == ()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (None, "closed without an answer"),
        (b"\x00\xff\xfe" * 100, "no HTTP answer"),
        (b"hello\r\n\r\n", "no HTTP answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n", "no HTTP answer"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "no HTTP answer"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\n{}", "closed in mid-answer"),
        (b"HTTP/1.0 200 OK\r\nContent-", "closed in mid-answer"),
        (_answer(b"{}") * 2, "more than one answer"),
        (_answer(b"{}") + b"surplus", "more than one answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n" + b"x" * 4000, "an answer of more than 1000 bytes"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 4000, "an answer of more than 1000 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "no answer within 0.3 s"),
        (_answer(b'{"y": -1}'), "other answer"),
        (_answer(b"no JSON"), "other answer"),
    ],
)
def test_broken_answers(answer: bytes | None, error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Garbage, half and surplus answers are errors with their reason, and none is lost."""
    monkeypatch.setattr(connections, "MAX_BODY", 1000)
    with _serving(_raw(answer)) as seen:
        step = _traffic(seen, timeout=0.3).open_loop(20, 0.2)
        assert seen.all_closed()
    assert _is_whole(step)
    assert step.sent == 4
    assert [reason for reason in step.errors if not reason.startswith(error)] == []


def test_a_surplus_answer_is_not_taken_for_the_next() -> None:
    """What comes when nobody asked closes the connection: the next request goes over a new one."""
    servers: list[Server] = []

    def disturb() -> None:
        for writer in servers[0].open:
            writer.write(_answer(b'{"y": 99}'))

    async def behave(asked: Asked) -> bytes:
        asyncio.get_running_loop().call_later(0.02, disturb)
        return await _good(asked)

    with _serving(behave) as seen:
        servers.append(seen)
        step = _traffic(seen).open_loop(10, 0.4)
        assert seen.connections == 4
    assert step.errors == {}


@pytest.mark.parametrize(
    "answer",
    [
        b'HTTP/1.0 200 OK\r\n\r\n{"y": 0}',
        b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"y": 0}',
        b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\n{"y": 0}',
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{"\r\n6\r\ny": 0}\r\n0\r\n\r\n',
        b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"y": 0}',
        b'HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{"y":1e-12, "more": 1}',
    ],
)
def test_unusual_answers(answer: bytes) -> None:
    """Answers without a length, in chunks, after a 100, or with a connection each are answers."""
    with _serving(_raw(answer)) as seen:
        step = _traffic(seen, asks=ASKS[:1]).closed_loop(2, 0.1)
        assert seen.all_closed()
    assert step.errors == {}
    assert step.answered == step.sent > 2


def test_nobody_listens() -> None:
    """A refused connection is an error of its request."""
    with _serving(_good) as seen:
        pass
    stream = _traffic(seen).open_loop(50, 0.1)
    assert (stream.sent, stream.answered, sum(stream.errors.values())) == (5, 0, 5)
    assert all(reason.startswith("cannot connect") for reason in stream.errors)
    assert _is_whole(_traffic(seen).closed_loop(2, 0.05))


def test_this_machine_is_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too few sockets here are no fault of the service."""
    with _serving(_good) as seen:
        pass
    monkeypatch.setattr(connections, "EXHAUSTED", (111,))  # as if the refusal were our own
    with pytest.raises(InfrastructureError, match="opens no more connections"):
        _traffic(seen).open_loop(50, 0.1)


def test_a_crash_of_the_comparison_ends_the_step() -> None:
    """What is raised inside the event loop is raised by the generator: it does not wait for ever."""

    def same(_expected: bytes, _received: bytes) -> bool:
        raise ZeroDivisionError

    with _serving(_raw(_answer(b"{}"))) as seen, pytest.raises(ZeroDivisionError):
        _traffic(seen, same=same).closed_loop(2, 0.1)


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("handler", [signal.default_int_handler, _interrupted])
def test_interrupt(handler: Callable[[int, FrameType | None], Any]) -> None:
    """Ctrl-C ends a step at once, and its connections, whoever handles the signal."""
    before = signal.signal(signal.SIGINT, handler)
    try:
        with _serving(_silent) as seen:
            timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
            timer.start()
            start = time.monotonic()
            with pytest.raises(KeyboardInterrupt):
                _traffic(seen, timeout=30.0).closed_loop(2, 0.1)
            assert time.monotonic() - start < 10
            assert seen.all_closed()
            timer.join()
    finally:
        signal.signal(signal.SIGINT, before)


def test_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A TLS service is asked too; one whose certificate nobody knows is not."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "1"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    made = ["openssl", "req", "-x509", *kind, *subject, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(made, check=True, capture_output=True, timeout=30)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    with _serving(_good, tls=context) as seen:
        stranger = _traffic(seen).open_loop(20, 0.1)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        step = _traffic(seen).closed_loop(2, 0.2)
    assert stranger.answered == 0
    assert all("certificate" in reason.lower() for reason in stranger.errors)
    assert (step.errors, step.answered) == ({}, step.sent)
    assert step.sent > 2


# --- the stage -----------------------------------------------------------------------------------------------------


def _contract(*rows: int, kind: str = "single", answer: Callable[[bytes], bytes] = _twice) -> Contract:
    exchanges = []
    for number, row in enumerate(rows):
        body = json.dumps({"x": row}).encode()
        exchanges.append(
            Exchange(f"{kind}:{number}", "POST", "/predict", body, 200, "application/json", answer(body), 0.01)
        )
    return Contract(tuple(exchanges), Interface("plain", "/health", "/predict"), None)


def _recording(tmp_path: Path, latency: dict[str, Any] | None = None, **load: Any) -> Recording:
    latency = {"rate": 100, "duration": "100ms"} | (latency or {})
    block = {"contract": {"latency": latency, "load": {"clients": [1, 2], "duration": "100ms"} | load}}
    spec = builders.spec(block, examples=())
    return Recording(spec=spec, folder=RunFolder(tmp_path), say=lambda _stage, _line: None)


def test_stage(tmp_path: Path) -> None:
    """The stream and every step are recorded, with the memory, and the record survives the disk."""
    run = _recording(tmp_path, sustains=3)
    memory = iter(range(1000, 100_000))
    with _serving(_good) as seen:
        load = stage.collect(run, seen.target, _contract(1, 2, 2), lambda: next(memory))
    assert load.stream is not None
    assert (load.stream.sent, load.stream.answered) == (10, 10)
    assert [step.clients for step in load.steps] == [1, 2, 3]
    assert load.distinct == 2
    samples = [sample for step in (load.stream, *load.steps) for sample in step.memory]
    assert len(samples) >= 2
    assert [used for _, used in samples] == list(range(1000, 1000 + len(samples)))
    assert [finding.status for finding in _judge(load, sustains=3)] == [PASS, PASS]
    run.folder.write("spec", run.spec)
    run.folder.write("load", load)
    assert run.folder.load().load == load


def test_stage_without_a_good_answer(tmp_path: Path) -> None:
    """Where no request was answered before, none is sent."""
    load = stage.collect(_recording(tmp_path), Target("127.0.0.1", 1), _contract())
    assert (load.stream, load.steps, load.distinct) == (None, (), 0)
    assert [finding.status for finding in _judge(load)] == [SKIP, SKIP]


def test_stage_ends_with_the_first_step_that_breaks(tmp_path: Path) -> None:
    """After a step that is too slow, or that has errors, there is no further one."""
    with _serving(_good) as seen:
        load = stage.collect(_recording(tmp_path, p95="1ms", clients=[8, 16]), seen.target, _contract(1, 2))
        assert len(load.steps) <= 2
        assert len(load.steps) == 1 or load.steps[0].percentile(95) <= 0.001
    with _serving(_dropping) as seen:
        load = stage.collect(_recording(tmp_path, duration="300ms"), seen.target, _contract(1, 2))
    assert len(load.steps) == 1


def test_stage_takes_examples_where_there_is_no_batch(tmp_path: Path) -> None:
    """A service that takes one row a request has no single rows on record: its examples are asked."""
    with _serving(_good) as seen:
        load = stage.collect(_recording(tmp_path), seen.target, _contract(1, 5, kind="example"))
    assert load.distinct == 2
    assert load.steps[-1].errors == {}


@pytest.mark.serial
def test_stage_spares_a_slow_model(tmp_path: Path) -> None:
    """Where nobody names a rate, the stream takes half of what one client gets."""

    async def slow(asked: Asked) -> bytes:
        await asyncio.sleep(0.1)
        return await _good(asked)

    with _serving(slow) as seen:
        run = _recording(tmp_path, {"rate": None, "duration": "1s"}, clients=[1])
        load = stage.collect(run, seen.target, _contract(1, 2))
    assert load.stream is not None
    assert load.stream.rate is not None
    assert load.stream.rate <= 5
    assert load.stream.answered == load.stream.sent


def test_stage_expects_only_what_is_steady(tmp_path: Path) -> None:
    """The time of day and the number of the request are no part of the expected answer."""
    count = iter(range(1_000_000))

    def stamped(body: bytes) -> bytes:
        return json.dumps({**json.loads(_twice(body)), "id": next(count), "trace": {"at": [next(count)]}}).encode()

    async def behave(asked: Asked) -> bytes:
        return _answer(stamped(asked.body))

    with _serving(behave) as seen:
        load = stage.collect(_recording(tmp_path), seen.target, _contract(1, 2, 3, answer=stamped))
    assert load.distinct == 3
    assert [step.errors for step in load.steps] == [{}, {}]
    assert [finding.status for finding in _judge(load)] == [PASS, PASS]


def test_what_changes() -> None:
    """Places that change are found in any depth, a list of plain values as a whole, and left out."""
    first = {"p": [{"y": 1, "t": 5}, {"y": 2, "t": 5}], "ms": [1, 2], "old": 1, "n": 1.0}
    second = {"p": [{"y": 1, "t": 5}, {"y": 2, "t": 6}], "ms": [1, 3], "n": 1.0 + 1e-9}
    changes = set(stage.changing(first, second))
    assert changes == {("p", "*", "t"), ("ms",), ("old",)}
    assert stage.without(first, changes) == {"p": [{"y": 1}, {"y": 2}], "n": 1.0}
    assert set(stage.changing([1], [2])) == {()}


def test_what_is_promised() -> None:
    """Only the keys of an example's response are expected, in each row."""
    answer = {"predictions": [{"y": 1, "ms": 3}, {"y": 2, "ms": 4}], "ms": 7}
    assert stage.promised(answer, {"predictions": [{"y": 9}]}) == {"predictions": [{"y": 1}, {"y": 2}]}
    assert stage.promised(answer, None) == answer


def test_a_lost_engine_ends_the_stage(tmp_path: Path) -> None:
    """An engine that is lost while the memory is looked at is no fault of the service."""
    calls = iter(range(100))

    def memory() -> int | None:
        if next(calls) > 0:
            raise EngineUnavailableError("gone")
        return None

    with _serving(_good) as seen, pytest.raises(EngineUnavailableError):
        stage.collect(_recording(tmp_path, {"duration": "600ms"}), seen.target, _contract(1), memory)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"memory_stats": {"usage": 1000, "stats": {"inactive_file": 200}}}, 800),
        ({"memory_stats": {"usage": 1000, "stats": {"total_inactive_file": 300, "inactive_file": 200}}}, 700),
        ({"memory_stats": {"usage": 1000, "stats": {"inactive_file": 2000}}}, 1000),
        ({"memory_stats": {"usage": 1000, "stats": None}}, 1000),
        ({"memory_stats": {"usage": 1000}}, 1000),
        ({"memory_stats": {}}, None),
        ({"memory_stats": None}, None),
        ({}, None),
    ],
)
def test_memory(answer: dict[str, Any], expected: int | None) -> None:
    """The inactive file cache is left out, by its name on cgroup v1 or v2; what is not said is None."""
    assert stats.used(answer) == expected


# --- the checks ----------------------------------------------------------------------------------------------------


def _step(clients: int | None = 4, *, latency: float = 0.01, sent: int = 100, **changes: Any) -> Step:
    errors = sum(changes.get("errors", {}).values())
    whole = Step(None if clients else 50.0, clients, 1.0, sent, sent - errors, (latency,) * (sent - errors))
    return replace(whole, **changes)


def _load(*steps: Step, stream: Step | None = None, distinct: int = 3) -> Load:
    return Load(stream or _step(None), steps or (_step(1), _step(4)), distinct)


def _judge(load: Load, latency: dict[str, Any] | None = None, **block: Any) -> list[Finding]:
    evidence = Evidence(spec=builders.spec({"contract": {"latency": latency or {}, "load": block}}), load=load)
    return [f for name in ("contract.latency", "contract.load") for f in judge_one(evidence, CHECKS[name])]


def _statuses(name: str, findings: list[Finding]) -> list[Status]:
    return [finding.status for finding in findings if finding.check == name]


CROSSED = {"request 1 got the answer of request 2": 3}
BUDGETS: list[tuple[Step, dict[str, Any], Status]] = [
    (_step(None), {}, PASS),
    (_step(None), {"p50": "10ms", "p95": "10ms", "p99": "10ms"}, PASS),
    (_step(None, latency=0.3), {}, PASS),
    (_step(None, latency=0.3), {"p50": "200ms"}, FAIL),
    (_step(None, latency=0.3), {"p95": "200ms"}, FAIL),
    (_step(None, latencies=(0.01,) * 98 + (0.3,) * 2), {"p95": "200ms"}, PASS),
    (_step(None, latencies=(0.01,) * 98 + (0.3,) * 2), {"p99": "200ms"}, FAIL),
    (_step(None, errors={"status 429": 100}), {"p99": "200ms"}, FAIL),
    (_step(None, errors={"status 500": 1}), {}, FAIL),
    (_step(None, errors={"status 503": 1}), {}, FAIL),
    (_step(None, errors={"closed without an answer": 1}), {}, FAIL),
    (_step(None, errors={"no answer within 30 s": 1}), {}, FAIL),
    (_step(None, errors={"status 429": 1}), {}, WARN),
    (_step(None, errors={"other answer": 1}), {}, PASS),  # contract.load says so
    (_step(None, answered=99), {}, FAIL),  # one was never heard of again
]


def what(block: dict[str, Any], *steps: Step | None) -> str:
    """Say what a load promises and what became of it."""
    parts = [
        f"{count} times {name}" for step in steps if step for name, count in {**step.errors, **step.crossed}.items()
    ]
    parts += [
        f"{step.sent - step.answered} of {step.sent} never heard of" for step in steps if step and not step.errors
    ]
    return "; ".join([*parts, *(f"promised: {key} {value}" for key, value in block.items())])


@pytest.mark.parametrize(
    ("stream", "budget", "status"),
    [pytest.param(*b, marks=shows("contract.latency", b[2], what(b[1], b[0]))) for b in BUDGETS],
)
def test_latency_check(stream: Step, budget: dict[str, Any], status: Status) -> None:
    """What is not answered fails, and what is slower than declared."""
    assert _statuses("contract.latency", _judge(_load(stream=stream), budget))[0] == status


LOADS: list[tuple[Load, dict[str, Any], Status]] = [
    (_load(), {}, PASS),
    (_load(distinct=1), {}, PASS),
    (_load(_step(4, latency=2.0)), {}, PASS),  # nobody promised more
    (_load(_step(4, latency=2.0)), {"sustains": 4}, FAIL),
    (_load(_step(2), _step(4, latency=2.0)), {"sustains": 2}, PASS),
    (_load(_step(4)), {"sustains": 4}, PASS),
    (_load(_step(2), _step(4, errors={"status 503": 5})), {"sustains": 4}, FAIL),
    (_load(_step(2), _step(4, errors={"status 503": 5})), {"sustains": 2}, WARN),
    (_load(_step(4, errors={"status 429": 5})), {}, WARN),
    (_load(_step(4, errors={"status 500": 1})), {}, FAIL),
    (_load(_step(4, errors={"closed without an answer": 1})), {}, FAIL),
    (_load(_step(4, errors={"other answer": 1}, samples=("request 0: expected 1, received 2",))), {}, FAIL),
    (_load(_step(4, crossed=CROSSED)), {}, FAIL),
    (_load(stream=_step(None, crossed=CROSSED)), {}, FAIL),
    (_load(_step(4, answered=99)), {}, FAIL),
]


@pytest.mark.parametrize(
    ("load", "block", "status"),
    [pytest.param(*x, marks=shows("contract.load", x[2], what(x[1], *x[0].steps, x[0].stream))) for x in LOADS],
)
def test_load_check(load: Load, block: dict[str, Any], status: Status) -> None:
    """Crossed, other and lost answers fail, and less than what is promised; a service may refuse the rest."""
    assert _statuses("contract.load", _judge(load, **block))[0] == status


def test_figures() -> None:
    """A pass tells the figures, where the service breaks, its memory, and what could not be seen."""
    steps = (_step(1, memory=((0.0, 50 * 2**20), (0.2, 60 * 2**20))), _step(8, latency=2.0))
    latency, load = _judge(_load(*steps, stream=_step(None, late=0.01), distinct=1))
    assert "p50 10 ms, p95 10 ms, p99 10 ms, max 10 ms of 100 answers, 50 requests a second" in latency.received
    assert "the harness itself sent up to 10 ms late" in latency.received
    assert load.received.split("; ") == [
        "1 client: 100 answers a second, p95 10 ms",
        "8 clients: 100 answers a second, p95 2 s",
        "p95 beyond 1 s from 8 clients on",
        "memory 50.0 MiB before, peak 60.0, 60.0 after",
        "crossed answers could not be seen: all requests have one answer",
    ]


def served(what: str, *, latency: str | None = "fail", load: str = "fail") -> list[pytest.MarkDecorator]:
    """Mark a server as the proof of one check or of both, which it then fails together."""
    both = {"contract.load": load} | ({"contract.latency": latency} if latency else {})
    return [
        defect(name, what, proof="server", status=status, also=sorted(both.keys() - {name}))
        for name, status in both.items()
    ]


@pytest.mark.serial
@pytest.mark.parametrize(
    ("behave", "latency", "load"),
    [
        (_good, PASS, PASS),
        pytest.param(_crossing(), PASS, FAIL, marks=served("gives answers to others' requests", latency=None)),
        pytest.param(_dropping, FAIL, FAIL, marks=served("closes connections without an answer")),
        pytest.param(_raw(_answer(b"{}", 500)), FAIL, FAIL, marks=served("answers 500")),
        pytest.param(_raw(_answer(b"{}", 429)), WARN, WARN, marks=served("answers 429", latency="warn", load="warn")),
    ],
)
def test_servers(behave: Behaviour, latency: Status, load: Status, tmp_path: Path) -> None:
    """From the server to the verdict."""
    with _serving(behave) as seen:
        run = _recording(tmp_path, {"rate": 20, "duration": "600ms"}, duration="300ms", clients=[2])
        found = _judge(stage.collect(run, seen.target, _contract(1, 2, 3)))
    assert _statuses("contract.latency", found)[0] == latency
    assert _statuses("contract.load", found)[0] == load
