"""The scoring server of MLflow, as `mlflow models serve` and the images of `mlflow models build-docker` run it.

The specification is the page "Deploy MLflow Model as a Local Inference Server" of MLflow's documentation, section
"Inference Server Specification"; what it leaves open is read from `mlflow.pyfunc.scoring_server`, version 3.17.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from harness.client.protocols.protocol import Dialect, Expected, Probe, Sign, parsed
from harness.client.protocols.rows import Batch, answers_of_json, batch_at
from harness.evidence.records import Exchange

INVOCATIONS = "/invocations"
FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")  # a request has exactly one of them
VERSION = re.compile(rb'\s*"?\d+\.\d+')  # MLServer's runtime of MLflow puts it in quotes
SPECIFICATION = "MLflow's Inference Server Specification"
SOURCE = "mlflow.pyfunc.scoring_server"
ERROR = {
    "type": "object",
    "required": ["error_code", "message"],
    "properties": {"error_code": {"type": "string"}, "message": {"type": "string"}},
}
# An answer to a raw chat payload is not wrapped.
ANSWER = {"type": "object", "anyOf": [{"required": ["predictions"]}, {"required": ["choices"]}]}


def batch(request: Any) -> Batch | None:
    """Return the rows of a request in any of the four forms; None for a raw payload (chat) and for a scalar."""
    if not isinstance(request, dict):
        return None
    form = next((form for form in FORMS if form in request), None)
    value = request.get(form) if form else None
    if form == "dataframe_split":
        return _split(request)
    if form == "inputs" and isinstance(value, dict):
        return _columns(request, value)
    return batch_at(request, (form,)) if form else None


def answers(response: Any, count: int) -> tuple[Any, ...] | None:
    """Return what stands under `predictions`, one for each row."""
    if not isinstance(response, dict) or "predictions" not in response:
        return None
    return answers_of_json(response["predictions"], count)


def weakness(kind: str, exchange: Exchange) -> str:
    """Return what to do about a bad answer that the server itself gives, as of 3.17.2; empty for any other.

    Nobody catches the RecursionError of its JSON parser. And `invocations` sends the traceback of an exception in the
    model along with the 400, as `stack_trace`.
    """
    if kind == "deep-nesting" and exchange.status == 500 and b"Traceback" not in exchange.response:  # noqa: PLR2004
        return "MLflow's server has no answer to deep nesting: let a proxy before it bound the requests."
    body = parsed(exchange)
    if exchange.status == 400 and isinstance(body, dict) and "stack_trace" in body:  # noqa: PLR2004 - Bad Request
        rest = {key: value for key, value in body.items() if key != "stack_trace"}
        if "error_code" in rest and "message" in rest and "Traceback" not in str(rest):
            return (
                "MLflow shows an exception of the model with its traceback: save the model with a signature, which "
                "refuses most bad rows before the model sees them, or refuse them in the model with MlflowException."
            )
    return ""


def _split(request: dict[str, Any]) -> Batch | None:
    """Return the rows of `data`; the `index`, which names them one by one, is left out of what is built."""
    split = request["dataframe_split"]
    if not isinstance(split, dict):
        return None
    kept = {key: value for key, value in split.items() if key != "index"}
    return batch_at({**request, "dataframe_split": kept}, ("dataframe_split", "data"))


def _columns(request: dict[str, Any], columns: dict[str, Any]) -> Batch | None:
    """Return the rows of columns of one length: mappings of column to value."""
    lengths = {len(column) if isinstance(column, list) else 0 for column in columns.values()}
    if len(lengths) != 1 or 0 in lengths:
        return None
    names = tuple(columns)

    def build(rows: Sequence[Any]) -> Any:
        return {**request, "inputs": {name: [row[name] for row in rows] for name in names}}

    return Batch(tuple(dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)), build)


def _is_ping(exchange: Exchange) -> bool:
    return exchange.status == 200  # noqa: PLR2004 - OK


def _is_version(exchange: Exchange) -> bool:
    return exchange.status == 200 and bool(VERSION.match(exchange.response))  # noqa: PLR2004 - OK


def _takes_post_only(exchange: Exchange) -> bool:
    return exchange.status == 405  # noqa: PLR2004 - Method Not Allowed


def _refused(name: str, body: bytes) -> Probe:
    return Probe(name, "POST", INVOCATIONS, Expected((400,), ERROR), f"{SPECIFICATION}, JSON Input", body)


def _untaken(name: str, content_type: str, body: bytes) -> Probe:
    return Probe(name, "POST", INVOCATIONS, Expected((415,)), f"{SOURCE}.invocations", body, content_type)


MLFLOW = Dialect(
    "mlflow",
    port=8080,  # of the images that MLflow builds; `mlflow models serve` listens on 5000
    ready="/ping",
    predict=INVOCATIONS,
    batch=batch,
    answers=answers,
    error=ERROR,
    text_errors=frozenset({415}),
    weakness=weakness,
    signs=(Sign("/version", _is_version), Sign("/ping", _is_ping), Sign(INVOCATIONS, _takes_post_only)),
    probes=(
        Probe("ping", "GET", "/ping", Expected((200,)), f"{SPECIFICATION}, Endpoints"),
        Probe("health", "GET", "/health", Expected((200,)), f"{SPECIFICATION}, Endpoints"),
        Probe("version", "GET", "/version", Expected((200,)), f"{SPECIFICATION}, Endpoints"),
        Probe(
            "predictions",
            "POST",
            INVOCATIONS,
            Expected((200,), ANSWER),
            f"{SPECIFICATION}, and {SOURCE}.predictions_to_json",
            example=True,
        ),
        _refused("no-form", b"{}"),
        _refused("two-forms", b'{"instances": [[0]], "inputs": [[0]]}'),
        _refused("a-list", b"[[0]]"),
        _refused("no-json", b'{"inputs":'),
        _untaken("xml", "application/xml", b"<inputs/>"),
        _untaken("charset", "application/json; charset=latin-1", b'{"inputs": [[0]]}'),
        Probe(
            "no-content-type",
            "POST",
            INVOCATIONS,
            Expected((400, 415)),
            f"{SPECIFICATION}, Accepted Input Formats",
            b'{"inputs": [[0]]}',
            content_type="",
            shipped=Expected((500,)),  # 3.17.2 splits the header without looking whether there is one
        ),
    ),
)
