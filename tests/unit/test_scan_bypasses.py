"""Files that pass a scanner which trusts names, first bytes or the order of things: none passes `artifact.safe`."""

from __future__ import annotations

import importlib
import pkgutil
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path

import builders
import pytest
from builders import evidence, scan
from bypasses import BYPASSES, dotted, torch
from defects import defect

from harness.checks import all_checks
from harness.checks.judge import judge_one
from harness.evidence.records import Borrowed, Finding, Import, Status, Use
from harness.runner.stages.scan import borrowed_names, own_modules
from harness.scanner import scan_file
from harness.scanner.known import Category, categorise

SAFE = next(check for check in all_checks() if check.name == "artifact.safe")


def judged(content: bytes, folder: Path) -> list[Finding]:
    path = folder / "model.bin"
    path.write_bytes(content)
    return list(judge_one(evidence(spec=builders.spec(), scan=scan(scan_file(path, "model.bin"))), SAFE))


@pytest.mark.parametrize(
    ("content", "status"),
    [
        pytest.param(*case, id=what, marks=defect("artifact.safe", what, proof="file", status=case[1]))
        for what, case in BYPASSES.items()
    ],
)
def test_no_way_past(content: bytes, status: str, tmp_path: Path) -> None:
    """From the file to the verdict: it fails, it cannot be read, or somebody has to look at it."""
    assert status in {str(finding.status) for finding in judged(content, tmp_path)}


def test_the_zip_archives_show_python_the_harmless_one(tmp_path: Path) -> None:
    """What Python's zipfile reads in the archive with two directories is harmless: the refusal is what catches it."""
    path = tmp_path / "two.pt"
    path.write_bytes(BYPASSES["a zip archive with two directories"][0])
    with zipfile.ZipFile(path) as archive:
        assert b"posix" not in archive.read("m/data.pkl")
    assert [finding.status for finding in judged(torch(b"\x80\x04N."), tmp_path)] == [Status.PASS]


ADVISORIES = (
    "uuid._get_command_stdout platform.popen _osx_support._read_output _aix_support._read_cmd_output "
    "ensurepip._run_pip _pyrepl.pager.pipe_pager _imp.create_dynamic _frozen_importlib_external.SourceFileLoader "
    "pkg_resources.run_script test.support.script_helper.assert_python_ok unittest.mock._importer site.addpackage "
    "modulefinder.ModuleFinder imaplib.IMAP4_stream smtpd.SMTPServer urllib3.request httpx.get _pyio.open "
    "codecs.open gzip.open bz2.open lzma.open logging.handlers.SocketHandler logging.FileHandler gettext.c2py "
    "typing._eval_type dataclasses._create_fn concurrent.futures.process._process_worker mailcap.findmatch "
    "tracemalloc.Snapshot copyreg.pickle torch.utils.benchmark.Timer torch.testing._internal.common_utils.shell "
    "torch.fx.graph.PythonCode torch.save torch.jit.unsupported_tensor_ops.execWrapper torch.PyTorchFileWriter "
    "torch.classes.load_library torch.ops.load_library torch.utils.data.datapipes.utils.decoder.basichandlers "
    "torch.utils.model_zoo.load_url torch.export.load pandas.core.computation.expr.Expr "
    "pandas.compat.pickle_compat.load pandas.read_csv pandas.DataFrame.query joblib.Memory "
    "joblib.parallel.Parallel joblib._parallel_backends.x joblib.dump numpy.save numpy.fromfile "
    "numpy.lib.format.open_memmap numpy.lib._datasource.open numpy.apply_along_axis numpy.core._ufunc_reconstruct "
    "sklearn.feature_selection._base._get_feature_importances sklearn.metrics.pairwise._parallel_pairwise "
    "sklearn.callback._transport.Client lightgbm.compat.Client pyspark.cloudpickle._make_skel_func "
    "ray.cloudpickle.loads srsly.cloudpickle.loads yaml.unsafe_load jsonpickle.decode jinja2.Template "
    "IPython.get_ipython pytest.main werkzeug.utils.import_string psutil.Popen pexpect.run numexpr.evaluate "
    "sympy.sympify fsspec.open mlflow.pyfunc.load_model skops.io.load keras.models.load_model "
    "keras.utils.get_file tensorflow.io.write_file statsmodels.iolib.smpickle.load_pickle nltk.data.load "
    "pathlib.Path.unlink sklearn.preprocessing.__path__ sklearn._loss._loss.__builtins__ features.__loader__ "
)


@pytest.mark.parametrize("full", ADVISORIES.split())
def test_names_of_advisories(full: str) -> None:
    """Names by which other scanners were passed are dangerous, wherever the name is cut into module and attribute."""
    module, _, name = full.rpartition(".")
    first, _, rest = full.partition(".")
    assert categorise(module, name) is Category.DANGEROUS
    assert categorise(first, rest) is Category.DANGEROUS


