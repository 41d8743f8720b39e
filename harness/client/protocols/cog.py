"""Cog, the containers of Replicate: one prediction a request, whose failure is told in an answer 200.

Source: the HTTP API in Cog's documentation (docs/http.md), and the OpenAPI document that every Cog server shows. The
server of Cog 0.17 and later is compiled (coglet); that of 0.16 and before is FastAPI. Both were asked.
"""

from __future__ import annotations

from harness.client.protocols.protocol import Dialect, Expected, Probe, Sign, is_4xx, parsed
from harness.evidence.records import Exchange

READY = "READY"
STATES = ("STARTING", READY, "BUSY", "SETUP_FAILED", "DEFUNCT", "UNHEALTHY", "UNKNOWN")
SUCCEEDED, FAILED = "succeeded", "failed"
PREDICT, DOCUMENT, HEALTH = "/predictions", "/openapi.json", "/health-check"
ID = "harness-probe"
TRANSIENT = ("id", "version", "created_at", "started_at", "completed_at", "logs", "error", "metrics")

# Of a request that breaks the schema, and of a prediction that failed (or found the server busy or not ready).
ERROR = {
    "type": "object",
    "anyOf": [
        {"required": ["detail"]},
        {"required": ["status", "error"], "properties": {"status": {"const": FAILED}, "error": {"type": "string"}}},
    ],
}
DETAIL = {
    "type": "object",
    "required": ["detail"],
    "properties": {
        "detail": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["loc", "msg", "type"],
                "properties": {"loc": {"type": "array"}, "msg": {"type": "string"}, "type": {"type": "string"}},
            },
        }
    },
}
PREDICTION = {
    "type": "object",
    "required": ["status", "output", "metrics"],
    "properties": {
        "status": {"const": SUCCEEDED},
        "metrics": {
            "type": "object",
            "required": ["predict_time"],
            "properties": {"predict_time": {"type": "number", "minimum": 0}},
        },
    },
}
IDENTIFIED = {**PREDICTION, "properties": {**PREDICTION["properties"], "id": {"const": ID}}}  # type: ignore[dict-item]
API_DOCUMENT = {
    "type": "object",
    "required": ["openapi", "paths"],
    "properties": {
        "paths": {
            "type": "object",
            "required": [PREDICT],
            "properties": {PREDICT: {"type": "object", "required": ["post"]}},
        }
    },
}


def _status(exchange: Exchange) -> object:
    answer = parsed(exchange)
    return answer.get("status") if exchange.status == 200 and isinstance(answer, dict) else None  # noqa: PLR2004 - OK


def _is_health(exchange: Exchange) -> bool:
    return _status(exchange) in STATES


def _is_ready(exchange: Exchange) -> bool:
    return _status(exchange) == READY


def _is_answer(exchange: Exchange) -> bool:
    return _status(exchange) == SUCCEEDED


def _is_refusal(exchange: Exchange) -> bool:
    return is_4xx(exchange) or _status(exchange) == FAILED


PROBES = (
    Probe(
        "health-check",
        "GET",
        HEALTH,
        Expected((200,), {"type": "object", "required": ["status"], "properties": {"status": {"enum": [*STATES]}}}),
        "docs/http.md, GET /health-check",
    ),
    Probe(
        "index",
        "GET",
        "/",
        Expected(
            (200,),
            {
                "type": "object",
                "required": ["openapi_url", "healthcheck_url", "predictions_url"],
                "properties": {
                    "openapi_url": {"const": DOCUMENT},
                    "healthcheck_url": {"const": HEALTH},
                    "predictions_url": {"const": PREDICT},
                },
            },
        ),
        "docs/http.md, GET /",
    ),
    Probe("document", "GET", DOCUMENT, Expected((200,), API_DOCUMENT), "docs/http.md, GET /openapi.json"),
    Probe("prediction", "POST", PREDICT, Expected((200,), PREDICTION), "docs/http.md, POST /predictions", example=True),
    Probe(
        "idempotent",
        "PUT",
        f"{PREDICT}/{ID}",
        Expected((200,), IDENTIFIED),
        "docs/http.md, PUT /predictions/<prediction_id>",
        example=True,
    ),
    Probe(
        "no-object",
        "POST",
        PREDICT,
        Expected((422,), DETAIL),
        "the OpenAPI document of Cog, POST /predictions: 422 HTTPValidationError",
        body=b'{"input": "no object"}',
    ),
    Probe(
        "cancel-unknown",
        "POST",
        f"{PREDICT}/{ID}-unknown/cancel",
        Expected((404,)),
        "docs/http.md, POST /predictions/<prediction_id>/cancel",
    ),
)

COG = Dialect(
    "cog",
    port=5000,
    ready=HEALTH,
    predict=PREDICT,
    document=DOCUMENT,
    writes_document=True,
    is_ready=_is_ready,
    is_answer=_is_answer,
    is_refusal=_is_refusal,
    busy=(409,),  # a slot may be free only a moment after its answer was sent
    batch=lambda _: None,  # the rows that an input may hold are the model's own matter
    transient=TRANSIENT,
    error=ERROR,
    signs=(Sign(HEALTH, _is_health),),
    probes=PROBES,
)
