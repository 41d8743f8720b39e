"""What of an API document may be fuzzed: the service under test alone, and nothing that ends it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
# Keys of the document under which values stand as they are, and under which names stand.
VALUES = ("example", "default", "const", "enum", "value")
NAMES = (
    "paths",
    "schemas",
    "parameters",
    "responses",
    "headers",
    "examples",
    "requestBodies",
    "content",
    "properties",
    "patternProperties",
    "dependentSchemas",
    "$defs",
    "definitions",
)
# What ends a service or takes its model away does what it promises, and leaves nothing to test.
ENDING = ("shutdown", "terminate", "restart", "quit", "exit", "kill", "stop", "unload")


def restricted(document: dict[str, Any], only: str | None = None) -> dict[str, Any]:
    """Return the document without other servers than the one under test, and without what would end it.

    With `only`, the path of the predictions, what else is not a GET is left out too: the server is somebody's own.
    """
    kept: dict[str, Any] = {}
    for path, item in document.get("paths", {}).items():
        if not isinstance(item, dict):
            continue
        taken = {k: v for k, v in item.items() if k not in METHODS or _is_safe(path, k, only)}
        if any(method in taken for method in METHODS):
            kept[path] = taken
    plain = _without(document, ("servers", "externalValue", "webhooks", "callbacks", "links"))
    return {**plain, "paths": _without(kept, ("servers", "externalValue", "callbacks", "links"))}


def operations(document: dict[str, Any]) -> tuple[str, ...]:
    """Return the operations of a document, such as `POST /predict`."""
    return tuple(f"{m.upper()} {path}" for path, item in document["paths"].items() for m in item if m in METHODS)


def references_elsewhere(value: Any) -> Iterator[str]:
    """Yield each reference of a document to something outside of it."""
    match value:
        case dict():
            for key, child in value.items():
                if key in ("$ref", "$dynamicRef") and isinstance(child, str) and not child.startswith("#"):
                    yield child
                yield from references_elsewhere(child)
        case list():
            for child in value:
                yield from references_elsewhere(child)


def _is_safe(path: str, method: str, only: str | None) -> bool:
    if path.rstrip("/").rpartition("/")[2].lower() in ENDING:
        return False
    return only is None or method == "get" or (method == "post" and path == only)


def _without(value: Any, keys: tuple[str, ...]) -> Any:
    """Return a part of the document without some keys of its objects; names and examples in it are no such keys."""
    match value:
        case dict():
            return {k: _kept(k, v, keys) for k, v in value.items() if k not in keys}
        case list():
            return [_without(child, keys) for child in value]
        case _:
            return value


def _kept(key: str, value: Any, keys: tuple[str, ...]) -> Any:
    if key in VALUES or (key == "examples" and isinstance(value, list)):
        return value
    if key in NAMES and isinstance(value, dict):
        return {name: _without(child, keys) for name, child in value.items()}
    return _without(value, keys)
