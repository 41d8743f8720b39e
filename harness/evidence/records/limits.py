"""What a container was held to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Limits:
    """What the engine held a container to; 0, False and empty: to nothing but the machine."""

    memory: int = 0  # bytes
    swap: int = 0  # bytes of memory and swap together; -1: as much as there is
    pids: int = 0  # processes and threads
    cpus: float = 0.0
    shm: int = 0  # bytes of /dev/shm
    tmpfs: Mapping[str, str] = field(default_factory=dict)  # path -> its options, such as `size=64m`
    read_only: bool = False  # its root file system
    user: str = ""