@pytest.mark.parametrize(
    "full",
    [
        *("sklearn.metrics._scorer.partial", "sklearn.metrics.pairwise.np", "sklearn.metrics._scorer.copy"),
        *(
            "sklearn.utils._testing.TempMemmap",
            "sklearn.externals._arff.ArffDecoder",
            "sklearn.tree.tests.test_tree.Popen",
        ),
        *("scipy.special._precompute.hyp2f1_data.Pool", "sklearn.metrics._plot.roc_curve"),
    ],
)
def test_names_that_no_list_has(full: str) -> None:
    """What a known package imports for itself, tests and its own copies of others, is no part of a model."""
    module, _, name = full.rpartition(".")
    assert categorise(module, name) is Category.UNKNOWN


def _known_names(package: str) -> Iterator[tuple[str, object]]:
    """Everything in the modules of an installed package that the lists call harmless."""
    for info in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.", onerror=lambda _: None):
        if "tests" in info.name:
            continue
        module = importlib.import_module(info.name)
        for name in dir(module):
            if categorise(info.name, name) is Category.KNOWN:
                yield f"{info.name}.{name}", getattr(module, name)


@pytest.mark.parametrize(
    "package", ["sklearn.metrics", "sklearn.feature_selection", "sklearn.preprocessing", "sklearn.linear_model"]
)
def test_no_known_name_is_a_dangerous_thing(package: str) -> None:
    """No name that is known as harmless is, in the installed package, a module or a dangerous function."""
    odd, seen = [], 0
    for full, value in _known_names(package):
        seen += 1
        module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
        if isinstance(value, types.ModuleType) or (
            isinstance(module, str) and isinstance(name, str) and categorise(module, name) is Category.DANGEROUS
        ):
            odd.append(full)
    assert seen > 30
    assert not odd


SOURCES = {
    "train.py": "from subprocess import check_output\nimport numpy as np\n\ndef scale(x):\n    return x\n",
    "src/pack/__init__.py": "import os as system_things\nfrom joblib import load\n\ndef load(path):\n    return path\n",
    "broken.py": "from os import system\n)",
}


def _borrowed(root: Path, module: str, name: str) -> tuple[Borrowed, ...]:
    builders.write_files(root, SOURCES)
    (root / "m.pkl").write_bytes(dotted(module, name))
    files = (scan_file(root / "m.pkl", "m.pkl"),)
    return borrowed_names(root, files, own_modules(root, files))


@pytest.mark.parametrize(
    ("module", "name", "origin"),
    [
        ("train", "check_output", "subprocess.check_output"),
        ("__main__", "check_output", "subprocess.check_output"),
        ("train", "scale", None),
        ("pack", "load", None),  # the last definition counts
        ("broken", "system", None),  # nobody can import it
        ("elsewhere", "check_output", None),
    ],
)
def test_names_that_the_project_has_from_elsewhere(module: str, name: str, origin: str | None, tmp_path: Path) -> None:
    """A name of the project's own module is what its source says it is."""
    found = _borrowed(tmp_path, module, name)
    assert [f"{each.module}.{each.name}" for each in found] == ([origin] if origin else [])


@defect("artifact.safe", "runs a program that the project's own module imports", proof="file")
def test_a_borrowed_name_is_caught(tmp_path: Path) -> None:
    """From the source and the file to the verdict; named in full it is allowed."""
    builders.write_files(tmp_path, SOURCES)
    (tmp_path / "m.pkl").write_bytes(dotted("train", "check_output"))
    files = (scan_file(tmp_path / "m.pkl", "m.pkl"),)
    own = own_modules(tmp_path, files)
    seen = scan(*files, own=own, borrowed=borrowed_names(tmp_path, files, own))
    (finding,) = judge_one(evidence(spec=builders.spec(), scan=seen), SAFE)
    assert finding.status is Status.FAIL
    assert "train.check_output (called): is subprocess.check_output, which runs programs" in str(finding.received)
    allowed = builders.spec({"artifact": {"allow": ["train.check_output"]}})
    (finding,) = judge_one(evidence(spec=allowed, scan=seen), SAFE)
    assert finding.status is Status.PASS


def test_a_getter_is_judged_by_what_it_returns(tmp_path: Path) -> None:
    """`getattr` of a class is how older protocols name its functions: the name stands in the list, not the getter."""
    path = tmp_path / "m.pkl"
    path.write_bytes(b"cbuiltins\ngetattr\n(czoneinfo\nZoneInfo\nV_unpickle\ntR(VEurope/Berlin\nI01\ntR.")
    assert {(each.full, each.use) for each in scan_file(path, "m.pkl").imports} == {
        ("zoneinfo.ZoneInfo", Use.REFERENCED),
        ("zoneinfo.ZoneInfo._unpickle", Use.CALLED),
    }
    path.write_bytes(b"cbuiltins\ngetattr\np0\n(cmine\nThing\nVmake\ntR0(lp1\ng0\na.")  # kept for later, too
    assert Import("builtins", "getattr", 0, Use.CALLED) in scan_file(path, "m.pkl").imports
