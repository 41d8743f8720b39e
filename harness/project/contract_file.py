"""Reads the example files of the contract: a request and the answer that is promised, and behavioural tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.client.request_generators.behaviour import changed
from harness.config.spec import Behaviour, Example, Relation, Tolerance
from harness.errors import DescriptionError

FORMAT = '{"request": {...}, "response": {...}, "status": 200, "tolerance": {"relative": 1e-6}}'


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class _Tolerances(_Strict):
    relative: float = Field(1e-6, ge=0)
    absolute: float = Field(0.0, ge=0)

    def frozen(self) -> Tolerance:
        return Tolerance(self.relative, self.absolute)


class _Tolerance(_Tolerances):
    fields: dict[str, _Tolerances] = Field(default_factory=dict)

    def frozen(self) -> Tolerance:
        return Tolerance(self.relative, self.absolute, tuple((k, v.frozen()) for k, v in self.fields.items()))


class _Example(_Strict):
    name: str | None = None
    request: Any
    response: Any = None
    status: int = Field(200, ge=100, le=599)
    tolerance: _Tolerance = _Tolerance()


class _Change(_Strict):
    """INV and DIR: a request, and what is changed in it step by step."""

    name: str | None = None
    test: Literal["invariance", "directional"]
    request: Any
    change: dict[str, list[Any]] = Field(min_length=1)
    output: str = ""
    never: Literal["falls", "rises"] | None = None
    tolerance: _Tolerance = _Tolerance()


class _Case(_Strict):
    request: Any
    response: Any


class _Minimum(_Strict):
    """MFT: simple cases, of which a given part must be right."""

    name: str | None = None
    test: Literal["minimum"]
    cases: list[_Case] = Field(min_length=1)
    at_least: float = Field(1.0, gt=0, le=1)
    tolerance: _Tolerance = _Tolerance()


_Entry = _Example | _Change | _Minimum
_KINDS: dict[str | None, type[_Entry]] = {
    None: _Example,
    "invariance": _Change,
    "directional": _Change,
    "minimum": _Minimum,
}


def load_contract(root: Path, pattern: str | None) -> tuple[tuple[Example, ...], tuple[Behaviour, ...]]:
    """Read all examples and behavioural tests in the files that match a glob below `root`, by the files' names.

    A file holds one entry or a list of them. Raises DescriptionError, also when nothing matches.
    """
    if pattern is None:
        return (), ()
    try:
        files = sorted(file for file in root.glob(pattern) if file.is_file())
    except (ValueError, NotImplementedError):  # an empty or an absolute pattern
        files = []
    if not files:
        raise DescriptionError(
            f"`x-harness.contract.examples`: no file matches {pattern}",
            hint=f"Write one, for example:\n{FORMAT}",
        )
    entries = [entry for file in files for entry in _read(root, file)]
    names = [entry.name for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise DescriptionError(
                f"two contract examples have the name {name!r}", hint="Names stand in the report: make them differ."
            )
    return (
        tuple(entry for entry in entries if isinstance(entry, Example)),
        tuple(entry for entry in entries if isinstance(entry, Behaviour)),
    )


def _read(root: Path, file: Path) -> list[Example | Behaviour]:
    where = str(file.relative_to(root))
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        raw = content if isinstance(content, list) else [content]
        entries = [_validated(each) for each in raw]
        numbered = len(entries) > 1
        return [
            _frozen(entry, entry.name or (f"{file.stem}-{number}" if numbered else file.stem), where)
            for number, entry in enumerate(entries, start=1)
        ]
    except (ValueError, RecursionError) as exc:  # json, unicode and pydantic errors are ValueErrors
        raise DescriptionError(f"{where} is no contract example: {exc}", hint=FORMAT) from exc


def _validated(raw: Any) -> _Entry:
    test = raw.get("test") if isinstance(raw, dict) else None
    if isinstance(test, dict | list) or test not in _KINDS:
        raise ValueError(f"`test` is one of {', '.join(filter(None, _KINDS))}, received {test!r}")
    return _KINDS[test].model_validate(raw)


def _frozen(entry: _Entry, name: str, file: str) -> Example | Behaviour:
    tolerance = entry.tolerance.frozen()
    if isinstance(entry, _Example):
        has_response = "response" in entry.model_fields_set
        return Example(name, file, entry.request, entry.response, has_response, entry.status, tolerance)
    if isinstance(entry, _Minimum):
        requests = tuple(case.request for case in entry.cases)
        responses = tuple(case.response for case in entry.cases)
        return Behaviour(
            name, file, Relation.MINIMUM, requests, responses, at_least=entry.at_least, tolerance=tolerance
        )
    if (entry.test == "directional") != (entry.never is not None):
        raise ValueError("a directional test, and only that, says `never`: falls or rises")
    if entry.test == "directional" and not entry.output:
        raise ValueError("a directional test names the number that it looks at: `output`, a JSON pointer")
    return Behaviour(
        name,
        file,
        Relation(entry.test),
        requests=(entry.request, *changed(entry.request, entry.change)),
        output=entry.output,
        never=entry.never or "",
        tolerance=tolerance,
    )
