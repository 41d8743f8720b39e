"""Golden examples: the answers of a served model, written down as what the contract promises from now on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.checks.volatile import DECLARE, AnsweredRequest, LeftOut, found_in, pointer
from harness.client import http
from harness.client.compare import SAME, compare
from harness.client.http import Target
from harness.client.protocols import DIALECTS
from harness.client.protocols.protocol import parsed
from harness.client.request_generators.skew import row_requests
from harness.config.spec import Example, Spec, Tolerance
from harness.datasets.row_file import read_rows
from harness.errors import DescriptionError
from harness.evidence.records import Exchange, Interface
from harness.evidence.run_folder import write_atomic

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
    response: Any = None  # what of the answer is promised
    left_out: tuple[str, ...] = ()  # JSON pointers of what is new each time, such as an ID

    @property
    def content(self) -> str:
        """The example file."""
        entry = {
            "name": self.name,
            "request": self.request,
            "status": self.exchange.status,
            "response": self.response,
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


def ask(
    spec: Spec, target: Target, interface: Interface, requests: Sequence[tuple[str, Any]], folder: Path
) -> list[Golden]:
    """Send every request twice and return what may be promised: an answer that is a prediction and the same again.

    What is new each time and no prediction, such as the ID of the request, is not promised.
    """
    twice = [_ask(target, interface, name, body) for name, body in requests]
    heard = [(e, parsed(e)) for pair in twice for e in pair if DIALECTS[interface.dialect].is_answer(e)]
    asked = [AnsweredRequest(e.request, answer, e.seconds) for e, answer in heard if answer is not None]
    aside = found_in(asked, spec, DIALECTS[interface.dialect])
    return [
        _golden(name, body, pair, folder / f"{name}.json", aside)
        for (name, body), pair in zip(requests, twice, strict=True)
    ]


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


def _ask(target: Target, interface: Interface, name: str, body: Any) -> tuple[Exchange, Exchange]:
    raw = json.dumps(body).encode()
    first, again = (
        http.send(target, interface.predict, case=f"record:{name}", method="POST", body=raw, timeout=TIMEOUT)
        for _ in range(2)
    )
    return first, again


def _golden(name: str, body: Any, pair: tuple[Exchange, Exchange], file: Path, aside: LeftOut) -> Golden:
    first, again = pair
    if problem := _problem(first, again, file, aside):
        return Golden(name, body, first, file, problem)
    answer = parsed(first)
    new = tuple(pointer(place) for place in aside.places if aside.has(answer, place))
    return Golden(name, body, first, file, response=aside.promised(answer), left_out=new)


def _problem(first: Exchange, again: Exchange, file: Path, aside: LeftOut) -> str:
    if not aside.dialect.is_answer(first):
        return f"no prediction: {first.error or f'status {first.status}'}"
    if first.response != again.response and (parsed(first) is None or _differs(parsed(first), parsed(again), aside)):
        return f"asked again, it answers something else. {DECLARE}"
    if parsed(first) is None:
        return "the answer is not JSON"
    return f"{file} exists already" if file.exists() else ""


def _differs(first: Any, again: Any, aside: LeftOut) -> bool:
    return any(compare(aside.promised(first), aside.promised(again), SAME))
