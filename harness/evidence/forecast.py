"""How long a run will take, as far as the last one like it tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from harness.evidence.records import Selection, StageTime
from harness.evidence.records.run import JUDGED
from harness.evidence.run_folder import RunFolder

LOOKS = 20  # runs that are looked at, newest first
_STAGES = TypeAdapter(tuple[StageTime, ...])
_SELECTION = TypeAdapter(Selection)


@dataclass(frozen=True)
class Forecast:
    """When each stage ended in the last run like this one, in seconds after its start."""

    ends: Mapping[str, float]

    @property
    def total(self) -> float:
        """Seconds that the whole run took."""
        return max(self.ends.values(), default=0.0)

    def left(self, now: float) -> float:
        """Return the seconds that are probably left, `now` seconds after the start; never less than 0."""
        return max(0.0, self.total - now)


def forecast(folder: RunFolder, selection: Selection) -> Forecast | None:
    """Return what the last whole run with the same selection took; None where there is none.

    Folders beside this one are read, newest first; a broken one tells nothing and is passed over.
    """
    others = sorted((path for path in folder.path.parent.glob("2*") if path.name < folder.id), reverse=True)
    for path in others[:LOOKS]:
        ending = RunFolder(path).ending()
        if ending is None or ending.kind != JUDGED:
            continue
        try:
            if _SELECTION.validate_json((path / "selection.json").read_bytes()) != selection:
                continue
            stages = _STAGES.validate_json((path / "stages.json").read_bytes())
        except (OSError, ValidationError):
            continue
        return Forecast({stage.name: stage.start + stage.seconds for stage in stages if stage.done})
    return None
