"""The structure that the design promises, read from the sources."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import builders
import pytest

PACKAGE = builders.REPO / "harness"
MODULES = sorted(PACKAGE.rglob("*.py"))
TOP = {"__init__", "__main__", "errors", "api", "pytest_plugin"}  # the modules that may stand beside the packages


def _name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache  # half a dozen tests walk through every module
def _nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(_tree(path)))


def _imports(path: Path) -> set[str]:
    """All top-level packages that a module imports, inside functions too."""
    found: set[str] = set()
    for node in _nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_import_rules() -> None:
    """import-linter keeps the direction of the imports: pyproject.toml has the layers."""
    program = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run(
        [program, "--no-cache"], cwd=builders.REPO, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_one_module_imports_the_sdk() -> None:
    """The Docker SDK is imported in the package `engine` only."""
    found = [_name(path) for path in MODULES if "docker" in _imports(path)]
    assert found
    assert all(name.startswith("engine/") for name in found)


def test_compose_is_called_in_one_module() -> None:
    """Few modules start programs, and only engine/compose.py starts Compose."""
    callers = {_name(path) for path in MODULES if "subprocess" in _imports(path)}
    callers |= {
        _name(path) for path in MODULES if "from harness.system.process import" in path.read_text(encoding="utf-8")
    }
    assert {name for name in callers if not name.startswith("provision/")} == {
        "client/fuzzer.py",
        "engine/compose.py",
        "project/dvc.py",
        "project/git.py",
        "system/process.py",
    }
    for path in MODULES:
        if _name(path) not in callers - {"engine/compose.py"}:
            continue
        for node in _nodes(path):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("subprocess."):
                words = {w.value for w in ast.walk(node) if isinstance(w, ast.Constant)}
                assert not words & {"compose", "docker-compose"}, f"{_name(path)}:{node.lineno}"


def test_the_fuzzer_starts_nothing_but_this_python() -> None:
    """fuzzer.py starts schemathesis with the interpreter that runs the harness, and no other program."""
    started = [
        ast.unparse(node.value)
        for node in _nodes(PACKAGE / "client/fuzzer.py")
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "argv"
    ]
    assert started
    assert all(argv.startswith("[sys.executable, '-P', '-m', f'{PACKAGE}.cli'") for argv in started)


def test_dvc_starts_nothing_but_dvc() -> None:
    """dvc.py starts the program `dvc` that is on the path, to pull and to add to a remote, and no other."""
    assigned = [node for node in _nodes(PACKAGE / "project/dvc.py") if isinstance(node, ast.Assign)]
    values = [(ast.unparse(node.targets[0]), ast.unparse(node.value)) for node in assigned]
    programs = {value.partition("(")[0] for name, value in values if name == "program"}
    assert programs == {"_program", "shutil.which"}
    assert [value.rstrip("]").split(", ")[:2] for name, value in values if name == "argv"] == [
        ["[program", "'pull'"],
        ["[program", "'add'"],
    ]


def test_only_reports_and_the_command_line_print() -> None:
    """What a person sees goes through a report: no other module prints or writes to a standard stream."""
    printing = []
    for path in MODULES:
        if _name(path).startswith("reports/") or _name(path) == "cli/main.py":
            continue
        for node in _nodes(path):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
            stream = isinstance(node, ast.Attribute) and ast.unparse(node) in {"sys.stdout", "sys.stderr"}
            if called or stream:
                printing.append(f"{_name(path)}:{getattr(node, 'lineno', '?')}")
    assert not printing


def test_one_place_exits() -> None:
    """`sys.exit` stands in __main__.py alone: everything else can be used as a library."""
    exits = [
        _name(path)
        for path in MODULES
        for node in _nodes(path)
        if (isinstance(node, ast.Attribute) and ast.unparse(node) in {"sys.exit", "os._exit"})
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"exit", "quit"})
        or (isinstance(node, ast.Name) and node.id == "SystemExit")
    ]
    assert set(exits) == {"__main__.py"}


def test_no_shell() -> None:
    """No command goes through a shell."""
    for path in MODULES:
        for node in _nodes(path):
            if isinstance(node, ast.keyword) and node.arg == "shell":
                assert isinstance(node.value, ast.Constant), _name(path)
                assert node.value.value is False, _name(path)


def test_checks_see_evidence_only() -> None:
    """Checks are pure: no module of them imports the engine, the network, the file system or a clock."""
    forbidden = {"docker", "http", "socket", "urllib", "requests", "time", "os", "pathlib", "subprocess", "random"}
    for path in (PACKAGE / "checks").glob("*.py"):
        assert not _imports(path) & forbidden, _name(path)


def test_the_house_has_few_rooms() -> None:
    """At most 18 packages stand at the top, and of modules only those that are no room of their own."""
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert 0 < len(packages) <= 18
    assert {path.stem for path in PACKAGE.glob("*.py")} <= TOP


@pytest.mark.parametrize("package", sorted(path.parent for path in PACKAGE.glob("*/__init__.py")), ids=lambda p: p.name)
def test_a_package_says_what_enters_and_what_leaves(package: Path) -> None:
    """The docstring of each package has one sentence of it: who looks for a room reads these alone."""
    said = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8"))) or ""
    assert any(re.match(r"In comes? .+; out comes? .+\.", part.replace("\n", " ")) for part in said.split("\n\n"))


def test_no_catch_all_module() -> None:
    """A module is named for what it does."""
    nondescript = {"utils", "util", "helpers", "helper", "misc", "common", "tools"}
    assert not [_name(path) for path in MODULES if path.stem in nondescript]


def test_every_module_has_a_sentence() -> None:
    """Every module begins with a docstring."""
    assert not [_name(path) for path in MODULES if not ast.get_docstring(_tree(path))]


def _types(path: Path) -> Iterator[tuple[str, int]]:
    """Yield name and line of each class, and of each alias of a type, at the top of a module."""
    for node in _tree(path).body:
        if isinstance(node, ast.ClassDef):
            yield node.name, node.lineno
            continue
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and re.fullmatch(r"_?[A-Z]\w*[a-z]\w*", target.id):  # no constant, no T
            yield target.id, node.lineno


def test_one_class_name_means_one_thing() -> None:
    """No two classes, and no class and no alias of a type, have one name: who reads it knows which is meant."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in MODULES:
        for name, line in _types(path):
            places[name].append(f"{_name(path)}:{line}")
    assert len(places) > 100
    assert not {name: found for name, found in places.items() if len(found) > 1}


def _modules_imported(path: Path, modules: dict[str, Path]) -> set[str]:
    """All modules of the package that a module imports when it is loaded or when its types are checked."""
    found: set[str] = set()
    pending: list[ast.AST] = list(_tree(path).body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            for name in (f"{node.module}.{alias.name}" for alias in node.names):
                found.add(name if name in modules else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        pending += ast.iter_child_nodes(node)
    return found & modules.keys()


def test_no_two_modules_import_each_other() -> None:
    """Of two modules one can be read without the other."""
    modules = {".".join(path.relative_to(builders.REPO).with_suffix("").parts): path for path in MODULES}
    modules = {name.removesuffix(".__init__"): path for name, path in modules.items()}
    imported = {name: _modules_imported(path, modules) for name, path in modules.items()}
    pairs = {tuple(sorted((one, other))) for one in imported for other in imported[one] if one in imported[other]}
    assert not pairs
