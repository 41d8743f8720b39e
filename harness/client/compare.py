"""Compares JSON with JSON: numbers as numbers, within a tolerance."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from harness.client.json_text import read_json
from harness.config.spec import Tolerance
from harness.evidence.records import Exchange

SAME = Tolerance(1e-9, 1e-12)  # a parallel sum may end in another last digit
SHOWN = 300  # characters of a body in a finding


def compare(expected: Any, received: Any, tolerance: Tolerance, path: str = "") -> Iterator[str]:
    """Yield each difference. Numbers compare as numbers; an object may have more keys than expected."""
    where = path or "/"
    if isinstance(expected, dict) and isinstance(received, dict):
        for key, value in expected.items():
            if key in received:
                yield from compare(value, received[key], tolerance, f"{path}/{key}")
            else:
                yield f"{path}/{key} is missing"
    elif isinstance(expected, list) and isinstance(received, list):
        if len(expected) != len(received):
            yield f"{where}: expected {len(expected)} items, received {len(received)}"
        for number, (left, right) in enumerate(zip(expected, received, strict=False)):
            yield from compare(left, right, tolerance, f"{path}/{number}")
    elif is_number(expected) and is_number(received):
        limit = _allowed(expected, tolerance.at(path))
        if not _is_close(expected, received, limit):
            shown = f"expected {short(repr(expected))}, received {short(repr(received))}"
            yield f"{where}: {shown} (more than {limit:.3g} off)"
    elif type(expected) is not type(received) or expected != received:
        yield f"{where}: expected {short(json.dumps(expected))}, received {short(json.dumps(received))}"


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number (in Python a boolean would be one too)."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_nan(value: Any) -> bool:
    """Whether a JSON value is the NaN that Python's parser reads."""
    return isinstance(value, float) and math.isnan(value)


def parse(exchange: Exchange) -> Any:
    """Return the JSON of an answer, NaN and Infinity included. Raises ValueError or RecursionError."""
    return read_json(exchange.response)


def described(exchange: Exchange) -> str:
    """Say in one line what came back."""
    if exchange.status is None:
        return f"no answer: {exchange.error}"
    more = f" to {exchange.location}" if exchange.location else f" ({exchange.error})" if exchange.error else ""
    return f"status {exchange.status}{more}: {short(exchange.response.decode(errors='replace'))}"


def is_limited(exchange: Exchange) -> bool:
    """Whether the service has only said that it is asked too often."""
    return exchange.status == 429  # noqa: PLR2004 - Too Many Requests


def short(text: str) -> str:
    """Return a text that fits a finding."""
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def _allowed(expected: float, tolerance: Tolerance) -> float:
    try:
        return max(tolerance.absolute, tolerance.relative * abs(expected))
    except OverflowError:  # an integer beyond all floats
        return tolerance.absolute


def _is_close(expected: float, received: float, limit: float) -> bool:
    if is_nan(expected) and is_nan(received):  # whether it may be one, `contract.finite` judges
        return True
    try:
        finite = math.isfinite(expected) and math.isfinite(received)
        return expected == received or (finite and abs(expected - received) <= limit)
    except OverflowError:  # an integer beyond all floats is near to itself alone
        return expected == received
