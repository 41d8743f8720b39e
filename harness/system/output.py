"""What programs print: the bytes of one or two streams as text that ends where lines end, and the last lines of it.

All of it takes time linear in what is printed, however long a line is, and bounded memory.
"""

from __future__ import annotations

import codecs
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

LONGEST = 1024 * 1024  # characters of one line that are waited for: a longer line is passed on in parts
WORD = 4096  # characters: a line is parted at the last space among so many, so that no word or number is torn
WIDTH = 4096  # characters of a line that are kept in memory or shown
TAIL = 40  # lines


@dataclass
class _LineBuffer:
    """One stream: what of a line has come, in pieces that are put together only once."""

    decode: codecs.IncrementalDecoder
    pieces: list[str] = field(default_factory=list)
    size: int = 0
    at_start: bool = True  # of a line, with nothing held back

    def add(self, text: str) -> None:
        self.pieces.append(text)
        self.size += len(text)

    def take(self, rest: str = "") -> str:
        """Return all that has come, and begin with `rest`."""
        text = "".join(self.pieces)
        self.pieces, self.size = ([rest] if rest else []), len(rest)
        return text


class Lines:
    r"""Text of whole lines, made of the bytes of standard output and standard error as they come.

    A line of one stream is never glued to one of the other. `\r\n` becomes `\n`; a lone `\r`, with which a progress
    bar begins anew, ends a line too, so that a bar of hours is no line of megabytes.
    """

    def __init__(self, longest: int = LONGEST) -> None:
        self._streams: dict[int, _LineBuffer] = {}
        self._longest = longest
        self._open: int | None = None  # the stream whose line was passed on without its end

    def feed(self, stream: int, data: bytes) -> str:
        """Take bytes of a stream; return the text up to the last line end among them, or a part of a long line."""
        part = self._streams.get(stream)
        if part is None:
            part = self._streams[stream] = _LineBuffer(codecs.getincrementaldecoder("utf-8")("replace"))
        if part.at_start and data.endswith(b"\n") and b"\r" not in data:  # nearly always
            return self._passed(stream, data.decode("utf-8", "replace"))
        part.at_start = data.endswith(b"\n")
        return self._put_together(stream, part, data)

    def _put_together(self, stream: int, part: _LineBuffer, data: bytes) -> str:
        text = part.decode.decode(data)
        if part.pieces and part.pieces[-1] == "\r":  # held back: is it the first half of a line end?
            part.pieces.pop()
            part.size -= 1
            text = "\r" + text
        text, held = (text[:-1], "\r") if text.endswith("\r") else (text, "")
        end = max(text.rfind("\n"), text.rfind("\r")) + 1
        part.add(text[:end] if end else text)
        if not end and part.size <= self._longest:
            if held:
                part.add(held)
            return ""
        rest = text[end:] if end else ""
        whole = part.take()
        if not end or len(rest) > self._longest:
            whole, rest = _parted(whole + rest)
        part.take(rest)
        if held:
            part.add(held)
        return self._passed(stream, whole)

    def end(self) -> str:
        """Return what is left when nothing more comes, every line of it ended."""
        text = ""
        for number, part in self._streams.items():
            part.add(part.decode.decode(b"", final=True))
            if rest := part.take().removesuffix("\r"):
                text += self._passed(number, rest + "\n")
        if self._open is not None:
            text, self._open = text + "\n", None
        return text

    def _passed(self, stream: int, text: str) -> str:
        """Return text as it is passed on: the open line of another stream is ended before."""
        before = "\n" if self._open not in (None, stream) else ""
        self._open = None if text.endswith(("\n", "\r")) else stream
        return before + (text.replace("\r\n", "\n") if "\r" in text else text)


def _parted(text: str) -> tuple[str, str]:
    """Part the text of a line that is too long, behind a space near its end."""
    at = text.rfind(" ", max(0, len(text) - WORD)) + 1 or len(text)
    return text[:at], text[at:]


class Tail:
    """The last lines of a text that grows, each shortened in the middle. May be read from another thread."""

    def __init__(self, lines: int = TAIL, width: int = WIDTH) -> None:
        self._lines: deque[str] = deque(maxlen=lines)
        self._count = lines
        self._half = width // 2
        self._head, self._end, self._size = "", "", 0  # of the line that is not ended yet
        self._lock = threading.Lock()

    def feed(self, text: str) -> None:
        """Take more text."""
        first, *lines = text.rsplit("\n", self._count + 1)
        with self._lock:
            if not lines:
                self._extend(first)
                return
            if len(lines) <= self._count:  # `first` is one line, not all that came before the last lines
                self._extend(first)
                self._lines.append(self._take())
            else:
                self._take()
            *whole, rest = lines
            self._lines += [shortened(line.rstrip("\r"), 2 * self._half) for line in whole]
            self._extend(rest)

    @property
    def lines(self) -> tuple[str, ...]:
        """The last lines so far, that which is not ended yet among them."""
        with self._lock:
            rest = [self._joined()] if self._size else []
            return (*self._lines, *rest)[-self._count :]

    def _extend(self, piece: str) -> None:
        room = self._half - len(self._head)
        self._head += piece[:room]
        self._end = (self._end + piece[room:][-self._half :])[-self._half :]
        self._size += len(piece)

    def _joined(self) -> str:
        return _with_gap(self._head, self._size - len(self._head) - len(self._end), self._end).rstrip("\r")

    def _take(self) -> str:
        line = self._joined()
        self._head, self._end, self._size = "", "", 0
        return line


class Tails:
    """The last lines of a program's two streams together, and before them those of its standard error that they miss.

    The streams are read one beside the other: what explains a failure, on standard error, may come before a good deal
    of what was printed to standard output earlier. May be read from another thread.
    """

    def __init__(self, lines: int = TAIL) -> None:
        self._together = Tail(lines)
        self._errors = Tail(lines)

    def feed(self, text: str) -> None:
        """Take text of both, in the order in which it is kept."""
        self._together.feed(text)

    def feed_error(self, text: str) -> None:
        """Take text of standard error, which `feed` is given too."""
        self._errors.feed(text)

    @property
    def lines(self) -> tuple[str, ...]:
        """The last lines so far: at most twice as many as were asked for."""
        together, errors = self._together.lines, [line for line in self._errors.lines if line]
        earlier = reversed(together)
        while errors and errors[-1] in earlier:  # each is looked for before the place of the one behind it
            errors.pop()
        return (*errors, *together)


def shortened(line: str, width: int = WIDTH) -> str:
    """Return a line with its middle left out where it is too long."""
    if len(line) <= width:
        return line
    half = width // 2
    return _with_gap(line[:half], len(line) - 2 * half, line[-half:])


def visible(text: str) -> Sequence[str]:
    """Return the lines of a text as a terminal would leave them: of a line that begins anew, what it says last."""
    return [shortened(line.rstrip("\r").rpartition("\r")[2]) for line in text.split("\n")]


def _with_gap(head: str, left_out: int, end: str) -> str:
    return f"{head} ... {left_out} characters ... {end}" if left_out else head + end
