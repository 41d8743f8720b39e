"""Starts the service, waits until it is ready, and looks at the artifact as its container sees it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address

from harness.client.http import Target
from harness.client.protocols import PLAIN
from harness.engine import Running
from harness.engine.archive import read_files
from harness.errors import InfrastructureError
from harness.evidence.records import Images, Interface, Serving
from harness.runner.stages import Run, not_for_want_of_disk
from harness.runner.stages.readiness import PROBE_TIMEOUT, candidates, wait

LOG = "serve/log.txt"
NAME_SERVER = "127.0.0.11"
LISTEN = "0A"  # the state of a listening socket in /proc/net/tcp


@dataclass(frozen=True)
class Served:
    """The service while it runs: what was recorded of its start, where it answers, and its container."""

    record: Serving
    target: Target | None  # None: it never became ready
    running: Running

    @property
    def way(self) -> tuple[Target, Interface]:
        """Where it answers and what it speaks; one that never became ready has ended the run before anybody asks."""
        if self.target is None or self.record.interface is None:
            raise RuntimeError("nobody knows where the service answers, and the run goes on")
        return self.target, self.record.interface


@contextmanager
def serving(run: Run, images: Images, data_volume: str | None) -> Iterator[Served]:
    """Serve the model inside a `with`."""
    spec = run.spec
    image = images.of(spec.serve_key)
    container = run.create(spec.serve_key, images.ids(spec.serve_key), data_volume)
    path = spec.serve_artifact or f"{image.working_dir.rstrip('/')}/{str(spec.block.serve.bake).strip('/')}"
    with run.log("serve", LOG) as log, run.engine.started(container, log) as server:
        ready = wait(run, server, spec.block.serve.timeout)
        if ready.died is not None:
            not_for_want_of_disk(ready.died, "the service")
        run.folder.write_json("serve/inspect.json", run.engine.inspect(container))
        listening = () if ready.target or ready.died else _listening(run, container)
        if all(asked.code is None for asked in ready.asked) and f"0.0.0.0:{spec.port}" in _any_address(listening):
            _check_reach(run, container)
        record = Serving(
            image=image.id,
            handover=spec.handover,
            artifact_path=path,
            files=read_files(run.engine, container, path),
            ready=ready.target is not None,
            seconds=ready.seconds,
            last_answer=ready.last,
            died=ready.died,
            log_tail=server.tail,
            listening=listening,
            port=spec.port,
            ready_path=ready.interface.ready if ready.interface else spec.block.serve.ready or PLAIN.ready,
            timeout=spec.block.serve.timeout,
            interface=ready.interface,
            asked=ready.asked,
        )
        yield Served(record, ready.target, server)


def _any_address(listening: tuple[str, ...]) -> set[str]:
    """Return the sockets that listen on every address, as those of IPv4."""
    return {each.replace("[::]", "0.0.0.0") for each in listening}  # noqa: S104 - read, not bound


def _check_reach(run: Run, container: str) -> None:
    """Raise InfrastructureError where no way to a service that listens leads anywhere: that is not its fault."""
    tried = []
    for target in candidates(run, container):
        try:
            socket.create_connection((target.host, target.port), PROBE_TIMEOUT).close()
        except OSError as exc:
            tried.append(f"{target.host}:{target.port} ({exc})")
        else:
            return
    ways = ", ".join(tried) or "nothing, it has no address here"
    raise InfrastructureError(
        f"the service listens on port {run.spec.port} of its container, but this process, "
        f"{run.engine.reach.description}, cannot reach it; tried: {ways}",
        hint="Run the harness on the engine's machine, in a container of that engine, or let the ports that the engine "
        "publishes be reached from here (firewall, DOCKER_HOST).",
    )


def _listening(run: Run, container: str) -> tuple[str, ...]:
    """Return the TCP sockets that listen inside a container, from /proc/net/tcp (see proc(5)).

    The engine's own name server, which it puts into every container of a network, is left out.
    """
    table = run.engine.execute(container, ["cat", "/proc/net/tcp", "/proc/net/tcp6"]).output
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
