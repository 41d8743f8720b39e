"""The project's own code in the training image: tests and tables, with the restrictions of training."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from defects import defect

from harness.checks import all_checks
from harness.checks.judge import judge_one
from harness.engine import Engine, labels
from harness.engine.compose import Compose
from harness.evidence.records import Code, Evidence, Finding, Status
from harness.evidence.run_folder import RunFolder
from harness.project.description import load
from harness.runner.stages import Run
from harness.runner.stages import code as code_stage
from harness.runner.stages import images as images_stage

from ..support import Mini, nightly

pytestmark = [
    pytest.mark.engine,
    # The stage is called in this process, and the SDK leaves the socket of `attach` to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

FEATURES = 'def double(rows): return [{"y": row["x"] * 2} for row in rows]\n'
TESTS = """
import os, unittest, features
class T(unittest.TestCase):
    def test_doubles(self): self.assertEqual(features.double([{"x": 2}]), [{"y": 4}])
    def test_unprivileged(self): self.assertEqual(os.getuid(), 10001)
"""
HARD = {"user": "10001:10001", "read_only": True, "cap_drop": ["ALL"], "network_mode": "none"}  # as the reference


def project(mini: Mini, block: dict[str, Any], files: dict[str, str], *, pytest_too: bool = False) -> Path:
    """Make a project whose training image holds these files in /app; pytest comes from this machine."""
    train = {**HARD, "image": None, "build": {"context": "context", "args": ["BASE_IMAGE"]}}
    folder = mini({"services": {"train": train}, "x-harness": block})
    context = folder / "context"
    (context / "site").mkdir(parents=True)
    for name, text in {"features.py": FEATURES, **files}.items():
        (context / "app" / name).parent.mkdir(parents=True, exist_ok=True)
        (context / "app" / name).write_text(text, encoding="utf-8")
    for name in ("pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging", "pygments") if pytest_too else ():
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        origin = Path(spec.origin)
        if origin.stem == "__init__":
            shutil.copytree(origin.parent, context / "site" / name)
        else:
            shutil.copy(origin, context / "site")
    lines = ["ARG BASE_IMAGE", "FROM ${BASE_IMAGE}", "COPY site /site", "ENV PYTHONPATH=/site", "COPY app /app"]
    (context / "Dockerfile").write_text("\n".join([*lines, "WORKDIR /app", ""]), encoding="utf-8")
    return folder


def tried(root: Path) -> tuple[Code, dict[str, Finding]]:
    """Build the images and try the code; what was made goes at the end."""
    with Engine.connect() as engine:
        compose = Compose.find(engine.compose_host)
        spec = load(compose, root)
        folder = RunFolder.create(spec.root)
        marks = labels.labels_of_run(folder.id, spec.project)
        run = Run(spec=spec, engine=engine, compose=compose, folder=folder, labels=marks, say=lambda *_: None)
        try:
            code = code_stage.collect(run, images_stage.collect(run, rebuild=False), None)
        finally:
            for thing in engine.labelled(f"{labels.RUN_ID}={folder.id}"):
                engine.remove(thing)
    folder.write("spec", spec)
    folder.write("code", code)
    assert folder.load().code == code
    checks = [check for check in all_checks() if check.name.startswith("code.")]
    evidence = Evidence(spec=spec, code=code)
    return code, {check.name: list(judge_one(evidence, check))[-1] for check in checks}


@pytest.fixture(autouse=True)
def base_image(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage is called in this process."""
    monkeypatch.setenv("BASE_IMAGE", base)


TABLE = "x,expect:y\n1,2\n2.5,5\n"
OTHER = TABLE.replace("2.5,5", "2.5,6")
A_BAD_TEST = defect("code.unit-tests", "a test of the project fails")
A_BAD_VALUE = defect("code.features", "the transform gives another value than the table")
UNITTEST = ["python3", "-m", "unittest", "discover", "tests"]
BLOCK = {
    "data": None,
    "train": {"unit_tests": UNITTEST},
    "code": {"features": [{"transform": "features:double", "table": "table.csv"}]},
}


