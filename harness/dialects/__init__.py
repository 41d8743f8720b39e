"""Serving protocols, one small module each. `serve.dialect` names one, or the harness recognises it by asking."""

from __future__ import annotations

from harness.dialects.bentoml import BENTOML
from harness.dialects.cog import COG
from harness.dialects.mlflow import MLFLOW
from harness.dialects.openapi import OPENAPI, PLAIN
from harness.dialects.protocol import Ask, Dialect, filled
from harness.dialects.sagemaker import SAGEMAKER
from harness.records import Interface
from harness.spec import Spec

__all__ = ["DIALECTS", "OPENAPI", "PLAIN", "interface", "recognise"]

# The order of recognition: the most particular first; the last two take what nobody else recognised.
DIALECTS = {dialect.name: dialect for dialect in (COG, BENTOML, MLFLOW, SAGEMAKER, OPENAPI, PLAIN)}


def recognise(ask: Ask) -> Dialect | None:
    """Return the first dialect all of whose signs a server shows; None where it shows none (as yet)."""
    for dialect in DIALECTS.values():
        if dialect.signs and all(sign.matches(ask(sign.path)) for sign in dialect.signs):
            return dialect
    return None


def interface(spec: Spec, dialect: Dialect) -> Interface:
    """Return how a service is spoken to: the paths that the project names, else its environment, else the dialect."""
    service = spec.model.get("services", {}).get(spec.serve_key, {})
    environment = {**dialect.environment, **(service.get("environment") or {})}
    ready = spec.block.serve.ready or environment.get(dialect.ready_variable) or dialect.ready
    predict = spec.block.contract.predict or environment.get(dialect.predict_variable) or dialect.predict
    model = spec.block.serve.model
    return Interface(dialect.name, filled(ready, model), filled(predict, model))
