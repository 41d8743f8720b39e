"""The checks: pure functions of the evidence, each under a name `<subject>.<expectation>`.

In comes the evidence of a run; out come findings, judged in the order of the checks' names.

A check yields findings. Its parameters name the evidence that it reads (fields of
`harness.evidence.records.Evidence`), as a pytest test names its fixtures: one without a default must be there, so
that `harness.checks.judge` can tell "not reached" (skip, with the reason) from "lost" (error); one with the default
None may be missing. Third parties name a module of checks in the entry-point group `harness.checks`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from inspect import Parameter, signature

from harness.evidence.records import Artifact, Evidence, Exit, Finding, Rerun, Status

GROUP = "harness.checks"
ADVICE_LOST = "Nothing is judged by a part of the evidence: print less, write the metrics to a file, or run again."
OWN = (
    *("images", "code", "data", "tables", "services", "train", "learning", "training_variants"),
    *("artifact", "scan", "manifest"),
    *("provenance", "serve", "robustness", "contract", "finite", "volatile", "document", "rejects", "invariance"),
    *("behaviour", "skew", "quality", "fuzz", "load"),
)

Function = Callable[..., Iterator[Finding]]
Metrics = Sequence[Mapping[str, float | int | str | bool | None]]


class LostEvidenceError(Exception):
    """What a check must read is there in part only: raised in a check, it becomes an error, never a verdict."""


@dataclass(frozen=True)
class Check:
    """One check: its name, what it expects in one sentence, the evidence it reads and what it covers."""

    name: str
    sentence: str
    reads: tuple[str, ...]  # fields of Evidence that it cannot do without
    may_read: tuple[str, ...]
    rubric: str  # the item of the ML Test Score (Breck et al. 2017), empty where it has none
    function: Function

    def __call__(self, evidence: Evidence) -> Iterator[Finding]:
        """Judge the evidence."""
        values = {name: getattr(evidence, name) for name in (*self.reads, *self.may_read)}
        try:
            for finding in self.function(**values):
                yield finding.of(self.name)
        except LostEvidenceError as exc:
            yield Finding(Status.ERROR, str(exc), "evidence that is whole", ADVICE_LOST).of(self.name)


def check(name: str, *, rubric: str = "") -> Callable[[Function], Check]:
    """Make a check of a function; the first line of its docstring is its sentence."""

    def decorate(function: Function) -> Check:
        sentence = (function.__doc__ or "").strip().splitlines()[0]
        parameters = signature(function).parameters.values()
        reads = tuple(p.name for p in parameters if p.default is Parameter.empty)
        may_read = tuple(p.name for p in parameters if p.default is not Parameter.empty)
        return Check(name, sentence, reads, may_read, rubric, function)

    return decorate


def all_checks() -> tuple[Check, ...]:
    """Return the harness's own checks in the order of the line, then those of third parties by name."""
    modules = [import_module(f"{__name__}.{name}") for name in OWN]
    found = [value for module in modules for value in vars(module).values() if isinstance(value, Check)]
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        found += [value for value in vars(entry.load()).values() if isinstance(value, Check)]
    return tuple(found)


def whole_log(ended: Exit | None, *, end_only: bool = False) -> None:
    """Raise LostEvidenceError where the log of a container is not whole; with `end_only` its last lines are enough."""
    if ended is not None and (lost := ended.lost if end_only else ended.unread):
        raise LostEvidenceError(f"the log is not whole: {lost}")


def whole_metrics(record: Artifact | Rerun) -> Metrics:
    """Return the metrics of a training, none where there are none. Raises LostEvidenceError where they are a part."""
    if record.metrics_lost:
        raise LostEvidenceError(f"the metrics are not whole: {record.metrics_error}")
    return record.metrics or ()


def passed(received: str) -> Finding:
    """Find that all is as expected."""
    return Finding(Status.PASS, received)


def skipped(reason: str) -> Finding:
    """Say why a check does not apply."""
    return Finding(Status.SKIP, reason)


def warned(*, expected: str, received: str, advice: str) -> Finding:
    """Find something that was never promised, but that a good project would have."""
    return Finding(Status.WARN, received, expected, advice)


def failed(*, expected: str, received: str, advice: str) -> Finding:
    """Find something broken."""
    return Finding(Status.FAIL, received, expected, advice)
