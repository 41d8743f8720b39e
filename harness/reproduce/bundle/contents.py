"""Which files a bundle takes: of the run folder its evidence, of the project what a rebuild and a rerun need."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.config.spec import Spec
from harness.evidence.records import Evidence
from harness.evidence.run_folder import STORE
from harness.project.context import files_of
from harness.project.lock import NAME as LOCK
from harness.reproduce.bundle.redaction import is_credential_file

RUN, PROJECT = "run", "project"
# Of the run folder: artifacts, whose hashes are in artifact.json, and contexts, which are copies of the project.
ARTIFACTS = re.compile(r"^(trainings/[^/]+/)?artifact/")
COPIES = re.compile(r"^(context|images/train-context)/")
VARIABLE = re.compile(r"(?<!\$)\$(?:\{([A-Za-z_]\w*)|([A-Za-z_]\w*))")
HERE = ".env"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast


@dataclass(frozen=True)
class Candidate:
    """One file that may be packed, or why it is not."""

    path: str  # in the bundle
    source: Path
    why: str = ""  # it stays out; empty: it may come in
    how: str = ""


def of_run(folder: Path, *, artifact: bool) -> Iterator[Candidate]:
    """Yield the files of a run folder, sorted; those of artifacts stay out unless asked for."""
    for name in _below(folder):
        if COPIES.match(name):
            continue
        why = "" if artifact or not ARTIFACTS.match(name) else "an artifact, left out unless it is asked for"
        how = "Train again, or pack the run with --artifact where it was made: `harness bundle RUN --artifact`."
        yield Candidate(f"{RUN}/{name}", folder / name, why, how if why else "")


def of_project(evidence: Evidence, root: Path) -> tuple[list[Candidate], list[str]]:
    """Return the files of the project, sorted, and its empty folders that a build would see."""
    spec = evidence.spec
    wheels = {(root / folder).resolve(): name for name, folder in spec.block.wheels.items()}
    found: dict[str, Candidate] = {}
    empty: set[str] = set()
    for path in _paths(spec, root):
        if not Path(os.path.normpath(path.absolute())).is_relative_to(root):
            found[str(path)] = Candidate(str(path), path, "it lies outside the project", "Copy it from there.")
            continue
        name = f"{PROJECT}/{path.absolute().relative_to(root).as_posix()}"
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                empty.add(name)
            continue
        if not (path.is_file() or path.is_symlink()) or path.absolute().relative_to(root).parts[0] in (STORE, ".git"):
            continue
        found[name] = _candidate(name, path, root, wheels, evidence)
    return [found[name] for name in sorted(found)], sorted(empty)


def _candidate(name: str, path: Path, root: Path, wheels: dict[Path, str], evidence: Evidence) -> Candidate:
    relative = name.removeprefix(f"{PROJECT}/")
    real = path.resolve()
    if path.is_symlink() and not (real.is_file() and real.is_relative_to(root)):
        how = f"ln -s '{path.readlink()}' '{relative}'"
        return Candidate(name, path, "a symbolic link to a folder or out of the project", how)
    for folder, requirements in wheels.items():
        if path.parent.resolve() == folder:
            how = f"`harness setup` fetches it: its hash stands in {requirements}."
            return Candidate(name, path, "a wheel, or the stamp of their folder", how)
    if is_credential_file(relative) or _is_secret(path, evidence.spec):
        return Candidate(name, path, "a credential, by its name or by the description", "Use your own.")
    return Candidate(name, path, how=_how_to_get(relative, evidence))


def _is_secret(path: Path, spec: Spec) -> bool:
    """Whether the Compose file mounts a file as a secret."""
    declared = (spec.model.get("secrets") or {}).values()
    return any(str(path) == str(each.get("file")) for each in declared)


def _how_to_get(relative: str, evidence: Evidence) -> str:
    """Say where a file is to be had that is too large for the bundle."""
    for pointer in evidence.data.dvc if evidence.data is not None else ():
        if relative == pointer.path or relative.startswith(f"{pointer.path}/"):
            return f"`dvc pull {pointer.pointer}` in a checkout of the project"
    commit = evidence.provenance.commit if evidence.provenance is not None else None
    at = f" at commit {commit}" if commit else ""
    return f"Copy it from a checkout of the project{at}, or pack with a larger --limit."


def _paths(spec: Spec, root: Path) -> Iterator[Path]:
    """Yield all paths that the description names, with what is in folders."""
    files = [path for path in (*spec.files, *included(spec.files)) if path.is_file()]
    yield from files
    for name in (LOCK, HERE):
        yield root / name
    yield from _named_by_block(spec, root)
    for service in spec.model.get("services", {}).values():
        yield from _of_build(service.get("build") or {}, root)
        for mount in service.get("volumes", ()):
            if mount.get("type") == "bind":
                yield from _inside(Path(mount["source"]), root)
    for config in (spec.model.get("configs") or {}).values():
        if "file" in config:
            yield Path(config["file"])
    for file in files:
        yield from (file.parent / name for name in env_files(file))


def _named_by_block(spec: Spec, root: Path) -> Iterator[Path]:
    block = spec.block
    data, quality, skew = block.data, block.quality, block.contract.skew
    names = [*block.wheels, block.contract.baseline, block.train.from_, *(f.table for f in block.code.features)]
    names += [data.schema_, data.reference] if data else []
    names += [quality.holdout, quality.training] if quality else []
    names += [quality.baseline] if quality and isinstance(quality.baseline, str) else []
    names += [skew.rows] if skew else []
    names += [example.file for example in spec.examples] + [behaviour.file for behaviour in spec.behaviours]
    yield from (root / name for name in names if name is not None)
    for folder in block.wheels.values():
        yield from _whole(root / folder)
    if block.contract.examples is not None and not Path(block.contract.examples).is_absolute():
        yield from sorted(root.glob(block.contract.examples))
    if data is not None:
        yield from _inside(root / data.path, root)
        for above in (root / data.path, *(root / data.path).parents):
            if above != root and above.is_relative_to(root):
                yield above.with_name(f"{above.name}.dvc")
    if block.train.from_ is not None:
        yield from _context(root / block.train.source, "Dockerfile")


def _of_build(build: dict[str, Any], root: Path) -> Iterator[Path]:
    """Yield what a build sees: its context without what .dockerignore leaves out, and its Dockerfile."""
    if not build or not Path(str(build.get("context", ""))).is_dir():
        return
    context = Path(build["context"])
    if not context.is_relative_to(root):
        yield context
        return
    dockerfile = str(build.get("dockerfile", "Dockerfile"))
    yield from _context(context, dockerfile)
    yield context / dockerfile
    yield context / f"{dockerfile}.dockerignore"
    for other in (build.get("additional_contexts") or {}).values():
        if Path(str(other)).is_dir():
            yield from _context(Path(other), "") if Path(other).is_relative_to(root) else (Path(other),)


def _context(context: Path, dockerfile: str) -> Iterator[Path]:
    if context.is_dir():
        yield context / ".dockerignore"
        yield from (context / name for name in files_of(context, dockerfile))


def _inside(path: Path, root: Path) -> Iterator[Path]:
    """Yield a file, or all of a folder; of what lies outside the project only its name."""
    if path.absolute().is_relative_to(root):
        yield from _whole(path)
    elif path.exists():
        yield path


def _whole(path: Path) -> Iterator[Path]:
    """Yield a file, or all of a folder."""
    if path.is_dir():
        yield from (path / name for name in _below(path))
    else:
        yield path


def _below(folder: Path) -> list[str]:
    """Return the regular files below a folder, no links followed, sorted."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in (STORE, ".git"))
        where = Path(parent)
        found += [
            (where / n).relative_to(folder).as_posix()
            for n in names
            if not (where / n).is_symlink() and (where / n).is_file()
        ]
    return sorted(found)


