"""Sends the contract's requests and records every answer; judges nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from harness import http
from harness.cases import Request
from harness.cases.behaviour import behaviours
from harness.cases.invariance import invariances
from harness.cases.malformed import malformed, recovery
from harness.cases.skew import skew_requests
from harness.dialects import DIALECTS
from harness.dialects.protocol import Dialect, filled
from harness.http import Target
from harness.records import Contract, Exchange, Interface, Skew
from harness.spec import Spec
from harness.stages import Recording

TIMEOUT = 30.0  # seconds that one answer may take before it is recorded as a hang
PATIENCE = 10.0  # seconds for which a server may say that it is busy, while nobody else asks
INTERVAL = 0.02


def collect(
    run: Recording, target: Target, spoken: Interface, skew: Callable[[], Skew | None] = lambda: None
) -> Contract:
    """Fetch the document and send every request of `requests`, one after the other.

    `skew` waits for the hold-out rows that the training image predicts, if there are any; they are asked last.
    """
    exchanges: list[Exchange] = []
    document, error = _document(target, DIALECTS[spoken.dialect], run.spec.block.serve.document)
    for request in chain(requests(run.spec, spoken), _asked_late(skew)):
        exchange = _send(target, spoken, request)
        run.folder.append_exchange(exchange)
        exchanges.append(exchange)
        if exchange.status is None:
            run.verify()  # of a lost engine nothing more is asked, as of one whose machine is gone no answer comes
    run.say("contract", f"{len(exchanges)} requests sent")
    return Contract(
        exchanges=tuple(exchanges),
        interface=spoken,
        document=document,
        document_error=error,
    )


def _send(target: Target, spoken: Interface, request: Request) -> Exchange:
    """Send a request, and again for as long as the server says, by its protocol, that it is busy."""
    dialect = DIALECTS[spoken.dialect]
    path = spoken.predict if request.path is None else request.path
    deadline = time.monotonic() + PATIENCE
    while True:
        exchange = http.send(
            target,
            path,
            case=request.case,
            method=request.method,
            body=request.body,
            content_type=request.content_type,
            timeout=max(TIMEOUT, dialect.predict_within or 0) if path == spoken.predict else TIMEOUT,
        )
        if exchange.status not in dialect.busy or time.monotonic() > deadline:
            return exchange
        time.sleep(INTERVAL)


def requests(spec: Spec, spoken: Interface) -> Iterator[Request]:
    """Yield the examples, what must not matter, what must, the hold-out rows, the probes, and at last the bad ones.

    After each bad request comes the first example again.
    """
    dialect = DIALECTS[spoken.dialect]
    for example in spec.examples:
        yield Request(f"example:{example.name}", json.dumps(example.request).encode())
    yield from invariances(spec.examples, dialect)
    yield from behaviours(spec.behaviours)
    good_requests = [example.request for example in spec.examples if example.is_good]
    for probe in dialect.probes:
        path = filled(probe.path, spec.block.serve.model)
        path = path.replace("{ready}", spoken.ready).replace("{predict}", spoken.predict)
        body = probe.body
        if probe.example:
            if not good_requests:
                continue
            made = good_requests[0]
            if probe.edit and dialect.takes(made):
                made = probe.edit(made)
            body = json.dumps(made).encode()
        yield Request(f"conforms:{probe.name}", body, probe.method, path, probe.content_type)
    if spec.examples:
        good = spec.examples[0].request
        for request in malformed(good, dialect):
            yield request
            yield Request(recovery(request.case), json.dumps(good).encode())


def _asked_late(skew: Callable[[], Skew | None]) -> Iterator[Request]:
    if (known := skew()) is not None:
        yield from skew_requests(known)


def _document(target: Target, dialect: Dialect, named: str | None) -> tuple[dict[str, Any] | None, str | None]:
    path = named or dialect.document
    if path is None:
        return None, f"the dialect `{dialect.name}` has no document"
    answer = http.send(target, path, case="document", timeout=TIMEOUT)
    if answer.status != 200:  # noqa: PLR2004 - OK
        return None, f"GET {path}: {answer.error or answer.status}"
    try:
        document = json.loads(answer.response)
    except (ValueError, RecursionError) as exc:
        return None, f"GET {path}: not JSON: {exc}"
    return (document, None) if isinstance(document, dict) else (None, f"GET {path}: no JSON object")
