"""Scans the artifact on the host, where nothing of it is ever loaded."""

from __future__ import annotations

import ast
import os
import time
from collections.abc import Iterator
from pathlib import Path

from harness.evidence.records import Artifact, Borrowed, Scan, ScannedFile
from harness.runner.stages import Recording
from harness.scanner import scan_file
from harness.scanner.known import Category, categorise, is_dangerous
from harness.scanner.source import Budget

SECONDS = 300.0  # for all files together
MAX_SOURCES = 50_000  # files of the project that are looked at for its own modules
MAX_SOURCE = 2 * 1024**2  # bytes of one that is parsed
_PASSED_OVER = {".git", ".harness", ".tox", ".venv", "venv", "node_modules", "__pycache__", "site-packages"}


def collect(run: Recording, artifact: Artifact) -> Scan:
    """Scan every file of the run folder's artifact, and find out which imports are the project's own code.

    Raises RunOverError when the run ends meanwhile.
    """
    start = time.monotonic()
    files = tuple(
        scan_file(
            run.folder.path / "artifact" / file.path,
            file.path,
            Budget(seconds=max(SECONDS - (time.monotonic() - start), 0.0), over=run.over),
        )
        for file in artifact.files
    )
    own = own_modules(run.spec.root, files)
    return Scan(files, own, time.monotonic() - start, borrowed_names(run.spec.root, files, own))


def own_modules(root: Path, files: tuple[ScannedFile, ...]) -> tuple[str, ...]:
    """Return the modules that the artifact imports, that nobody knows, and of which the project holds the source.

    `features.build` is the project's own when a file `features/build.py` or `features/build/__init__.py` lies
    anywhere below it: where its images put it is theirs to say.
    """
    imports = {(i.module, i.name) for file in files for i in file.imports}
    wanted = {module for module, name in imports if categorise(module, name) is Category.UNKNOWN}
    if not wanted:
        return ()
    parts = {tuple(module.split(".")): module for module in wanted}
    longest = max(map(len, parts))
    found = set()
    for path in _sources(root):
        found |= {parts[tail] for tail in _tails(path, longest) if tail in parts}
    return tuple(sorted(found))


def borrowed_names(root: Path, files: tuple[ScannedFile, ...], own: tuple[str, ...]) -> tuple[Borrowed, ...]:
    """Return the imports from the project's own modules that are, by their source, dangerous names of others.

    `train.check_output` is the project's own module and runs programs all the same where `train.py` says
    `from subprocess import check_output`. What any source defines itself is its own. `__main__` may be each of them.
    """
    names: dict[tuple[str, ...], set[str]] = {}
    for each in (i for file in files for i in file.imports if i.module in (*own, "__main__")):
        names.setdefault(tuple(each.module.split(".")), set()).add(each.name)
    longest = max(map(len, names), default=0)
    found, defined = {}, set()
    for path in _sources(root) if names else ():
        modules = [module for module in (*_tails(path, longest), ("__main__",)) if module in names]
        wanted = {name.partition(".")[0] for module in modules for name in names[module]}
        if not (tree := _tree(root / path, wanted)):
            continue
        own_names, imported = _bound(tree)
        for module in modules:
            for name in names[module]:
                first, _, rest = name.partition(".")
                defined |= {(module, name)} if first in own_names else set()
                whose, what = imported.get(first, ("", ""))
                what = f"{what}.{rest}".strip(".")
                if what and is_dangerous(whose, what):
                    found[module, name] = Borrowed(f"{'.'.join(module)}.{name}", whose, what)
    return tuple(found[key] for key in sorted(found) if key not in defined)


def _tree(path: Path, wanted: set[str]) -> ast.Module | None:
    """Parse a source that holds any of the words; None for one that does not, or that is no Python."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_SOURCE).decode("utf-8", "replace")
        return ast.parse(text) if any(word in text for word in wanted) else None
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _bound(tree: ast.Module) -> tuple[set[str], dict[str, tuple[str, str]]]:
    """Return the names that a source defines, and those that it imports: a module and the name in it, or nothing."""
    defined: set[str] = set()
    imported: dict[str, tuple[str, str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {(a.asname or a.name): (a.name, "") for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imported |= {(a.asname or a.name): (node.module, a.name) for a in node.names}
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            defined.add(node.name)
    return defined, imported


def _tails(path: Path, longest: int) -> list[tuple[str, ...]]:
    """Return the modules that a source can be, by where its folder lies on the path: `a.b.c`, `b.c` and `c`."""
    module = path.parts[:-1] if path.name == "__init__.py" else (*path.parts[:-1], path.stem)
    return [tuple(module[-n:]) for n in range(1, longest + 1)]


def _sources(root: Path) -> Iterator[Path]:
    seen = 0
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in _PASSED_OVER)
        for name in names:
            seen += 1
            if seen > MAX_SOURCES:
                return
            if name.endswith(".py"):
                yield (Path(folder) / name).relative_to(root)
