"""Says whether a schema names null for one place of a body: in 3.0 by `nullable`, from 3.1 on by the type `null`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from harness.openapi.reading import Document, mapping, operation, resolve

MAX_DEPTH = 64  # of schemas in schemas: one that is composed with itself has no end
TOGETHER = ("allOf", "anyOf", "oneOf")


def answer_allows_null(document: Document | None, path: str, status: int, place: Sequence[str]) -> bool:
    """Whether the JSON answers of POST `path` with this status may hold null at a place (`*`: any position)."""
    found = operation(document, path)
    content = None if found is None else found.response(status)
    schema = None if content is None else content.schema("application/json")
    return document is not None and any(_names_null(document, node) for node in _at(document, schema, tuple(place)))


def _at(document: Document, schema: Any, place: tuple[str, ...], depth: int = 0) -> Iterator[Any]:
    """Yield the schemas of a place."""
    if depth > MAX_DEPTH:
        return
    if not place:
        yield schema
        return
    node = mapping(resolve(document, schema))
    for each in _parts(node):
        yield from _at(document, each, place, depth + 1)
    step, rest = place[0], place[1:]
    if step == "*":
        listed = node.get("prefixItems")
        inside = [*(listed if isinstance(listed, list) else ()), node.get("items")]
    else:
        named = mapping(node.get("properties"))
        inside = [named[step]] if step in named else [node.get("additionalProperties")]
    for each in inside:
        if isinstance(each, dict):
            yield from _at(document, each, rest, depth + 1)


def _names_null(document: Document, schema: Any, depth: int = 0) -> bool:
    if depth > MAX_DEPTH:
        return False
    for node in (mapping(schema), mapping(resolve(document, schema))):  # `nullable` may stand beside a reference
        kind = node.get("type")
        if node.get("nullable") is True or kind == "null" or (isinstance(kind, list) and "null" in kind):
            return True
        listed = node.get("enum")
        if (isinstance(listed, list) and None in listed) or ("const" in node and node["const"] is None):
            return True
        if any(_names_null(document, each, depth + 1) for each in _parts(node)):
            return True
    return False


def _parts(node: dict[str, Any]) -> Iterator[Any]:
    for key in TOGETHER:
        listed = node.get(key)
        yield from listed if isinstance(listed, list) else ()
