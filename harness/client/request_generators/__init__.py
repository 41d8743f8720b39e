"""The requests that a service is sent, made from its own good examples: pure functions, judged by `harness.checks`."""

from __future__ import annotations

from dataclasses import dataclass

from harness.client.http import JSON


@dataclass(frozen=True)
class Request:
    """One request to send. `path` is None for the predict path of the service."""

    case: str  # `<kind>:<what>`, the name under which the exchange is recorded
    body: bytes = b""
    method: str = "POST"
    path: str | None = None
    content_type: str = JSON
