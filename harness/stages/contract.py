"""Sends the contract's requests, good and malformed, and records every answer; judges nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from harness import http
from harness.dialects import DIALECTS
from harness.records import Contract, Exchange
from harness.stages import Run

TIMEOUT = 30.0  # seconds that one answer may take before it is recorded as a hang
UNKNOWN_FIELD = "harness_unknown_field"
Address = tuple[str, int]


def collect(run: Run, address: Address) -> Contract:
    """Fetch the document, send every example, then each malformed request followed by the first example."""
    block = run.spec.block.contract
    exchanges: list[Exchange] = []

    def send(case: str, body: bytes) -> None:
        exchange = http.send(address, block.predict, case=case, method="POST", body=body, timeout=TIMEOUT)
        run.folder.append_exchange(exchange)
        exchanges.append(exchange)

    document, error = _document(run, address)
    for example in run.spec.examples:
        send(f"example:{example.name}", json.dumps(example.request).encode())
    if run.spec.examples:
        good = run.spec.examples[0].request
        for case, body in malformed(good):
            send(f"malformed:{case}", body)
            send(f"recovery:{case}", json.dumps(good).encode())
    run.say("contract", f"{len(exchanges)} requests sent")
    return Contract(exchanges=tuple(exchanges), document=document, document_error=error)


def malformed(good: Any) -> Iterator[tuple[str, bytes]]:
    """Yield requests that a strict service must refuse, each one step away from a good one.

    Broken JSON; then for the first record in the request (the innermost object that holds plain values): each
    field missing, each with a value of another type, and one field that nobody knows.
    """
    whole = json.dumps(good)
    yield "broken-json", (whole[:-1] if isinstance(good, dict | list) else "{" + whole).encode()
    path = record_path(good)
    if path is None:
        return
    for name in _at(good, path):
        where = "/".join(["", *(str(part) for part in path), name])
        missing = deepcopy(good)
        del _at(missing, path)[name]
        yield f"missing:{where}", json.dumps(missing).encode()
        mistyped = deepcopy(good)
        _at(mistyped, path)[name] = mistyped_value(_at(good, path)[name])
        yield f"wrong-type:{where}", json.dumps(mistyped).encode()
    unknown = deepcopy(good)
    _at(unknown, path)[UNKNOWN_FIELD] = 1
    yield f"unknown:{'/'.join(['', *(str(part) for part in path), UNKNOWN_FIELD])}", json.dumps(unknown).encode()


def mistyped_value(value: Any) -> Any:
    """Return a value of a type that no lenient parser turns into that of `value`."""
    if isinstance(value, bool | int | float):
        return "not a number"
    if isinstance(value, str):
        return 12.5
    return {"harness": "an object"}  # in place of a list or a null


def record_path(value: Any, path: tuple[str | int, ...] = ()) -> tuple[str | int, ...] | None:
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


def _at(value: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def _document(run: Run, address: Address) -> tuple[dict[str, Any] | None, str | None]:
    path = DIALECTS[run.spec.block.serve.dialect].document
    if path is None:
        return None, "the dialect `plain` has no document"
    answer = http.send(address, path, case="document", timeout=TIMEOUT)
    if answer.status != 200:  # noqa: PLR2004 - OK
        return None, f"GET {path}: {answer.error or answer.status}"
    try:
        document = json.loads(answer.response)
    except (ValueError, RecursionError) as exc:
        return None, f"GET {path}: not JSON: {exc}"
    return (document, None) if isinstance(document, dict) else (None, f"GET {path}: no JSON object")
