"""Replaying a recorded run: what is run, the verdict, and what stands in the way. A stand-in takes the run's place."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import builders
import pytest

from harness import errors
from harness.config.spec import Spec
from harness.errors import DescriptionError, EngineUnavailableError, HarnessError
from harness.evidence.provenance import hash_file
from harness.evidence.records import Data, Ending, Evidence, FileHash, Finding, Selection, Status, digest_of
from harness.evidence.records.replay import Match, Outcome, RepeatedFailure, Replay
from harness.evidence.run_folder import RunFolder
from harness.reports.console import Console
from harness.reports.replay_text import lines
from harness.reproduce.bundle import Absent
from harness.reproduce.replay import Options, opened, replay, rerun
from harness.reproduce.replay import recorded as records
from harness.reproduce.replay.source import Opened
from harness.runner.pipeline import Repeat

WRONG = Finding(Status.FAIL, "1 of 2 examples: 0.5 in place of 0.25", "as promised", "look", "contract.examples")
WELL = Finding(Status.PASS, "2 of 2", check="contract.examples")
ENDED = Ending(1, "judged")


@dataclass
class Stage:
    """The world of a replay: a project, an engine that knows images, and a run that gives what a test says."""

    root: Path
    findings: tuple[Finding, ...] = (WRONG,)
    error: HarnessError | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    platform: tuple[str, str] = ("linux", "amd64")
    loaded: list[str] = field(default_factory=list)
    calls: list[tuple[Selection, Repeat]] = field(default_factory=list)

    @contextmanager
    def connect(self) -> Iterator[Any]:
        """Stand in for Engine.connect."""
        system, arch = self.platform
        info = {"OSType": system, "Arch": arch}
        yield SimpleNamespace(info=lambda: info, image=self.images.get, load=self.load, compose_host=None)

    def load(self, source: IO[bytes]) -> list[str]:
        """Load an image that is called as the file says."""
        self.loaded.append(source.read().decode())
        return self.loaded[-1:]

    def run(self, root: Path, files: Sequence[Path], watcher: Any, selection: Selection, *, repeat: Repeat) -> None:
        """Stand in for pipeline.run."""
        assert root == self.root
        assert all(file.is_relative_to(root) for file in files)
        assert watcher is not None
        self.calls.append((selection, repeat))
        folder = _write(self.root, evidence(self.root, **self.changes), self.findings)
        repeat.begun(folder)
        if self.error is not None:
            folder.write("end", Ending(self.error.exit_code, self.error.kind, str(self.error)))
            raise self.error

    def replay(self, recorded: RunFolder, **options: Any) -> Replay:
        """Replay a run."""
        given = {name: options.pop(name) for name in ("images", "absent", "redacted") if name in options}
        return replay(Opened(recorded, self.root, recorded.id, **given), Console(), Options(**options))


def _write(root: Path, whole: Evidence, findings: Sequence[Finding] = ()) -> RunFolder:
    folder = RunFolder.create(root)
    for each in fields(Evidence):
        if (record := getattr(whole, each.name)) is not None:
            folder.write(each.name, record)
    folder.write_findings(findings)
    return folder


def spec(root: Path) -> Spec:
    """The description of a project that lies in a folder."""
    build = {"context": str(root), "dockerfile": "Dockerfile"}
    return builders.spec(
        model={"services": {"train": {"build": build}, "serve": {"environment": {"MODE": "a"}}}},
        root=root,
        files=(root / "compose.yaml",),
    )


def evidence(root: Path, **changes: Any) -> Evidence:
    """The evidence of a run of a project that lies in a folder, with the files that it has now."""
    rows = root / "data/train.csv"
    files = (FileHash("train.csv", 4, hash_file(rows) if rows.is_file() else ""),)
    sources = {name: hash_file(root / name) for name in ("compose.yaml", "train.py") if (root / name).is_file()}
    whole: dict[str, Any] = {
        "spec": spec(root),
        "data": replace(builders.data(), files=files, sha256=digest_of(files)),
        "surroundings": builders.surroundings(sources=sources),
        "selection": Selection(skip=("data.*",), fast=True, deep=True, seed=7, budget=9.0),
        "end": ENDED,
    }
    return builders.evidence(**(whole | changes))


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A project with its files, where the recorded failure comes again unless a test says otherwise."""
    root = tmp_path.resolve() / "project"
    builders.write_files(root, {"compose.yaml": "services: {}\n", "train.py": "pass\n", "data/train.csv": "a,b\n"})
    made = Stage(root)
    monkeypatch.setattr(rerun, "Engine", SimpleNamespace(connect=made.connect))
    monkeypatch.setattr(rerun, "run", made.run)
    return made


