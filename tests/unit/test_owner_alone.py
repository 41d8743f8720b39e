"""What a run leaves is its owner's: other users of the machine read neither run folders nor bundles."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import builders
import pytest
import runs

from harness.evidence.run_folder import RunFolder, ignored
from harness.reports.files import write_all
from harness.reproduce.bundle import open_bundle, pack

FILES = {"compose.yaml": "services: {}\nx-harness: {version: 1}\n", "Dockerfile": "FROM x\n"}


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    """The usual umask, by which everybody reads."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_run_folders(tmp_path: Path) -> None:
    """The folder of a run, the one that holds all, and the files of a run are closed to others."""
    folder = RunFolder.create(tmp_path)
    folder.write_text("train/log.txt", "secret")
    folder.append("exchanges.ndjson", "{}")
    folder.write_lines("violations.ndjson", ["{}"])
    folder.write_findings(())
    assert [_mode(path) for path in (tmp_path / ".harness", folder.path)] == [0o700, 0o700]
    files = [path for path in folder.path.rglob("*") if path.is_file()]
    assert len(files) == 4
    assert {_mode(path) for path in files} == {0o600}


def test_a_store_that_was_open_is_closed(tmp_path: Path) -> None:
    """The folder of an earlier version is closed too."""
    (tmp_path / ".harness").mkdir(mode=0o755)
    ignored(tmp_path)
    assert _mode(tmp_path / ".harness") == 0o700


def test_reports_of_a_run(tmp_path: Path) -> None:
    """They are closed in the folder of the run; where somebody wants them elsewhere they are as its files are."""
    report = runs.report(tmp_path, "failed")
    written, failed = write_all(report, ("junit",))
    outside, _ = write_all(report, ("junit",), tmp_path / "out")
    assert not failed
    assert ([_mode(path) for path in written], [_mode(path) for path in outside]) == ([0o600], [0o644])


def test_bundles(tmp_path: Path) -> None:
    """A bundle is its owner's alone, wherever it is put, and so is what it is unpacked to."""
    root = tmp_path / "project"
    builders.write_files(root, FILES)
    folder = RunFolder.create(root)
    folder.write("spec", builders.spec(root=root, files=(root / "compose.yaml",)))
    for out in (None, tmp_path / "elsewhere/b.harness.tar.gz"):
        packed = pack(folder, root, out, environ={})
        assert _mode(packed.path) == 0o600
    open_bundle(packed.path, tmp_path / "into")
    assert _mode(tmp_path / "into") == 0o700
