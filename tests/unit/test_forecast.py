"""How long a run will take is what the last run like it took."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.evidence.forecast import Forecast, forecast
from harness.evidence.records import Ending, Selection, StageTime
from harness.evidence.run_folder import RunFolder

ALL, FAST = Selection(), Selection(fast=True)


def _run(root: Path, name: str, selection: Selection = ALL, kind: str = "judged", seconds: float = 3.0) -> RunFolder:
    folder = RunFolder(root / ".harness/runs" / name)
    folder.write("selection", selection)
    folder.write("end", Ending(0, kind))
    stages = (StageTime("train", 1.0, seconds, "done", done=True), StageTime("load", 9.0, 0.0, "left out", done=False))
    folder.write("stages", stages)
    return folder


def test_the_last_run_like_it(tmp_path: Path) -> None:
    """The newest run with the same selection that came to a verdict tells when each stage ended."""
    _run(tmp_path, "20260101T000000Z-a", seconds=1.0)
    _run(tmp_path, "20260102T000000Z-b", seconds=5.0)
    _run(tmp_path, "20260103T000000Z-c", FAST, seconds=7.0)
    _run(tmp_path, "20260104T000000Z-d", kind="interrupted", seconds=9.0)
    now = RunFolder(tmp_path / ".harness/runs/20260105T000000Z-e")
    assert forecast(now, ALL) == Forecast({"train": 6.0})
    assert forecast(now, FAST) == Forecast({"train": 8.0})
    assert forecast(now, Selection(deep=True)) is None


@pytest.mark.parametrize("name", ["end.json", "selection.json", "stages.json"])
def test_a_broken_run_tells_nothing(tmp_path: Path, name: str) -> None:
    """A run whose files are broken or lost is passed over."""
    _run(tmp_path, "20260101T000000Z-a", seconds=1.0)
    broken = _run(tmp_path, "20260102T000000Z-b", seconds=5.0)
    now = RunFolder(tmp_path / ".harness/runs/20260105T000000Z-e")
    (broken.path / name).write_text("{", encoding="utf-8")
    assert forecast(now, ALL) == Forecast({"train": 2.0})
    (broken.path / name).unlink()
    assert forecast(now, ALL) == Forecast({"train": 2.0})


def test_what_is_left() -> None:
    """What is left of a run is never less than nothing."""
    known = Forecast({"train": 4.0, "serve": 10.0})
    assert (known.total, known.left(4.0), known.left(12.0)) == (10.0, 6.0, 0.0)
