"""The only caller of the Compose program: `docker compose` where installed, else the packaged binary."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.diagnosis import CauseKind, advice_for, machine_fault
from harness.errors import (
    ComposeError,
    DescriptionError,
    DiskFullError,
    HarnessError,
    ImageUnavailableError,
    InfrastructureError,
    is_disk_full,
)
from harness.system.output import shortened
from harness.system.process import stream

BUILD_TIMEOUT = 1800.0
CALL_TIMEOUT = 120.0
# Errors of their own for what ends a build; anything else of the machine is an InfrastructureError.
FAULTS: Mapping[CauseKind, type[InfrastructureError]] = {
    CauseKind.IMAGE_UNAVAILABLE: ImageUnavailableError,
    CauseKind.DISK_FULL_ENGINE: DiskFullError,
    CauseKind.ENGINE_GONE: ComposeError,
}
TAIL = 40  # lines of output that an error or a record keeps
PACKAGED_HINT = "Install the packaged Compose: pip install 'ml-container-harness[compose]'."


@dataclass(frozen=True)
class ComposeOutput:
    """What a Compose call printed and how it ended."""

    code: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Compose:
    """A Compose program that answered, and the environment it is called with."""

    argv: tuple[str, ...]
    version: str
    source: str  # `plugin`, `packaged` or `path`
    environment: Mapping[str, str] = field(repr=False)

    @classmethod
    def find(cls, docker_host: str | None = None) -> Compose:
        """Return the first Compose that answers: the plugin, the packaged binary, then `docker-compose` on PATH.

        `docker_host` makes Compose speak to the engine that the harness speaks to. Raises ComposeError.
        """
        # A run creates its containers one by one: those that are there already are no orphans.
        # Attestations hold the time of the build: they would give the same image another ID each time.
        own = {"COMPOSE_IGNORE_ORPHANS": "true", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
        for source, argv in _candidates():
            version = _version(argv)
            if version:
                return cls(argv, version, source, {**os.environ, **own}).speaking_to(docker_host)
        raise ComposeError("no Compose program answers", hint=PACKAGED_HINT)

    def speaking_to(self, docker_host: str | None) -> Compose:
        """Return this Compose with the engine that the harness found; None where Compose finds the same by itself."""
        if not docker_host:
            return self
        own = {name: value for name, value in self.environment.items() if name != "DOCKER_CONTEXT"}  # it would win
        return replace(self, environment={**own, "DOCKER_HOST": docker_host})

    @property
    def description(self) -> str:
        """Version and where it comes from, for people."""
        return f"Compose {self.version} ({self.source})"

    def config(self, root: Path, files: Sequence[Path]) -> dict[str, Any]:
        """Return the merged, normalised model of Compose files; `$` is doubled in it.

        Their relative paths, the project's name and `.env` are those of the folder `root`.
        Raises DescriptionError with Compose's own message when it refuses the files.
        """
        argv = [*self._base(root, files), "--profile", "*", "config", "--format", "json"]
        try:
            done = subprocess.run(
                argv, capture_output=True, text=True, timeout=CALL_TIMEOUT, env=dict(self.environment), check=False
            )
        except subprocess.TimeoutExpired as exc:
            raise _late(argv, CALL_TIMEOUT) from exc
        if done.returncode != 0:
            message = done.stderr.strip() or done.stdout.strip()
            raise DescriptionError(
                f"Compose refuses {', '.join(str(f) for f in files)}: {message}",
                hint="Correct the file; `docker compose config` shows the same message.",
            )
        model: dict[str, Any] = json.loads(done.stdout)
        return model

    def with_builder_of(self, url: str) -> Compose:
        """Return a Compose that builds with the builder of an engine itself, whatever builder is chosen for buildx.

        One in a container of its own does not see the images of the engine. An engine that only a context knows, with
        its certificates, keeps the builder that is chosen.
        """
        if "DOCKER_HOST" not in self.environment and not url.startswith("unix:"):
            return self
        own = {name: value for name, value in self.environment.items() if name != "DOCKER_CONTEXT"}
        return replace(self, environment={**own, "DOCKER_HOST": url, "BUILDX_BUILDER": "default"})

    def build(self, root: Path, file: Path, services: Sequence[str], on_line: Callable[[str], None]) -> ComposeOutput:
        """Build images; a failing build is an answer (its code is not 0), a failing machine an error."""
        argv = [*self._base(root, [file]), "--progress", "plain", "build", "--provenance=false", *services]
        output = self._stream(argv, on_line, timeout=BUILD_TIMEOUT)
        if output.code != 0 and (cause := machine_fault(output.lines)):
            kind = FAULTS.get(cause.kind, InfrastructureError)
            raise kind(f"{cause.summary}, while building:\n" + "\n".join(cause.lines), hint=cause.advice)
        return output

    def create(self, root: Path, file: Path, *services: str) -> None:
        """Create the containers of services with their networks and volumes, not started."""
        self._checked([*self._base(root, [file]), "create", "--no-build", "--pull", "missing", "--yes", *services])

    def run(
        self, root: Path, file: Path, service: str, *, terminal: bool, on_line: Callable[[str], None] | None = None
    ) -> int:
        """Run a service once in a container of its own, removed at its end; return the exit code of its command.

        The command has the standard streams of this process, and with `terminal` its terminal; with `on_line` its
        output, standard error included, goes there instead.
        """
        options = ["--rm", *([] if terminal else ["--no-TTY"])]
        argv = [*self._base(root, [file]), "--progress", "quiet", "run", *options, service]
        if on_line is None:
            return subprocess.run(argv, env=dict(self.environment), check=False).returncode
        with subprocess.Popen(
            argv,
            env=dict(self.environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            for line in process.stdout or ():
                on_line(line.removesuffix("\n"))
        return process.returncode

    def _base(self, root: Path, files: Sequence[Path]) -> list[str]:
        argv = [*self.argv, "--ansi", "never", "--project-directory", str(root)]
        for file in files:
            argv += ["--file", str(file)]
        return argv

    def _checked(self, argv: list[str]) -> None:
        output = self._stream(argv, lambda _line: None, timeout=CALL_TIMEOUT)
        if output.code == 0:
            return
        text = "\n".join(output.lines)
        kind: type[HarnessError] = DiskFullError if is_disk_full(text) else ComposeError
        raise kind(
            f"`{' '.join(argv[len(self.argv) :])}` ended with exit code {output.code}:\n{text}",
            hint=advice_for(kind, text) or "The message is the engine's; `harness doctor` checks the engine.",
        )

    def _stream(self, argv: list[str], on_line: Callable[[str], None], *, timeout: float) -> ComposeOutput:
        tail: deque[str] = deque(maxlen=TAIL)

        def keep(line: str) -> None:
            tail.append(shortened(line))
            on_line(line)

        ended = stream(argv, self.environment, keep, timeout=timeout)
        if ended.expired:
            raise _late(argv, timeout)
        return ComposeOutput(ended.code, tuple(tail))


def _late(argv: Sequence[str], timeout: float) -> ComposeError:
    return ComposeError(
        f"`{' '.join(argv)}` did not end within {timeout:g} s", hint="Look at the engine with `harness doctor`."
    )


def _candidates() -> list[tuple[str, tuple[str, ...]]]:
    found: list[tuple[str, tuple[str, ...]]] = []
    if docker := shutil.which("docker"):
        found.append(("plugin", (docker, "compose")))
    packaged = Path(sys.executable).parent / "docker-compose"
    if packaged.exists():
        found.append(("packaged", (str(packaged),)))
    if program := shutil.which("docker-compose"):
        found.append(("path", (program,)))
    return found


def _version(argv: tuple[str, ...]) -> str | None:
    try:
        done = subprocess.run([*argv, "version", "--short"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = done.stdout.strip().removeprefix("v")
    return version if done.returncode == 0 and version[:1] in set("23456789") else None
