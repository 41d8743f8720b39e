"""The order of a run, with stages that only hand over their records: where it ends, what it does, what it judges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import builders
import pytest

from harness.checks import all_checks
from harness.checks.judge import judge
from harness.checks.plan import STARTS_FROM, stages
from harness.client.http import Target
from harness.config.spec import Handover, Spec
from harness.errors import DiskFullError
from harness.evidence.records import Companion, Evidence, Finding, Selection, Services, StageTime, Status
from harness.evidence.run_folder import RunFolder
from harness.runner import order
from harness.runner.run_state import LINE, RunState, Verdict, ended
from harness.runner.stages import Run
from harness.runner.stages.serve import Served

FAILED = Services((Companion("db", ("train",), "service_started", problem="ended with exit code 1"),))
# Stage -> what its record says where the line cannot go on after it, and the check that says so.
ENDS: dict[str, tuple[Any, str]] = {
    "images": (lambda: builders.images(failure="train", images=()), "images.built"),
    "services": (lambda: FAILED, "services.ready"),
    "steps": (lambda: FAILED, "services.ready"),
    "bake": (lambda: builders.images(failure="serve", images=(builders.built("train"),)), "images.built"),
    "train": (lambda: builders.training(exit=builders.ended(code=9)), "train.exits-cleanly"),
    "artifact": (lambda: builders.artifact(files=(), missing="nothing at /model"), "artifact.present"),
    "serve": (lambda: builders.serving(ready=False), "serve.ready"),
}
ALL = Selection()
FAST = Selection(fast=True)
ONE_EACH = {
    stages(check.reads + check.may_read, builders.spec(handover=Handover.BAKED)): check for check in all_checks()
}
SOME = ("artifact.not-in-git", "data.schema", "images.built", "train.loss-decreases", "serve.ready", "contract.latency")


def described(block: dict[str, Any] | None = None, **changes: Any) -> Spec:
    """A project with a database that training needs, and a step between training and serving."""
    done, up = {"condition": "service_completed_successfully"}, {"condition": "service_started"}
    train, serve = {"depends_on": {"db": up}}, {"depends_on": {"convert": done}}
    others = {"db": {"image": "db"}, "convert": {"image": "convert", "depends_on": {"train": done}}}
    target = {"data": {"target": "kind", "reference": "reference.csv"}}
    model = {"services": {"train": train, "serve": serve, **others}}
    return builders.spec({**target, **(block or {})}, model, **changes)


BAKED = described(handover=Handover.BAKED)
KINDS = {stages(check.reads + check.may_read, BAKED): check for check in all_checks()}.values()
# What people ask for: patterns, and a check of each kind, by what a run must do for it.
SELECTIONS = {
    "all": ALL,
    "fast": FAST,
    "contract": Selection(only=("contract.*",)),
    "without images": Selection(skip=("images.*",)),
    **{each.name: Selection(only=(each.name,)) for each in KINDS},
}


@dataclass
class Seen:
    """A watcher that counts how often a check was found something of, and notes the stages."""

    told: list[Finding] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def run_begins(self, *_: object) -> None: ...

    def line(self, stage: str, line: str) -> None: ...

    def stage_begins(self, stage: str) -> None: ...

    def stage_ends(self, stage: StageTime, *, beside: bool = False) -> None:  # noqa: ARG002
        self.done.append(stage.name)

    def found(self, finding: Finding) -> None:
        self.told.append(finding)


@dataclass
class Line_:  # noqa: N801 - the line of `order`, with its stages replaced
    """A run whose stages hand over good records, one of them what `ends` says."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    handover: Handover = Handover.MOUNTED
    good: Evidence = field(default_factory=lambda: builders.evidence(spec=described()))
    seen: Seen = field(default_factory=Seen)

    def run(
        self,
        ends: Mapping[str, Callable[[], Any]] | None = None,
        selection: Selection = ALL,
        then: Callable[[order.Service], None] | None = None,
    ) -> tuple[Verdict, Evidence]:
        """Go down the line; `ends` are stages by name that do something else."""
        spec = replace(self.good.spec, handover=self.handover)
        run = self._run(spec)
        self._replace(ends or {})
        line = RunState(run, self.seen, selection)
        line.keep("environment", self.good.environment)
        line.keep("lock", self.good.lock)
        with ThreadPoolExecutor() as pool, ended(line):
            order.go(line, run, pool, then or order.judge_service, rebuild=False)
        return line.verdict(), line.evidence

    def _run(self, spec: Spec) -> Run:
        nothing: Any = SimpleNamespace(memory=lambda _: None, ping=lambda: None)
        return Run(
            spec=spec,
            folder=RunFolder.create(self.folder),
            say=self.seen.line,
            engine=nothing,
            compose=nothing,
            labels={},
        )

    def _replace(self, ends: Mapping[str, Callable[[], Any]]) -> None:
        good, patch = self.good, self.monkeypatch.setattr

        def record(stage: str, field_: str = "") -> Callable[..., Any]:
            return lambda *_, **__: ends[stage]() if stage in ends else getattr(good, field_ or stage)

        def train(*_: object, meanwhile: Callable[[], object], **__: object) -> Any:
            meanwhile()
            return record("train")(), "container"

        def services(run: Run, _images: object, _volume: object, key: str, _before: object) -> Any:
            return record("services" if key == run.spec.train_key else "steps", "services")()

        @contextmanager
        def serving(*_: object) -> Iterator[Served]:
            made = record("serve")()
            running: Any = SimpleNamespace(container="container", ended=lambda _: None, undisturbed=lambda: None)
            target = Target("127.0.0.1", 1) if made.ready else None
            yield Served(replace(made, interface=builders.INTERFACE), target, running)

        patch("harness.runner.stages.images.collect", record("images"))
        patch("harness.runner.stages.images.bake", record("bake", "images"))
        patch("harness.runner.stages.data.deliver", lambda *_, **__: "volume")
        patch("harness.runner.stages.train.collect", train)
        patch("harness.runner.stages.serve.serving", serving)
        patch("harness.runner.order.read_manifest", record("manifest"))
        patch("harness.runner.order.train_again", record("trainings"))
        patch("harness.runner.stages.quality.warm", lambda *_: None)
        patch("harness.runner.stages.robustness.prepare", lambda *_: None)
        for name in ("packages", "sources", "with_processor", "collect"):
            patch(f"harness.runner.stages.run_environment.{name}", lambda *_, **__: {})
        stages_ = ("data", "tracked", "artifact", "scan", "provenance", "code", "loaded", "contract", "skew", "quality")
        for name in (*stages_, "fuzz", "robustness", "load", "stop"):
            patch(f"harness.runner.stages.{name}.collect", record(name))
        patch("harness.runner.stages.services.collect", services)


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Line_:
    monkeypatch.setattr(order, "_surroundings_beside", _nothing_beside)
    return Line_(tmp_path, monkeypatch)


