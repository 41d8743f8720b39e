"""Whatever reads much stops when the run is over: no interrupt waits for the end of a large file."""

from __future__ import annotations

import io
import lzma
import os
import pickle
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import builders
import pytest

from harness.engine.sdk import body_of
from harness.errors import EngineUnavailableError, RunOverError
from harness.evidence.records import Contract, FileHash, Load, Selection
from harness.evidence.run_folder import RunFolder
from harness.runner import pipeline
from harness.runner.run_state import RunState
from harness.runner.scheduler import Scheduler, stage
from harness.runner.stages import Recording, scan
from harness.scanner import scan_file
from harness.scanner.source import Budget
from harness.system import signals

WITHIN = 2.0  # seconds
MUCH = 2**40  # bytes that may come out of a compressed stream: none of these files reaches a bound of its own
NUMBERS = b"(" + b"K\x01" * 1000 + b"e"
TEXTS = b"(" + b"\x8c\x05scoreh\x00" * 300 + b"e"


def of_numbers(file: io.BufferedWriter) -> None:
    """Write a pickle of millions of small objects."""
    file.write(b"\x80\x04]\x94" + NUMBERS * 30_000 + b".")


def of_texts(file: io.BufferedWriter) -> None:
    """Write a pickle of millions of texts and of what is recalled."""
    file.write(b"\x80\x04]\x94" + TEXTS * 30_000 + b".")


def of_pickles(file: io.BufferedWriter) -> None:
    """Write many pickles, one behind the other."""
    file.write(pickle.dumps({"weight": [1.0, 2.0]}) * 400_000)


def packed(compress: Callable[[bytes], bytes]) -> Callable[[io.BufferedWriter], None]:
    """Write a compressed pickle of many objects, as joblib does."""

    def write(file: io.BufferedWriter) -> None:
        file.write(compress(b"\x80\x04]\x94" + NUMBERS * 30_000 + b"."))

    return write


def of_empty_streams(file: io.BufferedWriter) -> None:
    """Write so many compressed streams, each of little."""
    file.write(lzma.compress(b"x" * 100) * 300_000)


def of_zeros(file: io.BufferedWriter) -> None:
    """Write a compressed stream of many gigabytes of nothing."""
    file.write(lzma.compress(bytes(2**26), preset=0) * 400)


