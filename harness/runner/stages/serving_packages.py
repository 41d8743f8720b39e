"""Asks the serving container which packages it has, and finds in its log what it warned of while it loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from harness.engine import Running
from harness.evidence.records import Loaded
from harness.runner.stages import Run
from harness.system.output import LONGEST, WIDTH, shortened

LOG = "serve/log.txt"
MAX_WARNINGS = 20
# Inside the container: of the standard library, and for every Python that has importlib.metadata (3.8 and newer).
SCRIPT = (
    "import importlib.metadata as m, json, platform; "
    "print(json.dumps([platform.python_version(), {str(d.metadata['Name']): d.version for d in m.distributions()}]))"
)
# What scikit-learn, XGBoost, LightGBM, PyTorch, Keras and MLflow say of a model that another version has saved.
WARNINGS = re.compile(
    r"InconsistentVersionWarning|Trying to unpickle estimator|saved by an older version|older version of XGBoost"
    r"|mismatches between the model's dependencies|was (?:saved|trained|serialized|built) with (?:an?other|a different)"
    r"|SourceChangeWarning|might lead to breaking code or invalid results",
    re.IGNORECASE,
)


def collect(run: Run, service: Running) -> Loaded:
    """Look at a serving container that is ready, so that its model is loaded and has predicted once."""
    python, packages = _installed(run, service.container)
    log = run.folder.path / LOG
    warnings = tuple(_warnings(log)) if log.is_file() else ()
    return Loaded(python=python, packages=packages, warnings=warnings, lost=service.unread)


def _warnings(log: Path) -> Iterable[str]:
    """Return the warnings in a log, each once; of a log of gigabytes only a line is held."""
    found: dict[str, None] = {}
    with log.open(encoding="utf-8", errors="replace") as stream:
        while len(found) < MAX_WARNINGS and (line := stream.readline(LONGEST)):
            if place := WARNINGS.search(line):
                found[shortened(line[max(0, place.start() - WIDTH // 2) :].strip())] = None
    return found


def normalised(name: str) -> str:
    """Return the name of a package as the packaging specification compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed(run: Run, container: str) -> tuple[str, dict[str, str]]:
    for program in ("python3", "python"):
        for line in reversed(run.engine.execute(container, [program, "-c", SCRIPT]).output.splitlines()):
            try:
                python, packages = json.loads(line)
                return str(python), {normalised(name): str(version) for name, version in packages.items()}
            except (ValueError, TypeError, AttributeError):
                continue
    return "", {}