@contextmanager
def _nothing_beside(*_: object) -> Iterator[None]:
    yield


def judged_once_on_the_last_evidence(line: Line_, verdict: Verdict, evidence: Evidence) -> None:
    """Whatever was told early is what the whole evidence says, and no check was told of twice."""
    assert Counter(verdict.findings) == Counter(line.seen.told)
    assert tuple(judge(evidence, all_checks())) == verdict.findings
    assert {finding.check for finding in verdict.findings} == {check.name for check in all_checks()}


@pytest.mark.parametrize("handover", list(Handover))
@pytest.mark.parametrize("name", SELECTIONS)
def test_a_good_run_passes(line: Line_, handover: Handover, name: str) -> None:
    """With good records every selection passes, and each selected check passes, or is skipped by its own reason."""
    line.handover = handover
    verdict, evidence = line.run(selection=SELECTIONS[name])
    assert verdict.exit_code == 0
    judged_once_on_the_last_evidence(line, verdict, evidence)
    taken = [c.name for c in all_checks() if not SELECTIONS[name].left_out(c)]
    assert not [f for f in verdict.findings if f.check in taken and f.received.startswith("not reached")]


@pytest.mark.parametrize("handover", list(Handover))
@pytest.mark.parametrize("stage", ENDS)
@pytest.mark.parametrize("name", ["all", "fast", "contract", "without images", *SOME])
def test_a_run_that_ends_early_is_never_green(line: Line_, handover: Handover, stage: str, name: str) -> None:
    """Wherever the line ends, by whatever selection: not green, and the check that says why has failed.

    A selection that does not come by that stage is as green as before.
    """
    line.handover = handover
    made, guard = ENDS[stage]
    verdict, evidence = line.run({stage: made}, SELECTIONS.get(name, Selection(only=(name,))))
    judged_once_on_the_last_evidence(line, verdict, evidence)
    came_by = stage in line.seen.done
    assert verdict.exit_code == (1 if came_by else 0)
    assert came_by or handover is Handover.MOUNTED or name != "all"
    statuses = {finding.check: finding.status for finding in verdict.findings}
    assert not came_by or statuses[guard] is Status.FAIL
    if handover is not Handover.MOUNTED and stage in ("train", "artifact"):
        assert statuses["images.built"] is Status.SKIP, "the serving image was never made"


@pytest.mark.parametrize("handover", list(Handover))
@pytest.mark.parametrize("stage", [*ENDS, *(name for name in LINE if name not in ENDS)])
def test_an_error_in_any_stage_is_the_end_of_the_run(line: Line_, handover: Handover, stage: str) -> None:
    """A stage that raises ends the run with the exit code of its error; what was judged before is on disk."""
    if stage == "bake" and handover is Handover.MOUNTED:
        assert stage not in stages(LINE, described())  # nothing is baked
        return

    def full() -> object:
        raise DiskFullError("no space", hint="free some")

    line.handover = handover
    with pytest.raises(DiskFullError):
        line.run({stage: full})
    folder = RunFolder.find(line.folder, "2")
    end = folder.load().end
    assert end is not None
    assert (end.exit_code, end.kind) == (3, "the disk is full")


