"""Makes a container engine answer: one that runs, else the installed one started, else the distribution's own."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.engine import Engine
from harness.errors import EngineUnavailableError
from harness.provision.host import Host
from harness.provision.programs import Logger, apt_install, run

PACKAGES = ("docker.io", "iptables")  # without iptables the engine does not start, and it is only recommended
LOG = Path("/var/log/dockerd-harness.log")
START_TIMEOUT = 60.0
INTERVAL = 0.2
DYING = 5.0  # an engine that ends at once may have lost a race against another one that starts: look this long
TAIL = 20


def ensure(log: Logger, host: Host | None = None) -> Engine:
    """Return an engine that answers, started or installed where setup may do that.

    Raises EngineUnavailableError, and then has changed nothing, where setup may not.
    """
    host = host or Host.current()
    try:
        return Engine.connect()
    except EngineUnavailableError as exc:
        if host.docker_host or not (host.may_install or host.may_start):
            raise EngineUnavailableError(f"{exc}\nNothing was changed.", hint=host.engine_mend()) from exc
    if not host.has_dockerd:
        apt_install(PACKAGES, host, log)
    if host.has_systemd:
        run(["systemctl", "start", "docker"], log, timeout=START_TIMEOUT).check("See `journalctl --unit docker`.")
        return await_answer(Engine.connect, lambda: True, "see `journalctl --unit docker`")
    program = shutil.which("dockerd")
    if program is None:
        raise EngineUnavailableError("docker.io is installed but has no dockerd", hint=host.engine_mend())
    log(f"  starting dockerd; its log is {LOG}")
    process = launch([program], LOG)
    return await_answer(Engine.connect, lambda: process.poll() is None, LOG)


def describe(engine: Engine) -> str:
    """Return version, API and address of an engine."""
    info = engine.info()
    return f"{info['Version']}, API {info['ApiVersion']}, {engine.url}"


def launch(argv: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a program that outlives this one: its own session, no terminal, its output in a file."""
    with log.open("ab") as stream:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            cwd="/",
            start_new_session=True,
        )


def await_answer(connect: Callable[[], Engine], is_alive: Callable[[], bool], log: Path | str) -> Engine:
    """Return the engine as soon as it answers a call. Raises EngineUnavailableError with the end of its log."""
    deadline = time.monotonic() + START_TIMEOUT
    died: float | None = None
    while True:
        try:
            return connect()
        except EngineUnavailableError as exc:
            now = time.monotonic()
            if died is None and not is_alive():
                died = now
            if now > deadline or (died is not None and now > died + DYING):
                raise EngineUnavailableError(
                    f"the engine was started but does not answer; {_end_of(log)}",
                    hint="In a container the engine needs one that is privileged. Correct what its log says, "
                    "then run `harness setup` again.",
                ) from exc
        time.sleep(INTERVAL)


def _end_of(log: Path | str) -> str:
    if isinstance(log, str):
        return log
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    telling = [line for line in lines if "level=info" not in line]  # the engine talks a lot while all goes well
    return "\n  ".join([f"the end of {log}:", *telling[-TAIL:]])
