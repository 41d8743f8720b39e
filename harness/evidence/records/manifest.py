"""What an artifact says of itself, and what the serving container had and said while it loaded it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Claim:
    """A file that something says belongs to the artifact."""

    by: str  # the file that says so, or `artifact.files`
    file: str  # relative to the artifact
    sha256: str = ""  # empty where only the name is given


@dataclass(frozen=True)
class Manifest:
    """What the files of an artifact say of it: the files that belong to it, and the versions that made it."""

    claims: tuple[Claim, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)  # package, or `python` -> version
    versions_by: str = ""  # the file that names them
    unreadable: tuple[str, ...] = ()  # manifests that cannot be read, with the reason

    blocker: None = None


@dataclass(frozen=True)
class Loaded:
    """What the serving container has installed, and what it warned of while it loaded the artifact."""

    python: str  # empty: the image has no Python that could be asked
    packages: Mapping[str, str] = field(default_factory=dict)  # normalised name -> version
    warnings: tuple[str, ...] = ()  # lines of its log
    lost: str = ""  # why that log was not whole

    blocker: None = None
