"""Remembered hashes: each way in which a file may change, and what is never trusted."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.project.context import context_hashes, fingerprint
from harness.project.file_hash_cache import Hashes, remembered

LATER = 10_000_000_000  # nanoseconds


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that has rested for ten seconds; the clock of the harness stands still from then on."""
    path = tmp_path / "wheel"
    path.write_text("first")
    now = time.time_ns() + LATER
    monkeypatch.setattr("harness.project.file_hash_cache.time.time_ns", lambda: now)
    return path


def _known(path: Path, digest: str) -> Hashes:
    """Hashes that remember a digest for a file as it is, whatever it holds: that shows whether they are believed."""
    hashes = Hashes()
    hashes.of(path)
    [(place, (stat, _))] = hashes.asked.items()
    return Hashes({place: (stat, digest)})


def test_a_file_that_rested_is_not_read_again(file: Path) -> None:
    """A hash is believed while the stat of its file is the same, and is passed on to the next run."""
    hashes = _known(file, "remembered")
    assert hashes.of(file) == "remembered"
    assert Hashes(hashes.asked).of(file) == "remembered"


def _same_size_and_time(path: Path) -> None:
    times = path.stat()
    path.write_text("other")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _replaced(path: Path) -> None:
    new = path.with_name("new")
    new.write_text("other")
    times = path.stat()
    os.utime(new, ns=(times.st_atime_ns, times.st_mtime_ns))
    new.replace(path)


@pytest.mark.parametrize(
    "change", [lambda path: path.write_text("other"), _same_size_and_time, _replaced], ids=["written", "utime", "moved"]
)
def test_a_file_that_changed_is_read(file: Path, change: Callable[[Path], object]) -> None:
    """Size and modification time can be kept by whoever changes a file; ctime and inode cannot."""
    hashes = _known(file, "remembered")
    change(file)
    assert hashes.of(file) == _sha256("other")


def test_a_young_file_is_read_each_time(tmp_path: Path) -> None:
    """Within the tick of a clock a file may change without its stat: what was just written is not remembered."""
    path = tmp_path / "young"
    path.write_text("first")
    hashes = Hashes()
    assert hashes.of(path) == _sha256("first")
    assert hashes.asked == {}


def test_a_time_in_the_future_is_never_trusted(file: Path) -> None:
    """A file of a machine whose clock is ahead could be written again with the same time."""
    ahead = time.time_ns() + LATER
    os.utime(file, ns=(ahead, ahead))
    hashes = Hashes()
    hashes.of(file)
    assert hashes.asked == {}


def test_from_run_to_run(file: Path, tmp_path: Path) -> None:
    """What a run asked for is left for the next, and nothing else; a broken memory is none; `fresh` believes none."""
    memory = tmp_path / "cache/hashes.json"
    gone = tmp_path / "gone"
    with remembered(memory) as hashes:
        hashes.of(file)
    entries = json.loads(memory.read_text(encoding="utf-8"))
    assert [(place, digest) for place, (_, digest) in entries.items()] == [(str(file), _sha256("first"))]
    entries[str(file)][1] = "remembered"
    for text, fresh, expected in (
        (json.dumps({**entries, str(gone): [[1], "x"]}), False, "remembered"),
        (json.dumps(entries), True, _sha256("first")),
        ("{", False, _sha256("first")),
        ("[1]", False, _sha256("first")),
        (json.dumps({str(file): 1}), False, _sha256("first")),
    ):
        memory.write_text(text, encoding="utf-8")
        with remembered(memory, fresh=fresh) as hashes:
            assert hashes.of(file) == expected
        assert list(json.loads(memory.read_text(encoding="utf-8"))) == [str(file)]


def test_a_run_that_asks_nothing_leaves_all_as_it_is(tmp_path: Path) -> None:
    """A run that ends before it builds must not forget what the last one hashed."""
    memory = tmp_path / "hashes.json"
    memory.write_text("{}", encoding="utf-8")
    with remembered(memory):
        pass
    assert memory.read_text(encoding="utf-8") == "{}"


def test_a_context_is_hashed_through_the_memory(file: Path) -> None:
    """Both who compare builds and who record their sources take the same hashes; a mode alone is a change too."""
    context = file.parent
    hashes = _known(file, "remembered")
    assert context_hashes(context, hashes) == {file: "remembered"}
    believed = fingerprint({"context": str(context)}, "FROM x", {}, {}, hashes)
    assert believed != fingerprint({"context": str(context)}, "FROM x", {}, {}, Hashes())
    file.chmod(0o755)
    assert fingerprint({"context": str(context)}, "FROM x", {}, {}, _known(file, "remembered")) != believed
