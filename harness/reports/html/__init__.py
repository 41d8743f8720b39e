"""The report of a run as one HTML file: it needs no network, no script and no font to be read."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from harness.checks import all_checks
from harness.checks.ml_test_score import SECTIONS, title
from harness.checks.ml_test_score import score as rubric_score
from harness.reports.html.cards import ORDER, WORDS, Subject, subjects
from harness.reports.html.conditions import conditions
from harness.reports.html.drift import drift
from harness.reports.html.facts import bases, facts
from harness.reports.html.figure import Group
from harness.reports.html.learning import loss, score
from harness.reports.html.memory import serving, training
from harness.reports.html.plain import clean
from harness.reports.html.predictions import predictions
from harness.reports.html.requests import base_url
from harness.reports.html.speed import latency, steps
from harness.reports.html.timeline import timeline
from harness.reports.html.verdict import outcome, started, took
from harness.reports.run_report import RunReport

__all__ = ["render"]

LONG = 40  # characters, from which on the value of a cell may be broken
_FIGURE = re.compile(r"[-+]?[\d,.]+(e[-+]?\d+)?%?|-")
_DIGEST = re.compile(r"^(sha256:)?[0-9a-f]{64}$")


def render(report: RunReport) -> str:
    """Return the page. Whatever is missing in the run is said in its place; nothing raises for it."""
    style, script = _source("report.css"), _source("report.js")
    found = subjects(report, all_checks())
    return (
        _templates()
        .get_template("report.html")
        .render(
            run=report,
            evidence=report.evidence,
            outcome=outcome(report),
            started=started(report.id),
            took=took(report.evidence.stages),
            bases=bases(report.evidence),
            url=base_url(report.evidence.spec),
            subjects=found,
            counts=_counts(found),
            timeline=Group("stages", "Timeline", (timeline(report.evidence),)),
            groups=tuple(_groups(report)),
            rubric=_rubric(report),
            facts=facts(report.evidence),
            style=style,
            script=script,
            policy=_policy(style, script),
        )
    )


def _groups(report: RunReport) -> Iterator[Group]:
    """Yield the pictures by what they are about."""
    evidence = report.evidence
    scores = score(evidence)
    yield Group("training", "Training", (loss(evidence), *((scores,) if scores else ()), training(evidence)))
    yield Group("quality", "Quality", (*predictions(evidence), conditions(evidence, report.findings)))
    yield Group("serving", "Serving", (latency(evidence), *steps(evidence), serving(evidence)))
    yield Group("columns", "Drift", (drift(evidence),))


def _counts(found: tuple[Subject, ...]) -> list[tuple[str, str, int]]:
    """Return the choices of the filter: value, name and number of findings."""
    statuses = [card.status for subject in found for card in subject.cards]
    return [(status.value, WORDS[status], statuses.count(status)) for status in ORDER if status in statuses]


def _rubric(report: RunReport) -> dict[str, Any]:
    whole = rubric_score(report.findings, all_checks(), report.evidence.spec.block)
    sections = [
        (
            section,
            whole.of(section),
            [(each, title(each.test)) for each in whole.covered if each.test.startswith(f"{section} ")],
        )
        for section in SECTIONS
    ]
    return {"final": whole.final, "sections": sections}


def _source(name: str) -> Markup:
    """Return a file of the package that goes into the page as it is."""
    return Markup((files(__package__) / "templates" / name).read_text(encoding="utf-8"))  # noqa: S704 - our own


def _policy(style: str, script: str) -> str:
    """Return a Content-Security-Policy: the page's own style and script, nothing else, from nowhere."""
    hashes = [base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in (style, script)]
    return (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _templates() -> Environment:
    made = Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: clean(value) if type(value) is str else value,  # all evidence passes here
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["kind"] = _kind
    return made


def _kind(value: str) -> Markup:
    """Return how a cell of a table is set: figures to the right, digests so that they can be told apart."""
    if _FIGURE.fullmatch(value):
        return Markup(' class="number"')
    if _DIGEST.search(value):
        return Markup(' class="digest long-value"')
    return Markup(' class="long-value"') if len(value) > LONG else Markup("")
