"""Everything that can be wrong in a run: the right exit code, a message that says what to do, and nothing left behind.

What is wrong in the description alone is found without an engine: `tests/unit/test_refused.py`.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from defects import defect

from ..samples import SCHEMA
from ..support import HERE, REPO, Engine, Harness, Mini, Ran, eventually, nightly, tmpfs

pytestmark = pytest.mark.engine

NOWHERE = "registry.invalid/x"
TRAIN = (HERE / "mini/train.py").read_text(encoding="utf-8")
SLOW = "import time; print('begun', flush=True); time.sleep(60)"


# --- images


def building(mini: Mini, dockerfile: str, **change: Any) -> Path:
    """Make a project whose train image is built from a Dockerfile."""
    build = {"context": ".", "dockerfile": "train.Dockerfile", "args": ["BASE_IMAGE"]}
    project = mini({"services": {"train": {"image": None, "build": build, **change}}})
    (project / "train.Dockerfile").write_text(dockerfile, encoding="utf-8")
    return project


@defect("images.built", "a step of the build fails")
def test_a_build_that_fails(mini: Mini, run_harness: Harness, engine: Engine) -> None:
    """A step that fails: 1 by `images.built`, with the last lines of the build; the rest is skipped."""
    trace = secrets.token_hex(6)
    project = building(mini, f'ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\nRUN echo "the last words" {trace} && false\n')
    ran = run_harness(project)
    ran.assert_failed("images.built", received="the last words", advice="images/build.log")
    assert ran.finding("images.built")["expected"] == "the image of train builds"
    assert ran.causes == ["images: build failed"]
    assert ran.statuses["train.exits-cleanly"] == "skip"
    assert "the last words" in (ran.folder / "images/build.log").read_text(encoding="utf-8")
    assert engine.commands(trace) == [], "the builder's container of the failed step is left"


def test_no_dockerfile(mini: Mini, run_harness: Harness) -> None:
    """A Dockerfile that is not there: 2, its path named."""
    project = building(mini, "")
    (project / "train.Dockerfile").unlink()
    run_harness(project).assert_refused(2, "train.Dockerfile", "does not exist")


@pytest.fixture(scope="module")
def plain(engine: Engine, base: str) -> Iterator[str]:
    """An image as the base, without the mark of a local base: one that some registry might have."""
    api = engine.client.api
    reference = f"plain-{secrets.token_hex(4)}:1"
    container = api.create_container(base, ["true"])
    try:
        files = b"".join(api.export(container))
    finally:
        api.remove_container(container)
    name, _, tag = reference.partition(":")
    api.import_image_from_data(files, repository=name, tag=tag)
    yield reference
    api.remove_image(reference)


@pytest.mark.xdist_group("plain")  # the image is made once
@pytest.mark.parametrize(
    "locked",
    [
        nightly(False, marks=[defect("images.pinned", "a base without a digest, and no lock", status="warn")]),
        pytest.param(True, marks=defect("images.pinned", "a base without a digest, and a lock", also=["data.pinned"])),
    ],
    ids=["without-lock", "with-lock"],
)
def test_a_base_that_is_not_pinned(locked: bool, mini: Mini, run_harness: Harness, plain: str) -> None:  # noqa: FBT001
    """A base without a digest is a warning; with a committed lock it fails, and says how to pin it."""
    project = mini({"services": {name: {"image": plain} for name in ("train", "serve")}})
    if locked:
        empty = '{"platform": "linux/amd64", "bases": {}, "requirements": {}, "data": null, "images": {}}'
        (project / "harness.lock").write_text(empty, encoding="utf-8")
    ran = run_harness(project)
    assert ran.statuses["images.pinned"] == ("fail" if locked else "warn"), str(ran)
    assert f"{plain}@sha256:" in ran.finding("images.pinned")["advice"]
    assert ran.code == (1 if locked else 0), str(ran)


def test_a_base_that_cannot_be_had(mini: Mini, run_harness: Harness) -> None:
    """A base that no registry has: 3, its name, and that `harness setup` may help."""
    project = building(mini, f"FROM {NOWHERE}:1\n")
    ran = run_harness(project)
    ran.assert_refused(3, "an image cannot be had", f"{NOWHERE}:1", "harness setup")
    assert ran.causes == ["run: image cannot be had"]


# --- data


@pytest.mark.nightly
@defect("data.pinned", "a row was added since the lock", also=["contract.examples"])
def test_data_changed_since_the_lock(mini: Mini, run_harness: Harness) -> None:
    """Data that is not the locked one: 1 by `data.pinned`, with both hashes and how to move the pin."""
    project = mini.copy(REPO / "tests/projects/baked")
    assert run_harness(project, "lock").code == 0
    locked = json.loads((project / "harness.lock").read_text(encoding="utf-8"))["data"]
    table = project / "data/train.csv"
    table.write_text(table.read_text(encoding="utf-8") + "0.5,0.5,3.0\n", encoding="utf-8")
    ran = run_harness(project)
    ran.assert_failed("data.pinned", received=f"SHA-256 {ran.record('data.json')['sha256']}", advice="harness lock")
    assert locked in ran.finding("data.pinned")["expected"]


@pytest.mark.parametrize(
    ("table", "received"),
    [
        nightly("x,z\n1,2\n2,4\n", "column z"),
        ("x,y\n1,2\n2,4\n300,6\n", "rows.csv, line 4, column x: less_than(100), received 300"),
        nightly("x,y\n1,2\n2,\n3,6\n", "rows.csv, line 3, column y: not_nullable"),
    ],
    ids=["wrong-column", "out-of-range", "missing-value"],
)
@defect("data.schema", "a column, a value, a missing value against the schema", also=["train.exits-cleanly"])
def test_data_against_its_schema(table: str, received: str, mini: Mini, run_harness: Harness) -> None:
    """Data that breaks its schema: 1 by `data.schema`, with file, line, column, rule and value."""
    project = mini({"x-harness": {"data": {"schema": "schema.yaml"}}}, train="import sys; sys.exit(1)")
    (project / "schema.yaml").write_text(SCHEMA, encoding="utf-8")
    (project / "data/rows.csv").write_text(table, encoding="utf-8")
    run_harness(project).assert_failed(
        "data.schema", received=received, advice="violations.ndjson of the run lists all of them"
    )


def test_a_broken_schema(mini: Mini, run_harness: Harness) -> None:
    """A schema that is none: 2, its file named."""
    project = mini({"x-harness": {"data": {"schema": "schema.yaml"}}})
    (project / "schema.yaml").write_text("columns: 3\n", encoding="utf-8")
    run_harness(project).assert_refused(2, "schema.yaml is no pandera schema")


# --- training


@defect("train.exits-cleanly", "exits with 1")
def test_training_fails(mini: Mini, run_harness: Harness) -> None:
    """Training that exits with 1: 1 by `train.exits-cleanly`, with the last lines of its log."""
    ran = run_harness(mini(train="print('one row too few'); raise SystemExit(1)"))
    ran.assert_failed("train.exits-cleanly", received="exit code 1\none row too few", advice="train/log.txt")
    assert ran.causes == ["train: exit code"]
    assert ran.statuses["serve.ready"] == "skip"


@defect("train.exits-cleanly", "needs more memory than its limit")
def test_training_runs_out_of_memory(mini: Mini, run_harness: Harness) -> None:
    """Training that allocates past `mem_limit`: 1, memory is named as the cause, and the limit in the advice."""
    limit = {"mem_limit": "64m", "memswap_limit": "64m"}
    code = "print('allocating', flush=True)\nhoard = [bytes([1]) * 2**20 for _ in range(4096)]"
    ran = run_harness(mini({"services": {"train": limit}}, train=code))
    ran.assert_failed("train.exits-cleanly", received="used all its memory", advice="The memory limit is 64 MiB")
    assert ran.causes == ["train: out of memory"]


@defect("train.exits-cleanly", "does not end")
def test_training_hangs(mini: Mini, run_harness: Harness) -> None:
    """Training that does not end: stopped at its time limit, 1, the limit named."""
    ran = run_harness(mini({"x-harness": {"train": {"timeout": "2s"}}}, train=SLOW))
    ran.assert_failed("train.exits-cleanly", received="limit: train.timeout 2 s", advice="train.timeout")
    assert ran.causes == ["train: timeout"]
    assert ran.seconds < 15


@defect("artifact.present", "leaves nothing")
def test_training_leaves_no_artifact(mini: Mini, run_harness: Harness) -> None:
    """Training that ends well without an artifact: 1 by `artifact.present`."""
    ran = run_harness(mini(train="print('all done')"))
    ran.assert_failed("artifact.present", received="exit code 0, but", advice="train.artifact")


@defect("train.loss-decreases", "the loss grows")
def test_the_loss_does_not_fall(mini: Mini, run_harness: Harness) -> None:
    """A loss that grows or is not finite: 1 by `train.loss-decreases`."""
    code = TRAIN.replace('"loss": loss', '"loss": epoch')
    ran = run_harness(mini(train=code))
    ran.assert_failed("train.loss-decreases", received="first 0, last 29 over 30 points", advice="does not learn")


# --- serving


@pytest.mark.parametrize(
    ("fault", "cause", "received", "advice"),
    [
        ("unready", "never ready", "GET /health: 503", "look at what the ready path waits for"),
        ("wrong-port", "wrong port", "the last answer was", "0.0.0.0:9999"),
        nightly("loopback", "listens on loopback only", "the last answer was", "bind 0.0.0.0:8080"),
    ],
)
@defect("serve.ready", "never ready, another port, loopback only")
def test_a_service_that_never_gets_ready(  # noqa: PLR0917 - a row of the table, and two fixtures
    fault: str, cause: str, received: str, advice: str, mini: Mini, run_harness: Harness
) -> None:
    """A service that is not ready in its time: 1 by `serve.ready`, what it said last, and the likely cause."""
    ran = run_harness(mini({"x-harness": {"serve": {"timeout": "2s"}}}, fault=fault))
    ran.assert_failed("serve.ready", received=received, advice=advice)
    assert ran.causes == [f"serve: {cause}"]
    assert ran.statuses["contract.examples"] == "skip"


@pytest.mark.nightly
@defect("serve.ready", "opens no port")
def test_a_service_that_never_listens(mini: Mini, run_harness: Harness) -> None:
    """A service that opens no port: 1 by `serve.ready`, which says that nothing listens."""
    ran = run_harness(mini({"x-harness": {"serve": {"timeout": "1s"}}}, serve=SLOW))
    ran.assert_failed("serve.ready", received="begun", advice="Nothing listens inside the container")
    assert ran.causes == ["serve: never ready"]


@defect("serve.ready", "dies at its start")
def test_a_service_that_dies(mini: Mini, run_harness: Harness) -> None:
    """A service that dies at its start: 1 at once, not after its time, with its exit code and last lines."""
    ran = run_harness(mini({"x-harness": {"serve": {"timeout": "60s"}}}, fault="dies"))
    ran.assert_failed("serve.ready", received="exit code 3\ncannot load the model", advice="serve/log.txt")
    assert ran.causes == ["serve: exit code"]
    assert ran.seconds < 20


# --- the contract

AskServed = Callable[[Path], Ran]


@defect("contract.examples", "another number")
def test_an_example_is_answered_wrongly(mini: Mini, run_harness: Harness) -> None:
    """An answer that is not the promised one: 1 by `contract.examples`, with the place of the difference."""
    ran = run_harness(mini(fault="wrong-answer"))
    said = "/predictions/0: expected 2.0, received 2.99"
    ran.assert_failed("contract.examples", received=said, advice="contract/two.json")


@pytest.mark.xdist_group("served")
@pytest.mark.parametrize(
    ("fault", "received"),
    [
        ("http-500", 'status 500: {"error": "boom"}'),
        ("not-json", "the answer is not JSON: <html>2.0</html>"),
    ],
)
def test_an_example_has_no_answer(fault: str, received: str, mini: Mini, ask_served: AskServed) -> None:
    """An answer that is none is told as an answer that is another one is."""
    ask_served(mini(fault=fault)).assert_failed("contract.examples", received=received, advice="contract/two.json")


@pytest.mark.xdist_group("served")
@defect("contract.rejects-malformed", "answers 200 to broken JSON", proof="server")
def test_malformed_requests_are_accepted(mini: Mini, ask_served: AskServed) -> None:
    """A service that answers 200 to broken JSON: 1 by `contract.rejects-malformed`."""
    ran = ask_served(mini({"x-harness": {"contract": {"strict": False}}}, fault="accepts-anything"))
    ran.assert_failed("contract.rejects-malformed", received="status 200", advice="Refuse")
    assert "though JSON or the API document rules it out" in ran.finding("contract.rejects-malformed")["received"]


# --- disks


def test_the_volume_of_the_artifact_is_full(mini: Mini, run_harness: Harness) -> None:
    """Training that fills the volume of the artifact: 3, a full disk is not the model's fault."""
    small = {"driver": "local", "driver_opts": {"type": "tmpfs", "device": "tmpfs", "o": "size=64k"}}
    code = "open('/model/big', 'wb').write(bytes(2**20))"
    ran = run_harness(mini({"volumes": {"model": small}}, train=code))
    ran.assert_refused(3, "the disk is full", "training ran into a full disk", "more space")
    assert ran.causes == ["run: disk full in the container"]


