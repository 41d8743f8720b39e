"""A failure goes from one machine to another: bundled on one engine, replayed from the bundle alone on another one.

Each failure of the first table is reproduced there; those of the second, which depend on their environment, are not,
and the first difference that is named is the true cause.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..samples import CRASH, SCHEMA, learner, with_mounts
from ..support import HERE, Engine, Harness, Mini, Model, Ran, merged

pytestmark = [pytest.mark.engine, pytest.mark.nightly, pytest.mark.xdist_group("second-engine")]

TRAIN = (HERE / "mini/train.py").read_text(encoding="utf-8")
SERVE = (HERE / "mini/serve.py").read_text(encoding="utf-8")
SLOW = "import time; print('begun', flush=True); time.sleep(60)"
HOARD = "hoard = [bytes([1]) * 2**20 for _ in range(200)]\n"
NOWHERE = "registry.invalid/no-such-base:1"  # what is asked of the variables of the other machine would show

Make = Callable[[Mini], Path]


def tiny(change: Model | None = None, *, train: str = "", serve: str = "", fault: str = "", data: str = "") -> Make:
    """Return what makes a project whose training image is built from its own folder."""

    def make(mini: Mini) -> Path:
        build = {"image": None, "build": {"context": ".", "dockerfile": "train.Dockerfile", "args": ["BASE_IMAGE"]}}
        project = mini(merged({"services": {"train": build}}, change or {}), train=train, serve=serve, fault=fault)
        text = "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nCOPY contract /opt/contract\n"
        (project / "train.Dockerfile").write_text(text, encoding="utf-8")
        (project / ".env").write_text("UNUSED=of the first machine\n", encoding="utf-8")
        (project / "schema.yaml").write_text(SCHEMA, encoding="utf-8")
        if data:
            (project / "data/rows.csv").write_text(data, encoding="utf-8")
        return project

    return make


def serving(old: str, new: str) -> str:
    """Return the service with one thing in it replaced."""
    assert old in SERVE
    return SERVE.replace(old, new)


SHORT: Model = {"x-harness": {"serve": {"timeout": "2s"}}}
# What fails -> the check that fails, what the finding says, and the project.
FAILURES: dict[str, tuple[str, str, Make]] = {
    "the build fails": (
        "images.built",
        "the last words",
        lambda mini: _broken_build(tiny()(mini)),
    ),
    "data breaks its schema": (
        "data.schema",
        "less_than(100), received 300",
        tiny({"x-harness": {"data": {"schema": "schema.yaml"}}}, data="x,y\n1,2\n2,4\n300,6\n"),
    ),
    "training exits with 1": (
        "train.exits-cleanly",
        "exit code 1\none row too few",
        tiny(train="print('one row too few'); raise SystemExit(1)"),
    ),
    "training is killed by a signal": (
        "train.exits-cleanly",
        "SIGSEGV",
        tiny({"services": {"train": {"init": True}}}, train="import os; os.kill(os.getpid(), 11)"),
    ),
    "training runs out of memory": (
        "train.exits-cleanly",
        "used all its memory",
        tiny({"services": {"train": {"mem_limit": "64m", "memswap_limit": "64m"}}}, train=HOARD),
    ),
    "training takes too long": (
        "train.exits-cleanly",
        "limit: train.timeout 2 s",
        tiny({"x-harness": {"train": {"timeout": "2s"}}}, train=SLOW),
    ),
    "training leaves no artifact": ("artifact.present", "exit code 0, but", tiny(train="print('all done')")),
    "the loss is not a number": ("train.loss-finite", "the first is nan", lambda mini: learner(mini, "nan")),
    "training ignores its seed": (
        "train.deterministic",
        "parts at point 1",
        lambda mini: learner(mini, "ignores-seed"),
    ),
    "another artifact is served": (
        "artifact.handed-over",
        "model.json",
        lambda mini: mini.baking(after="RUN echo >> /model/model.json"),
    ),
    "the service dies at its start": ("serve.ready", "cannot load the model", tiny(fault="dies")),
    "the service is never ready": ("serve.ready", "GET /health: 503", tiny(SHORT, fault="unready")),
    "the service listens elsewhere": ("serve.ready", "the last answer was", tiny(SHORT, fault="wrong-port")),
    "an example is answered wrongly": ("contract.examples", "expected 2.0, received 2.99", tiny(fault="wrong-answer")),
    "broken JSON is answered with 500": (
        "contract.rejects-malformed",
        "status 500",
        tiny(serve=serving('FAULT == "accepts-anything" else 400', 'FAULT == "accepts-anything" else 500')),
    ),
    "the service dies while it is asked": (
        "contract.examples",
        "while it was asked: exit code 3",
        tiny(serve=serving("    def try_to_predict(self, body: bytes) -> None:\n", CRASH)),
    ),
}


def _broken_build(project: Path) -> Path:
    with (project / "train.Dockerfile").open("a", encoding="utf-8") as file:
        file.write('RUN echo "the last words" && false\n')
    return project


@dataclass(frozen=True)
class Elsewhere:
    """Another machine: its engine, and a folder with nothing in it."""

    url: str
    folder: Path
    run_harness: Harness

    def replay(self, bundle: Path, *options: str, **variables: str) -> Ran:
        """Replay a bundle in the empty folder."""
        return self(self.folder, "replay", str(bundle), *options, **variables)

    def __call__(self, project: Path, *arguments: str, **variables: str) -> Ran:
        """Call the command for that engine."""
        env = {"DOCKER_HOST": self.url, "BASE_IMAGE": NOWHERE, **variables}
        return self.run_harness(project, *arguments, env=env)


@pytest.fixture
def elsewhere(second_engine: str, run_harness: Harness, tmp_path: Path) -> Iterator[Elsewhere]:
    """The other machine; after each test nothing is left on its engine."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    yield Elsewhere(second_engine, folder, run_harness)
    other = Engine(second_engine)
    left = other.owned(run_harness.pids)
    other.client.close()
    assert not left, f"left on the second engine: {left}"


