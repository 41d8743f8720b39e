"""Sends a failing request once more, byte for byte, and makes it as small as it can be while it still fails alike."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from harness.client import http
from harness.client.fuzz_report import NO_ANSWER, REFUSED, SERVER_ERROR, FailedCase, with_integers
from harness.client.http import Target
from harness.client.json_text import read_json
from harness.client.protocols.protocol import is_2xx, parsed
from harness.client.request_generators.shrink import shrink
from harness.evidence.records import Exchange
from harness.openapi.bodies import request_validator

PATIENCE = 3.0  # seconds for the shrinking of one failure
MAX_BODY = 64 * 1024  # bytes; a larger request is left as it is
SHOWN = 1000  # characters of a body in a command line; a longer one lies in a file
OWN = ("content-type", "content-length", "host", "connection")


@dataclass(frozen=True)
class RequestReplay:
    """A request once more, and whether it failed in the same way."""

    sent: Exchange
    reproduced: bool
    shrunk: bool = False
    integers: bool = False


def resend(target: Target, found: FailedCase, document: dict[str, Any], *, case: str, timeout: float) -> RequestReplay:
    """Send a failing request again and, where the failure can be told from the answer, smaller ones too."""
    first = send(target, found, found.body, case=case, timeout=timeout)
    if not _is_same(found, first):
        return RequestReplay(first, reproduced=False)
    integers = with_integers(found.body) if found.check == REFUSED else None
    if integers is not None and is_2xx(send(target, found, integers, case=case, timeout=timeout)):
        return RequestReplay(first, reproduced=True, integers=True)
    smallest = _smaller(target, found, document, first, timeout=timeout)
    return RequestReplay(smallest, reproduced=True, shrunk=smallest is not first)


def _smaller(
    target: Target, found: FailedCase, document: dict[str, Any], first: Exchange, *, timeout: float
) -> Exchange:
    """Return the smallest request that fails in the same way: `first`, where no smaller one is found."""
    last = first
    breaks_too = _breaks(found, document)
    if breaks_too is None or not _is_json(found) or len(found.body) > MAX_BODY:
        return first
    end = monotonic() + PATIENCE

    def breaks(value: Any) -> bool:
        nonlocal last
        if monotonic() > end:
            return False
        answer = send(target, found, json.dumps(value).encode(), case=first.case, timeout=timeout)
        if not (_is_same(found, answer) and breaks_too(value, answer)):
            return False
        last = answer
        return True

    try:
        value = read_json(found.body)
        # The oracle is ours, the failure the tool's: where they do not agree on it, nothing can be made smaller.
        if breaks_too(value, first):
            shrink(value, breaks)
    except (ValueError, RecursionError):
        return first
    return last


def send(target: Target, found: FailedCase, body: bytes, *, case: str, timeout: float) -> Exchange:
    """Send the request of a failure with the body given."""
    return http.send(
        target,
        found.url.removeprefix(target.url) or "/",
        case=case,
        method=found.method,
        body=body,
        content_type=next((value for name, value in found.headers.items() if name.lower() == "content-type"), ""),
        headers=own_headers(found),
        timeout=timeout,
    )


def own_headers(found: FailedCase) -> dict[str, str]:
    """Return the headers that belong to the request and not to its transport."""
    return {name: value for name, value in found.headers.items() if name.lower() not in OWN}


def curl(target: Target, sent: Exchange, headers: dict[str, str], file: str) -> str:
    """Return the command line that sends a request; `file` holds its body, for one that no line can hold."""
    words = ["curl", "-i", "--path-as-is", "--globoff", "-X", sent.method]
    for name, value in {"Content-Type": sent.request_type, **headers}.items():
        words += ["-H", f"{name}: {value}" if value else f"{name}:"]
    if sent.request:
        text = sent.request.decode("utf-8", "replace")
        is_plain = text.isprintable() and len(text) <= SHOWN and text.encode() == sent.request
        words += ["--data-raw", text] if is_plain else ["--data-binary", f"@{file}"]
    return shlex.join([*words, target.url + sent.path])


def _is_same(found: FailedCase, answer: Exchange) -> bool:
    """Whether an answer is the failure again, as far as its status and its type say so."""
    if found.check == NO_ANSWER:
        return answer.status is None
    if found.check == SERVER_ERROR:
        return answer.status is not None and answer.status >= 500  # noqa: PLR2004 - 5xx
    return answer.status == found.status and _media(answer.content_type) == _media(found.content_type)


def _breaks(found: FailedCase, document: dict[str, Any]) -> Callable[[Any, Exchange], bool] | None:
    """Return what tells, of a request with the same status, whether it fails in the same way; None: nothing can."""
    _, _, path = found.operation.partition(" ")
    match found.check:
        case check if check in (SERVER_ERROR, "status_code_conformance", "content_type_conformance"):
            return lambda _value, _answer: True  # the status and the type say it all
        case check if check in ("negative_data_rejection", REFUSED):
            allows = request_validator(document, path)
            wanted = check == REFUSED
            return (lambda value, _answer: allows(value) is wanted) if allows else None
        case "response_schema_conformance":
            conforms = request_validator(_as_request(document, found), path)
            return (lambda _value, answer: conforms(parsed(answer)) is False) if conforms else None
        case _:
            return None


def _as_request(document: dict[str, Any], found: FailedCase) -> dict[str, Any] | None:
    """Return a document whose request has the schema of an answer."""
    method, _, path = found.operation.partition(" ")
    try:
        responses = document["paths"][path][method.lower()]["responses"]
        names = (str(found.status), f"{str(found.status)[0]}XX", "default")
        answer = next(responses[name] for name in names if name in responses)
    except (KeyError, TypeError, StopIteration):
        return None
    return {**document, "paths": {path: {"post": {"requestBody": answer}}}}


def _is_json(found: FailedCase) -> bool:
    return any(name.lower() == "content-type" and "json" in value for name, value in found.headers.items())


def _media(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
