"""Text from containers and services made fit for a report: no control characters, no more than fits."""

from __future__ import annotations

from pathlib import Path

from harness.reports.foreign import harmless as plain

__all__ = ["first_line", "plain", "shorten", "tail"]

TAIL_BYTES = 32 * 1024


def shorten(text: str, limit: int) -> str:
    """Return no more than `limit` characters of plain text, and say how many are left out."""
    text = plain(text)
    if len(text) <= limit:
        return text
    left = f" ... ({len(text) - limit} more characters)"
    return text[: max(0, limit - len(left))] + left


def first_line(text: str, limit: int = 200) -> str:
    """Return the first line of a text, no longer than `limit`."""
    return shorten(next((line for line in plain(text).splitlines() if line.strip()), ""), limit)


def tail(path: Path, lines: int = 30, width: int = 500) -> str:
    """Return the last lines of a log, however large it is; empty where it cannot be read."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - TAIL_BYTES))
            read = stream.read(TAIL_BYTES)
    except OSError:
        return ""
    last = plain(read.decode("utf-8", "replace")).splitlines()[-lines:]
    return "\n".join(shorten(line, width) for line in last)
