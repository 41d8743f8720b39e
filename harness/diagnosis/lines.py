"""Takes from the end of a log the few lines that say why something failed."""

from __future__ import annotations

import re
from collections.abc import Sequence

LINES = 8
WIDTH = 400  # characters of a line
CONTINUED = 4  # lines that an exception's message may go on for
# What a container prints must not move the cursor of whoever reads it: escape sequences and control characters.
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
STEP = re.compile(r"^#\d+ \d+\.\d+ ")  # BuildKit writes its step and the seconds before what a program prints
TRACEBACK = re.compile(r"Traceback \(most recent call last\):\s*$")
FRAME = re.compile(r'^\s+File "(?P<file>[^"]+)", line \d+')
NOT_OWN = re.compile(r"/(?:site|dist)-packages/|/lib/python3|^<(?!string>|stdin>)")
EXCEPTION = re.compile(r"^[A-Za-z_][\w.]*(?:: .*)?$")
POINTERS = re.compile(r"^\s+(?:[\^ ]*~[~^ ]*|\^{2,})$")  # where in the line above: kept for a syntax error alone
# Bars of tqdm, pip and the builder; what an access log says of requests that were answered well.
NOISE = re.compile(r"^\s*\d{1,3}%\s*\||it/s\]|━━|^Sending build context|\"[A-Z]+ /\S* HTTP/[\d.]+\" 2\d\d\b")
TELLING = re.compile(
    r"\b(?:error|fatal|exception|fail(?:ed|ure)?|cannot|killed|denied|not found|no such|panic|refused|abort(?:ed)?)\b",
    re.IGNORECASE,
)


def clean(log: Sequence[str]) -> tuple[str, ...]:
    """Return the lines without escape sequences, prefixes of builders, progress bars, good answers and blank lines."""
    found = []
    for raw in log:
        line = STEP.sub("", ESCAPES.sub("", raw.rstrip().rpartition("\r")[2])).rstrip()
        if line and not NOISE.search(line) and not POINTERS.match(line):
            found.append(line if len(line) <= WIDTH else line[:WIDTH] + "...")
    return tuple(found)


def relevant(log: Sequence[str], count: int = LINES) -> tuple[str, ...]:
    """Return the lines that matter.

    Of Python's last traceback the last frame and the exception, with the last frame of the project's own code where
    that is another one, and the log's last line. Without a traceback the last `count` lines, led by the last one that
    tells of an error where none of them does.
    """
    lines = clean(log)
    if found := _traceback(lines):
        return found
    tail = lines[-count:]
    if any(TELLING.search(line) for line in tail):
        return tail
    telling = [line for line in lines[:-count] if TELLING.search(line)]
    return (*telling[-1:], *tail)


def _traceback(lines: Sequence[str]) -> tuple[str, ...]:
    """Return what matters of the last traceback, which may have lost its beginning; empty where there is none."""
    frames = [number for number, line in enumerate(lines) if FRAME.match(line)]
    if not frames:
        return ()
    start = frames[-1]
    end = next((n for n in range(start + 1, len(lines)) if not lines[n].startswith((" ", "\t"))), len(lines))
    if end == len(lines) or not EXCEPTION.match(lines[end]):
        return ()
    last = list(lines[start:end])
    shown = [*_own(lines, frames), *last, lines[end], *_message(lines[end + 1 :])]
    return (*shown, *(lines[-1:] if lines[-1] not in shown else ()))


def _own(lines: Sequence[str], frames: Sequence[int]) -> list[str]:
    """Return the last frame of the project's own code, where the last frame of all is a library's."""
    begins = max((n for n, line in enumerate(lines[: frames[-1]]) if TRACEBACK.search(line)), default=-1)
    *before, last = [n for n in frames if n > begins]
    own = [n for n in before if not NOT_OWN.search(_file(lines[n]))]
    if not own or not NOT_OWN.search(_file(lines[last])):
        return []
    end = next(n for n in frames if n > own[-1])
    return list(lines[own[-1] : end])


def _file(line: str) -> str:
    frame = FRAME.match(line)
    return frame["file"] if frame else ""


def _message(rest: Sequence[str]) -> list[str]:
    """Return the further lines of an exception's message: those that are indented or begin like a list."""
    found: list[str] = []
    for line in rest[:CONTINUED]:
        if not line.startswith((" ", "\t", "- ", "[")):
            break
        found.append(line)
    return found
