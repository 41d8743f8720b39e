"""Checks of what an artifact says of itself: the files that belong to it, and the versions that made it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.checks import LostEvidenceError, check, failed, passed, warned
from harness.config.spec import Spec
from harness.evidence.records import Artifact, Finding, Loaded, Manifest

SHOWN = 8
LEFTOVERS = (".partial", ".tmp", ".part", ".incomplete", ".crdownload")
MAY_BE_EMPTY = ("__init__.py", "py.typed")  # and hidden files such as .gitkeep


@check("artifact.complete")
def complete(artifact: Artifact, manifest: Manifest) -> Iterator[Finding]:
    """Every file that the artifact or the project names is there, as it was written, and nothing is half written."""
    problems = list(_incomplete(artifact, manifest))
    named = len({claim.file for claim in manifest.claims})
    by = ", ".join(sorted({claim.by for claim in manifest.claims}))
    if problems:
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        yield failed(
            expected=f"the {named} files that {by} names, unchanged"
            if named
            else "files that are written to their end",
            received="\n".join([*problems[:SHOWN], *more]),
            advice="Write each file under another name first and rename it when it is whole, the manifest last.",
        )
    elif empty := [file.path for file in artifact.files if file.size == 0 and not _may_be_empty(file.path)]:
        yield warned(
            expected="files with a content",
            received=f"empty: {', '.join(empty[:SHOWN])}",
            advice="Leave out what holds nothing, or name what is needed in `artifact.files`.",
        )
    else:
        known = f"all {named} that {by} names are there" if named else "none names others"
        yield passed(f"{len(artifact.files)} files; {known}; nothing is empty or left over")


@check("artifact.loads", rubric="Infra 6")
def loads(spec: Spec, manifest: Manifest, loaded: Loaded) -> Iterator[Finding]:
    """The serving container loads the artifact without a warning, with the versions that made it."""
    if loaded.warnings:
        yield failed(
            expected="no warning of another version while the artifact is loaded",
            received="\n".join(loaded.warnings[:SHOWN]),
            advice="Pin the same versions in the training and the serving image, and train again.",
        )
        return
    if loaded.lost:
        raise LostEvidenceError(f"the log of the service is not whole: {loaded.lost}")
    differing = list(_other_versions(manifest, loaded))
    if differing:
        find = failed if spec.block.contract.strict else warned
        yield find(
            expected=f"the versions that {manifest.versions_by} names",
            received="\n".join(differing[:SHOWN]),
            advice="Pin the same versions in the training and the serving image.",
        )
        return
    if not manifest.versions:
        known = "the artifact names no versions"
    elif not loaded.python:
        known = "the serving image has no Python that could say its versions"
    else:
        known = f"{len(manifest.versions)} versions of {manifest.versions_by} agree"
    yield passed(f"no warning in the log; {known}")


def _incomplete(artifact: Artifact, manifest: Manifest) -> Iterator[str]:
    files = {file.path: file for file in artifact.files}
    for claim in manifest.claims:
        file = files.get(claim.file)
        if file is None:
            yield f"{claim.file} is missing, which {claim.by} names"
        elif claim.sha256 and file.sha256 != claim.sha256:
            yield f"{claim.file}: SHA-256 {file.sha256[:12]}, where {claim.by} says {claim.sha256[:12]}"
        elif file.size == 0:
            yield f"{claim.file} is empty, which {claim.by} names"
    yield from manifest.unreadable
    yield from (f"{path} is left over" for path in files if path.lower().endswith(LEFTOVERS))


def _may_be_empty(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name in MAY_BE_EMPTY or name.startswith(".")


def _other_versions(manifest: Manifest, loaded: Loaded) -> Iterator[str]:
    """Yield the packages that serving has in another version; what only training needs is no difference."""
    installed = {"python": loaded.python, **loaded.packages} if loaded.python else {}
    for name, version in manifest.versions.items():
        found = installed.get(re.sub(r"[-_.]+", "-", name).lower())
        if found is not None and found != version:
            yield f"{name}: made with {version}, served with {found}"
