"""Data that DVC tracks: pointers read, hashes compared, and `dvc pull` called. The hashes were made by DVC 3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import builders
import pytest
from defects import defect

from harness.checks import all_checks
from harness.checks.judge import judge_one
from harness.datasets import pointers
from harness.errors import DescriptionError, InfrastructureError
from harness.evidence.records import Data, Status
from harness.runner.stages.data import collect, hash_files

CHECK = next(check for check in all_checks() if check.name == "data.dvc")
FILES = {
    "data/train.csv": "a,b\n1,2\n",
    "data/deep/hold-out.csv": "a,b\r\n3,4\r\n",
    "data/zü.txt": "ü",
    "data/B.txt": "x\n",
}
FOLDER = "outs:\n- md5: 0cac5ee3de3dab567c33d070db1f7438.dir\n  size: 22\n  nfiles: 4\n  hash: md5\n  path: data\n"
FILE = "outs:\n- md5: c5562e6604237de4f57deb8f3f042fff\n  size: 8\n  hash: md5\n  path: one.csv\n"
MANIFEST = (
    '[{"md5": "401b30e3b8b5d629635a5c613cdb7919", "relpath": "B.txt"}, '
    '{"md5": "6ef5ae4e77a9abbeea9dbde01e0de354", "relpath": "deep/hold-out.csv"}, '
    '{"md5": "e5ebd4c02cefbe7955977c67ada242b7", "relpath": "train.csv"}, '
    '{"md5": "c03410a5204b21cd8229ff754688d743", "relpath": "z\\u00fc.txt"}]'
)
ONE = "a,b\n5,6\n"


def _write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


def _collect(root: Path, path: str) -> Data:
    return collect(builders.spec({"data": {"path": path, "schema": None}}, root=root))


def _verdict(data: Data | None, **block: Any) -> tuple[Status, str]:
    spec = builders.spec({"data": block or {"path": "data"}})
    (finding,) = judge_one(builders.evidence(spec=spec, data=data), CHECK)
    return finding.status, finding.received


@pytest.mark.parametrize("path", ["data", "data/deep", "data.dvc"])
def test_folder_as_its_pointer_says(tmp_path: Path, path: str) -> None:
    """A folder has the hash that DVC gave it; a folder in it is tracked with it; a pointer stands for its target."""
    _write(tmp_path, {**FILES, "data.dvc": FOLDER})
    data = _collect(tmp_path, path)
    assert data.path == path.removesuffix(".dvc")
    assert [tracked.path for tracked in data.dvc] == ["data"]
    assert _verdict(data)[0] is Status.PASS


def test_file_in_the_dataset(tmp_path: Path) -> None:
    """A dataset may hold pointers beside files that they stand for."""
    _write(tmp_path, {"data/one.csv": ONE, "data/one.csv.dvc": FILE})
    assert _verdict(_collect(tmp_path, "data")) == (Status.PASS, "data/one.csv, MD5 c5562e660423")


def test_pointer_of_an_older_version(tmp_path: Path) -> None:
    """Before DVC 3 text was hashed with Unix line ends."""
    _write(tmp_path, {"one.csv": ONE.replace("\n", "\r\n"), "one.csv.dvc": FILE.replace("  hash: md5\n", "")})
    assert _verdict(_collect(tmp_path, "one.csv"))[0] is Status.PASS
    _write(tmp_path, {"one.csv.dvc": FILE})
    assert _verdict(_collect(tmp_path, "one.csv"))[0] is Status.FAIL


@pytest.mark.parametrize("cache", [".dvc/cache/files/md5", ".dvc/cache"])
@defect("data.dvc", "a file of the tracked folder was changed, one removed, one added", proof="file")
def test_folder_that_differs(tmp_path: Path, cache: str) -> None:
    """A folder that is not the tracked one fails, and the manifest in DVC's cache says which files differ."""
    manifest = {f"{cache}/0c/ac5ee3de3dab567c33d070db1f7438.dir": MANIFEST}
    _write(tmp_path, {**FILES, "data.dvc": FOLDER, **manifest, "data/train.csv": "a,b\n1,9\n", "data/new": ""})
    (tmp_path / "data/B.txt").unlink()
    status, received = _verdict(_collect(tmp_path, "data"))
    assert status is Status.FAIL
    assert received.splitlines()[1:] == ["B.txt is missing", "new is not tracked", "train.csv has changed"]


