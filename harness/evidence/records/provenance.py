"""Where an artifact comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Provenance:
    """The statement about an artifact, as it lies in `provenance.json` of the run."""

    statement: dict[str, Any]
    commit: str = ""
    dirty: bool = False
    no_commit: str = ""  # why there is no commit

    blocker: None = None
