"""What the tests of publishing share: a run that passed, and the verbs as the command line calls them."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import builders

from harness.cli import artifact
from harness.errors import HarnessError
from harness.evidence.provenance import Statement, statement
from harness.evidence.records import Evidence, FileHash, Finding, Status
from harness.evidence.run_folder import RunFolder

FILES = {"model.bin": b"a model", "sub/metrics.jsonl": b'{"loss": 1}\n'}
CODE = {"name": "code", "digest": {"gitCommit": "c" * 40}, "annotations": {"dirty": False}}


def hashed(files: dict[str, bytes]) -> tuple[FileHash, ...]:
    return tuple(FileHash(name, len(text), hashlib.sha256(text).hexdigest()) for name, text in sorted(files.items()))


def evidence(files: dict[str, bytes] | None = None) -> Evidence:
    return builders.evidence(artifact=builders.artifact(files=hashed(FILES if files is None else files)))


def said(whole: Evidence | None = None, run: str = "20260101T000000Z-abc") -> Statement:
    times = {"started": "2026-01-01T00:00:00Z", "finished": "2026-01-01T00:01:00Z"}
    return statement(whole or evidence(), run=run, code=CODE, files={"harness.lock": "d" * 64}, **times)


Call = Callable[..., int]


def caller() -> Call:
    """Call the verbs as the command line does; errors become their exit codes."""
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(required=True)
    project = argparse.ArgumentParser(add_help=False)
    project.add_argument("--project", type=Path, default=Path())

    def verb(name: str, function: Any, text: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=text, parents=list(parents))
        made.set_defaults(verb=function)
        return made

    artifact.register(verb, project)

    def run(*words: str | Path) -> int:
        arguments = parser.parse_args([str(word) for word in words])
        try:
            return int(arguments.verb(arguments))
        except HarnessError as exc:
            print(exc)
            return exc.exit_code

    return run


def passed_run(project: Path) -> RunFolder:
    """A run that passed, with its artifact."""
    return passed(RunFolder.create(project))


def passed(folder: RunFolder) -> RunFolder:
    """Give a run folder an artifact, its provenance and a good verdict."""
    folder.mark_latest()
    whole = evidence()
    for field in ("spec", "artifact"):
        folder.write(field, getattr(whole, field))
    for name, text in FILES.items():
        path = folder.path / "artifact" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
    folder.write_json("provenance.json", said(whole, folder.id))
    folder.write_findings([Finding(Status.PASS, "good", check="a.b")])
    return folder
