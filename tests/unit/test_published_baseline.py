"""The baseline from the last published artifact: its predictions of the hold-out rows, from a folder or a registry."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import builders
import pytest
from publishing import caller, passed
from pydantic import ValidationError
from registry import Registry, serving
from test_quality_stage import Classifier, _collected, _csv, _project, _status

from harness import errors
from harness.config.quality import QualityBlock
from harness.evidence.records import Finding, Quality, Status
from harness.evidence.records.scored import BASELINE, NEW
from harness.evidence.run_folder import RunFolder
from harness.runner.stages.quality import PREDICTIONS as FILE
from harness.store.oci import ARTIFACT, HOLDOUT_SHA256, PREDICTIONS

PASS, WARN, FAIL, SKIP = Status.PASS, Status.WARN, Status.FAIL, Status.SKIP
CONDITION = "new - baseline > -0.05 +/- 0.05 @ 0.95"


@pytest.fixture(params=["folder", "registry"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A place to publish to: a folder relative to the project, or a repository."""
    if request.param == "folder":
        yield "../store"
        return
    (tmp_path / "remote").mkdir()
    with serving(Registry()) as host:
        yield f"oci://{host}/penguins"


def _run(root: Path, *, turn: int = 0, store: str = "", condition: str = CONDITION) -> tuple[Quality, list[Finding]]:
    """Judge a model that is wrong from a length on."""
    more: dict[str, Any] = {"baseline": {"store": store}} if store else {}
    return _collected(root / "project", Classifier(turn=turn), *([condition] if store else []), **more)


def _last(root: Path) -> Path:
    """Return the folder of the last run."""
    folders = [each for each in (root / "project/.harness/runs").iterdir() if not each.is_symlink()]
    return max(folders, key=lambda each: each.stat().st_mtime_ns)


def _publish(root: Path, store: str) -> str:
    """Publish the last run; return the digest that the store has for it."""
    folder = RunFolder(_last(root))
    passed(folder)
    to = store if store.startswith("oci:") else str(root / "project" / store)
    assert caller()("publish", folder.id, "--project", root / "project", "--to", to) == errors.PASSED
    return to


def test_published(store: str, tmp_path: Path) -> None:
    """The next model is held against what was published, and the evidence names the artifact."""
    _run(tmp_path)
    _publish(tmp_path, store)
    quality, findings = _run(tmp_path, store=store)
    assert _status(findings, "quality.gate") == [PASS]
    assert (quality.baseline, quality.baseline_problem, quality.baseline_state) == (store, "", "there")
    assert quality.baseline_digest.startswith("sha256:")
    assert f"the baseline is {quality.baseline_digest} of {store}" in findings[0].received
    assert all(row.predictions[BASELINE] == row.predictions[NEW] for row in quality.rows)
    worse, findings = _run(tmp_path, turn=70, store=store)
    assert _status(findings, "quality.gate") == [FAIL]
    assert worse.baseline_digest == quality.baseline_digest


def test_the_newest_counts(store: str, tmp_path: Path) -> None:
    """Where a model was published again, what its last run predicted is the baseline."""
    _run(tmp_path)
    _publish(tmp_path, store)
    _run(tmp_path, turn=70)
    folder = _last(tmp_path)
    folder.rename(folder.with_name("99990101T000000Z-abcdef"))
    _publish(tmp_path, store)
    _, findings = _run(tmp_path, turn=70, store=store)
    assert _status(findings, "quality.gate") == [PASS]


def test_nothing_is_published_yet(store: str, tmp_path: Path) -> None:
    """The first run has nothing to be compared with: skipped with the reason, whatever `unknown` says."""
    for unknown in ("warn", "fail"):
        quality, findings = _collected(
            tmp_path / "project", Classifier(), CONDITION, baseline={"store": store}, unknown=unknown
        )
        assert _status(findings, "quality.gate") == [SKIP]
        assert "nothing is published" in findings[0].received
        assert (quality.baseline_state, quality.baseline_digest) == ("unpublished", "")


def test_another_hold_out_file(store: str, tmp_path: Path) -> None:
    """Rows that both files have are compared, and both files are named; without one in common nothing is known."""
    _run(tmp_path)
    _publish(tmp_path, store)
    builders.write_files(tmp_path / "project", {"data/holdout.csv": _csv([99, 98, *range(5, 95)])})
    quality, findings = _run(tmp_path, store=store, condition="new - baseline > -0.05")
    assert _status(findings, "quality.gate") == [PASS]
    for text in ("predicted another hold-out file, data/holdout.csv", "90 of 92 rows are in both"):
        assert text in quality.baseline_problem
        assert text in findings[0].received
    builders.write_files(tmp_path / "project", {"data/holdout.csv": _csv(range(200, 290))})
    quality, findings = _run(tmp_path, store=store)
    assert _status(findings, "quality.gate") == [WARN]
    assert "0 of 90 rows are in both" in findings[0].received


