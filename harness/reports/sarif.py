"""SARIF 2.1.0 (OASIS) of what code scanning is about: images, hardening, secrets, what an artifact would load.

Only checks of RULES become results; the others are tests, not properties of the sources. Every rule is listed, also
where it found nothing, so that code scanning closes what is mended. What could not be judged is a notification, as the
standard wants it: silence would read as mended.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any

from harness.checks import Check, all_checks
from harness.errors import CHECK_FAILED
from harness.evidence.records import Finding, Status
from harness.evidence.records.run import JUDGED
from harness.reports.cases import WELL, Case, cases, explain
from harness.reports.foreign import as_json
from harness.reports.run_report import Place, RunReport
from harness.reports.text import plain, shorten

NAME = "ml-container-harness"
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
# Check or pattern -> severity as code scanning of GitHub ranks it, 0 to 10.
RULES: Mapping[str, float] = {
    "images.*": 5.0,
    "train.hermetic": 4.0,
    "train.outside-build": 3.0,
    "serve.unprivileged": 6.0,
    "serve.hermetic": 4.0,
    "serve.healthcheck-works": 3.0,
    "artifact.safe": 9.0,
    "artifact.not-in-git": 3.0,
    "artifact.handed-over": 5.0,
    "artifact.provenance": 4.0,
    "data.no-secrets": 8.0,
}
LEVELS = {Status.FAIL: "error", Status.ERROR: "error", Status.WARN: "warning"}
HINTS = {
    "images": "Pin what an image is built from, and build it from clean steps.",
    "train": "Give the train service only what training needs: no network, no root, no writable root file system.",
    "serve": "Give the serve service only what serving needs, and a user of its own.",
    "artifact": "Save models in forms that load nothing but the model, and keep them outside git.",
    "data": "Keep secrets out of the dataset; replace a leaked key.",
}
MAX_TEXT = 4000  # characters
# What differs from run to run, or from version to version, while the problem is the same.
CHANGING = re.compile(r"\b[0-9a-f]{7,64}\b|\d+")


def render(report: RunReport) -> str:
    """Return `results.sarif` of a run."""
    rules = [check for check in all_checks() if _severity(check.name)]
    index = {check.name: number for number, check in enumerate(rules)}
    found = [case for case in cases(report) if case.check in index]
    environment = report.evidence.environment
    driver: dict[str, Any] = {"name": NAME, "rules": [_rule(check) for check in rules]}
    if environment is not None:
        driver["version"] = environment.harness
    run = {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"{NAME}/{plain(report.evidence.spec.project)}/{plain(report.id)}"},
        "invocations": [_invocation(report, found)],
        "columnKind": "unicodeCodePoints",
        "results": list(_results(report, found, index)),
        "properties": {"run": plain(report.id)},
    }
    return as_json({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1, ensure_ascii=False) + "\n"


def _severity(name: str) -> float:
    return next((severity for pattern, severity in RULES.items() if fnmatchcase(name, pattern)), 0.0)


def _rule(check: Check) -> dict[str, Any]:
    subject = check.name.partition(".")[0]
    help_text = f"{check.sentence} {HINTS[subject]}"
    return {
        "id": check.name,
        "name": "".join(part.capitalize() for part in re.split(r"[.-]", check.name)),
        "shortDescription": {"text": check.sentence},
        "fullDescription": {"text": help_text},
        "help": {
            "text": f"{help_text} `harness checks` says what the check reads.",
            "markdown": f"{help_text}\n\n`harness checks` says what the check `{check.name}` reads.",
        },
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": ["security", subject], "security-severity": f"{_severity(check.name):.1f}"},
    }


def _invocation(report: RunReport, found: list[Case]) -> dict[str, Any]:
    """Return how the run ended; what was not judged in it, and why."""
    end = report.evidence.end
    whole = end is None or end.kind == JUDGED
    told: dict[str, Any] = {
        "executionSuccessful": whole and (end is None or end.exit_code <= CHECK_FAILED),
        "startTimeUtc": f"{report.started:%Y-%m-%dT%H:%M:%SZ}",
        "endTimeUtc": f"{report.started + timedelta(seconds=report.seconds):%Y-%m-%dT%H:%M:%SZ}",
        "toolExecutionNotifications": [
            {
                "level": "note",
                "message": {"text": _unlinked(case.findings[0].received)},
                "associatedRule": {"id": case.check},
            }
            for case in found
            if case.status is Status.SKIP
        ],
    }
    if end is not None:
        told |= {"exitCode": end.exit_code, "exitCodeDescription": plain(end.kind)}
        if not whole:
            text = _unlinked(f"{end.kind}: {end.message}")
            told["toolExecutionNotifications"].append({"level": "error", "message": {"text": text}})
    return told


def _results(report: RunReport, found: list[Case], index: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    seen: Counter[str] = Counter()
    for case in found:
        for finding, place in zip(case.findings, case.places, strict=True):
            if finding.status in WELL:
                continue
            key = _identity(case.check, finding, place)
            seen[key] += 1
            yield {
                "ruleId": case.check,
                "ruleIndex": index[case.check],
                "level": LEVELS[finding.status],
                "message": {"text": _unlinked(explain(finding)) or case.check},
                "locations": [{"physicalLocation": _location(report, place)}],
                # GitHub tells alerts apart by this one alone; elsewhere it is made of the line's text.
                "partialFingerprints": {"primaryLocationLineHash": f"{key}:{seen[key]}"},
            }


def _unlinked(text: str) -> str:
    """Return a message in which nothing is a link: SARIF 3.11.6 has `[text](target)` in plain texts too."""
    return shorten(text, MAX_TEXT).replace("](", "] (")


def _identity(check: str, finding: Finding, place: Place) -> str:
    """Return what stays the same of a finding from run to run, hashed: neither numbers nor digests nor the line."""
    text = "\0".join((check, place.file, CHANGING.sub("#", plain(finding.expected))))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _location(report: RunReport, place: Place) -> dict[str, Any]:
    from urllib.parse import quote

    path = report.shown(report.evidence.spec.root / place.file)
    return {
        "artifactLocation": {"uri": quote(plain(path)), "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": place.line},
    }
