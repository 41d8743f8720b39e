"""How this process gets to the ports of containers: on the engine's machine, in a container beside them, or from away.

Nothing is guessed from files that say "container": machines that are none have them, and a container of one engine is
none of another. Asked is the engine, by the ID that this process finds in its own mounts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import docker
import docker.errors
import psutil

from harness.engine.sdk import mapped_errors
from harness.errors import InfrastructureError

LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what an engine elsewhere publishes on, for no other address of it is known
# In proc_pid_mountinfo(5): the engine mounts these three files from its folder of the container, which bears its ID.
OWN = re.compile(r"/([0-9a-f]{64})/(?:userdata/)?(?:hostname|hosts|resolv\.conf) /etc/(?:hostname|hosts|resolv\.conf) ")
NO_ADDRESS = ("host", "none")  # modes of a network that a container shares with none or with the engine's machine


@dataclass(frozen=True)
class Address:
    """Where a port of a container may answer."""

    way: str  # for people
    host: str
    port: int


@dataclass(frozen=True)
class Reach:
    """The way to containers; made by `of`."""

    api: docker.APIClient = field(repr=False)
    host: str  # where published ports appear
    away: bool = False  # the engine is on another machine: addresses of its containers mean nothing here
    contained: bool = False  # this process is in a container of that engine
    own: str = ""  # that container, where it has networks of its own: others can be joined

    @classmethod
    def of(cls, api: docker.APIClient, url: str) -> Self:
        """Find out. Raises EngineUnavailableError."""
        own = _own_container(api)
        parsed = urlsplit(url)
        elsewhere = parsed.hostname if parsed.scheme in ("tcp", "http", "https", "ssh") else None
        if own is not None:
            mode = own.get("HostConfig", {}).get("NetworkMode")
            return cls(api, LOOPBACK, contained=True, own="" if mode in NO_ADDRESS else str(own["Id"]))
        return cls(api, elsewhere or LOOPBACK, away=elsewhere is not None and not _is_loopback(elsewhere))

    @property
    def published_at(self) -> str:
        """The address of the engine's machine on which ports are published."""
        return EVERYWHERE if self.away else LOOPBACK

    @property
    def shares_files(self) -> bool:
        """Whether the engine sees the files of this process: a container has its own, whatever they are called."""
        return not self.away and not self.contained

    @property
    def description(self) -> str:
        """Where this process is, for people."""
        if self.own:
            return f"in the container {self.own[:12]} of this engine"
        return f"away from the engine, whose ports are at {self.host}" if self.away else "on the engine's machine"

    def addresses(self, container: str, port: int) -> list[Address]:
        """Return where a port of a running container may answer, best first.

        An address of a container counts only where its network is known to be here: elsewhere the same address may
        be a stranger's.
        """
        with mapped_errors():
            network = _inspect(self.api, container).get("NetworkSettings", {})
        found: list[Address] = []
        if not self.own:
            bindings = (network.get("Ports") or {}).get(f"{port}/tcp") or ()
            found += [Address("published ports at", self.host, int(binding["HostPort"])) for binding in bindings]
        for name, entry in (network.get("Networks") or {}).items():
            if name == "host":
                found += [Address("ports of the engine's machine at", host, port) for host in self._machine()]
            elif (address := entry.get("IPAddress")) and self._is_here(name, entry):
                found.append(Address("container addresses such as", address, port))
        return found

    def sees_internal(self, container: str) -> bool:
        """Whether networks without a way out are reached too, as those of a container are: Podman's are not."""
        with mapped_errors():
            found = _networks(self.api, container).values()
        return bool(self.own) or (not self.away and any(_has_bridge(entry) for entry in found))

    def join(self, container: str) -> None:
        """Connect this process's own container, if it is in one, to the networks of another.

        Containers of different networks do not reach each other, and what is published on loopback is the machine's.
        """
        if not self.own:
            return
        with mapped_errors():
            wanted = set(_networks(self.api, container)) - set(NO_ADDRESS)
            for name in wanted - set(_networks(self.api, self.own)):
                try:
                    self.api.connect_container_to_network(self.own, name)
                except docker.errors.APIError as exc:
                    if name in _networks(self.api, self.own):  # another thread was faster
                        continue
                    raise InfrastructureError(
                        f"this container cannot join the network {name}: {exc.explanation or exc}",
                        hint="Let the job's container use a bridge network, or the engine's own (`--network host`).",
                    ) from exc

    def leave(self, network: str) -> None:
        """Disconnect this process's own container from a network that is to be removed."""
        if self.own:
            with suppress(docker.errors.APIError):  # it never joined
                self.api.disconnect_container_from_network(self.own, network, force=True)

    def _machine(self) -> Iterator[str]:
        """Yield the addresses of the engine's machine."""
        if self.own:
            yield from (entry["Gateway"] for entry in _networks(self.api, self.own).values() if entry.get("Gateway"))
        else:
            yield self.host

    def _is_here(self, name: str, entry: Mapping[str, Any]) -> bool:
        """Whether a network is one of this process: joined by its container, or with its bridge on this machine."""
        if self.away:
            return False
        if self.own:
            return name in _networks(self.api, self.own)
        if _has_bridge(entry):
            return True
        known = {each.address for found in psutil.net_if_addrs().values() for each in found}
        return entry.get("Gateway") in known


def _own_container(api: docker.APIClient) -> dict[str, Any] | None:
    """Return what the engine says of the container that this process is in; None where it is in none of its own."""
    try:
        found = OWN.search(Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace"))
    except OSError:  # no Linux
        return None
    if found is None:
        return None
    with mapped_errors():
        try:
            answer: dict[str, Any] = api.inspect_container(found[1])
        except docker.errors.NotFound:  # of another engine
            return None
        return answer


def _inspect(api: docker.APIClient, container: str) -> dict[str, Any]:
    """Return the inspect answer of a container; of another one where that is whose network it is in."""
    answer: dict[str, Any] = api.inspect_container(container)
    kind, _, other = str((answer.get("HostConfig") or {}).get("NetworkMode") or "").partition(":")
    return _inspect(api, other) if kind == "container" and other else answer


def _networks(api: docker.APIClient, container: str) -> dict[str, Any]:
    found: dict[str, Any] = _inspect(api, container).get("NetworkSettings", {}).get("Networks") or {}
    return found


def _has_bridge(entry: Mapping[str, Any]) -> bool:
    """Whether a network's bridge is on this machine, by Docker's name for it; internal ones show no gateway."""
    return f"br-{str(entry.get('NetworkID'))[:12]}" in psutil.net_if_addrs()


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
