"""Makes a JSON value that breaks something as small as it can be while it still breaks it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

TRIES = 400


def shrink(value: Any, breaks: Callable[[Any], bool], *, tries: int = TRIES) -> Any:
    """Return the smallest value found for which `breaks` is true; `value` itself is known to break.

    Greedy, as the delta debugging of Zeller and Hildebrandt (2002): the first smaller value that still breaks is
    taken, and it goes on from there, until none breaks or `breaks` was called `tries` times.
    """
    left = tries
    tried = {_text(value)}
    smaller = True
    while smaller:
        smaller = False
        for candidate in _in_order(value):
            text = _text(candidate)
            if text in tried:
                continue
            if left <= 0:
                return value
            left -= 1
            tried.add(text)
            if breaks(candidate):
                value, smaller = candidate, True
                break
    return value


def _in_order(value: Any) -> Iterator[Any]:
    """Yield what is smaller than a value, the smallest first: most bugs need little."""
    size = _size(value)
    yield from sorted((each for each in _simpler(value) if _size(each) < size), key=_size)


def _simpler(value: Any) -> Iterator[Any]:
    match value:
        case bool() | None:
            return
        case dict():
            for key in value:
                yield {k: v for k, v in value.items() if k != key}
            for key, child in value.items():
                yield from ({**value, key: each} for each in (None, *_simpler(child)))
        case list():
            half = len(value) // 2
            yield from ([], value[:half], value[half:])
            for number, child in enumerate(value):
                yield value[:number] + value[number + 1 :]
                yield from ([*value[:number], each, *value[number + 1 :]] for each in (None, *_simpler(child)))
        case str():
            half = len(value) // 2
            yield from ("", value[:half], value[half:], value[:-1], value[1:], "0" * len(value))
        case int() | float():
            yield from _simpler_number(value)


def _simpler_number(value: float) -> Iterator[float]:
    yield from (0, 1, -1)
    if isinstance(value, int):
        yield abs(value) // 10 * (1 if value > 0 else -1)  # one digit less
    elif math.isfinite(value):
        yield int(value)
        rounded = float(f"{value:.0e}")  # one digit
        if math.isfinite(rounded):
            yield rounded


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _size(value: Any) -> tuple[int, str]:
    """Return the length of a value as JSON; of two equally long ones that with smaller characters is simpler."""
    text = _text(value)
    return len(text), text
