"""The checks of the artifact's content, size and place: records that pass, warn and fail, and what is said."""

from __future__ import annotations

from typing import Any

import builders
import pytest
from builders import artifact, evidence, scan, scanned, tracked
from defects import defect, shows

from harness.checks import all_checks
from harness.checks.judge import judge_one
from harness.evidence.records import (
    Evidence,
    FileHash,
    Finding,
    Import,
    Kind,
    Note,
    ScannedFile,
    Status,
    TrackedFile,
    Use,
)
from harness.scanner.known import Category, categorise, danger

CHECKS = {check.name: check for check in all_checks()}
SYSTEM = Import("posix", "system", 120, Use.CALLED, "zlib > array at 80")
BIG = "1.1 KB, most of it model.bin (1.0 KB)"
UNKNOWN = Import("somebody.model", "Thing", 7, Use.BUILT)
STRICT: dict[str, Any] = {"contract": {"strict": True}}


def judged(name: str, block: dict[str, Any] | None = None, **changes: Any) -> list[Finding]:
    given: Evidence = evidence(spec=builders.spec(block), **changes)
    return list(judge_one(given, CHECKS[name]))


def one(name: str, block: dict[str, Any] | None = None, **changes: Any) -> Finding:
    (finding,) = judged(name, block, **changes)
    return finding


def test_safe() -> None:
    """A harmless model passes, and the finding says what was looked at."""
    finding = one("artifact.safe")
    assert finding.status is Status.PASS
    assert finding.received == "1 files (1 zlib), 1 imports, all known"


@defect("artifact.safe", "calls os.system")
def test_dangerous() -> None:
    """A dangerous import fails, named with its place, its use and what it could do."""
    finding = one("artifact.safe", scan=scan(scanned(SYSTEM)))
    assert finding.status is Status.FAIL
    assert finding.received == "model.joblib > zlib > array at 80, byte 120: posix.system (called): runs programs"
    assert "Do not load this file" in finding.advice


@defect("artifact.safe", "changes a known class")
def test_altered() -> None:
    """A known class that is changed by the file fails too."""
    finding = one("artifact.safe", scan=scan(scanned(Import("numpy", "ndarray", 3, Use.ALTERED))))
    assert finding.status is Status.FAIL
    assert "overwrites attributes" in finding.received


@pytest.mark.parametrize(("block", "status"), [({}, Status.WARN), (STRICT, Status.FAIL)])
def test_unknown(block: dict[str, Any], status: Status) -> None:
    """What is on no list warns, and fails a strict project."""
    finding = one("artifact.safe", block, scan=scan(scanned(UNKNOWN)))
    assert finding.status is status
    assert "somebody.model.Thing (built): not on any list" in finding.received


@pytest.mark.parametrize(
    "block",
    [
        {"artifact": {"own": ["somebody"]}},
        {"artifact": {"own": ["somebody.model"]}},
        {"artifact": {"allow": ["somebody.*"]}},
        {"artifact": {"allow": ["somebody.model.Thing"]}},
    ],
)
def test_own_and_allowed(block: dict[str, Any]) -> None:
    """The project names its own modules and what it trusts."""
    assert one("artifact.safe", {**block, **STRICT}, scan=scan(scanned(UNKNOWN))).status is Status.PASS


def test_own_modules_that_were_found() -> None:
    """A module whose source lies in the project, and `__main__`, are the project's own."""
    given = scan(scanned(UNKNOWN, Import("__main__", "scale", 9, Use.REFERENCED)), own=("somebody.model",))
    finding = one("artifact.safe", STRICT, scan=given)
    assert finding.status is Status.PASS
    assert "2 of them of the project itself" in finding.received


@pytest.mark.parametrize(
    ("allow", "status"), [("*", Status.FAIL), ("posix.*", Status.FAIL), ("posix.system", Status.PASS)]
)
def test_dangerous_is_allowed_by_its_full_name_only(allow: str, status: Status) -> None:
    """No wildcard lets a dangerous import through, and no name of an own module does."""
    block = {"artifact": {"allow": [allow], "own": ["posix"]}}
    assert one("artifact.safe", block, scan=scan(scanned(SYSTEM))).status is status


def test_unreadable_is_an_error() -> None:
    """A file that could not be read is an error beside what was found in it, never clean."""
    findings = judged("artifact.safe", scan=scan(scanned(SYSTEM, error="breaks off at byte 9")))
    assert [finding.status for finding in findings] == [Status.ERROR, Status.FAIL]
    assert "breaks off at byte 9" in findings[0].received


NOTES = [
    (Kind.OUTSIDE, Status.FAIL),
    (Kind.EMBEDDED_CODE, Status.FAIL),
    (Kind.EXTERNAL_DATA, Status.PASS),
    (Kind.UNKNOWN, Status.WARN),
    (Kind.NATIVE_CODE, Status.WARN),
    (Kind.CUSTOM_OPERATOR, Status.WARN),
    (Kind.COMPUTED_CALL, Status.FAIL),
    (Kind.TRAILING, Status.WARN),
]


@pytest.mark.parametrize(
    ("kind", "status"), [pytest.param(*note, marks=shows("artifact.safe", note[1], note[0].value)) for note in NOTES]
)
def test_notes(kind: Kind, status: Status) -> None:
    """Code and files from outside fail; what nobody can look into warns."""
    given = scan(ScannedFile("m.onnx", 10, ("onnx",), (), (Note(kind, "this"),)))
    assert one("artifact.safe", scan=given).status is status
    if status is Status.WARN:
        assert one("artifact.safe", STRICT, scan=given).status is Status.FAIL