@pytest.mark.parametrize(
    ("tests", "table", "failing", "said"),
    [
        (TESTS, TABLE, "", ""),
        pytest.param(TESTS.replace('"y": 4', '"y": 5'), TABLE, "code.unit-tests", "test_doubles", marks=A_BAD_TEST),
        pytest.param(TESTS, OTHER, "code.features", "row 2, y: expected 6, received 5.0", marks=A_BAD_VALUE),
        pytest.param("", TABLE, "code.unit-tests", "0 tests", marks=defect("code.unit-tests", "there are no tests")),
    ],
    ids=["good", "bad-test", "bad-value", "no-tests"],
)
def test_code_in_the_training_image(tests: str, table: str, failing: str, said: str, mini: Mini) -> None:
    """With a read-only root and another user; each defect fails its check alone."""
    root = project(mini, BLOCK, {"tests/test_features.py": tests})
    (root / "table.csv").write_text(table, encoding="utf-8")
    code, found = tried(root)
    bad = {name for name, finding in found.items() if finding.status in (Status.FAIL, Status.ERROR)}
    assert bad == ({failing} if failing else set()), found
    assert said in (found[failing].received if failing else ""), found
    assert code.unit_tests is not None
    assert code.unit_tests.exit is not None


PYTEST = """
import pytest, features
def test_doubles(): assert features.double([{"x": 2}]) == [{"y": 4}]
@pytest.mark.skip
def test_later(): pass
"""
STRICT = "[pytest]\nfilterwarnings = error\naddopts = --strict-config\n"


@pytest.mark.parametrize(
    ("tests", "status", "said"),
    [
        (PYTEST, Status.PASS, "2 tests, 1 skipped"),
        (PYTEST.replace('"y": 4', '"y": 5'), Status.FAIL, "tests.test_a::test_doubles: AssertionError: assert [{'y'"),
        nightly("import nowhere\n", Status.FAIL, "tests.test_a"),
        nightly("", Status.FAIL, "0 tests"),
    ],
    ids=["good", "bad", "import-error", "none"],
)
def test_pytest_in_the_training_image(tests: str, status: Status, said: str, mini: Mini) -> None:
    """JUnit XML comes out of a container with a read-only root; warnings may be errors there."""
    block = {"train": {"unit_tests": ["python3", "-m", "pytest", "-q", "tests"]}}
    root = project(mini, block, {"tests/test_a.py": tests, "pytest.ini": STRICT}, pytest_too=True)
    _, found = tried(root)
    assert found["code.unit-tests"].status is status, found
    assert said in found["code.unit-tests"].received, found


@pytest.mark.parametrize("command", [["python3", "-m", "pytest", "tests"], nightly(["pytest", "tests"])])
@defect("code.unit-tests", "the training image has no pytest")
def test_an_image_without_pytest(command: list[str], mini: Mini) -> None:
    """What is missing is said, and where to add it; the run goes on."""
    _, found = tried(project(mini, {"train": {"unit_tests": command}}, {"tests/test_a.py": PYTEST}))
    finding = found["code.unit-tests"]
    assert finding.status is Status.FAIL
    assert finding.received == "the training image has no pytest"
    assert "requirements" in finding.advice


def test_any_command_may_write_junit(mini: Mini) -> None:
    """The environment names the file."""
    write = 'import os; open(os.environ["HARNESS_JUNIT"], "w").write("<testsuite><testcase name=\'a\'/></testsuite>")'
    code, found = tried(project(mini, {"train": {"unit_tests": ["python3", "-c", write]}}, {}))
    assert found["code.unit-tests"].status is Status.PASS, found
    assert code.unit_tests is not None
    assert json.dumps(code.unit_tests.command[-1]) == json.dumps(write)
