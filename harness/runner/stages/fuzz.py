"""Fuzzes the served API by its own document, and sends every failing request once more; judges nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

from harness.client import fuzzer
from harness.client.fuzz_report import FailedCase, Report, read
from harness.client.http import Target
from harness.client.minimize import curl, own_headers, resend
from harness.client.request_generators.operations import operations, references_elsewhere, restricted
from harness.evidence.records import Contract, Fuzz, FuzzFailure
from harness.evidence.run_folder import disk_errors
from harness.runner.stages import Recording

FOLDER = "fuzz"
SEED = 1
SMOKE_BUDGET = 30.0  # seconds; the coverage phase is over long before
DEEP_BUDGET = 60.0
TIMEOUT = (10.0, 30.0)  # seconds that one answer may take before it is recorded as a hang: at least, at most
PATIENCE = 20.0  # times as long as the slowest example
MAX_FAILURES = 20
INSTALL = "pip install 'ml-container-harness[fuzz]'"


def collect(
    run: Recording,
    target: Target,
    contract: Contract,
    *,
    deep: bool = False,
    foreign: bool = False,
    seed: int = SEED,
    budget: float | None = None,
) -> Fuzz:
    """Fuzz the operations of the document for at most `budget` seconds (default: 30, 60 with `deep`).

    Without `deep` only the coverage phase runs, which tries every keyword of the schemas. A `foreign` service is not
    a container of this run: only predictions and GET requests are sent. Nothing of the main thread is needed. Raises
    HarnessError where the disk fails.
    """
    found = fuzzer.installed()
    if found is None:
        return Fuzz(skipped=f"schemathesis is not installed: {INSTALL}")
    if contract.document is None:
        return Fuzz(skipped=contract.document_error or "the service has no API document")
    if elsewhere := next(references_elsewhere(contract.document), None):
        return Fuzz(skipped=f"the API document refers to {elsewhere}, and nobody but the service is asked")
    document = restricted(contract.document, contract.interface.predict if foreign else None)
    if not operations(document):
        return Fuzz(skipped="the API document lists no operation that may be fuzzed")
    # One after the other: together the tool gives the coverage phase a part of the time, and cuts it off.
    passes = (fuzzer.SMOKE, fuzzer.FUZZING) if deep else (fuzzer.SMOKE,)
    limit = budget or (DEEP_BUDGET if deep else SMOKE_BUDGET)
    timeout = _timeout(contract)
    start = monotonic()
    folder = run.folder.write_json(f"{FOLDER}/{fuzzer.DOCUMENT}", document).parent
    report, problems, out_of_time = Report(), [], False
    with disk_errors(folder):
        fuzzer.configure(folder, seed=seed, timeout=timeout)
        for phases in passes:
            left = start + limit - monotonic()
            problem = fuzzer.run(folder, run.folder.cache, target.url, phases, budget=left) if left > 0 else ""
            report = read(folder / fuzzer.report_of(phases), report, limit=left)
            out_of_time |= left <= 0 or report.cut or (report.stopped == "max_time" and phases is fuzzer.SMOKE)
            problems.append(problem or ("" if report.stopped or left <= 0 else "its report has no end"))
        run.verify()  # else every request of these would wait for its answer
        failures = tuple(_replayed(target, document, folder, report.found, timeout))
    run.say(FOLDER, f"{report.cases} cases, {len(report.found)} kinds of failures")
    return Fuzz(
        tool=f"schemathesis {found}",
        seed=seed,
        phases=tuple(phase for phases in passes for phase in phases),
        cases=report.cases,
        accepted=report.accepted,
        operations=operations(document),
        seconds=monotonic() - start,
        budget=limit,
        failures=failures,
        untested=report.untested,
        out_of_time=out_of_time,
        error="; ".join(filter(None, (*problems, *report.errors))),
    )


def _replayed(
    target: Target, document: dict[str, Any], folder: Path, found: tuple[FailedCase, ...], timeout: float
) -> Iterator[FuzzFailure]:
    """Send each failing request once more, and keep it as a record and its body as a file.

    What got no answer comes last: the service may not live on after it.
    """
    for number, each in enumerate(sorted(found, key=lambda f: f.status is None)[:MAX_FAILURES], 1):
        again = resend(target, each, document, case=f"{FOLDER}:{number}", timeout=timeout)
        body = folder / f"{number}.body"
        body.write_bytes(again.sent.request)
        headers = own_headers(each)
        yield FuzzFailure(
            check=each.check,
            title=each.title,
            message=each.message,
            operation=each.operation,
            count=each.count,
            status=each.status,
            sent=again.sent,
            headers=headers,
            reproduced=again.reproduced,
            shrunk=again.shrunk,
            integers=again.integers,
            curl=curl(target, again.sent, headers, str(body)),
        )


def _timeout(contract: Contract) -> float:
    """Return how long an answer may take: long beside what the good examples took."""
    slowest = max((each.seconds for each in contract.of("example") if each.status is not None), default=0.0)
    return min(max(TIMEOUT[0], PATIENCE * slowest), TIMEOUT[1])
