"""Starts the service, waits until it is honestly ready, and looks at the artifact as its container sees it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address

from harness import http
from harness.archive import read_files
from harness.engine import Running
from harness.records import Exchange, Exit, Images, Serving
from harness.stages import Run

LOG = "serve/log.txt"
INTERVAL = 0.05  # seconds between two questions; the death of the container ends the waiting at once
PROBE_TIMEOUT = 2.0
NOT_YET = (502, 503, 504)
NAME_SERVER = "127.0.0.11"
LISTEN = "0A"  # the state of a listening socket in /proc/net/tcp

Address = tuple[str, int]


@contextmanager
def serving(run: Run, images: Images, data_volume: str | None) -> Iterator[tuple[Serving, Address | None]]:
    """Serve the model inside a `with`; yields the record and the address, None where it never became ready."""
    spec = run.spec
    image = images.of(spec.serve_key)
    container = run.create(spec.serve_key, {spec.serve_key: image.id}, data_volume)
    path = spec.serve_artifact or f"{image.working_dir.rstrip('/')}/{str(spec.block.serve.bake).strip('/')}"
    with run.engine.started(container, lambda line: run.log("serve", LOG, line)) as server:
        ready = _wait(run, server)
        run.folder.write_json("serve/inspect.json", run.engine.inspect(container))
        yield (
            Serving(
                image=image.id,
                handover=spec.handover,
                artifact_path=path,
                files=read_files(run.engine, container, path),
                ready=ready.address is not None,
                seconds=ready.seconds,
                last_answer=ready.last,
                died=ready.died,
                log_tail=tuple(server.tail),
                listening=() if ready.address or ready.died else _listening(run, container),
                port=spec.port,
                ready_path=spec.block.serve.ready,
                timeout=spec.block.serve.timeout,
            ),
            ready.address,
        )


@dataclass(frozen=True)
class _Ready:
    address: Address | None
    seconds: float
    last: str
    died: Exit | None = None


def _wait(run: Run, server: Running) -> _Ready:
    """Ask until the service is ready, has died, or its time is over."""
    start = time.monotonic()
    deadline = start + run.spec.block.serve.timeout
    last = "nothing: it could not be asked"
    while True:
        for address in _candidates(run, server.container):
            ready, last = _ask(run, address, deadline - time.monotonic())
            if ready:
                return _Ready(address, time.monotonic() - start, last)
        if server.wait(INTERVAL):
            return _Ready(None, time.monotonic() - start, last, server.exit())
        if time.monotonic() > deadline:
            return _Ready(None, time.monotonic() - start, last)


def _ask(run: Run, address: Address, left: float) -> tuple[bool, str]:
    """Ask the ready path and then for a real prediction: only both together are readiness.

    The first prediction may be slow and has all the time that is `left`, in seconds. One that fails with another
    status than "not yet" is answered, and judged by the contract.
    """
    block = run.spec.block
    answer = http.send(address, block.serve.ready, case="ready", timeout=PROBE_TIMEOUT)
    if answer.status is None or not 200 <= answer.status < 300:  # noqa: PLR2004 - 2xx
        return False, describe(answer)
    if not run.spec.examples:
        return True, describe(answer)
    body = json.dumps(run.spec.examples[0].request).encode()
    patience = max(left, PROBE_TIMEOUT)
    first = http.send(address, block.contract.predict, case="ready", method="POST", body=body, timeout=patience)
    return first.status is not None and first.status not in NOT_YET, f"{describe(answer)}; {describe(first)}"


def describe(exchange: Exchange) -> str:
    """Say in one line what was asked and what came back."""
    answer = exchange.error if exchange.status is None else f"{exchange.status}"
    return f"{exchange.method} {exchange.path}: {answer}"


def _candidates(run: Run, container: str) -> list[Address]:
    """Return where the service may be reached: its published port, then the container's own addresses."""
    network = run.engine.inspect(container).get("NetworkSettings", {})
    published = (network.get("Ports") or {}).get(f"{run.spec.port}/tcp") or ()
    found: list[Address] = [(run.engine.host, int(binding["HostPort"])) for binding in published]
    for name, entry in (network.get("Networks") or {}).items():
        if name == "host":
            found.append((run.engine.host, run.spec.port))
        elif entry.get("IPAddress"):
            found.append((entry["IPAddress"], run.spec.port))
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
