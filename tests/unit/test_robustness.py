"""How a service starts, what it needs and how it stops: the five checks over records, and what the stages compute."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import builders
import pytest
from builders import HEALTH, YES, ended, exchange, robust, serving, stop
from defects import shows

from harness.checks import all_checks
from harness.checks.judge import judge_one
from harness.client.protocols import DIALECTS, PLAIN
from harness.evidence.records import Contract, Evidence, Exchange, Finding, Health, Interface, Start, Status
from harness.runner.stages import health, volumes
from harness.runner.stages import robustness as stage
from harness.runner.stages.stop import clients_for, name_of, number_of

PASS, WARN, FAIL, SKIP = Status.PASS, Status.WARN, Status.FAIL, Status.SKIP
CHECKS = {check.name: check for check in all_checks()}
PLAINLY = Interface("plain", "/health", "/predict")
GONE = ended(code=1, log_tail=("no model",))
LIE = replace(YES, prediction="POST /predict: 503", predicted=503, honest=False)


def _judge(name: str, *, strict: bool = False, **changes: Any) -> list[Finding]:
    evidence = Evidence(
        spec=builders.spec({"contract": {"strict": strict}}),
        serve=serving(asked=(YES,)),
        contract=Contract(exchanges=(exchange(),), interface=PLAINLY, document=None),
        robustness=robust(),
        stop=stop(),
    )
    return list(judge_one(replace(evidence, **changes), CHECKS[name]))


LOST = exchange(status=None, body=b"", error="RemoteDisconnected: closed")
OTHER = exchange(body={"predictions": [0.5]})
CLOSE = exchange(body={"predictions": [0.25 + 1e-12]})
DOWN = Start("hermetic", exit=GONE, log_tail=("cannot write /cache",))
HELD = [Start(rung, ready=True, answered=True) for rung in stage.RUNGS]
UNREACHED = Start("no-network", impossible="no way to reach it")

GOOD: list[tuple[str, dict[str, Any]]] = [
    ("serve.ready-is-honest", {}),
    ("serve.ready-is-honest", {"serve": serving(asked=(replace(YES, ready=False, code=None), YES))}),
    ("serve.ready-is-honest", {"robustness": robust(Start("artifact-missing", impossible="a single file"))}),
    ("serve.healthcheck-works", {}),
    ("serve.healthcheck-works", {"robustness": robust(health=replace(HEALTH, dead_code=None))}),
    ("serve.healthcheck-works", {"robustness": robust(health=replace(HEALTH, dead_code=126))}),
    ("serve.unprivileged", {}),
    ("serve.unprivileged", {"robustness": robust(user="", uid=33)}),
    ("serve.unprivileged", {"robustness": robust(user="app", uid=None)}),
    ("serve.hermetic", {}),
    ("serve.hermetic", {"robustness": robust(UNREACHED)}),
    ("serve.stops-gracefully", {}),
    ("serve.stops-gracefully", {"stop": stop(code=143)}),
    ("serve.stops-gracefully", {"stop": stop(signal="SIGINT", number=2, code=130)}),
    ("serve.stops-gracefully", {"stop": stop(in_flight=(CLOSE, exchange()))}),
]

# check, evidence, what it says, its status without and with `strict`
BAD: list[tuple[str, dict[str, Any], str, Status, Status]] = [
    ("serve.ready-is-honest", {"serve": serving(asked=(LIE, YES))}, "200, and then POST /predict: 503", FAIL, FAIL),
    (
        "serve.ready-is-honest",
        {"robustness": robust(Start("artifact-missing", ready=True, answered=True, heard=True))},
        "ready and even predicts",
        FAIL,
        FAIL,
    ),
    (
        "serve.ready-is-honest",
        {"robustness": robust(Start("artifact-truncated", ready=True, heard=True, exit=GONE))},
        "says that it is ready:",
        FAIL,
        FAIL,
    ),
    (
        "serve.ready-is-honest",
        {"robustness": robust(Start("artifact-missing", watched=3.0, last_answer="refused"))},
        "neither ended nor answered within 3.0 s: refused",
        WARN,
        FAIL,
    ),
    ("serve.healthcheck-works", {"robustness": robust(health=Health())}, "cannot tell a hanging service", WARN, WARN),
    (
        "serve.healthcheck-works",
        {"robustness": robust(health=replace(HEALTH, alive_code=127, alive_output="curl: not found"))},
        "exit code 127, it cannot be run: curl: not found",
        FAIL,
        FAIL,
    ),
    (
        "serve.healthcheck-works",
        {"robustness": robust(health=replace(HEALTH, alive_code=22))},
        "exit code 22: no output",
        FAIL,
        FAIL,
    ),
    (
        "serve.healthcheck-works",
        {"robustness": robust(health=replace(HEALTH, alive_code=None))},
        "no end within 3 s",
        FAIL,
        FAIL,
    ),
    (
        "serve.healthcheck-works",
        {"robustness": robust(health=replace(HEALTH, dead_code=0))},
        "every service healthy",
        FAIL,
        FAIL,
    ),
    ("serve.unprivileged", {"robustness": robust(uid=0)}, "user ID 0", WARN, FAIL),
    ("serve.unprivileged", {"robustness": robust(user="", uid=None)}, "user root", WARN, FAIL),
    ("serve.unprivileged", {"robustness": robust(user="0:0", uid=None)}, "user 0", WARN, FAIL),
    (
        "serve.hermetic",
        {"robustness": robust(DOWN, *HELD, Start("read-only", exit=GONE, log_tail=("cannot write /cache",)))},
        "read-only: exit code 1; \ncannot write /cache",
        WARN,
        FAIL,
    ),
    ("serve.hermetic", {"robustness": robust(DOWN, *HELD)}, "all at once: exit code 1", WARN, FAIL),
    ("serve.hermetic", {"robustness": robust(DOWN, *HELD, UNREACHED)}, "all at once: exit code 1", WARN, FAIL),
    (
        "serve.stops-gracefully",
        {"stop": stop(in_flight=(exchange(), LOST))},
        "1 lost, such as example:one",
        WARN,
        FAIL,
    ),
    ("serve.stops-gracefully", {"stop": stop(in_flight=(OTHER,))}, "another answer than before", WARN, FAIL),
    ("serve.stops-gracefully", {"stop": stop(killed=True, code=None)}, "was killed", WARN, FAIL),
    ("serve.stops-gracefully", {"stop": stop(code=1)}, "exit code 1 after 0.4 s", WARN, FAIL),
    ("serve.stops-gracefully", {"stop": stop(code=143, signal="SIGINT", number=2)}, "exit code 143", WARN, FAIL),
    ("serve.stops-gracefully", {"stop": stop(in_flight=())}, "none was, of 4 sent just before", WARN, WARN),
]


@pytest.mark.parametrize(("name", "changes"), GOOD)
@pytest.mark.parametrize("strict", [False, True])
def test_passes(name: str, changes: dict[str, Any], *, strict: bool) -> None:
    """What is well passes, `strict` or not."""
    assert [f.status for f in _judge(name, strict=strict, **changes)] == [PASS]


@pytest.mark.parametrize(
    ("name", "changes", "received", "lax", "strict"),
    [pytest.param(*case, marks=shows(case[0], case[4], case[2])) for case in BAD],
)
def test_finds(name: str, changes: dict[str, Any], received: str, lax: Status, strict: Status) -> None:
    """What is not well is one finding with what happened and what to do; what was never promised only warns."""
    for status, is_strict in ((lax, False), (strict, True)):
        (finding,) = _judge(name, strict=is_strict, **changes)
        assert finding.status is status
        assert received in finding.received
        assert finding.expected
        assert finding.advice


def test_a_promise_of_the_protocol_counts_as_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the protocol says how long the end may take, a service that does not keep to it fails."""
    monkeypatch.setitem(DIALECTS, "plain", replace(PLAIN, stop_within=30.0))
    (finding,) = _judge("serve.stops-gracefully", stop=stop(killed=True, code=None))
    assert finding.status is FAIL


