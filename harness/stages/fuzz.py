"""Fuzzes the served API by its own document, and sends every failing request once more; judges nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

from harness import fuzzer
from harness.evidence import disk_errors
from harness.fuzzer import Found
from harness.http import Target
from harness.records import Contract, Fuzz, FuzzFailure
from harness.replay import curl, own_headers, replay
from harness.stages import Recording

FOLDER = "fuzz"
SEED = 1
SMOKE_BUDGET = 30.0  # seconds; the coverage phase is over long before
DEEP_BUDGET = 60.0
TIMEOUT = 30.0  # seconds that one answer may take before it is recorded as a hang
MAX_FAILURES = 20
INSTALL = "pip install 'ml-container-harness[fuzz]'"
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
# What ends a service or takes its model away does what it promises, and leaves nothing to test.
ENDING = ("shutdown", "terminate", "restart", "quit", "exit", "kill", "stop", "unload")


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
    if elsewhere := next(_references_elsewhere(contract.document), None):
        return Fuzz(skipped=f"the API document refers to {elsewhere}, and nobody but the service is asked")
    document = restricted(contract.document, contract.interface.predict if foreign else None)
    if not operations(document):
        return Fuzz(skipped="the API document lists no operation that may be fuzzed")
    phases = fuzzer.DEEP if deep else fuzzer.SMOKE
    limit = budget or (DEEP_BUDGET if deep else SMOKE_BUDGET)
    start = monotonic()
    folder = run.folder.write_json(f"{FOLDER}/{fuzzer.DOCUMENT}", document).parent
    with disk_errors(folder):
        fuzzer.configure(folder, seed=seed, budget=limit, timeout=min(TIMEOUT, limit))
        problem = fuzzer.run(folder, target.url, phases, budget=limit)
        report = fuzzer.read(folder)
        failures = tuple(_replayed(target, document, folder, report.found))
    cases = sum(report.cases.values())
    run.say(FOLDER, f"{cases} cases, {len(report.found)} kinds of failures")
    unfinished = "" if report.stopped or problem else "its report has no end"
    return Fuzz(
        tool=f"schemathesis {found}",
        seed=seed,
        phases=phases,
        cases=cases,
        accepted=report.accepted,
        operations=operations(document),
        seconds=monotonic() - start,
        budget=limit,
        failures=failures,
        untested=report.untested,
        out_of_time=report.stopped == "max_time" and (not deep or not report.cases.get("fuzzing")),
        error="; ".join(filter(None, (problem, unfinished, *report.errors))),
    )


def restricted(document: dict[str, Any], only: str | None = None) -> dict[str, Any]:
    """Return the document without other servers than the one under test, and without what would end it.

    With `only`, the path of the predictions, what else is not a GET is left out too: the server is somebody's own.
    """
    kept: dict[str, Any] = {}
    for path, item in document.get("paths", {}).items():
        if not isinstance(item, dict):
            continue
        taken = {k: v for k, v in item.items() if k not in METHODS or _is_safe(path, k, only)}
        if any(method in taken for method in METHODS):
            kept[path] = taken
    plain = _without(document, ("servers", "externalValue", "webhooks", "callbacks", "links"))
    return {**plain, "paths": _without(kept, ("servers", "externalValue", "callbacks", "links"))}


def operations(document: dict[str, Any]) -> tuple[str, ...]:
    """Return the operations of a document, such as `POST /predict`."""
    return tuple(f"{m.upper()} {path}" for path, item in document["paths"].items() for m in item if m in METHODS)


def _is_safe(path: str, method: str, only: str | None) -> bool:
    if path.rstrip("/").rpartition("/")[2].lower() in ENDING:
        return False
    return only is None or method == "get" or (method == "post" and path == only)


def _without(value: Any, keys: tuple[str, ...]) -> Any:
    """Return JSON without some keys of its objects; the names of a schema's properties are no such keys."""
    match value:
        case dict():
            return {
                k: v if k in ("example", "default", "const", "enum") else _kept(k, v, keys)
                for k, v in value.items()
                if k not in keys
            }
        case list():
            return [_without(child, keys) for child in value]
        case _:
            return value


def _kept(key: str, value: Any, keys: tuple[str, ...]) -> Any:
    if key in ("properties", "patternProperties", "schemas", "$defs", "paths") and isinstance(value, dict):
        return {name: _without(child, keys) for name, child in value.items()}
    return _without(value, keys)


def _references_elsewhere(value: Any) -> Iterator[str]:
    match value:
        case dict():
            for key, child in value.items():
                if key in ("$ref", "$dynamicRef") and isinstance(child, str) and not child.startswith("#"):
                    yield child
                yield from _references_elsewhere(child)
        case list():
            for child in value:
                yield from _references_elsewhere(child)


def _replayed(
    target: Target, document: dict[str, Any], folder: Path, found: tuple[Found, ...]
) -> Iterator[FuzzFailure]:
    """Send each failing request once more, and keep it as a record and its body as a file.

    What got no answer comes last: the service may not live on after it.
    """
    for number, each in enumerate(sorted(found, key=lambda f: f.status is None)[:MAX_FAILURES], 1):
        again = replay(target, each, document, case=f"{FOLDER}:{number}", timeout=TIMEOUT)
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
            curl=curl(target, again.sent, headers, str(body)),
        )
