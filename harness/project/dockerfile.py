"""Reads from a Dockerfile which images its build starts from."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass

import dockerfile_parse

PINNED_BASE = "python:3.13-slim-trixie@sha256:9d2e5553305c7c7b0097999bb17187c69b921ccd6bc9d40e4bb5ebe652c00285"
LOCAL_PREFIX = "harness-local/"  # images that `harness setup` makes; never pulled: a stranger could own the name
BASE_ARGUMENT = "BASE_IMAGE"  # the build argument through which a Dockerfile lets its base be replaced

_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::([-+])([^}]*))?\}|(\w+))")
_HEREDOC = re.compile(r"(?<!<)<<(?!<)-?([\"']?)([A-Za-z_]\w*)\1")
_DIGEST = re.compile(r"@(sha256:[0-9a-f]{64})$")


@dataclass(frozen=True)
class From:
    """One image that a build starts from: as it is used, and as the Dockerfile itself names it."""

    reference: str
    default: str


def digest_of(reference: str) -> str | None:
    """Return the `sha256:...` of a reference that is pinned by digest."""
    match = _DIGEST.search(reference)
    return match[1] if match else None


def bases(text: str, arguments: Mapping[str, str]) -> tuple[From, ...]:
    """Return the images that the FROM and COPY --from lines name, each once, earlier stages and `scratch` left out.

    `arguments` are the build arguments; `ARG` lines before the first FROM give the defaults, as the Dockerfile
    reference says ("Understand how ARG and FROM interact").
    """
    parser = dockerfile_parse.DockerfileParser(fileobj=io.BytesIO(_without_heredocs(text).encode()))
    defaults: dict[str, str] = {}
    used: dict[str, str] = {}
    stages = {"scratch"}  # their names are not case-sensitive
    found: dict[From, None] = {}  # a dict keeps the order and drops the doubles
    for line in parser.structure:
        instruction, value = line["instruction"], line["value"]
        if instruction == "ARG" and stages == {"scratch"}:
            for name, _, default in (word.partition("=") for word in value.split()):
                defaults[name] = _substitute(default.strip("\"'"), defaults)
                used[name] = arguments.get(name, _substitute(default.strip("\"'"), used))
        elif instruction == "FROM":
            words = [word for word in value.split() if not word.startswith("--")]
            base = From(_substitute(words[0], used), _substitute(words[0], defaults))
            if base.reference.lower() not in stages:
                found[base] = None
            # A stage without a name still ends the global ARG section.
            stages.add(words[2].lower() if len(words) > 2 else f"{len(stages) - 1}")  # noqa: PLR2004 - FROM image AS name
        elif instruction == "COPY":
            match = re.match(r"(?:--\S+ )*--from=(\S+)", value)
            if match and match[1].lower() not in stages and not match[1].isdigit():
                found[From(match[1], match[1])] = None
    return tuple(found)


def _without_heredocs(text: str) -> str:
    """Drop the here-documents of RUN and COPY, which the parser would read as instructions, and a byte order mark."""
    lines = text.removeprefix("\ufeff").split("\n")
    kept, ends = [], list[str]()
    for number, line in enumerate(lines):
        if ends:
            if line.strip("\t\r") == ends[0]:
                ends.pop(0)
            continue
        kept.append(line)
        if "<<" in line and not line.lstrip().startswith("#"):
            later = {other.strip("\t\r") for other in lines[number + 1 :]}
            ends = [match[2] for match in _HEREDOC.finditer(line) if match[2] in later]
    return "\n".join(kept)


def _substitute(text: str, values: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        name, operator, word = match[1] or match[4], match[2], match[3]
        current = values.get(name, "")
        if operator == "-":
            return current or word
        if operator == "+":
            return word if current else ""
        return current

    return _VARIABLE.sub(value, text)