def test_restrictions_are_not_blamed_for_a_broken_service() -> None:
    """A service whose predictions fail anyway is skipped."""
    (finding,) = _judge("serve.hermetic", serve=serving(asked=(LIE,)), robustness=robust(DOWN))
    assert finding.status is SKIP


def test_what_was_not_tried_is_said() -> None:
    """A pass names what could not be tried."""
    (finding,) = _judge("serve.hermetic", robustness=robust(UNREACHED))
    assert "no-network could not be tried: no way to reach it" in finding.received
    assert "holds all at once: read-only" in finding.received


@pytest.mark.parametrize(
    ("config", "command", "timeout"),
    [
        ({}, (), 30.0),
        ({"Healthcheck": None}, (), 30.0),
        ({"Healthcheck": {"Test": ["NONE"]}}, (), 30.0),
        ({"Healthcheck": {"Test": ["CMD", "a", "b"], "Timeout": 2_000_000_000}}, ("a", "b"), 2.0),
        ({"Healthcheck": {"Test": ["CMD-SHELL", "a || b"]}}, ("/bin/sh", "-c", "a || b"), 30.0),
        ({"Healthcheck": {"Test": ["CMD-SHELL", "a"]}, "Shell": ["/bin/bash", "-ec"]}, ("/bin/bash", "-ec", "a"), 30.0),
    ],
)
def test_health_command(config: dict[str, Any], command: tuple[str, ...], timeout: float) -> None:
    """Both forms of a health check, none, and the engine's default time."""
    found = health.declared(config)
    assert (found.command, found.timeout) == (command, timeout)