def test_reproduced(stage: Stage) -> None:
    """Only the failed check is run, with the recorded seed, budget and description; the verdict is written down."""
    recorded = _write(stage.root, evidence(stage.root), [WRONG, replace(WELL, check="serve.ready")])
    found = stage.replay(recorded)
    assert (found.outcome, found.exit_code) == (Outcome.REPRODUCED, 0)
    assert [each.match for each in found.checks] == [Match.IDENTICAL]
    ((selection, repeat),) = stage.calls
    assert selection == Selection(only=("contract.examples",), deep=True, seed=7, budget=9.0)
    assert repeat.spec == spec(stage.root)
    written = json.loads((stage.root / ".harness/runs" / found.run / "replay.json").read_text())
    assert (written["outcome"], written["recorded"]) == ("reproduced", recorded.id)


def test_not_reproduced_names_the_cause(stage: Stage) -> None:
    """What passes here is not reproduced: 5, with what differs, also on the screen."""
    recorded = _write(stage.root, evidence(stage.root, environment=builders.environment(kernel="5.15.0")), [WRONG])
    stage.findings = (WELL,)
    found = stage.replay(recorded)
    assert (found.outcome, found.exit_code) == (Outcome.NOT_REPRODUCED, errors.NOT_REPRODUCED)
    assert [(each.name, each.recorded, each.here) for each in found.differences] == [("kernel", "5.15.0", "6.12.1")]
    text = "\n".join(lines(found))
    assert f"NOT REPRODUCED: run {recorded.id}, replayed as {found.run}" in text
    assert "1. kernel: kernel: 5.15.0 then, 6.12.1 here (another kernel)" in text
    assert "now  2 of 2" in text


def test_what_a_container_said_tells_the_cause(stage: Stage) -> None:
    """The last lines of a container that failed count too, where the check does not repeat them."""
    tail = ("ValueError: time data '1/2' does not match format '%d.%m.'",)
    before = builders.surroundings()
    train = replace(before.of("train"), variables={**before.of("train").variables, "TZ": "Asia/Tokyo"})
    was = evidence(
        stage.root,
        train=builders.training(exit=builders.ended(code=1, log_tail=tail)),
        environment=builders.environment(kernel="5.15.0", engine_version="20.10"),
    )
    around = replace(was.surroundings or before, containers=(train, before.of("serve")))
    stage.findings = (Finding(Status.PASS, "well", check="train.exits-cleanly"),)
    failed = Finding(Status.FAIL, "exit code 1", check="train.exits-cleanly")
    found = stage.replay(_write(stage.root, replace(was, surroundings=around), [failed]))
    assert found.differences[0].name == "train: TZ"


def test_one_of_two_is_not_enough(stage: Stage) -> None:
    """Each failure has to come again."""
    other = Finding(Status.ERROR, "it crashed", check="contract.finite")
    found = stage.replay(_write(stage.root, evidence(stage.root), [WRONG, other]))
    assert found.outcome is Outcome.NOT_REPRODUCED
    assert [each.match for each in found.checks] == [Match.IDENTICAL, Match.UNREACHED]


