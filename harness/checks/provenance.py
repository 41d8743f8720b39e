"""Check that it can be told where an artifact comes from."""

from __future__ import annotations

from collections.abc import Iterator

from harness.checks import check, failed, passed, warned
from harness.evidence.provenance import differences
from harness.evidence.records import Artifact, Finding, Images, Provenance

SHOWN = 5


@check("artifact.provenance")
def provenance(artifact: Artifact, images: Images, provenance: Provenance) -> Iterator[Finding]:
    """A statement names the artifact's files and the images, data, lock and commit that it was made of."""
    found = {file.path: file.sha256 for file in artifact.files}
    if wrong := list(differences(provenance.statement, found)):
        yield failed(
            expected=f"a statement about the {len(found)} files of the artifact",
            received="\n".join(wrong[:SHOWN]),
            advice="The record is not of this run's artifact: run again.",
        )
        return
    gaps = [
        f"{base.reference} of {base.service} has no digest"
        for base in images.bases
        if not base.digest and not base.local
    ]
    if provenance.no_commit:
        gaps.append(f"no commit is known: {provenance.no_commit}")
    if gaps:
        yield warned(
            expected="a commit and a digest for each base image",
            received="\n".join(gaps[:SHOWN]),
            advice="Keep the project in git, and pin base images by digest (`harness lock`).",
        )
        return
    changed = ", with changes that are not committed" if provenance.dirty else ""
    yield passed(f"{len(found)} files, made of commit {provenance.commit[:12]}{changed}: provenance.json")