def test_a_volume_hides_the_artifact() -> None:
    """What is mounted at the artifact or below gives way to a volume that is not filled from the image."""
    mounts = [
        {"type": "volume", "source": "a", "target": "/model", "read_only": True},
        {"type": "volume", "source": "b", "target": "/model/cache"},
        {"type": "volume", "source": "c", "target": "/models"},
    ]
    kept, hiding = stage._over({"volumes": mounts}, "/model", "empty")
    assert kept == mounts[2]
    assert (hiding["source"], hiding["target"], hiding["read_only"]) == ("empty", "/model", True)
    assert hiding["volume"] == {"nocopy": True}


def test_rungs() -> None:
    """The hermetic start changes what the rungs change, the user's own settings kept; one left out is not in it."""
    service = {"tmpfs": "/tmp:size=1m", "security_opt": ["seccomp=x.json", "no-new-privileges:false"], "ports": [8080]}
    rungs = stage._rungs(service, {})
    assert set(rungs) == {"hermetic", *stage.RUNGS}
    assert rungs["hermetic"].items() >= rungs["read-only"].items()
    assert rungs["hermetic"]["networks"] == {stage.INTERNAL: None}
    assert rungs["read-only"]["tmpfs"] == ["/tmp"]
    assert rungs["no-capabilities"]["security_opt"] == ["seccomp=x.json", "no-new-privileges:true"]
    without = stage._rungs(service, {"no-network": "why"})
    assert "no-network" not in without
    assert "networks" not in without["hermetic"]


@pytest.mark.parametrize(("mode", "free"), [("host", False), ("service:db", False), ("bridge", True), (None, True)])
def test_a_shared_network(mode: str | None, *, free: bool) -> None:
    """Where the port is taken by the service itself, a second one would not be asked."""
    assert (stage._shared_network({"network_mode": mode}) == "") is free


def test_halves(tmp_path: Path) -> None:
    """Every file is cut to its first half, in its place below the volume."""
    builders.write_files(tmp_path, {"deep/model.bin": "12345", "one": "x"})
    tar = BytesIO()
    volumes._pack({"sub/deep/model.bin": tmp_path / "deep/model.bin", "sub/one": tmp_path / "one"}, (), tar, (0, 0), 2)
    with tarfile.open(fileobj=tar) as archive:
        found = {member.name: (archive.extractfile(member) or BytesIO()).read() for member in archive}
    assert found == {"sub/deep/model.bin": b"12", "sub/one": b""}


@pytest.mark.parametrize(
    ("name", "number"), [("SIGTERM", 15), ("TERM", 15), ("sigint", 2), ("15", 15), ("SIGRTMIN+3", None)]
)
def test_signal_numbers(name: str, number: int | None) -> None:
    """Signals as images and Compose files name them."""
    assert number_of(name) == number


@pytest.mark.parametrize(("seconds", "clients"), [((), 0), ((0.0,), 16), ((0.3, 0.1), 10), ((2.0,), 4)])
def test_number_of_clients(seconds: tuple[float, ...], clients: int) -> None:
    """The faster the service, the more clients it takes to keep it busy."""
    known: list[Exchange] = [exchange(seconds=each) for each in seconds]
    assert clients_for(known) == clients


@pytest.mark.parametrize(
    ("said", "name"), [("15", "SIGTERM"), ("2", "SIGINT"), ("SIGTERM", "SIGTERM"), ("TERM", "TERM")]
)
def test_a_signal_that_is_named_by_its_number(said: str, name: str) -> None:
    """Podman names the stop signal by its number: people read its name."""
    assert name_of(said) == name
