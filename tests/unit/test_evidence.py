"""The run folder: what is recorded comes back, whole and exact."""

from __future__ import annotations

import json
import math
import os
import threading
from dataclasses import fields
from pathlib import Path
from typing import Any

import builders
import pytest

from harness.errors import DescriptionError, DiskFullError, InfrastructureError
from harness.evidence.records import Evidence, FileHash, Finding, Status, Violation
from harness.evidence.run_folder import LATEST, RunFolder


def _round_trip(root: Path, **changes: Any) -> Evidence:
    whole = builders.evidence(**changes)
    folder = RunFolder.create(root)
    for field in fields(Evidence):
        if (record := getattr(whole, field.name)) is not None:
            folder.write(field.name, record)
    return folder.load()


def test_round_trip_of_every_record(tmp_path: Path) -> None:
    """Every record of the evidence comes back equal."""
    assert _round_trip(tmp_path) == builders.evidence()


def test_round_trip_of_failures(tmp_path: Path) -> None:
    """The records of a run that went badly come back equal too."""
    changes: dict[str, Any] = {
        "images": builders.images(failure="train", images=()),
        "data": builders.data(violations=(Violation("a.csv", "x", None, "nan", "dtype"),), violation_count=1),
        "train": builders.training(exit=builders.ended(code=None, timed_out=True)),
        "artifact": builders.artifact(metrics=None, metrics_error="there is no /m", files=(), missing="nothing"),
        "serve": builders.serving(ready=False, died=builders.ended(code=1), files=None, listening=("127.0.0.1:80",)),
        "contract": builders.contract(document=None, document_error="404"),
        "stages": builders.stages("serve", "contract"),
        "lock": None,
    }
    assert _round_trip(tmp_path, **changes) == builders.evidence(**changes)


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe\x00", "größe ☃ 𝄞".encode(), b"\r\n\x00\x1b[0m", bytes(range(256)), b'{"base64": "x"}']
)
def test_bodies_are_exact(tmp_path: Path, body: bytes) -> None:
    """Requests and answers come back byte for byte, text or not."""
    contract = builders.contract(builders.exchange(body=body, request=body))
    (exchange, *_) = (_round_trip(tmp_path, contract=contract).contract or contract).exchanges
    assert (exchange.request, exchange.response) == (body, body)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1, 1.0, True, None, "x", 10**30, 5e-324, 0.1 + 0.2])
def test_metrics_are_exact(tmp_path: Path, value: Any) -> None:
    """A metric comes back as it was: NaN and infinity as themselves, whole numbers whole, booleans boolean."""
    artifact = _round_trip(tmp_path, artifact=builders.artifact(0.5, value)).artifact
    assert artifact is not None
    assert artifact.metrics is not None
    received = artifact.metrics[1]["loss"]
    assert type(received) is type(value)
    assert received == value or (isinstance(value, float) and math.isnan(value) and math.isnan(float(received or 0)))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_examples_are_exact(tmp_path: Path, value: float) -> None:
    """A NaN or infinity in the request of an example comes back, not as null."""
    spec = builders.spec(examples=(builders.example(request={"x": value}),))
    received = _round_trip(tmp_path, spec=spec).spec.examples[0].request["x"]
    assert received == value or math.isnan(received)


@pytest.mark.parametrize("text", ["\ud800", "a\udcffb"])
def test_text_that_is_no_unicode(tmp_path: Path, text: str) -> None:
    """A file name that is not UTF-8, or half a surrogate pair in JSON, is recorded: it does not end the run."""
    _round_trip(tmp_path, artifact=builders.artifact(metrics=({"note": text},), files=(FileHash(text, 1, "a"),)))


def test_records_are_readable_json(tmp_path: Path) -> None:
    """Text bodies stand as text in the file, so that a person can read them."""
    folder = RunFolder.create(tmp_path)
    folder.write("contract", builders.contract())
    first = json.loads((folder.path / "exchanges.ndjson").read_text().splitlines()[0])
    assert first["response"] == {"text": '{"predictions": [0.25]}'}