def test_a_line_that_leaves_something_out_without_a_word_is_an_error(line: Line_) -> None:
    """A defect of the harness itself: nothing failed, but nobody asked the service. The run is not green."""
    verdict, evidence = line.run(then=lambda _: None)
    assert verdict.exit_code == 4
    judged_once_on_the_last_evidence(line, verdict, evidence)
    statuses = {finding.check: finding for finding in verdict.findings}
    assert statuses["contract.examples"].status is Status.ERROR
    assert "not reached" in statuses["contract.examples"].received


@pytest.mark.parametrize("handover", list(Handover))
@pytest.mark.parametrize("stage", ENDS)
def test_a_failure_that_the_project_skips_is_not_green(line: Line_, handover: Handover, stage: str) -> None:
    """`skip` silences a check, not the fact that the run got no further."""
    made, guard = ENDS[stage]
    skipping = described({"skip": {guard: "we know"}})
    line.handover, line.good = handover, replace(line.good, spec=skipping)
    verdict, evidence = line.run({stage: made})
    judged_once_on_the_last_evidence(line, verdict, evidence)
    if stage in line.seen.done:
        assert verdict.exit_code == 4
        assert any(f.status is Status.ERROR and f.received.startswith("not reached") for f in verdict.findings)


# Check -> the stages that its run has; where the artifact is baked in, the bake too.
DOES = {
    "artifact.not-in-git": {"tracked"},
    "data.schema": {"data"},
    "data.no-leakage": {"data"},
    "images.built": {"images"},
    "images.pinned": {"images"},
    "code.unit-tests": {"images", "data", "code"},
    "services.ready": {"images", "data", "train", "artifact"},
    "train.exits-cleanly": {"images", "data", "train"},
    "train.loss-decreases": {"images", "data", "train", "artifact"},
    "artifact.safe": {"images", "data", "train", "artifact", "scan"},
    "train.deterministic": {"images", "data", "train", "artifact", "trainings"},
    "serve.ready": {"images", "data", "train", "artifact", "serve"},
    "contract.examples": {"images", "data", "train", "artifact", "serve", "contract"},
    "code.api": {"images", "data", "train", "artifact", "serve", "skew"},
    "contract.latency": {"images", "data", "train", "artifact", "serve", "contract", "load"},
}
WITH_THE_BAKE = {
    "services.ready",
    "images.built",
    "images.pinned",
    "serve.ready",
    "contract.examples",
    "code.api",
    "contract.latency",
}


@pytest.mark.parametrize("handover", list(Handover))
@pytest.mark.parametrize("name", DOES)
def test_only_does_what_its_check_reads(line: Line_, handover: Handover, name: str) -> None:
    """`--only CHECK` has the stages whose records the check reads, what those start from, and nothing else."""
    line.handover = handover
    line.run(selection=Selection(only=(name,)))
    wanted = DOES[name]
    wanted = wanted | ({"services"} if "train" in wanted else set())
    wanted = wanted | ({"steps"} if "serve" in wanted or name == "services.ready" else set())
    if handover is not Handover.MOUNTED and name in WITH_THE_BAKE:
        wanted = wanted | {"data", "services", "train", "artifact", "bake"}
    assert Counter(line.seen.done) == Counter(wanted)


def test_what_the_project_skips_is_not_done(line: Line_) -> None:
    """A check that the project skips needs no stage: `skip` saves its time."""
    names = [check.name for check in all_checks() if "robustness" in (*check.reads, *check.may_read)]
    line.good = replace(line.good, spec=described({"skip": dict.fromkeys(names, "slow")}))
    verdict, _ = line.run()
    assert verdict.exit_code == 0
    assert "robustness" not in line.seen.done


def test_every_record_of_the_line_has_a_stage() -> None:
    """The plan knows every record that the line makes; what starts from what has no circle."""
    assert {*LINE, "bake", "steps"} == STARTS_FROM.keys()
    for name in LINE:
        assert name in stages([name], BAKED)
        assert name not in _all_before(name)


def _all_before(name: str) -> set[str]:
    return {each for other in STARTS_FROM[name] for each in {other, *_all_before(other)}}


def test_the_plan_of_what_a_project_lacks_is_empty() -> None:
    """Without a quality gate nothing is trained to say that there is none."""
    bare = builders.spec({"quality": None, "data": None})
    assert "services" not in stages(["train", "serve"], bare)
    assert stages(["quality"], bare) == frozenset()
    assert "data" not in stages(["train"], bare)
    assert stages(["serve"], builders.spec(handover=Handover.BAKED)) >= {"bake", "train"}
