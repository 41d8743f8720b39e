"""Looks for pickles hidden in other data: behind a pickle, in an image, in a text.

Nothing loads such a pickle by itself, so only what is dangerous is reported: a dangerous name, written as a pickle
writes it, that the opcodes behind it really call.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

from harness.records.scan import Use
from harness.scan.known import DANGEROUS_MODULES, is_dangerous
from harness.scan.machine import Machine
from harness.scan.opcodes import follow
from harness.scan.source import Budget, Source, UnreadableError
from harness.scan.values import Found

WINDOW = 1024 * 1024
AFTER = 16 * 1024  # bytes behind a name that are followed
MAX_HITS = 1000

_NAMES = b"|".join(re.escape(name.encode()) for name in sorted(DANGEROUS_MODULES, key=len, reverse=True))
# GLOBAL and INST write `c` or `i`, then lines; STACK_GLOBAL takes two short texts from the stack.
_HIT = re.compile(rb"(?:[ci]|[\x8cU][\x02-\x60]|X[\x02-\x60]\x00\x00\x00)(?=(?:" + _NAMES + rb")[^\w])", re.DOTALL)


def carve(source: Source, found: Found, where: str) -> None:
    """Read a stream to its end and note the dangerous calls that are hidden in it."""
    hits = 0
    for at, window, is_last in _windows(source):
        limit = len(window) if is_last else len(window) - AFTER
        for match in _HIT.finditer(window):
            if match.start() >= limit or hits >= MAX_HITS:
                break
            hits += 1
            _follow(window[match.start() : match.start() + AFTER], at + match.start(), found, where)


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
