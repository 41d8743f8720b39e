"""Where an artifact comes from: the statement, the check, the store, and the verbs `publish` and `verify`."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import builders
import pytest
from defects import defect
from publishing import FILES, Call, caller, evidence, hashed, passed_run, said

from harness import errors
from harness.checks import all_checks
from harness.checks.judge import judge_one
from harness.errors import DescriptionError
from harness.evidence.provenance import PREDICATE, STATEMENT, parse_statement
from harness.evidence.records import Finding, Provenance, Status
from harness.evidence.run_folder import RunFolder
from harness.project.commit import commit_of, keeper_of
from harness.project.git import NoRepositoryError
from harness.store.oci import ARTIFACT, IN_TOTO

CHECK = next(check for check in all_checks() if check.name == "artifact.provenance")


def test_the_statement() -> None:
    """It has the form of in-toto and SLSA, and names all that the artifact was made of."""
    made = said()
    assert parse_statement(json.dumps(made).encode(), "x") == made
    assert (made["_type"], made["predicateType"]) == (STATEMENT, PREDICATE)
    assert made["subject"] == [{"name": f.path, "digest": {"sha256": f.sha256}} for f in hashed(FILES)]
    build = made["predicate"]["buildDefinition"]
    found = {each["name"]: each.get("digest") for each in build["resolvedDependencies"]}
    assert found == {
        "code": {"gitCommit": "c" * 40},
        "harness.lock": {"sha256": "d" * 64},
        "base-image:train": {"sha256": "d" * 64},
        "image:train": {"sha256": "1" * 64},
        "requirements:requirements.txt": {"sha256": "a" * 64},
        "data:data": {"sha256": "b" * 64},
    }
    assert [each["name"] for each in made["predicate"]["runDetails"]["byproducts"]] == ["image:serve"]
    assert made["predicate"]["runDetails"]["metadata"]["invocationId"] == "20260101T000000Z-abc"


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"subject": []}', b"[" * 100_000, b"\xff"])
def test_what_is_no_statement(text: bytes) -> None:
    """Anything else is refused with a clear error."""
    with pytest.raises(DescriptionError):
        parse_statement(text, "x")


GOOD = Provenance(said(), commit="c" * 40)


def judged(found: Provenance, **changes: Any) -> Finding:
    [finding] = judge_one(replace(evidence(), provenance=found, **changes), CHECK)
    return finding


@defect("artifact.provenance", "the statement is about another file")
@defect("artifact.provenance", "the code is in no commit; a base image has no digest", status="warn")
def test_the_check() -> None:
    """A statement about other files fails; a base without a digest and a project outside git are warnings."""
    assert (judged(GOOD).status, judged(GOOD).received) == (
        Status.PASS,
        "2 files, made of commit cccccccccccc: provenance.json",
    )
    assert "not committed" in judged(replace(GOOD, dirty=True)).received
    other = judged(Provenance(said(evidence({**FILES, "model.bin": b"x"})), commit="c"))
    assert (other.status, "model.bin: SHA-256" in other.received) == (Status.FAIL, True)
    none = judged(replace(GOOD, commit="", no_commit="not a git repository"))
    assert (none.status, none.received) == (Status.WARN, "no commit is known: not a git repository")
    unpinned = builders.images(bases=(builders.base(reference="python:3", digest=None),))
    assert judged(GOOD, images=unpinned).status is Status.WARN


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(
        [shutil.which("git") or "git", "-C", str(folder), *who, *words], check=True, capture_output=True, timeout=30
    )


def test_the_commit(tmp_path: Path) -> None:
    """A clean tree, a changed one, a new file; and none where there is no repository or no commit yet."""
    with pytest.raises(NoRepositoryError):
        commit_of(tmp_path)
    git(tmp_path, "init", "-q")
    with pytest.raises(NoRepositoryError):
        commit_of(tmp_path)
    (tmp_path / "a").write_text("1", encoding="utf-8")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-q", "-m", "one")
    clean = commit_of(tmp_path)
    assert (len(clean.sha), clean.dirty) == (40, False)
    (tmp_path / "b").write_text("1", encoding="utf-8")
    assert commit_of(tmp_path).dirty


def test_what_git_would_keep(tmp_path: Path) -> None:
    """A folder in the work tree, but not one that is ignored, nor one outside."""
    repository = tmp_path / "repository"
    repository.mkdir()
    git(repository, "init", "-q")
    (repository / ".gitignore").write_text("/store/\n", encoding="utf-8")
    assert keeper_of(repository / "models/new") == repository.resolve()
    assert keeper_of(repository / "store") is None
    assert keeper_of(tmp_path / "elsewhere") is None


@pytest.fixture
def call() -> Call:
    """Call the verbs as the command line does; errors become their exit codes."""
    return caller()


@pytest.fixture
def run_folder(tmp_path: Path) -> RunFolder:
    """A run that passed, with its artifact."""
    return passed_run(tmp_path / "project")


def test_verify_folders_and_files(run_folder: RunFolder, call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    """A run folder, its artifact and a single file; the provenance is found beside them."""
    artifact = run_folder.path / "artifact"
    for path in (run_folder.path, artifact, artifact / "model.bin"):
        assert call("verify", path) == errors.PASSED, path
    assert call("verify", artifact / "sub/metrics.jsonl", "--provenance", run_folder.path / "provenance.json") == 0
    capsys.readouterr()
    (artifact / "sub/metrics.jsonl").unlink()
    (artifact / "model.bin").write_bytes(b"another")
    (artifact / "new.bin").write_bytes(b"")
    assert call("verify", artifact) == errors.CHECK_FAILED
    out = capsys.readouterr().out
    for text in ("sub/metrics.jsonl is missing", "model.bin: SHA-256", "new.bin is none of the files"):
        assert text in out
    assert call("verify", artifact / "model.bin") == errors.CHECK_FAILED
    assert hashlib.sha256(FILES["model.bin"]).hexdigest() in capsys.readouterr().out.replace("\n", "")


def test_verify_what_cannot_be(tmp_path: Path, call: Call) -> None:
    """Nothing there, no provenance, a broken one, a broken store: exit code 2."""
    (tmp_path / "model").write_bytes(b"x")
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")
    (tmp_path / "store").mkdir()
    (tmp_path / "store/oci-layout").write_text("{}", encoding="utf-8")
    assert call("verify", tmp_path / "gone") == 2
    assert call("verify", tmp_path / "model") == 2
    assert call("verify", tmp_path / "model", "--provenance", tmp_path / "bad.json") == 2
    assert call("verify", tmp_path / "store") == 2
    (tmp_path / "store/index.json").write_text('{"manifests": [{"digest": "../../x"}]}', encoding="utf-8")
    assert call("verify", tmp_path / "store") == 2


def contents(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}


def test_publish(run_folder: RunFolder, tmp_path: Path, call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    """The store is an OCI layout whose blobs are what their names say; a second time changes nothing."""
    store, project = tmp_path / "store", tmp_path / "project"
    assert call("publish", "--project", project, "--to", store) == errors.PASSED
    assert "sha256:" in capsys.readouterr().out
    first = contents(store)
    for name, content in first.items():
        if name.startswith("blobs/"):
            assert hashlib.sha256(content).hexdigest() == Path(name).name
    index = json.loads(first["index.json"])
    model, referrer = [json.loads(first[f"blobs/sha256/{entry['digest'][7:]}"]) for entry in index["manifests"]]
    titles = [layer["annotations"]["org.opencontainers.image.title"] for layer in model["layers"]]
    assert titles == sorted(FILES)
    assert referrer["subject"]["digest"] == index["manifests"][0]["digest"]
    assert json.loads(first["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    assert call("publish", run_folder.id, "--project", project, "--to", store) == errors.PASSED
    assert contents(store) == first
    assert call("verify", store) == errors.PASSED


def test_the_same_artifact_of_another_run(run_folder: RunFolder, tmp_path: Path, call: Call) -> None:
    """It is stored once, with a provenance for each run."""
    store, project = tmp_path / "store", tmp_path / "project"
    call("publish", "--project", project, "--to", store)
    run_folder.write_json("provenance.json", said(run="20260102T000000Z-def"))
    assert call("publish", "--project", project, "--to", store) == errors.PASSED
    kinds = [entry["artifactType"] for entry in json.loads((store / "index.json").read_text())["manifests"]]
    assert sorted(kinds) == [IN_TOTO, IN_TOTO, ARTIFACT]
    assert call("verify", store) == errors.PASSED


@pytest.mark.parametrize("name", [*FILES, "manifest"])
def test_a_changed_blob_is_found(name: str, run_folder: RunFolder, tmp_path: Path, call: Call) -> None:
    """A file of another content differs; a manifest that was changed is no store any more."""
    del run_folder
    store = tmp_path / "store"
    call("publish", "--project", tmp_path / "project", "--to", store)
    index = json.loads((store / "index.json").read_text())
    wanted = hashlib.sha256(FILES[name]).hexdigest() if name in FILES else index["manifests"][0]["digest"][7:]
    blob = store / "blobs/sha256" / wanted
    blob.write_bytes(blob.read_bytes() + b" ")
    assert call("verify", store) == (errors.CHECK_FAILED if name in FILES else 2)


def test_publish_refuses(run_folder: RunFolder, tmp_path: Path, call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    """A failed run, a changed artifact, a folder of git, a folder with something else; nothing is left of it."""
    store, project = tmp_path / "store", tmp_path / "project"
    run_folder.write_findings([Finding(Status.FAIL, "bad", check="a.b")])
    assert call("publish", "--project", project, "--to", store) == 2
    assert not store.exists()
    assert call("publish", "--failed", "--project", project, "--to", store) == 0
    git(project, "init", "-q")
    assert call("publish", "--failed", "--project", project, "--to", project / "models") == 2
    assert "do not belong into git" in capsys.readouterr().out
    assert call("publish", "--failed", "--project", project, "--to", project / ".harness/store") == 0
    assert call("publish", "--failed", "--project", project, "--to", tmp_path) == 2
    (run_folder.path / "artifact/model.bin").write_bytes(b"another")
    assert call("publish", "--failed", "--project", project, "--to", tmp_path / "new") == 2
    assert not (tmp_path / "new/index.json").exists()
    assert not [name for name in contents(tmp_path / "new") if "/." in name]