def of_a_zip(file: io.BufferedWriter) -> None:
    """Write a zip archive with a large pickle in it, as PyTorch does."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data.pkl", b"\x80\x04]\x94" + NUMBERS * 30_000 + b".")


def of_a_tar(file: io.BufferedWriter) -> None:
    """Write a tar archive of many members."""
    body = pickle.dumps(list(range(20)))
    info = tarfile.TarInfo("part.pkl")
    info.size = len(body)
    file.write((info.tobuf() + body.ljust(tarfile.BLOCKSIZE, b"\0")) * 60_000 + bytes(2 * tarfile.BLOCKSIZE))


def of_arrays(file: io.BufferedWriter) -> None:
    """Write an array of Python objects as numpy does."""
    header = str({"descr": "|O", "fortran_order": False, "shape": (30_000_000,)}).encode().ljust(117) + b"\n"
    file.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    of_numbers(file)


def of_hidden_calls(file: io.BufferedWriter) -> None:
    """Write other data that is full of what looks like hidden pickles."""
    file.write(b"\x7fELF" + bytes(100) + (b"cos\nsystem\n(" + b"K\x01" * 4000) * 6_000)


@pytest.mark.parametrize(
    "write",
    [
        of_numbers,
        of_texts,
        of_pickles,
        packed(zlib.compress),
        packed(lambda data: lzma.compress(data, preset=0)),
        packed(lambda data: lzma.compress(data, lzma.FORMAT_ALONE, preset=0)),
        of_empty_streams,
        of_zeros,
        of_a_zip,
        of_a_tar,
        of_arrays,
        of_hidden_calls,
    ],
    ids=["numbers", "texts", "pickles", "zlib", "xz", "lzma", "streams", "zeros", "zip", "tar", "npy", "hidden"],
)
def test_a_scan_stops(write: Callable[[io.BufferedWriter], None], tmp_path: Path) -> None:
    """A scan of a large file raises within two seconds, and leaves no record that the file could not be read."""
    path = tmp_path / "model.bin"
    with path.open("wb") as file:
        write(file)
    over = threading.Event()
    raised: list[float] = []

    def work() -> None:
        with pytest.raises(RunOverError):
            scan_file(path, "model.bin", Budget(expanded=MUCH, over=over, members=10**9))
        raised.append(time.monotonic())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(0.5)
    assert thread.is_alive(), "it is over before it could be interrupted"
    set_at = time.monotonic()
    over.set()
    thread.join(30)
    assert raised, "it did not raise"
    assert raised[0] - set_at < WITHIN


def test_the_scan_of_a_run_stops(tmp_path: Path) -> None:
    """The stage gives the event of its run to every file."""
    folder = RunFolder.create(tmp_path)
    (folder.path / "artifact").mkdir()
    (folder.path / "artifact/m.json").write_text("{}", encoding="utf-8")
    run = Recording(spec=builders.spec(root=tmp_path), folder=folder, say=lambda *_: None)
    artifact = builders.artifact(files=(FileHash("m.json", 2, "0" * 64),))
    assert scan.collect(run, artifact).files[0].error is None
    run.over.set()
    with pytest.raises(RunOverError):
        scan.collect(run, artifact)


def test_a_transfer_from_a_container_stops() -> None:
    """What a thread still reads out of a container breaks off, and the connection is closed."""
    over, closed = threading.Event(), threading.Event()

    def pieces(_size: int) -> Iterator[bytes]:
        while True:
            yield b"x"

    response = SimpleNamespace(iter_content=pieces, close=closed.set)
    with closing(body_of(cast("Any", response), over)) as body:
        assert next(body) == b"x"
        over.set()
        with pytest.raises(RunOverError):
            next(body)
    assert closed.is_set()


@pytest.mark.serial
def test_threads_that_cannot_stop_are_not_waited_for() -> None:
    """After an interrupt the threads beside the line have their seconds; what works on then is left."""
    release = threading.Event()
    pool = ThreadPoolExecutor(1, thread_name_prefix=pipeline.BESIDE)
    pool.submit(release.wait, 30)
    start = time.monotonic()
    try:
        pipeline._join(pool, 0.3)
        assert 0.25 < time.monotonic() - start < WITHIN
    finally:
        release.set()
        pipeline._join(pool, None)


@pytest.mark.parametrize(
    "work",
    [
        "import threading, time; threading.Thread(target=time.sleep, args=(60,)).start(); time.sleep(60)",
        "import time, concurrent.futures as f; f.ThreadPoolExecutor(1).submit(time.sleep, 60); time.sleep(60)",
        # One step of the interpreter, before whose end no handler is called.
        "import hashlib; hashlib.pbkdf2_hmac('sha256', b'x', b'y', 200_000_000)",
    ],
    ids=["thread", "pool", "one-step"],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_the_command_ends(work: str, number: signal.Signals) -> None:
    """An interrupted command ends within ten seconds whatever its threads do, and with the code of an interrupt."""
    code = (
        "import sys, harness.__main__ as m, harness.cli.main as c\n"
        f"def verb(arguments):\n print('begun', flush=True)\n {work}\n return 0\n"
        "c.judge._judge = verb\nm.run_command.__globals__['parse'] = "
        "lambda argv: __import__('argparse').Namespace(verb=verb)\n"
        "m.PATIENCE = 2.0\nm.main()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "begun\n"
        time.sleep(0.2)
        start = time.monotonic()
        os.kill(process.pid, number)
        out, _ = process.communicate(timeout=10)
    finally:
        process.kill()
    assert process.returncode == 130, out
    assert "harness: interrupted" in out
    assert time.monotonic() - start < 8


def test_an_interrupt_that_is_handled_ends_nothing() -> None:
    """Only what reached no handler is ended from another thread."""
    ended: list[bool] = []
    before = signal.signal(signal.SIGTERM, lambda *_: signals.taken())
    try:
        with signals.undelivered(0.2, lambda: ended.append(True)):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.5)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended == []


class Lost(Recording):
    """A run whose engine is lost at some time."""

    lost = False

    def verify(self) -> None:
        """Raise as the engine does."""
        if type(self).lost:
            raise EngineUnavailableError("the engine stopped answering")


def test_a_stage_of_a_lost_engine_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a stage recorded before its engine was found lost is dropped; what was settled before stays."""
    run = Lost(spec=builders.spec(root=tmp_path), folder=RunFolder.create(tmp_path), say=lambda *_: None)
    state = RunState(run, cast("Any", Silent()), Selection())
    state.plan({"contract", "load"})
    begun = len(state.stages)

    @stage("contract")
    def contract() -> Contract:
        return builders.contract()

    @stage("load", after=("contract",))
    def load() -> Load:
        monkeypatch.setattr(Lost, "lost", True)
        return builders.load()

    with ThreadPoolExecutor(1) as pool, pytest.raises(EngineUnavailableError):
        Scheduler(state, (contract, load), pool, {}).go()
    assert state.evidence.contract is not None
    assert state.evidence.load is None
    assert not (run.folder.path / "load.json").exists()
    assert [(each.name, each.done) for each in state.stages[begun:]] == [("contract", True), ("load", False)]


class Silent:
    """Watches nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None
