"""Two runs beside each other: findings that changed, and what differs in what they measured and were made of; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.evidence.measurements import latencies, metrics, size, trained
from harness.evidence.records import Evidence, Finding, Status

BAD = (Status.FAIL, Status.ERROR)
GOOD = (Status.PASS, Status.WARN)
ORDER = (Status.FAIL, Status.ERROR, Status.WARN, Status.PASS, Status.SKIP)  # the worst first
SHORT = 12  # digits of a digest for people
FILES = 50  # of an artifact, by name

NamedValues = dict[str, str | float]


class Turn(StrEnum):
    """How the verdict of a check changed, the most important first."""

    REGRESSED = "now fails"  # it was judged and did not fail before
    NEW = "fails, and was not judged before"
    MENDED = "mended"
    LOST = "no longer judged"
    CHANGED = "changed"


@dataclass(frozen=True)
class Turned:
    """One check whose verdict changed; a status is None where the run has no finding of it."""

    check: str
    turn: Turn
    before: Status | None
    after: Status | None
    received: str = ""  # the worst finding after, else before


@dataclass(frozen=True)
class ValueDifference:
    """One value that differs; None where a run has none. Numbers are in the unit that the name says."""

    name: str
    before: str | float | None
    after: str | float | None

    @property
    def change(self) -> str:
        """The change of a number, and in parts of what it was."""
        if not isinstance(self.before, int | float) or not isinstance(self.after, int | float):
            return ""
        difference = self.after - self.before
        return f"{difference:+.4g}" + (f" ({difference / abs(self.before):+.1%})" if self.before else "")


@dataclass(frozen=True)
class Section:
    """What two runs have of one kind: how much is equal, and what differs."""

    name: str
    same: int
    differences: tuple[ValueDifference, ...]


@dataclass(frozen=True)
class Comparison:
    """Two runs, `before` and `after` by their IDs."""

    before: str
    after: str
    turned: tuple[Turned, ...]
    unchanged: int  # checks with the same verdict
    sections: tuple[Section, ...]

    @property
    def regressed(self) -> tuple[Turned, ...]:
        """The checks that passed and now fail."""
        return tuple(each for each in self.turned if each.turn is Turn.REGRESSED)


@dataclass(frozen=True)
class Compared:
    """One run of a comparison."""

    id: str
    evidence: Evidence
    findings: tuple[Finding, ...]


def compare(before: Compared, after: Compared) -> Comparison:
    """Compare two runs; what only one of them has is a difference too."""
    turned, unchanged = _turned(before.findings, after.findings)
    sections = tuple(_section(name, facts(before.evidence), facts(after.evidence)) for name, facts in KINDS.items())
    return Comparison(before.id, after.id, turned, unchanged, sections)


def _turned(before: Sequence[Finding], after: Sequence[Finding]) -> tuple[tuple[Turned, ...], int]:
    old, new = _worst(before), _worst(after)
    names = list(dict.fromkeys([*new, *old]))
    turned = [_turn(name, old.get(name), new.get(name)) for name in names if _status(old, name) != _status(new, name)]
    turned.sort(key=lambda each: list(Turn).index(each.turn))
    return tuple(turned), len(names) - len(turned)


def _status(found: Mapping[str, Finding], name: str) -> Status | None:
    return found[name].status if name in found else None


def _worst(findings: Sequence[Finding]) -> dict[str, Finding]:
    """Return the worst finding of each check."""
    found: dict[str, Finding] = {}
    for finding in findings:
        known = found.get(finding.check)
        if known is None or ORDER.index(finding.status) < ORDER.index(known.status):
            found[finding.check] = finding
    return found


def _turn(check: str, was: Finding | None, now: Finding | None) -> Turned:
    before, after = (was.status if was else None), (now.status if now else None)
    turn = Turn.LOST if after in (None, Status.SKIP) else Turn.CHANGED
    if after in BAD and before not in BAD:
        turn = Turn.REGRESSED if before in GOOD else Turn.NEW
    elif after in GOOD and before in BAD:
        turn = Turn.MENDED
    shown = now or was
    return Turned(check, turn, before, after, shown.received if shown else "")


def _section(name: str, before: NamedValues, after: NamedValues) -> Section:
    names = list(dict.fromkeys([*after, *before]))
    differing = [n for n in names if repr(before.get(n)) != repr(after.get(n))]  # so that NaN is equal to NaN
    return Section(
        name, len(names) - len(differing), tuple(ValueDifference(n, before.get(n), after.get(n)) for n in differing)
    )


def _metrics(evidence: Evidence) -> NamedValues:
    found: NamedValues = {metric.name: metric.value for metric in metrics(evidence)}
    return found | {f"training: {name}": value for name, value in trained(evidence).items()}


def _times(evidence: Evidence) -> NamedValues:
    whole = max((stage.start + stage.seconds for stage in evidence.stages), default=0.0)
    found: NamedValues = {"whole run, s": round(whole, 1)} if whole else {}
    return found | {f"{stage.name}, s": round(stage.seconds, 1) for stage in evidence.stages if stage.seconds}


def _service(evidence: Evidence) -> NamedValues:
    found: NamedValues = {f"latency {name}, ms": round(value * 1000, 2) for name, value in latencies(evidence).items()}
    for step in evidence.load.steps if evidence.load else ():
        found[f"answers a second of {step.clients or 0} clients"] = round(step.throughput, 1)
    if evidence.train is not None and evidence.train.peak is not None:
        found["memory of training, MB"] = round(evidence.train.peak / 1e6, 1)
    if evidence.serve is not None:
        found["seconds until ready"] = round(evidence.serve.seconds, 2)
    return found


def _images(evidence: Evidence) -> NamedValues:
    if evidence.images is None:
        return {}
    found: NamedValues = {}
    for image in evidence.images.images:
        found[f"{image.service}: size, MB"] = round(image.size / 1e6, 1)
        found[f"{image.service}: platform"] = image.platform
        found |= {f"{image.service}: layer {n}": _digest(layer) for n, layer in enumerate(image.diff_ids, start=1)}
    for base in evidence.images.bases:
        found[f"{base.service}: base"] = base.reference + (f", packages {base.local[:SHORT]}" if base.local else "")
    return found | {name: _digest(digest) for name, digest in evidence.images.requirements.items()}


def _data(evidence: Evidence) -> NamedValues:
    data = evidence.data
    if data is None:
        return {}
    files = {f"{file.path}": f"{size(file.size)}, {_digest(file.sha256)}" for file in data.files[:FILES]}
    return {"SHA-256": _digest(data.sha256), "rows": data.rows, "files": len(data.files), **files}


def _artifact(evidence: Evidence) -> NamedValues:
    if evidence.artifact is None:
        return {}
    files = evidence.artifact.files
    listed = {file.path: f"{size(file.size)}, {_digest(file.sha256)}" for file in files[:FILES]}
    return {"size, bytes": sum(file.size for file in files), "files": len(files), **listed}


def _packages(evidence: Evidence) -> NamedValues:
    loaded = evidence.loaded
    return {"python": loaded.python, **loaded.packages} if loaded else {}


def _machine(evidence: Evidence) -> NamedValues:
    environment = evidence.environment
    found: NamedValues = {}
    if environment is not None:
        found |= {name: str(getattr(environment, name)) for name in ENVIRONMENT} | {"cores": environment.cores}
        found["memory, MB"] = round(environment.memory / 1e6)
    if evidence.provenance is not None:
        found["commit"] = evidence.provenance.commit[:SHORT] + (" with changes" if evidence.provenance.dirty else "")
    return found


def _digest(text: str) -> str:
    return text.removeprefix("sha256:")[:SHORT]


ENVIRONMENT = ("harness", "python", "host", "engine", "api", "compose", "storage")
KINDS: Mapping[str, Callable[[Evidence], NamedValues]] = {
    "metrics": _metrics,
    "times": _times,
    "service": _service,
    "images": _images,
    "data": _data,
    "artifact": _artifact,
    "packages": _packages,
    "machine": _machine,
}
