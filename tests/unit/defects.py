"""The table "check, defect, caught": made of the tests that prove that a check notices a defect.

`@pytest.mark.defect(check, defect)` says what a test proves. The mark alone proves nothing: while such a test runs,
the findings are heard, and a test whose check did not find the defect fails; so does one in which other checks failed
too, unless the mark names them. `pytest --collect-only --defects FILE` writes the table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from harness.checks import Check, all_checks
from harness.evidence.records import Evidence, Finding, Status

Proof = Literal["project", "server", "file", "evidence"]
# What carries the defect: a project that runs in containers, a server that is asked over HTTP, files on disk, or the
# record that a stage would have written. The last cannot show that no other check fails.
PROOFS: tuple[Proof, ...] = ("project", "server", "file", "evidence")
HEAD = """\
# Which check catches which defect

Made from the marks of the tests by `pytest --collect-only -q --defects tests/DEFECTS.md tests`; a test fails when this
file is old, and when a check has no line. While a marked test runs, the findings are heard: a test in which its check
does not find the defect fails, and so does one in which another check fails too (those named in brackets may).

*Proof*: a **project** that is built, trained and served in containers; a **server** that is asked over HTTP; a
**file** or folder that is read; **evidence**, the record that a stage would have written, quoted by what the finding
says. *Caught* is what comes of it: most defects fail, what nobody promised is a warning. *Run* is the first that proves
it: `tox`, the default one, or `tox -e nightly`; every check has a defect in the default run.