@pytest.mark.parametrize(
    ("size", "train"),
    [
        nightly("8k", ""),
        ("64k", ""),
        nightly("256k", TRAIN + "\nPath('/model/big').write_bytes(bytes(2**20))"),
        nightly("256k", "import sys\nfor _ in range(20000): print('word ' * 20)\n" + TRAIN),
    ],
    ids=["at-the-start", "in-mid-run", "by-the-artifact", "by-the-log"],
)
def test_the_disk_of_the_evidence_is_full(size: str, train: str, mini: Mini, run_harness: Harness) -> None:
    """A run folder that cannot be written: 3, the disk is named, all containers are gone."""
    project = mini(train=train)
    with tmpfs(project / ".harness", size):
        ran = run_harness(project)
    ran.assert_refused(3, "the disk is full", "Free space")


@pytest.mark.nightly
def test_the_disk_is_full_while_baking(mini: Mini, run_harness: Harness) -> None:
    """A disk that is full once the build context is copied for baking: 3, as everywhere."""
    project = mini.baking(train=TRAIN + "\nPath('/model/big').write_bytes(bytes(300_000))")
    with tmpfs(project / ".harness", "512k"):
        ran = run_harness(project)
    ran.assert_refused(3, "the disk is full", "Free space")


@pytest.mark.nightly
def test_the_disk_is_full_while_the_artifact_is_taken(mini: Mini, run_harness: Harness) -> None:
    """An artifact that is larger than what is left on the host's disk: 3, as everywhere."""
    project = mini(train=TRAIN + "\nPath('/model/big').write_bytes(bytes(2_000_000))")
    with tmpfs(project / ".harness", "512k"):
        ran = run_harness(project)
    ran.assert_refused(3, "the disk is full", "Free space")


