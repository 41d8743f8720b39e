"""Reads the JSON that a service answered: what is nested too deep for whoever walks through it is refused at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

DEPTH = 250  # containers within containers; who walks through an answer may need a few frames for each


def read_json(text: bytes, parse_constant: Callable[[str], Any] | None = None) -> Any:
    """Return a JSON value, NaN and Infinity included; `parse_constant` as in `json.loads`.

    Raises ValueError where it is none, and RecursionError where it is nested deeper than `DEPTH`: since Python 3.12 the
    parser itself reads what is thousands deep, and code that follows it would end there.
    """
    value = json.loads(text, parse_constant=parse_constant)
    if text.count(b"[") + text.count(b"{") > DEPTH:
        _verify_depth(value)
    return value


def _verify_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEPTH):
        containers = [each for each in level if isinstance(each, dict | list)]
        if not containers:
            return
        level = [child for each in containers for child in (each.values() if isinstance(each, dict) else each)]
    if any(isinstance(each, dict | list) for each in level):
        raise RecursionError(f"nested deeper than {DEPTH}")
