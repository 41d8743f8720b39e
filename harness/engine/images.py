"""Images that come and go: pulled from a registry, written to an archive, taken from one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import IO

import docker
import docker.errors
import docker.utils
import requests.exceptions

from harness.engine.sdk import mapped_errors, raise_if_disk_full
from harness.errors import ImageUnavailableError

LOADED = re.compile(r"Loaded image(?: ID)?: (\S+)")


def pull(api: docker.APIClient, reference: str, on_line: Callable[[str], None]) -> None:
    """Pull an image. Raises ImageUnavailableError with the engine's message."""
    try:
        for event in api.pull(reference, stream=True, decode=True):
            if "error" in event:
                raise docker.errors.APIError("pull", explanation=event["error"])
            if "progress" not in event and event.get("status"):
                on_line(f"{event['status']} {event.get('id', '')}".rstrip())
    except (docker.errors.APIError, requests.exceptions.RequestException, ValueError) as exc:
        raise_if_disk_full(exc)
        said = getattr(exc, "explanation", None) or exc
        raise ImageUnavailableError(
            f"the image {reference} is not on this machine and cannot be pulled: {said}",
            hint="Check the reference and the registry. Where no registry answers, `harness setup` builds a "
            "local base image for Dockerfiles that take it as `ARG BASE_IMAGE`.",
        ) from exc


def save(api: docker.APIClient, reference: str, target: IO[bytes]) -> None:
    """Write an image, its layers and its name as an archive. Raises InfrastructureError."""
    with mapped_errors():
        for chunk in api.get_image(reference):
            target.write(chunk)


def load(api: docker.APIClient, source: IO[bytes]) -> list[str]:
    """Take images from an archive of `docker save`; return their references or IDs.

    Raises InfrastructureError with what the engine says of a bad one.
    """
    said: list[str] = []
    with mapped_errors():
        for event in api.load_image(source) or ():
            if "error" in event:
                raise docker.errors.APIError("load", explanation=str(event["error"]))
            said.append(str(event.get("stream", "")))
    return [name for line in said for name in LOADED.findall(line)]


def context_files(root: Path, dockerfile: str) -> list[str]:
    """Return the files of a build context that a build would see, `.dockerignore` applied."""
    ignore = root / ".dockerignore"
    patterns = ignore.read_text().splitlines() if ignore.is_file() else []
    patterns = [p.strip() for p in patterns if p.strip() and not p.startswith("#")]
    return sorted(docker.utils.exclude_paths(str(root), patterns, dockerfile=dockerfile))
