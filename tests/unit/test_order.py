"""The order of a run, with stages that only hand over their records: where it ends, what it does, what it judges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, fields, replace
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import builders
import pytest

from harness.checks import Check, all_checks
from harness.checks.judge import judge
from harness.config.spec import Handover, Spec
from harness.errors import DiskFullError
from harness.evidence.records import Companion, Evidence, Finding, Selection, Services, StageTime, Status
from harness.evidence.run_folder import RunFolder
from harness.evidence.stages import STAGES as KNOWN
from harness.evidence.stages import absent
from harness.runner.order import STAGES, Delivered, Trained
from harness.runner.run_state import RunState, Verdict, ended
from harness.runner.scheduler import Scheduler, StageFunction, planned
from harness.runner.stages import Run

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
SOME = ("artifact.not-in-git", "data.schema", "images.built", "train.loss-decreases", "serve.ready", "contract.latency")


def described(block: dict[str, Any] | None = None, **changes: Any) -> Spec:
    """A project with a database that training needs, and a step between training and serving."""
    done, up = {"condition": "service_completed_successfully"}, {"condition": "service_started"}
    train, serve = {"depends_on": {"db": up}}, {"depends_on": {"convert": done}}
    others = {"db": {"image": "db"}, "convert": {"image": "convert", "depends_on": {"train": done}}}
    target = {"data": {"target": "kind", "reference": "reference.csv"}}
    model = {"services": {"train": train, "serve": serve, **others}}
    return builders.spec({**target, **(block or {})}, model, **changes)


def stages(check: Check, spec: Spec) -> frozenset[str]:
    """The stages that a check needs, those alone that make evidence."""
    return frozenset(planned(STAGES, {*check.reads, *check.may_read}, spec) & KNOWN.keys())


BAKED = described(handover=Handover.BAKED)
KINDS = {stages(check, BAKED): check for check in all_checks()}.values()
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
class Fakes:
    """A run of the graph as it is declared, whose stages only hand over good records, one of them what `ends` says."""

    folder: Path
    handover: Handover = Handover.MOUNTED
    good: Evidence = field(default_factory=lambda: builders.evidence(spec=described()))
    seen: Seen = field(default_factory=Seen)
    forgotten: tuple[str, ...] = ()  # stages that are planned and not done: a defect of the harness

    def run(
        self, ends: Mapping[str, Callable[[], Any]] | None = None, selection: Selection = ALL
    ) -> tuple[Verdict, Evidence]:
        """Do what the selection needs; `ends` are stages by name that do something else."""
        spec = replace(self.good.spec, handover=self.handover)
        run = self._run(spec)
        state = RunState(run, self.seen, selection)
        state.keep("environment", self.good.environment)
        state.keep("lock", self.good.lock)
        graph = [self._fake(each, ends or {}) for each in STAGES if each.name not in self.forgotten]
        with ThreadPoolExecutor() as pool, ended(state):
            state.plan(planned(STAGES, state.reads, spec))
            Scheduler(state, graph, pool, {"run": run, "pool": pool, "rebuild": False, "given": {}}, run.cores).go()
        return state.verdict(), state.evidence

    def _run(self, spec: Spec) -> Run:
        nothing: Any = SimpleNamespace(ping=lambda: None)
        return Run(
            spec=spec,
            folder=RunFolder.create(self.folder),
            say=self.seen.line,
            engine=nothing,
            compose=nothing,
            labels={},
        )

    def _fake(self, each: StageFunction, ends: Mapping[str, Callable[[], Any]]) -> StageFunction:
        def work(**given: Any) -> Any:
            assert given.keys() == set(each.parameters)
            if not each.is_recorded:
                return nullcontext() if each.lasts else None
            record = ends[each.name]() if each.name in ends else getattr(self.good, KNOWN[each.name].makes)
            if each.name == "data":
                return Delivered(record, None)
            if each.name == "train":
                given["begun"]()
                return Trained(record, "container")
            return nullcontext(SimpleNamespace(record=record)) if each.lasts else record

        return replace(each, work=work)


@pytest.fixture
def line(tmp_path: Path) -> Fakes:
    return Fakes(tmp_path)


def judged_once_on_the_last_evidence(line: Fakes, verdict: Verdict, evidence: Evidence) -> None:
    """Whatever was told early is what the whole evidence says, and no check was told of twice."""
    assert Counter(verdict.findings) == Counter(line.seen.told)
    assert tuple(judge(evidence, all_checks())) == verdict.findings
    assert {finding.check for finding in verdict.findings} == {check.name for check in all_checks()}


@pytest.mark.parametrize("handover", list(Handover))
@pytest.mark.parametrize("name", SELECTIONS)
def test_a_good_run_passes(line: Fakes, handover: Handover, name: str) -> None:
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
def test_a_run_that_ends_early_is_never_green(line: Fakes, handover: Handover, stage: str, name: str) -> None:
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
@pytest.mark.parametrize("stage", KNOWN)
def test_an_error_in_any_stage_is_the_end_of_the_run(line: Fakes, handover: Handover, stage: str) -> None:
    """A stage that raises ends the run with the exit code of its error; what was judged before is on disk."""
    if stage == "bake" and handover is Handover.MOUNTED:
        assert stage in absent(described())  # nothing is baked
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


def test_a_line_that_leaves_something_out_without_a_word_is_an_error(line: Fakes) -> None:
    """A defect of the harness itself: nothing failed, but nobody asked the service. The run is not green."""
    line.forgotten = tuple(each.name for each in STAGES if {"serve", "contract"} & {*each.parameters})
    verdict, evidence = line.run()
    assert verdict.exit_code == 4
    judged_once_on_the_last_evidence(line, verdict, evidence)
    statuses = {finding.check: finding for finding in verdict.findings}
    assert statuses["contract.examples"].status is Status.ERROR
    assert "not reached" in statuses["contract.examples"].received


@pytest.mark.parametrize("handover", list(Handover))
@pytest.mark.parametrize("stage", ENDS)
def test_a_failure_that_the_project_skips_is_not_green(line: Fakes, handover: Handover, stage: str) -> None:
    """`skip` silences a check, not the fact that the run got no further."""
    made, guard = ENDS[stage]
    skipping = described({"skip": {guard: "we know"}})
    line.handover, line.good = handover, replace(line.good, spec=skipping)
    verdict, evidence = line.run({stage: made})
    judged_once_on_the_last_evidence(line, verdict, evidence)
    if stage in line.seen.done:
        assert verdict.exit_code == 4
        assert any(f.status is Status.ERROR and f.received.startswith("not reached") for f in verdict.findings)


IMAGES = {"images"}
DATA = {"data"}
TRAINED = {"images", "data", "services", "train"}
ARTIFACT = TRAINED | {"artifact"}
SERVED = ARTIFACT | {"steps", "serve"}
ASKED = SERVED | {"contract"}
# Check -> the stages that its run has, in a project with a database beside training and a step behind it.
NEEDS: dict[str, set[str]] = {
    "images.built": IMAGES,
    "images.pinned": IMAGES,
    "code.unit-tests": IMAGES | {"code", "data"},
    "code.features": IMAGES | {"code", "data"},
    "data.pinned": DATA,
    "data.dvc": DATA,
    "data.schema": DATA,
    "data.no-leakage": DATA,
    "data.balanced": DATA,
    "data.drift": DATA,
    "data.no-secrets": DATA,
    "services.ready": ARTIFACT | {"steps"},
    "train.exits-cleanly": TRAINED,
    "train.time": TRAINED,
    "train.memory": TRAINED,
    "train.outside-build": TRAINED,
    "train.loss-finite": ARTIFACT,
    "train.loss-decreases": ARTIFACT,
    "train.overfits-small-batch": ARTIFACT | {"trainings"},
    "train.learns-signal": ARTIFACT | {"trainings"},
    "train.deterministic": ARTIFACT | {"trainings"},
    "train.seed-matters": ARTIFACT | {"trainings"},
    "train.exit-code-truth": ARTIFACT | {"trainings"},
    "train.interruptible": ARTIFACT | {"trainings"},
    "train.hermetic": ARTIFACT | {"trainings"},
    "artifact.present": ARTIFACT,
    "artifact.handed-over": SERVED,
    "artifact.safe": ARTIFACT | {"scan"},
    "artifact.size": ARTIFACT,
    "artifact.not-in-git": {"tracked"},
    "artifact.complete": ARTIFACT | {"manifest"},
    "artifact.loads": SERVED | {"loaded", "manifest"},
    "artifact.provenance": ARTIFACT | {"provenance"},
    "serve.ready": SERVED,
    "serve.ready-is-honest": SERVED | {"robustness"},
    "serve.healthcheck-works": SERVED | {"robustness"},
    "serve.unprivileged": SERVED | {"robustness"},
    "serve.hermetic": SERVED | {"robustness"},
    "serve.stops-gracefully": ASKED | {"stop"},
    "contract.examples": ASKED,
    "contract.conforms": ASKED,
    "contract.recovers": ASKED,
    "contract.finite": ASKED,
    "contract.volatile": ASKED,
    "contract.openapi-valid": ASKED,
    "contract.schema": ASKED,
    "contract.compatible": ASKED,
    "contract.rejects-malformed": ASKED,
    "contract.rejects-deep-nesting": ASKED,
    "contract.rejects-content-type": ASKED,
    "contract.rejects-method": ASKED,
    "contract.rejects-path": ASKED,
    "contract.rejects-missing": ASKED,
    "contract.rejects-unknown": ASKED,
    "contract.rejects-null": ASKED,
    "contract.rejects-wrong-type": ASKED,
    "contract.rejects-boolean": ASKED,
    "contract.rejects-number-as-text": ASKED,
    "contract.rejects-non-finite": ASKED,
    "contract.rejects-huge-integer": ASKED,
    "contract.rejects-empty-batch": ASKED,
    "contract.rejects-oversized": ASKED,
    "contract.batch-invariant": ASKED,
    "contract.row-order": ASKED,
    "contract.field-order": ASKED,
    "contract.repeatable": ASKED,
    "contract.invariance": ASKED,
    "contract.directional": ASKED,
    "contract.minimum": ASKED,
    "contract.skew": ASKED | {"skew"},
    "code.api": SERVED | {"skew"},
    "quality.gate": SERVED | {"quality"},
    "quality.slices": SERVED | {"quality"},
    "quality.beats-baselines": SERVED | {"quality"},
    "contract.fuzz": ASKED | {"fuzz"},
    "contract.latency": ASKED | {"load"},
    "contract.load": ASKED | {"load"},
}


def test_every_check_has_its_stages() -> None:
    """Of every check it is held which stages its run has; where the artifact is baked in, the bake too."""
    assert NEEDS.keys() == {check.name for check in all_checks()}
    for check in all_checks():
        wanted = NEEDS[check.name]
        assert stages(check, described()) == wanted, check.name
        baked = wanted | {"bake"} if "steps" in wanted else wanted
        if {*check.reads, *check.may_read} & {"images"}:  # the record is whole when the serving image is there
            baked = baked | ARTIFACT | {"bake"}
        assert stages(check, BAKED) == baked, check.name


@pytest.mark.parametrize("handover", list(Handover))
@pytest.mark.parametrize("name", [check.name for check in KINDS])
def test_only_does_what_its_check_reads(line: Fakes, handover: Handover, name: str) -> None:
    """`--only CHECK` has the stages whose records the check reads, what those need, and nothing else; each once."""
    line.handover = handover
    line.run(selection=Selection(only=(name,)))
    [check] = [each for each in all_checks() if each.name == name]
    timed = {each.name for each in STAGES if each.is_timed}
    assert Counter(line.seen.done) == Counter(stages(check, replace(line.good.spec, handover=handover)) & timed)


def test_what_the_project_skips_is_not_done(line: Fakes) -> None:
    """A check that the project skips needs no stage: `skip` saves its time."""
    names = [check.name for check in all_checks() if "robustness" in (*check.reads, *check.may_read)]
    line.good = replace(line.good, spec=described({"skip": dict.fromkeys(names, "slow")}))
    verdict, _ = line.run()
    assert verdict.exit_code == 0
    assert "robustness" not in line.seen.done


def test_every_stage_that_is_known_is_done() -> None:
    """The table that reports read and the functions that do the work name the same stages, and there is no circle."""
    assert KNOWN.keys() == {each.name for each in STAGES if each.is_recorded}
    assert {known.makes for known in KNOWN.values()} <= {each.name for each in fields(Evidence)}
    names = [each.name for each in STAGES]
    for number, each in enumerate(STAGES):
        assert set(each.needs(names)) | (set(each.soft) - set(each.late)) <= {*names[:number], *each.late}, each.name


def test_who_may_lack_a_result_says_so() -> None:
    """A stage that a project may lack is a parameter that may be None, wherever it is one."""
    optional = {name for name, known in KNOWN.items() if not known.is_there(builders.spec({"data": None}))}
    assert optional >= {"data", "bake", "services"}
    for each in STAGES:
        for name in {*each.parameters} & optional:
            assert "None" in str(signature(each.work).parameters[name].annotation), f"{each.name}: {name}"


def test_the_plan_of_what_a_project_lacks_is_empty() -> None:
    """Without a quality gate nothing is trained to say that there is none."""
    bare = builders.spec({"quality": None, "data": None})
    assert "services" not in planned(STAGES, ["train", "serve"], bare)
    assert planned(STAGES, ["quality"], bare) & KNOWN.keys() == frozenset()
    assert "data" not in planned(STAGES, ["train"], bare)
    assert planned(STAGES, ["serve"], builders.spec(handover=Handover.BAKED)) >= {"bake", "train"}
