"""Reads and writes `harness.lock`: the pins that a run depends on. `harness lock` alone moves them."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from harness.errors import DescriptionError
from harness.evidence.records import Lock

NAME = "harness.lock"
_LOCK: TypeAdapter[Lock] = TypeAdapter(Lock)


def read(root: Path) -> Lock | None:
    """Return the pins of a project, None where it has no lock. Raises DescriptionError for a broken one."""
    path = root / NAME
    if not path.is_file():
        return None
    try:
        return _LOCK.validate_json(path.read_bytes())
    except ValidationError as exc:
        raise DescriptionError(f"{NAME} cannot be read: {exc}", hint="Make it anew with `harness lock`.") from exc


def write(root: Path, lock: Lock) -> bool:
    """Write the pins; return whether anything changed."""
    path = root / NAME
    text = _LOCK.dump_json(lock, indent=1).decode() + "\n"
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    path.write_text(text, encoding="utf-8")
    return True
