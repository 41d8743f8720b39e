"""Runs the failing part of a recorded run again, with the same seed, options and images, and gives the verdict."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import TypeAdapter

from harness.checks import all_checks
from harness.config.spec import Handover, Spec
from harness.engine import Engine
from harness.engine.compose import Compose
from harness.errors import INTERRUPTED, NOT_REPRODUCED, PASSED, DescriptionError, HarnessError, InfrastructureError
from harness.evidence.records import Ending, Evidence, Finding, Selection
from harness.evidence.records.replay import Outcome, RepeatedFailure, Replay
from harness.evidence.records.run import error_of
from harness.evidence.run_folder import RunFolder, disk_errors, write_atomic
from harness.project.description import load
from harness.project.named_files import verify
from harness.reproduce.replay import recorded as records
from harness.reproduce.replay.environments import differences
from harness.reproduce.replay.matching import FAILURES, RUN, compare, compare_endings
from harness.reproduce.replay.source import Opened
from harness.runner.pipeline import Repeat, run
from harness.runner.run_state import Watcher

FILE = "replay.json"
LISTED = 10


@dataclass(frozen=True)
class Options:
    """How a run is replayed."""

    whole: bool = False  # everything, not only what failed
    anyway: bool = False  # although the project has changed, or the engine is of another platform
    here: bool = False  # with what the Compose files and the variables say here and now


@dataclass(frozen=True)
class Past:
    """What a recorded run left: what failed in it, and how it ended."""

    id: str
    evidence: Evidence
    findings: tuple[Finding, ...]
    ending: Ending | None

    @property
    def failed(self) -> tuple[Finding, ...]:
        """The findings that are to come again."""
        return tuple(finding for finding in self.findings if finding.status in FAILURES)

    @property
    def broke(self) -> Ending | None:
        """The error that ended it, where it has no verdict."""
        return error_of(self.ending)


@dataclass(frozen=True)
class RerunPlan:
    """What is run, and what is to be said of it."""

    spec: Spec
    selection: Selection
    images: Mapping[str, str]
    changed: tuple[str, ...]
    notes: tuple[str, ...]


def replay(given: Opened, watcher: Watcher, options: Options = Options()) -> Replay:
    """Run again what failed; the verdict is also `replay.json` in the folder of the new run.

    Whatever stands in the way is a verdict too: `cannot replay`, with the reason, what to do, and the exit code of its
    kind. Only interrupts and defects of the harness are raised.
    """
    begun: list[RunFolder] = []
    try:
        past = _past(given, options)
        plan = _plan(given, past, options)
        ending = _run(given, plan, watcher, begun)
    except HarnessError as exc:
        return Replay(Outcome.CANNOT_REPLAY, given.id, exc.exit_code, reason=f"{exc}", hint=exc.hint)
    verdict = _judge(past, plan, begun[0], ending, whole=options.whole)
    write_atomic(begun[0].path / FILE, _VERDICT.dump_json(verdict, indent=1).decode() + "\n")
    return verdict


def _past(given: Opened, options: Options) -> Past:
    """Read a recorded run. Raises DescriptionError where there is nothing to replay."""
    evidence, findings, amiss = given.recorded.salvage()
    if evidence is None:
        raise DescriptionError(
            f"{given.recorded.path} cannot be read: {amiss[-1]}", hint="Give the folder of a whole run."
        )
    past = Past(given.id, evidence, findings, evidence.end)
    if past.broke is not None and past.broke.exit_code == INTERRUPTED:
        raise DescriptionError(f"the run {given.id} was interrupted: it has no failure", hint="Run it again.")
    if not evidence.spec.model:
        raise DescriptionError(
            f"the run {given.id} was of a server at a URL: nothing here can start it",
            hint="Repeat it with `harness contract --url`.",
        )
    if past.broke is None and not past.failed and not options.whole:
        raise DescriptionError(f"nothing failed in the run {given.id}", hint="Replay all of it: add --all.")
    return past


def _plan(given: Opened, past: Past, options: Options) -> RerunPlan:
    """Decide what is run, and with what. Raises DescriptionError and InfrastructureError for what stands in the way."""
    spec = records.relocated(past.evidence.spec, given.root)
    verify(given.root, spec.block)
    with Engine.connect() as engine:
        notes = list(_platform(engine, past.evidence, options))
        images = _images(engine, given, past.evidence)
        beside = [image.service for image in past.evidence.images.beside] if past.evidence.images else []
        own = {spec.train_key, *(() if spec.handover is Handover.BAKED else (spec.serve_key,)), *beside}
        built = not own <= images.keys()
        lost = records.missing(past.evidence, given.root, given.absent, built=built)
        if lost and not options.anyway:
            raise _missing(lost)
        notes += [f"missing: {file.path}: {file.how}" for file in lost]
        # What a bundle hides is other text than the run saw, and no change of the project.
        differing = records.changed(past.evidence, given.root, built=True)
        changed = tuple(name for name in differing if name not in given.redacted)
        if changed and not options.anyway:
            raise DescriptionError(
                f"the project changed since the run was recorded: {_listed(changed)}",
                hint=f"Check that state out, or add --anyway to run {past.id} against the files as they are now.",
            )
        if past.evidence.surroundings is None or not past.evidence.surroundings.sources:
            notes.append("the run did not record the project's files: whether they changed is not known")
        if changed or options.here:
            images = {} if changed else images
            spec = load(Compose.find(engine.compose_host), given.root, spec.files)
        else:
            spec, lacking = records.with_secrets(spec, os.environ)
            if (hidden := list(records.hidden_parts(spec))) and not options.anyway:
                raise DescriptionError(
                    f"the bundle hides values that its containers cannot do without: {_listed(hidden)}",
                    hint="Set these variables (`export NAME=value`) and replay again, or go on without: --anyway.\n"
                    "Where they may be told, name them in `x-harness: {bundle: {variables: [...]}}` before packing.",
                )
            if lacking:
                notes.append(f"hidden in the bundle, and not set here: {', '.join(lacking)}")
    return RerunPlan(spec, _selection(past, options), images, changed, tuple(notes))


def _selection(past: Past, options: Options) -> Selection:
    """Return the checks that failed, with the seed, budget and depth of the run; all of its checks to go as far."""
    recorded = past.evidence.selection or Selection()
    if options.whole or past.broke is not None:
        return recorded
    known = {check.name for check in all_checks()}
    names = tuple(dict.fromkeys(finding.check for finding in past.failed if finding.check in known))
    if not names:
        lost = ", ".join(sorted({finding.check for finding in past.failed}))
        raise DescriptionError(f"no check is named {lost} here", hint="Install what adds it, or replay with --all.")
    return replace(recorded, only=names, skip=(), fast=False)


def _platform(engine: Engine, evidence: Evidence, options: Options) -> Iterator[str]:
    """Refuse an engine of another platform than that of the recorded images; yield a note where it goes on anyway."""
    recorded = {image.platform for image in evidence.images.images} if evidence.images else set()
    info = engine.info()
    here = f"{info.get('OSType')}/{info.get('Arch')}"
    if not recorded or here in recorded:
        return
    said = f"the run was on {', '.join(sorted(recorded))}, this engine is {here}"
    if not options.anyway:
        hint = "Replay it on such a machine, or add --anyway: another platform computes other last digits."
        raise InfrastructureError(said, hint=hint)
    yield said


def _images(engine: Engine, given: Opened, evidence: Evidence) -> dict[str, str]:
    """Return the recorded images that this engine has, or that the bundle brings, by service.

    Content counts, not the ID: that depends on the image store. What a run baked is baked anew.
    """
    if evidence.images is None:
        return {}
    loaded: list[str] = []
    for path in given.images.values():
        with disk_errors(path), path.open("rb") as source:
            loaded += engine.load(source)
    spec = evidence.spec
    found: dict[str, str] = {}
    for image in (*evidence.images.images, *evidence.images.beside):
        if image.service == spec.serve_key and spec.handover is not Handover.MOUNTED:
            continue
        for reference in (image.id, *loaded):
            here = engine.image(reference) or {}
            if tuple(here.get("RootFS", {}).get("Layers") or ()) == image.diff_ids and image.diff_ids:
                found[image.service] = str(here["Id"])
                break
    return found


def _run(given: Opened, plan: RerunPlan, watcher: Watcher, begun: list[RunFolder]) -> Ending | None:
    """Run the plan; return the error that ended it, None for a verdict. Raises what is no answer to the question."""
    repeat = Repeat(plan.spec, plan.images, begun.append)
    try:
        run(given.root, plan.spec.files, watcher, plan.selection, repeat=repeat)
    except HarnessError as exc:
        if not begun:
            raise
        return Ending(exc.exit_code, exc.kind, str(exc), exc.hint)
    return None


def _judge(past: Past, plan: RerunPlan, folder: RunFolder, ending: Ending | None, *, whole: bool) -> Replay:
    """Compare the new run with the recorded one."""
    evidence, findings, _ = folder.salvage()
    base = Replay(Outcome.CANNOT_REPLAY, past.id, PASSED, run=folder.id, changed=plan.changed, notes=plan.notes)
    said: list[Finding | str] = list(past.failed)
    if past.broke is not None:
        checks: tuple[RepeatedFailure, ...] = (compare_endings(past.broke, ending, findings),)
        said.append(f"{past.broke.kind} {past.broke.message}")
    else:
        checks = compare(past.failed, findings)
    if evidence is not None:
        said += _tails(past.evidence)
        base = replace(base, differences=differences(past.evidence, evidence, said))
    reproduced = all(each.is_same for each in checks)
    stopped = ending is not None and not (past.broke is not None and reproduced)
    if stopped and ending is not None and ending.exit_code == InfrastructureError.exit_code:
        return replace(base, exit_code=ending.exit_code, reason=ending.message, hint=ending.hint)
    also = _also(past, findings)
    if not past.failed and past.broke is None:
        reproduced = not also and ending is None
    return replace(
        base,
        outcome=Outcome.REPRODUCED if reproduced else Outcome.NOT_REPRODUCED,
        exit_code=PASSED if reproduced else NOT_REPRODUCED,
        reason=f"the replay ended before: {ending.kind}: {ending.message}" if stopped and ending else "",
        hint=ending.hint if stopped and ending else "",
        checks=checks,
        also=also if whole else (),
    )


def _also(past: Past, findings: Sequence[Finding]) -> tuple[str, ...]:
    """Return the checks that failed only now."""
    before = {finding.check for finding in past.failed} | {RUN}
    return tuple(dict.fromkeys(f.check for f in findings if f.status in FAILURES and f.check not in before))


def _tails(evidence: Evidence) -> list[str]:
    """Return what the containers that ended badly said last: it often names the cause that the check does not."""
    tails: list[str] = []
    if evidence.train is not None and evidence.train.exit.code != 0:
        tails += [evidence.train.exit.describe(), *evidence.train.exit.log_tail]
    if evidence.serve is not None and not evidence.serve.ready:
        tails += evidence.serve.log_tail
        tails += [evidence.serve.died.describe()] if evidence.serve.died else []
    return tails


def _missing(files: Sequence[records.MissingFile]) -> DescriptionError:
    lines = [f"{file.path}: {file.how}" for file in files[:LISTED]]
    return DescriptionError(
        f"{len(files)} files that the run was made of are missing: {_listed([file.path for file in files])}",
        hint="\n".join([*lines, "A bundle finds them by --project DIR; or add --anyway to go on without."]),
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


_VERDICT = TypeAdapter(Replay)
