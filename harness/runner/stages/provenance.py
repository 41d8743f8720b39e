"""Writes down where the artifact comes from: `provenance.json` in the run folder."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.evidence.provenance import FILE, hash_file, statement
from harness.evidence.records import Evidence, Provenance
from harness.project.commit import commit_of
from harness.project.git import NoRepositoryError
from harness.runner.stages import Run, relative

LOCK = "harness.lock"


def collect(run: Run, evidence: Evidence) -> Provenance:
    """State where the artifact in the evidence comes from; the images must be final."""
    root = run.spec.root
    commit, no_commit = None, ""
    try:
        commit = commit_of(root)
    except NoRepositoryError as exc:
        no_commit = str(exc)
    code: dict[str, Any] | None = None
    if commit is not None:
        code = {"name": "code", "digest": {"gitCommit": commit.sha}, "annotations": {"dirty": commit.dirty}}
    started = datetime.strptime(run.folder.id.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    made = statement(
        evidence,
        run=run.folder.id,
        started=_time(started),
        finished=_time(datetime.now(UTC)),
        code=code,
        files=_hashes(root, [*run.spec.files, root / LOCK]),
    )
    run.folder.write_json(FILE, made)
    return Provenance(
        statement=made,
        commit=commit.sha if commit else "",
        dirty=commit.dirty if commit else False,
        no_commit=no_commit,
    )


def _hashes(root: Path, paths: Sequence[Path]) -> dict[str, str]:
    return {relative(path, root): hash_file(path) for path in paths if path.is_file()}


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
