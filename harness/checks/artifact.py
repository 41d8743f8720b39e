"""Checks of the artifact on its way from training to serving."""

from __future__ import annotations

from collections.abc import Iterator

from harness.checks import check, failed, passed
from harness.config.spec import Handover
from harness.evidence.records import (
    Artifact,
    FileHash,
    Finding,
    Services,
    Serving,
    Training,
    digest_of,
    is_housekeeping,
)

SHOWN = 5
WAYS = {
    Handover.MOUNTED: "Mount one volume in both services at the artifact.",
    Handover.BAKED: "Let the serving Dockerfile copy `serve.bake`, and name in `serve.artifact` where to.",
    Handover.TRAINED_IN_BUILD: "Name in `serve.artifact` where the serving image keeps the artifact.",
}


@check("artifact.present")
def present(train: Training, artifact: Artifact) -> Iterator[Finding]:
    """Training that ends well leaves an artifact."""
    size = sum(file.size for file in artifact.files)
    if size > 0:
        yield passed(f"{len(artifact.files)} files, {size} bytes at {artifact.path}")
        return
    empty = f"{len(artifact.files)} empty files" if artifact.files else "no file that this training wrote"
    yield failed(
        expected=f"files at {artifact.path} after training",
        received=f"{train.exit.describe()}, but {artifact.missing or empty}",
        advice="Let training exit with another code than 0 when it could not save, or correct `train.artifact`.",
    )


@check("artifact.handed-over")
def handed_over(artifact: Artifact, serve: Serving, services: Services | None = None) -> Iterator[Finding]:
    """The serving container sees, byte for byte, the files that training, or the steps after it, left."""
    between = services if services is not None and services.left is not None else None
    left = artifact.files if between is None else between.left or ()
    who = "training" if between is None else ", ".join(between.steps)
    seen = {file.path: file for file in serve.files or ()}
    lost = [file.path for file in left if file.path not in seen and not is_housekeeping(file.path)]
    changed = [file for file in left if file.path in seen and seen[file.path].sha256 != file.sha256]
    if left and not lost and not changed:
        made = "" if between is None else f"; {_made(artifact, left, who)}"
        yield passed(f"{len(left)} files, SHA-256 {digest_of(left)[:12]} on both sides{made}")
        return
    received = [f"{path}: not at {serve.artifact_path}" for path in lost]
    received += [_difference(file, seen[file.path]) for file in changed]
    more = [f"... and {len(received) - SHOWN} more"] if len(received) > SHOWN else []
    what = f"the {len(left)} files of {artifact.path}" if between is None else f"the {len(left)} files"
    yield failed(
        expected=f"{what}, as {who} left them, at {serve.artifact_path}" if left else f"files that {who} left",
        received="\n".join([*received[:SHOWN], *more]) or f"{who} left no file at {serve.artifact_path}",
        advice=WAYS[serve.handover] if left else "Let the step end with another code than 0 when it wrote nothing.",
    )


def _made(artifact: Artifact, left: tuple[FileHash, ...], steps: str) -> str:
    """Say what the steps between did to the files that training left."""
    same = set(artifact.files) & set(left)
    if same == set(artifact.files) == set(left):
        return f"{steps} left them as training did"
    return f"made by {steps}: {len(same)} of the {len(artifact.files)} files of training are among them unchanged"


def _difference(left: FileHash, seen: FileHash) -> str:
    return f"{left.path}: {left.size} bytes {left.sha256[:12]} left, {seen.size} bytes {seen.sha256[:12]} seen"
