"""Finds the OpenAPI document of a service: where the project says, where it is by convention, or where its pages say.

Every question is a GET; the search ends where a service stops answering.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

from harness.client import http
from harness.client.http import Target
from harness.client.protocols import OPENAPI, PLAIN
from harness.client.protocols.protocol import Dialect
from harness.config.blocks import ServeBlock
from harness.evidence.records import Exchange

NAMED_TIMEOUT, LOOK_TIMEOUT = 30.0, 5.0  # seconds: where it must be, and where it may be
OK = 200
# What FastAPI, Litestar, Flask's extensions, Connexion, Django REST framework, Spring and ASP.NET choose.
_PAGES = ("/docs", "/redoc", "/api/docs", "/swagger", "/apidocs/", "/ui/", "/schema", "/docs/", "/swagger/", "/")
_PLACES = ("/schema/openapi.json", "/docs/openapi.json", "/openapi", "/v3/api-docs", "/swagger/v1/swagger.json")
_OLD = ("/swagger.json", "/api/swagger.json", "/apispec_1.json", "/apispec.json")
# An address in a page of Swagger UI, ReDoc, Scalar, RapiDoc or Stoplight: a string that ends as a JSON file does, or
# what stands behind the name under which such a page keeps it.
_ADDRESS = re.compile(
    r"""(?:\b(?:url|spec-url|spec_url|specUrl|data-url|apiDescriptionUrl)\b["']?\s*[:=]\s*)["']([^"'\s<>]+)["']"""
    r"""|["']([^"'\s<>]+\.json)["']"""
)
NOWHERE = (
    f"no API document: none at {OPENAPI.document}, in no page such as /docs, and in no other usual place; "
    "`serve.document` can name its path"
)
MAX_ADDRESSES = 8  # of one page

FoundDocument = tuple[dict[str, Any] | None, str | None]


def find(target: Target, serve: ServeBlock, dialect: Dialect, predict: str) -> FoundDocument:
    """Return the document, or why there is none.

    A path that the project names is the only one that is asked. Where the conventional path has none, one is looked
    for: in the pages that show it to people, and in the places where other frameworks keep it.
    """
    path = serve.document or dialect.document
    if path is not None:
        document, error = _read(http.send(target, path, case="document", timeout=NAMED_TIMEOUT))
        if document is not None or serve.document is not None or dialect.name != OPENAPI.name:
            return document, error
    else:
        if dialect.name != PLAIN.name or serve.dialect == PLAIN.name:  # who names `plain` says that there is none
            return None, f"the dialect `{dialect.name}` has no document"
        error = NOWHERE
    document, other = _searched(target, predict)
    return document, None if document else other or error


def _searched(target: Target, predict: str) -> FoundDocument:
    """Look for a document; the error names one that was found and cannot be read."""
    error = None
    asked = set()
    for path in _candidates(target, predict):
        if path in asked:
            continue
        asked.add(path)
        answer = http.send(target, path, case="document", timeout=LOOK_TIMEOUT)
        if answer.status is None:
            break
        document, _ = _read(answer)
        if document is not None and isinstance(document.get("paths"), dict):
            if "openapi" in document:
                return document, None
            if "swagger" in document:
                error = f"GET {path}: Swagger {document['swagger']}, and OpenAPI 3 alone is read"
    return None, error


def _candidates(target: Target, predict: str) -> Iterator[str]:
    """Yield the paths that may hold the document, the likeliest first; pages are read on the way."""
    yield OPENAPI.document or ""
    for page in _PAGES:
        answer = http.send(target, page, case="document", timeout=LOOK_TIMEOUT)
        if answer.status is None:
            return
        if answer.status == OK and "html" in answer.content_type.lower():
            yield from _addresses(target, page, answer)
    parts = [part for part in predict.partition("?")[0].split("/")[1:-1] if part]
    above = ["/" + "/".join(parts[: n + 1]) for n in range(len(parts))][::-1]
    for folder in (*above, "/api", "/v1", "/api/v1"):
        yield f"{folder}/openapi.json"
    yield from _PLACES
    yield from _OLD


def _addresses(target: Target, page: str, answer: Exchange) -> Iterator[str]:
    """Yield the paths that a page names, as this service has them: with and without what a proxy takes away."""
    text = answer.response.decode("utf-8", "replace")
    for match in list(_ADDRESS.finditer(text))[:MAX_ADDRESSES]:
        try:
            parts = urlsplit(urljoin(target.url + page, match[1] or match[2]))
        except ValueError:  # no address
            continue
        if not parts.path.startswith("/"):
            continue
        query = f"?{parts.query}" if parts.query else ""
        steps = parts.path.removeprefix(target.prefix).lstrip("/").split("/")
        for n in range(len(steps)):
            yield "/" + "/".join(steps[n:]) + query


def _read(answer: Exchange) -> FoundDocument:
    """Return the JSON object of an answer, or why it is none."""
    where = f"GET {answer.path}"
    if answer.status != OK:
        return None, f"{where}: {answer.error or answer.status}"
    try:
        document = json.loads(answer.response)
    except (ValueError, RecursionError) as exc:
        return None, f"{where}: not JSON: {exc}"
    return (document, None) if isinstance(document, dict) else (None, f"{where}: no JSON object")
