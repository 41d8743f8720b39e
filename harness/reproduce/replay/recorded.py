"""The description of a recorded run, as it holds here; and whether the project is still as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.config.spec import Spec
from harness.evidence.provenance import hash_file
from harness.evidence.records import Evidence
from harness.reproduce.bundle import Absent

MARKER = re.compile(r"\[redacted ([A-Za-z0-9_.-]+)\]")  # as `harness.reproduce.bundle.redaction.marker` makes it
# What a program in the container, or in the build, reads as it likes.
GIVEN_TO_PROGRAMS = frozenset({"environment", "args", "labels", "command", "entrypoint", "healthcheck"})
REDACTED = re.compile(r"redacted|\*{3,}|\(hidden\)", re.IGNORECASE)


@dataclass(frozen=True)
class MissingFile:
    """A file that a replay needs and that is not there."""

    path: str
    how: str


def relocated(spec: Spec, root: Path) -> Spec:
    """Return a description whose project lies in another folder; paths outside of it stay."""
    old, new = str(spec.root), str(root)
    if old == new:
        return spec

    def moved(value: Any) -> Any:
        if isinstance(value, str) and (value == old or value.startswith(f"{old}/")):
            return new + value.removeprefix(old)
        if isinstance(value, dict):
            return {key: moved(each) for key, each in value.items()}
        return [moved(each) for each in value] if isinstance(value, list) else value

    files = tuple(Path(moved(str(file))) for file in spec.files)
    return replace(spec, root=root, files=files, model=moved(spec.model))


def with_secrets(spec: Spec, variables: Mapping[str, str]) -> tuple[Spec, tuple[str, ...]]:
    """Put values of this machine's variables where a bundle hides them; return also the names that it lacks."""
    lacking: set[str] = set()

    def filled(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: filled(each) for name, each in value.items()}
        if isinstance(value, list):
            return [filled(each) for each in value]
        if not isinstance(value, str) or not REDACTED.search(value):
            return value
        names = MARKER.findall(value)
        if key in variables and (not names or names == [key]):
            return variables[key].replace("$", "$$")
        lacking.update(name for name in names or [key] if name and name not in variables)
        return MARKER.sub(lambda hit: variables.get(hit[1], hit[0]).replace("$", "$$"), value)

    services = {}
    for service, settings in spec.model["services"].items():
        services[service] = {name: _each(filled, name, value) for name, value in settings.items()}
    return replace(spec, model={**spec.model, "services": services}), tuple(sorted(lacking))


def hidden_parts(spec: Spec) -> Iterator[str]:
    """Yield the settings, beside a container's environment, arguments and labels, whose value a bundle hides.

    Without these values no container is like the recorded one, or there is none at all.
    """
    for service, settings in spec.model["services"].items():
        for name, value in settings.items():
            if name in GIVEN_TO_PROGRAMS:
                continue
            build = {k: v for k, v in value.items() if k not in GIVEN_TO_PROGRAMS} if name == "build" else value
            for hit in dict.fromkeys(MARKER.findall(json.dumps(build))):
                yield f"{hit} (services.{service}.{name})"


def _each(filled: Callable[[Any, str], Any], name: str, value: Any) -> Any:
    """Fill the values of a setting; of the environment each has its own name."""
    if name == "environment" and isinstance(value, dict):
        return {key: filled(each, key) for key, each in value.items()}
    return filled(value, "")


def missing(evidence: Evidence, root: Path, absent: Sequence[Absent], *, built: bool) -> tuple[MissingFile, ...]:
    """Return the files of the run that are not there; those of the images only where they are to be `built`."""
    how = {file.path: file.how for file in absent}
    default = "It was there when the run was recorded: check that commit out."
    names = _needed(evidence, root, built=built)
    return tuple(MissingFile(name, how.get(name, default)) for name in names if not (root / name).exists())


def changed(evidence: Evidence, root: Path, *, built: bool) -> tuple[str, ...]:
    """Return the files of the run that are there, and are not as the run saw them. Raises OSError."""
    expected = _needed(evidence, root, built=built)
    return tuple(
        name for name, digest in expected.items() if (root / name).is_file() and hash_file(root / name) != digest
    )


def _needed(evidence: Evidence, root: Path, *, built: bool) -> dict[str, str]:
    """Return path -> SHA-256 of what the run was made of, the dataset included."""
    needed = evidence.surroundings.code if evidence.surroundings else {}
    if not built:
        contexts = [Path(path) for path in _contexts(evidence.spec)]
        own = {str(file.relative_to(evidence.spec.root)) for file in evidence.spec.files if _below(file, evidence.spec)}
        own |= {each.file for each in evidence.spec.examples} | {each.file for each in evidence.spec.behaviours}
        needed = {
            name: digest
            for name, digest in needed.items()
            if name in own or not any((evidence.spec.root / name).is_relative_to(context) for context in contexts)
        }
    if evidence.data is not None:
        path = Path(evidence.data.path)
        alone = (
            len(evidence.data.files) == 1 and evidence.data.files[0].path == path.name and not (root / path).is_dir()
        )
        for file in evidence.data.files:
            needed[str(path if alone else path / file.path)] = file.sha256
    return needed


def _contexts(spec: Spec) -> list[str]:
    found = [service["build"]["context"] for service in spec.model["services"].values() if "build" in service]
    return found + ([str(spec.root / spec.block.train.source)] if spec.block.train.from_ is not None else [])


def _below(file: Path, spec: Spec) -> bool:
    return file.is_relative_to(spec.root)
