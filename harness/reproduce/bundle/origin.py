"""What a run was made from: the call of the harness, and a project that may have moved since."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.config.spec import Spec
from harness.evidence.records import Selection


def moved(spec: Spec, root: Path) -> Spec:
    """Return the description with its paths where the project is now."""
    old = str(spec.root)
    if spec.root == root:
        return spec

    def move(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: move(each) for key, each in value.items()}
        if isinstance(value, list):
            return [move(each) for each in value]
        if isinstance(value, str) and (value == old or value.startswith(f"{old}/")):
            return f"{root}{value[len(old) :]}"
        return value

    return replace(spec, root=root, files=tuple(Path(move(str(f))) for f in spec.files), model=move(spec.model))


def arguments_of(selection: Selection | None) -> list[str]:
    """Return the options of `harness run` that select what a run did."""
    if selection is None:
        return []
    found = [word for pattern in selection.only for word in ("--only", pattern)]
    found += [word for pattern in selection.skip for word in ("--skip", pattern)]
    found += ["--fast"] if selection.fast else []
    found += ["--deep"] if selection.deep else []
    found += ["--seed", str(selection.seed)] if selection.seed != 1 else []
    return [*found, *(["--budget", f"{selection.budget:g}s"] if selection.budget is not None else [])]
