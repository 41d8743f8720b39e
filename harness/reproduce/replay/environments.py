"""In what two environments differ, the likeliest cause of a failure first. Pure functions over the evidence.

The order without any hint: data, code, packages, base image, variables, threads and locale of a container, processor,
memory, cores, engine, kernel, time zone of the machine, tools; what was only built anew comes last. A hint overrules
it: what the failure itself names (a variable, a package), or what such failures are known to come from (`Illegal
instruction`: the processor).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from harness.engine.machine import LOCALE, THREADS
from harness.evidence.records import BaseImage, Environment, Evidence, FileHash, Finding, Images, Inside, Surroundings
from harness.evidence.records.replay import Difference

RANKS = (
    *("data", "code", "packages", "base", "variables", "threads", "locale", "cpu", "memory", "cores"),
    *("engine", "kernel", "architecture", "time zone", "storage", "tools", "image", "machine"),
)
_OF_TIME = (
    r"locale|Unicode(?:De|En)codeError|codec can't|strptime|time data|time ?zone|utcoffset|does not match format"
    r"|day is out of range|month must be in"
)
# What the text of a failure tells of its cause.
HINTS: Mapping[str, re.Pattern[str]] = {
    subject: re.compile(pattern, re.IGNORECASE)
    for subject, pattern in {
        "cpu": r"illegal instruction|signal 4\b|SIGILL|\bavx|\bsse\d|\bfma\b|\bamx|\bneon\b|\bsve\b|cpu feature",
        "memory": r"used all its memory|out of memory|\boom|MemoryError|cannot allocate|bad_alloc|exit code 137"
        r"|\bmemory\b|No space left on device.*shm|Bus error",
        "locale": _OF_TIME,
        "time zone": _OF_TIME,
        "threads": r"thread|openblas|\bomp\b|\bmkl\b|deterministic|reproducible|bit for bit",
        "cores": r"time limit|timed out|timeout|latency|p99|too slow|requests a second|nproc|cpu_count",
        "packages": r"ModuleNotFoundError|ImportError|InconsistentVersion|has no attribute|unexpected keyword"
        r"|cannot import name|incompatible|unpickl",
        "kernel": r"Function not implemented|Operation not permitted|seccomp|io_uring",
        "engine": r"OCI runtime|cgroup|Operation not permitted|exec format error",
        "architecture": r"exec format error|wrong ELF class",
        "data": r"\bcolumn\b|\bschema\b|\brows?\b|\bdataset\b",
    }.items()
}
# Flags that numeric libraries choose their code by; the rest of /proc/cpuinfo rarely matters to a model.
SIMD = re.compile(r"^(?:avx|sse|ssse|fma|f16c|bmi|amx|asimd|neon|sve|sme|popcnt|fphp|i8mm|bf16|dotprod)")
MEMORY_NOISE = 0.02  # share of a machine's memory by which two boots of one machine may differ
LISTED = 8  # names that a difference lists

Comparer = Callable[[Evidence, Evidence], Iterator[Difference]]


def differences(recorded: Evidence, here: Evidence, failures: Sequence[Finding | str] = ()) -> tuple[Difference, ...]:
    """Return in what two runs' environments differ, ranked by how likely each explains the failures of the first.

    `failures` are the findings, or the texts, of what failed in the recorded run: what they name comes first.
    """
    said = "\n".join(each if isinstance(each, str) else f"{each.check} {each.received}" for each in failures)
    found = [difference for compare in COMPARISONS for difference in compare(recorded, here)]
    return tuple(sorted(found, key=lambda each: (-_fits(each, said), RANKS.index(each.subject))))


def _fits(difference: Difference, said: str) -> int:
    """Say how well a failure's text fits a difference: 2 where it is named, 1 where such a text comes from such."""
    name = difference.name.rpartition(" ")[2]
    named = {"variables", "threads", "locale", "packages"}
    if difference.subject in named and re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", said, re.IGNORECASE):
        return 2
    hint = HINTS.get(difference.subject)
    return int(hint is not None and hint.search(said) is not None)


def _data(recorded: Evidence, here: Evidence) -> Iterator[Difference]:
    a, b = recorded.data, here.data
    if a is not None and b is not None and a.sha256 != b.sha256:
        files = _changed(_hashes(a.files), _hashes(b.files))
        yield Difference("data", f"dataset {a.path}", a.sha256[:12], b.sha256[:12], f"other data: {_few(files)}")


