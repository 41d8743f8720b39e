"""The SDK's client: where engines are, which API is spoken, and what its errors mean."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Event

import docker
import docker.constants
import docker.context
import docker.errors
import docker.types
import requests
import requests.exceptions
import urllib3.exceptions

from harness.diagnosis import advice_for
from harness.errors import DiskFullError, EngineUnavailableError, InfrastructureError, RunOverError, is_disk_full

# Engine 29 refuses an API below 1.44, and the SDK would adopt the newest one, whose answers differ. Where the
# engine's range has 1.44 it is used; older engines (20.10 has 1.41, Podman 4 too) speak their own newest.
API = "1.44"
AGAIN_HINT = "Run again: its containers ended with it, and what they would have done is not known."
CHUNK = 1024 * 1024
ALIVE_WITHIN = 20.0  # seconds for an engine to take a connection and answer: one that is busy needs a few
GONE_HINT = "Start the engine (`harness setup` does it as root on Debian or Ubuntu), then run again."


def sockets() -> list[str]:
    """Return the URLs of the engine sockets that exist on this machine, default first."""
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    paths = (
        Path("/var/run/docker.sock"),
        runtime / "docker.sock",
        Path.home() / ".docker/run/docker.sock",
        runtime / "podman/podman.sock",
        Path("/run/podman/podman.sock"),
    )
    return [f"unix://{path}" for path in paths if path.is_socket()]


def configured_url() -> str:
    """Return where DOCKER_HOST, or else the current context, says that the engine is."""
    return os.environ.get("DOCKER_HOST") or docker.context.ContextAPI.get_current_context().Host


def open_client(url: str | None, timeout: float = docker.constants.DEFAULT_TIMEOUT_SECONDS) -> docker.DockerClient:
    """Return a client that was answered, None meaning the configured engine; raises what the SDK raises."""

    def make(version: str) -> docker.DockerClient:
        if url is None:
            return docker.from_env(version=version, timeout=timeout)
        return docker.DockerClient(base_url=url, version=version, timeout=timeout)

    client = make("auto")
    client.ping()
    if _number(client.api._version) > _number(API):  # noqa: SLF001
        client.close()
        client = make(API)
        client.ping()
    return client


def reach(url: str | None) -> None:
    """Raise EngineUnavailableError unless the engine takes a new connection; None: the configured one.

    An engine that goes down takes none from the beginning, while it ends its containers and answers old connections:
    so what was seen of them before this call is no work of its end.
    """
    with mapped_errors():
        open_client(url, ALIVE_WITHIN).close()


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def raise_if_disk_full(exc: Exception) -> None:
    """Raise DiskFullError where an error of the engine tells of a full disk."""
    if is_disk_full(str(exc)):
        raise DiskFullError(
            f"the engine's disk is full: {exc}", hint="Free space where the engine stores its data, then run again."
        ) from exc


def body_of(response: requests.Response, over: Event) -> Generator[bytes, None, None]:
    """Yield the body of an answer in pieces, errors mapped; closing the generator ends the transfer.

    Raises RunOverError when `over` is set: a container that is read from cannot be removed.
    """
    with closing(response), mapped_errors():
        for piece in response.iter_content(CHUNK):
            if over.is_set():
                raise RunOverError("the run has ended")
            yield piece


@contextmanager
def mapped_errors() -> Iterator[None]:
    """Map what the SDK raises to the harness's errors."""
    try:
        yield
    except docker.errors.APIError as exc:
        raise_if_disk_full(exc)
        message = f"the engine refused a call: {exc.explanation or exc}"
        hint = advice_for(InfrastructureError, message) or "`harness doctor` checks the engine."
        raise InfrastructureError(message, hint=hint) from exc
    except (
        docker.errors.DockerException,
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
    ) as exc:
        raise EngineUnavailableError(f"the engine stopped answering: {exc}", hint=GONE_HINT) from exc


def close_stream(stream: docker.types.CancellableStream) -> None:
    """Close the stream of `attach` for good: its own `close` leaves the socket to the garbage collector."""
    with suppress(OSError):
        stream.close()
        stream._response.close()  # noqa: SLF001


def kill(api: docker.APIClient, container: str, signal: str = "SIGKILL") -> None:
    """End a container at once, or send it another signal; one that has ended is left as it is."""
    with mapped_errors():
        try:
            api.kill(container, signal)
        except docker.errors.APIError as exc:
            if exc.status_code in (404, 409):
                return
            state = api.inspect_container(container).get("State", {})  # Podman says with status 500 that it has ended
            if state.get("Running"):
                raise
