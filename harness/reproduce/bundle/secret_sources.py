"""Where the secrets of a run are found: the environment, the description, `.env` files, containers and images."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.config.spec import Spec
from harness.evidence.run_folder import RunFolder
from harness.reproduce.bundle.contents import HERE, env_files
from harness.reproduce.bundle.secret_names import secrets_in, secrets_of_model

RECORDS = ("images/*.json", "*/inspect.json", "compose*.json", "fuzz.json")  # of a run, that hold settings
MAX_SECRET = 2**16  # bytes of a file that Compose mounts as a secret


def named_secrets(folder: RunFolder, spec: Spec, root: Path, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield name and value of every secret that can be told by its name."""
    yield from secrets_in(environ)
    yield from secrets_of_model(_single_dollars(spec.model))
    yield from secrets_of_model({"hyperparameters": dict(spec.block.train.hyperparameters)})
    named = {root / HERE, *(file.parent / name for file in spec.files for name in env_files(file))}
    for file in sorted(named):
        yield from secrets_in(variables_of(file))
    yield from _declared(spec, environ)
    for pattern in RECORDS:
        for file in sorted(folder.path.glob(pattern)):
            try:
                yield from secrets_of_model(json.loads(file.read_bytes()))
            except (OSError, ValueError, RecursionError):
                continue


def _declared(spec: Spec, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what the Compose file declares as secrets: mounted as files, they may be printed by whoever reads them."""
    for name, declared in (spec.model.get("secrets") or {}).items():
        path = Path(str(declared.get("file", "")))
        if path.is_file() and path.stat().st_size <= MAX_SECRET:
            yield name, path.read_text(encoding="utf-8", errors="replace").strip()
        elif value := environ.get(str(declared.get("environment", ""))):
            yield name, value


def _single_dollars(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _single_dollars(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_single_dollars(each) for each in value]
    return value.replace("$$", "$") if isinstance(value, str) else value


def variables_of(file: Path) -> dict[str, str]:
    """Return the variables of a `.env` file as Compose reads the simple ones."""
    found: dict[str, str] = {}
    if file.is_file():
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            name, sign, value = line.removeprefix("export ").partition("=")
            if sign and not name.lstrip().startswith("#"):
                found[name.strip()] = value.strip().strip("\"'")
    return found
