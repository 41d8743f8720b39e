"""Starts the services that train or serve depends on, as Compose would: each when what it waits for is there."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from harness.config.companions import needed_by, steps
from harness.config.spec import Handover, Spec
from harness.engine.archive import read_files
from harness.errors import EngineUnavailableError, InfrastructureError
from harness.evidence.records import Companion, Exit, FileHash, Images, Services
from harness.evidence.run_folder import disk_errors
from harness.project.description import mount_over
from harness.project.runfile import artifact_mount
from harness.runner.stages import Run, not_for_want_of_disk

STARTED, HEALTHY, COMPLETED = "service_started", "service_healthy", "service_completed_successfully"
CONDITIONS = (STARTED, HEALTHY, COMPLETED)
INTERVAL = 0.05  # seconds between two looks: the engine tells of health in no other way
COURTESY = 20.0  # seconds that a service has to become healthy for those that only want it started
PATIENCE = 120.0  # seconds at least for a service to become healthy
NO_PROCESS = (126, 127)  # exit codes of a container whose command cannot be run
TAIL, KEPT = 40, 1000  # lines of a log in the record, and in its file
LEFT = "steps/artifact"  # in the run folder


@dataclass(frozen=True)
class _Want:
    """What one service asks of another."""

    by: str
    of: str
    condition: str
    required: bool


@dataclass
class _Watch:
    """The services while they come up."""

    run: Run
    containers: Mapping[str, str]
    wants: tuple[_Want, ...]
    begun: dict[str, float] = field(default_factory=dict)
    took: dict[str, float] = field(default_factory=dict)
    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def look(self) -> None:
        """Ask the engine for the state of all that runs, and start what has all that it waits for."""
        for name in self.begun:
            self.states[name] = self.run.engine.inspect(self.containers[name]).get("State", {})
        for name in self.containers:
            if name not in self.begun and name not in self.problems and all(map(self.is_met, self._wants_of(name))):
                self._start(name)

    def is_met(self, want: _Want) -> bool:
        """Whether a service has what it wants of another; what it can do without counts when it has failed."""
        if want.of not in self.begun and want.of not in self.problems:
            return False
        verdict = self._verdict(want)
        if verdict:
            self.problems.setdefault(want.of, verdict)
        if verdict == "":
            self.took.setdefault(want.of, time.monotonic() - self.begun[want.of])
        return verdict == "" or (verdict is not None and not want.required)

    def has_failed(self) -> bool:
        """Whether something is missing that cannot be done without."""
        return any(want.required and want.of in self.problems for want in self.wants)

    def _wants_of(self, name: str) -> list[_Want]:
        return [want for want in self.wants if want.by == name]

    def _start(self, name: str) -> None:
        try:
            self.run.engine.start(self.containers[name])
        except EngineUnavailableError:
            raise
        except InfrastructureError as exc:
            state = self.run.engine.inspect(self.containers[name]).get("State", {})
            if state.get("ExitCode") not in NO_PROCESS:
                raise
            self.problems[name] = f"cannot start: {exc}"
        self.begun[name] = time.monotonic()

    def _verdict(self, want: _Want) -> str | None:
        """Return why a condition will never be fulfilled; empty where it is, None where that is not known yet."""
        name = want.of
        if name in self.problems:
            return self.problems[name]
        state = self.states.get(name)
        if state is None:  # it was started a moment ago
            return None
        seconds = time.monotonic() - self.begun[name]
        over = state.get("Status") in ("exited", "dead")
        health = (state.get("Health") or {}).get("Status", "none")
        if want.condition == COMPLETED:
            return _completed(state, seconds, self.run.spec.block.train.timeout) if not over else _ended(state)
        if want.condition == HEALTHY:
            return _healthy(state, health, seconds, max(PATIENCE, self.run.spec.block.train.timeout))
        return "" if over or health != "starting" or seconds > COURTESY else None


def collect(run: Run, images: Images, data_volume: str | None, key: str, before: Services | None = None) -> Services:
    """Start what train or serve, `key`, depends on and what does not run yet; wait for what `depends_on` asks.

    Return the record, with that of `before` in it. Raises DiskFullError where one of them ran into a full disk.
    """
    spec = run.spec
    names = needed_by(spec, key)
    new = [name for name in names if name not in run.beside]
    made = run.create_beside(key, images.ids(key), data_volume, new) if new else {}
    main = spec.block.train.service if key == spec.train_key else key
    watch = _Watch(run, {name: made.get(name) or run.beside[name] for name in names}, _wants(spec, main, names))
    watch.begun |= dict.fromkeys(run.beside.keys() & set(names), time.monotonic())
    wanted = [want for want in watch.wants if want.by == main]
    while True:
        watch.look()
        if all([watch.is_met(want) for want in wanted]) or watch.has_failed():  # noqa: C419 - each is looked at
            break
        time.sleep(INTERVAL)
    run.beside.update({name: watch.containers[name] for name in watch.begun})
    companions = tuple(_companion(watch, name) for name in names if name in {*new} & {*watch.begun} | {*watch.problems})
    made_between = steps(spec) if key == spec.serve_key else ()
    record = Services((*(before.companions if before else ()), *companions), made_between)
    return record if record.failed or not made_between else Services(record.companions, made_between, _left(run))


def _wants(spec: Spec, main: str, names: Sequence[str]) -> tuple[_Want, ...]:
    services = spec.model["services"]
    return tuple(
        _Want(by, of, str(how.get("condition") or STARTED), how.get("required", True))
        for by in (main, *names)
        for of, how in (services[by].get("depends_on") or {}).items()
        if of in names
    )


def _ended(state: Mapping[str, Any]) -> str:
    return "" if state.get("ExitCode") == 0 else f"ended with exit code {state.get('ExitCode')}"


def _completed(state: Mapping[str, Any], seconds: float, limit: float) -> str | None:
    still = "is still starting again" if state.get("Restarting") else "did not end"
    return f"{still} within {limit:g} s (`train.timeout`)" if seconds > limit else None


def _healthy(state: Mapping[str, Any], health: str, seconds: float, limit: float) -> str | None:
    if health == "healthy":
        return ""
    if state.get("Status") in ("exited", "dead"):
        return f"ended with exit code {state.get('ExitCode')} before it was healthy"
    if health == "none":
        return "has no health check that could say so"
    probes = (state.get("Health") or {}).get("Log") or [{}]
    said = str(probes[-1].get("Output", "")).strip()
    if health == "unhealthy":
        return f"is unhealthy; its health check said: {said}"
    return f"is not healthy within {limit:g} s; its health check said: {said}" if seconds > limit else None


def _companion(watch: _Watch, name: str) -> Companion:
    """Record how a service came up, with what it printed."""
    run, state = watch.run, watch.states.get(name, {})
    lines = run.engine.last_lines(watch.containers[name], KEPT)
    run.folder.write_text(f"services/{name}.txt", "\n".join(lines))
    asked = [want for want in watch.wants if want.of == name]
    seconds = watch.took.get(name, time.monotonic() - watch.begun.get(name, time.monotonic()))
    ended = None
    if state.get("Status") in ("exited", "dead"):
        ended = Exit(
            code=state.get("ExitCode"),
            oom_killed=bool(state.get("OOMKilled")),
            timed_out=False,
            seconds=seconds,
            log_tail=lines[-TAIL:],
            error=str(state.get("Error") or ""),
        )
        not_for_want_of_disk(ended, f"the service {name}")
    problem = watch.problems.get(name, "")
    run.say("services", f"{name}: {problem or (ended.describe() if ended else 'up')} after {seconds:.1f} s")
    return Companion(
        service=name,
        needed_by=tuple(want.by for want in asked),
        condition=max((want.condition for want in asked), key=CONDITIONS.index, default=STARTED),
        seconds=seconds,
        exit=ended,
        log_tail=lines[-TAIL:],
        problem=problem,
        required=any(want.required for want in asked),
    )


def _left(run: Run) -> tuple[FileHash, ...] | None:
    """Copy what the last step that may write there left where serving looks for the artifact."""
    spec, path = run.spec, run.spec.serve_artifact
    own = artifact_mount(spec)
    if spec.handover is not Handover.MOUNTED or path is None or own is None:
        return None
    over = mount_over(spec.model["services"][spec.serve_key], path) or {**own, "target": path}
    inside = PurePosixPath(path).relative_to(over["target"])
    for step in reversed(steps(spec)):
        for mount in spec.model["services"][step].get("volumes") or ():
            if mount.get("source") == over["source"] and not mount.get("read_only"):
                folder, place = run.folder.path / LEFT, str(PurePosixPath(mount["target"], inside))
                with disk_errors(folder):
                    found = read_files(run.engine, run.beside[step], place, folder)
                return found or ()
    return None