def included(files: Iterable[Path], depth: int = 5) -> list[Path]:
    """Return the Compose files that others include or extend."""
    found = []
    for file in files:
        tree = _tree(file)
        entries = [*_listed(tree.get("include"))]
        services = tree.get("services")
        entries += [
            s["extends"] for s in (services.values() if isinstance(services, dict) else ()) if _has(s, "extends")
        ]
        for entry in entries:
            names = _listed(entry.get("path") or entry.get("file")) if isinstance(entry, dict) else [entry]
            found += [file.parent / str(name) for name in names if name and (file.parent / str(name)).is_file()]
    return [*found, *(included(found, depth - 1) if found and depth else [])]


def env_files(file: Path) -> list[str]:
    """Return the files of variables that the services of a Compose file name."""
    services = _tree(file).get("services")
    found: list[str] = []
    for service in services.values() if isinstance(services, dict) else ():
        for entry in _listed(service.get("env_file")) if isinstance(service, dict) else ():
            name = entry.get("path") if isinstance(entry, dict) else entry
            if isinstance(name, str):
                found.append(name)
    return found


def variables(files: Iterable[Path]) -> list[str]:
    """Return the names that Compose files take from the environment, sorted: `${NAME}`, and names without a value."""
    found: set[str] = set()
    known = tuple(files)
    for file in (*known, *included(known)):
        text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
        found |= {match[1] or match[2] for match in VARIABLE.finditer(text)}
        services = _tree(file).get("services")
        for service in services.values() if isinstance(services, dict) else ():
            if isinstance(service, dict):
                build = service.get("build")
                for settings in (service.get("environment"), build.get("args") if isinstance(build, dict) else None):
                    found |= set(_without_value(settings))
    return sorted(found)


def _without_value(settings: Any) -> Iterator[str]:
    if isinstance(settings, list):
        yield from (name for name in settings if isinstance(name, str) and "=" not in name)
    elif isinstance(settings, dict):
        yield from (str(name) for name, value in settings.items() if value is None)


def _tree(file: Path) -> dict[str, Any]:
    try:
        tree = yaml.load(file.read_bytes(), Loader=LOADER)  # noqa: S506 - a safe one
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return {}
    return tree if isinstance(tree, dict) else {}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _has(value: Any, key: str) -> bool:
    return isinstance(value, dict) and key in value
