"""Serving protocols, one small module each. `serve.dialect` names one, or the harness recognises it by asking."""

from __future__ import annotations

from typing import Any

from harness.client.protocols.bentoml import BENTOML
from harness.client.protocols.cog import COG
from harness.client.protocols.kserve import KSERVE
from harness.client.protocols.mlflow import MLFLOW
from harness.client.protocols.oip import OIP
from harness.client.protocols.openapi import OPENAPI, PLAIN
from harness.client.protocols.protocol import Dialect, GetPath, filled
from harness.client.protocols.sagemaker import SAGEMAKER
from harness.client.protocols.vertex import VERTEX
from harness.config.spec import Spec
from harness.errors import DescriptionError
from harness.evidence.records import Interface

__all__ = ["DIALECTS", "OPENAPI", "PLAIN", "environment", "interface", "port_of_environment", "recognise"]

# The order of recognition: the most particular first; the last two take what nobody else recognised.
DIALECTS = {dialect.name: dialect for dialect in (OIP, KSERVE, COG, BENTOML, MLFLOW, SAGEMAKER, VERTEX, OPENAPI, PLAIN)}


def recognise(ask: GetPath, request: Any = None) -> Dialect | None:
    """Return the first dialect all of whose signs a server shows; None where it shows none (as yet).

    A server may speak several, as KServe does: `request`, a good one, then tells which one the project means.
    """
    for dialect in DIALECTS.values():
        if request is not None and not dialect.takes(request):
            continue
        if dialect.signs and all(sign.matches(ask(sign.path)) for sign in dialect.signs):
            return dialect
    return None


def interface(spec: Spec, dialect: Dialect) -> Interface:
    """Return how a service is spoken to: the paths that the project names, else its environment, else the dialect."""
    service = spec.model.get("services", {}).get(spec.serve_key, {})
    given = {**environment(spec, dialect), **_set(service.get("environment"))}
    ready = spec.block.serve.ready or given.get(dialect.ready_variable) or dialect.ready
    predict = spec.block.contract.predict or given.get(dialect.predict_variable) or dialect.predict
    model = spec.block.serve.model
    return Interface(dialect.name, filled(ready, model), filled(predict, model))


def environment(spec: Spec, dialect: Dialect | None) -> dict[str, str]:
    """Return what the platform of a dialect gives to the serving container; what the service itself says wins."""
    if dialect is None:
        return {}
    named = {dialect.ready_variable: spec.block.serve.ready, dialect.predict_variable: spec.block.contract.predict}
    values = {**dialect.environment, **{name: path for name, path in named.items() if name and path}}
    known = {"{port}": str(spec.port), "{artifact}": spec.serve_artifact or ""}
    return {name: known.get(value, value) for name, value in values.items()}


def port_of_environment(service: dict[str, Any], dialect: str) -> int | None:
    """Return the port that the environment of a service names, where its protocol has a variable for it.

    Raises DescriptionError for what is no port.
    """
    name = DIALECTS[dialect].port_variable if dialect in DIALECTS else ""
    value = str(_set(service.get("environment")).get(name, ""))
    if not value:
        return None
    if not value.isdecimal() or not 0 < int(value) < 65536:  # noqa: PLR2004 - a TCP port has 16 bits
        raise DescriptionError(
            f"expected a port in {name} of the serve service, received {value!r}",
            hint=f"Write {name}: 8080, or leave it out: the harness sets it.",
        )
    return int(value)


def _set(variables: dict[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (variables or {}).items() if value is not None}
