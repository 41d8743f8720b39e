"""The line with good projects: exit code 0, the evidence on disk, and nobody else disturbed."""

from __future__ import annotations

import json
import socket
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from defects import defect

from harness.engine import labels

from ..support import HERE, REPO, Engine, Harness, Mini, Ran, same_artifact

pytestmark = pytest.mark.engine

PROJECTS = REPO / "tests/projects"
STAGES = ["images", "data", "train", "artifact", "serve", "contract", "trainings"]
FILES = (
    "spec.json",
    "environment.json",
    "images.json",
    "data.json",
    "artifact.json",
    "contract.json",
    "stages.json",
    "findings.json",
    "compose.json",
    "train/record.json",
    "train/inspect.json",
    "train/log.txt",
    "serve/record.json",
    "serve/inspect.json",
    "artifact/model.json",
    "artifact/metrics.jsonl",
)
# Each prediction takes a moment, so that some are under way when the service is stopped.
ASK_HEALTH = "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/health', timeout=1)"
HEALTHY = {"test": ["CMD", "python3", "-c", ASK_HEALTH], "interval": "1h"}
GOOD = {"services": {"serve": {"healthcheck": HEALTHY, "environment": {"DELAY": "0.05"}}}}
# A service that cannot serve unless its neighbour answers.
NEIGHBOUR = """
import urllib.request
assert urllib.request.urlopen("http://db:9000/", timeout=5).status == 200
"""
DB = "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=9000)"
ASK = "import urllib.request as u; u.urlopen('http://127.0.0.1:9000/', timeout=1)"


def serving_code() -> str:
    return (HERE / "mini/serve.py").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Good:
    """A whole run of a good project, and the project's own files before it."""

    ran: Ran
    before: dict[str, bytes]


def own_files(project: Path) -> dict[str, bytes]:
    """Return what lies in a project beside the runs."""
    found = (p for p in project.rglob("*") if p.is_file() and ".harness" not in p.parts)
    return {str(p): p.read_bytes() for p in found}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, base: str, names: list[str], engine: Engine) -> Good:
    """One whole run, whose evidence several tests read."""
    project = Mini(tmp_path_factory.mktemp("good"), names)(GOOD)
    before = own_files(project)
    harness = Harness(tmp_path_factory.mktemp("logs"), base)
    ran = harness(project, "run")
    assert engine.owned(harness.pids) == []
    return Good(ran, before)


@pytest.mark.xdist_group("good")
def test_a_good_project_passes_and_leaves_its_evidence(good: Good) -> None:
    """Every check that applies passes, the artifact is the same on both sides, every record is a file."""
    ran = good.ran
    ran.assert_passed()
    assert Counter(ran.statuses.values())["pass"] >= 35, str(ran)
    assert ran.statuses["images.pinned"] == "warn", str(ran)
    assert ran.statuses["data.pinned"] == "warn", str(ran)
    assert same_artifact(ran)
    assert [f for f in FILES if not (ran.folder / f).is_file()] == []
    done = [stage["name"] for stage in ran.record("stages.json") if stage["done"]]
    assert set(done) >= {*STAGES, "robustness", "load", "stop", "fuzz", "trainings", "scan"}
    assert [stage for stage in done if stage in STAGES] == STAGES
    assert "trained on 3 rows: weight 2.000" in (ran.folder / "train/log.txt").read_text(encoding="utf-8")
    cases = Counter(case.partition(":")[0] for case in ran.exchanges)
    assert {"example": 1, "batch": 1, "single": 2, "reversed": 1, "again": 2}.items() <= cases.items()
    assert cases["recovers"] == sum(number for case, number in cases.items() if case.startswith("rejects-")) >= 15
    assert "PASSED" in ran.out
    assert str(ran.folder) in ran.out
    assert ran.err == ""


def test_the_project_without_a_dockerfile_passes(mini: Mini, run_harness: Harness) -> None:
    """Code whose training image the harness supplies passes; `test_builders` has the three ways to hand over."""
    ran = run_harness(mini.copy(PROJECTS / "no-dockerfile"))
    ran.assert_passed()
    for check in ("images.built", "train.loss-decreases", "artifact.handed-over", "contract.examples"):
        assert ran.statuses[check] == "pass", str(ran)
    assert ran.statuses["train.outside-build"] == "pass"
    assert same_artifact(ran)


