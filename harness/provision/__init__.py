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


def setup(root: Path, files: Sequence[Path], say: Logger) -> None:
    """Make ready, in this order: engine, Compose, base images, wheels. Safe to repeat. Raises HarnessError."""
    root, host = root.resolve(), Host.current()
    with _step(say, "engine", lambda: daemon.ensure(say, host), daemon.describe) as engine:
        compose = _step(say, "compose", lambda: Compose.find(engine.compose_host), lambda found: found.description)
        if not has_project(root, files):
            say(f"project    none: there is no compose.yaml in {root}; nothing else is to do")
            return
        spec = load(compose, root, files)
        with _alone(root, say):
            spec = _step(
                say,
                "base",
                lambda: base.ensure(spec, base.Tools(compose, engine, host, say)),
                lambda ready: "; ".join(base.describe(engine, want) for want in base.wanted(ready)),
            )
            _step(say, "wheels", lambda: fetch.ensure(spec, engine, say), str)


def _step(say: Logger, name: str, work: Callable[[], T], describe: Callable[[T], str]) -> T:
    """Do one step; say when it starts, and what came of it and how long it took when it ends."""
    say(f"{name:<10} ...")
    start = time.monotonic()
    result = work()
    say(f"{name:<10} {describe(result)}  ({time.monotonic() - start:.1f} s)")
    return result


@contextmanager
def _alone(root: Path, say: Logger) -> Iterator[None]:
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
            say("           another setup works in this project: waiting for it")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield
