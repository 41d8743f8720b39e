"""An interrupt while the harness itself works on much: it ends within ten seconds all the same."""

from __future__ import annotations

import signal
import time

import pytest

from ..support import HERE, Engine, Harness, Mini

pytestmark = pytest.mark.engine

WITHIN = 10.0
TRAIN = (HERE / "mini/train.py").read_text(encoding="utf-8")
# A pickle of a hundred million small numbers: minutes for whoever follows each of them.
LARGE = """
with open("/model/model.pkl", "wb") as file:
    file.write(b"\\x80\\x04]" + (b"(" + b"K\\x01" * 1000 + b"e") * 100_000 + b".")
"""


@pytest.mark.nightly
@pytest.mark.serial  # its ten seconds are measured
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_while_a_large_artifact_is_scanned(
    number: signal.Signals, mini: Mini, run_harness: Harness, engine: Engine
) -> None:
    """Nothing waits for the end of the scan."""
    launched = run_harness.start(mini(train=TRAIN + LARGE))
    launched.prints("artifact.complete")
    time.sleep(1)  # so that the scan is under way
    launched.interrupt(number)
    before = time.monotonic()
    ran = launched.finish(timeout=WITHIN)
    assert ran.code == 130, str(ran)
    print(f"{time.monotonic() - before:.1f} s after the signal")
    assert engine.owned(run_harness.pids) == []
    assert ran.no_traceback(), str(ran)
    assert (ran.folder / "junit.xml").is_file()
    assert ran.record("end.json")["exit_code"] == 130
