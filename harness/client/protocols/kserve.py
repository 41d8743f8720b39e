"""Version 1 of KServe's protocol, after the REST API of TensorFlow Serving.

Source: "V1 Protocol" in KServe's documentation (concepts, architecture, data plane). It does not say how errors look;
the `error` that is demanded here is that of TensorFlow Serving's "RESTful API", which KServe follows.
"""

from __future__ import annotations

from typing import Any

from harness.client.protocols.protocol import Dialect, Expected, Probe, Sign, is_2xx, parsed
from harness.client.protocols.rows import Batch, batch_at
from harness.evidence.records import Exchange

NO_MODEL = "/v1/models/harness-no-such-model"

_ERROR = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
_MODELS = {
    "type": "object",
    "properties": {"models": {"type": "array", "items": {"type": "string"}, "minItems": 1}},
    "required": ["models"],
}
_READY = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "ready": {"const": True}},
    "required": ["name", "ready"],
}
# Before version 0.10 KServe said "True".
_READY_SHIPPED = {**_READY, "properties": {"name": {"type": "string"}, "ready": {"enum": [True, "True"]}}}
_PREDICTIONS = {"type": "object", "properties": {"predictions": {"type": "array"}}, "required": ["predictions"]}
_API = "KServe's V1 Protocol, API Endpoints"
_ERRORS = "TensorFlow Serving's RESTful API, which KServe's V1 Protocol follows"

PROBES = (
    Probe("list-models", "GET", "/v1/models", Expected((200,), _MODELS), f"{_API}, List Models"),
    Probe(
        "model-ready",
        "GET",
        "/v1/models/{model}",
        Expected((200,), _READY),
        f"{_API}, Model Ready",
        shipped=Expected((200,), _READY_SHIPPED),
    ),
    Probe("unknown-model", "GET", NO_MODEL, Expected((400, 404), _ERROR), _ERRORS),
    Probe(
        "predict",
        "POST",
        "{predict}",
        Expected((200,), _PREDICTIONS),
        f"{_API}, Predict",
        example=True,
        # "The response payload in V1 protocol is not strictly enforced."
        shipped=Expected((200,)),
    ),
    Probe("predict-unknown-model", "POST", f"{NO_MODEL}:predict", Expected((400, 404), _ERROR), _ERRORS, example=True),
    Probe(
        "predict-no-list",
        "POST",
        "{predict}",
        Expected((400, 422), _ERROR),
        f"{_API}, Predict: `instances` is a list",
        body=b'{"instances": 3}',
    ),
)


def batch(request: Any) -> Batch | None:
    """Return the rows of a request: its `instances`, or `inputs` where that is a list."""
    return batch_at(request, ("instances",)) or batch_at(request, ("inputs",))


def answers(response: Any, count: int) -> tuple[Any, ...] | None:
    """Return the `predictions` of an answer, one for each row; None where it has others."""
    found = response.get("predictions") if isinstance(response, dict) else None
    return tuple(found) if isinstance(found, list) and len(found) == count else None


def _is_ready(exchange: Exchange) -> bool:
    said = parsed(exchange)
    return is_2xx(exchange) and isinstance(said, dict) and said.get("ready") in (True, "True")


def _lists_models(exchange: Exchange) -> bool:
    said = parsed(exchange)
    return is_2xx(exchange) and isinstance(said, dict) and isinstance(said.get("models"), list)


def _takes(request: Any) -> bool:
    return isinstance(request, dict) and bool({"instances", "inputs"} & set(request))


KSERVE = Dialect(
    "kserve-v1",
    ready="/v1/models/{model}",
    predict="/v1/models/{model}:predict",
    is_ready=_is_ready,
    batch=batch,
    answers=answers,
    error=_ERROR,
    takes=_takes,
    signs=(Sign("/v1/models", _lists_models),),
    probes=PROBES,
)
