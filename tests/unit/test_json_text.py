"""JSON of answers: what is nested too deep is refused before anybody walks through it, on every Python."""

from __future__ import annotations

import json

import pytest

from harness.client.json_text import DEPTH, read_json


@pytest.mark.parametrize("depth", [DEPTH + 1, 5_000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")], ids=["lists", "objects"])
def test_too_deep(depth: int, opening: bytes, closing: bytes) -> None:
    """Whether the parser itself gives up or not, the error is the one that callers know."""
    with pytest.raises(RecursionError):
        read_json(opening * depth + b"1" + closing * depth)


def test_deep_enough_and_wide() -> None:
    """What is as deep as is allowed is read, and what is only wide is not taken for deep."""
    deep = b"[" * DEPTH + b"]" * DEPTH
    assert read_json(deep) == json.loads(deep)
    wide = json.dumps([[number] for number in range(2000)]).encode()
    assert read_json(wide) == json.loads(wide)


def test_constants_are_handed_on() -> None:
    """NaN is read as Python's parser does, or goes where the caller wants it."""
    seen: list[str] = []
    assert read_json(b"[NaN]", seen.append) == [None]
    assert seen == ["NaN"]
