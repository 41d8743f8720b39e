"""What there is to replay: a run folder with the project that it was of, from here or from a bundle."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.evidence.provenance import hash_file
from harness.evidence.run_folder import RunFolder, disk_errors, ignored
from harness.reproduce.bundle import Absent

UNPACKED = "unpacked"
PROJECT = "project/"  # where a bundle has the files of the project


@dataclass(frozen=True)
class Opened:
    """A recorded run, the project to replay it in, and what a bundle brought or left out."""

    recorded: RunFolder
    root: Path
    id: str  # of the recorded run
    images: Mapping[str, Path] = field(default_factory=dict)  # saved images
    absent: Sequence[Absent] = ()  # paths relative to the project
    redacted: frozenset[str] = frozenset()  # files of the project in which a bundle hides secrets


def opened(name: str, project: Path) -> Opened:
    """Open a bundle, which is a file, or find a run of the project by ID, start of an ID, folder or `latest`.

    A bundle is unpacked below the `.harness` of the project; files that it left out are taken from the project, where
    that has the very same ones. Raises DescriptionError and InfrastructureError.
    """
    if not Path(name).is_file():
        recorded = RunFolder.find(project.resolve(), name)
        return Opened(recorded, project.resolve(), recorded.id)
    from harness.reproduce.bundle import open_bundle

    into = ignored(project.resolve()) / UNPACKED / f"{Path(name).name.partition('.')[0]}-{secrets.token_hex(3)}"
    bundle = open_bundle(Path(name), into)
    manifest = bundle.manifest
    of_project = [each for each in manifest.absent if each.path.startswith(PROJECT)]
    absent = tuple(replace(each, path=each.path.removeprefix(PROJECT)) for each in of_project)
    _complete(bundle.project, absent, project.resolve())
    places = {place for redaction in manifest.redactions for place in redaction.places}
    return Opened(
        recorded=bundle.run,
        root=bundle.project,
        id=manifest.run,
        images=bundle.images,
        absent=absent,
        redacted=frozenset(place.removeprefix(PROJECT) for place in places if place.startswith(PROJECT)),
    )


def _complete(root: Path, absent: Sequence[Absent], project: Path) -> None:
    """Copy files that a bundle left out from the project, where it has them unchanged."""
    for file in absent:
        source, target = project / file.path, root / file.path
        inside = target.resolve().is_relative_to(root.resolve()) and source.resolve().is_relative_to(project)
        if inside and source.is_file() and not target.exists() and hash_file(source) == file.sha256:
            with disk_errors(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
