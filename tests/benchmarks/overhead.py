"""Warm `harness run --fast` against the hand-written script, in one sitting: A B A B ..., medians of the wall times.

Both do the same: build, train, serve, and send about 130 requests on connections of their own.

Run it in the repository after `tox -e setup,smoke`: `.tox/smoke/bin/python tests/benchmarks/overhead.py`.
It also reports the peak memory of the harness process (`ru_maxrss` of that child alone) and `harness --help`.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from harness.engine.compose import Compose

ROOT = Path(__file__).parents[2]
RUNS = 5


def run(argv: list[str]) -> tuple[float, int]:
    """Return the wall seconds and the peak memory in bytes of one child; a failing child ends the benchmark."""
    start = time.perf_counter()
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = process.stdout.read() if process.stdout else b""
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        sys.exit(f"{argv} failed:\n{output.decode(errors='replace')}")
    return seconds, usage.ru_maxrss * 1024


def main() -> None:
    """Print the medians."""
    harness = [sys.executable, "-m", "harness", "run", "--fast"]
    by_hand = [str(ROOT / "tests/benchmarks/by_hand.sh"), *Compose.find().argv]
    for argv in (harness, by_hand):  # warm caches, not counted
        run(argv)
    pairs = [(run(harness), run(by_hand)) for _ in range(RUNS)]
    left = statistics.median(a[0] for a, _ in pairs)
    right = statistics.median(b[0] for _, b in pairs)
    print(f"run --fast    {left:6.2f} s   of {', '.join(f'{a[0]:.2f}' for a, _ in pairs)}")
    print(f"by hand       {right:6.2f} s   of {', '.join(f'{b[0]:.2f}' for _, b in pairs)}")
    paired = statistics.median(a[0] / b[0] for a, b in pairs)
    print(f"ratio         {left / right:6.2f}     of medians; {paired:.2f} pair by pair")
    rebuild = statistics.median(run([*harness, "--rebuild"])[0] for _ in range(RUNS))
    print(f"--rebuild     {rebuild:6.2f} s   every build sent to the engine's cache, as the script does")
    whole = statistics.median(run(harness[:4])[0] for _ in range(RUNS))
    print(f"all checks    {whole:6.2f} s   with load, fuzzing, skew and further starts of the service")
    print(f"peak memory   {max(a[1] for a, _ in pairs) / 2**20:6.0f} MiB of the harness process")
    print(f"--help        {statistics.median(run([*harness[:3], '--help'])[0] for _ in range(RUNS)):6.2f} s")


if __name__ == "__main__":
    main()