def test_folder_is_not_source(tmp_path: Path) -> None:
    """Git ignores the run folders, without a change to the user's own .gitignore."""
    RunFolder.create(tmp_path)
    assert (tmp_path / ".harness" / ".gitignore").read_text().splitlines()[-1] == "*"
    assert not (tmp_path / ".gitignore").exists()


def test_two_runs_at_once(tmp_path: Path) -> None:
    """Runs that start in the same second have folders of their own."""
    assert len({RunFolder.create(tmp_path).id for _ in range(20)}) == 20


def test_writing_is_atomic(tmp_path: Path) -> None:
    """A reader sees the old record or the new one, never a part, and no temporary file stays."""
    folder = RunFolder.create(tmp_path)
    sizes = (10, 400_000)
    folder.write_text("x.txt", "x" * sizes[0])
    done = threading.Event()

    def write() -> None:
        for number in range(60):
            folder.write_text("x.txt", "x" * sizes[number % 2])
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    seen = set()
    while not done.is_set():
        seen.add(len((folder.path / "x.txt").read_text().strip()))
    thread.join()
    assert seen <= set(sizes)
    assert [path.name for path in folder.path.iterdir()] == ["x.txt"]


def test_failed_write_keeps_the_old_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails leaves the old record and no temporary file; a full disk is named as such."""
    folder = RunFolder.create(tmp_path)
    folder.write_text("x.txt", "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DiskFullError, match=r"x\.txt"):
        folder.write_text("x.txt", "new")
    assert (folder.path / "x.txt").read_text() == "old\n"
    assert len(list(folder.path.iterdir())) == 1


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """A project folder that cannot be written is a failed infrastructure, not a crash."""
    (tmp_path / ".harness").write_text("a file where the folder should be")
    with pytest.raises(InfrastructureError, match="cannot write"):
        RunFolder.create(tmp_path)


def test_append(tmp_path: Path) -> None:
    """A log grows by lines while the run goes on."""
    folder = RunFolder.create(tmp_path)
    folder.append("train/log.txt", "one")
    folder.append("train/log.txt", "zwei ☃")
    assert (folder.path / "train/log.txt").read_text(encoding="utf-8") == "one\nzwei ☃\n"


def _folders(root: Path, *names: str) -> None:
    for name in names:
        RunFolder(root / ".harness/runs" / name).write("spec", builders.spec())


def test_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run is found by its ID, by the start of it, by its folder and as `latest`."""
    _folders(tmp_path, "20260101T000000Z-aaa", "20260102T000000Z-bbb")
    runs = tmp_path / ".harness/runs"
    RunFolder(runs / "20260101T000000Z-aaa").mark_latest()
    RunFolder(runs / "20260102T000000Z-bbb").mark_latest()
    monkeypatch.chdir(runs)
    wanted = "20260102T000000Z-bbb"
    for name in (wanted, "20260102", LATEST, str(runs / wanted), f"./{wanted}"):
        assert RunFolder.find(tmp_path, name).id == wanted


@pytest.mark.parametrize(
    ("name", "count"), [("2026", 2), ("1999", 0), ("/nowhere", 0), ("../elsewhere", 0), ("[", 0), ("**", 0), ("", 2)]
)
def test_find_needs_one(tmp_path: Path, name: str, count: int) -> None:
    """A name that fits no run or several is refused with the runs that there are."""
    _folders(tmp_path, "20260101T000000Z-aaa", "20260102T000000Z-bbb")
    with pytest.raises(DescriptionError, match=f"{count} runs match.*20260101T000000Z-aaa, 20260102T000000Z-bbb"):
        RunFolder.find(tmp_path, name)


def test_find_without_any(tmp_path: Path) -> None:
    """Before the first run there is none."""
    with pytest.raises(DescriptionError, match="the last ones are: none"):
        RunFolder.find(tmp_path, LATEST)


