"""Sends the contract's requests and records every answer; judges nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from itertools import chain

from harness.client import http
from harness.client.http import Target
from harness.client.protocols import DIALECTS
from harness.client.protocols.protocol import filled
from harness.client.request_generators import Request
from harness.client.request_generators.behaviour import behaviours
from harness.client.request_generators.invariance import invariances
from harness.client.request_generators.malformed import malformed, recovery
from harness.client.request_generators.skew import skew_requests
from harness.config.spec import Spec
from harness.evidence.records import Contract, Exchange, Interface, Skew
from harness.runner.stages import Recording, api_document

TIMEOUT = 30.0  # seconds that one answer may take before it is recorded as a hang
PATIENCE = 10.0  # seconds for which a server may say that it is busy, while nobody else asks
INTERVAL = 0.02
LIMITED = 429
LIMITS = 60.0  # seconds for which all in all is waited where a service limits how often it is asked
AGAIN = 0.5  # seconds, where it does not say when to ask again


def collect(
    run: Recording, target: Target, interface: Interface, skew: Callable[[], Skew | None] = lambda: None
) -> Contract:
    """Fetch the document and send every request of `requests`, one after the other.

    `skew` waits for the hold-out rows that the training image predicts, if there are any; they are asked last.
    """
    exchanges: list[Exchange] = []
    limits = _Limits()
    document, error = api_document.find(target, run.spec.block.serve, DIALECTS[interface.dialect], interface.predict)
    for request in chain(requests(run.spec, interface), _asked_late(skew)):
        exchange = _send(target, interface, request, limits)
        run.folder.append_exchange(exchange)
        exchanges.append(exchange)
        if exchange.status is None:
            run.verify()  # of a lost engine nothing more is asked, as of one whose machine is gone no answer comes
    waited = LIMITS - limits.left
    slowly = f", {waited:.0f} s waited because the service limits how often it is asked (429)" if waited else ""
    run.say("contract", f"{len(exchanges)} requests sent{slowly}")
    return Contract(
        exchanges=tuple(exchanges),
        interface=interface,
        document=document,
        document_error=error,
    )


class _Limits:
    """Waits where a service limits how often it is asked, as it says itself; not for ever."""

    def __init__(self) -> None:
        self.left = LIMITS

    def wait(self, exchange: Exchange) -> bool:
        """Wait until the service may be asked again; whether it may."""
        said = exchange.retry_after
        seconds = float(said) if said.isascii() and said.isdecimal() else AGAIN
        if exchange.status != LIMITED or seconds > min(PATIENCE, self.left):
            return False
        self.left -= max(seconds, INTERVAL)
        time.sleep(max(seconds, INTERVAL))  # a server elsewhere has no event to wait for
        return True


def _send(target: Target, interface: Interface, request: Request, limits: _Limits | None = None) -> Exchange:
    """Send a request, and again for as long as the server says that it is busy, or is asked too often."""
    dialect = DIALECTS[interface.dialect]
    path = interface.predict if request.path is None else request.path
    deadline = time.monotonic() + PATIENCE
    while True:
        exchange = http.send(
            target,
            path,
            case=request.case,
            method=request.method,
            body=request.body,
            content_type=request.content_type,
            timeout=max(TIMEOUT, dialect.predict_within or 0) if path == interface.predict else TIMEOUT,
        )
        if time.monotonic() > deadline:
            return exchange
        if exchange.status in dialect.busy:
            time.sleep(INTERVAL)
        elif limits is None or not limits.wait(exchange):
            return exchange


def requests(spec: Spec, interface: Interface) -> Iterator[Request]:
    """Yield the examples, what must not matter, what must, the hold-out rows, the probes, and at last the bad ones.

    After each bad request comes the first example again.
    """
    dialect = DIALECTS[interface.dialect]
    for example in spec.examples:
        yield Request(f"example:{example.name}", json.dumps(example.request).encode())
    yield from invariances(spec.examples, dialect)
    yield from behaviours(spec.behaviours)
    good_requests = [example.request for example in spec.examples if example.is_good]
    for probe in dialect.probes:
        path = filled(probe.path, spec.block.serve.model)
        path = path.replace("{ready}", interface.ready).replace("{predict}", interface.predict)
        body = probe.body
        if probe.example:
            if not good_requests:
                continue
            made = good_requests[0]
            if probe.edit and dialect.takes(made):
                made = probe.edit(made)
            body = json.dumps(made).encode()
        yield Request(f"conforms:{probe.name}", body, probe.method, path, probe.content_type)
    if (reference := spec.reference) is not None:
        good = reference.request
        for request in malformed(good, dialect):
            yield request
            yield Request(recovery(request.case), json.dumps(good).encode())


def _asked_late(skew: Callable[[], Skew | None]) -> Iterator[Request]:
    if (known := skew()) is not None:
        yield from skew_requests(known)
