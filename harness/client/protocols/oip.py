"""The Open Inference Protocol, version 2, over HTTP (KServe, MLServer, Triton, OpenVINO).

Source: `specification/protocol/inference_rest.md` and `open_inference_rest.yaml` of kserve/open-inference-protocol.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

from harness.client.protocols.protocol import Dialect, Expected, Probe, Sign, is_2xx, parsed
from harness.client.protocols.rows import Batch
from harness.evidence.records import Exchange

NO_MODEL = "/v2/models/harness-no-such-model"
ID = "harness-42"

JsonSchema = dict[str, Any]
_STRING: JsonSchema = {"type": "string"}
_ERROR: JsonSchema = {"type": "object", "properties": {"error": _STRING}, "required": ["error"]}
# MLServer checks the form of a request with FastAPI, which says `detail` where the protocol says `error`.
_ERROR_SHIPPED: JsonSchema = {"anyOf": [_ERROR, {"type": "object", "required": ["detail"]}]}
_SHAPE: JsonSchema = {"type": "array", "items": {"type": "integer"}}
_TENSOR: JsonSchema = {
    "type": "object",
    "properties": {"name": _STRING, "datatype": _STRING, "shape": _SHAPE},
    "required": ["name", "datatype", "shape"],
}
_SERVER: JsonSchema = {
    "type": "object",
    "properties": {"name": _STRING, "version": _STRING, "extensions": {"type": "array", "items": _STRING}},
    "required": ["name", "version", "extensions"],
}
_MODEL: JsonSchema = {
    "type": "object",
    "properties": {
        "name": _STRING,
        "versions": {"type": "array", "items": _STRING},
        "platform": _STRING,
        "inputs": {"type": "array", "items": _TENSOR},
        "outputs": {"type": "array", "items": _TENSOR},
    },
    "required": ["name", "platform", "inputs", "outputs"],
}
# KServe answers null for the versions of a model without any; the OpenAPI document demands name and platform alone.
_MODEL_SHIPPED: JsonSchema = {
    "type": "object",
    "properties": {
        **_MODEL["properties"],
        "versions": {"type": ["array", "null"], "items": _STRING},
    },
    "required": ["name", "platform"],
}
_LIVE: JsonSchema = {"type": "object", "properties": {"live": {"const": True}}, "required": ["live"]}
# The document of the specification says `live` here too, where KServe says `ready`: both are taken.
_READY: JsonSchema = {
    "type": "object",
    "properties": {"live": {"const": True}, "ready": {"const": True}},
    "anyOf": [{"required": ["ready"]}, {"required": ["live"]}],
}
_MODEL_READY: JsonSchema = {
    "type": "object",
    "properties": {"name": _STRING, "ready": {"const": True}},
    "required": ["name", "ready"],
}
_ANSWER: JsonSchema = {
    "type": "object",
    "properties": {
        "model_name": _STRING,
        "model_version": _STRING,
        "id": _STRING,
        "parameters": {"type": "object"},
        "outputs": {
            "type": "array",
            "minItems": 1,
            "items": {
                **_TENSOR,
                "properties": {**_TENSOR["properties"], "data": {"type": "array"}},
                "required": ["name", "shape", "datatype", "data"],
            },
        },
    },
    "required": ["model_name", "outputs"],
}
_ANSWER_WITH_ID: JsonSchema = {
    **_ANSWER,
    "properties": {**_ANSWER["properties"], "id": {"const": ID}},
    "required": ["id", "outputs"],
}
_REFUSED = Expected((400, 404), _ERROR)  # "an HTTP error status (typically 400)"
_REFUSED_SHIPPED = Expected((400, 404, 422), _ERROR_SHIPPED)
_EMPTY = Expected((200,))  # MLServer and Triton answer the health paths without a body


def _with_another_row(good: Any) -> Any:
    """Return a good request whose first tensor says that it has a row more than its data."""
    made = deepcopy(good)
    for tensor in made["inputs"][:1]:
        if isinstance(tensor, dict) and isinstance(tensor.get("shape"), list):
            first, *rest = tensor["shape"] or [1]
            tensor["shape"] = [first + 1 if isinstance(first, int) else 1, *rest]
    return made


PROBES = (
    Probe("server-metadata", "GET", "/v2", Expected((200,), _SERVER), "inference_rest.md, Server Metadata"),
    Probe("live", "GET", "/v2/health/live", Expected((200,), _LIVE), "inference_rest.md, Server Live", shipped=_EMPTY),
    Probe(
        "ready", "GET", "/v2/health/ready", Expected((200,), _READY), "inference_rest.md, Server Ready", shipped=_EMPTY
    ),
    Probe(
        "model-metadata",
        "GET",
        "/v2/models/{model}",
        Expected((200,), _MODEL),
        "inference_rest.md, Model Metadata",
        shipped=Expected((200,), _MODEL_SHIPPED),
    ),
    Probe(
        "model-ready",
        "GET",
        "/v2/models/{model}/ready",
        Expected((200,), _MODEL_READY),
        "inference_rest.md, Model Ready",
        shipped=_EMPTY,
    ),
    Probe(
        "unknown-model",
        "GET",
        NO_MODEL,
        _REFUSED,
        "inference_rest.md, Model Metadata Response JSON Error Object",
        shipped=_REFUSED_SHIPPED,
    ),
    Probe(
        "infer",
        "POST",
        "{predict}",
        Expected((200,), _ANSWER),
        "inference_rest.md, Inference Response JSON Object",
        example=True,
    ),
    Probe(
        "infer-id",
        "POST",
        "{predict}",
        Expected((200,), _ANSWER_WITH_ID),
        'inference_rest.md, Inference Request JSON Object: "id" must be returned in the response',
        example=True,
        edit=lambda good: {**good, "id": ID},
    ),
    Probe(
        "infer-unknown-model",
        "POST",
        f"{NO_MODEL}/infer",
        _REFUSED,
        "inference_rest.md, Inference Response JSON Error Object",
        shipped=_REFUSED_SHIPPED,
        example=True,
    ),
    Probe(
        "infer-no-inputs",
        "POST",
        "{predict}",
        _REFUSED,
        "open_inference_rest.yaml, inference_request: `inputs` is required",
        body=b"{}",
        shipped=_REFUSED_SHIPPED,
    ),
    Probe(
        "infer-wrong-shape",
        "POST",
        "{predict}",
        _REFUSED,
        "inference_rest.md, Request Input: shape and data must represent the whole batch",
        example=True,
        shipped=_REFUSED_SHIPPED,
        edit=_with_another_row,
    ),
)


def batch(request: Any) -> Batch | None:
    """Return the rows of a request: of every input tensor the slice at one place of the first dimension, flat.

    None where the tensors differ in their first dimension, or hold other data than their shape says.
    """
    inputs = _tensors(request, "inputs")
    if not inputs or len({tensor["shape"][0] for tensor in inputs}) != 1:
        return None
    slices = [_slices(tensor) for tensor in inputs]
    if not all(slices):
        return None

    def build(rows: Sequence[Any]) -> Any:
        made = deepcopy(request)
        for number, tensor in enumerate(made["inputs"]):
            tail = tensor["shape"][1:]
            nested = any(isinstance(value, list) for value in tensor["data"])
            tensor["shape"][0] = len(rows)
            if nested:
                tensor["data"] = [_nested(row[number], tail) for row in rows]
            else:
                tensor["data"] = [value for row in rows for value in row[number]]
        return made

    return Batch(tuple(list(row) for row in zip(*(s or () for s in slices), strict=True)), build)


def answers(response: Any, count: int) -> tuple[Any, ...] | None:
    """Return for each row its slices of the output tensors, by their names; None where none has `count` rows."""
    outputs = [tensor for tensor in _tensors(response, "outputs") if tensor["shape"][0] == count]
    found = {str(tensor.get("name")): slices for tensor in outputs if (slices := _slices(tensor)) is not None}
    if not found:
        return () if count == 0 and isinstance(response, dict) and response.get("outputs") == [] else None
    return tuple({name: slices[number] for name, slices in found.items()} for number in range(count))


def _tensors(message: Any, key: str) -> list[dict[str, Any]]:
    """Return the tensors of a message; none where one of them has no shape or no data in JSON."""
    found = message.get(key) if isinstance(message, dict) else None
    if not isinstance(found, list) or not all(_is_tensor(tensor) for tensor in found):
        return []
    return found


def _is_tensor(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        return False  # Triton's binary extension leaves the data out of the JSON
    shape = value.get("shape")
    return isinstance(shape, list) and len(shape) > 0 and all(type(n) is int and n >= 0 for n in shape)


def _slices(tensor: dict[str, Any]) -> list[list[Any]] | None:
    """Return the flat data of each place of the first dimension; None where data and shape do not fit."""
    flat = list(_flat(tensor["data"]))
    first, step = tensor["shape"][0], math.prod(tensor["shape"][1:])
    if len(flat) != first * step:
        return None
    return [flat[number * step : (number + 1) * step] for number in range(first)]


def _flat(data: list[Any]) -> Iterator[Any]:
    for value in data:
        if isinstance(value, list):
            yield from _flat(value)
        else:
            yield value


def _nested(flat: list[Any], shape: list[int]) -> Any:
    """Return flat data, in row-major order, as lists in lists."""
    if not shape:
        return flat[0]
    step = math.prod(shape[1:])
    return [_nested(flat[number * step : (number + 1) * step], shape[1:]) for number in range(shape[0])]


def _is_ready(exchange: Exchange) -> bool:
    """Whether the server is ready: by its status, and by what it says where it says something."""
    said = parsed(exchange)
    return is_2xx(exchange) and not (isinstance(said, dict) and said.get("ready") is False)


def _is_server(exchange: Exchange) -> bool:
    said = parsed(exchange)
    return is_2xx(exchange) and isinstance(said, dict) and {"name", "version", "extensions"} <= set(said)


def _takes(request: Any) -> bool:
    return isinstance(request, dict) and isinstance(request.get("inputs"), list)


OIP = Dialect(
    "oip-v2",
    ready="/v2/health/ready",
    predict="/v2/models/{model}/infer",
    is_ready=_is_ready,
    batch=batch,
    answers=answers,
    error=_ERROR,
    error_shipped=_ERROR_SHIPPED,
    transient=("id",),  # MLServer makes one up where the request has none
    takes=_takes,
    signs=(Sign("/v2", _is_server),),
    probes=PROBES,
)