def test_all(stage: Stage) -> None:
    """With --all the checks are those of the run; what fails only now is named."""
    late = Finding(Status.FAIL, "slow", check="contract.latency")
    stage.findings = (WRONG, late)
    found = stage.replay(_write(stage.root, evidence(stage.root), [WRONG]), whole=True)
    assert (found.outcome, found.also) == (Outcome.REPRODUCED, ("contract.latency",))
    assert stage.calls[0][0] == evidence(stage.root).selection
    good = _write(stage.root, evidence(stage.root), [WELL])
    stage.findings = (WELL,)
    assert stage.replay(good, whole=True).outcome is Outcome.REPRODUCED
    stage.findings = (WELL, late)
    assert stage.replay(good, whole=True).outcome is Outcome.NOT_REPRODUCED


def test_an_error_that_ended_it(stage: Stage) -> None:
    """A run that ended with an error is run with its own selection, up to there."""
    error = DescriptionError("the container cannot start: no such file", hint="correct it")
    was = evidence(stage.root, end=Ending(2, error.kind, str(error)))
    stage.error, stage.findings = error, ()
    found = stage.replay(_write(stage.root, was))
    assert (found.outcome, found.exit_code, found.reason) == (Outcome.REPRODUCED, 0, "")
    stage.error = None
    assert stage.replay(_write(stage.root, was)).outcome is Outcome.NOT_REPRODUCED


def test_a_replay_that_ends_before(stage: Stage) -> None:
    """A machine that fails cannot say whether a failure comes again; a container that cannot start says no."""
    recorded = _write(stage.root, evidence(stage.root), [WRONG])
    stage.error, stage.findings = errors.ImageUnavailableError("no image x", hint="harness setup"), ()
    found = stage.replay(recorded)
    assert (found.outcome, found.exit_code, found.reason) == (Outcome.CANNOT_REPLAY, 3, "no image x")
    assert found.hint == "harness setup"
    stage.error = DescriptionError("the container cannot start")
    found = stage.replay(recorded)
    assert (found.outcome, found.exit_code) == (Outcome.NOT_REPRODUCED, 5)
    assert "the container cannot start" in found.reason


def _changed(root: Path) -> None:
    (root / "train.py").write_text("import this\n")


def _other_data(root: Path) -> None:
    (root / "data/train.csv").write_text("other\n")


@pytest.mark.parametrize(("change", "name"), [(_changed, "train.py"), (_other_data, "data/train.csv")])
def test_a_project_that_changed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None], name: str
) -> None:
    """Its files that are not as they were are named; --anyway goes on, with what the files say now."""
    recorded = _write(stage.root, evidence(stage.root), [WRONG])
    change(stage.root)
    found = stage.replay(recorded)
    assert (found.outcome, found.exit_code, stage.calls) == (Outcome.CANNOT_REPLAY, 2, [])
    assert f"the project changed since the run was recorded: {name}" in found.reason
    assert "--anyway" in found.hint
    now = replace(spec(stage.root), port=1)
    monkeypatch.setattr(rerun, "load", lambda *_: now)
    monkeypatch.setattr(rerun, "Compose", SimpleNamespace(find=lambda _: None))
    found = stage.replay(recorded, anyway=True)
    assert (found.outcome, found.changed) == (Outcome.REPRODUCED, (name,))
    assert stage.calls[0][1].spec == now
    assert f"changed   {name}" in "\n".join(lines(found))