def test_latest_is_relative(tmp_path: Path) -> None:
    """The link survives moving the project."""
    folder = RunFolder.create(tmp_path / "a")
    folder.write("spec", builders.spec())
    folder.mark_latest()
    (tmp_path / "a").rename(tmp_path / "b")
    assert RunFolder.find(tmp_path / "b", LATEST).id == folder.id


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"exchanges": 5}', "\x00"])
def test_broken_record(tmp_path: Path, text: str) -> None:
    """A broken record is an error that names its file, never a missing one."""
    folder = RunFolder.create(tmp_path)
    folder.write("spec", builders.spec())
    (folder.path / "contract.json").write_text(text)
    with pytest.raises(DescriptionError, match=r"contract\.json is no record"):
        folder.load()


@pytest.mark.parametrize("text", ["{}", '{"case": 1', "\x00", None])
def test_broken_exchanges(tmp_path: Path, text: str | None) -> None:
    """Exchanges that are broken or lost are an error, never a service that nobody asked anything."""
    folder = RunFolder.create(tmp_path)
    folder.write("spec", builders.spec())
    folder.write("contract", builders.contract())
    if text is None:
        (folder.path / "exchanges.ndjson").unlink()
    else:
        folder.append("exchanges.ndjson", text)
    with pytest.raises(DescriptionError, match=r"exchanges\.ndjson"):
        folder.load()


def test_exchanges_are_on_disk_at_once(tmp_path: Path) -> None:
    """An exchange is on disk as soon as it is over, so that an interrupt loses none."""
    folder = RunFolder.create(tmp_path)
    folder.append_exchange(builders.exchange("example:one"))
    folder.append_exchange(builders.exchange("example:two"))
    lines = (folder.path / "exchanges.ndjson").read_text().splitlines()
    assert [json.loads(line)["case"] for line in lines] == ["example:one", "example:two"]


def test_missing_records(tmp_path: Path) -> None:
    """Records that are not there are None; without the description there is no run."""
    folder = RunFolder.create(tmp_path)
    with pytest.raises(DescriptionError, match=r"holds no spec\.json"):
        folder.load()
    folder.write("spec", builders.spec())
    evidence = folder.load()
    assert evidence.spec == builders.spec()
    assert evidence.contract is None


def test_findings(tmp_path: Path) -> None:
    """Findings stand in one file with their status in words."""
    folder = RunFolder.create(tmp_path)
    folder.write_findings([Finding(Status.FAIL, "x", "y", "z", "a.b")])
    (found,) = json.loads((folder.path / "findings.json").read_text())
    assert found == {"status": "fail", "received": "x", "expected": "y", "advice": "z", "check": "a.b"}


def test_permissions_of_a_read_only_folder(tmp_path: Path) -> None:
    """A run folder that became read-only is a failed infrastructure."""
    if os.getuid() == 0:
        (tmp_path / "x").write_text("root may write everywhere: a file stands in the way instead")
        folder = RunFolder(tmp_path / "x")
    else:
        folder = RunFolder.create(tmp_path)
        folder.path.chmod(0o500)
    with pytest.raises(InfrastructureError, match="cannot write"):
        folder.append("log.txt", "line")


def test_salvage_reads_what_is_there(tmp_path: Path) -> None:
    """Of a run whose files are lost or broken the others are read, and each broken one is named with its reason."""
    folder = RunFolder.create(tmp_path)
    whole = builders.evidence()
    for field in fields(Evidence):
        if (record := getattr(whole, field.name)) is not None:
            folder.write(field.name, record)
    folder.write_findings([Finding(Status.PASS, "good", check="x.y")])
    (folder.path / "images.json").write_text("{", encoding="utf-8")
    (folder.path / "quality.json").unlink()
    (folder.path / "exchanges.ndjson").write_text("no exchange\n", encoding="utf-8")
    evidence, findings, amiss = folder.salvage()
    assert evidence is not None
    assert (evidence.images, evidence.quality) == (None, None)
    assert evidence.train == whole.train
    assert [finding.check for finding in findings] == ["x.y"]
    assert [line.split()[0] for line in amiss] == ["images.json", "contract.json"]


def test_salvage_without_a_description(tmp_path: Path) -> None:
    """A folder without its spec.json has no evidence, and says so."""
    folder = RunFolder.create(tmp_path)
    evidence, findings, amiss = folder.salvage()
    assert (evidence, findings) == (None, ())
    assert amiss == ("spec.json cannot be read",)
