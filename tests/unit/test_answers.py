"""Answers that are none, or none that can be read: refused, redirected, limited, compressed; NaN and null in them."""

# ruff: noqa: ARG005 - a style may do without the number of the request

from __future__ import annotations

import gzip
import json
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import builders
import pytest
from defects import defect
from service import Service, served
from test_volatile import PLAIN, PREDICTIONS, Styled, _contract, _failed, _judged, _spec

from harness.checks import all_checks
from harness.checks.judge import judge
from harness.client import http
from harness.client.http import Target
from harness.client.load import LoadRequest, Traffic
from harness.evidence.records import Finding, Selection, Status
from harness.openapi.nullable import answer_allows_null
from harness.runner import remote
from harness.runner.stages import contract as stage

CHECKS = {check.name: check for check in all_checks()}
SKIPPED = ("contract.recovers", "contract.finite", "contract.volatile", "contract.rejects-null", "contract.repeatable")


@dataclass
class Said:
    """An answer as it goes over the wire."""

    status: int
    body: bytes
    headers: Mapping[str, str]


Change = Callable[[int, Said], Said]  # of the answer to the request of that number to the predict path


@contextmanager
def serving(change: Change, service: Service | None = None) -> Iterator[Target]:
    """Serve the good service with another answer at the predict path."""
    good = service or Styled(lambda p, _n: {"predictions": p})
    lock, count = threading.Lock(), [0]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, answer = good.answer(self.command, self.path, body, self.headers.get("Content-Type", ""))
            said = Said(status, json.dumps(answer).encode(), {})
            if self.path == "/predict":
                with lock:
                    count[0] += 1
                said = change(count[0], said)
            self.send_response(said.status)
            for name, value in {"Content-Type": "application/json", **said.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(said.body)))
            self.end_headers()
            self.wfile.write(said.body)

        do_POST = do_DELETE = do_GET  # noqa: N815 - the names of the base class

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with served(Handler) as target:
        yield target


def judged(change: Change, folder: Path, *, deep: bool = False) -> list[Finding]:
    """Judge it as `harness contract --url` does."""
    with serving(change) as target:
        spec = replace(_spec(*PREDICTIONS), behaviours=(), root=folder, port=target.port)
        only = ("contract.load",) if deep else ()
        selection = Selection(fast=not deep, deep=deep, only=only)
        return list(remote.judge(spec, target, builders.Silent(), selection).findings)


def _passed(found: list[Finding]) -> set[str]:
    return {finding.check for finding in found if finding.status is Status.PASS}


def _refused(_n: int, _said: Said) -> Said:
    return Said(401, b'{"detail": "Not authenticated"}', {"WWW-Authenticate": "Bearer"})


def _redirected(_n: int, _said: Said) -> Said:
    return Said(307, b"", {"Location": "/predict/"})


@pytest.mark.parametrize(
    ("change", "received", "advice"),
    [
        pytest.param(
            _refused, "status 401", "no credentials", marks=defect("contract.examples", "401", proof="server")
        ),
        (lambda _n, _s: Said(403, b"{}", {}), "status 403", "no credentials"),
        pytest.param(
            _redirected,
            "status 307 to /predict/",
            "`contract.predict` (/predict/)",
            marks=defect("contract.examples", "a redirect", proof="server"),
        ),
        (lambda _n, _s: Said(404, b"{}", {}), "status 404", "`contract.predict`"),
        (lambda _n, _s: Said(429, b"{}", {"Retry-After": "3600"}), "status 429", "lift the limit"),
        (lambda _n, _s: Said(200, b"\x00\xff", {"Content-Encoding": "br"}), "encoded as br", "Correct the model"),
    ],
)
def test_what_is_always_refused_proves_nothing(change: Change, received: str, advice: str, tmp_path: Path) -> None:
    """Where the good request gets no prediction either, no refusal passes a check; the example says what to do."""
    found = judged(change, tmp_path)
    assert _failed(found).keys() == {"contract.examples"}, _failed(found)
    first = next(finding for finding in found if finding.check == "contract.examples")
    assert received in first.received
    assert advice in first.advice
    if "br" not in received:
        assert not _passed(found)
        assert {f.status for f in found if f.check in SKIPPED} == {Status.SKIP}


