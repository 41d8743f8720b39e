"""Tells a builder's own words from what the steps of a build print: of the machine only the builder speaks. Pure.

A step may print anything, the words of an engine that fails included. BuildKit marks what a step prints with its
number and the seconds, and repeats its end between two rules; after the last of these lines it speaks itself. The
classic builder and Podman's mark nothing, but their last line is their own: it says how the step ended.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.diagnosis.lines import ESCAPES

NUMBERED = re.compile(r"#(?P<step>\d+) (?P<text>.*)")
PRINTED = re.compile(r"#(?P<step>\d+) \d+\.\d+ (?P<text>.*)")
RULE = re.compile(r"-{6,}$")
STEP = re.compile(r"(?:Step|STEP) \d+/\d+ ?: ")
OTHERS = re.compile(r".*(?:returned a non-zero code: \d+$|building at STEP )")  # the last line, without marks
COMMAND = re.compile(r"#\d+ \[[^\]]*\] | > (?:\[[^\]]*\] )?")
TRAILER = re.compile(r"View build details:|Want to debug|Learn more at|\s*$")
# How a program ended that a step ran: then the step failed, whatever it printed.
ENDED = re.compile(r"(?:returned a non-zero code|exit code|exit status):? \d+['\"]?\s*$")
TARGET = re.compile(r"target (?P<name>[\w.-]+): ", re.MULTILINE)
# The command of a step, as the builders quote it before the reason.
QUOTED = re.compile(
    r"executor failed running \[.*\]: |process \"(?:[^\"\\]|\\.)*\" did not complete successfully: "
    r"|building at STEP \"(?:[^\"\\]|\\.)*\": ",
    re.DOTALL,
)


@dataclass(frozen=True)
class Heard:
    """What the output of a build that failed says, by who says it."""

    own: str  # why, in the builder's words; empty where a program ended with an exit code
    printed: tuple[str, ...]  # by the step that failed, without what stands in its own command
    targets: tuple[str, ...]  # that BuildKit names, where it builds several


def heard(log: Sequence[str]) -> Heard:
    """Take the output of a build apart."""
    lines = [ESCAPES.sub("", line.rpartition("\r")[2]).rstrip() for line in log]
    while lines and TRAILER.match(lines[-1]):
        lines.pop()
    steps = [n for n, line in enumerate(lines) if STEP.match(line)]
    marked = [n for n, line in enumerate(lines) if NUMBERED.match(line) or RULE.match(line)]
    if marked and not steps and not OTHERS.match(lines[-1]):
        return _buildkit(lines, lines[marked[-1] + 1 :])
    begins = max(steps, default=-1)
    command = "\n".join([*(lines[begins] for _ in steps[-1:]), *lines[-1:]])
    return Heard(_why(lines[-1:]), _unsaid(lines[begins + 1 : -1], command), ())


def _buildkit(lines: Sequence[str], closing: Sequence[str]) -> Heard:
    numbered = [found for line in lines if (found := NUMBERED.match(line))]
    errors = [found for found in numbered if found["text"].startswith("ERROR: ")]
    failed = errors[-1]["step"] if errors else None
    printed = [
        found["text"]
        for line in lines
        if (found := PRINTED.match(line)) and (failed is None or found["step"] == failed)
    ]
    own = list(closing) or [found["text"] for found in errors[-1:]]
    command = "\n".join([*(line for line in lines if COMMAND.match(line)), *own])
    targets = dict.fromkeys(TARGET.findall("\n".join(closing)))
    return Heard(_why(own), _unsaid(printed, command), tuple(targets))


def _why(closing: Sequence[str]) -> str:
    text = "\n".join(closing)
    return "" if ENDED.search(text) else QUOTED.sub("", text)


def _unsaid(printed: Sequence[str], command: str) -> tuple[str, ...]:
    """Return what was printed but for what the command itself says: an `echo` of such words tells of nothing."""
    return tuple(line for line in printed if line.strip() and line.strip() not in command)
