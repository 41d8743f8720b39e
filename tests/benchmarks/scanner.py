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

SIZE = 500_000_000
ARRAYS = 10
RUNS = 3
SCAN = """
import sys
from pathlib import Path
from harness.scanner import scan_file
from harness.scanner.source import Budget
for name in sys.argv[1:]:
    file = scan_file(Path(name), name, Budget(expanded=10**11, seconds=3600))
    assert file.error is None, file
"""
STREAM = """
import sys
from functools import partial
from harness.scanner import _Scanner
from harness.scanner.source import CHUNK, Budget, Source
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


def make(folder: str) -> None:
    """Write the files."""
    import joblib
    import numpy as np

    rng = np.random.default_rng(0)
    arrays = {f"w{n}": rng.random((SIZE // ARRAYS // 8 // 100, 100)) for n in range(ARRAYS)}
    joblib.dump(arrays, f"{folder}/plain")
    joblib.dump(arrays, f"{folder}/zlib", compress=("zlib", 1))
    joblib.dump({"w": arrays["w0"][:50_000]}, f"{folder}/lzma", compress=("lzma", 1))
    joblib.dump({f"word {n}": n for n in range(1_000_000)}, f"{folder}/opcodes")


def main() -> None:
    """Make the files and print the figures."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        # A child's peak memory begins with that of its parent: the files are made by a child too.
        child([sys.executable, __file__, "--make", folder])
        plain = Path(folder, "plain")
        empty, least = figures([sys.executable, "-c", SCAN])
        print(f"{'imports alone':24} {empty:6.2f} s  {least:5.0f} MiB")
        line("plain sha256sum", plain, figures(["sha256sum", str(plain)]))
        line("plain scan", plain, figures([sys.executable, "-c", SCAN, str(plain)]))
        line("plain scan, no seek", plain, figures([sys.executable, "-c", STREAM], plain))
        for name in ("zlib", "lzma", "opcodes"):
            path = Path(folder, name)
            line(f"{name} scan", path, figures([sys.executable, "-c", SCAN, str(path)]))


def line(name: str, path: Path, measured: tuple[float, float]) -> None:
    """Print one line; the speed counts the start of Python too."""
    seconds, peak = measured
    size = path.stat().st_size / 1e6
    print(f"{name:24} {seconds:6.2f} s  {peak:5.0f} MiB  {size:6.0f} MB  {size / seconds:8.0f} MB/s")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--make"]:
        make(sys.argv[2])
    else:
        main()
