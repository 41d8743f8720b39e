"""Requests that a careful service refuses, each one step away from a good one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

from harness.client.protocols.protocol import Dialect
from harness.client.protocols.rows import at
from harness.client.request_generators import Request

UNKNOWN_FIELD = "harness_unknown_field"
UNKNOWN_PATH = "/harness-no-such-path"
HUGE = 10**400  # JSON sets no limit; a float64 ends near 1.8e308
DEPTH = 20_000  # of nested lists: the stack of a recursive parser ends before
OVERSIZE = 4 * 2**20  # bytes; servers that have a limit have 1 to 2 MiB by default
MAX_FIELDS = 12  # of a record with more, only the first are changed
NON_FINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": -float("inf")}
REMOVED = object()  # in place of a value: the field is left out

JsonPath = tuple[str | int, ...]

# Kind -> what is expected, in the order in which they are sent.
KINDS = {
    "malformed": "broken JSON",
    "deep-nesting": f"JSON nested {DEPTH} levels deep",
    "content-type": "a body that says it is XML",
    "method": "DELETE on the predict path",
    "path": "a path that does not exist",
    "missing": "a field left out",
    "unknown": "a field that nobody knows",
    "null": "null in place of a value",
    "wrong-type": "a value of another type",
    "boolean": "a boolean in place of a number",
    "number-as-text": "a number in quotes",
    "non-finite": "NaN or Infinity",
    "huge-integer": "an integer that no float can hold",
    "empty-batch": "no row at all",
    "oversized": f"a body of {OVERSIZE // 2**20} MiB",
}


def malformed(good: Any, dialect: Dialect) -> Iterator[Request]:
    """Yield the malformed requests; their case is `rejects-<kind>:<where>`.

    What is changed is the first record of the request: the innermost object that holds plain values.
    """
    whole = json.dumps(good)
    yield Request("rejects-malformed:/", (whole[:-1] if isinstance(good, dict | list) else "{" + whole).encode())
    yield Request("rejects-deep-nesting:/", b"[" * DEPTH + b"]" * DEPTH)
    yield Request("rejects-content-type:/", b"<instances/>", content_type="application/xml")
    yield Request("rejects-method:/", method="DELETE")
    yield Request(f"rejects-path:{UNKNOWN_PATH}", whole.encode(), path=UNKNOWN_PATH)
    path = record_path(good)
    if path is not None:
        record = at(good, path)
        yield _changed("unknown", good, (*path, UNKNOWN_FIELD), 1)
        for name in list(record)[:MAX_FIELDS]:
            yield _changed("missing", good, (*path, name), REMOVED)
            if record[name] is not None:
                yield _changed("null", good, (*path, name), None)
            yield _changed("wrong-type", good, (*path, name), mistyped_value(record[name]))
        yield _changed("oversized", good, (*path, UNKNOWN_FIELD), "x" * OVERSIZE)
    for where in number_paths(good)[:MAX_FIELDS]:
        yield _changed("boolean", good, where, value=True)
        yield _changed("number-as-text", good, where, str(at(good, where)))
        yield _changed("huge-integer", good, where, HUGE)
    for where in number_paths(good)[-1:]:  # where a request holds shapes beside data, the data come last
        for name, value in NON_FINITE.items():
            request = _changed("non-finite", good, where, value)
            yield replace(request, case=f"{request.case}={name}")
    if batch := dialect.batch(good):
        yield Request("rejects-empty-batch:/", json.dumps(batch.build(())).encode())


def recovery(case: str) -> str:
    """Return the case of the good request that follows a malformed one."""
    return f"recovers:{case}"


def pointer(path: Sequence[str | int]) -> str:
    """Return a path as a JSON pointer (RFC 6901)."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path) or "/"


def mistyped_value(value: Any) -> Any:
    """Return a value of a type that no lenient parser turns into that of `value`."""
    if isinstance(value, bool | int | float):
        return "not a number"
    if isinstance(value, str):
        return 12.5
    return {"harness": "an object"}  # in place of a list or a null


def record_path(value: Any, path: JsonPath = ()) -> JsonPath | None:
    """Return the path of the first object whose values are all plain; None where the request has none."""
    if isinstance(value, dict):
        if value and not any(isinstance(v, dict | list) for v in value.values()):
            return path
        items: Any = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return None
    for key, child in items:
        if (found := record_path(child, (*path, key))) is not None:
            return found
    # An object that mixes plain values and lists, such as {"features": [1, 2]}, is itself the record.
    return path if isinstance(value, dict) and value else None


def number_paths(good: Any) -> list[JsonPath]:
    """Return the paths of the numbers in the first record, else of the first numbers anywhere."""
    start = record_path(good) or ()
    return list(_numbers(at(good, start), start))


def _numbers(value: Any, path: JsonPath) -> Iterator[JsonPath]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield from _numbers(child, (*path, key))


def _changed(kind: str, good: Any, path: JsonPath, value: Any) -> Request:
    if not path:  # the request is a bare number
        return Request(f"rejects-{kind}:/", json.dumps(value).encode())
    made = deepcopy(good)
    if not path:  # the whole request is the one value
        return Request(f"rejects-{kind}:/", json.dumps(value).encode())
    holder = at(made, path[:-1])
    if value is REMOVED:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return Request(f"rejects-{kind}:{pointer(path)}", json.dumps(made).encode())