def test_a_folder_that_cannot_be_written(mini: Mini, run_harness: Harness) -> None:
    """A file where the run folder should be: 3 with the path, no traceback."""
    project = mini()
    (project / ".harness").write_text("in the way", encoding="utf-8")
    run_harness(project).assert_refused(3, "cannot write", ".harness")


def test_a_container_that_cannot_start(mini: Mini, run_harness: Harness, engine: Engine) -> None:
    """A command that the image does not have: 2 with the engine's own words: the machine is not to blame."""
    project = mini({"services": {"train": {"command": ["no-such-program"]}}})
    ran = run_harness(project)
    ran.assert_refused(2, "the container cannot start", '"no-such-program": executable file not found')
    assert ran.causes == ["run: command not found"]
    eventually(lambda: engine.containers(project.name, running=False) == [], 1, "the container is gone")


@pytest.mark.nightly
@pytest.mark.xdist_group("served")
def test_a_malformed_request_is_never_answered(mini: Mini, ask_served: AskServed) -> None:
    """A service that keeps the connection of a bad request open: 1, recorded as no answer; good ones go on."""
    ran = ask_served(mini(fault="hangs"))
    ran.assert_failed("contract.rejects-malformed", received="no answer within", advice="Validate the request")
    assert ran.exchanges["rejects-malformed:/"].status is None
    assert ran.exchanges["recovers:rejects-malformed:/"].status == 200
