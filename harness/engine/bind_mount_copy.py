"""Brings the project's own files to an engine that does not see them: on another machine, or beside this container.

There a bind mount of a folder would show an empty one, or a stranger's. So it becomes a volume of the run with a copy
of what is here, and a single file is written into the created container. What a container writes there stays there.
"""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.engine import Engine, Leftover
from harness.engine.labels import STAGE
from harness.errors import DescriptionError
from harness.evidence.run_folder import STORE, disk_errors

PATH = "/harness-carried"
LEFT_OUT = (STORE, ".git")


@dataclass(frozen=True)
class Carried:
    """A Compose file without bind mounts of the project, and what must stand in their place."""

    model: dict[str, Any]
    folders: Mapping[str, Path] = field(default_factory=dict)  # name of a volume -> folder
    files: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)  # service -> path inside -> file


def without_binds(model: dict[str, Any], root: Path) -> Carried:
    """Replace the bind mounts of what is below `root`; others, as of the engine's socket, are the engine's own."""
    made: dict[str, Any] = deepcopy(model)
    folders: dict[str, Path] = {}
    files: dict[str, dict[str, Path]] = {}
    for key, service in made["services"].items():
        mounts = []
        for mount in service.get("volumes", ()):
            source = Path(str(mount.get("source", "")).replace("$$", "$"))
            if mount["type"] != "bind" or not source.is_relative_to(root) or not source.exists():
                mounts.append(mount)
            elif source.is_file():
                files.setdefault(key, {})[mount["target"]] = source
            else:
                own = f"harness-{hashlib.sha256(str(source).encode()).hexdigest()[:12]}"
                folders[f"{made['name']}_{own}"] = source
                made["volumes"] = {**made.get("volumes", {}), own: {"name": f"{made['name']}_{own}", "external": True}}
                mounts.append(
                    {
                        "type": "volume",
                        "source": own,
                        "target": mount["target"],
                        "read_only": bool(mount.get("read_only")),
                        "volume": {"nocopy": True},
                    }
                )
        if "volumes" in service:
            service["volumes"] = mounts
    return Carried(made, folders, files)


def fill(engine: Engine, carried: Carried, image: str, labels: Mapping[str, str]) -> None:
    """Make the volumes that are not there yet, filled through a container of any image that is never started."""
    for name, folder in carried.folders.items():
        if engine.has_volume(name):
            continue
        engine.create_volume(name, labels)
        helper = engine.helper(image, f"{name}-fill", name, PATH, {**labels, STAGE: "carried"})
        if helper is None:
            raise LookupError(f"the name {name}-fill belongs to this run alone, and is taken")
        _write(engine, helper, PATH, {".": folder})
        engine.remove(Leftover("container", helper, f"{name}-fill", {}))


def complete(engine: Engine, carried: Carried, service: str, container: str) -> None:
    """Write the single files into a created container. Raises DescriptionError where its root is read-only."""
    files = carried.files[service]
    if carried.model["services"][service].get("read_only"):
        raise DescriptionError(
            f"`{service}` has `read_only: true`, and this engine does not see {', '.join(map(str, files.values()))}",
            hint="Mount the folder of the file: a folder is carried to the engine as a volume.",
        )
    _write(engine, container, "/", {path.lstrip("/"): file for path, file in files.items()})


def _write(engine: Engine, container: str, path: str, entries: Mapping[str, Path]) -> None:
    with tempfile.TemporaryFile() as tar:
        with disk_errors(Path(tempfile.gettempdir())), tarfile.open(fileobj=tar, mode="w") as archive:
            for name, source in entries.items():
                archive.add(source, name, filter=_wanted)
        tar.seek(0)
        engine.write(container, path, tar)


def _wanted(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if any(part in LEFT_OUT for part in Path(info.name).parts) else info
