"""The stages of the line: each takes frozen records and returns a frozen record, and only collects evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.compose import Compose
from harness.engine import Engine
from harness.evidence import RunFolder
from harness.runfile import Model, run_file
from harness.spec import Spec


class Say(Protocol):
    """Takes one line of what a stage does, for the person who watches."""

    def __call__(self, stage: str, line: str) -> None:
        """Show a line."""


@dataclass(frozen=True)
class Run:
    """What every stage of one run needs."""

    spec: Spec
    engine: Engine
    compose: Compose
    folder: RunFolder
    labels: Mapping[str, str]
    say: Say

    @property
    def project(self) -> str:
        """The Compose project of this run: its containers, networks and volumes are nobody else's."""
        return f"harness-{self.folder.id.lower()}"

    def create(self, service: str, images: Mapping[str, str], data_volume: str | None) -> str:
        """Create the container of train or serve with all it needs, not started, and return its ID."""
        model = run_file(self.spec, project=self.project, images=images, data_volume=data_volume, labels=self.labels)
        file = self.folder.write_json("compose.json", model)
        if needed := sorted(model["services"][service].get("depends_on", {})):
            self.compose.up(self.spec.root, file, needed)
        self.compose.create(self.spec.root, file, service)
        return self.engine.container(self.project, service)

    def create_variants(self, name: str, model: Model) -> dict[str, str]:
        """Create all containers of a file of `harness.runfile.variant_file` at once; return service -> ID."""
        file = self.folder.write_json(name, model)
        self.compose.create(self.spec.root, file, *sorted(model["services"]))
        return {service: self.engine.container(self.project, service) for service in model["services"]}

    def log(self, stage: str, name: str, line: str) -> None:
        """Append a line to a log of the run folder and show it."""
        self.folder.append(name, line)
        self.say(stage, line)


def relative(path: Path, root: Path) -> str:
    """Return a path below the project in the words of the project, else the whole path."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
