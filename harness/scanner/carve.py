"""Looks for pickles hidden in other data: behind a pickle, in an image, in a text.

Nothing loads such a pickle by itself, so only what is dangerous is reported: a dangerous name, written as a pickle
writes it, that the opcodes behind it really call.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby

from harness.evidence.records.scan import Use
from harness.scanner.known import dangerous_roots, is_dangerous
from harness.scanner.machine import Machine
from harness.scanner.opcodes import follow
from harness.scanner.source import Budget, Source, UnreadableError
from harness.scanner.values import Found

WINDOW = 1024 * 1024
AFTER = 16 * 1024  # bytes behind a name that are followed
MAX_HITS = 20_000
Look = Callable[[int, bytes], None]


def _trie(words: Sequence[bytes]) -> bytes:
    """Return a pattern of words that looks at each letter once: ten times faster than the words side by side."""
    branches = []
    for letter, group in groupby(sorted(words), key=lambda word: word[:1]):
        rests = [word[1:] for word in group]
        inner = _trie([rest for rest in rests if rest])
        optional = b"?" if b"" in rests else b""
        branches.append(re.escape(letter) + (b"(?:" + inner + b")" + optional if inner else b""))
    return b"|".join(branches)


_NAMES = _trie(sorted({root.encode() for root in dangerous_roots()}))
_HITS = (
    re.compile(rb"[ci](?:" + _NAMES + rb")[.\n]"),  # GLOBAL and INST: `c` or `i`, then lines
    re.compile(rb"[\x8cUX][\x02-\x60](?:\x00\x00\x00)?(?:" + _NAMES + rb")(?!\w)"),  # texts for STACK_GLOBAL
)


def carve(source: Source, found: Found, where: str, look: Look | None = None) -> None:
    """Read a stream to its end and note the dangerous calls that are hidden in it. Raises UnreadableError.

    `look` is given each window too, with its position.
    """
    hits = 0
    for at, window, is_last in _windows(source):
        if look is not None:
            look(at, window)
        limit = len(window) if is_last else len(window) - AFTER
        for start in sorted(match.start() for pattern in _HITS for match in pattern.finditer(window, 0, limit + AFTER)):
            if start >= limit:
                break
            hits += 1
            source.budget.tick()
            if hits > MAX_HITS:
                raise UnreadableError(f"more than {MAX_HITS} places that look like hidden pickles")
            _follow(window[start : start + AFTER], at + start, found, where)


def _windows(source: Source) -> Iterator[tuple[int, bytes, bool]]:
    """Yield overlapping pieces, each with its position, and whether it is the last."""
    while True:
        at = source.at
        window = source.peek(WINDOW)
        is_last = len(window) < WINDOW
        if window:
            yield at, window, is_last
        if is_last:
            source.skip(len(window))
            return
        source.skip(WINDOW - AFTER)


def _follow(data: bytes, at: int, found: Found, where: str) -> None:
    seen = Found()
    with suppress(UnreadableError):
        follow(Machine(Source(iter((data,)), Budget()), seen, f"{where} > hidden".removeprefix(" > "), lenient=True))
    for (module, name, place), ref in seen.refs.items():
        if ref.use is not Use.REFERENCED and is_dangerous(module, name):
            ref.position += at
            found.refs.setdefault((module, name, place), ref)