def bundled(ran: Ran) -> Path:
    """Return the bundle that a failed run says it packed."""
    (line,) = [line for line in ran.out.splitlines() if line.startswith("bundle:")]
    return Path(line.removeprefix("bundle:").partition(" (")[0].strip())


def verdict(ran: Ran) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ran.folder / "replay.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", FAILURES)
def test_reproduced_on_another_engine(name: str, mini: Mini, run_harness: Harness, elsewhere: Elsewhere) -> None:
    """The same check fails with the same words there, from the bundle alone: exit code 0, reproduced."""
    check, received, make = FAILURES[name]
    fast = () if check == "train.deterministic" else ("--fast",)
    first = run_harness(make(mini), "run", *fast, "--only", check)
    first.assert_failed(check, received=received)
    ran = elsewhere.replay(bundled(first))
    assert ran.code == 0, str(ran)
    assert f"\nREPRODUCED: run {first.folder.name}, replayed as {ran.folder.name}\n" in ran.out, str(ran)
    assert [each["check"] for each in verdict(ran)["checks"]] == [check], str(ran)
    assert received in ran.finding(check)["received"], str(ran)
    assert elsewhere.url in ran.record("environment.json")["engine"]


# --- what depends on the environment


@dataclass(frozen=True)
class Dependent:
    """A failure that depends on one thing, and that thing as a replay elsewhere must name it."""

    there: Mapping[str, str]  # variables of the machine where it fails
    here: Mapping[str, str]  # and of the one where it does not
    train: str  # code before the training that fails there
    cause: tuple[str, str, str, str]  # subject, name, recorded, here
    service: Model


DEPENDENT = {
    "the number of threads": Dependent(
        {"THREADS": "4"},
        {"THREADS": "1"},
        'import os, sys\nif os.environ["OMP_NUM_THREADS"] != "1": sys.exit("the sums differ in the last digits")\n',
        ("threads", "train: OMP_NUM_THREADS", "4", "1"),
        {"environment": {"OMP_NUM_THREADS": "${THREADS}"}},
    ),
    "the memory limit": Dependent(
        {"LIMIT": "64m"},
        {"LIMIT": "512m"},
        HOARD,
        ("memory", "train: memory limit", "64 MiB", "512 MiB"),
        {"mem_limit": "${LIMIT}", "memswap_limit": "${LIMIT}"},
    ),
    "the time zone": Dependent(
        {"ZONE": "JST-9"},  # as in tzset(3): an image need not have the database of zones
        {"ZONE": "UTC0"},
        "import sys, time\nif time.localtime(1719788400).tm_mon != 6: sys.exit('a row of June is one of July')\n",
        ("locale", "train: TZ", "JST-9", "UTC0"),
        {"environment": {"TZ": "${ZONE}"}},
    ),
}
# A folder in the base image of either machine, and the cause that is to be named.
SITE = "/opt/venv/lib/python3/site-packages"
BASES = {
    "a package of the base image": (
        f"{SITE}/brittle-1.0.dist-info",
        f"{SITE}/brittle-2.0.dist-info",
        ("packages", "train: brittle", "1.0", "2.0"),
    ),
    "the base image": ("/opt/tables-of-2024", "/opt/tables-of-2025", ("base", "base image of train", "", "")),
}


