"""What was built, and with which pins."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pydantic import ConfigDict


@dataclass(frozen=True)
class BaseImage:
    """One image that a build starts from, or that a service runs without a build."""

    reference: str
    service: str
    digest: str | None  # the digest in the reference, if it has one
    local: str | None = None  # set for the base that `harness setup` built: SHA-256 of its package list
    layers: str = ""  # SHA-256 of the list of its layers, which tells its content; empty: the engine did not have it
    default: str | None = None  # what the Dockerfile itself names, where a build argument replaced it


@dataclass(frozen=True)
class BuiltImage:
    """An image as the engine has it. `diff_ids` identify its content, the ID depends on the image store."""

    service: str
    reference: str
    id: str
    diff_ids: tuple[str, ...]
    platform: str
    size: int
    working_dir: str
    user: str


@dataclass(frozen=True)
class Images:
    """What the images stage built."""

    builder: str
    compose: str
    images: tuple[BuiltImage, ...]
    bases: tuple[BaseImage, ...]
    requirements: dict[str, str] = field(default_factory=dict)  # requirements file -> SHA-256
    failure: str | None = None  # the services whose build failed
    log_tail: tuple[str, ...] = ()
    beside: tuple[BuiltImage, ...] = ()  # those that were built for the services which train and serve depend on

    def of(self, service: str) -> BuiltImage:
        """Return the image of a service; raises KeyError."""
        return {image.service: image for image in self.images}[service]

    def ids(self, service: str) -> dict[str, str]:
        """Return service -> ID for train or serve and the services beside it; raises KeyError."""
        return {service: self.of(service).id, **{image.service: image.id for image in self.beside}}

    @property
    def blocker(self) -> str | None:
        """Why the line cannot go on after this stage."""
        return f"the build of {self.failure} failed" if self.failure else None


@dataclass(frozen=True)
class Lock:
    """The pins of `harness.lock`."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # a pin that is not understood is not verified

    platform: str
    bases: dict[str, str]  # base image reference as the Dockerfile names it -> digest
    requirements: dict[str, str]
    data: str | None
    images: dict[str, tuple[str, ...]] = field(default_factory=dict)  # for reference: service -> diff-IDs
    version: Literal[1] = 1
