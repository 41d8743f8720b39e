"""What Compose files take from the environment: which of the values may go into a bundle, and which stay here.

A name does not tell whether its value is private (`PIN`, `INTERNAL_URL`, `DB_HOST`), so only values on a list leave:
those that the harness needs, and those that the project names in `bundle.variables`. The others stand in a bundle by
their names alone. In the evidence they are replaced too, unless that would hide what everybody may read in the
project, or words, versions and paths that a rerun needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.config.spec import Spec
from harness.project import compose_file
from harness.project.dockerfile import BASE_ARGUMENT
from harness.reproduce.bundle.contents import included, variables
from harness.reproduce.bundle.secret_names import DEFAULTS, TRIVIAL, NamedSecret, is_secret_name

ALLOWED = frozenset({BASE_ARGUMENT, "SOURCE_DATE_EPOCH"})
MIN_BESIDE = 6  # characters: a shorter value is a number or a word of many meanings
MIN_ANYWHERE = 8
_ORDINARY = re.compile(r"v?\d+(?:[._-]\w+)+|[.~]{0,2}/.*|-.*", re.DOTALL)  # versions, paths, options
_HOST = re.compile(
    r"[\w-]+(?:\.[\w-]+)+\.[A-Za-z]{2,}(?::\d+)?(?:/.*)?|[\w.-]+\.(?:corp|internal|intranet|lan|local|home)(?:[:/].*)?"
    r"|[\w.-]+:\d{2,5}(?:/.*)?"
)
_RANDOM = re.compile(r"(?=.*[A-Za-z])(?=.*\d)[A-Za-z0-9]{10,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SIGNS = re.compile(r"[^\w\s.,:/@-]")  # that no word, path or version has


@dataclass(frozen=True)
class Interpolated:
    """The variables that the Compose files name and that have a value here."""

    shown: Mapping[str, str] = field(default_factory=dict)
    hidden: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """All of them, sorted."""
        return sorted({*self.shown, *self.hidden})


def interpolated(spec: Spec, root: Path, environ: Mapping[str, str]) -> Interpolated:
    """Return the variables of a project, the environment before its `.env`, as Compose has them."""
    known = compose_file.variables(root, environ)
    values = {name: known[name] for name in variables(spec.files) if name in known}
    allowed = ALLOWED | set(spec.block.bundle.variables)
    shown = {name: value for name, value in values.items() if not value or _may_leave(name, allowed)}
    return Interpolated(shown, {name: value for name, value in values.items() if name not in shown})


def _may_leave(name: str, allowed: set[str] | frozenset[str]) -> bool:
    return name in allowed and not is_secret_name(name)


def hidden_values(found: Interpolated, spec: Spec, commit: str) -> Iterator[NamedSecret]:
    """Yield what is to be replaced in the evidence too: everywhere what cannot be there by chance, else at its name."""
    public = "\n".join([spec.project, str(spec.root), commit, *map(_text, (*spec.files, *included(spec.files)))])
    for name, value in found.hidden.items():
        ordinary = value.lower() in TRIVIAL | DEFAULTS or value in public or _ORDINARY.fullmatch(value)
        if len(value) >= MIN_BESIDE and not ordinary and not value.isalpha():
            yield NamedSecret(name, value, anywhere=_is_telling(value))


def _is_telling(value: str) -> bool:
    """Whether a value has the form of an address or of something random."""
    if len(value) < MIN_ANYWHERE:
        return False
    told = "://" in value or "@" in value or _HOST.fullmatch(value) or _RANDOM.fullmatch(value)
    return bool(told or _SIGNS.search(value))


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
