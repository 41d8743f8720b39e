"""`harness data sample` on a generated table: wall time and peak memory of a process of its own.

Run it in the repository: `python tests/benchmarks/sample.py [--megabytes 600]`. The limit is 300 MB for any size.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT = 300_000_000  # bytes
ROWS = 200
PROGRAM = """
import sys
from pathlib import Path
from harness.cli.data import sample
print(sample(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), "kind", 1)["classes"])
"""


def generate(path: Path, size: int) -> None:
    """Write about `size` bytes of rows of ten columns, in three frequent classes and one that has three rows."""
    draw = random.Random(1)  # noqa: S311 - test data
    block = "".join(
        ",".join([*(f"{draw.gauss(0, 1):.6f}" for _ in range(8)), f"text {n} of a row", draw.choice("abc")]) + "\n"
        for n in range(50_000)
    )
    with path.open("w", encoding="utf-8") as stream:
        stream.write(",".join([*(f"x{n}" for n in range(8)), "note", "kind"]) + "\n")
        for part in range(max(1, size // len(block))):
            stream.write(block)
            if part in (0, 1, 2):
                stream.write(f"1,2,,4,5,6,7,8,part {part},rare\n")


def main() -> None:
    """Print the figures; exit 1 beyond the limit of memory."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--megabytes", type=int, default=600)
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "big.csv"), Path(folder, "small.csv")
        generate(source, parser.parse_args().megabytes * 10**6)
        start = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, source, out, str(ROWS)])
        _, status, usage = os.wait4(process.pid, 0)
        seconds, size, peak = time.perf_counter() - start, source.stat().st_size, usage.ru_maxrss * 1024
    print(f"{size / 1e6:.0f} MB in {seconds:.1f} s: {size / 1e6 / seconds:.0f} MB/s, peak memory {peak / 1e6:.0f} MB")
    sys.exit(status or peak > LIMIT)


if __name__ == "__main__":
    main()
