"""The stages of the line: each takes frozen records and returns a frozen record, and only collects evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.compose import Compose
from harness.engine import Engine
from harness.evidence import RunFolder
from harness.runfile import Variant, run_file, varied
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

    def create(
        self, service: str, images: Mapping[str, str], data_volume: str | None, variant: Variant | None = None
    ) -> str:
        """Create the container of train or serve, or a variant of it, with all it needs, not started; return its ID."""
        model = run_file(self.spec, project=self.project, images=images, data_volume=data_volume, labels=self.labels)
        file = "compose.json"
        if variant is not None:
            model, service, file = varied(model, service, variant), variant.name, f"compose-{variant.name}.json"
        path = self.folder.write_json(file, model)
        if needed := sorted(model["services"][service].get("depends_on", {})):
            self.compose.up(self.spec.root, path, needed)
        self.compose.create(self.spec.root, path, service)
        return self.engine.container(self.project, service)

    def log(self, stage: str, name: str, line: str) -> None:
        """Append a line to a log of the run folder and show it."""
        self.folder.append(name, line)
        self.say(stage, line)


def relative(path: Path, root: Path) -> str:
    """Return a path below the project in the words of the project, else the whole path."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
