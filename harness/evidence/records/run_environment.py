"""What surrounded the code of a run: what its containers had, and the files of the project that it was made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

VARIABLES = ".env"  # where Compose looks for variables


@dataclass(frozen=True)
class Inside:
    """What the container of one service had; bytes where it is a size."""

    service: str
    variables: Mapping[str, str] = field(default_factory=dict)  # what looks secret by its name is hidden
    packages: Mapping[str, str] | None = None  # name -> version; None: nobody could say
    memory: int = 0  # limit; 0: none
    cpus: float = 0.0  # limit; 0: none
    shared_memory: int = 0
    user: str = ""
    network: str = ""


@dataclass(frozen=True)
class Surroundings:
    """The containers of the main line, and the project's files as the run saw them."""

    containers: tuple[Inside, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)  # path below the project -> SHA-256

    blocker: None = None

    @property
    def code(self) -> dict[str, str]:
        """The files without that of Compose's variables: what came of it is recorded, and a bundle has its own."""
        return {path: digest for path, digest in self.sources.items() if path != VARIABLES}

    def of(self, service: str) -> Inside:
        """Return what the container of a service had; nothing where it was never made."""
        return next((each for each in self.containers if each.service == service), Inside(service))
