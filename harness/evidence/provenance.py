"""Says where an artifact comes from: an in-toto Statement (v1) whose predicate is SLSA provenance (v1).

Source: in-toto attestation framework, "Statement layer" v1; SLSA v1.0, "Provenance". Statements are not signed:
whoever needs that signs the file, for example with `cosign attest-blob`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from harness.errors import DescriptionError
from harness.evidence.records import Evidence

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:ml-container-harness:train:v1"
BUILDER = "urn:ml-container-harness"
FILE = "provenance.json"
CHUNK = 1024 * 1024

Statement = dict[str, Any]


def statement(
    evidence: Evidence,
    *,
    run: str,
    started: str,
    finished: str,
    code: Mapping[str, Any] | None,
    files: Mapping[str, str],
) -> Statement:
    """Return the statement about the artifact of a run that trained.

    `code` is the commit as a resource descriptor, None where there is no repository; `files` are the committed files
    that describe the run, by name, with their SHA-256. Times are RFC 3339. Raises ValueError without an artifact.
    """
    artifact, train, environment = evidence.artifact, evidence.train, evidence.environment
    if artifact is None or train is None:
        raise ValueError("expected the evidence of a training and its artifact")
    block = evidence.spec.block
    internal = {} if environment is None else {"engine": environment.engine, "compose": environment.compose}
    return {
        "_type": STATEMENT,
        "subject": [{"name": file.path, "digest": {"sha256": file.sha256}} for file in artifact.files],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "project": evidence.spec.project,
                    "service": block.train.service,
                    "command": list(train.command),
                    "hyperparameters": dict(block.train.hyperparameters),
                },
                "internalParameters": internal,
                "resolvedDependencies": [
                    *([code] if code else []),
                    *({"name": name, "digest": {"sha256": digest}} for name, digest in sorted(files.items())),
                    *_bases(evidence),
                    *_images(evidence, evidence.spec.train_key),
                    *_inputs(evidence),
                ],
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": {"harness": environment.harness if environment else ""}},
                "metadata": {"invocationId": run, "startedOn": started, "finishedOn": finished},
                # What serves it is made in the same run, but the artifact is not made of it.
                "byproducts": list(_images(evidence, evidence.spec.serve_key)),
            },
        },
    }


def _bases(evidence: Evidence) -> Iterator[Statement]:
    own = {evidence.spec.train_key, evidence.spec.block.train.service}
    for base in evidence.images.bases if evidence.images else ():
        if base.service not in own:
            continue
        found: Statement = {"name": f"base-image:{base.service}", "uri": base.reference}
        if base.digest:
            found["digest"] = {"sha256": base.digest.removeprefix("sha256:")}
        if base.local:  # of the package list that the base was made of: it has no digest in a registry
            found["annotations"] = {"localPackages": base.local}
        yield found


def _images(evidence: Evidence, service: str) -> Iterator[Statement]:
    for image in evidence.images.images if evidence.images else ():
        if image.service == service:
            yield {
                "name": f"image:{image.service}",
                "digest": {"sha256": image.id.removeprefix("sha256:")},
                "annotations": {"diffIds": list(image.diff_ids), "platform": image.platform},
            }


def _inputs(evidence: Evidence) -> Iterator[Statement]:
    for name, digest in evidence.images.requirements.items() if evidence.images else ():
        yield {"name": f"requirements:{name}", "digest": {"sha256": digest}}
    if evidence.data is not None:
        yield {"name": f"data:{evidence.data.path}", "digest": {"sha256": evidence.data.sha256}}


def read_statement(path: Path) -> Statement:
    """Read a statement from a file. Raises DescriptionError."""
    try:
        return parse_statement(path.read_bytes(), str(path))
    except OSError as exc:
        raise DescriptionError(f"{path} cannot be read: {exc.strerror}", hint="Give --provenance FILE.") from exc


def parse_statement(text: bytes, where: str) -> Statement:
    """Return the statement in a text. Raises DescriptionError where it is none."""
    try:
        found = json.loads(text)
        subjects = {subject["name"]: subject["digest"]["sha256"] for subject in found["subject"]}
        known = found["_type"] == STATEMENT and found["predicateType"] == PREDICATE and bool(subjects)
    except (ValueError, RecursionError, KeyError, TypeError) as exc:
        raise DescriptionError(f"{where} is no in-toto Statement: {exc!r}", hint="Name the file of a run.") from exc
    if not known:
        raise DescriptionError(
            f"{where}: expected {STATEMENT} with {PREDICATE} and a subject, received {found['_type']} with "
            f"{found['predicateType']} and {len(subjects)} subjects",
            hint="Name the provenance.json of a run.",
        )
    return dict(found)


def subjects_of(said: Statement) -> dict[str, str]:
    """Return file -> SHA-256 of what a statement is about."""
    return {subject["name"]: subject["digest"]["sha256"] for subject in said["subject"]}


def differences(said: Statement, found: Mapping[str, str]) -> Iterator[str]:
    """Yield in what files (name -> SHA-256) differ from those that a statement is about."""
    wanted = subjects_of(said)
    for name, digest in wanted.items():
        if name not in found:
            yield f"{name} is missing"
        elif found[name] != digest:
            yield f"{name}: SHA-256 {found[name]}, where the provenance says {digest}"
    yield from (f"{name} is none of the files that the provenance names" for name in found if name not in wanted)


def difference_of_file(said: Statement, path: Path) -> Iterator[str]:
    """Yield in what one file differs: it may have another name, but must be one of those named."""
    digest, wanted = hash_file(path), subjects_of(said)
    if digest in wanted.values():
        return
    own = [name for name in wanted if PurePosixPath(name).name == path.name]
    says = f"says {wanted[own[0]]}" if own else f"names {', '.join(sorted(wanted))} with other hashes"
    yield f"{path.name}: SHA-256 {digest}, where the provenance {says}"


def hashes_below(folder: Path) -> dict[str, str]:
    """Return file -> SHA-256 of all files in a folder, its own provenance left out. Raises OSError."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() or path.is_symlink()]
    named = {path.relative_to(folder).as_posix(): path for path in paths}
    return {name: hash_file(path) for name, path in named.items() if name != FILE}


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file. Raises OSError."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
