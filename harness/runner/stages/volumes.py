"""Volumes of one run that bring files into its containers: that works with a read-only root and an engine elsewhere."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from harness.engine import Leftover
from harness.engine.labels import STAGE
from harness.evidence.run_folder import disk_errors
from harness.project.runfile import Model
from harness.runner.stages import Run


def show(service: Model, path: str, volume: str, *, read_only: bool = True) -> None:
    """Mount a volume at a path, above whatever the service has there."""
    others = [entry for entry in service.get("volumes", ()) if entry["target"] != path]
    shown = {"type": "volume", "source": volume, "target": path, "read_only": read_only, "volume": {}}
    service["volumes"] = [*others, shown]


def filled(
    run: Run,
    image: str,
    name: str,
    path: str,
    files: Mapping[str, Path],
    *,
    open_to_all: Sequence[str] = (),
    owner: tuple[int, int] = (0, 0),
) -> str:
    """Return a volume of this run with files in it, filled through a container that is never started.

    The engine copies what the image has at `path` into the new volume first, so that nothing beside them is hidden.
    Every user may read the files, and write in the folders `open_to_all`; `owner` (UID, GID) may write the files.
    """
    volume = f"{run.project}-{name}"
    run.engine.create_volume(volume, run.labels)
    fill(run, image, volume, path, files, stage=name, open_to_all=open_to_all, owner=owner)
    return volume


def fill(
    run: Run,
    image: str,
    volume: str,
    path: str,
    files: Mapping[str, Path],
    *,
    stage: str,
    open_to_all: Sequence[str] = (),
    halves: bool = False,
    owner: tuple[int, int] = (0, 0),
) -> None:
    """Write files into a volume of this run, as `filled` does; with `halves` the first half of each of them alone."""
    name = f"{volume}-fill"
    helper = run.engine.helper(image, name, volume, path, {**run.labels, STAGE: stage})
    if helper is None:
        raise LookupError(f"the name {name} belongs to this run alone, and is taken")
    with tempfile.TemporaryFile() as tar:
        with disk_errors(Path(tempfile.gettempdir())):
            _pack(files, open_to_all, tar, owner, 2 if halves else 1)
        run.engine.write(helper, path, tar)
    run.engine.remove(Leftover("container", helper, name, {}))


def _pack(files: Mapping[str, Path], folders: Sequence[str], tar: IO[bytes], owner: tuple[int, int], part: int) -> None:
    """Write files, or the first of so many parts of each, and folders as a tar."""
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in folders:
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
            archive.addfile(folder)
        for name, path in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode = path.stat().st_size // part, 0o444 if owner == (0, 0) else 0o644
            info.uid, info.gid = owner
            with path.open("rb") as source:
                archive.addfile(info, source)
    tar.seek(0)
