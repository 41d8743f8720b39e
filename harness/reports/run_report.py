"""What every report is made of: one run, as its folder tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness.config.spec import Spec
from harness.errors import DescriptionError
from harness.evidence.records import Evidence, Finding
from harness.evidence.run_folder import RunFolder
from harness.project.compose_file import KEY, child, parse

if TYPE_CHECKING:  # it would bring the Docker SDK to whoever only renders a report
    from harness.reproduce.bundle import Redactor

SERVICES = "services"


@dataclass(frozen=True)
class Place:
    """A line of a file of the project, from 1; the file is relative to the project's folder."""

    file: str
    line: int = 1


@dataclass(frozen=True)
class RunReport:
    """One run: its evidence, its findings, and what could not be read of it."""

    folder: Path
    evidence: Evidence
    findings: tuple[Finding, ...]
    amiss: tuple[str, ...] = ()  # files of the run that are broken, each with the reason
    base: Path | None = None  # what paths are relative to: the workspace of CI; None: the project's folder
    places: Mapping[str, Place] = field(default_factory=dict)  # key of the block, `x-harness`, `services` -> where
    redactor: Redactor | None = None  # reports leave the machine: as artifacts of CI, as a comment that all can read

    @property
    def id(self) -> str:
        """The run's ID."""
        return self.folder.name

    @property
    def started(self) -> datetime:
        """When the run began, as its ID says; 1970 where the folder was renamed."""
        try:
            return datetime.strptime(self.id.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:
            return datetime.fromtimestamp(0, UTC)

    @property
    def seconds(self) -> float:
        """How long the run took."""
        return max((stage.start + stage.seconds for stage in self.evidence.stages), default=0.0)

    def redacted(self, text: str) -> str:
        """Return a text of this run without its secrets."""
        if self.redactor is None:
            return text
        return self.redactor.redact(text.encode("utf-8", "replace"), self.id).decode()

    def shown(self, path: Path) -> str:
        """Return a path as CI expects it: relative to its workspace, else to the project, else absolute."""
        for top in (self.base, self.evidence.spec.root):
            if top is not None and path.is_relative_to(top):
                return path.relative_to(top).as_posix()
        return path.as_posix()

    @classmethod
    def of(cls, folder: RunFolder) -> RunReport:
        """Read a run, whatever is left of it. Raises DescriptionError where not even its description is."""
        evidence, findings, amiss = folder.salvage()
        if evidence is None:
            raise DescriptionError(f"{folder.path} is no run: {amiss[-1]}", hint="Give the folder of a run.")
        return cls(folder.path, evidence, findings, amiss, places=places_of(evidence.spec))


def places_of(spec: Spec) -> dict[str, Place]:
    """Return where the Compose files have the keys of the block; nothing of those that are gone or broken."""
    found: dict[str, Place] = {}
    for path in spec.files:
        name = path.relative_to(spec.root).as_posix() if path.is_relative_to(spec.root) else path.name
        try:
            tree = parse(path)
        except (OSError, DescriptionError):
            continue
        for key in (KEY, SERVICES):
            if pair := child(tree, key):
                found.setdefault(key, Place(name, pair[0].start_mark.line + 1))
                for inner, _ in pair[1].value if key == KEY else ():
                    found.setdefault(str(inner.value), Place(name, inner.start_mark.line + 1))
    return found
