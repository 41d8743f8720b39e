"""Checks of what the artifact holds, how large it is, and where models are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase

from harness.checks import check, failed, passed, skipped, warned
from harness.config.spec import Spec
from harness.evidence.records import Artifact, Borrowed, Finding, Import, Kind, Note, Scan, ScannedFile, Status, Tracked
from harness.scanner.known import Category, categorise, danger

SHOWN = 8
FATAL = {Kind.OUTSIDE, Kind.EMBEDDED_CODE, Kind.COMPUTED_CALL}
HARMLESS = {Kind.EXTERNAL_DATA}
REMOVE = (
    "Take it out of git: `git rm --cached FILE`, add it to .gitignore, and keep it with `dvc add FILE` or "
    "`git lfs track FILE`; what must stay, such as a test fixture, is named in `artifact.in_git`."
)


@check("artifact.safe")
def safe(spec: Spec, scan: Scan) -> Iterator[Finding]:
    """Loading the artifact imports nothing that is dangerous or unknown."""
    block = spec.block.artifact
    own = (*scan.own, *block.own)
    imports = [(file, each) for file in scan.files for each in file.imports]
    groups: dict[Category, list[tuple[ScannedFile, Import]]] = {category: [] for category in Category}
    for file, each in imports:
        groups[categorise(each.module, each.name, own=own, allow=block.allow)].append((file, each))
    borrowed = {each.full: each for each in scan.borrowed}
    lent = [pair for pair in groups[Category.OWN] if pair[1].full in borrowed and pair[1].full not in block.allow]
    groups[Category.DANGEROUS] += lent
    groups[Category.OWN] = [pair for pair in groups[Category.OWN] if pair not in lent]
    findings = [*_unreadable(scan), *_imports(spec, groups, borrowed), *_notes(spec, scan)]
    yield from findings
    if not findings:
        formats = Counter(file.formats[0] for file in scan.files if file.formats)
        kinds = ", ".join(f"{count} {name}" for name, count in sorted(formats.items()))
        mine = f", {len(groups[Category.OWN])} of them of the project itself" if groups[Category.OWN] else ""
        yield passed(f"{len(scan.files)} files ({kinds}), {len(imports)} imports, all known{mine}")


def _unreadable(scan: Scan) -> Iterator[Finding]:
    for file in scan.files:
        if file.error:
            yield Finding(
                Status.ERROR,
                received=f"{file.path} ({' > '.join(file.formats) or 'unknown'}): {file.error}",
                expected="a file that can be read to its end without executing it",
                advice="Save it in a format that can be read: joblib or pickle as written by them, safetensors, skops.",
            )


def _imports(
    spec: Spec, groups: dict[Category, list[tuple[ScannedFile, Import]]], borrowed: dict[str, Borrowed]
) -> Iterator[Finding]:
    altered = [pair for pairs in groups.values() for pair in pairs if pair[1].use.word == "altered"]
    dangerous = groups[Category.DANGEROUS] + [pair for pair in altered if pair not in groups[Category.DANGEROUS]]
    if dangerous:
        yield failed(
            expected="imports that only rebuild the model",
            received=_listed([_where(file, each, _why(each, borrowed)) for file, each in dangerous]),
            advice="Do not load this file. Find out who wrote it; save the model without functions and lambdas, in "
            "skops, safetensors or ONNX; an import that you do need is named in full in `artifact.allow`.",
        )
    if unknown := [pair for pair in groups[Category.UNKNOWN] if pair not in altered]:
        yield _lax(spec)(
            expected="imports of a known framework or of the project itself",
            received=_listed([_where(file, each, "not on any list") for file, each in unknown]),
            advice="Name the project's own modules in `artifact.own`, and packages that you trust in `artifact.allow`.",
        )


def _notes(spec: Spec, scan: Scan) -> Iterator[Finding]:
    notes = [(file, note) for file in scan.files for note in file.notes if note.kind not in HARMLESS]
    if fatal := [pair for pair in notes if pair[1].kind in FATAL]:
        yield failed(
            expected="a model that brings no code, calls what it names, and reads no files outside its folder",
            received=_listed([_noted(file, note) for file, note in fatal]),
            advice="Do not load this file before you know who wrote it. Save the model without Lambda layers and bound "
            "methods, and its external data beside it.",
        )
    if rest := [pair for pair in notes if pair[1].kind not in FATAL]:
        yield _lax(spec)(
            expected="files in formats that can be looked into, and nothing else in them",
            received=_listed([_noted(file, note) for file, note in rest]),
            advice="Leave out of the artifact what serving does not need; nobody can say what these would do.",
        )


@check("artifact.size")
def size(spec: Spec, artifact: Artifact) -> Iterator[Finding]:
    """The artifact is no larger than the project allows."""
    whole = sum(file.size for file in artifact.files)
    budget = spec.block.artifact.max_size
    largest = max(artifact.files, key=lambda file: file.size, default=None)
    most = f", most of it {largest.path} ({_bytes(largest.size)})" if largest and len(artifact.files) > 1 else ""
    if budget is None:
        yield passed(f"{_bytes(whole)}{most}; no budget is set (`artifact.max_size`)")
    elif whole <= budget:
        yield passed(f"{_bytes(whole)} of {_bytes(budget)}{most}")
    else:
        yield failed(
            expected=f"at most {_bytes(budget)} (`artifact.max_size`)",
            received=f"{_bytes(whole)}{most}",
            advice="Compress it, leave out what serving does not need, or raise the budget.",
        )


@check("artifact.not-in-git")
def not_in_git(spec: Spec, tracked: Tracked) -> Iterator[Finding]:
    """Trained models are kept outside git, or as pointers to Git LFS or DVC."""
    if tracked.skipped is not None:
        yield skipped(tracked.skipped)
        return
    allowed = spec.block.artifact.in_git
    models = [file for file in tracked.files if not any(fnmatchcase(file.path, pattern) for pattern in allowed)]
    unread = f"; {tracked.unread} more were not looked at" if tracked.unread else ""
    if not models:
        pointers = f", {tracked.pointers} pointers to LFS or DVC" if tracked.pointers else ""
        exempt = f", {len(tracked.files)} models allowed by `artifact.in_git`" if tracked.files else ""
        yield passed(f"{tracked.looked_at} tracked files, no model{pointers}{exempt}{unread}")
        return
    yield _lax(spec)(
        expected="no model among the files that git tracks",
        received=_listed([f"{file.path}: {_bytes(file.size)}, {file.reason}" for file in models]) + unread,
        advice=REMOVE,
    )


def _lax(spec: Spec) -> Callable[..., Finding]:
    """Return how to find what was never promised: strict projects fail."""
    return failed if spec.block.contract.strict else warned


def _why(each: Import, borrowed: dict[str, Borrowed]) -> str:
    if origin := borrowed.get(each.full):
        return f"is {origin.module}.{origin.name}, which {danger(origin.module, origin.name)}"
    return danger(each.module, each.name) or "overwrites attributes of the imported thing itself"


def _where(file: ScannedFile, each: Import, why: str) -> str:
    times = f", {each.count} times" if each.count > 1 else ""
    return f"{file.path}{_inside(each.where)}, byte {each.position}: {each.full} ({each.use.word}{times}): {why}"


def _noted(file: ScannedFile, note: Note) -> str:
    return f"{file.path}{_inside(note.where)}: {note.kind}: {note.text}"


def _inside(where: str) -> str:
    return f" > {where}" if where else ""


def _listed(lines: list[str]) -> str:
    more = [f"... and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return "\n".join([*lines[:SHOWN], *more])


def _bytes(count: int) -> str:
    """Return a size in the unit that a person would choose."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"
