"""What every report is made of: one run, as its folder tells it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.errors import DescriptionError
from harness.evidence import RunFolder
from harness.records import Evidence, Finding


@dataclass(frozen=True)
class RunReport:
    """One run: its evidence, its findings, and what could not be read of it."""

    folder: Path
    evidence: Evidence
    findings: tuple[Finding, ...]
    amiss: tuple[str, ...] = ()  # files of the run that are broken, each with the reason

    @property
    def id(self) -> str:
        """The run's ID."""
        return self.folder.name

    @classmethod
    def of(cls, folder: RunFolder) -> RunReport:
        """Read a run, whatever is left of it. Raises DescriptionError where not even its description is."""
        evidence, findings, amiss = folder.salvage()
        if evidence is None:
            raise DescriptionError(f"{folder.path} is no run: {amiss[-1]}", hint="Give the folder of a run.")
        return cls(folder.path, evidence, findings, amiss)
