"""Records what surrounded the code: variables, limits and packages of the containers, and the project's files.

Packages are found by the names of their `*.dist-info` folders (the wheel format keeps them installed under
`{name}-{version}.dist-info`), listed in a container of their own beside the line: about 0.5 s, and nothing where an
image with these layers was looked into before.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.engine import Leftover
from harness.engine.labels import STAGE
from harness.engine.machine import is_setting, parse_cpuinfo
from harness.errors import HarnessError
from harness.evidence.records import BuiltImage, Environment, Images, Inside, Surroundings
from harness.evidence.run_folder import write_atomic
from harness.project.context import context_hashes
from harness.runner.stages import Run

STAGE_NAME = "surroundings"
TIMEOUT = 20.0
CODE = (
    "import os\n"
    "for p, d, _ in os.walk('/'):\n"
    " d[:] = [n for n in d if os.path.join(p, n) not in ('/proc', '/sys', '/dev')]\n"
    " for n in d:\n"
    "  n.endswith('.dist-info') and print(os.path.join(p, n))"
)
# The first that the image has: findutils or busybox, else its Python.
LISTINGS: tuple[tuple[str, ...], ...] = (
    ("find", "/", "-xdev", "-type", "d", "-name", "*.dist-info"),
    ("python3", "-c", CODE),
    ("python", "-c", CODE),
)
SECRET = re.compile(r"key|token|secret|passw|credential|auth|private|dsn|cookie|session", re.IGNORECASE)
HIDDEN = "(hidden)"


def packages(run: Run, images: Sequence[BuiltImage]) -> dict[str, dict[str, str] | None]:
    """Return service -> packages of its image; None where the image has nothing to list them with."""
    return {image.service: _packages(run, image) for image in images}


def sources(run: Run) -> dict[str, str]:
    """Hash the files that a run is made of: its Compose files, the lock, what the block names, the build contexts.

    Files outside the project are left out, and so is the dataset, which has a record of its own.
    """
    root = run.spec.root
    contract = {each.file for each in run.spec.examples} | {each.file for each in run.spec.behaviours}
    named = [*run.spec.files, root / "harness.lock", *(root / name for name in contract)]
    named += [root / name for name in _named(run.spec.block.model_dump(exclude={"data": {"path"}}))]
    found = {path.resolve(): run.hashes.of(path) for path in named if path.is_file()}
    for service in run.spec.model["services"].values():
        if build := service.get("build"):
            found |= context_hashes(Path(build["context"]), run.hashes, build.get("dockerfile", "Dockerfile"))
    if run.spec.block.train.from_ is not None:
        found |= context_hashes(root / run.spec.block.train.source, run.hashes)
    resolved = root.resolve()
    return {str(p.relative_to(resolved)): d for p, d in sorted(found.items()) if p.is_relative_to(resolved)}


def collect(
    run: Run,
    images: Images,
    listed: Mapping[str, Mapping[str, str] | None],
    hashed: Mapping[str, str],
) -> Surroundings:
    """Return the record of the containers that there were, from what the run folder holds of them."""
    made = [_inside(run, image.service, listed.get(image.service)) for image in images.images]
    return Surroundings(tuple(made), dict(hashed))


def with_processor(run: Run, machine: Environment | None, images: Sequence[BuiltImage]) -> Environment | None:
    """Add what /proc/cpuinfo says inside a container, where the engine is on another machine."""
    if machine is None or machine.cpu_flags or not images:
        return machine
    model, flags = parse_cpuinfo(_printed(run, images[0].id, ("cat", "/proc/cpuinfo")) or "")
    return replace(machine, cpu_model=model, cpu_flags=flags)


def parse_packages(listing: str) -> dict[str, str]:
    """Return name -> version of a list of `*.dist-info` folders; of a package that is there twice both versions."""
    found: dict[str, set[str]] = {}
    for line in listing.splitlines():
        folder = line.strip().rpartition("/")[2]
        name, _, version = folder.removesuffix(".dist-info").rpartition("-")
        if folder.endswith(".dist-info") and name and version:
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), set()).add(version)
    return {name: ", ".join(sorted(versions)) for name, versions in sorted(found.items())}


def visible(variables: Sequence[str]) -> dict[str, str]:
    """Return the variables of a container, those hidden that look secret by their name."""
    pairs = [entry.partition("=") for entry in variables]
    return {n: HIDDEN if SECRET.search(n) and not is_setting(n) else value for n, _, value in sorted(pairs)}


def _packages(run: Run, image: BuiltImage) -> dict[str, str] | None:
    file = run.folder.cache / "packages" / f"{hashlib.sha256(' '.join(image.diff_ids).encode()).hexdigest()}.json"
    with suppress(OSError, ValueError):
        known: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
        return known
    for argv in LISTINGS:
        if (listing := _printed(run, image.id, argv)) is not None:
            found = parse_packages(listing)
            write_atomic(file, json.dumps(found, indent=1))
            return found
    return None


def _printed(run: Run, image: str, argv: Sequence[str]) -> str | None:
    """Return what a command prints in a container of an image; None where the image does not have it."""
    if run.over.is_set():
        return None
    with suppress(HarnessError):
        container = run.engine.create(image, list(argv), {**run.labels, STAGE: STAGE_NAME})
        run.engine.start(container)
        _, printed = run.engine.result(container, TIMEOUT)
        run.engine.remove(Leftover("container", container, container, {}))
        return printed
    return None


def _inside(run: Run, service: str, listed: Mapping[str, str] | None) -> Inside:
    """Describe a container by the engine's own words; where there was none, by its image alone."""
    part = "train" if service == run.spec.train_key else "serve"
    image = _read(run.folder.path / "images" / f"{service}.json")
    whole = _read(run.folder.path / part / "inspect.json") or image
    config, limits = whole.get("Config") or {}, whole.get("HostConfig") or {}
    return Inside(
        service=service,
        variables=visible(config.get("Env") or ()),
        packages=listed,
        memory=limits.get("Memory") or 0,
        cpus=(limits.get("NanoCpus") or 0) / 1e9 or _quota(limits),
        shared_memory=limits.get("ShmSize") or 0,
        user=config.get("User") or "",
        network=_network(str(limits.get("NetworkMode", "")), run.project),
    )


def _network(mode: str, project: str) -> str:
    """Return a network mode without the name of the run in it."""
    return mode.replace(f"{project}_", "")


def _quota(limits: Mapping[str, Any]) -> float:
    quota, period = limits.get("CpuQuota") or 0, limits.get("CpuPeriod") or 100_000
    return quota / period if quota > 0 else 0.0


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _named(value: Any) -> list[str]:
    """Return all texts in a block: those that name a file are hashed."""
    if isinstance(value, dict):
        return [text for each in value.values() for text in _named(each)]
    if isinstance(value, list | tuple):
        return [text for each in value for text in _named(each)]
    return [value] if isinstance(value, str) and "\n" not in value and 0 < len(value) < 256 else []  # noqa: PLR2004