def test_here(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --here the description is what the files and the variables say now."""
    now = replace(spec(stage.root), port=1)
    monkeypatch.setattr(rerun, "load", lambda *_: now)
    monkeypatch.setattr(rerun, "Compose", SimpleNamespace(find=lambda _: None))
    stage.replay(_write(stage.root, evidence(stage.root), [WRONG]), here=True)
    assert stage.calls[0][1].spec == now


def test_files_that_are_missing(stage: Stage) -> None:
    """A file that is missing is named, and how to get it where the bundle says so."""
    recorded = _write(stage.root, evidence(stage.root), [WRONG])
    (stage.root / "train.py").unlink()
    (stage.root / "data/train.csv").unlink()
    found = stage.replay(recorded, absent=(Absent("data/train.csv", "0" * 64, 1, "too large", "dvc pull"),))
    assert (found.outcome, found.exit_code, stage.calls) == (Outcome.CANNOT_REPLAY, 2, [])
    assert "2 files" in found.reason
    assert "data/train.csv: dvc pull" in found.hint
    assert "train.py: It was there" in found.hint
    found = stage.replay(recorded, anyway=True)
    assert found.outcome is Outcome.REPRODUCED
    assert {note.split(":")[1].strip() for note in found.notes} == {"data/train.csv", "train.py"}


def test_a_file_with_hidden_secrets(stage: Stage) -> None:
    """A file in which a bundle hides a secret is other text than the run saw, and did not change."""
    recorded = _write(stage.root, evidence(stage.root), [WRONG])
    (stage.root / "compose.yaml").write_text("services: {} # [redacted TOKEN]\n")
    assert stage.replay(recorded).outcome is Outcome.CANNOT_REPLAY
    assert stage.replay(recorded, redacted=frozenset({"compose.yaml"})).outcome is Outcome.REPRODUCED


def test_the_variables_of_compose(stage: Stage) -> None:
    """A `.env` that a bundle wrote anew, or left out, is no change of the project, and nothing is missing."""
    sources = {"compose.yaml": hash_file(stage.root / "compose.yaml"), ".env": "0" * 64}
    surroundings = builders.surroundings(sources=sources)
    recorded = _write(stage.root, evidence(stage.root, surroundings=surroundings), [WRONG])
    assert stage.replay(recorded).outcome is Outcome.REPRODUCED
    (stage.root / ".env").write_text("BASE_IMAGE=another\n")
    assert stage.replay(recorded).outcome is Outcome.REPRODUCED


def test_another_platform(stage: Stage) -> None:
    """An engine of another platform cannot replay, unless told to."""
    recorded = _write(stage.root, evidence(stage.root), [WRONG])
    stage.platform = ("linux", "arm64")
    found = stage.replay(recorded)
    assert (found.outcome, found.exit_code) == (Outcome.CANNOT_REPLAY, 3)
    assert "the run was on linux/amd64, this engine is linux/arm64" in found.reason
    found = stage.replay(recorded, anyway=True)
    assert found.outcome is Outcome.REPRODUCED
    assert found.notes == ("the run was on linux/amd64, this engine is linux/arm64",)


def test_no_engine(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an engine the answer is `cannot replay`, with what to do, and the exit code of the machine."""

    def connect() -> None:
        raise EngineUnavailableError("no container engine answers", hint="start it")

    monkeypatch.setattr(rerun, "Engine", SimpleNamespace(connect=connect))
    found = stage.replay(_write(stage.root, evidence(stage.root), [WRONG]))
    assert (found.outcome, found.exit_code, found.hint) == (Outcome.CANNOT_REPLAY, 3, "start it")
    assert "CANNOT REPLAY" in "\n".join(lines(found))


@pytest.mark.parametrize(
    ("changes", "findings", "reason"),
    [
        ({}, (WELL,), "nothing failed"),
        ({"end": Ending(130, "interrupted")}, (), "was interrupted"),
        ({"spec": builders.spec(files=(), model=dict.fromkeys(builders.MODEL))}, (WRONG,), "at a URL"),
        ({}, (replace(WRONG, check="acme.magic"),), "no check is named acme.magic here"),
    ],
)
def test_nothing_to_replay(stage: Stage, changes: dict[str, Any], findings: Sequence[Finding], reason: str) -> None:
    """A run without a failure, an interrupted one, one at a URL, and one with foreign checks alone say so."""
    found = stage.replay(_write(stage.root, evidence(stage.root, **changes), findings))
    assert (found.outcome, found.exit_code) == (Outcome.CANNOT_REPLAY, 2)
    assert reason in found.reason
    assert found.hint


def test_a_broken_run_folder(stage: Stage) -> None:
    """A folder whose description cannot be read cannot be replayed."""
    recorded = _write(stage.root, evidence(stage.root), [WRONG])
    (recorded.path / "spec.json").write_text("{")
    found = stage.replay(recorded)
    assert (found.outcome, "spec.json" in found.reason) == (Outcome.CANNOT_REPLAY, True)


def test_an_old_run_folder(stage: Stage) -> None:
    """A run of a version that did not record the project's files is replayed, and the verdict says what is unknown."""
    found = stage.replay(_write(stage.root, evidence(stage.root, surroundings=None), [WRONG]))
    assert found.outcome is Outcome.REPRODUCED
    assert found.notes == ("the run did not record the project's files: whether they changed is not known",)


LAYERS = {"RootFS": {"Layers": ["sha256:" + "2" * 64]}}
OWN = "sha256:" + "1" * 64


def test_the_same_images(stage: Stage) -> None:
    """Images that the engine still has are taken, if their layers are the recorded ones; nothing is built for them."""
    recorded = _write(stage.root, evidence(stage.root), [WRONG])
    stage.images = {OWN: {"Id": OWN, **LAYERS}}
    stage.replay(recorded)
    stage.images = {OWN: {"Id": OWN, "RootFS": {"Layers": ["sha256:other"]}}}
    stage.replay(recorded)
    assert [repeat.images for _, repeat in stage.calls] == [{"train": OWN, "serve": OWN}, {}]


def test_images_of_a_bundle(stage: Stage) -> None:
    """Saved images are loaded and told by their layers; the build context may then be missing."""
    recorded = _write(stage.root, evidence(stage.root), [WRONG])
    (stage.root / "train.py").unlink()
    (stage.root / "train.tar").write_text("saved:1")
    stage.images = {"saved:1": {"Id": "sha256:new", **LAYERS}}
    found = stage.replay(recorded, images={"train": stage.root / "train.tar"})
    assert found.outcome is Outcome.REPRODUCED, found.reason
    assert stage.loaded == ["saved:1"]
    assert stage.calls[0][1].images == {"train": "sha256:new", "serve": "sha256:new"}


def test_a_project_in_another_folder(tmp_path: Path) -> None:
    """Paths of the project move with it, others stay, and texts that only look alike are left alone."""
    model = {
        "services": {
            "train": {
                "build": {"context": "/old/project/docker"},
                "volumes": [{"source": "/old/project", "target": "/x"}, {"source": "/old/project2", "target": "/y"}],
            }
        }
    }
    moved = records.relocated(
        builders.spec(model=model, root=Path("/old/project"), files=(Path("/old/project/compose.yaml"),)), tmp_path
    )
    train = moved.model["services"]["train"]
    assert (moved.root, moved.files) == (tmp_path, (tmp_path / "compose.yaml",))
    assert train["build"]["context"] == f"{tmp_path}/docker"
    assert [each["source"] for each in train["volumes"]] == [str(tmp_path), "/old/project2"]


def test_hidden_values() -> None:
    """What a bundle hides is taken from this machine's variables; what they lack is named."""
    hidden = {"TOKEN": "[REDACTED]", "KEY": "***", "MODE": "a"}
    given, lacking = records.with_secrets(
        builders.spec(model={"services": {"serve": {"environment": hidden}}}), {"TOKEN": "s$x", "MODE": "b"}
    )
    assert given.model["services"]["serve"]["environment"] == {"TOKEN": "s$$x", "KEY": "***", "MODE": "a"}
    assert lacking == ("KEY",)


def test_a_single_file_as_dataset(tmp_path: Path) -> None:
    """A dataset that is one file is looked for at its own path."""
    (tmp_path / "rows.csv").write_text("a\n")
    files = (FileHash("rows.csv", 2, hash_file(tmp_path / "rows.csv")),)
    data: Data = builders.data(path="rows.csv", files=files)
    was = builders.evidence(data=data, surroundings=builders.surroundings(sources={}))
    assert records.missing(was, tmp_path, (), built=True) == ()
    assert records.changed(was, tmp_path, built=True) == ()


HIDES = (SimpleNamespace(name="TOKEN", places=("project/compose.yaml", "run/spec.json")),)


@dataclass(frozen=True)
class FakeBundle:
    """What `open_bundle` returns."""

    manifest: Any
    run: RunFolder
    project: Path
    images: dict[str, Path]


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle that lacks two files of its project; a stand-in unpacks it."""

    def open_bundle(file: Path, into: Path) -> FakeBundle:
        assert file.is_file()
        builders.write_files(into / "project", {"compose.yaml": "services: {}\n", "data/train.csv": "a,b\n"})
        recorded = _write(into / "project", evidence(into / "project"), [WRONG])
        digest = hash_file(tmp_path / "mine/large.bin")
        names = ("project/large.bin", "project/other.bin", "project/../escape.bin", "run/artifact/model.bin")
        absent = tuple(Absent(name, digest, 1, "too large", "dvc pull") for name in names)
        return FakeBundle(
            SimpleNamespace(absent=absent, run="R7", redactions=HIDES),
            recorded,
            into / "project",
            {"train": into / "train.tar"},
        )

    monkeypatch.setattr("harness.reproduce.bundle.open_bundle", open_bundle)
    builders.write_files(tmp_path, {"mine/large.bin": "x", "mine/other.bin": "y", "escape.bin": "x", "r1.tar.gz": "z"})
    return tmp_path / "r1.harness.tar.gz"


def test_a_bundle_is_opened(bundle: Path, tmp_path: Path) -> None:
    """It is unpacked where git does not look, and completed from the project with the very same files alone."""
    bundle.write_text("x")
    found = opened(str(bundle), tmp_path / "mine")
    assert found.root.is_relative_to(tmp_path / "mine/.harness/unpacked")
    assert (tmp_path / "mine/.harness/.gitignore").is_file()
    assert (found.root / "large.bin").read_text() == "x"
    assert not (found.root / "other.bin").exists(), "another file of that name is none"
    assert not (found.root.parent / "escape.bin").exists()
    assert [each.how for each in found.absent] == ["dvc pull"] * 3
    assert (found.id, list(found.images), found.redacted) == ("R7", ["train"], frozenset({"compose.yaml"}))
    assert opened(str(bundle), tmp_path / "mine").root != found.root, "the evidence of an earlier replay stays"


def test_a_run_is_opened(stage: Stage) -> None:
    """What is no file is a run of the project; an unknown one is refused."""
    recorded = _write(stage.root, evidence(stage.root), [WRONG])
    found = opened(recorded.id[:20], stage.root)
    assert (found.recorded.id, found.root) == (recorded.id, stage.root)
    with pytest.raises(DescriptionError):
        opened("nothing", stage.root)


def test_text_of_a_verdict() -> None:
    """Long texts are cut, many differences counted, and chance is named where nothing differs."""
    check = RepeatedFailure("a.b", Status.FAIL, Match.OTHER, "x" * 1000 + "\nsecond", "")
    text = "\n".join(
        lines(Replay(Outcome.NOT_REPRODUCED, "r", 5, run="n", checks=(check,), also=("c.d",), notes=("n",)))
    )
    assert "x" * 301 not in text
    assert "now  nothing" in text
    assert "c.d  failed only now" in text
    assert "may depend on chance or on time" in text
    assert all(line == line.rstrip() for line in text.splitlines())
