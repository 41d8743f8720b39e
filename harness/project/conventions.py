"""The conventions of a serving protocol as defaults: what the project does not say itself, its dialect says."""

from __future__ import annotations

from typing import Any

from harness.client.protocols import DIALECTS
from harness.client.protocols.protocol import Dialect
from harness.config.blocks import Block


def dialect_of(block: Block) -> Dialect | None:
    """Return the dialect that the project names; None where it is to be recognised."""
    return DIALECTS.get(block.serve.dialect)


def with_conventions(block: Block, services: dict[str, Any]) -> Block:
    """Return the block with the defaults of its dialect: the train command, the paths of artifact and data."""
    dialect = dialect_of(block)
    if dialect is None:
        return block
    train: dict[str, Any] = {}
    if dialect.artifact is not None and "artifact" not in block.train.model_fields_set:
        train["artifact"] = dialect.artifact
    is_a_service = block.train.from_ is None and block.train.target is None
    if block.train.command is None and is_a_service and not services.get(block.train.service, {}).get("command"):
        train["command"] = dialect.train_command
    changes: dict[str, Any] = {"train": block.train.model_copy(update=train)}
    if block.data is not None and dialect.data is not None and "mount" not in block.data.model_fields_set:
        changes["data"] = block.data.model_copy(update={"mount": f"{dialect.data}/{block.data.channel}"})
    return block.model_copy(update=changes)
