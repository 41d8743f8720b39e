"""Checks of the artifact on its way from training to serving."""

from __future__ import annotations

from collections.abc import Iterator

from harness.checks import check, failed, passed
from harness.records import Artifact, FileHash, Finding, Serving, Training, digest_of, is_housekeeping
from harness.spec import Handover

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
def handed_over(artifact: Artifact, serve: Serving) -> Iterator[Finding]:
    """The serving container sees, byte for byte, the files that training left."""
    seen = {file.path: file for file in serve.files or ()}
    lost = [file.path for file in artifact.files if file.path not in seen and not is_housekeeping(file.path)]
    changed = [file for file in artifact.files if file.path in seen and seen[file.path].sha256 != file.sha256]
    if not lost and not changed:
        yield passed(f"{len(artifact.files)} files, SHA-256 {digest_of(artifact.files)[:12]} on both sides")
        return
    received = [f"{path}: not at {serve.artifact_path}" for path in lost]
    received += [_difference(file, seen[file.path]) for file in changed]
    more = [f"... and {len(received) - SHOWN} more"] if len(received) > SHOWN else []
    yield failed(
        expected=f"the {len(artifact.files)} files of {artifact.path}, as training left them, at {serve.artifact_path}",
        received="\n".join([*received[:SHOWN], *more]),
        advice=WAYS[serve.handover],
    )


def _difference(left: FileHash, seen: FileHash) -> str:
    return f"{left.path}: {left.size} bytes {left.sha256[:12]} left, {seen.size} bytes {seen.sha256[:12]} seen"
