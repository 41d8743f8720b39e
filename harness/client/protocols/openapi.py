"""Any JSON API, with an OpenAPI document that it serves itself (FastAPI, Litestar) or without one."""

from __future__ import annotations

from harness.client.protocols.protocol import Dialect, Sign, parsed
from harness.evidence.records import Exchange

DOCUMENT = "/openapi.json"


def _is_document(exchange: Exchange) -> bool:
    document = parsed(exchange)
    return exchange.status == 200 and isinstance(document, dict) and "openapi" in document  # noqa: PLR2004 - OK


OPENAPI = Dialect("openapi", document=DOCUMENT, signs=(Sign(DOCUMENT, _is_document),))
PLAIN = Dialect("plain")