def _code(recorded: Evidence, here: Evidence) -> Iterator[Difference]:
    a, b = _around(recorded).code, _around(here).code
    if a and b:
        for name in _changed(a, b):
            yield Difference("code", name, a.get(name, "absent")[:12], b.get(name, "absent")[:12], "another file")
    left, right = recorded.images, here.images
    if left is not None and right is not None:
        for name in _changed(left.requirements, right.requirements):
            pair = (left.requirements.get(name, "absent")[:12], right.requirements.get(name, "absent")[:12])
            yield Difference("packages", name, *pair, "other requirements")


def _packages(recorded: Evidence, here: Evidence) -> Iterator[Difference]:
    for a, b in _pairs(recorded, here):
        if a.packages is None or b.packages is None:
            continue
        for name in _changed(a.packages, b.packages):
            pair = (a.packages.get(name, "absent"), b.packages.get(name, "absent"))
            yield Difference("packages", f"{a.service}: {name}", *pair, "another version of a package")


def _images(recorded: Evidence, here: Evidence) -> Iterator[Difference]:
    a, b = recorded.images, here.images
    if a is None or b is None:
        return
    left, right = _bases(a), _bases(b)
    for service in left:
        pair = _told_apart(left[service], right.get(service, left[service]))
        if pair[0] != pair[1]:
            yield Difference("base", f"base image of {service}", *pair, "another base image")
    mine = {image.service: image for image in b.images}
    for image in a.images:
        other = mine.get(image.service)
        if other is None:
            continue
        if image.platform != other.platform:
            why = "another architecture: other instructions, other rounding"
            yield Difference("architecture", f"image of {image.service}", image.platform, other.platform, why)
        if image.diff_ids != other.diff_ids:
            alike = sum(x == y for x, y in zip(image.diff_ids, other.diff_ids, strict=False))
            pair = (_layers(image.diff_ids), _layers(other.diff_ids))
            is_built = _is_built(here, image.service)
            why = "built anew" if is_built else f"{other.reference} is another image here"
            name = f"layers of {image.service}"
            yield Difference(
                "image" if is_built else "base", name, *pair, f"{why}: the first {alike} layers are the same"
            )


def _variables(recorded: Evidence, here: Evidence) -> Iterator[Difference]:
    for a, b in _pairs(recorded, here):
        for name in _changed(a.variables, b.variables):
            pair = (a.variables.get(name, "unset"), b.variables.get(name, "unset"))
            yield Difference(_subject(name), f"{a.service}: {name}", *pair, _effect(name))


def _machine(recorded: Evidence, here: Evidence) -> Iterator[Difference]:
    a, b = recorded.environment, here.environment
    if a is None or b is None:
        return
    yield from _processor(a, b)
    if a.cores and b.cores and a.cores != b.cores:
        why = "numeric libraries start as many threads as there are cores, unless a variable says otherwise"
        yield Difference("cores", "cores", str(a.cores), str(b.cores), why)
    if a.memory and b.memory and abs(a.memory - b.memory) > MEMORY_NOISE * max(a.memory, b.memory):
        less = "less" if b.memory < a.memory else "more"
        yield Difference("memory", "memory of the machine", _size(a.memory), _size(b.memory), f"{less} memory here")
    for subject, name, why in _PLAIN:
        left, right = str(getattr(a, name)), str(getattr(b, name))
        if left and right and left != right:
            yield Difference(subject, name.replace("_", " "), left, right, why)


def _processor(a: Environment, b: Environment) -> Iterator[Difference]:
    if a.cpu_flags and b.cpu_flags:
        for simd in (True, False):
            left, right = ({f for f in e.cpu_flags if bool(SIMD.match(f)) is simd} for e in (a, b))
            if left != right:
                pair = (_few(sorted(left - right)) or "-", _few(sorted(right - left)) or "-")
                why = "each side lists what only it has" + ("; numeric code is chosen by these" if simd else "")
                name = "CPU flags" if simd else "further CPU flags"
                yield Difference("cpu" if simd else "machine", name, *pair, why)
    if a.cpu_model and b.cpu_model and a.cpu_model != b.cpu_model:
        yield Difference("machine", "CPU model", a.cpu_model, b.cpu_model)


