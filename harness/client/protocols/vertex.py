"""A container that serves on Google Cloud's Vertex AI.

Source: "Custom container requirements for inference" in the documentation of Vertex AI. The platform tells the
container by its environment where to listen; what it tells there, the harness tells too. Nothing on the wire gives such
a server away, so this dialect is named and never recognised.
"""

from __future__ import annotations

from typing import Any

from harness.client.protocols.kserve import answers
from harness.client.protocols.protocol import Dialect, Expected, Probe
from harness.client.protocols.rows import Batch, batch_at
from harness.evidence.records import Exchange

HEALTHY_WITHIN = 10.0  # seconds
_SOURCE = "Vertex AI, Custom container requirements for inference"
_PREDICTIONS = {"type": "object", "properties": {"predictions": {"type": "array"}}, "required": ["predictions"]}

ENVIRONMENT = {
    "AIP_HTTP_PORT": "{port}",
    "AIP_HEALTH_ROUTE": "/health",
    "AIP_PREDICT_ROUTE": "/predict",
    "AIP_STORAGE_URI": "{artifact}",  # a bucket's URI on the platform; empty for a model without artifacts
    "AIP_MODE": "PREDICTION",
}


def batch(request: Any) -> Batch | None:
    """Return the rows of a request: its `instances`."""
    return batch_at(request, ("instances",))


def _is_healthy(exchange: Exchange) -> bool:
    """Whether the health check is passed: by status 200 alone, whatever the body says."""
    return exchange.status == 200  # noqa: PLR2004 - OK


VERTEX = Dialect(
    "vertex",
    ready=ENVIRONMENT["AIP_HEALTH_ROUTE"],
    predict=ENVIRONMENT["AIP_PREDICT_ROUTE"],
    is_ready=_is_healthy,
    batch=batch,
    answers=answers,
    probes=(
        Probe("health", "GET", "{ready}", Expected((200,), within=HEALTHY_WITHIN), f"{_SOURCE}, Health checks"),
        Probe("predict", "POST", "{predict}", Expected((200,), _PREDICTIONS), f"{_SOURCE}, Response", example=True),
    ),
    ready_within=HEALTHY_WITHIN,
    environment=ENVIRONMENT,
    port_variable="AIP_HTTP_PORT",
    ready_variable="AIP_HEALTH_ROUTE",
    predict_variable="AIP_PREDICT_ROUTE",
)
