"""Checks of the service."""

from __future__ import annotations

from collections.abc import Iterator

from harness.checks import check, failed, passed
from harness.records import Finding, Serving

LOG_LINES = 12


@check("serve.ready", rubric="Infra 6")
def ready(serve: Serving) -> Iterator[Finding]:
    """The service says that it is ready, and then answers a prediction, within its time."""
    if serve.ready:
        yield passed(f"after {serve.seconds:.1f} s ({serve.last_answer})")
        return
    yield failed(
        expected=f"2xx from {serve.ready_path} on port {serve.port} and an answered prediction within "
        f"{serve.timeout:g} s",
        received="\n".join([_received(serve), *serve.log_tail[-LOG_LINES:]]),
        advice=_advice(serve),
    )


def _received(serve: Serving) -> str:
    if serve.died is not None:
        return f"the container died after {serve.seconds:.1f} s: {serve.died.describe()}"
    return f"after {serve.seconds:.1f} s the last answer was {serve.last_answer}"


def _advice(serve: Serving) -> str:
    if serve.died is not None:
        return "Read the log lines above; the whole log is serve/log.txt of the run."
    ports = {socket.rpartition(":")[2] for socket in serve.listening}
    if str(serve.port) in ports:
        if all(s.startswith(("127.", "[::1]")) for s in serve.listening if s.endswith(f":{serve.port}")):
            return f"It listens on 127.0.0.1 only: bind 0.0.0.0:{serve.port} inside the container."
        return "It listens on the right port: look at what the ready path waits for, or raise `serve.timeout`."
    if serve.listening:
        return f"It listens on {', '.join(serve.listening)}: correct `serve.port` or the server's own setting."
    return f"Nothing listens inside the container: start the server on 0.0.0.0:{serve.port}."
