"""The only caller of schemathesis: configures it, and runs it as a program of its own.

Its command line, its configuration file and its NDJSON report are documented
(https://schemathesis.readthedocs.io, "CLI reference", "Configuration options", "Reporting"); its engine is no public
interface of Python. As a program it can also be ended at any time, and what it imports costs the harness nothing.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TextIO

from harness.client.fuzz_report import REFUSED, SERVER_ERROR
from harness.system.process import stream

PACKAGE = "schemathesis"
SMOKE = ("examples", "coverage")  # the examples of the document; every keyword of its schemas kept and broken once
FUZZING = ("fuzzing",)  # random cases, until the time is over
CHECKS = (
    SERVER_ERROR,
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    REFUSED,
    "missing_required_header",
)
GRACE = 15.0  # seconds beyond its budget that the tool has to load the document and to end
# A proxy or a password file of the user must not come between the tool and the service.
UNWANTED = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "PYTHONWARNINGS", "SCHEMATHESIS_HOOKS")

DOCUMENT = "openapi.json"
CONFIGURATION = "schemathesis.toml"
LOG = "log.txt"


def installed() -> str | None:
    """Return the tool's version, None where it is not installed."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return None


def configure(folder: Path, *, seed: int, timeout: float) -> None:
    """Write the tool's configuration, so that none of the user's is read. Raises OSError.

    It asks nobody but the service, follows no redirect, and keeps no examples from run to run.
    """
    lines = [
        f"seed = {seed}",
        f"request-timeout = {timeout}",
        "request-retries = 0",
        "max-redirects = 0",
        "workers = 1",
        "continue-on-failure = true",
        "warnings = false",
        'suppress-health-check = ["all"]',
        "cache = {enabled = false}",
        'generation = {database = "none"}',
        "auth = {auto-signup = false}",
        "analysis = {constants = {enabled = false}}",
        "output = {sanitization = {enabled = false}, truncation = {max-recorded-payload-size = 65536}}",
        "[phases.coverage]",
        "unexpected-methods = []  # contract.rejects-method sends them",
    ]
    (folder / CONFIGURATION).write_text("\n".join(lines) + "\n", encoding="utf-8")


def run(folder: Path, cache: Path, url: str, phases: tuple[str, ...], *, budget: float) -> str:
    """Run the tool in a folder that holds its configuration and the document; return what went wrong, if anything.

    It is ended `GRACE` seconds after its budget. `cache` takes tables of Unicode that cost it two seconds. Raises
    OSError.
    """
    argv = [sys.executable, "-P", "-m", f"{PACKAGE}.cli", "--config-file", CONFIGURATION, "--no-color"]
    argv += ["run", DOCUMENT, "--url", url, "--phases", ",".join(phases), "--checks", ",".join(CHECKS)]
    argv += ["--report", "ndjson", "--report-ndjson-path", report_of(phases), "--max-time", str(max(1, round(budget)))]
    with (folder / LOG).open("a", encoding="utf-8") as log:
        ended = stream(
            argv, _environment(cache), lambda line: _write(log, line), timeout=budget + GRACE, grace=1.0, folder=folder
        )
    if ended.expired:
        return f"{PACKAGE} did not end within {budget + GRACE:g} s and was ended"
    if ended.code not in (0, 1):  # 1: it found something
        return f"{PACKAGE} ended with exit code {ended.code}"
    return ""


def report_of(phases: tuple[str, ...]) -> str:
    """Return the name of the file in which the tool reports on some phases."""
    return f"{phases[-1]}.ndjson"


def _write(log: TextIO, line: str) -> None:
    log.write(line + "\n")


def _environment(cache: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.upper() not in UNWANTED}
    return {
        **kept,
        "NO_PROXY": "*",
        "NETRC": os.devnull,
        "PYTHONHASHSEED": "0",  # a seed says which cases are made only together with the order of sets
        "HYPOTHESIS_STORAGE_DIRECTORY": str(cache.absolute()),
    }
