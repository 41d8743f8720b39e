"""Serving protocols, described by data. `serve.dialect` chooses one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Dialect:
    """What the harness may ask of a service that speaks this protocol."""

    name: str
    document: str | None  # path of its OpenAPI document


OPENAPI = Dialect("openapi", document="/openapi.json")
PLAIN = Dialect("plain", document=None)

DIALECTS = {dialect.name: dialect for dialect in (OPENAPI, PLAIN)}
