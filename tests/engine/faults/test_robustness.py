"""How services start, what they need and how they stop: each fault fails its own check, a good service none."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from defects import defect

from harness.checks import all_checks
from harness.checks.judge import judge_one
from harness.client.http import send
from harness.engine import Engine as Connection
from harness.engine import labels
from harness.engine.compose import Compose
from harness.evidence.records import Contract, Evidence, Finding, Start
from harness.evidence.run_folder import RunFolder
from harness.project.description import load
from harness.runner.stages import Run, artifact, data, images, robustness, serve, stop, train

from ..support import REPO, Engine, Mini, merged, nightly

# The SDK leaves the sockets of its streams to the garbage collector.
pytestmark = [
    pytest.mark.engine,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

CHECKS = {check.name: check for check in all_checks()}
NAMES = (
    "serve.ready-is-honest",
    "serve.healthcheck-works",
    "serve.unprivileged",
    "serve.hermetic",
    "serve.stops-gracefully",
)
ASK = "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/health', timeout=1)"
HEALTHY = {"test": ["CMD", "python3", "-c", ASK], "interval": "1h"}
# Each prediction takes a moment, so that some are under way when the signal comes.
GOOD: dict[str, Any] = {"services": {"serve": {"healthcheck": HEALTHY, "environment": {"DELAY": "0.2"}}}}
LAX: dict[str, Any] = {"x-harness": {"contract": {"strict": False}}}

Serve = Callable[[Path], Evidence]


@pytest.fixture
def serve_it(base: str, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Go down the line as `pipeline` does, up to the end of the service, and return the evidence."""
    monkeypatch.setenv("BASE_IMAGE", base)

    def go(project: Path) -> Evidence:
        with Connection.connect() as connection:
            compose = Compose.find(connection.compose_host)
            spec = load(compose, project, ())
            folder = RunFolder.create(spec.root)
            marks = labels.labels_of_run(folder.id, spec.project)
            run = Run(
                spec=spec,
                folder=folder,
                say=lambda _stage, _line: None,
                engine=connection,
                compose=compose,
                labels=marks,
            )
            try:
                found = _line(run)
            finally:
                for thing in connection.labelled(f"{labels.RUN_ID}={folder.id}"):
                    connection.remove(thing)
                connection.remove_image(images.baked_name(run))
            left = connection.labelled(f"{labels.RUN_ID}={folder.id}")
        assert left == []
        for field in ("serve", "robustness", "stop"):  # what was recorded can be read again
            folder.write(field, getattr(found, field))
        folder.write("spec", spec)
        again = folder.load()
        assert (again.serve, again.robustness, again.stop) == (found.serve, found.robustness, found.stop)
        assert engine.containers(spec.project, running=False) == []
        return found

    return go


def _line(run: Run) -> Evidence:
    built = images.collect(run, rebuild=False)
    rows = data.collect(run.spec)
    volume = data.deliver(run, rows, built.of(run.spec.train_key).id)
    trained, container = train.collect(run, built, volume)
    artifact.collect(run, container, trained.exit)
    if run.spec.block.serve.bake is not None:
        built = images.bake(run, built)
    evidence = Evidence(spec=run.spec)
    with serve.serving(run, built, volume) as served:
        spoken = served.record.interface
        assert served.target is not None
        assert spoken is not None
        prepared = robustness.prepare(run, built, volume, served.record)
        request = json.dumps(run.spec.examples[0].request).encode()
        case = f"example:{run.spec.examples[0].name}"
        known = send(served.target, spoken.predict, case=case, method="POST", body=request)
        asked = Contract(exchanges=(known,), interface=spoken, document=None)
        robust = robustness.collect(run, prepared, served.record)
        stopped = stop.collect(run, served.running, served.target, asked)
    return replace(evidence, serve=served.record, contract=asked, robustness=robust, stop=stopped)


def judged(evidence: Evidence) -> dict[str, Finding]:
    """Check -> its first finding."""
    return {name: next(iter(judge_one(evidence, CHECKS[name]))) for name in NAMES}


def start_of(evidence: Evidence, name: str) -> Start:
    assert evidence.robustness is not None
    start = evidence.robustness.start(name)
    assert start is not None
    return start


def test_a_good_service_passes_all(mini: Mini, serve_it: Serve) -> None:
    """A good service passes all five checks under `strict`, with requests in flight when the signal comes."""
    evidence = serve_it(mini(GOOD))
    findings = judged(evidence)
    assert {f.status for f in findings.values()} == {"pass"}, findings
    assert evidence.stop is not None
    assert evidence.stop.in_flight
    assert evidence.stop.code == 0
    assert evidence.robustness is not None
    assert evidence.robustness.uid == 10001
    assert [s.name for s in evidence.robustness.starts] == ["hermetic", "artifact-missing", "artifact-truncated"]