def _limits(recorded: Evidence, here: Evidence) -> Iterator[Difference]:
    for a, b in _pairs(recorded, here):
        if not (b.user or b.network or b.variables):
            continue  # there was no container: nothing is known of its limits
        for subject, name, left, right in (
            ("memory", "memory limit", _limit(a.memory), _limit(b.memory)),
            ("memory", "shared memory", _limit(a.shared_memory), _limit(b.shared_memory)),
            ("cores", "CPU limit", f"{a.cpus:g}" if a.cpus else "none", f"{b.cpus:g}" if b.cpus else "none"),
            ("variables", "user", a.user or "root", b.user or "root"),
            ("engine", "network", a.network, b.network),
        ):
            if left != right:
                yield Difference(subject, f"{a.service}: {name}", left, right, "another setting of the container")


def _settings(recorded: Evidence, here: Evidence) -> Iterator[Difference]:
    """Compare what the harness itself inherited; containers see it only where the project passes it on."""
    a, b = recorded.environment, here.environment
    if a is None or b is None:
        return
    for name in _changed(a.variables, b.variables):
        pair = (a.variables.get(name, "unset"), b.variables.get(name, "unset"))
        yield Difference("machine", f"host: {name}", *pair, "of the host: reaches a container only where passed on")
    if a.timezone and b.timezone and a.timezone != b.timezone:
        why = "of the host: a container has it where /etc/localtime is mounted or TZ passed on"
        yield Difference("time zone", "host: time zone", a.timezone, b.timezone, why)


COMPARISONS: tuple[Comparer, ...] = (*(_data, _code, _packages, _images, _variables, _limits, _machine, _settings),)
_PLAIN = (
    ("engine", "engine_kind", "another kind of engine"),
    ("engine", "engine_version", "another version of the engine"),
    ("kernel", "kernel", "another kernel"),
    ("architecture", "architecture", "another architecture: other instructions, other rounding"),
    ("engine", "cgroup", "limits are enforced in another way"),
    ("storage", "storage", "another storage driver"),
    ("machine", "system", "another system on the engine's machine"),
    ("tools", "compose", "another Compose"),
    ("tools", "harness", "another version of the harness judges"),
    ("tools", "python", "another Python under the harness"),
)


def _around(evidence: Evidence) -> Surroundings:
    return evidence.surroundings or Surroundings()


def _pairs(recorded: Evidence, here: Evidence) -> Iterator[tuple[Inside, Inside]]:
    """Yield the containers that both runs had."""
    mine = {each.service: each for each in _around(here).containers}
    for each in _around(recorded).containers:
        if each.service in mine:
            yield each, mine[each.service]


def _subject(name: str) -> str:
    if name in THREADS:
        return "threads"
    return "locale" if name.startswith(LOCALE) else "variables"


def _effect(name: str) -> str:
    return {
        "threads": "another number of threads adds numbers up in another order",
        "locale": "dates, decimals and encodings are read by it",
    }.get(_subject(name), "another value in the container")


def _is_built(evidence: Evidence, service: str) -> bool:
    """Whether the project builds an image; one that it only names comes from elsewhere."""
    declared = evidence.spec.model["services"].get(service)
    return declared is None or "build" in declared


def _bases(images: Images) -> dict[str, list[BaseImage]]:
    """Return service -> base images."""
    found: dict[str, list[BaseImage]] = {}
    for base in images.bases:
        found.setdefault(base.service, []).append(base)
    return found


def _told_apart(a: Sequence[BaseImage], b: Sequence[BaseImage]) -> tuple[str, str]:
    """Return texts of base images that are equal where the images are.

    They are told by their layers where both runs know them: a name can mean another image. Else by digest, by the
    hash of a local base, by reference.
    """
    sides = [sorted(each.layers for each in side) for side in (a, b)]
    known = all(each.layers for each in (*a, *b))
    if known and sides[0] == sides[1]:
        return "", ""
    names = [sorted(each.digest or each.local or each.reference for each in side) for side in (a, b)]
    if known and names[0] == names[1]:  # one name, two images
        names = [sorted(f"{each.reference} (layers {each.layers[:12]})" for each in side) for side in (a, b)]
    return ", ".join(names[0]), ", ".join(names[1])


def _changed(a: Mapping[str, str], b: Mapping[str, str]) -> list[str]:
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))


def _hashes(files: Sequence[FileHash]) -> dict[str, str]:
    return {file.path: file.sha256 for file in files}


def _layers(ids: Sequence[str]) -> str:
    return f"{len(ids)} layers, the last {ids[-1].removeprefix('sha256:')[:12]}" if ids else "none"


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def _limit(size: int) -> str:
    return _size(size) if size else "none"


def _size(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
