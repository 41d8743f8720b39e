"""The stages that scan the artifact and look into git, on real folders and repositories."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import zlib
from pathlib import Path
from typing import Any

import builders
import joblib
import numpy as np
import pytest
from defects import defect
from gadgets import assemble

from harness.checks import all_checks
from harness.checks.judge import judge_one
from harness.evidence.records import FileHash, Finding, Scan, Status, Tracked
from harness.evidence.run_folder import RunFolder
from harness.project import git
from harness.runner.stages import Recording
from harness.runner.stages import models_in_git as tracked_stage
from harness.runner.stages import scan as scan_stage
from harness.runner.stages.data import hash_files


def unsafe(what: str) -> pytest.MarkDecorator:
    return defect("artifact.safe", what, proof="file")


LFS = "version https://git-lfs.example/spec/v1\noid sha256:" + "0" * 64 + "\nsize 12345\n"


def recording(root: Path, block: dict[str, Any] | None = None) -> Recording:
    folder = RunFolder(root / ".harness/runs/one")
    folder.path.mkdir(parents=True, exist_ok=True)
    return Recording(spec=builders.spec(block, root=root), folder=folder, say=lambda _stage, _line: None)


def run_git(root: Path, *words: str) -> None:
    names = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "init.defaultBranch=main"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(root)}
    program = shutil.which("git")
    assert program
    subprocess.run([program, *names, *words], cwd=root, check=True, capture_output=True, env=environment)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a text and a table."""
    run_git(tmp_path, "init")
    builders.write_files(tmp_path, {"train.py": "print()\n", "data/a.csv": "a,b\n1,2\n"})
    run_git(tmp_path, "add", ".")
    run_git(tmp_path, "commit", "-m", "first")
    return tmp_path


def look(root: Path) -> Tracked:
    return tracked_stage.collect(recording(root))


def collect(root: Path, **files: bytes) -> Scan:
    run = recording(root)
    for name, content in files.items():
        path = run.folder.path / "artifact" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    hashes = tuple(FileHash(name, len(content), "0") for name, content in files.items())
    return scan_stage.collect(run, builders.artifact(files=hashes))


def test_scan_of_a_folder(tmp_path: Path) -> None:
    """Each file of the artifact has its record, which survives the run folder."""
    found = collect(tmp_path, a=pickle.dumps(np.dtype("f8")), b=assemble("os", "system", "touch x", 4), c=b"text\n")
    assert [file.formats for file in found.files] == [("pickle",), ("pickle",), ("text",)]
    assert [each.full for each in found.files[1].imports] == ["os.system"]
    folder = recording(tmp_path).folder
    folder.write("scan", found)
    folder.write("spec", builders.spec(root=tmp_path))
    assert folder.load().scan == found
    assert not (tmp_path / "x").exists()


def judged(name: str, **changes: Any) -> Finding:
    """Judge what a stage saw with one check, strictly."""
    spec = builders.spec({"contract": {"strict": True}, "artifact": {"max_size": "1KB"}})
    check = next(check for check in all_checks() if check.name == name)
    return next(iter(judge_one(builders.evidence(spec=spec, **changes), check)))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(assemble("os", "system", "touch x", 0), marks=unsafe("a pickle of protocol 0 calls os.system")),
        pytest.param(assemble("os", "system", "touch x", 5), marks=unsafe("a pickle of protocol 5 calls os.system")),
        pytest.param(zlib.compress(assemble("builtins", "eval", "1", 4)), marks=unsafe("calls eval, under zlib")),
        pytest.param(assemble("somebody.model", "Thing", "", 2), marks=unsafe("imports what is on no list; strict")),
    ],
)
def test_an_unsafe_file_is_caught(content: bytes, tmp_path: Path) -> None:
    """From the file to the verdict; every gadget in every form: test_scan_gadgets.py."""
    assert judged("artifact.safe", scan=collect(tmp_path, a=content)).status is Status.FAIL
    assert not (tmp_path / "x").exists()


@defect("artifact.size", "larger than `artifact.max_size`", proof="file")
def test_a_large_file_is_caught(tmp_path: Path) -> None:
    """From the folder to the verdict."""
    (tmp_path / "model.bin").write_bytes(bytes(2000))
    (tmp_path / "small.bin").write_bytes(bytes(10))
    found = judged("artifact.size", artifact=builders.artifact(files=hash_files(tmp_path)))
    assert (found.status, "most of it model.bin" in found.received) == (Status.FAIL, True)


@defect("artifact.not-in-git", "a joblib file is tracked, whatever its name", proof="file")
def test_a_tracked_model_is_caught(repository: Path) -> None:
    """From the repository to the verdict; without it nothing is found."""
    assert judged("artifact.not-in-git", tracked=look(repository)).status is Status.PASS
    joblib.dump({"a": np.arange(500.0)}, repository / "notes.txt")
    run_git(repository, "add", "notes.txt")
    assert judged("artifact.not-in-git", tracked=look(repository)).status is Status.FAIL


