"""Recognisers of what the machine did: the engine, a disk, a registry, the network. Never blamed on the model."""

from __future__ import annotations

import re
from collections.abc import Iterable

from harness.causes.lines import clean
from harness.causes.making import caused
from harness.causes.record import Cause, CauseKind, Failure
from harness.errors import DiskFullError, EngineUnavailableError, ImageUnavailableError, is_disk_full

ENGINE_FAULT = re.compile(
    r"Cannot connect to the Docker daemon|error during connect|the engine stopped answering|failed to create endpoint"
)
PULL_FAULT = re.compile(
    r"failed to resolve source metadata|pull access denied|manifest (?:unknown|for \S+ not found)|toomanyrequests"
    r"|no matching manifest|TLS handshake timeout|error pulling image|Error response from daemon: Get \"https?://"
)
NAMES_FAULT = re.compile(r"[Tt]emporary failure (?:in name resolution|resolving)|Network is unreachable")
POOL_FAULT = re.compile(r"non-overlapping IPv4 address pool|address pools have been fully subnetted")
PORT_FAULT = re.compile(r"port is already allocated|[Aa]ddress already in use|ports are not available")
FULL = "ran into a full disk"  # said by the stages, of a container


def engine_gone(failure: Failure) -> Cause | None:
    """The engine does not answer, or stopped answering while the run needed it."""
    if failure.error != EngineUnavailableError.kind and not (failure.error and ENGINE_FAULT.search(failure.message)):
        return None
    advice = failure.hint or "Start the engine, and run again; `harness doctor` checks it."
    return caused(failure, CauseKind.ENGINE_GONE, "the container engine does not answer", advice)


def ended_from_outside(failure: Failure) -> Cause | None:
    """Somebody else ended the container through the engine."""
    if not failure.error or "ended from outside" not in failure.message:
        return None
    return caused(failure, CauseKind.KILLED_FROM_OUTSIDE, "a container was ended from outside", failure.hint)


def disk_full_on_the_host(failure: Failure) -> Cause | None:
    """The harness could not write the run folder."""
    if failure.error != DiskFullError.kind or "cannot write" not in failure.message:
        return None
    return caused(failure, CauseKind.DISK_FULL_HOST, "the disk of the run folder is full", failure.hint)


def disk_full_on_the_engine(failure: Failure) -> Cause | None:
    """The engine could not write: an image, a layer, a volume."""
    own = failure.error == DiskFullError.kind and "cannot write" not in failure.message
    built = bool(failure.build) and is_disk_full("\n".join(failure.log))
    if not built and (not own or FULL in failure.message):
        return None
    advice = failure.hint or "Free space where the engine stores its data, then run again."
    return caused(failure, CauseKind.DISK_FULL_ENGINE, "the disk of the engine is full", advice)


def disk_full_in_the_container(failure: Failure) -> Cause | None:
    """A program in a container could not write: a volume, a tmpfs, or the container's own layer."""
    if failure.error:
        line = failure.message if failure.error == DiskFullError.kind else ""
        if FULL not in line:
            return None
    elif not (line := full_disk(failure.log)) or failure.code in (0, None):
        return None
    full = next((path for path in failure.limits.tmpfs if f"'{path.rstrip('/')}/" in line), "")
    advice = failure.hint or (
        "Give the volume of the artifact, or the disk of the engine, more space; "
        "a `tmpfs` has the size that the service gives it."
    )
    limit = f"tmpfs {full} {failure.limits.tmpfs[full]}".rstrip() if full else ""
    summary = f"a disk is full in the container: {full}" if full else "a disk is full in the container"
    return caused(failure, CauseKind.DISK_FULL_CONTAINER, summary, advice, limit)


def image_unavailable(failure: Failure) -> Cause | None:
    """An image is not there and no registry gave it."""
    if failure.error != ImageUnavailableError.kind and not PULL_FAULT.search(_said(failure)):
        return None
    advice = failure.hint or "Check the reference, the registry, and the credentials (`docker login`)."
    return caused(failure, CauseKind.IMAGE_UNAVAILABLE, "an image cannot be had", advice)


def no_network_while_building(failure: Failure) -> Cause | None:
    """A build wanted to fetch something, and no name could be resolved."""
    if not NAMES_FAULT.search(_said(failure)):
        return None
    advice = failure.hint or (
        "Give the engine's builds a network and a name server (or a proxy as build arguments), or let `harness setup` "
        "fetch the wheels."
    )
    return caused(failure, CauseKind.NO_NETWORK, "the build has no network", advice)


def address_pool_exhausted(failure: Failure) -> Cause | None:
    """The engine has no addresses left for one more network."""
    if not failure.error or not POOL_FAULT.search(failure.message):
        return None
    advice = (
        "Remove networks that nobody uses (`harness clean` removes those of dead runs, `docker network ls` lists all), "
        "or give the engine more `default-address-pools`."
    )
    return caused(failure, CauseKind.ADDRESS_POOL, "the engine has no network addresses left", advice)


def port_taken(failure: Failure) -> Cause | None:
    """A port that a service publishes belongs to somebody else on the engine's machine."""
    if not failure.error or not PORT_FAULT.search(failure.message):
        return None
    advice = "Publish another port, or none: train and serve get a free one by themselves, other services do not."
    return caused(failure, CauseKind.PORT_TAKEN, "a published port is taken on the engine's machine", advice)


def full_disk(log: Iterable[str]) -> str:
    """Return the last line of a log that tells of a full disk; empty where none does."""
    return next((line for line in reversed(clean(tuple(log))) if is_disk_full(line)), "")


def _said(failure: Failure) -> str:
    """Return what a build printed, or the message of an error; what a container prints is its own matter."""
    return "\n".join(failure.log) if failure.build else failure.message