def test_what_breaks_is_told_although_the_good_request_is_refused() -> None:
    """A 5xx is one, whoever may ask."""
    service = Service("breaks-on-whole-lengths")
    spec = replace(builders.spec(), examples=(builders.example(status=422, has_response=False, request={"x": 1}),))
    contract = builders.contract(described=spec)
    broken = replace(next(e for e in contract.exchanges if e.case.startswith("rejects-unknown")), status=500)
    assert service.fault
    contract = replace(contract, exchanges=(*(e for e in contract.exchanges if e.case != broken.case), broken))
    found = judge(builders.evidence(spec=spec, contract=contract), [CHECKS["contract.rejects-unknown"]])
    assert [finding.status for finding in found] == [Status.FAIL]


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "0"}, {"Retry-After": "Fri, 27 Nov 2026 22:00:00 GMT"}])
def test_a_limit_is_waited_for(headers: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that answers 429 now and then is asked again, and judged by what it answers then."""
    monkeypatch.setattr(stage, "AGAIN", 0.01)
    found = judged(lambda n, said: Said(429, b"{}", headers) if n % 5 == 0 else said, tmp_path)
    assert not _failed(found)
    assert {"contract.recovers", "contract.repeatable", "contract.rejects-null"} <= _passed(found)


@pytest.mark.parametrize("status", [429, 503])
def test_a_limit_without_end_is_told(status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while nothing more is waited for: what was answered before is judged, and 429 is no refusal."""
    monkeypatch.setattr(stage, "LIMITS", 0.02)
    monkeypatch.setattr(stage, "AGAIN", 0.01)
    found = judged(lambda n, said: Said(status, b"{}", {}) if n > 20 else said, tmp_path)
    passed = "contract.rejects-oversized" in _passed(found)
    assert not passed
    assert (not _failed(found)) == (status == 429), _failed(found)


def _raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "GZIP": lambda body: gzip.compress(body[:5]) + gzip.compress(body[5:]),
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "deflate, gzip": lambda body: gzip.compress(_raw_deflate(body)),
    "identity": lambda body: body,
}


@pytest.mark.parametrize("encoding", PACKED)
def test_compressed_answers_are_read(encoding: str, tmp_path: Path) -> None:
    """A server or a proxy that compresses unasked is judged by what it says, one by one and under load."""

    def packed(_n: int, said: Said) -> Said:
        return Said(said.status, PACKED[encoding](said.body), {"Content-Encoding": encoding})

    found = judged(packed, tmp_path)
    assert not _failed(found)
    assert {"contract.examples", "contract.recovers", "contract.rejects-null"} <= _passed(found)
    with serving(packed) as target:
        ask = LoadRequest(json.dumps(builders.REQUEST).encode(), json.dumps(builders.ANSWER).encode())
        step = Traffic(target, "/predict", (ask,)).closed_loop(2, 0.1)
    assert step.answered == step.sent > 0, step.errors


@pytest.mark.parametrize(
    ("make", "encoding", "said"),
    [
        (lambda: b"no gzip", "gzip", "and is not"),
        (lambda: gzip.compress(b"{}" * 1000)[:-9], "gzip", "ends too soon"),
        (lambda: gzip.compress(bytes(http.MAX_BODY + 1)), "gzip", f"more than {http.MAX_BODY} bytes"),
        (lambda: b"x", "zstd", "only `identity` was asked for"),
    ],
    ids=["no-gzip", "cut-off", "bomb", "unknown"],  # a body says when it was packed: no name of a test
)
def test_what_cannot_be_unpacked(make: Callable[[], bytes], encoding: str, said: str) -> None:
    """It is recorded as it came, with the reason; a bomb does not fill the memory."""
    body = make()
    raw, error = http.plain(body, encoding)
    assert raw == body or said in error
    assert said in error


# --- NaN, Infinity and null


def _optional(kind: str) -> dict[str, Any]:
    kinds: dict[str, dict[str, Any]] = {
        "nullable": {"type": "string", "nullable": True},
        "types": {"type": ["string", "null"]},
        "anyOf": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "reference": {"$ref": "#/components/schemas/Text"},
        "beside": {"$ref": "#/components/schemas/Word", "nullable": True},
        "enum": {"enum": ["a", None]},
        "const": {"oneOf": [{"const": None}, {"type": "string"}]},
        "allOf": {"allOf": [{"$ref": "#/components/schemas/Text"}]},
        "text": {"type": "string"},
        "anything": {},
        "word": {"$ref": "#/components/schemas/Word"},
        "circle": {"$ref": "#/components/schemas/Circle"},
    }
    return kinds[kind]


ALLOWED = ("nullable", "types", "anyOf", "reference", "beside", "enum", "const", "allOf")