The reference project fails none of them: `tests/engine/core/test_reference.py`. So do the good project, service and
dataset beside each group of defects.
"""


@dataclass(frozen=True)
class Claim:
    """What a test says that it proves."""

    check: str
    defect: str
    proof: Proof
    status: str
    also: tuple[str, ...]  # other checks that the same defect fails
    test: str
    nightly: bool = False

    @classmethod
    def of(cls, item: pytest.Item) -> Iterator[Claim]:
        """Read the marks of a test."""
        for mark in item.iter_markers("defect"):
            check, defect = mark.args
            kind: Proof = "project" if item.get_closest_marker("engine") else "evidence"
            given: dict[str, Any] = {"proof": kind, "status": "fail", "also": ()} | dict(mark.kwargs)
            name = f"{item.path.name}::{item.originalname if isinstance(item, pytest.Function) else item.name}"
            later = item.get_closest_marker("nightly") is not None
            yield cls(check, " ".join(defect.split()), test=name, nightly=later, **given)

    def missing(self, seen: Seen) -> str:
        """Say what the test did not show; empty where it did."""
        if self.status not in seen.statuses.get(self.check, ()):
            return f"{self.check} did not {self.status} on: {self.defect}; seen: {dict(seen.statuses)}"
        others = {name for name, found in seen.statuses.items() if {"fail", "error"} & found}
        more = others - {self.check, *self.also}
        if more and self.proof != "evidence":
            return f"{', '.join(sorted(more))} failed too on: {self.defect}"
        return ""


@dataclass
class Seen:
    """The findings that a test caused: check -> statuses."""

    statuses: dict[str, set[str]] = field(default_factory=dict)

    def add(self, check: str, status: str) -> None:
        """Hear a finding."""
        self.statuses.setdefault(check, set()).add(status)

    def read(self, findings: Path) -> None:
        """Hear the findings of a run that another process made."""
        for finding in json.loads(findings.read_text(encoding="utf-8")):
            self.add(finding["check"], finding["status"])


RUN = re.compile(r"(\w)\1{9,}")
QUOTED = 60  # characters of a finding in the table
KEY = pytest.StashKey[Seen]()
PART = pytest.StashKey[bool]()  # of a session: tests were deselected


def defect(
    check: str, what: str, *, proof: Proof | None = None, status: str = "fail", also: Sequence[str] = ()
) -> pytest.MarkDecorator:
    """Mark a test, or a set of its parameters, as the proof that a check catches a defect."""
    given: dict[str, Any] = {"status": status, "also": tuple(also)} | ({"proof": proof} if proof else {})
    return pytest.mark.defect(check, what, **given)


def shows(check: str, status: Status, received: str) -> tuple[pytest.MarkDecorator, ...]:
    """Mark evidence whose finding says `received` as a proof; what passes or is skipped proves nothing."""
    if str(status) not in ("fail", "warn"):
        return ()
    text = RUN.sub(r"\1\1\1...", " ".join(received.split()))  # a made-up hash
    return (defect(check, f"“{text if len(text) <= QUOTED else text[:QUOTED] + '...'}”", status=str(status)),)


@contextmanager
def listening(seen: Seen) -> Iterator[None]:
    """Hear what the checks find in this process."""
    original = Check.__call__

    def call(self: Check, evidence: Evidence) -> Iterator[Finding]:
        for finding in original(self, evidence):
            seen.add(self.name, str(finding.status))
            yield finding

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Check, "__call__", call)
        yield


def table(claims: Sequence[Claim]) -> str:
    """Return the Markdown table, in the order of the checks."""
    order = [check.name for check in all_checks()]
    unique: dict[tuple[str, str, str], Claim] = {}
    for claim in claims:  # of several tests with one claim a test of the default run is named
        key = (claim.check, claim.defect, claim.proof)
        if claim.nightly <= unique.get(key, claim).nightly:
            unique[key] = claim
    found = sorted(unique.values(), key=lambda c: (order.index(c.check), PROOFS.index(c.proof)))
    strong = {c.check for c in found if c.proof != "evidence"}
    at_once = sum(not c.nightly for c in found)
    lines = [
        HEAD,
        f"{len(found)} defects for {len(order)} checks, {len(strong)} of which have a project, a server or a file.",
        f"The default run proves {at_once} of the defects.",
        "",
        "| check | defect | proof | caught | by | run |",
        "|---|---|---|---|---|---|",
    ]
    for claim in found:
        also = f" (also {', '.join(claim.also)})" if claim.also else ""
        caught, run = f"{claim.status}{also}", "`tox -e nightly`" if claim.nightly else "`tox`"
        cells = (f"`{claim.check}`", claim.defect, claim.proof, caught, f"`{claim.test}`", run)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


# --- the plug-in


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--defects`."""
    parser.addoption(
        "--defects", type=Path, metavar="FILE", help="write the table of checks and defects; the claims, if *.json"
    )


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Note that the session does not run all that it collected."""
    for item in items[:1]:
        item.session.stash[PART] = True


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write the table, or what it is made of."""
    file: Path | None = session.config.getoption("--defects")
    if file is not None:
        claims = claims_of(session)
        text = json.dumps([asdict(claim) for claim in claims]) if file.suffix == ".json" else table(claims)
        file.write_text(text, encoding="utf-8")


def claims_of(session: pytest.Session, folder: Path = Path("/")) -> list[Claim]:
    """Return what the tests of a session claim, or those of them in a folder."""
    return [claim for item in session.items if item.path.is_relative_to(folder) for claim in Claim.of(item)]


def is_whole(session: pytest.Session, folder: Path) -> bool:
    """Whether a session has every test of a folder: none was deselected, or left out on the command line."""
    files = {item.path for item in session.items}
    named_alone = any("::" in argument for argument in session.config.args)
    return files >= set(folder.glob("test_*.py")) and not named_alone and PART not in session.stash


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Fail a marked test that does not show what its mark says."""
    claims = tuple(Claim.of(item))
    if not claims:
        return (yield)
    seen = item.stash.setdefault(KEY, Seen())
    with listening(seen):
        result = yield
    lacking = [text for claim in claims if (text := claim.missing(seen))]
    assert not lacking, "\n".join(lacking)
    return result


@pytest.fixture
def seen(request: pytest.FixtureRequest) -> Seen:
    """What a test's checks found: for those who run them in another process."""
    return request.node.stash.setdefault(KEY, Seen())  # type: ignore[no-any-return]