def test_other_checks_do_not_mind(tmp_path: Path) -> None:
    """A dataset that differs from its pointer fails data.dvc, and no other check of data."""
    _write(tmp_path, {"data/one.csv": "a,b\n5,7\n", "data/one.csv.dvc": FILE})
    data = _collect(tmp_path, "data")
    evidence = builders.evidence(
        spec=builders.spec({"data": {"path": "data", "schema": None}}), data=data, lock=builders.lock(data=data.sha256)
    )
    found = [f for check in all_checks() if check.name.startswith("data.") for f in judge_one(evidence, check)]
    assert [f.check for f in found if f.status not in (Status.PASS, Status.SKIP)] == ["data.dvc"]


def test_without_pointers(tmp_path: Path) -> None:
    """Without a pointer the check is skipped, as it is without a dataset."""
    _write(tmp_path, {"data/one.csv": ONE})
    assert _verdict(_collect(tmp_path, "data"))[0] is Status.SKIP


def _fake_dvc(root: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a program `dvc` on the path."""
    _write(root, {"bin/dvc": f"#!/bin/sh\n{script}\n"})
    (root / "bin/dvc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{root / 'bin'}:/usr/bin:/bin")


def test_what_is_missing_is_pulled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC is called for the pointer whose target is missing, in the project, and the evidence says so."""
    project = tmp_path / "project"
    _write(project, {"data/one.csv.dvc": FILE})
    _fake_dvc(tmp_path, monkeypatch, 'echo "$PWD $*" > called; printf "a,b\\n5,6\\n" > data/one.csv')
    data = _collect(project, "data")
    assert (project / "called").read_text() == f"{project} pull data/one.csv.dvc\n"
    assert _verdict(data) == (Status.PASS, "data/one.csv, MD5 c5562e660423; pulled: data/one.csv")
    assert pointers.is_tracked(project, project / "data/one.csv")


@defect("data.dvc", "the tracked file was changed", proof="file")
def test_what_differs_is_not_pulled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was changed may be somebody's work: it is not overwritten."""
    _write(tmp_path, {"one.csv": "mine", "one.csv.dvc": FILE})
    _fake_dvc(tmp_path, monkeypatch, "touch called")
    assert _verdict(_collect(tmp_path, "one.csv"))[0] is Status.FAIL
    assert not (tmp_path / "called").exists()


def test_pull_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What DVC said is in the error, which is the infrastructure's."""
    _write(tmp_path, {"one.csv.dvc": FILE})
    _fake_dvc(tmp_path, monkeypatch, "echo 'ERROR: no remote' >&2; exit 255")
    with pytest.raises(InfrastructureError, match=r"one\.csv\.dvc ended with exit code 255\nERROR: no remote"):
        _collect(tmp_path, "one.csv")


def test_without_dvc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where DVC is not installed, the message says what to install and to call."""
    _write(tmp_path, {"one.csv.dvc": FILE})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InfrastructureError, match="DVC is not installed") as caught:
        _collect(tmp_path, "one.csv")
    assert caught.value.hint.endswith("dvc pull one.csv.dvc")


@pytest.mark.parametrize(
    "text", ["", "outs: []", "outs: [{path: x}]", "[", "outs: [{md5: a, path: a}, {md5: b, path: b}]"]
)
def test_broken_pointer(tmp_path: Path, text: str) -> None:
    """A pointer that is none is a wrong description."""
    _write(tmp_path, {"one.csv": ONE, "one.csv.dvc": text})
    with pytest.raises(DescriptionError, match=r"one\.csv\.dvc is no pointer"):
        _collect(tmp_path, "one.csv")


def test_hash_is_of_the_target(tmp_path: Path) -> None:
    """The dataset that a pointer stands for has the hash that it has without DVC."""
    _write(tmp_path, {"one.csv": ONE, "one.csv.dvc": FILE})
    assert _collect(tmp_path, "one.csv.dvc").files == hash_files(tmp_path / "one.csv")
