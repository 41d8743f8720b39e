"""The pins on disk."""

from __future__ import annotations

import json
from pathlib import Path

import builders
import pytest

from harness.errors import DescriptionError
from harness.project import lock


def test_no_lock(tmp_path: Path) -> None:
    """A project without a lock has none; that is not an error."""
    assert lock.read(tmp_path) is None


def test_round_trip(tmp_path: Path) -> None:
    """What is written is what is read."""
    assert lock.write(tmp_path, builders.lock())
    assert lock.read(tmp_path) == builders.lock()


def test_write_says_whether_anything_changed(tmp_path: Path) -> None:
    """Writing the same pins again changes nothing, not even the file's time."""
    lock.write(tmp_path, builders.lock())
    before = (tmp_path / lock.NAME).stat().st_mtime_ns
    assert not lock.write(tmp_path, builders.lock())
    assert (tmp_path / lock.NAME).stat().st_mtime_ns == before
    assert lock.write(tmp_path, builders.lock(data=None))


def test_lock_is_readable(tmp_path: Path) -> None:
    """The lock is JSON with a line a pin and an end of line, so that a diff shows what moved."""
    lock.write(tmp_path, builders.lock())
    text = (tmp_path / lock.NAME).read_text()
    assert json.loads(text)["data"] == "b" * 64
    assert text.endswith("}\n")
    assert len(text.splitlines()) > 8


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"platform": 1, "bases": {}, "requirements": {}}'])
def test_broken_lock(tmp_path: Path, text: str) -> None:
    """A broken lock is a wrong description, never "no lock"."""
    (tmp_path / lock.NAME).write_text(text)
    with pytest.raises(DescriptionError, match=r"harness\.lock cannot be read") as caught:
        lock.read(tmp_path)
    assert "harness lock" in caught.value.hint


def test_lock_of_another_version(tmp_path: Path) -> None:
    """A lock of a later format is refused: its pins may mean something else."""
    lock.write(tmp_path, builders.lock(version=2))
    with pytest.raises(DescriptionError):
        lock.read(tmp_path)


def test_unknown_pin(tmp_path: Path) -> None:
    """A pin that this version does not know is refused rather than ignored: it could not be verified."""
    lock.write(tmp_path, builders.lock())
    path = tmp_path / lock.NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), "kernel": "6.1"}))
    with pytest.raises(DescriptionError):
        lock.read(tmp_path)
