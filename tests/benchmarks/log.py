"""What reading a log costs: lines and bytes a second, of a stream made here and of containers, and the memory for it.

Run it in the repository after `tox -e setup,smoke`: `.tox/smoke/bin/python tests/benchmarks/log.py [BASE_IMAGE]`;
without a base image only the stream made here is read. The containers print 1,000,000 lines and one line of 100 MB.
"""

from __future__ import annotations

import resource
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from harness.engine import Engine, Leftover
from harness.engine.frames import CHUNK, STDERR, STDOUT, frames
from harness.runner.stages.logs import LogFile
from harness.system.output import Lines, Tail

LINES = 1_000_000
LINE = "step {0} of the noise of a training that prints"
MANY = f"import sys\nfor n in range({LINES // 1000}): sys.stdout.write('{LINE.format('1234567')}\\n' * 1000)"
LONG = "import sys\nfor n in range(100): sys.stdout.write('0123456789' * 100_000)"


def _stream(block: bytes, count: int, streams: tuple[int, ...]) -> Iterator[bytes]:
    """Yield frames as the engine sends them, many at once."""
    made = [struct.pack(">BxxxL", stream, len(block)) + block for stream in streams]
    once = max(1, CHUNK // len(block) // len(made))
    for _ in range(0, count, once * len(made)):
        yield b"".join(made * once)


def _made_here(folder: Path, name: str, block: bytes, count: int, streams: tuple[int, ...] = (STDOUT,)) -> None:
    lines, tail = Lines(), Tail()
    start = time.perf_counter(), time.process_time()
    with LogFile(folder / "made.txt") as file:
        for came in frames(_stream(block, count, streams), tty=False):
            text = "".join([lines.feed(stream, data) for stream, data in came])
            tail.feed(text)
            file.write(text)
        file.write(lines.end())
    _tell(name, start, folder / "made.txt")
    (folder / "made.txt").unlink()


def _container(engine: Engine, base: str, folder: Path, name: str, code: str) -> None:
    container = engine.create(base, ["python3", "-c", code], {})
    try:
        start = time.perf_counter(), time.process_time()
        with LogFile(folder / "log.txt") as file, engine.started(container, file) as running:
            assert running.wait(600)
            ended = running.exit()
        assert (ended.code, ended.unread) == (0, "")
        _tell(name, start, folder / "log.txt")
        (folder / "log.txt").unlink()
    finally:
        engine.remove(Leftover("container", container, container, {}))


def _tell(name: str, start: tuple[float, float], log: Path) -> None:
    took, used = time.perf_counter() - start[0], time.process_time() - start[1]
    with log.open("rb") as stream:
        lines = sum(1 for _ in stream) if "lines" in name else 1
    size = log.stat().st_size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{name:<36} {took:5.1f} s, {used:4.1f} s of them ours: {lines / took:10,.0f} lines/s "
        f"({lines / used:10,.0f} a second of ours), {size / took / 1e6:4.0f} MB/s; peak {peak:.0f} MiB"
    )


def main() -> None:
    """Print the figures."""
    line = (LINE.format(1234567) + "\n").encode()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _made_here(folder, "made here, 10 MB warm up", b"x" * 32_768, 300)
        _made_here(folder, "made here, 1,000,000 lines", line * 600, LINES // 600)
        _made_here(folder, "made here, lines in frames of one", line, LINES)
        _made_here(folder, "made here, lines of two streams", line, LINES, (STDOUT, STDERR))
        _made_here(folder, "made here, 100 MB in one", b"0123456789" * 3276, 3052)
        if len(sys.argv) > 1:
            with Engine.connect() as engine:
                _container(engine, sys.argv[1], folder, "a container, 1,000,000 lines", MANY)
                _container(engine, sys.argv[1], folder, "a container, 100 MB in one", LONG)


if __name__ == "__main__":
    main()
