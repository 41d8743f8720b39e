"""Variables in Compose files, as the Compose specification has them: Compose itself is asked the same."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import builders
import pytest

from harness.project.interpolation import interpolated, read_env

VARIABLES = {"SET": "value", "EMPTY": "", "OTHER": "x"}
TEXTS = [
    "plain",
    "$SET and ${SET}s",
    "$$SET costs 5$$",
    "${UNSET:-default} ${UNSET-default} ${EMPTY:-default} [${EMPTY-default}]",
    "${UNSET:-${EMPTY:-${SET}}}/*.json",
    "${SET:+there}${EMPTY:+not}${EMPTY+there}${UNSET+not}",
    "${SET:?must be set}",
    "[$UNSET] [${UNSET}]",
    "${UNSET:-/a-b_c.d:e}",
    "{not} one} of }{",
]


@pytest.mark.parametrize("text", TEXTS)
def test_as_compose(tmp_path: Path, text: str) -> None:
    """Every form gives what Compose gives."""
    builders.write_files(tmp_path, {"c.yaml": f"services: {{a: {{image: x}}}}\nx-harness: {{a: '{text}'}}\n"})
    environment = {name: value for name, value in os.environ.items() if name not in ("UNSET", *VARIABLES)}
    compose = replace(builders.compose(), environment=environment | VARIABLES)
    expected = compose.config(tmp_path, [tmp_path / "c.yaml"])["x-harness"]["a"].replace("$$", "$")
    assert interpolated(text, VARIABLES) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("${UNSET:?say where}", "UNSET is required and missing: say where"),
        ("${EMPTY:?}", "EMPTY is required and missing"),
        ("${UNSET?no}", "UNSET"),
        ("${SET", "no variable"),
        ("${1}", "no variable"),
        ("${SET/x}", "no variable"),
        ("a $ b", "write `$$`"),
    ],
)
def test_refused(text: str, said: str) -> None:
    """A form that does not exist, and a required variable that is missing, are told."""
    with pytest.raises(ValueError, match=said.replace("$", r"\$")):
        interpolated(text, VARIABLES)


ENV = """\
# a comment
A=1
export B = "two words" # comment
C='$A'
D=${A}0 # ten
E=#nothing
URL=http://x/#part
MINE=of the file
no line
"""


def test_env_file() -> None:
    """The forms of a `.env` file; the environment wins over it."""
    found: dict[str, Any] = read_env(ENV, {"MINE": "of the shell"})
    assert found == {
        "A": "1",
        "B": "two words",
        "C": "$A",
        "D": "10",
        "E": "",
        "URL": "http://x/#part",
        "MINE": "of the shell",
    }
