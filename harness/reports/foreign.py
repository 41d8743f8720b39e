"""Makes what others wrote harmless for a terminal and for the CI system that reads our output.

Foreign is nearly all that is shown: what containers, engine and service said, cells of a dataset, names of files, even
the `x-harness` block (a pull request from a fork writes that too). A runner obeys what looks like a command: GitHub
`::name::` at the start of a line behind any blanks and `##[name]` anywhere in it, Azure `##vso[...]` and TeamCity
`##teamcity[...]` anywhere, GitLab and Travis their sections, Buildkite `--- `, Jenkins and GitLab `[[ATTACHMENT|...]]`
in JUnit XML. .NET compares without invisible characters, so those are made visible before. All of it stays readable:
`##[error]` becomes `# #[error]`. Everything that prints goes through here; commands of our own are made here too.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from typing import Any, TextIO

MAX_LINE = 4000  # characters of a line on the console; the run folder has it whole
CONTINUED = "  | "  # before the further lines of a text that we print as one: none of them looks like a line of ours

# Escape sequences of terminals (ECMA-48): CSI, strings such as titles and links up to their end, two or three bytes;
# then those that a control character of the upper half begins. (A pattern that begins with one sign is a fast one.)
_STRING = r"[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)"
_SEQUENCES = (
    re.compile(rf"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_]{_STRING}|[ -/]*[0-OQ-WYZ`-~\\])"),
    re.compile(rf"[\x90\x98\x9b\x9d-\x9f](?:(?<=\x9b)[0-?]*[ -/]*[@-~]|(?<!\x9b){_STRING})"),
)
# Beside control characters what is no character of XML 1.0 (production 2), and has no place elsewhere either.
_ILLEGAL = re.compile("[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Characters without a shape: they reorder a line (CVE-2021-42574), end it for some readers, or hide in a command.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0e"
    "\ufeff\uffa0\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff\u200c\u200d\ufe0f]+"
)
_JOINERS = frozenset("\u200c\u200d\ufe0f")  # they have a meaning behind letters of other scripts and behind pictures
# What a text must hold, what is looked for then, what stands in its place.
_COMMANDS: tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...] = (
    (("##",), re.compile(r"##(?=[A-Za-z]*\[)"), "# #"),
    (("section_", "travis_"), re.compile(r"(section_(?:start|end)|travis_(?:fold|time)):"), r"\1 :"),
    (("[[",), re.compile(r"\[\[(?=ATTACHMENT\|)", re.IGNORECASE), "[ ["),
    (("::",), re.compile(r"^([^\S\n]*)::(?=.*::)", re.MULTILINE), r"\1: :"),
    (("---", "+++", "~~~", "^^^"), re.compile(r"^(?=(?:---|\+\+\+|~~~|\^\^\^)[ \t])", re.MULTILINE), " "),
)


def harmless(text: str) -> str:
    """Return a text that commands neither terminal nor runner; its lines stay lines."""
    text = text.encode("utf-8", "replace").decode().replace("\r\n", "\n")
    plain = text.isascii()
    if "\x1b" in text or not plain:
        for pattern in _SEQUENCES:
            text = pattern.sub("", text)
        text = text.replace("\x1b", "\u241b")
    text = _ILLEGAL.sub("", text.replace("\r", "\u240d"))
    if not plain:
        text = _INVISIBLE.sub(_visible, text)
    for signs, pattern, shown in _COMMANDS:
        if any(sign in text for sign in signs):
            text = pattern.sub(shown, text)
    return text


def one_line(text: str) -> str:
    """Return a harmless text as lines of which only the first can be taken for one of ours, each cut to fit."""
    return f"\n{CONTINUED}".join(map(_fitting, harmless(text).split("\n")))


def as_json(value: Any, *, indent: int | None = None, ensure_ascii: bool = True) -> str:
    r"""Return JSON that commands nothing: equal once it is read, but `##[` is written as `\u0023\u0023[`."""
    text = json.dumps(value, indent=indent, ensure_ascii=ensure_ascii)
    for sign in ("#", "\x7f"):  # neither stands in JSON outside of a string
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    for word, shown in (("travis_", "\\u0074ravis_"), ("section_", "\\u0073ection_"), ("[[ATT", "[\\u005bATT")):
        text = text.replace(word, shown)
    return text


def command(name: str, message: str = "", **properties: str) -> str:
    """Return a workflow command of GitHub: `%`, CR and LF are escaped in it, in a property also `:` and `,`."""
    told = ",".join(f"{key}={_property(value)}" for key, value in properties.items() if value)
    return f"::{name}{' ' if told else ''}{told}::{_data(message)}"


class Guard:
    """A text stream that passes on whole lines made harmless: for what others write to our standard error."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._rest = ""

    def write(self, text: str) -> int:
        """Write the lines that are complete."""
        *lines, self._rest = f"{self._rest}{text}".split("\n")
        for line in lines:
            self._stream.write(f"{harmless(line)}\n")
        return len(text)

    def flush(self) -> None:
        """Write also what is no whole line yet: somebody may wait for it."""
        rest, self._rest = self._rest, ""
        self._stream.write(harmless(rest))
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        """Be the stream in all else."""
        return getattr(self._stream, name)


def guard_errors() -> None:
    """Let all that anybody writes to standard error from here on command nobody."""
    sys.stderr = Guard(sys.stderr)


def flush() -> None:
    """Write what was printed, for a process that ends without Python's own clean-up."""
    sys.stdout.flush()
    sys.stderr.flush()


def printer(stream: TextIO | None = None) -> Callable[[str], None]:
    """Return what prints lines of others without anything around them, harmless."""

    def write(line: str) -> None:
        out = stream or sys.stdout
        out.write(f"{harmless(line)}\n")
        out.flush()

    return write


def _visible(found: re.Match[str]) -> str:
    before = found.string[max(0, found.start() - 1) : found.start()]
    if before > "\x7f" and _JOINERS.issuperset(found[0]):
        return found[0]
    return "".join(f"\\u{ord(sign):04x}" for sign in found[0])


def _fitting(line: str) -> str:
    left = len(line) - MAX_LINE
    return line if left <= 0 else f"{line[:MAX_LINE]} ... ({left} more characters)"


def _data(text: str) -> str:
    return harmless(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
