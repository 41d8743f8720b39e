"""Puts variables into the texts of a Compose file as Compose does, for where no Compose is installed; pure.

The forms are those of the Compose specification: `$NAME`, `${NAME}`, `:-` and `-` with a default, `:?` and `?` with an
error, `:+` and `+` with a replacement, each of these possibly with variables in it, and `$$` for one `$`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":?[-?+]")
_LINE = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][\w.-]*)\s*[=:]\s*(.*)$")


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """Return a text with its variables filled in; one that is not set is empty.

    Raises ValueError for a form that does not exist, and for a variable that is required and missing.
    """
    parts, at = [], 0
    while (found := text.find("$", at)) >= 0:
        parts.append(text[at:found])
        value, at = _expression(text, found + 1, variables)
        parts.append(value)
    return "".join([*parts, text[at:]])


def read_env(text: str, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a `.env` file; those of the environment, `variables`, win over them."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        name, value = match[1], match[2].strip()
        if value[:1] == "'" and (end := value.find("'", 1)) > 0:
            found[name] = value[1:end]
            continue
        if value[:1] == '"' and (end := value.find('"', 1)) > 0:
            value = value[1:end].replace("\\n", "\n")
        else:
            value = re.split(r"(?:^|\s)#", value, maxsplit=1)[0].rstrip()
        try:
            found[name] = interpolated(value, {**found, **variables})
        except ValueError:
            found[name] = value
    return {**found, **variables}


def _expression(text: str, at: int, variables: Mapping[str, str]) -> tuple[str, int]:
    """Return the value of what follows a `$`, and where the text goes on."""
    if text[at : at + 1] == "$":
        return "$", at + 1
    if text[at : at + 1] != "{":
        name = _NAME.match(text, at)
        if name is None:
            raise ValueError(f"a `$` in {text!r} begins no variable: write `$$` for one `$`")
        return variables.get(name[0], ""), name.end()
    name = _NAME.match(text, at + 1)
    end = _end(text, at + 1)
    if name is None or end < 0:
        raise ValueError(f"`{text[at - 1 : end + 1 or None]}` is no variable: write `$$` for one `$`")
    operator = _OPERATOR.match(text, name.end())
    word = text[operator.end() : end] if operator else text[name.end() : end]
    if operator is None and word:
        raise ValueError(f"`{text[at - 1 : end + 1]}` is no variable: write `$$` for one `$`")
    return _value(name[0], operator[0] if operator else "", word, variables), end + 1


def _end(text: str, at: int) -> int:
    """Return where the brace closes that was opened before `at`; -1 where it does not."""
    depth = 1
    for place in range(at, len(text)):
        depth += (text[place] == "{" and text[place - 1] == "$") - (text[place] == "}")
        if depth == 0:
            return place
    return -1


def _value(name: str, operator: str, word: str, variables: Mapping[str, str]) -> str:
    value = variables.get(name)
    is_there = bool(value) if operator.startswith(":") else value is not None
    if operator.endswith("+"):
        return interpolated(word, variables) if is_there else ""
    if is_there or not operator:
        return value or ""
    if operator.endswith("-"):
        return interpolated(word, variables)
    raise ValueError(f"the variable {name} is required and missing" + (f": {word}" if word else ""))
