"""Time and size of a run's bundle and of its HTML report: medians of 5 in this process, after one that is not counted.

Run it in the repository after a whole `harness run`: `python tests/benchmarks/bundle.py [RUN]`, by default the last.
Each figure has its target (`<`); one that misses it ends the benchmark with exit code 1.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from harness.evidence.run_folder import RunFolder
from harness.reports.files import read, write_all
from harness.reproduce.bundle import open_bundle, pack

ROOT = Path(__file__).parents[2]
RUNS = 5
PACK, REPORT = 0.5, 1.0  # seconds
BUNDLE_SIZE, REPORT_SIZE = 300_000, 1_000_000  # bytes


def median(work: Callable[[int], object]) -> float:
    """Return the median of the wall seconds; the work is told how often it was done."""
    work(0)
    seconds = []
    for number in range(1, RUNS + 1):
        start = time.perf_counter()
        work(number)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def line(name: str, value: float, unit: str, target: float) -> bool:
    """Print a figure; return whether it misses its target."""
    print(f"{name:16} {value:8.3f} {unit}" + (f"   < {target:g}" if target else ""))
    return bool(target) and value >= target


def main() -> int:
    """Print the figures."""
    folder = RunFolder.find(ROOT, sys.argv[1] if len(sys.argv) > 1 else "latest")
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "run.harness.tar.gz"
        packing = median(lambda _: pack(folder, ROOT, out, environ=os.environ))
        opening = median(lambda number: open_bundle(out, Path(name) / f"opened-{number}"))
        size = out.stat().st_size
        reporting = median(lambda _: write_all(read(folder, os.environ), ["html"], Path(name)))
        page = (Path(name) / "report.html").stat().st_size
    print(f"run {folder.id}")
    missed = [
        line("pack", packing, "s ", PACK),
        line("open", opening, "s ", 0),
        line("bundle", size / 1000, "kB", BUNDLE_SIZE / 1000),
        line("report.html", reporting, "s ", REPORT),
        line("report.html", page / 1000, "kB", REPORT_SIZE / 1000),
    ]
    return int(any(missed))


if __name__ == "__main__":
    sys.exit(main())
