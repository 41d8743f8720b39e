"""Makes text and numbers fit to be shown: what a container printed must not act on whoever reads it."""

from __future__ import annotations

import math

from harness.reports.foreign import harmless as clean

__all__ = ["clean", "counted", "cut", "duration", "number", "short_digest", "size"]

_STEPS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
MINUTE = 60


def cut(text: str, most: int) -> str:
    """Return at most so many characters of a text, and say how many are left out."""
    return text if len(text) <= most else f"{text[:most]} … ({len(text) - most:,} more characters)"


def number(value: float, digits: int = 4) -> str:
    """Return a number with so many significant digits, and what is none as itself."""
    if not math.isfinite(value):
        return str(value)
    whole = round(value)
    return f"{whole:,}" if value == whole and abs(whole) < 10**9 else f"{value:.{digits}g}"


def size(count: float) -> str:
    """Return bytes in the unit that suits them, as engines count memory: 1 KiB is 1,024 bytes."""
    for step, unit in _STEPS:
        if count >= step:
            return f"{count / step:,.1f} {unit}"
    return f"{count:,.0f} B"


def duration(seconds: float) -> str:
    """Return seconds as ms, s or min."""
    if not math.isfinite(seconds):
        return str(seconds)
    if seconds >= MINUTE:
        return f"{int(seconds // MINUTE)} min {seconds % MINUTE:.0f} s"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def short_digest(digest: str) -> str:
    """Return the start of a digest: enough to tell two apart."""
    return digest.removeprefix("sha256:")[:12]


def counted(count: int, word: str) -> str:
    """Return `1 row` or `2 rows`."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"