@defect("artifact.handed-over", "the serving image changes a byte of what training left")
def test_an_artifact_that_is_not_the_one_trained(mini: Mini, run_harness: Harness) -> None:
    """A model that still answers well, but is another file: 1 by `artifact.handed-over` alone, the file named."""
    ran = run_harness(mini.baking(after="RUN echo ' ' >> /model/model.json"))
    ran.assert_failed("artifact.handed-over", received="model.json: ")
    assert [name for name, status in ran.statuses.items() if status in ("fail", "error")] == ["artifact.handed-over"]


def test_a_slow_first_prediction_is_waited_for(mini: Mini, run_harness: Harness) -> None:
    """A model that takes seconds for its first prediction is ready late, not never."""
    ran = run_harness(mini(fault="slow-start"))
    ran.assert_passed()
    assert ran.record("serve/record.json")["seconds"] > 2.5


@pytest.mark.xdist_group("good")
def test_judging_again_finds_the_same(good: Good, run_harness: Harness) -> None:
    """`harness judge latest` needs no engine and finds what the run found, word for word."""
    before = good.ran.record("findings.json")
    again = run_harness(good.ran.project, "judge", "latest", env={"DOCKER_HOST": "unix:///nowhere.sock"})
    again.assert_passed()
    assert again.record("findings.json") == before


def test_the_lock_pins_and_stays(mini: Mini, run_harness: Harness) -> None:
    """`harness lock` pins the Dockerfile's own base and the data; locking again changes nothing.

    A run then passes `data.pinned`; a local base in place of the pinned one is a warning, never a pass.
    """
    project = mini.copy(PROJECTS / "baked")
    first = run_harness(project, "lock")
    assert (first.code, "commit it" in first.out) == (0, True), str(first)
    text = (project / "harness.lock").read_text(encoding="utf-8")
    assert all("@sha256:" in name for name in json.loads(text)["bases"])
    second = run_harness(project, "lock")
    assert (second.code, "unchanged" in second.out) == (0, True), str(second)
    assert (project / "harness.lock").read_text(encoding="utf-8") == text
    ran = run_harness(project)
    ran.assert_passed()
    assert ran.statuses["data.pinned"] == "pass"
    local = run_harness.base.startswith("harness-local/")
    assert ran.statuses["images.pinned"] == ("warn" if local else "pass"), str(ran)


def test_a_dependency_is_started_and_removed(mini: Mini, run_harness: Harness, engine: Engine) -> None:
    """A service that serving depends on is up and healthy before it, reachable by its name, and gone after the run."""
    project = mini(
        {
            "services": {
                "serve": {"depends_on": {"db": {"condition": "service_healthy"}}},
                "db": {
                    "image": "${BASE_IMAGE}",
                    "command": ["python3", "-c", DB],
                    "stop_signal": "SIGKILL",
                    "healthcheck": {"test": ["CMD", "python3", "-c", ASK], "interval": "1s", "retries": 20},
                },
            }
        },
        serve=NEIGHBOUR + serving_code(),
    )
    run_harness(project).assert_passed()
    assert engine.containers(project.name, running=False) == []


@pytest.mark.nightly
def test_a_bind_mounted_folder_of_the_user_stays_as_it_is(mini: Mini, run_harness: Harness) -> None:
    """An artifact folder that both services bind-mount is replaced by a volume: the user's own model survives."""
    project = mini(
        {
            "services": {
                "train": {"volumes": ["./data:/data:ro", "./model:/model"]},
                "serve": {"volumes": ["./model:/model:ro"]},
            }
        }
    )
    (project / "model").mkdir()
    ran = run_harness(project)
    ran.assert_passed()
    assert same_artifact(ran)
    assert list((project / "model").iterdir()) == []


