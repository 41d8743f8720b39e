"""`harness setup` and `harness doctor`: the machine and the project made ready for a run, or looked at.

In comes a machine as it is; out come what was installed, what is ready, and what is missing with the way to get it.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from harness.engine.compose import Compose
from harness.errors import InfrastructureError
from harness.evidence.run_folder import ignored
from harness.project.description import load
from harness.provision import base, daemon, fetch
from harness.provision.doctor import Diagnostic, doctor, has_project
from harness.provision.host import Host
from harness.provision.programs import Logger

__all__ = ["Diagnostic", "doctor", "setup"]

T = TypeVar("T")


def setup(root: Path, files: Sequence[Path], log: Logger) -> None:
    """Make ready, in this order: engine, Compose, base images, wheels. Safe to repeat. Raises HarnessError."""
    root, host = root.resolve(), Host.current()
    with _step(log, "engine", lambda: daemon.ensure(log, host), daemon.describe) as engine:
        compose = _step(log, "compose", lambda: Compose.find(engine.compose_host), lambda found: found.description)
        if not has_project(root, files):
            log(f"project    none: there is no compose.yaml in {root}; nothing else is to do")
            return
        spec = load(compose, root, files)
        with _alone(root, log):
            spec = _step(
                log,
                "base",
                lambda: base.ensure(spec, base.Tools(compose, engine, host, log)),
                lambda ready: "; ".join(base.describe(engine, want) for want in base.wanted(ready)),
            )
            _step(log, "wheels", lambda: fetch.ensure(spec, engine, log), str)


def _step(log: Logger, name: str, work: Callable[[], T], describe: Callable[[T], str]) -> T:
    """Do one step; say when it starts, and what came of it and how long it took when it ends."""
    log(f"{name:<10} ...")
    start = time.monotonic()
    result = work()
    log(f"{name:<10} {describe(result)}  ({time.monotonic() - start:.1f} s)")
    return result


@contextmanager
def _alone(root: Path, log: Logger) -> Iterator[None]:
    """Let only one setup at a time change a project; the lock goes with the process, however it ends."""
    file = ignored(root) / "setup.lock"
    try:
        stream = file.open("a")
    except OSError as exc:
        raise InfrastructureError(f"cannot write {file}: {exc}", hint="Check the folder's permissions.") from exc
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log("           another setup works in this project: waiting for it")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield
