"""Recognisers of what the machine did: the engine, a disk, a registry, the network. Never blamed on the model."""

from __future__ import annotations

import re
from collections.abc import Iterable

from harness.diagnosis.builder import heard
from harness.diagnosis.lines import clean, relevant
from harness.diagnosis.making import BUILD_LINES, caused
from harness.diagnosis.record import Cause, CauseKind, Failure
from harness.errors import DiskFullError, EngineUnavailableError, ImageUnavailableError, is_disk_full

ENGINE_GONE = re.compile(
    r"Cannot connect to the Docker daemon|error during connect|the engine stopped answering|failed to dial gRPC"
    r"|code = Unavailable|failed to solve: Unavailable|failed to list workers|error reading from server"
    r"|transport is closing|closing transport|client connection is closing"
)
# Said by the engine of a container that it cannot make: a `RUN` of a build, or one that Compose creates.
SANDBOX_FAULT = re.compile(
    r"failed to set up container networking|failed to create endpoint|failed to add interface|network sandbox"
)
# Said by a builder; elsewhere these words may be of something else.
BUILD_FAULT = re.compile(
    r"failed to (?:prepare|mount|create|set up|register) (?:\S+ )?(?:snapshot|overlay|layer|rootfs|cgroup)"
    r"|error creating overlay mount|input/output error|too many open files|read-only file system"
    r"|[Cc]annot allocate memory|[Rr]esource temporarily unavailable|context deadline exceeded|i/o timeout"
    r"|broken pipe|connection reset by peer"
)
# Said by the runtime where it cannot start a program at all; a program that is not there is the Dockerfile's.
RUNTIME = re.compile(r"(?:OCI runtime|runc|crun)\b.*(?:unable to start container process|create failed|run failed): ")
RUNTIME_FAULT = re.compile(
    r"cgroup|rlimit|namespace|session key|disk quota|pivot_root|seccomp|apparmor|\bhook\b|error mounting|\bclone\b"
    r"|resource temporarily unavailable|cannot allocate memory|child's PID|init process|init-p|already dead|sync pipe"
    r"|sysctl|capabilit|setns|setgroups|ptmx",
    re.IGNORECASE,
)
PROGRAM_FAULT = re.compile(r"\bexec: \"|exec format error|chdir to cwd")
PULL_FAULT = re.compile(
    r"failed to resolve source metadata|pull access denied|manifest (?:unknown|for \S+ not found)|toomanyrequests"
    r"|no matching manifest|TLS handshake timeout|error pulling image|Error response from daemon: Get \"https?://"
    r"|failed to do request: |failed to fetch (?:anonymous|oauth) token|failed to authorize|insufficient_scope"
    r"|unexpected status (?:code|from)|Too Many Requests|x509: |Get \"https?://[^\"]*/v2/"
    r"|LLB definition: \S+: not found"
)
NAMES_FAULT = re.compile(
    r"[Tt]emporary failure (?:in name resolution|resolving)|Network is unreachable|network is unreachable"
    r"|dial tcp: lookup \S+.*: (?:no such host|server misbehaving|i/o timeout)"
)
# What a step prints cannot be told from what a program makes up. Of the two that no builder would say, the words of
# the C library are believed, as programs pass them on.
STEP_NAMES = re.compile(
    r"Errno -[235]\]|Temporary failure resolving '|[Cc]ould not resolve host:? |unable to resolve host address"
    r"|getaddrinfo EAI_AGAIN|\] Network is unreachable|lookup \S+.*: (?:no such host|server misbehaving)"
)
STEP_DISK = re.compile(r"(?:\[Errno 28\] |: |\()No space left on device|: no space left on device$|\bENOSPC: ")
BUILDER_OLD = re.compile(r"requires buildx v?(?P<version>\d[\d.]*\d)")
BUILDER_LESS = re.compile(
    r"(?:requires|needs|only supported (?:with|by)|enable) BuildKit|classic builder doesn't support", re.IGNORECASE
)
BUILDER_CHOSEN = re.compile(r"no builder \"|^ > \[internal\] (?:booting buildkit|waiting for connection)", re.MULTILINE)
# Images that only the engine has: a local base, and what a run names for itself.
ENGINES_OWN = re.compile(r"harness-local/|harness-\d{8}t\d{6}z-")
OWN_BUILDER = "`BUILDX_BUILDER=default` (or `docker buildx use default`) builds with the engine's own builder"
POOL_FAULT = re.compile(r"non-overlapping IPv4 address pool|address pools have been fully subnetted")
PORT_FAULT = re.compile(r"port is already allocated|[Aa]ddress already in use|ports are not available")
ENGINE_FAILED = "the engine could not make a container"
FULL = "ran into a full disk"  # said by the stages, of a container


