"""Behavioural tests after CheckList (Ribeiro et al. 2020): requests whose answers stand in a relation to each other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

from harness.client.protocols.rows import at
from harness.client.request_generators import Request
from harness.config.spec import Behaviour


def behaviours(found: Sequence[Behaviour]) -> Iterator[Request]:
    """Yield `behaviour:<name>/<number>` for every request of every behavioural test, in their order."""
    for behaviour in found:
        for number, request in enumerate(behaviour.requests):
            yield Request(case(behaviour, number), json.dumps(request).encode())


def case(behaviour: Behaviour, number: int) -> str:
    """Return the case of one request of a behavioural test."""
    return f"behaviour:{behaviour.name}/{number}"


def changed(request: Any, change: Mapping[str, Sequence[Any]]) -> tuple[Any, ...]:
    """Return a request once for each step of a change: JSON pointer -> its values, all lists of one length.

    Raises ValueError for lists of different lengths and for a pointer that leads nowhere in the request.
    """
    lengths = {len(values) for values in change.values()}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError("`change` needs one list of values for each pointer, all of one length and none empty")
    steps = []
    for number in range(lengths.pop()):
        made = deepcopy(request)
        for text, values in change.items():
            *way, last = resolve(made, text)
            at(made, way)[last] = values[number]
        steps.append(made)
    return tuple(steps)


def resolve(value: Any, text: str) -> tuple[str | int, ...]:
    """Return the keys and positions of a JSON pointer (RFC 6901); raises ValueError where it leads nowhere."""
    if not text.startswith("/"):
        raise ValueError(f"expected a JSON pointer such as /instances/0/age, received {text!r}")
    path: list[str | int] = []
    for raw in text[1:].split("/"):
        part = raw.replace("~1", "/").replace("~0", "~")
        try:
            path.append(int(part) if isinstance(at(value, path), list) else part)
            at(value, path)
        except (KeyError, IndexError, TypeError, ValueError) as exc:
            raise ValueError(f"{text} leads nowhere: there is no {part!r} in it") from exc
    return tuple(path)
