"""Checks of the service's own API document, and what it says of a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable

Validator = Callable[[Any], bool | None]  # whether the document allows a value; None where it does not say


def request_validator(document: dict[str, Any] | None, path: str) -> Validator | None:
    """Return a validator of the documented request body of POST `path` (OpenAPI 3.1: JSON Schema 2020-12)."""
    try:
        operation = (document or {})["paths"][path]["post"]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        whole = {**schema, "components": (document or {}).get("components", {})}
        Draft202012Validator.check_schema(whole)
    except (KeyError, TypeError, SchemaError):
        return None
    # An empty registry: a reference to elsewhere must not make a check ask the network.
    validator = Draft202012Validator(whole, registry=Registry())

    def allows(value: Any) -> bool | None:
        try:
            return bool(validator.is_valid(value))
        except (Unresolvable, RecursionError):  # it refers to what it does not have, or to itself
            return None

    return allows


def documented_statuses(document: dict[str, Any] | None, path: str) -> frozenset[str] | None:
    """Return the statuses that POST `path` lists, as the document writes them; None where it does not say."""
    try:
        return frozenset(str(status) for status in (document or {})["paths"][path]["post"]["responses"])
    except (KeyError, TypeError):
        return None
