"""Golden examples: the answers of a served model, written down as what the contract promises from now on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import http
from harness.cases.skew import row_requests
from harness.dialects import DIALECTS
from harness.errors import DescriptionError
from harness.evidence import write_atomic
from harness.http import Target
from harness.records import Exchange, Interface
from harness.row_file import read_rows
from harness.spec import Example, Tolerance

TIMEOUT = 60.0
HINT = "Give .json (one request), .jsonl (one request a line) or .csv (rows for the first example's request)."


@dataclass(frozen=True)
class Golden:
    """One request, the answer that it got, and the file that may hold them as an example."""

    name: str
    request: Any
    exchange: Exchange
    file: Path
    problem: str = ""  # why this answer is not to be promised

    @property
    def content(self) -> str:
        """The example file."""
        entry = {
            "name": self.name,
            "request": self.request,
            "status": self.exchange.status,
            "response": json.loads(self.exchange.response),
            "tolerance": {"relative": Tolerance().relative},
        }
        return json.dumps(entry, indent=2, ensure_ascii=False) + "\n"


def read_requests(files: Sequence[Path], examples: Sequence[Example], interface: Interface) -> list[tuple[str, Any]]:
    """Return name and body of every request in the files given. Raises DescriptionError."""
    found: list[tuple[str, Any]] = []
    for file in files:
        bodies = _read(file, examples, interface)
        many = len(bodies) > 1
        found += [(f"{file.stem}-{number}" if many else file.stem, body) for number, body in enumerate(bodies, start=1)]
    return found


def ask(target: Target, interface: Interface, requests: Sequence[tuple[str, Any]], folder: Path) -> list[Golden]:
    """Send every request twice and return what may be promised: an answer that is a prediction and the same again."""
    return [_ask(target, interface, name, body, folder) for name, body in requests]


def write(golden: Sequence[Golden]) -> list[Path]:
    """Write the examples that have no problem; return their files."""
    good = [each for each in golden if not each.problem]
    for each in good:
        write_atomic(each.file, each.content)
    return [each.file for each in good]


def _read(file: Path, examples: Sequence[Example], interface: Interface) -> list[Any]:
    try:
        if file.suffix == ".json":
            return [json.loads(file.read_text(encoding="utf-8"))]
        if file.suffix == ".jsonl":
            lines = file.read_text(encoding="utf-8").splitlines()
            return [json.loads(line) for line in lines if line.strip()]
        if file.suffix == ".csv":
            return row_requests(read_rows(file), examples, DIALECTS[interface.dialect])
    except (OSError, ValueError, RecursionError) as exc:
        raise DescriptionError(f"{file} holds no request: {exc}", hint=HINT) from exc
    raise DescriptionError(f"{file}: expected .json, .jsonl or .csv", hint=HINT)


def _ask(target: Target, interface: Interface, name: str, body: Any, folder: Path) -> Golden:
    raw = json.dumps(body).encode()
    first, again = (
        http.send(target, interface.predict, case=f"record:{name}", method="POST", body=raw, timeout=TIMEOUT)
        for _ in range(2)
    )
    file = folder / f"{name}.json"
    return Golden(name, body, first, file, _problem(first, again, file, interface))


def _problem(first: Exchange, again: Exchange, file: Path, interface: Interface) -> str:
    if not DIALECTS[interface.dialect].is_answer(first):
        return f"no prediction: {first.error or f'status {first.status}'}"
    if first.response != again.response:
        return "asked again, it answers something else"
    try:
        json.loads(first.response)
    except (ValueError, RecursionError):
        return "the answer is not JSON"
    return f"{file} exists already" if file.exists() else ""
