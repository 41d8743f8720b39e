"""Speed and memory of the scanner beside `sha256sum`, on joblib files of arrays of about 500 MB.

Run it with numpy and joblib installed: `python tests/benchmarks/scanner.py [FOLDER]`; it needs 2 GB of disk in FOLDER
(by default a temporary one). Each figure is that of a child process of its own; the best of three, and the peak of
its memory (`ru_maxrss`), beside that of a child which only imports the scanner. The page cache is warm.

Uncompressed arrays are passed over by a seek, so their speed is that of opening the file; `through a pipe` reads all
bytes, as the scanner does where it cannot seek.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import joblib
import numpy as np

SIZE = 500_000_000
ARRAYS = 10
RUNS = 3
SCAN = """
import sys
from pathlib import Path
from harness.scan import scan_file
from harness.scan.source import Budget
for name in sys.argv[1:]:
    file = scan_file(Path(name), name, Budget(expanded=10**11, seconds=3600))
    assert file.error is None, file
"""
STREAM = """
import sys
from functools import partial
from harness.scan import _Scanner
from harness.scan.source import CHUNK, Budget, Source
scanner = _Scanner(Budget(seconds=3600))
scanner.stream(Source(iter(partial(sys.stdin.buffer.read1, CHUNK), b""), Budget(seconds=3600)), "")
assert scanner.formats == ["joblib"], scanner.formats
"""


def child(argv: list[str], stdin: Path | None = None) -> tuple[float, int]:
    """Return the wall seconds and the peak memory in bytes of one child; a failing child ends the benchmark."""
    with (stdin or Path(os.devnull)).open("rb") as stream:
        start = time.perf_counter()
        process = subprocess.Popen(argv, stdin=stream, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{argv} failed")
    return time.perf_counter() - start, usage.ru_maxrss * 1024


def figures(argv: list[str], stdin: Path | None = None) -> tuple[float, float]:
    """Return the best time and the peak in MiB."""
    runs = [child(argv, stdin) for _ in range(RUNS)]
    return min(seconds for seconds, _ in runs), max(peak for _, peak in runs) / 2**20


def main() -> None:
    """Make the files and print the figures."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        rng = np.random.default_rng(0)
        arrays = {f"w{n}": rng.random((SIZE // ARRAYS // 8 // 100, 100)) for n in range(ARRAYS)}
        paths = {name: Path(folder) / f"{name}.joblib" for name in ("plain", "zlib", "lzma", "opcodes")}
        joblib.dump(arrays, paths["plain"])
        joblib.dump(arrays, paths["zlib"], compress=("zlib", 1))
        joblib.dump({"w": arrays["w0"][:50_000]}, paths["lzma"], compress=("lzma", 1))
        del arrays
        joblib.dump({f"word {n}": n for n in range(1_000_000)}, paths["opcodes"])
        empty, least = figures([sys.executable, "-c", SCAN])
        print(f"{'imports alone':24} {empty:6.2f} s  {least:5.0f} MiB")
        size = paths["plain"].stat().st_size
        line("plain", size, 0.0, *figures(["sha256sum", str(paths["plain"])]), "sha256sum")
        line("plain", size, empty, *figures([sys.executable, "-c", SCAN, str(paths["plain"])]), "scan")
        line("plain", size, empty, *figures([sys.executable, "-c", STREAM], paths["plain"]), "scan, no seek")
        for name in ("zlib", "lzma", "opcodes"):
            size = paths[name].stat().st_size
            line(name, size, empty, *figures([sys.executable, "-c", SCAN, str(paths[name])]), "scan")


def line(name: str, size: int, empty: float, seconds: float, peak: float, program: str) -> None:
    """Print one line; the speed is that beyond the start of Python."""
    speed = size / 1e6 / max(seconds - empty, 1e-3)
    print(f"{name:8} {program:15} {seconds:6.2f} s  {peak:5.0f} MiB  {size / 1e6:6.0f} MB  {speed:8.0f} MB/s")


if __name__ == "__main__":
    main()
