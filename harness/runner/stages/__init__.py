"""The stages of the line: each takes frozen records and returns a frozen record, and only collects evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock
from typing import Protocol

from harness.config.spec import Spec
from harness.diagnosis import full_disk
from harness.engine import Engine
from harness.engine.archive import write_texts
from harness.engine.bind_mount_copy import Carried, complete, fill, without_binds
from harness.engine.compose import Compose
from harness.errors import DescriptionError, DiskFullError, RunOverError
from harness.evidence.records import Exit
from harness.evidence.run_folder import RunFolder
from harness.project.file_hash_cache import Hashes
from harness.project.runfile import Model, Variant, inline_files, project_name, run_file, varied
from harness.runner.cores import Cores
from harness.runner.stages.logs import Log, LogFile


class LogLine(Protocol):
    """Takes one line of what a stage does, for the person who watches."""

    def __call__(self, stage: str, line: str) -> None:
        """Show a line."""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What a stage needs that asks a service and no engine."""

    spec: Spec
    folder: RunFolder
    say: LogLine
    over: Event = field(default_factory=Event)  # set when the run ends: what works beside it creates nothing more

    def log(self, stage: str, name: str) -> Log:
        """Return a log of the run folder that is shown while it is written, inside a `with`."""
        return Log(self.file(name), lambda line: self.say(stage, line), name)

    def file(self, name: str) -> LogFile:
        """Return a log of the run folder that nobody is shown, inside a `with`."""
        return LogFile(self.folder.path / name)

    def verify(self) -> None:
        """Raise HarnessError where what was seen up to now is no evidence: its machinery is lost."""


@dataclass(frozen=True, kw_only=True)
class Run(Recording):
    """What every other stage of one run needs."""

    engine: Engine
    compose: Compose
    labels: Mapping[str, str]
    hashes: Hashes = field(default_factory=Hashes)  # of the files that images are built from
    cores: Cores = field(default_factory=lambda: Cores(1))
    beside: dict[str, str] = field(default_factory=dict)  # services beside train and serve -> container, where started
    creating: Lock = field(default_factory=Lock)  # two Composes at once would both make the project's network

    def verify(self) -> None:
        """Raise EngineUnavailableError where the engine is lost: its containers went with it, and not by themselves."""
        self.engine.ping()

    @property
    def project(self) -> str:
        """The Compose project of this run: its containers, networks and volumes are nobody else's."""
        return project_name(self.folder.id)

    def create(
        self, service: str, images: Mapping[str, str], data_volume: str | None, variant: Variant | None = None
    ) -> str:
        """Create the container of train or serve, or a variant of it, with all it needs, not started; return its ID.

        Raises DescriptionError where a file of its `configs` cannot be put into it.
        """
        model = self._model(images, data_volume)
        name = "compose.json"
        if variant is not None:
            model, service, name = varied(model, service, variant), variant.name, f"compose-{variant.name}.json"
        return self._create(name, model, [service])[service]

    def create_variants(
        self,
        service: str,
        images: Mapping[str, str],
        data_volume: str | None,
        variants: Sequence[Variant],
        networks: Mapping[str, Model] | None = None,
    ) -> dict[str, str]:
        """Create the containers of many variants with one call of Compose; return name -> ID. Raises as `create`."""
        model = self._model(images, data_volume)
        names = [variant.name for variant in variants]
        return self._create(f"compose-{names[0]}.json", varied(model, service, *variants, networks=networks), names)

    def create_beside(
        self, service: str, images: Mapping[str, str], data_volume: str | None, names: Sequence[str]
    ) -> dict[str, str]:
        """Create the containers of services that train or serve depends on; return name -> ID. Raises as `create`."""
        return self._create(f"compose-beside-{service}.json", self._model(images, data_volume), names)

    def _model(self, images: Mapping[str, str], data_volume: str | None) -> Model:
        return run_file(
            self.spec,
            project=self.project,
            images=images,
            data_volume=data_volume,
            labels=self.labels,
            published_at=self.engine.reach.published_at,
        )

    def _create(self, name: str, model: Model, services: Sequence[str]) -> dict[str, str]:
        if self.over.is_set():
            raise RunOverError("the run has ended")
        carried = Carried(model) if self.engine.reach.shares_files else without_binds(model, self.spec.root)
        file = self.folder.write_json(name, carried.model)
        with self.creating:
            fill(self.engine, carried, model["services"][services[0]]["image"], self.labels)
            self.compose.create(self.spec.root, file, *services)
        self._carry(carried, services)
        return {service: self._completed(model, service) for service in services}

    def _carry(self, carried: Carried, services: Sequence[str]) -> None:
        for service in services:
            if service in carried.files:
                complete(self.engine, carried, service, self.engine.container(self.project, service))

    def _completed(self, model: Model, service: str) -> str:
        """Return the container of a service, with the files in it that Compose adds only when it starts one."""
        container = self.engine.container(self.project, service)
        if files := inline_files(model, service):
            if model["services"][service].get("read_only"):
                raise DescriptionError(
                    f"`{service}` has `read_only: true`, so {', '.join(files)} cannot be put into its container",
                    hint=f"Remove `read_only` of `{service}`, or mount the files from a folder.",
                )
            write_texts(self.engine, container, files)
        return container


def not_for_want_of_disk(ended: Exit, what: str) -> None:
    """Raise DiskFullError where a container failed because it could not write: no model is to blame for that."""
    if ended.code not in (0, None) and (line := full_disk(ended.log_tail)):
        small = ", ".join(f"{path} {options}".rstrip() for path, options in ended.limits.tmpfs.items())
        raise DiskFullError(
            f"{what} ran into a full disk: {line}" + (f" (its tmpfs: {small})" if small else ""),
            hint="Give the volume of the artifact, a `tmpfs` of the service, or the disk of the engine, more space.",
        )


def relative(path: Path, root: Path) -> str:
    """Return a path below the project in the words of the project, else the whole path."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