def test_long_lists_are_cut() -> None:
    """Of many imports the first are shown."""
    many = tuple(Import("os", f"f{n}", n, Use.CALLED) for n in range(20))
    assert one("artifact.safe", scan=scan(scanned(*many))).received.endswith("... and 12 more")


@pytest.mark.parametrize(
    ("budget", "status", "received"),
    [
        (None, Status.PASS, "1.1 KB, most of it model.bin (1.0 KB); no budget is set (`artifact.max_size`)"),
        ("2KB", Status.PASS, "1.1 KB of 2.0 KB, most of it model.bin (1.0 KB)"),
        (1060, Status.PASS, "1.1 KB of 1.1 KB, most of it model.bin (1.0 KB)"),
        pytest.param("1KB", Status.FAIL, BIG, marks=shows("artifact.size", Status.FAIL, BIG)),
        ("1 KiB", Status.FAIL, BIG),
    ],
)
def test_size(budget: Any, status: Status, received: str) -> None:
    """The size of all files is held against the budget; without one it is reported."""
    finding = one("artifact.size", {"artifact": {"max_size": budget}} if budget else {})
    assert (finding.status, finding.received) == (status, received)


def test_size_of_one_file() -> None:
    """Nothing is said about the largest of one."""
    file = FileHash("m", 50_000_000, "0")
    assert one("artifact.size", artifact=artifact(files=(file,))).received.startswith("50.0 MB; no budget")


MODEL = TrackedFile("models/iris.joblib", 2_500_000, "joblib by its content")


def test_not_in_git() -> None:
    """A repository without models passes, pointers are fine and counted."""
    assert one("artifact.not-in-git").received == "40 tracked files, no model"
    assert one("artifact.not-in-git", tracked=tracked(pointers=2)).received.endswith("2 pointers to LFS or DVC")


@pytest.mark.parametrize(("block", "status"), [({}, Status.WARN), (STRICT, Status.FAIL)])
def test_in_git(block: dict[str, Any], status: Status) -> None:
    """A model in git warns, and fails a strict project; the finding says how to take it out."""
    finding = one("artifact.not-in-git", block, tracked=tracked(files=(MODEL,)))
    assert finding.status is status
    assert finding.received == "models/iris.joblib: 2.5 MB, joblib by its content"
    for word in ("git rm --cached", ".gitignore", "dvc add", "git lfs track"):
        assert word in finding.advice


def test_allowed_in_git() -> None:
    """Fixtures may be named."""
    finding = one("artifact.not-in-git", {"artifact": {"in_git": ["models/*"]}}, tracked=tracked(files=(MODEL,)))
    assert finding.status is Status.PASS
    assert "1 models allowed" in finding.received


def test_no_repository() -> None:
    """Without git the check is skipped, with the reason; a limit is said."""
    finding = one("artifact.not-in-git", tracked=tracked(skipped="not a git repository"))
    assert (finding.status, finding.received) == (Status.SKIP, "not a git repository")
    assert "7 more were not looked at" in one("artifact.not-in-git", tracked=tracked(unread=7)).received


@pytest.mark.parametrize(
    ("module", "name", "category"),
    [
        ("numpy", "ndarray", Category.KNOWN),
        ("numpy.core.multiarray", "_reconstruct", Category.KNOWN),
        ("numpy._core.multiarray", "scalar", Category.KNOWN),
        ("copy_reg", "_reconstructor", Category.KNOWN),  # Python 2
        ("__builtin__", "object", Category.KNOWN),
        ("sklearn.ensemble.forest", "RandomForestClassifier", Category.KNOWN),
        ("sklearn.ensemble._forest", "os", Category.UNKNOWN),
        ("sklearn.externals.joblib.numpy_pickle", "NumpyArrayWrapper", Category.KNOWN),
        ("sklearn.pipeline", "Outer.Inner", Category.KNOWN),
        ("sklearn.pipeline", "Outer.method", Category.UNKNOWN),
        ("numpy", "linspace", Category.UNKNOWN),
        ("numpy", "loadtxt", Category.DANGEROUS),
        ("numpy.f2py", "compile", Category.DANGEROUS),
        ("scipy.stats._continuous_distns", "norm_gen", Category.UNKNOWN),  # its state holds code that it executes
        ("torch.nn.modules.linear", "Linear", Category.KNOWN),
        ("torch.hub", "load", Category.DANGEROUS),
        ("builtins", "getattr", Category.DANGEROUS),
        ("builtins", "dict", Category.KNOWN),
        ("os.path", "join", Category.DANGEROUS),
        ("oslo", "Thing", Category.UNKNOWN),
        ("mine", "build", Category.UNKNOWN),
        ("__main__", "build", Category.OWN),
        ("__main__", "Model.__init__.__globals__", Category.DANGEROUS),
        ("__main__", "pd.eval", Category.DANGEROUS),
        ("features", "np.load", Category.DANGEROUS),  # through a module that the project imports
        ("scipy.interpolate._interpolate", "interp1d._call_linear_np", Category.KNOWN),
        ("features", "Outer.Inner.make", Category.UNKNOWN),
    ],
)
def test_categories(module: str, name: str, category: Category) -> None:
    """The lists say what they mean."""
    assert categorise(module, name) is category
    assert bool(danger(module, name)) == (category is Category.DANGEROUS)
