"""Changes one line of a `.env` file and nothing else."""

from __future__ import annotations

import os
import re
from pathlib import Path

from harness.errors import InfrastructureError
from harness.project.dockerfile import BASE_ARGUMENT

_LINE = re.compile(rf"\s*(?:export\s+)?{BASE_ARGUMENT}\s*[=:]")


def with_base(text: str, reference: str | None) -> str:
    """Return the text of a `.env` whose only BASE_IMAGE line names `reference`; without one for None."""
    lines = text.splitlines(keepends=True)
    places = [number for number, line in enumerate(lines) if _LINE.match(line)]
    kept = [line for number, line in enumerate(lines) if number not in places]
    if reference is not None:
        place = places[0] if places else len(kept)
        if place == len(kept) and kept and not kept[-1].endswith("\n"):
            kept[-1] += "\n"
        kept.insert(place, f"{BASE_ARGUMENT}={reference}\n")
    return "".join(kept)


def set_base(file: Path, reference: str | None) -> None:
    """Write the BASE_IMAGE line of a `.env`, or remove it; atomically, and not at all where nothing changes."""
    try:
        old = file.read_text(encoding="utf-8") if file.exists() else ""
        new = with_base(old, reference)
        if new == old:
            return
        if not new:  # the line was all there was: the file was ours
            file.unlink()
            return
        target = file.resolve()  # a link stays a link
        temporary = target.with_name(f"{target.name}.{os.getpid()}")
        try:
            temporary.touch(mode=0o600)  # other lines may be secrets
            temporary.write_text(new, encoding="utf-8")
            temporary.chmod(target.stat().st_mode if target.exists() else 0o644)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, UnicodeDecodeError) as exc:
        raise InfrastructureError(
            f"cannot set {BASE_ARGUMENT} in {file}: {exc}", hint="Check the file and its permissions."
        ) from exc
