"""Says what of the machine and the project is as a run needs it, without changing anything."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.config.spec import Spec
from harness.engine import Engine
from harness.engine.compose import Compose
from harness.errors import HarnessError
from harness.project import wheels
from harness.project.compose_file import is_described
from harness.project.description import load
from harness.provision import base, probe
from harness.provision.daemon import describe
from harness.provision.host import SETUP, Host

PLUGIN = "docker-buildx"
PLUGINS = tuple(
    Path(folder, PLUGIN)
    for folder in (
        "/usr/local/lib/docker/cli-plugins",
        "/usr/local/libexec/docker/cli-plugins",
        "/usr/lib/docker/cli-plugins",
        "/usr/libexec/docker/cli-plugins",
    )
)
BUILDX = (0, 17)  # what Compose needs since 5; a distribution may have an older one
DEMANDING = re.compile(r"Compose (?:[5-9]|\d\d)")
BUILDX_MEND = "Install the buildx plugin 0.17 or later, or build with the classic builder: set DOCKER_BUILDKIT=0."
VERSION = re.compile(r"\bv?(?P<text>(?P<major>\d+)\.(?P<minor>\d+)[\w.+-]*)")
UNTRIED = "not tried: that needs a base image"


@dataclass(frozen=True)
class Diagnostic:
    """One thing that was looked at, and what mends it where it is not as it should be."""

    name: str
    ok: bool
    value: str
    mend: str = ""

    def __str__(self) -> str:
        text = f"{'ok' if self.ok else 'MISSING':<8} {self.name:<10} {self.value}"
        return f"{text}\n{'':<20}{self.mend}" if self.mend else text


def doctor(root: Path, files: Sequence[Path] = ()) -> tuple[Diagnostic, ...]:
    """Look at engine, Compose, machine and project; containers that it tries things with are removed again."""
    try:
        engine = Engine.connect()
    except HarnessError as exc:
        return (Diagnostic("engine", ok=False, value=str(exc), mend=Host.current().engine_mend()), _compose(None))
    with engine:
        compose = _compose(engine)
        return (*_machine(engine), compose, _builder(compose.value), *_project(engine, root.resolve(), files))


def has_project(root: Path, files: Sequence[Path]) -> bool:
    """Whether there are Compose files to read."""
    return bool(files) or is_described(root)


def _machine(engine: Engine) -> Iterator[Diagnostic]:
    try:
        info: dict[str, Any] = engine.info()
    except HarnessError as exc:
        yield Diagnostic("engine", ok=False, value=str(exc), mend=exc.hint)
        return
    apis = f"API {info['MinAPIVersion']} to {info['MaxAPIVersion']}"
    yield Diagnostic("engine", ok=True, value=f"{describe(engine)} (the engine has {apis})")
    yield Diagnostic("storage", ok=True, value=f"{info.get('Driver', '?')} in {info.get('DockerRootDir', '?')}")
    yield Diagnostic(
        "cgroup", ok=True, value=f"v{info.get('CgroupVersion', '1')}, driver {info.get('CgroupDriver', '?')}"
    )
    memory = f"{info.get('MemTotal', 0) / 2**30:.1f} GiB"
    yield Diagnostic(
        "machine", ok=True, value=f"{info.get('NCPU', '?')} cores, {memory} memory, {info.get('Architecture')}"
    )


def _builder(compose: str) -> Diagnostic:
    """Say which builder this Compose takes; one that is too old for it ends every build."""
    if os.environ.get("DOCKER_BUILDKIT", "").lower() in ("0", "f", "false"):
        return Diagnostic("builder", ok=True, value="classic (DOCKER_BUILDKIT says so)")
    own = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker", "cli-plugins", PLUGIN)
    found = next((path for path in (own, *PLUGINS) if path.exists()), None)
    if found is None:
        return Diagnostic("builder", ok=True, value="classic (there is no buildx plugin)")
    try:
        said = subprocess.run([found, "version"], capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired) as exc:
        return Diagnostic("builder", ok=False, value=f"BuildKit ({found}): {exc}", mend=BUILDX_MEND)
    version = VERSION.search(said)
    value = f"BuildKit (buildx {version['text'] if version else 'of an unknown version'}, {found})"
    old = version is not None and (int(version["major"]), int(version["minor"])) < BUILDX
    ok = not old or DEMANDING.match(compose) is None
    return Diagnostic("builder", ok=ok, value=value, mend="" if ok else BUILDX_MEND)


def _compose(engine: Engine | None) -> Diagnostic:
    return _line("compose", lambda: Compose.find(engine.compose_host if engine else None).description)


def _project(engine: Engine, root: Path, files: Sequence[Path]) -> Iterator[Diagnostic]:
    if not has_project(root, files):
        yield Diagnostic("project", ok=True, value=f"none: there is no compose.yaml in {root}")
        return
    try:
        spec = load(Compose.find(engine.compose_host), root, files)
        wants = base.wanted(spec)
    except HarnessError as exc:
        yield Diagnostic("project", ok=False, value=str(exc), mend=exc.hint)
        return
    yield Diagnostic("project", ok=True, value=f"{spec.project}: {', '.join(str(file) for file in spec.files)}")
    bases = tuple(_line("base", lambda want=want: base.describe(engine, want)) for want in wants)  # type: ignore[misc]
    yield from bases
    yield from (_wheels(spec, name, folder) for name, folder in spec.block.wheels.items())
    image = next((want.reference for want, line in zip(wants, bases, strict=True) if line.ok), None)
    yield _line("mounts", lambda: _mounts(engine, image, spec))
    yield _reach(engine, image)


def _wheels(spec: Spec, name: str, folder: str) -> Diagnostic:
    path = spec.root / name
    if path.is_file() and wheels.is_current(path, spec.root / folder):
        return Diagnostic("wheels", ok=True, value=f"{folder} holds those of {name}")
    return Diagnostic("wheels", ok=False, value=f"{folder} does not hold those of {name}", mend=SETUP)


def _mounts(engine: Engine, image: str | None, spec: Spec) -> str:
    if image is None:
        return UNTRIED
    if probe.sees(engine, image, spec.files[0]):
        return "the engine sees the folders of this machine"
    # No fault: the harness hands data over in volumes. Other bind mounts of the project would be empty.
    return "the engine does not see the folders of this machine: only data in volumes reach the containers"


def _reach(engine: Engine, image: str | None) -> Diagnostic:
    mend = "Run the harness where the engine's containers can be reached: on its host, or in a container beside them."
    if image is None:
        return Diagnostic("reach", ok=True, value=UNTRIED)
    try:
        way = probe.reach(engine, image)
    except HarnessError as exc:
        return Diagnostic("reach", ok=False, value=str(exc), mend=exc.hint)
    return Diagnostic(
        "reach", ok=way is not None, value=way or "no port of a container answers", mend="" if way else mend
    )


def _line(name: str, ask: Callable[[], str]) -> Diagnostic:
    try:
        return Diagnostic(name, ok=True, value=ask())
    except HarnessError as exc:
        return Diagnostic(name, ok=False, value=str(exc), mend=exc.hint)