def test_scan_of_a_lost_file(tmp_path: Path) -> None:
    """A file that is not where it should be has an error."""
    run = recording(tmp_path)
    found = scan_stage.collect(run, builders.artifact(files=(FileHash("gone", 5, "0"),)))
    assert "FileNotFoundError" in str(found.files[0].error)


def test_own_modules(tmp_path: Path) -> None:
    """Modules whose source lies anywhere below the project are its own; those of its environments are not."""
    builders.write_files(
        tmp_path,
        {
            "docker/train/features.py": "",
            "src/model/__init__.py": "",
            "src/model/net.py": "",
            ".venv/lib/foreign.py": "",
        },
    )
    names = ("features", "model", "model.net", "src.model.net", "foreign", "nowhere", "net.model")
    content = b"".join(assemble(name, "Thing", "", 2) for name in names)
    assert collect(tmp_path, a=content).own == ("features", "model", "model.net", "src.model.net")


def test_own_never_covers_danger(tmp_path: Path) -> None:
    """A project with a module named `os` gets no licence for the real one."""
    builders.write_files(tmp_path, {"os.py": ""})
    assert collect(tmp_path, a=assemble("os", "system", "", 4)).own == ()


def test_repository_without_models(repository: Path) -> None:
    """Text and tables are no models."""
    assert look(repository) == Tracked(looked_at=2)


@pytest.mark.parametrize("name", ["model.joblib", "weights.bin", "notes.txt", "packed"])
def test_models_by_name_and_content(name: str, repository: Path) -> None:
    """A model is found by its content whatever its name, as soon as it is staged."""
    joblib.dump({"a": np.arange(500.0)}, repository / name, compress=3 if name == "packed" else 0)
    assert look(repository).files == ()
    run_git(repository, "add", name)
    (found,) = look(repository).files
    assert (found.path, found.size) == (name, (repository / name).stat().st_size)
    run_git(repository, "rm", "--cached", name)
    assert look(repository).files == ()


def test_models_by_name_alone(repository: Path) -> None:
    """A file with a model's name is one, even deleted in the working tree."""
    (repository / "old.pkl").write_bytes(b"(lp0\n.")
    run_git(repository, "add", ".")
    (repository / "old.pkl").unlink()
    assert [(f.path, f.reason) for f in look(repository).files] == [("old.pkl", "by its name")]


def test_fixture_models_are_recognised(repository: Path) -> None:
    """The formats of frameworks are recognised under a name that says nothing."""
    source = builders.REPO / "tests/fixtures/artifacts"
    wanted = [
        "torch-state.pt",
        "torch-legacy.pt",
        "torch.safetensors",
        "scaler.skops",
        "xgboost.ubj",
        "lightgbm.joblib",
    ]
    for name in wanted:
        (repository / name.replace(".", "-")).write_bytes((source / name).read_bytes())
    run_git(repository, "add", ".")
    assert {f.path for f in look(repository).files} == {name.replace(".", "-") for name in wanted}


def test_pointers(repository: Path) -> None:
    """What git stores decides: a pointer of LFS is fine though the model lies in the working tree; so is DVC's."""
    (repository / "model.joblib").write_text(LFS)
    (repository / "other.joblib.dvc").write_text("outs:\n- md5: 0\n  path: other.joblib\n")
    run_git(repository, "add", ".")
    joblib.dump({"a": np.arange(500.0)}, repository / "model.joblib")
    found = look(repository)
    assert (found.files, found.pointers) == ((), 2)


def test_names_of_all_kinds(repository: Path) -> None:
    """Spaces, quotes and letters beyond ASCII; links are not followed."""
    for name in ("my model.pkl", 'say "x".pkl', "größe.pkl"):
        (repository / name).write_bytes(pickle.dumps(1))
    (repository / "link.bin").symlink_to("my model.pkl")
    run_git(repository, "add", ".")
    assert {f.path for f in look(repository).files} == {"my model.pkl", 'say "x".pkl', "größe.pkl"}


def test_below_a_repository(repository: Path) -> None:
    """A project in a folder of a larger repository is looked at alone."""
    builders.write_files(repository, {"project/a.py": "", "elsewhere/m.pkl": "N."})
    run_git(repository, "add", ".")
    assert look(repository / "project") == Tracked(looked_at=1)


def test_no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a repository, or without git, the reason is recorded."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert "not a git repository" in str(look(tmp_path).skipped)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no git program" in str(look(tmp_path).skipped)


def test_work_is_bounded(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a big repository the first files are looked at, and the rest is counted."""
    monkeypatch.setattr(tracked_stage, "MAX_FILES", 1)
    assert (look(repository).looked_at, look(repository).unread) == (1, 1)


def test_git_says_why(repository: Path) -> None:
    """An answer of git that is no answer is an error with git's own words."""
    with pytest.raises(git.NoRepositoryError, match=r"[Nn]ot a valid object|could not"):
        git.size(repository, "0" * 40)