def engine_gone(failure: Failure) -> Cause | None:
    """The engine does not answer, or stopped answering while the run needed it."""
    if failure.error != EngineUnavailableError.kind and not ENGINE_GONE.search(_said(failure)):
        return None
    advice = failure.hint or "Start the engine, and run again; `harness doctor` checks it."
    return caused(failure, CauseKind.ENGINE_GONE, "the container engine does not answer", advice)


def builder_unusable(failure: Failure) -> Cause | None:
    """The builder of this machine cannot do what Compose or the Dockerfile needs, or is not there."""
    said = _said(failure)
    if old := BUILDER_OLD.search(said):
        summary = f"Compose needs buildx {old['version']} or later, and this machine has an older one"
        advice = (
            f"Install the buildx plugin {old['version']} or later (`docker buildx version` shows what is there), or "
            "build with the classic builder: set DOCKER_BUILDKIT=0."
        )
    elif BUILDER_LESS.search(said):
        summary = "the Dockerfile needs BuildKit, and the classic builder ran"
        advice = "Install the buildx plugin for Docker (docker-buildx), and unset DOCKER_BUILDKIT."
    elif said and BUILDER_CHOSEN.search("\n".join((said, *(failure.log if failure.build else ())))):
        summary = "the builder that is chosen for buildx does not start"
        advice = f"`docker buildx ls` shows it; {OWN_BUILDER}."
    else:
        return None
    return caused(failure, CauseKind.BUILDER, summary, failure.hint or advice)


def engine_failed(failure: Failure) -> Cause | None:
    """The engine could not make or start a container, for a reason of its own."""
    said = _said(failure)
    if failure.build:
        said = said or _runtime_says(failure)
        known = bool(BUILD_FAULT.search(said) or (RUNTIME.search(said) and RUNTIME_FAULT.search(said)))
    else:
        known = said.startswith(ENGINE_FAILED)  # of a build
    if PROGRAM_FAULT.search(said) or not (known or SANDBOX_FAULT.search(said)):
        return None
    advice = failure.hint or "This is not the project's fault: run again; `harness doctor` checks the engine."
    return caused(failure, CauseKind.ENGINE_FAILED, ENGINE_FAILED, advice)


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
    built = bool(failure.build) and (is_disk_full(_said(failure)) or _step_says(STEP_DISK, failure))
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
    if not failure.hint and ENGINES_OWN.search(_said(failure)):
        advice = f"A builder in a container of its own does not see the images of the engine: {OWN_BUILDER}."
    return caused(failure, CauseKind.IMAGE_UNAVAILABLE, "an image cannot be had", advice)


def no_network_while_building(failure: Failure) -> Cause | None:
    """A build wanted to fetch something, and no name could be resolved."""
    if not NAMES_FAULT.search(_said(failure)) and not _step_says(STEP_NAMES, failure):
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
    """Return why a build failed in the builder's words, or the message of an error.

    What a container prints, or a step of a build, is its own matter.
    """
    return heard(failure.log).own if failure.build else failure.message if failure.error else ""


def _runtime_says(failure: Failure) -> str:
    """Return what a runtime says that cannot start a step of BuildKit: it is all that such a step prints."""
    printed = heard(failure.log).printed
    return printed[0] if len(printed) == 1 and RUNTIME.match(printed[0]) else ""


def _step_says(words: re.Pattern[str], failure: Failure) -> bool:
    """Whether the end of what the failing step of a build printed has words of the C library."""
    return bool(failure.build) and any(words.search(line) for line in relevant(heard(failure.log).printed, BUILD_LINES))
