"""Reads the arguments of pickle opcodes: short texts and small numbers as they are, all else as INERT."""

from __future__ import annotations

import codecs
import re
from typing import Any

from harness.scanner.source import Source, UnreadableError
from harness.scanner.values import INERT

MAX_TEXT = 200  # bytes of a text that may be a name
MAX_NUMBER = 8  # bytes of an integer that is followed
MAX_DIGITS = 19  # of a place in the memo
MAX_LINE = 4096
_INTEGER = re.compile(rb"[+-]?(?:0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|[0-9][0-9_]*)")  # as `int(line, 0)`
_PLAIN = re.compile(rb"-?(?:0|[1-9][0-9]{0,18})")  # an integer that is followed
_REAL = re.compile(rb"[-+\w.]+")
_INDEX = re.compile(rb"[+-]?[0-9_]+")  # as `int(line)`


class BrokenError(UnreadableError):
    """No pickle, or no more."""


def number(source: Source, size: int) -> int:
    """Return an unsigned integer of `size` bytes."""
    return source.byte() if size == 1 else int.from_bytes(source.read(size), "little")


def long(source: Source, size: int) -> Any:
    """Return a signed integer whose length is written before it in `size` bytes."""
    count = number(source, size)
    if count > MAX_NUMBER:
        source.skip(count)
        return INERT
    return int.from_bytes(source.read(count), "little", signed=True)


def text(source: Source, size: int) -> Any:
    """Return a text whose length is written before it in `size` bytes."""
    count = number(source, size)
    if count > MAX_TEXT:
        source.skip(count)
        return INERT
    return source.read(count).decode("utf-8", "backslashreplace")


def line(source: Source) -> str:
    """Return the rest of the line. Raises BrokenError when it is too long for a name or a number."""
    at = source.at
    data, whole = source.line(MAX_LINE)
    if not whole:
        raise BrokenError(f"byte {at}: a name or number of more than {MAX_LINE} bytes")
    return data.decode("utf-8", "backslashreplace")


def name(source: Source) -> str:
    """Return a line that holds a name."""
    at = source.at
    found = line(source)
    if not found or not found.isprintable() or " " in found:
        raise BrokenError(f"byte {at}: {found[:20]!r} is no name")
    return found


def raw_text(source: Source) -> Any:
    """Return a line of text (UNICODE)."""
    at = source.at
    data, whole = source.line(MAX_LINE)
    if not whole or len(data) > MAX_TEXT:
        return INERT
    try:
        return data.decode("raw-unicode-escape")
    except ValueError as exc:
        raise BrokenError(f"byte {at}: {exc}") from exc


def quoted(source: Source) -> Any:
    """Return a line of quoted text (STRING)."""
    at = source.at
    data, whole = source.line(MAX_LINE)
    data = data.strip()
    if data[:1] not in (b"'", b'"') or (whole and (len(data) < 2 or data[-1] != data[0])):  # noqa: PLR2004 - quotes
        raise BrokenError(f"byte {at}: a string without quotes")
    if not whole or len(data) > MAX_TEXT:
        return INERT
    try:
        return codecs.escape_decode(data[1:-1])[0].decode("latin-1")
    except ValueError as exc:
        raise BrokenError(f"byte {at}: {exc}") from exc


def integer(source: Source) -> Any:
    """Return the integer or truth value of a line (INT, LONG), in all notations that `pickle` takes."""
    at = source.at
    data, whole = source.line(MAX_LINE)
    digits = data.strip().removesuffix(b"L")
    if digits in (b"00", b"01"):
        return digits == b"01"
    if not _INTEGER.fullmatch(digits):
        raise BrokenError(f"byte {at}: {digits[:20]!r} is no number")
    return int(digits) if whole and _PLAIN.fullmatch(digits) else INERT


def real(source: Source) -> Any:
    """Pass over a number of a line (FLOAT)."""
    at = source.at
    data, whole = source.line(MAX_LINE)
    try:
        float(data if whole else b"1")
    except ValueError as exc:
        raise BrokenError(f"byte {at}: {data[:20]!r} is no number") from exc
    if not _REAL.fullmatch(data.strip()):
        raise BrokenError(f"byte {at}: {data[:20]!r} is no number")
    return INERT


def index(source: Source) -> int:
    """Return the number of a place in the memo (PUT, GET), as `int(line)` reads it.

    Raises BrokenError where that would fail, UnreadableError for a number that is longer than any memo.
    """
    at = source.at
    data, whole = source.line(MAX_LINE)
    digits = data.strip()
    if not _INDEX.fullmatch(digits):
        raise BrokenError(f"byte {at}: {digits[:20]!r} is no number")
    digits = digits.replace(b"_", b"").lstrip(b"+0") or b"0"
    if not whole or len(digits) > MAX_DIGITS:
        raise UnreadableError(f"byte {at}: a place in the memo with a number of {len(data)} digits")
    if digits.strip(b"-0"):
        if digits.startswith(b"-"):
            raise BrokenError(f"byte {at}: {digits[:20]!r} is no place in the memo")
        return int(digits)
    return 0
