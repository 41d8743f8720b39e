"""An engine that goes away while a service is asked: what was asked then is no evidence against the project."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import parse

import pytest

from harness.engine.labels import STAGE

from ..machines import LABEL, engine_in_container
from ..support import HERE, Cable, Engine, Harness, Mini, Ran, eventually, nightly

pytestmark = pytest.mark.engine

SLOW = {"services": {"serve": {"environment": {"DELAY": "0.2"}}}}
SERVE = (HERE / "mini/serve.py").read_text(encoding="utf-8")
# Told to end it takes no more requests, and ends when all that it has to do is done: many servers do.
LINGERS = SERVE.replace("        self.server_close()\n", "        self.socket.close()\n        time.sleep(8)\n")
assert LINGERS != SERVE


@pytest.fixture
def own(engine: Engine, base: str) -> Iterator[tuple[str, Any]]:
    """An engine of the test's own, and the container that it runs in: it may be ended."""
    before = {each.id for each in engine.client.containers.list(filters={"label": f"{LABEL}=engine"})}
    with engine_in_container(engine.client, base) as url:
        made = [
            each
            for each in engine.client.containers.list(filters={"label": f"{LABEL}=engine"})
            if each.id not in before and each.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"] in url
        ]
        yield url, made[0]


def without_blame(ran: Ran) -> None:
    """No report tells the user anything about the service: one error says what happened to the run."""
    for name in ("findings.json", "results.sarif", "summary.md", "report.html"):
        assert "contract.rejects" not in (ran.folder / name).read_text(encoding="utf-8"), name
    junit = parse(ran.folder / "junit.xml").getroot()  # noqa: S314 - our own
    assert (junit.get("failures"), junit.get("errors")) == ("0", "1"), ran.folder / "junit.xml"
    assert "fail" not in ran.statuses.values(), str(ran)
    assert ran.record("end.json")["exit_code"] == 3


def judged_again(ran: Ran, run_harness: Harness) -> None:
    """Whoever judges the folder again gets no failure of it either."""
    again = run_harness(ran.project, "judge")
    assert again.code == 3, str(again)
    assert "ENDED BEFORE A VERDICT" in again.out, str(again)
    assert {"fail", "error"}.isdisjoint(again.statuses.values()), str(again)
    assert again.statuses["contract.examples"] == "skip", str(again)


@pytest.mark.nightly
@pytest.mark.parametrize(("way", "serve"), [("SIGTERM", LINGERS), ("SIGKILL", "")], ids=["goes-down", "is-gone"])
def test_the_engine_ends_while_the_service_is_asked(
    way: str, serve: str, own: tuple[str, Any], mini: Mini, run_harness: Harness
) -> None:
    """An engine that goes down, or whose machine is gone at once: 3, and no finding about the service.

    Going down it ends the service first, which takes its time; where its machine is gone no connection ends.
    """
    url, container = own
    launched = run_harness.start(mini(SLOW, serve=serve), env={"DOCKER_HOST": url})
    launched.prints("contract ...")
    time.sleep(1)  # in the midst of the requests
    container.kill(way)
    ran = launched.finish(timeout=120)
    ran.assert_refused(3, "the engine stopped answering")
    without_blame(ran)
    assert ran.causes == ["run: engine gone"]
    judged_again(ran, run_harness)


@pytest.mark.nightly
def test_somebody_stops_a_service_that_takes_its_time(mini: Mini, run_harness: Harness, engine: Engine) -> None:
    """A service that is stopped through the engine and has not ended yet: 3, and no finding about it."""
    launched = run_harness.start(mini(SLOW, serve=LINGERS))
    launched.prints("contract ...")
    time.sleep(1)
    found = engine.client.containers.list(filters={"label": f"harness.project={launched.project.name}"})
    (container,) = [each for each in found if each.labels[STAGE] == "serve"]
    container.kill("SIGTERM")
    ran = launched.finish()
    ran.assert_refused(3, "ended from outside")
    without_blame(ran)
    assert ran.causes == ["run: ended from outside"]
    judged_again(ran, run_harness)


@pytest.mark.nightly
def test_a_service_that_stops_taking_requests_by_itself(mini: Mini, run_harness: Harness) -> None:
    """The same end without anybody's help is the service's own: 1."""
    code = LINGERS.replace("weight = load()", "weight = load()\nthreading.Timer(2.5, os.kill, (1, 15)).start()")
    ran = run_harness(mini(SLOW, serve=code))
    assert ran.code == 1, str(ran)
    assert "fail" in ran.statuses.values()


@pytest.mark.parametrize("stage", ["train", nightly("contract")])
def test_the_engine_is_started_anew(
    stage: str, mini: Mini, run_harness: Harness, engine: Engine, tmp_path: Path
) -> None:
    """An engine that is started anew ended its containers and has forgotten it: 3, and neither model nor API failed."""
    cable = Cable(tmp_path / "engine.sock")  # stays, as systemd keeps `docker.socket`
    train = "import time; print('begun', flush=True); time.sleep(60)" if stage == "train" else ""
    launched = run_harness.start(mini(SLOW, train=train), env={"DOCKER_HOST": cable.url})
    launched.prints("train | begun" if stage == "train" else "contract ...")
    time.sleep(1)
    service = {"train": "train", "contract": "serve"}[stage]
    found = engine.client.containers.list(filters={"label": f"harness.project={launched.project.name}"})
    (container,) = [each for each in found if each.labels[STAGE] == service]
    cable.hold()  # else the end of the container may be told before the engine is missed, and is the model's own then
    os.kill(engine.client.api.inspect_container(container.id)["State"]["Pid"], signal.SIGKILL)  # not by this engine
    eventually(lambda: engine.containers(launched.project.name) == [], 10, "it has ended")
    cable.restart()
    ran = launched.finish()
    ran.assert_refused(3)
    assert "fail" not in ran.statuses.values(), str(ran)
    assert ran.causes == ["run: engine gone"]
    cable.cut()
