"""Runs the programs that setup needs, showing little while all goes well and everything when it does not."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.errors import DiskFullError, HarnessError, InfrastructureError, is_disk_full
from harness.provision.host import Host
from harness.system.output import shortened
from harness.system.process import Ended, stream

INTERVAL = 5.0  # seconds between two lines of a long program that are shown
GRACE = 30.0  # a program that is ended may clean up first: mmdebstrap unmounts
APT_TIMEOUT = 900.0
KEPT = 5000  # lines
POLICY = Path("/usr/sbin/policy-rc.d")

Logger = Callable[[str], None]


@dataclass(frozen=True)
class Result:
    """How a program ended and the last lines that it printed."""

    argv: tuple[str, ...]
    ended: Ended
    lines: tuple[str, ...]

    def check(self, hint: str) -> None:
        """Raise InfrastructureError with everything that was printed, unless the program ended well."""
        if self.ended.is_well:
            return
        text = "\n".join(self.lines)
        how = "did not end in time" if self.ended.expired else f"ended with exit code {self.ended.code}"
        kind: type[HarnessError] = DiskFullError if is_disk_full(text) else InfrastructureError
        raise kind(f"`{' '.join(self.argv)}` {how}:\n{text}", hint=hint)


def run(argv: Sequence[str], log: Logger, *, timeout: float, environment: Mapping[str, str] | None = None) -> Result:
    """Run a program to its end; it ends with us on every path. Raises InfrastructureError when it cannot start."""
    lines: deque[str] = deque(maxlen=KEPT)
    show = sparsely(log)

    def keep(line: str) -> None:
        lines.append(shortened(line))
        show(line)

    try:
        ended = stream(argv, {**os.environ, **(environment or {})}, keep, timeout=timeout, grace=GRACE)
    except OSError as exc:
        raise InfrastructureError(f"cannot run {argv[0]}: {exc}", hint=f"Install {argv[0]}.") from exc
    return Result(tuple(argv), ended, tuple(lines))


def apt_install(packages: Sequence[str], host: Host, log: Logger) -> None:
    """Install packages of the distribution, without recommended ones. Raises InfrastructureError."""
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-o", "DPkg::Lock::Timeout=120"]  # another apt may be at work
    hint = "Correct what apt-get says above (its sources, the network, the disk), then run `harness setup` again."
    log(f"  installing {' '.join(packages)} from the distribution's packages")
    run([*apt, "update"], log, timeout=APT_TIMEOUT, environment=environment).check(hint)
    install = [*apt, "install", "--yes", "--no-install-recommends", *packages]
    with _no_service_starts(host):
        run(install, log, timeout=APT_TIMEOUT, environment=environment).check(hint)


def sparsely(log: Logger) -> Logger:
    """Return a function that passes on one line every few seconds, so that a wait is seen to move."""
    last = time.monotonic()

    def show(line: str) -> None:
        nonlocal last
        if line.strip() and time.monotonic() - last >= INTERVAL:
            last = time.monotonic()
            log(f"  {line.strip()}")

    return show


@contextmanager
def _no_service_starts(host: Host) -> Iterator[None]:
    """Keep packages from starting services through init scripts while this lasts.

    Without systemd, docker.io starts the engine by its init script; where that fails (a ulimit that a container
    does not allow) the whole installation fails. Setup starts the engine itself. This is Debian's own switch
    for it; one that the machine already has is left as it is.
    """
    if host.has_systemd or POLICY.exists():
        yield
        return
    try:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
        yield
    finally:
        POLICY.unlink(missing_ok=True)
