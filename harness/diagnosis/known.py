"""What well-known lines in a log mean, and what to do then: a table, the first line that fits wins.

An advice may use the groups of its pattern and `{requirements}`, `{memory}`, `{user}`, `{shm}`, `{pids}`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from harness.diagnosis.record import Failure

MIB = 2**20
# Modules whose distribution has another name.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dotenv": "python-dotenv",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "PyYAML",
}
# Shared libraries -> Debian package.
LIBRARIES = {"libgomp.so.1": "libgomp1", "libGL.so.1": "libgl1", "libgthread-2.0.so.0": "libglib2.0-0"}


@dataclass(frozen=True)
class Known:
    """A line that tells of something well known."""

    name: str
    pattern: re.Pattern[str]  # with the groups that the advice uses
    advice: str
    limit: str = ""  # field of Limits that applies


def _known(name: str, pattern: str, advice: str, limit: str = "") -> Known:
    return Known(name, re.compile(pattern, re.MULTILINE), advice, limit)


KNOWN = (
    _known(
        "cuda-memory",
        r"CUDA out of memory|OutOfMemoryError: CUDA|CUBLAS_STATUS_ALLOC_FAILED",
        "The memory of the GPU is used up: make the batch smaller, or train on the CPU.",
    ),
    _known(
        "no-gpu",
        r"Found no NVIDIA driver|Torch not compiled with CUDA|torch\.cuda\.is_available\(\) is False"
        r"|CUDA (?:is not available|driver version is insufficient)|no CUDA-capable device|libcuda\.so\.\d+: cannot",
        "The container has no GPU: choose the device by `torch.cuda.is_available()`, load with `map_location='cpu'`, "
        "or give the service a GPU (`deploy.resources.reservations.devices`).",
    ),
    _known(
        "shared-memory",
        r"Bus error|insufficient shared memory|unable to (?:open|allocate) shared memory"
        r"|DataLoader worker .* is killed",
        "The shared memory of the container is {shm}: raise `shm_size` of the service, or load the data "
        "without workers (`num_workers=0`).",
        "shm",
    ),
    _known(
        "version-mismatch",
        r"InconsistentVersionWarning|(?:numpy|pandas)\.\w+ size changed|No module named 'numpy\._core'"
        r"|Can't get attribute '(?P<attribute>\w+)' on|incompatible dtype|node array from the pickle",
        "The artifact was made with other versions than those that load it: pin the same versions of scikit-learn, "
        "numpy and joblib for train and serve ({requirements}).",
    ),
    _known(
        "missing-module",
        r"ModuleNotFoundError: No module named '(?P<module>[\w.]+)'|No module named (?P<program>[\w.]+)$",
        "Add {distribution} to {requirements} and build again; if it is the project's own code, COPY it into the image "
        "and start from its folder (WORKDIR, PYTHONPATH).",
    ),
    _known(
        "missing-library",
        r"(?P<library>lib[\w.+-]+\.so[.\d]*): cannot open shared object file",
        "The image lacks the system library {library}: install {package} in the Dockerfile.",
    ),
    _known(
        "read-only",
        r"Read-only file system(?::? '(?P<path>[^']*)')?",
        "{path} cannot be written: the root file system or the mount is read-only. Write to the artifact's folder or "
        "to /tmp, set the caches' variables (HOME, HF_HOME, MPLCONFIGDIR) to /tmp, or mount a `tmpfs` there.",
    ),
    _known(
        "permission",
        r"PermissionError: \[Errno 13\][^']*(?:'(?P<path>[^']*)')?|Permission denied(?:: '(?P<file>[^']*)')?",
        "The user of the container ({user}) may not use {path}: give it to that user in the Dockerfile (`COPY "
        "--chown`, `chown` before `USER`), or write elsewhere.",
    ),
    _known(
        "address-in-use",
        r"[Aa]ddress already in use",
        "Two processes of the container want one port: start the server once (no reloader, no second worker that binds "
        "for itself), or give each a port of its own.",
    ),
    _known(
        "threads",
        r"can't start new thread|Resource temporarily unavailable|unable to create new native thread"
        r"|pthread_create failed",
        "The container may have {pids} processes and threads: use fewer (`n_jobs`, OMP_NUM_THREADS, workers), or raise "
        "`pids_limit` of the service.",
        "pids",
    ),
    _known(
        "memory",
        r"MemoryError|Unable to allocate [\d.]+ [KMGT]iB|std::bad_alloc|Cannot allocate memory",
        "The memory limit is {memory}: raise `mem_limit` of the service, read the data in parts, or make the fixture "
        "smaller.",
        "memory",
    ),
    _known(
        "child-killed",
        r"^(?:\S+ line \d+: +\d+ )?Killed\b|was sent SIGKILL|Perhaps out of memory|TerminatedWorkerError",
        "A process of the container was killed, mostly because memory ran out; the limit is {memory}: raise "
        "`mem_limit` of the service, or use fewer workers.",
        "memory",
    ),
    _known(
        "truncated-artifact",
        r"EOFError: Ran out of input|UnpicklingError|PytorchStreamReader failed|invalid load key",
        "The artifact is cut short or no pickle: look at the hashes in artifact.json; a Git LFS pointer in place of "
        "the file looks like this too.",
    ),
    _known(
        "no-network",
        r"[Tt]emporary failure in name resolution|Name or service not known|Network is unreachable|NewConnectionError",
        "It wants the network: put what it fetches (models, tokenizers, data) into the image or the dataset.",
    ),
    _known(
        "missing-file",
        r"(?:FileNotFoundError: |No such file or directory|can't open file)[^'\n]*'(?P<path>[^']+)'",
        "There is no {path} in the container: compare with `data.mount` and `train.artifact`, COPY it in the "
        "Dockerfile, or mount it.",
    ),
    _known(
        "missing-variable",
        r'File "(?:<frozen os>|[^"]*/os\.py)"[^\n]*\n(?:\s[^\n]*\n)*KeyError: \'(?P<variable>\w+)\'',
        "The variable {variable} is not set: add it to `environment` of the service.",
    ),
    _known(
        "missing-column",
        r"KeyError: (?:\"(?P<columns>.*not in index.*)\"|'(?P<key>[^']+)')|Usecols do not match columns"
        r"|columns are missing",
        "A key or column is not there{what}: compare the code with the head of the table and with `data.schema`.",
    ),
    _known(
        "missing-values",
        r"Input (?:X|y) contains NaN|Input contains NaN",
        "Impute the missing values in the pipeline, or forbid them in `data.schema`.",
    ),
    _known(
        "text-as-number",
        r"could not convert string to float: '(?P<value>[^']*)'",
        "A text ('{value}') where a number is needed: encode the column in the pipeline, and give its type in "
        "`data.schema`.",
    ),
    _known(
        "bad-arguments",
        r"error: (?:unrecognized arguments|the following arguments are required|argument )",
        "The program refuses its arguments: correct `command` of the service.",
    ),
)


def symptom(failure: Failure, lines: tuple[str, ...]) -> tuple[str, str, str]:
    """Return name, advice and limit of what the lines tell of; empty texts where it is nothing well known."""
    text = "\n".join(lines)
    for known in KNOWN:
        if found := known.pattern.search(text):
            groups = {name: value for name, value in found.groupdict().items() if value}
            advice = known.advice.format_map({**_context(failure), **_derived(groups)})
            return known.name, advice, _limit(failure, known.limit)
    return "", "", ""


def size(number: int, otherwise: str) -> str:
    """Return a number of bytes for people, or what stands for no limit."""
    return f"{number / MIB:.0f} MiB" if number else otherwise


def _limit(failure: Failure, name: str) -> str:
    """Return a limit for people; empty where the container had none."""
    value = getattr(failure.limits, name) if name else 0
    return "" if not value else f"{name} {value if name == 'pids' else size(value, '')}"


def _context(failure: Failure) -> dict[str, str]:
    limits = failure.limits
    return {
        "requirements": " and ".join(failure.requirements) or "the requirements that the image installs",
        "memory": size(limits.memory, "that of the machine"),
        "user": limits.user or "root",
        "shm": size(limits.shm, "64 MiB by default"),
        "pids": str(limits.pids or "as many as the machine allows"),
        "path": "that path",
        "what": "",
    }


def _derived(groups: Mapping[str, str]) -> dict[str, str]:
    """Return the groups of a match, and what follows from them."""
    found = dict(groups)
    if module := groups.get("module") or groups.get("program"):
        top = module.partition(".")[0]
        found["distribution"] = DISTRIBUTIONS.get(top, top)
    if library := groups.get("library"):
        found["package"] = LIBRARIES.get(library, "the package that holds it")
    if path := groups.get("path") or groups.get("file"):
        found["path"] = path
    if what := groups.get("key") or groups.get("columns"):
        found["what"] = f" ({what})"
    return found
