"""BentoML services: every API method is a POST route of its own name; errors are a JSON object or an array of one.

Source: BentoML's documentation (observability, services, error handling) and the OpenAPI document that a service
shows of itself; deviations as shipped were seen with BentoML 1.4.40. A service with a `path_prefix` has none of these
paths: to the harness it is `plain`.
"""

from __future__ import annotations

from typing import Any

from harness.client.protocols.protocol import Dialect, Expected, Probe, Sign, parsed
from harness.evidence.records import Exchange

DOCUMENT, LIVE, READY = "/docs.json", "/livez", "/readyz"
METHOD = "x-bentoml-name"  # the document names by it the API method behind a route

PROBLEM = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}, "detail": {"type": "string"}},
}
# Of a failed validation, where `detail` is the list of pydantic; of an exception that the service itself raises.
SHIPPED_PROBLEM = {
    "anyOf": [
        {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}},
        {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["error"]}},
    ]
}
API_DOCUMENT = {
    "type": "object",
    "required": ["openapi", "paths"],
    "properties": {"paths": {"type": "object", "required": [LIVE, READY]}},
}


def _is_document(exchange: Exchange) -> bool:
    document = parsed(exchange)
    paths: Any = document.get("paths") if isinstance(document, dict) else None
    if exchange.status != 200 or not isinstance(paths, dict):  # noqa: PLR2004 - OK
        return False
    items = [item for item in paths.values() if isinstance(item, dict)]
    return any(METHOD in operation for item in items for operation in item.values() if isinstance(operation, dict))


PROBES = (
    Probe("live", "GET", LIVE, Expected((200,)), "Observability, Monitoring and data collection: /livez"),
    Probe("ready", "GET", "{ready}", Expected((200,)), "Observability, Monitoring and data collection: /readyz"),
    Probe("document", "GET", DOCUMENT, Expected((200,), API_DOCUMENT), "the server's own index of routes: /docs.json"),
    Probe("method", "GET", "{predict}", Expected((405,)), "the OpenAPI document of BentoML: an API has POST alone"),
    Probe(
        "no-json",
        "POST",
        "{predict}",
        Expected((400,), PROBLEM),
        "the OpenAPI document of BentoML: 400 InvalidArgument",
        body=b"{",
        shipped=Expected((400,), SHIPPED_PROBLEM),
    ),
    Probe("unknown", "POST", "/harness-no-such-api", Expected((404,)), "Services: each API has a route", body=b"{}"),
)

BENTOML = Dialect(
    "bentoml",
    port=3000,
    ready=READY,
    document=DOCUMENT,
    writes_document=True,
    error=SHIPPED_PROBLEM,
    signs=(Sign(DOCUMENT, _is_document),),
    probes=PROBES,
)
