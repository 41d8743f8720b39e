"""Training that prints a flood: its log is kept to the last line, and nothing of it slows or ends the training."""

from __future__ import annotations

from typing import Any

import pytest
from defects import defect

from ..support import HERE, Harness, Mini

pytestmark = pytest.mark.engine

VALUES, NOISE = 27, 7_500  # losses, and lines printed between two of them: 200,000 in all
BY_LOG = {"x-harness": {"train": {"loss_pattern": r"loss=(\S+)", "timeout": "60s"}}}
# The mini training without its metrics; what it prints is put in.
TRAIN = """
import json, sys
from pathlib import Path
{printing}
Path("/model").mkdir(exist_ok=True)
Path("/model/model.json").write_text(json.dumps({{"weight": 2.0}}))
{end}
"""
FLOOD = f"""
for value in range({VALUES}):
    sys.stdout.write("".join(f"step {{value}}.{{n}} of the noise of a training that prints\\n" for n in range({NOISE})))
    print("loss=%s" % (LAST if value == {VALUES - 1} else 1.0 / (value + 1)))
"""


def _flood(last: str, end: str = "") -> str:
    return TRAIN.format(printing=FLOOD.replace("LAST", repr(last)), end=end)


def _change(**train: Any) -> dict[str, Any]:
    return {"x-harness": {"train": {**BY_LOG["x-harness"]["train"], **train}}}


@defect("train.loss-finite", "the last loss is NaN, after 200,000 lines that are none")
def test_a_nan_behind_a_flood_is_seen(mini: Mini, run_harness: Harness) -> None:
    """Every value of a training that prints 200,000 lines is judged, the last one too."""
    ran = run_harness(mini(BY_LOG, train=_flood("nan")))
    ran.assert_failed("train.loss-finite", received=f"1 of {VALUES} are not, the first is nan")


@pytest.mark.nightly
def test_a_flood_that_ends_well_passes(mini: Mini, run_harness: Harness) -> None:
    """The same with a good last value: all values are counted, and the log has every line."""
    ran = run_harness(mini(BY_LOG, train=_flood("0.001")))
    ran.assert_passed()
    assert ran.finding("train.loss-finite")["received"].startswith(f"{VALUES} finite"), str(ran)
    lines = (ran.folder / "train/log.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) == VALUES * (NOISE + 1)


@pytest.mark.nightly
@defect("train.exits-cleanly", "training crashes after a flood of lines", also=("train.loss-finite",))
def test_a_crash_behind_a_flood_says_its_own_message(mini: Mini, run_harness: Harness) -> None:
    """The verdict shows the traceback, not the noise before it."""
    ran = run_harness(mini(BY_LOG, train=_flood("0.001", end='raise ValueError("the labels are upside down")')))
    ran.assert_failed("train.exits-cleanly", received="ValueError: the labels are upside down")


@defect("train.exits-cleanly", "training crashes, and what it had printed before comes after the message")
def test_a_crash_before_a_flood_says_its_own_message(mini: Mini, run_harness: Harness) -> None:
    """Standard output is often a buffer that is written at the very end, behind the traceback."""
    printing = """
import atexit
atexit.register(lambda: print("\\n".join(f"epoch {epoch} of the noise" for epoch in range(1000)), flush=True))
"""
    end = 'raise ValueError("the labels are upside down")'
    ran = run_harness(mini(BY_LOG, train=TRAIN.format(printing=printing, end=end)))
    ran.assert_failed("train.exits-cleanly", received="ValueError: the labels are upside down")


@pytest.mark.nightly
def test_a_line_of_100_mb_neither_blocks_nor_hides_anything(mini: Mini, run_harness: Harness) -> None:
    """One line of 100 MB ends within the time limit, and the losses around it are judged."""
    printing = """
print("loss=1.0")
for _ in range(100):
    sys.stdout.write("0123456789" * 100_000)
print("\\nloss=0.5", flush=True)
"""
    ran = run_harness(mini(_change(), train=TRAIN.format(printing=printing, end="")))
    ran.assert_passed()
    assert ran.finding("train.loss-finite")["received"].startswith("2 finite"), str(ran)
    assert (ran.folder / "train/log.txt").stat().st_size > 100 * 10**6


@pytest.mark.nightly
@defect("train.loss-finite", "a NaN between the refreshes of a progress bar on the other stream")
def test_a_progress_bar_hides_nothing(mini: Mini, run_harness: Harness) -> None:
    """A bar that returns the carriage and never ends its line, on standard error, beside losses on standard output."""
    printing = """
for value in range(300):
    print(f"\\r{value:3d}%|{'#' * 40}", end="", file=sys.stderr, flush=True)
    print("loss=%s" % ("nan" if value == 150 else 1 / (1 + value)), flush=True)
"""
    ran = run_harness(mini(BY_LOG, train=TRAIN.format(printing=printing, end="")))
    ran.assert_failed("train.loss-finite", received="1 of 300 are not, the first is nan")


@pytest.mark.nightly
def test_a_service_that_floods_its_log_answers_all_the_same(mini: Mini, run_harness: Harness) -> None:
    """A service that prints 200,000 lines while it is asked is as good as a silent one."""
    flood = 'import threading, sys\nthreading.Thread(target=lambda: sys.stdout.write("noise\\n" * 200_000)).start()\n'
    serve = (HERE / "mini/serve.py").read_text(encoding="utf-8")
    ran = run_harness(mini(serve=flood + serve))
    ran.assert_passed()
    assert (ran.folder / "serve/log.txt").read_bytes().count(b"noise\n") > 190_000
