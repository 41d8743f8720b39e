"""The verbs `harness data ...`: a first schema, and a tiny fixture from a large table."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import __version__, errors
from harness.cli.verb_help import examples

PROVENANCE = ".provenance.json"
MAX_SHOWN = 20


def register(verbs: Any) -> None:
    """Add `data` to the subparsers of `harness`."""
    text = "Infer a schema from a table, or draw a tiny fixture from a large one."
    plain = argparse.RawDescriptionHelpFormatter
    data = verbs.add_parser("data", help=text, description=text, epilog=examples("data"), formatter_class=plain)
    inner = data.add_subparsers(required=True, metavar="WHAT")

    schema = inner.add_parser("schema", help="Infer a first pandera schema from a table.")
    schema.add_argument("table", type=Path, metavar="FILE", help=".csv, .jsonl or .parquet")
    schema.add_argument("--out", type=Path, metavar="FILE", help="write it there; default: print it")
    schema.set_defaults(verb=_schema)

    sample = inner.add_parser("sample", help="Draw a tiny, deterministic fixture from a large table.")
    sample.add_argument("source", type=Path, metavar="SOURCE", help=".csv, .jsonl or .parquet")
    sample.add_argument("--rows", type=_positive, required=True, metavar="N", help="how many rows to keep")
    sample.add_argument("--out", type=Path, required=True, metavar="FILE", help="in the format of the source")
    sample.add_argument("--target", metavar="COLUMN", help="keep the share of each of its classes, and rare ones")
    sample.add_argument("--seed", type=int, default=1, help="default: 1")
    sample.set_defaults(verb=_sample)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a positive number of rows, received {text!r}")
    return int(text)


def _schema(arguments: argparse.Namespace) -> int:
    from harness.datasets.infer import infer
    from harness.datasets.tables import read
    from harness.evidence.run_folder import write_atomic
    from harness.reports.console import Console

    text = infer(read(arguments.table), arguments.table.name)
    if arguments.out is None:
        Console().document(text.rstrip())
    else:
        write_atomic(arguments.out, text)
        Console().say(f"wrote {arguments.out}: name it in `data.schema`, and correct what you know better")
    return errors.PASSED


def _sample(arguments: argparse.Namespace) -> int:
    from harness.reports.console import Console

    record = sample(arguments.source, arguments.out, arguments.rows, arguments.target, arguments.seed)
    console = Console()
    kept, source = record["rows"], record["source"]
    console.say(f"kept {kept} of {source['rows']} rows of {source['name']} in {arguments.out}")
    for label, (seen, left) in list(record["classes"].items())[:MAX_SHOWN]:
        console.say(f"  {label or '(no value)'}: {left} of {seen}")
    console.say(f"wrote {arguments.out}{PROVENANCE}: commit it with the fixture")
    return errors.PASSED


def sample(path: Path, out: Path, rows: int, target: str | None, seed: int) -> dict[str, Any]:
    """Draw a fixture and write it with its provenance; return that. Raises DescriptionError, DiskFullError.

    The same source, options and version give the same bytes: the provenance holds no time.
    """
    from harness.datasets.sample import draw
    from harness.datasets.streams import source
    from harness.evidence.run_folder import disk_errors, write_atomic

    if out.suffix != path.suffix:
        raise errors.DescriptionError(
            f"expected --out in the format of the source, {path.suffix}, received {out.name}",
            hint=f"Name it {out.with_suffix(path.suffix).name}.",
        )
    if out.exists() and path.exists() and out.samefile(path):
        raise errors.DescriptionError("--out is the source itself", hint="Write the fixture to another file.")
    with source(path, target) as table:
        drawn = draw(table.rows(), rows, seed)
        if not drawn.seen:
            raise errors.DescriptionError(f"{path.name} holds no rows", hint="Give a table with rows.")
        temporary = out.with_name(f".{out.name}.part")
        with disk_errors(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            try:
                table.write(temporary, drawn.rows)
                digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
                temporary.replace(out)
            finally:
                temporary.unlink(missing_ok=True)
        record = {
            "harness": __version__,
            "command": _command(path, out, rows, target, seed),
            "seed": seed,
            "source": {
                "name": path.name,
                "sha256": table.sha256,
                "size": path.stat().st_size,
                "rows": drawn.seen,
            },
            "sha256": digest,
            "rows": len(drawn.rows),
            "target": target,
            "classes": drawn.classes if target is not None else {},
        }
    write_atomic(out.with_name(out.name + PROVENANCE), json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return record


def _command(path: Path, out: Path, rows: int, target: str | None, seed: int) -> Sequence[str]:
    """Return the command with bare file names: the fixture is the same wherever the source lies."""
    chosen = [] if target is None else ["--target", target]
    return [
        "harness",
        "data",
        "sample",
        path.name,
        "--rows",
        str(rows),
        "--out",
        out.name,
        *chosen,
        "--seed",
        str(seed),
    ]