def test_without_predictions(store: str, tmp_path: Path) -> None:
    """An artifact of a run that predicted no hold-out rows is no baseline: an open question."""
    passed(RunFolder.create(tmp_path / "project"))
    _publish(tmp_path, store)
    quality, findings = _run(tmp_path, store=store)
    assert _status(findings, "quality.gate") == [WARN]
    assert quality.baseline_problem == f"{quality.baseline_digest} was published without predictions"


def _manifests(folder: Path) -> dict[str, Path]:
    """Artifact type -> the manifest of a folder store."""
    entries = json.loads((folder / "index.json").read_text(encoding="utf-8"))["manifests"]
    return {entry["artifactType"]: folder / "blobs/sha256" / entry["digest"][7:] for entry in entries}


@pytest.mark.parametrize("what", ["artifact", "about", "predictions", "gone", "index", "no predictions"])
def test_a_store_that_was_tampered_with(what: str, tmp_path: Path) -> None:
    """It fails the condition, and is never taken for a store without a baseline."""
    _run(tmp_path)
    store = Path(_publish(tmp_path, "../store"))
    manifests = _manifests(store)
    [layer] = json.loads(manifests[PREDICTIONS].read_bytes())["layers"]
    blob = store / "blobs/sha256" / layer["digest"][7:]
    if what in ("artifact", "about"):
        path = manifests[ARTIFACT if what == "artifact" else PREDICTIONS]
        path.write_bytes(path.read_bytes().replace(b"holdout", b"another") + b" ")
    elif what == "predictions":
        blob.write_bytes(blob.read_bytes().replace(b"short", b"long "))
    elif what == "gone":
        blob.unlink()
    elif what == "index":
        (store / "index.json").write_text("[]", encoding="utf-8")
    else:  # with the right hashes, but they are none
        whole = json.loads(manifests[PREDICTIONS].read_bytes())
        whole["layers"] = [{**layer, "digest": f"sha256:{hashlib.sha256(b'[]').hexdigest()}"}]
        text = json.dumps(whole).encode()
        for content in (b"[]", text):
            (store / "blobs/sha256" / hashlib.sha256(content).hexdigest()).write_bytes(content)
        index = (store / "index.json").read_text(encoding="utf-8")
        index = index.replace(manifests[PREDICTIONS].name, hashlib.sha256(text).hexdigest())
        (store / "index.json").write_text(index, encoding="utf-8")
    quality, findings = _run(tmp_path, store="../store")
    assert quality.baseline_state == "broken"
    assert _status(findings, "quality.gate") == [FAIL]
    assert "Find out who changed the store" in findings[0].advice


def test_a_registry_that_does_not_answer(tmp_path: Path) -> None:
    """Whether there is a baseline is then not known: `unknown` decides."""
    for unknown, status in (("warn", WARN), ("fail", FAIL), ("pass", PASS)):
        quality, findings = _collected(
            tmp_path, Classifier(), CONDITION, baseline={"store": "oci://127.0.0.1:1/x"}, unknown=unknown
        )
        assert _status(findings, "quality.gate") == [status]
        assert "does not answer" in quality.baseline_problem


def test_what_publish_stores(tmp_path: Path) -> None:
    """The predictions as the run wrote them, with the SHA-256 of the hold-out file as it was; changed ones are not."""
    quality, _ = _run(tmp_path)
    store = Path(_publish(tmp_path, "../store"))
    about = json.loads(_manifests(store)[PREDICTIONS].read_bytes())
    data = (tmp_path / "project/data/holdout.csv").read_bytes()
    assert about["annotations"][HOLDOUT_SHA256] == quality.holdout_sha256 == hashlib.sha256(data).hexdigest()
    assert quality.predictions is not None
    assert about["layers"][0]["digest"] == f"sha256:{quality.predictions.sha256}"
    [folder] = (tmp_path / "project/.harness/runs").glob("2*")
    (folder / FILE).write_text("{}", encoding="utf-8")
    words = ["publish", folder.name, "--project", tmp_path / "project", "--to", tmp_path / "new"]
    assert caller()(*words) == 2
    (folder / FILE).unlink()
    assert caller()(*words) == 2
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("named", [{}, {"store": ""}, {"store": "oci://host"}, {"store": "a", "tag": "b"}, 3])
def test_a_wrong_block(named: Any) -> None:
    """A reference that is none is refused with the description."""
    with pytest.raises(ValidationError):
        QualityBlock.model_validate({"conditions": ["accuracy > 0"], "baseline": named})


def test_a_store_need_not_be_there(tmp_path: Path) -> None:
    """A description may name a store that the first publication makes."""
    _, quality = _project(tmp_path, baseline={"store": "../gone", "plain_http": True})
    assert quality.baseline is not None