FAULTS: list[tuple[str, dict[str, Any], tuple[str, str]]] = [
    ("lies-about-ready", {}, ("serve.ready-is-honest", "GET /health: 200, and then POST /predict: 503")),
    ("serves-without-model", {}, ("serve.ready-is-honest", "ready and even predicts")),
    ("ready-without-model", {}, ("serve.ready-is-honest", "GET /health: 200; POST /predict: 500")),
    ("ignores-sigterm", {"stop_grace_period": "1s"}, ("serve.stops-gracefully", "did not end and was killed")),
    ("drops-on-sigterm", {}, ("serve.stops-gracefully", "lost, such as ")),
    ("", {"healthcheck": {"test": ["CMD", "true"]}}, ("serve.healthcheck-works", "finds every service healthy")),
    (
        "",
        {"healthcheck": {"test": "curl --fail http://127.0.0.1:8080/health || exit 1"}},
        ("serve.healthcheck-works", "exit code 1: "),
    ),
    (
        "",
        {"healthcheck": {"test": ["CMD", "curl", "127.0.0.1:8080"]}},
        ("serve.healthcheck-works", "cannot be run"),
    ),
    ("", {"user": "0:0"}, ("serve.unprivileged", "user ID 0")),
    ("needs-writable-root", {}, ("serve.hermetic", "read-only: exit code 1")),
    ("needs-network", {}, ("serve.hermetic", "no-network: exit code 1")),
]
AT_ONCE = {check: case for case in FAULTS for check in [case[2][0]]}.values()  # the last of each check


@pytest.mark.parametrize(
    ("fault", "change", "expected"),
    [
        (pytest.param if case in AT_ONCE else nightly)(
            *case, marks=[defect(case[2][0], case[0] or "; ".join(f"{k}: {v}" for k, v in case[1].items()))]
        )
        for case in FAULTS
    ],
)
def test_each_fault_fails_its_own_check(
    fault: str, change: Mapping[str, Any], expected: tuple[str, str], mini: Mini, serve_it: Serve
) -> None:
    """Under `strict` the check of the fault fails with what happened, and the four others pass."""
    check, received = expected
    evidence = serve_it(mini(merged(GOOD, {"services": {"serve": change}}), fault=fault))
    findings = judged(evidence)
    assert [name for name, f in findings.items() if f.status != "pass"] == [check], findings
    assert findings[check].status == "fail"
    assert received in findings[check].received
    assert findings[check].advice


@pytest.mark.nightly
def test_a_service_that_needs_root(mini: Mini, serve_it: Serve) -> None:
    """Two checks warn about a service that changes an owner at its start, and name the rungs that do not hold."""
    evidence = serve_it(mini(merged(GOOD, merged(LAX, {"services": {"serve": {"user": "0:0"}}})), fault="needs-root"))
    findings = judged(evidence)
    assert {name for name, f in findings.items() if f.status == "warn"} == {"serve.unprivileged", "serve.hermetic"}
    assert {f.status for f in findings.values()} == {"pass", "warn"}
    held = {rung: start_of(evidence, rung).answered for rung in robustness.RUNGS}
    assert held == {"no-network": True, "read-only": True, "arbitrary-uid": False, "no-capabilities": False}
    assert "Operation not permitted" in findings["serve.hermetic"].received


@pytest.mark.nightly
def test_a_service_that_is_silent_without_its_model(mini: Mini, serve_it: Serve) -> None:
    """A service that neither ends nor answers without its artifact is warned about, after a bounded time."""
    short = {"x-harness": {"serve": {"timeout": "5s"}}}
    evidence = serve_it(mini(merged(GOOD, merged(LAX, short)), fault="silent-without-model"))
    finding = judged(evidence)["serve.ready-is-honest"]
    assert finding.status == "warn"
    assert "neither ended nor answered within" in finding.received
    assert 5 <= start_of(evidence, "artifact-missing").seconds < 10


@pytest.mark.nightly
def test_a_baked_artifact_is_hidden_too(mini: Mini, serve_it: Serve) -> None:
    """An artifact in the image is hidden by an empty volume, which the engine must not fill from the image."""
    evidence = serve_it(mini.copy(REPO / "tests/projects/baked"))
    findings = judged(evidence)
    assert findings["serve.ready-is-honest"].status == "pass"
    assert start_of(evidence, "artifact-missing").exit is not None
    assert "No such file" in "\n".join(start_of(evidence, "artifact-missing").log_tail)
    assert "json.decoder" in "\n".join(start_of(evidence, "artifact-truncated").log_tail)
    assert findings["serve.stops-gracefully"].status in ("pass", "warn")


@pytest.mark.nightly
def test_a_single_file_in_a_volume(mini: Mini, serve_it: Serve) -> None:
    """Of an artifact that is one file in a volume, the volume is replaced; it has no metrics below it."""
    evidence = serve_it(mini(merged(GOOD, {"x-harness": {"train": {"artifact": "/model/model.json"}}})))
    for name in ("artifact-missing", "artifact-truncated"):
        start = start_of(evidence, name)
        assert (start.impossible, start.ready) == ("", False)
        assert start.exit is not None
    assert "JSONDecodeError" in "\n".join(start_of(evidence, "artifact-truncated").log_tail)