def assert_cause(ran: Ran, expected: tuple[str, str, str, str]) -> None:
    """Expect exit code 5, and a cause as the first difference; empty texts stand for any."""
    assert ran.code == 5, str(ran)
    found = verdict(ran)
    assert found["outcome"] == "not reproduced", str(ran)
    assert [each["match"] for each in found["checks"]] == ["it did not fail"], str(ran)
    first = found["differences"][0]
    received = tuple(first[key] for key in ("subject", "name", "recorded", "here"))
    assert received == tuple(want or got for want, got in zip(expected, received, strict=True)), str(ran)
    assert f"\n    1. {first['subject']}: {first['name']}: " in ran.out, str(ran)


@pytest.mark.parametrize("name", DEPENDENT)
def test_a_setting_is_the_cause(name: str, mini: Mini, run_harness: Harness, elsewhere: Elsewhere) -> None:
    """With the recorded settings it fails there too; with those of that machine it does not, and they are named."""
    case = DEPENDENT[name]
    project = tiny({"services": {"train": dict(case.service)}}, train=case.train + TRAIN)(mini)
    first = run_harness(project, "run", "--fast", "--only", "train.exits-cleanly", env=case.there)
    first.assert_failed("train.exits-cleanly", received="")
    recorded = elsewhere.replay(bundled(first), **case.here)
    assert recorded.code == 0, str(recorded)
    ran = elsewhere.replay(bundled(first), "--here", BASE_IMAGE=run_harness.base, **case.here)
    assert_cause(ran, case.cause)


@pytest.fixture
def based(engine: Engine, base: str, second_engine: str) -> Iterator[Callable[[str, str], str]]:
    """Make images of one name, with another folder on each of the two engines."""
    name = f"based-{secrets.token_hex(4)}"
    other = Engine(second_engine)

    def make(here: str, there: str) -> str:
        for machine, parent, folder in ((engine, base, here), (other, base.partition("@")[0], there)):
            api = machine.client.api
            made = api.create_container(parent, ["mkdir", "-p", folder])["Id"]
            api.start(made)
            api.wait(made)
            api.commit(made, repository=name, tag="1")
            api.remove_container(made)
        return f"{name}:1"

    yield make
    engine.client.api.remove_image(f"{name}:1", force=True)
    other.client.close()


@pytest.mark.parametrize("name", BASES)
def test_the_base_image_is_the_cause(
    name: str, mini: Mini, run_harness: Harness, elsewhere: Elsewhere, based: Callable[[str, str], str]
) -> None:
    """A build from another base of the same name does not fail, and what is another one in it is named."""
    there, here, cause = BASES[name]
    image = based(there, here)
    code = f"import os, sys\nif os.path.exists({there!r}): sys.exit('the scores went wrong')\n"
    project = tiny(train=code + TRAIN)(mini)
    first = run_harness(project, "run", "--fast", "--only", "train.exits-cleanly", env={"BASE_IMAGE": image})
    first.assert_failed("train.exits-cleanly", received="the scores went wrong")
    assert_cause(elsewhere.replay(bundled(first)), cause)


# --- what else a bundle is good for


def test_mounts_come_along(mini: Mini, run_harness: Harness, elsewhere: Elsewhere) -> None:
    """A project whose folders and files are mounted runs there too, and a shell in its container sees them."""
    first = run_harness(with_mounts(mini), "run", "--fast", "--bundle", "--only", "train.*")
    first.assert_passed()
    ran = elsewhere.replay(bundled(first), "--all")
    assert ran.code == 0, str(ran)
    assert ran.statuses["train.exits-cleanly"] == "pass", str(ran)
    shell = elsewhere(ran.folder.parents[2], "shell", "train", "--run", ran.folder.name, "--", "cat", *MOUNTED)
    assert (shell.code, shell.out) == (0, "77x,y\n1,2\n2,4\n3,6\n"), str(shell)


MOUNTED = ("/conf/nested/limit.txt", "/limit.txt", "/data/rows.csv")
