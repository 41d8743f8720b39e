"""Runs the project's own tests, and its transforms on tables of values, in the training image; judges nothing.

Each runs in a container like that of training, so with its user, limits, file system and data, but without the
artifact, which training may be writing meanwhile, and without other services. A volume at `FOLDER` brings our files
in, and its folder `out`, in which every user may write, brings the results out: the root may be read-only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.config.blocks import FeatureBlock
from harness.datasets.feature_table import Rows, read_table
from harness.diagnosis import test_report
from harness.engine.archive import read_text
from harness.errors import DescriptionError
from harness.evidence.records import Code, Exit, FeatureTable, Images, Tally, UnitTests
from harness.project.runfile import ARTIFACT_VOLUME, Model, Variant
from harness.runner.stages import Run
from harness.runner.stages.volumes import filled, show

FOLDER = "/harness-code"
OUT = f"{FOLDER}/out"
JUNIT = f"{OUT}/junit.xml"
ANSWERS = f"{OUT}/answers.json"
RUNNER = Path(__file__).parents[1] / "inside/features.py"
MAX_RESULT = 32 * 1024**2  # bytes
KEPT = 4 * 1024**2  # bytes of the log that are looked through


@dataclass(frozen=True)
class _Ran:
    """A container that has ended: its last lines, and the result file it left."""

    exit: Exit | None
    lines: Sequence[str] = ()
    result: str | None = None
    error: str = ""


def collect(run: Run, images: Images, data_volume: str | None) -> Code:
    """Run what the project names, one after the other: they share the cores with training."""
    block = run.spec.block
    tests = block.train.unit_tests
    return Code(
        unit_tests=None if tests is None else _test(run, images, data_volume, tests),
        features=_transform(run, images, data_volume, block.code.features) if block.code.features else (),
    )


def with_junit(command: Sequence[str]) -> tuple[str, ...]:
    """Return the command that also writes JUnit XML, where it is pytest and does not already.

    Its cache goes beside it: a read-only root would be worth a warning, and warnings may be errors.
    """
    words = [PurePosixPath(word).name for word in command[:3]]
    is_pytest = words[0] in ("pytest", "py.test") or words[1:] == ["-m", "pytest"]
    if not is_pytest or any(word.startswith(("--junit-xml", "--junitxml")) for word in command):
        return tuple(command)
    return (*command, f"--junit-xml={JUNIT}", "-o", f"cache_dir={OUT}/cache")


def _test(run: Run, images: Images, data_volume: str | None, command: Sequence[str]) -> UnitTests:
    argv = with_junit(command)
    ran = _run(run, images, data_volume, name="unit-tests", argv=argv, files={}, result=JUNIT)
    tally: Tally | None = None
    error = ran.error
    if ran.result is not None:
        run.folder.write_text("code/junit.xml", ran.result)
        try:
            tally = test_report.junit(ran.result)
        except ValueError as exc:
            error = str(exc)
    else:
        tally = test_report.unittest(ran.lines)
    known = f"{tally.total} tests, {tally.failed} failed" if tally else "no tally"
    run.say("code", f"unit tests: {known}")
    return UnitTests(command=argv, exit=ran.exit, tally=tally, error=error)


def _transform(
    run: Run, images: Images, data_volume: str | None, blocks: Sequence[FeatureBlock]
) -> tuple[FeatureTable, ...]:
    tables: list[Rows | str] = []
    for block in blocks:
        try:
            tables.append(read_table(run.spec.root / block.table))
        except (OSError, ValueError) as exc:
            tables.append(f"{block.table}: {exc}")
    asked = [
        {"transform": block.transform, "takes": block.takes, "rows": table.given}
        for block, table in zip(blocks, tables, strict=True)
        if isinstance(table, Rows)
    ]
    answers = iter(_answers(run, images, data_volume, asked) if asked else ())
    found = []
    for block, table in zip(blocks, tables, strict=True):
        rows = table if isinstance(table, Rows) else Rows((), ())
        answer: Model = next(answers) if isinstance(table, Rows) else {"error": table}
        found.append(
            FeatureTable(
                transform=block.transform,
                table=block.table,
                given=rows.given,
                expected=rows.expected,
                received=tuple(answer.get("rows", ())),
                error=answer.get("error", ""),
                relative=block.relative,
            )
        )
    run.say("code", f"features: {len(found)} tables")
    return tuple(found)


def _answers(run: Run, images: Images, data_volume: str | None, asked: list[Model]) -> list[Model]:
    """Return for each table {rows} or {error}."""
    tables = run.folder.write_json("code/tables.json", asked)
    argv = ["python3", f"{FOLDER}/{RUNNER.name}", f"{FOLDER}/{tables.name}", ANSWERS]
    files = {RUNNER.name: RUNNER, tables.name: tables}
    ran = _run(run, images, data_volume, name="features", argv=argv, files=files, result=ANSWERS)
    if ran.result is not None:
        try:
            answers: list[Model] = json.loads(ran.result)
        except ValueError as exc:
            return [{"error": f"its answers broke off: {exc}"}] * len(asked)
        return answers
    ended = ran.exit.describe() if ran.exit else ran.error
    return [{"error": "\n".join((ended, *list(ran.lines)[-10:]))}] * len(asked)


def _run(
    run: Run,
    images: Images,
    data_volume: str | None,
    *,
    name: str,
    argv: Sequence[str],
    files: dict[str, Path],
    result: str,
) -> _Ran:
    """Run a command in a container like that of training, to its end or to the time limit of training."""
    key, train = f"harness-{name}", run.spec.train_key
    volume = filled(run, images.of(train).id, name, FOLDER, files, open_to_all=["out"])

    def change(service: Model) -> None:
        words = [word.replace("$", "$$") for word in argv]
        for unwanted in ("logging", "tty", "healthcheck"):
            service.pop(unwanted, None)
        own = [entry for entry in service.get("volumes", ()) if entry.get("source") != ARTIFACT_VOLUME]
        # A read-only root may have no place for temporary files, without which pytest itself does not start.
        temporary = {"TMPDIR": OUT} if service.get("read_only") else {}
        environment = {**temporary, **(service.get("environment") or {}), "HARNESS_JUNIT": JUNIT}
        service |= {"entrypoint": words[:1], "command": words[1:], "volumes": own, "environment": environment}
        show(service, FOLDER, key, read_only=False)

    container = run.create(train, images.ids(train), data_volume, Variant(key, change, {key: volume}))
    try:
        with run.file(f"code/{name}.txt") as log, run.engine.started(container, log) as program:
            if not program.wait(run.spec.block.train.timeout):
                program.stop()
            ended = program.exit()
    except DescriptionError as exc:  # the image has no such program: a finding, not the end of the run
        return _Ran(None, error=str(exc))
    return _Ran(ended, _end(log.path), read_text(run.engine, container, result, MAX_RESULT))


def _end(log: Path) -> tuple[str, ...]:
    """Return the last lines of a log: a tally is the last that a program prints."""
    if not log.is_file():
        return ()
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - KEPT))
        return tuple(stream.read(KEPT).decode(errors="replace").split("\n"))
