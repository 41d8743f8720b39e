"""What the harness needs of a container engine, and nothing else.

Every method raises errors of `harness.errors`; what the engine answers comes back as plain values.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import IO, Any, Self

import docker
import docker.errors
import docker.types
import requests.exceptions

from harness.engine import images, stats
from harness.engine.execution import End, Executed, execute
from harness.engine.frames import logged
from harness.engine.pulse import Pulse
from harness.engine.reach import Reach
from harness.engine.running import Nowhere, Running, Sink
from harness.engine.sdk import (
    AGAIN_HINT,
    GONE_HINT,
    body_of,
    configured_url,
    mapped_errors,
    open_client,
    reach,
    sockets,
)
from harness.errors import EngineUnavailableError, InfrastructureError

NOT_A_FOLDER = "not a directory"  # said with status 500 of a path below a file: nothing is there


@dataclass(frozen=True)
class Leftover:
    """A container, network or volume that carries the harness's labels."""

    kind: str
    id: str
    name: str
    labels: Mapping[str, str]


class Engine:
    """A connection to a container engine; made by `connect`, closed by `with`."""

    def __init__(self, client: docker.DockerClient, url: str, *, configured: bool) -> None:
        self._client = client
        self._api = client.api
        self._configured = configured  # by DOCKER_HOST or the context: Compose finds it by itself
        self.url = url
        self.over = Event()  # set when a run ends: what threads still read of its containers breaks off
        self._pulse = Pulse(self._api)

    @classmethod
    def connect(cls) -> Engine:
        """Connect to the first engine that answers a call.

        The order: DOCKER_HOST (then no other is tried), the current context, the default, rootless and Podman
        sockets. Raises EngineUnavailableError with what each of them said.
        """
        refused: list[str] = []
        for url in (None, *sockets()):
            try:
                return cls(open_client(url), url or configured_url(), configured=url is None)
            except (docker.errors.DockerException, requests.exceptions.RequestException, ValueError) as exc:
                refused.append(f"{url or configured_url()}: {exc}")
            if os.environ.get("DOCKER_HOST"):
                break
        raise EngineUnavailableError("no container engine answers; tried\n  " + "\n  ".join(refused), hint=GONE_HINT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._pulse.close()
        self._client.close()

    def watch(self) -> None:
        """Notice from now on when the engine is started anew; `ping` says so."""
        self._pulse.start()

    @property
    def compose_host(self) -> str | None:
        """DOCKER_HOST for Compose: None where Compose finds the same engine by itself."""
        return None if self._configured else self.url

    @cached_property
    def reach(self) -> Reach:
        """How this process gets to the ports of containers."""
        return Reach.of(self._api, self.url)

    def info(self) -> dict[str, Any]:
        """Return the engine's `info`, with its version, `ApiVersion` in use and `MinAPIVersion` added."""
        with mapped_errors():
            version = self._api.version()
            return {
                **self._api.info(),
                "ApiVersion": self._api._version,  # noqa: SLF001 - the SDK has no public name for it
                "MinAPIVersion": version.get("MinAPIVersion", "?"),
                "MaxAPIVersion": version.get("ApiVersion", "?"),
                "Version": version.get("Version", "?"),
                "Arch": version.get("Arch", "?"),  # as images name it: amd64, not x86_64
            }

    def ping(self) -> None:
        """Raise EngineUnavailableError unless the engine takes a new connection and is the one that it was."""
        reach(self.compose_host)
        if self._pulse.is_lost:
            raise EngineUnavailableError("the engine was lost, and another one answers in its place", hint=AGAIN_HINT)

    def image(self, reference: str) -> dict[str, Any] | None:
        """Return the inspect answer of an image, None where the engine does not have it."""
        with mapped_errors():
            try:
                answer: dict[str, Any] = self._api.inspect_image(reference)
            except docker.errors.NotFound:
                return None
            return answer

    def pull(self, reference: str, on_line: Callable[[str], None]) -> None:
        """Pull an image. Raises ImageUnavailableError with the engine's message."""
        images.pull(self._api, reference, on_line)

    def import_image(self, tar: Path, repository: str, tag: str, changes: list[str]) -> str:
        """Import a root file system as an image and return its ID."""
        with mapped_errors(), tar.open("rb") as stream:
            self._api.import_image_from_data(stream, repository=repository, tag=tag, changes=changes)
            return str(self._api.inspect_image(f"{repository}:{tag}")["Id"])

    def save(self, reference: str, target: IO[bytes]) -> None:
        """Write an image with its layers, as the archive that `load` and `docker load` take."""
        images.save(self._api, reference, target)

    def load(self, source: IO[bytes]) -> list[str]:
        """Take images from an archive of `save`; return their references or IDs.

        Raises InfrastructureError with what the engine says of a bad one.
        """
        return images.load(self._api, source)

    def name_image(self, image: str, name: str) -> None:
        """Give an image one more name."""
        with mapped_errors():
            self._api.tag(image, name)

    def image_names(self) -> list[str]:
        """Return the names of all images that have one, without their tags and the registry that is the default."""
        with mapped_errors():
            tags = [tag for image in self._api.images() for tag in image.get("RepoTags") or ()]
        return [re.sub(r"^(?:localhost|docker\.io(?:/library)?)/", "", tag.rpartition(":")[0]) for tag in tags]

    def remove_image(self, reference: str) -> None:
        """Remove a reference; the engine keeps layers that others use, and an image that a container has."""
        with mapped_errors():
            try:
                self._api.remove_image(reference)
            except docker.errors.NotFound:
                return
            except docker.errors.APIError as exc:
                if exc.status_code != 409:  # noqa: PLR2004 - in use
                    raise

    def container(self, project: str, service: str) -> str:
        """Return the ID of the container that Compose created for a service."""
        labels = [f"com.docker.compose.project={project}", f"com.docker.compose.service={service}"]
        with mapped_errors():
            found = self._api.containers(all=True, filters={"label": labels})
        if not found:
            raise InfrastructureError(f"Compose created no container for {service}", hint="Run again with --verbose.")
        return str(found[0]["Id"])

    def inspect(self, container: str) -> dict[str, Any]:
        """Return the inspect answer of a container."""
        with mapped_errors():
            answer: dict[str, Any] = self._api.inspect_container(container)
            return answer

    def memory(self, container: str) -> int | None:
        """Return the bytes that a running container uses; None where nobody can say."""
        return stats.memory(self._api, container)

    def changed_paths(self, container: str) -> frozenset[str]:
        """Return the paths that a container added or changed over its image (volumes are not looked at)."""
        with mapped_errors():
            changes = self._api.diff(container) or []
        return frozenset(str(change["Path"]) for change in changes if change["Kind"] != 2)  # noqa: PLR2004 - 2: deleted

    def read(self, container: str, path: str) -> Generator[bytes, None, None] | None:
        """Return the tar stream of a path in a container, volumes included; None where there is nothing.

        Close it when it is not read to its end: until then the engine can neither remove nor change the container.
        """
        api = self._api
        with mapped_errors():  # the SDK's own `get_archive` gives nothing to close
            url = api._url("/containers/{0}/archive", container)  # noqa: SLF001
            response = api._get(url, params={"path": path}, stream=True)  # noqa: SLF001
            try:
                api._raise_for_status(response)  # noqa: SLF001
            except docker.errors.APIError as exc:
                response.close()
                if exc.status_code == 404 or NOT_A_FOLDER in str(exc.explanation):  # noqa: PLR2004 - Not Found
                    return None
                raise
        return body_of(response, self.over)

    def write(self, container: str, path: str, tar: IO[bytes]) -> None:
        """Unpack a tar stream at a path in a container."""
        with mapped_errors():
            self._api.put_archive(container, path, tar)

    def execute(self, container: str, argv: list[str], timeout: float = 30.0) -> Executed:
        """Run a command in a running container for at most `timeout` seconds."""
        return execute(self._api, container, argv, timeout)

    def helper(self, image: str, name: str, volume: str, path: str, labels: Mapping[str, str]) -> str | None:
        """Create a container that is never started, a volume at `path` (or `path:nocopy`); None: the name is taken."""
        with mapped_errors():
            try:
                made = self._api.create_container(
                    image,
                    command=["harness-helper"],
                    name=name,
                    labels=dict(labels),
                    host_config=self._api.create_host_config(binds=[f"{volume}:{path}"], network_mode="none"),
                )
            except docker.errors.APIError as exc:
                if exc.status_code == 409:  # noqa: PLR2004 - Conflict
                    return None
                raise
        return str(made["Id"])

    def create(
        self,
        image: str,
        argv: list[str],
        labels: Mapping[str, str],
        *,
        mount: tuple[Path, str] | None = None,
        port: int | None = None,
    ) -> str:
        """Create a container that runs a command, not started: no network unless a port is published.

        `mount` shows a folder of this machine read-only; the engine refuses one that its machine does not have.
        """
        binds = [docker.types.Mount(mount[1], str(mount[0]), type="bind", read_only=True)] if mount else []
        with mapped_errors():
            made = self._api.create_container(
                image,
                entrypoint=argv,  # the image's own would get the command as its arguments
                labels=dict(labels),
                ports=[port] if port else None,
                host_config=self._api.create_host_config(
                    mounts=binds,
                    network_mode=None if port else "none",
                    port_bindings={port: (self.reach.published_at,)} if port else None,
                ),
            )
        return str(made["Id"])

    def start(self, container: str) -> None:
        """Start a container whose output nobody watches; `started` is for those that somebody does."""
        with mapped_errors():
            self._api.start(container)

    def result(self, container: str, timeout: float) -> tuple[int, str]:
        """Wait until a started container has ended; return its exit code and the end of what it printed."""
        with mapped_errors():
            code = self._api.wait(container, timeout=timeout)["StatusCode"]
            return int(code), self._printed(container)

    def last_lines(self, container: str, count: int) -> tuple[str, ...]:
        """Return the last lines that a container printed, in bounded memory."""
        with mapped_errors():
            return tuple(self._printed(container, count).splitlines())

    def _printed(self, container: str, tail: int | str = "all") -> str:
        """Return the end of the engine's own log of a container, or the end of its last lines."""
        return End.of(data for came in logged(self._api, container, tail) for _, data in came).text

    def create_volume(self, name: str, labels: Mapping[str, str], options: Mapping[str, str] | None = None) -> None:
        """Create a volume, with options of the local driver; one that exists is kept as it is."""
        with mapped_errors():
            self._api.create_volume(name, driver_opts=dict(options or {}), labels=dict(labels))

    def has_volume(self, name: str) -> bool:
        """Whether a volume exists."""
        with mapped_errors():
            try:
                self._api.inspect_volume(name)
            except docker.errors.NotFound:
                return False
        return True

    def is_used(self, volume: str) -> bool:
        """Whether a container, running or not, mounts a volume."""
        with mapped_errors():
            return bool(self._api.containers(all=True, filters={"volume": volume}))

    def labelled(self, label: str) -> list[Leftover]:
        """Return all containers, networks and volumes with a label (`key` or `key=value`), in removal order."""
        filters = {"label": label}
        with mapped_errors():
            containers = self._api.containers(all=True, filters=filters)
            networks = self._api.networks(filters=filters)
            volumes = self._api.volumes(filters=filters).get("Volumes") or []
        return [
            *(Leftover("container", c["Id"], c["Names"][0].lstrip("/"), c.get("Labels") or {}) for c in containers),
            *(Leftover("network", n["Id"], n["Name"], n.get("Labels") or {}) for n in networks),
            *(Leftover("volume", v["Name"], v["Name"], v.get("Labels") or {}) for v in volumes),
        ]

    def remove(self, leftover: Leftover) -> bool:
        """Remove a thing at once, a running container too; False where it is still in use by somebody."""
        with mapped_errors():
            try:
                match leftover.kind:
                    case "container":
                        self._api.remove_container(leftover.id, force=True, v=True)
                    case "network":
                        self.reach.leave(leftover.id)
                        self._api.remove_network(leftover.id)
                    case _:
                        self._api.remove_volume(leftover.id, force=True)
            except docker.errors.NotFound:
                pass
            except docker.errors.APIError as exc:
                if exc.status_code in (403, 409):  # in use, or being removed by another harness
                    return False
                raise
        return True

    def started(self, container: str, sink: Sink | None = None, *, keep_output: bool = False) -> Running:
        """Return a context in which a created container runs; what it prints goes to `sink`."""
        return Running(self._api, container, sink or Nowhere(), self.compose_host, keep_output=keep_output)
