"""Starts the service, waits until it is honestly ready, and looks at the artifact as its container sees it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address

from harness import http
from harness.archive import read_files
from harness.dialects import DIALECTS, PLAIN, interface, recognise
from harness.engine import Running
from harness.errors import InfrastructureError
from harness.http import Target
from harness.records import Asked, Exchange, Exit, Images, Interface, Serving
from harness.spec import Spec
from harness.stages import Run

LOG = "serve/log.txt"
INTERVAL = 0.05  # seconds between two questions; the death of the container ends the waiting at once
PROBE_TIMEOUT = 2.0
NOT_YET = (502, 503, 504)
NAME_SERVER = "127.0.0.11"
LISTEN = "0A"  # the state of a listening socket in /proc/net/tcp


@contextmanager
def serving(run: Run, images: Images, data_volume: str | None) -> Iterator[tuple[Serving, Target | None]]:
    """Serve the model inside a `with`; yields the record and the target, None where it never became ready."""
    spec = run.spec
    image = images.of(spec.serve_key)
    container = run.create(spec.serve_key, {spec.serve_key: image.id}, data_volume)
    path = spec.serve_artifact or f"{image.working_dir.rstrip('/')}/{str(spec.block.serve.bake).strip('/')}"
    with run.engine.started(container, lambda line: run.log("serve", LOG, line)) as server:
        ready = wait(run, server, spec.block.serve.timeout)
        run.folder.write_json("serve/inspect.json", run.engine.inspect(container))
        yield (
            Serving(
                image=image.id,
                handover=spec.handover,
                artifact_path=path,
                files=read_files(run.engine, container, path),
                ready=ready.target is not None,
                seconds=ready.seconds,
                last_answer=ready.last,
                died=ready.died,
                log_tail=tuple(server.tail),
                listening=() if ready.target or ready.died else _listening(run, container),
                port=spec.port,
                ready_path=ready.interface.ready if ready.interface else spec.block.serve.ready or PLAIN.ready,
                timeout=spec.block.serve.timeout,
                interface=ready.interface,
                asked=ready.asked,
            ),
            ready.target,
        )


@dataclass(frozen=True)
class Ready:
    """How the waiting ended: `target` is None where the service never became ready."""

    target: Target | None
    interface: Interface | None
    seconds: float
    asked: tuple[Asked, ...]
    died: Exit | None = None

    @property
    def last(self) -> str:
        """What the service said last."""
        if not self.asked:
            return "nothing: it could not be asked"
        return "; ".join(filter(None, (self.asked[-1].answer, self.asked[-1].prediction)))


def wait(run: Run, server: Running, timeout: float) -> Ready:
    """Ask from the first moment until the service is ready, has died, or `timeout` seconds are over."""
    start = time.monotonic()
    asked: list[Asked] = []
    spoken: Interface | None = None
    while True:
        for target in candidates(run, server.container):
            spoken = spoken or speak(run.spec, target)
            said = _ask(run.spec, target, spoken, start, timeout)
            if not asked or replace(said, at=asked[-1].at) != asked[-1]:
                asked.append(said)
            if said.ready and said.honest:
                return Ready(target, spoken, time.monotonic() - start, tuple(asked))
        if server.wait(INTERVAL):
            return Ready(None, spoken, time.monotonic() - start, tuple(asked), server.exit())
        if time.monotonic() > start + timeout:
            return Ready(None, spoken, time.monotonic() - start, tuple(asked))


def await_ready(spec: Spec, target: Target) -> Interface:
    """Return how a service is spoken to that runs already, as soon as it is ready.

    Raises InfrastructureError when it is not within `serve.timeout`: it is not this project's to start.
    """
    start, timeout = time.monotonic(), spec.block.serve.timeout
    spoken: Interface | None = None
    while True:
        spoken = spoken or speak(spec, target)
        said = _ask(spec, target, spoken, start, timeout)
        if spoken is not None and said.ready and said.honest:
            return spoken
        if time.monotonic() > start + timeout:
            raise InfrastructureError(
                f"the service at {target.url} is not ready within {timeout:g} s; last answer: {said.answer}",
                hint="Start it, correct the URL, or name its `serve.ready` and `serve.dialect`.",
            )
        time.sleep(INTERVAL)  # a server elsewhere has no event to wait for


def speak(spec: Spec, target: Target) -> Interface | None:
    """Return the interface of a service: of the dialect that the project names, else of the one recognised.

    None where nothing is recognised as yet. A service that only says that it is ready speaks `plain`.
    """
    if spec.block.serve.dialect != "auto":
        return interface(spec, DIALECTS[spec.block.serve.dialect])

    asked: dict[str, Exchange] = {}

    def ask(path: str) -> Exchange:
        if path not in asked:
            asked[path] = http.send(target, path, case="recognise", timeout=PROBE_TIMEOUT)
        return asked[path]

    found = recognise(ask, spec.examples[0].request if spec.examples else None)
    plain = PLAIN.is_ready(ask(interface(spec, PLAIN).ready))
    if any(exchange.status is None for exchange in asked.values()):
        return None  # it began to answer in between: a dialect that was asked for before may be the right one
    if found is None:
        return interface(spec, PLAIN) if plain else None
    return interface(spec, found)


def _ask(spec: Spec, target: Target, spoken: Interface | None, start: float, timeout: float) -> Asked:
    """Ask the ready path and then for a real prediction: only both together are readiness.

    The first prediction may be slow and has all the time that is left of `timeout` seconds since `start`. One that
    fails with another status than "not yet" is answered, and judged by the contract.
    """
    chosen = spoken or interface(spec, PLAIN)
    at = time.monotonic() - start
    answer = http.send(target, chosen.ready, case="ready", timeout=PROBE_TIMEOUT)
    if spoken is None or not DIALECTS[spoken.dialect].is_ready(answer):
        return Asked(at, ready=False, answer=describe(answer))
    if not spec.examples:
        return Asked(at, ready=True, answer=describe(answer))
    body = json.dumps(spec.examples[0].request).encode()
    patience = max(start + timeout - time.monotonic(), PROBE_TIMEOUT)
    first = http.send(target, chosen.predict, case="ready", method="POST", body=body, timeout=patience)
    honest = first.status is not None and first.status not in NOT_YET
    return Asked(at, ready=True, answer=describe(answer), prediction=describe(first), honest=honest)


def describe(exchange: Exchange) -> str:
    """Say in one line what was asked and what came back."""
    answer = exchange.error if exchange.status is None else f"{exchange.status}"
    return f"{exchange.method} {exchange.path}: {answer}"


def candidates(run: Run, container: str) -> list[Target]:
    """Return where the service may be reached: its published port, then the container's own addresses."""
    network = run.engine.inspect(container).get("NetworkSettings", {})
    published = (network.get("Ports") or {}).get(f"{run.spec.port}/tcp") or ()
    found = [Target(run.engine.host, int(binding["HostPort"])) for binding in published]
    for name, entry in (network.get("Networks") or {}).items():
        if name == "host":
            found.append(Target(run.engine.host, run.spec.port))
        elif entry.get("IPAddress"):
            found.append(Target(entry["IPAddress"], run.spec.port))
    return found


def _listening(run: Run, container: str) -> tuple[str, ...]:
    """Return the TCP sockets that listen inside a container, from /proc/net/tcp (see proc(5)).

    The engine's own name server, which it puts into every container of a network, is left out.
    """
    table = run.engine.execute(container, ["cat", "/proc/net/tcp", "/proc/net/tcp6"])
    found = set()
    for line in table.splitlines():
        words = line.split()
        if len(words) > 3 and words[3] == LISTEN:  # noqa: PLR2004 - sl, local address, remote address, state
            address, _, port = words[1].partition(":")
            host = _host(address)
            if host != NAME_SERVER:
                found.add(f"{host}:{int(port, 16)}")
    return tuple(sorted(found))


def _host(words: str) -> str:
    """Return the address that /proc/net/tcp writes as hexadecimal words of 32 bits, each in the order of the host."""
    raw = b"".join(bytes.fromhex(words[i : i + 8])[::-1] for i in range(0, len(words), 8))
    address = ip_address(raw)
    return f"[{address}]" if address.version == 6 else str(address)  # noqa: PLR2004 - IPv6