def _document(schema: dict[str, Any]) -> dict[str, Any]:
    row = {"$ref": "#/components/schemas/Row"}
    answer = {"type": "object", "properties": {"predictions": {"type": "array", "items": row}}}
    content = {"application/json": {"schema": answer}}
    return {
        "openapi": "3.1.0",
        "paths": {"/predict": {"post": {"responses": {"200": {"description": "", "content": content}}}}},
        "components": {
            "schemas": {
                "Row": {"allOf": [{"type": "object", "properties": {"y": {"type": "number"}, "label": schema}}]},
                "Text": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "Word": {"type": "string"},
                "Circle": {"allOf": [{"$ref": "#/components/schemas/Circle"}]},
            }
        },
    }


@pytest.mark.parametrize("kind", [*ALLOWED, "text", "anything", "word", "circle"])
def test_documented_null(kind: str) -> None:
    """Null is documented where a schema names it, in any spelling; where anything goes, nothing is said of it."""
    allowed = answer_allows_null(_document(_optional(kind)), "/predict", 200, ("predictions", "*", "label"))
    assert allowed == (kind in ALLOWED)
    assert not answer_allows_null(_document(_optional(kind)), "/predict", 200, ("predictions", "*", "y"))
    assert not answer_allows_null(None, "/predict", 200, ())


def _rows(*, y: Any = None, **more: Any) -> Callable[[list[float], int], Any]:
    return lambda p, n: {"predictions": [{"y": y(each, n) if y else each, **more} for each in p]}


OF_ROWS = ({"predictions": [{"y": 0.25}]}, {"predictions": [{"y": 1.5}]})
LABELS = ({"predictions": [{"label": "a"}]}, {"predictions": [{"label": "a"}]})


@pytest.mark.parametrize(
    ("promised", "style"),
    [
        (OF_ROWS, _rows(label=None)),
        (OF_ROWS, _rows(explanation=None, warning=None)),
        ((), _rows(label=None)),
        (PREDICTIONS, lambda p, n: {"predictions": p, "error": None, "explanations": [None] * len(p)}),
        (({"predictions": [None]},) * 2, lambda p, n: {"predictions": [None for _ in p]}),
        (LABELS, lambda p, n: {"predictions": [{"label": "a", "nan": "NaN", "note": "inf"} for _ in p]}),
        (
            ({"predictions": ["NaN"]}, {"predictions": ["b"]}),
            lambda p, n: {"predictions": ["NaN" if y < 1 else "b" for y in p]},
        ),
    ],
)
def test_null_beside_a_prediction(promised: tuple[Any, ...], style: Any) -> None:
    """A null that is no prediction, and a word that only looks like NaN, are let pass without a document too."""
    assert "contract.finite" not in _failed(_judged(Styled(style), _spec(*promised)))


def _lost(each: float, _n: int) -> float | None:
    return None if each > 1 else each


@pytest.mark.parametrize(
    ("promised", "style"),
    [
        (OF_ROWS, _rows(y=_lost)),
        ((), _rows(y=_lost)),
        ((), _rows(y=_lost, label=None)),
        ((), lambda p, n: {"predictions": [_lost(y, n) for y in p]}),
        ((), lambda p, n: {"prediction": None, "error": "overflow", "rows": p}),
        ((), lambda p, n: {"species": None, "model": "v1"}),
        (({"species": "Adelie"},) * 2, lambda p, n: {"species": None, "note": "x", "rows": p}),
        ((), lambda p, n: None),
        (PREDICTIONS, lambda p, n: {"predictions": [float("nan") if y > 1 else y for y in p]}),
        (PREDICTIONS, lambda p, n: {"predictions": [float("-inf") if y > 1 else y for y in p]}),
        (PREDICTIONS, lambda p, n: {"predictions": ["NaN" if y > 1 else y for y in p]}),
        ((), lambda p, n: {"score": "Infinity"}),
    ],
)
def test_a_lost_prediction(promised: tuple[Any, ...], style: Any) -> None:
    """NaN, Infinity, their names, and null in the place of a prediction fail; and are equal to themselves."""
    failed = _failed(_judged(Styled(style), _spec(*promised)))
    assert "contract.finite" in failed
    assert (
        not {"contract.repeatable", "contract.recovers", "contract.field-order", "contract.row-order"} & failed.keys()
    )


@pytest.mark.parametrize(("kind", "status"), [("anyOf", Status.PASS), ("text", Status.FAIL)])
def test_null_in_place_of_the_label(kind: str, status: Status) -> None:
    """The only prediction of a row may be null where the document says so, and nowhere else."""
    style = lambda p, n: {"predictions": [{"label": None} for _ in p]}  # noqa: E731
    spec = _spec()
    contract = replace(_contract(Styled(style), spec), document=_document(_optional(kind)), interface=PLAIN)
    found = judge(builders.evidence(spec=spec, contract=contract), [CHECKS["contract.finite"]])
    assert {finding.status for finding in found} == {status}
