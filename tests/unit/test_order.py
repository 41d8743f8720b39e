"""The order of a run, with stages that only hand over their records: where it ends, what it does, what it judges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import builders
import pytest

from harness import order
from harness.checks import all_checks
from harness.errors import DiskFullError
from harness.evidence import RunFolder
from harness.http import Target
from harness.judge import judge
from harness.line import LINE, Line, Verdict, ended
from harness.plan import STARTS_FROM, stages
from harness.records import Evidence, Finding, Selection, StageTime, Status
from harness.spec import Handover, Spec
from harness.stages import Run
from harness.stages.serve import Served

# Stage -> what its record says where the line cannot go on after it, and the check that says so.
ENDS: dict[str, tuple[Any, str]] = {
    "images": (lambda: builders.images(failure="train", images=()), "images.built"),
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
# What people ask for: patterns, and a check of each kind, by what a run must do for it.
SELECTIONS = {
    "all": ALL,
    "fast": FAST,
    "contract": Selection(only=("contract.*",)),
    "without images": Selection(skip=("images.*",)),
    **{check.name: Selection(only=(check.name,)) for check in ONE_EACH.values()},
}
SOME = ("artifact.not-in-git", "data.schema", "images.built", "train.loss-decreases", "serve.ready", "contract.latency")


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
    good: Evidence = field(default_factory=builders.evidence)
    seen: Seen = field(default_factory=Seen)

    def run(
        self,
        selection: Selection = ALL,
        then: Callable[[order.Service], None] | None = None,
        **ends: Callable[[], Any],
    ) -> tuple[Verdict, Evidence]:
        """Go down the line; `ends` are stages by name that do something else."""
        spec = replace(self.good.spec, handover=self.handover)
        run = self._run(spec)
        self._replace(ends)
        line = Line(run, self.seen, selection)
        line.keep("environment", self.good.environment)
        line.keep("lock", self.good.lock)
        with ThreadPoolExecutor() as pool, ended(line):
            order.go(line, run, pool, then or order.judge_service, rebuild=False)
        return line.verdict(), line.evidence

    def _run(self, spec: Spec) -> Run:
        nothing: Any = SimpleNamespace(memory=lambda _: None)
        return Run(
            spec=spec,
            folder=RunFolder.create(self.folder),
            say=self.seen.line,
            engine=nothing,
            compose=nothing,
            labels={},
        )

    def _replace(self, ends: dict[str, Callable[[], Any]]) -> None:
        good, patch = self.good, self.monkeypatch.setattr

        def record(stage: str, field_: str = "") -> Callable[..., Any]:
            return lambda *_, **__: ends[stage]() if stage in ends else getattr(good, field_ or stage)

        def images(*_: object, **__: object) -> Any:
            made = record("images")()
            return replace(made, unbaked="serve" if self.handover is not Handover.MOUNTED else None)

        def train(*_: object, meanwhile: Callable[[], object], **__: object) -> Any:
            meanwhile()
            return record("train")(), "container"

        @contextmanager
        def serving(*_: object) -> Iterator[Served]:
            made = record("serve")()
            running: Any = SimpleNamespace(container="container", ended=lambda _: None)
            target = Target("127.0.0.1", 1) if made.ready else None
            yield Served(replace(made, interface=builders.INTERFACE), target, running)

        patch(order.images_stage, "collect", images)
        patch(order.images_stage, "bake", record("bake", "images"))
        patch(order.data_stage, "deliver", lambda *_, **__: "volume")
        patch(order.train_stage, "collect", train)
        patch(order.serve_stage, "serving", serving)
        patch(order, "read_manifest", record("manifest"))
        patch(order, "train_again", record("trainings"))
        patch(order.quality_stage, "warm", lambda *_: None)
        patch(order.robustness_stage, "prepare", lambda *_: None)
        for name in ("packages", "sources", "with_processor", "collect"):
            patch(order.surroundings_stage, name, lambda *_, **__: {})
        stages_ = ("data", "tracked", "artifact", "scan", "provenance", "code", "loaded", "contract", "skew", "quality")
        for name in (*stages_, "fuzz", "robustness", "load", "stop"):
            patch(getattr(order, f"{name}_stage"), "collect", record(name))


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
    verdict, evidence = line.run(SELECTIONS[name])
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
    verdict, evidence = line.run(SELECTIONS.get(name, Selection(only=(name,))), **{stage: made})
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
        return  # it has no such stage

    def full() -> object:
        raise DiskFullError("no space", hint="free some")

    line.handover = handover
    with pytest.raises(DiskFullError):
        line.run(**{stage: full})
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
    skipping = builders.spec({"skip": {guard: "we know"}})
    line.handover, line.good = handover, replace(line.good, spec=skipping)
    verdict, evidence = line.run(**{stage: made})
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
    "train.exits-cleanly": {"images", "data", "train"},
    "train.loss-decreases": {"images", "data", "train", "artifact"},
    "artifact.safe": {"images", "data", "train", "artifact", "scan"},
    "train.deterministic": {"images", "data", "train", "artifact", "trainings"},
    "serve.ready": {"images", "data", "train", "artifact", "serve"},
    "contract.examples": {"images", "data", "train", "artifact", "serve", "contract"},
    "code.api": {"images", "data", "train", "artifact", "serve", "skew"},
    "contract.latency": {"images", "data", "train", "artifact", "serve", "contract", "load"},
}
WITH_THE_BAKE = {"images.built", "images.pinned", "serve.ready", "contract.examples", "code.api", "contract.latency"}


@pytest.mark.parametrize("handover", list(Handover))
@pytest.mark.parametrize("name", DOES)
def test_only_does_what_its_check_reads(line: Line_, handover: Handover, name: str) -> None:
    """`--only CHECK` has the stages whose records the check reads, what those start from, and nothing else."""
    line.handover = handover
    line.run(Selection(only=(name,)))
    wanted = DOES[name]
    if handover is not Handover.MOUNTED and name in WITH_THE_BAKE:
        wanted = wanted | {"data", "train", "artifact", "bake"}
    assert Counter(line.seen.done) == Counter(wanted)


def test_what_the_project_skips_is_not_done(line: Line_) -> None:
    """A check that the project skips needs no stage: `skip` saves its time."""
    names = [check.name for check in all_checks() if "robustness" in (*check.reads, *check.may_read)]
    line.good = replace(line.good, spec=builders.spec({"skip": dict.fromkeys(names, "slow")}))
    verdict, _ = line.run()
    assert verdict.exit_code == 0
    assert "robustness" not in line.seen.done


def test_every_record_of_the_line_has_a_stage() -> None:
    """The plan knows every record that the line makes; what starts from what has no circle."""
    assert {*LINE, "bake"} == STARTS_FROM.keys()
    for name in LINE:
        before = stages([name], builders.spec(handover=Handover.BAKED))
        assert name in before
        assert name == "images" or name not in {
            s for other in before - {name} for s in stages([other], builders.spec())
        }


def test_the_plan_of_what_a_project_lacks_is_empty() -> None:
    """Without a quality gate nothing is trained to say that there is none."""
    bare = builders.spec({"quality": None, "data": None})
    assert stages(["quality"], bare) == frozenset()
    assert "data" not in stages(["train"], bare)
    assert stages(["serve"], builders.spec(handover=Handover.BAKED)) >= {"bake", "train"}