@pytest.mark.serial
def test_the_data_volume_is_kept_and_cleaned(mini: Mini, run_harness: Harness, engine: Engine) -> None:
    """The dataset stays on the engine for the next run, until `harness clean` removes it."""
    project = mini()
    (project / "data/unique.txt").write_text(project.name, encoding="utf-8")

    def volumes() -> list[str]:
        found = engine.client.api.volumes(filters={"label": f"{labels.PROJECT}={project.name}"})
        return [volume["Name"] for volume in found.get("Volumes") or ()]

    ran = run_harness(project)
    ran.assert_passed()
    kept = f"harness-data-{ran.record('data.json')['sha256'][:32]}"
    assert kept in volumes()
    cleaned = run_harness(project, "clean")
    assert cleaned.code == 0, str(cleaned)
    assert f"removed volume {kept}" in cleaned.out
    assert volumes() == []
    run_harness(project).assert_passed()


def test_two_runs_of_one_project_at_once(mini: Mini, run_harness: Harness) -> None:
    """Two runs of one project at the same time, with data that no run had before, both pass with their own evidence."""
    project = mini()
    (project / "data/unique.txt").write_text(project.name, encoding="utf-8")
    first, second = run_harness.start(project), run_harness.start(project)
    for launched in (first, second):
        ran = launched.finish()
        assert ran.code == 0, str(ran)
    runs = [path for path in (project / ".harness/runs").iterdir() if not path.is_symlink()]
    assert len(runs) == 2
    artifacts = [json.loads((run / "artifact.json").read_text(encoding="utf-8"))["files"] for run in runs]
    assert artifacts[0] == artifacts[1] != []


@pytest.mark.nightly
def test_runs_of_a_baking_project_at_once(mini: Mini, run_harness: Harness) -> None:
    """Three runs whose trainings differ at the same time: each serves its own artifact, not that of the other."""
    train = (HERE / "mini/train.py").read_text(encoding="utf-8")
    train += "\nimport os\nPath('/model/noise.json').write_text(json.dumps(os.urandom(64).hex()))\n"
    project = mini.baking(train=train)
    for launched in [run_harness.start(project) for _ in range(3)]:
        launched.finish().assert_passed()


@pytest.mark.serial
@pytest.mark.nightly
def test_clean_beside_a_live_run_takes_nothing_from_it(mini: Mini, run_harness: Harness) -> None:
    """`harness clean` while a run trains leaves the run's things and its dataset alone."""
    slow = "import time; print('slowly', flush=True); time.sleep(2)\n"
    project = mini(train=slow + (HERE / "mini/train.py").read_text(encoding="utf-8"))
    launched = run_harness.start(project)
    launched.prints("train | slowly")
    cleaned = run_harness(project, "clean")
    assert cleaned.code == 0, str(cleaned)
    ran = launched.finish()
    ran.assert_passed()
    volume = f"harness-data-{ran.record('data.json')['sha256'][:32]}"
    assert volume not in cleaned.out, str(cleaned)


@pytest.mark.nightly
def test_names_and_ports_of_the_user_do_not_collide(
    mini: Mini, run_harness: Harness, engine: Engine, bystanders: dict[str, str]
) -> None:
    """A container name and a port that are taken already, and `restart: always`, do not disturb a run."""
    taken = engine.client.api.inspect_container(bystanders["stranger"])["Name"].lstrip("/")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        project = mini(
            {
                "services": {
                    "train": {"container_name": taken, "restart": "always"},
                    "serve": {"restart": "always", "ports": [f"127.0.0.1:{port}:8080"]},
                }
            }
        )
        run_harness(project).assert_passed()


@pytest.mark.xdist_group("good")
def test_the_project_is_left_as_it_was(good: Good) -> None:
    """A run writes below .harness alone, which ignores itself in git."""
    good.ran.assert_passed()
    assert own_files(good.ran.project) == good.before
    assert "*" in (good.ran.project / ".harness/.gitignore").read_text(encoding="utf-8").splitlines()


def test_a_single_file_as_data(mini: Mini, run_harness: Harness) -> None:
    """`data.path` may be one file: the train container finds it below the mount by its own name."""
    ran = run_harness(mini({"x-harness": {"data": {"path": "data/rows.csv"}}}))
    ran.assert_passed()
    assert [Path(f["path"]).name for f in ran.record("data.json")["files"]] == ["rows.csv"]
