"""Reads the example files of the contract: a request, and the answer that is promised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from harness.errors import DescriptionError
from harness.spec import Example, Tolerance

FORMAT = '{"request": {...}, "response": {...}, "status": 200, "tolerance": {"relative": 1e-6}}'


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class _Tolerance(_Strict):
    relative: float = Field(1e-6, ge=0)
    absolute: float = Field(0.0, ge=0)


class _Example(_Strict):
    name: str | None = None
    request: Any
    response: Any = None
    status: int = Field(200, ge=100, le=599)
    tolerance: _Tolerance = _Tolerance()


_FILE = TypeAdapter(_Example | list[_Example])


def load_examples(root: Path, pattern: str | None) -> tuple[Example, ...]:
    """Read all example files that match a glob below `root`, in the order of their names.

    A file holds one example or a list of them. Raises DescriptionError, also when nothing matches.
    """
    if pattern is None:
        return ()
    try:
        files = sorted(file for file in root.glob(pattern) if file.is_file())
    except (ValueError, NotImplementedError):  # an empty or an absolute pattern
        files = []
    if not files:
        raise DescriptionError(
            f"`x-harness.contract.examples`: no file matches {pattern}",
            hint=f"Write one, for example:\n{FORMAT}",
        )
    examples = [example for file in files for example in _read(root, file)]
    names = [example.name for example in examples]
    for name in names:
        if names.count(name) > 1:
            raise DescriptionError(
                f"two contract examples have the name {name!r}", hint="Names stand in the report: make them differ."
            )
    return tuple(examples)


def _read(root: Path, file: Path) -> list[Example]:
    try:
        parsed = _FILE.validate_python(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, ValidationError) as exc:  # json and unicode errors are ValueErrors
        raise DescriptionError(f"{file.relative_to(root)} is no contract example: {exc}", hint=FORMAT) from exc
    entries = parsed if isinstance(parsed, list) else [parsed]
    numbered = len(entries) > 1
    return [
        Example(
            name=entry.name or (f"{file.stem}-{number}" if numbered else file.stem),
            file=str(file.relative_to(root)),
            request=entry.request,
            response=entry.response,
            has_response="response" in entry.model_fields_set,
            status=entry.status,
            tolerance=Tolerance(entry.tolerance.relative, entry.tolerance.absolute),
        )
        for number, entry in enumerate(entries, start=1)
    ]
