"""Each kind of cause is recognised by its own log, exit or message, and by no other recogniser."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import builders
import pytest
from builders import (
    artifact,
    code,
    contract,
    ended,
    evidence,
    images,
    rerun,
    robust,
    serving,
    skew,
    training,
    trainings,
)

from harness import diagnosis, errors
from harness.checks import all_checks
from harness.checks.judge import judge
from harness.diagnosis import Cause, CauseKind, Failure, cause_of, causes_of, known, relevant
from harness.diagnosis.lines import WIDTH, clean
from harness.diagnosis.recognise import LAST, RECOGNISERS
from harness.engine.events import seen
from harness.engine.limits import limits_of
from harness.evidence.records import Ending, Exit, Limits, Start, Status, UnitTests

MIB = 2**20
CHECKS = {check.name: check for check in all_checks()}


def died(code_: int | None = 1, *log: str, limits: Limits | None = None, **changes: Any) -> Failure:
    """Return the failure of a container."""
    exit_changes = {key: changes.pop(key) for key in ("oom_killed", "timed_out", "ooms") if key in changes}
    end = ended(code=code_, log_tail=log, limits=limits or Limits(), **exit_changes)
    return Failure(subject="train", exit=end, log=log, log_file="train/log.txt", limits=limits or Limits(), **changes)


def broke(error: type[errors.HarnessError], message: str, hint: str = "") -> Failure:
    """Return the failure of a run that ended without a verdict."""
    return Failure(subject="run", error=error.kind, message=message, hint=hint)


def built(*log: str) -> Failure:
    """Return the failure of a build."""
    return Failure(subject="images", build="train", log=log, log_file="images/build.log")


def unready(*listening: str) -> Failure:
    """Return the failure of a service that never became ready."""
    service = serving(ready=False, listening=listening, seconds=2.0, last_answer="GET /health: refused")
    return Failure(subject="serve", service=service, log=("starting",), timeout=2.0, timeout_key="serve.timeout")


NO_SPACE = "OSError: [Errno 28] No space left on device: '/scratch/big'"
POOL = "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network"
BIND = "Bind for 0.0.0.0:5432 failed: port is already allocated"
SMALL = Limits(memory=64 * MIB)

# recogniser -> failures that it alone knows, with their kind, and a part of summary, limit or advice
OWN: dict[str, list[tuple[Failure, CauseKind, str]]] = {
    "engine_gone": [
        (broke(errors.EngineUnavailableError, "the engine stopped answering: EOF"), CauseKind.ENGINE_GONE, "engine"),
        (broke(errors.ComposeError, "Cannot connect to the Docker daemon at unix"), CauseKind.ENGINE_GONE, "doctor"),
        (built("failed to solve: rpc error: code = Unavailable desc = EOF"), CauseKind.ENGINE_GONE, "Start the engine"),
    ],
    "ended_from_outside": [
        (
            broke(errors.InfrastructureError, "the container was ended from outside: the engine was asked to (137)"),
            CauseKind.KILLED_FROM_OUTSIDE,
            "from outside",
        ),
    ],
    "disk_full_on_the_host": [
        (
            broke(errors.DiskFullError, "the disk is full: cannot write /x/train/log.txt"),
            CauseKind.DISK_FULL_HOST,
            "run folder",
        ),
    ],
    "disk_full_on_the_engine": [
        (
            broke(errors.DiskFullError, "the engine's disk is full: no space left on device"),
            CauseKind.DISK_FULL_ENGINE,
            "of the engine",
        ),
        (built("write /var/lib: no space left on device"), CauseKind.DISK_FULL_ENGINE, "Free space"),
    ],
    "disk_full_in_the_container": [
        (
            broke(errors.DiskFullError, f"training ran into a full disk: {NO_SPACE}"),
            CauseKind.DISK_FULL_CONTAINER,
            "in the container",
        ),
        (
            died(1, NO_SPACE, limits=Limits(tmpfs={"/scratch": "size=64k"})),
            CauseKind.DISK_FULL_CONTAINER,
            "tmpfs /scratch size=64k",
        ),
    ],
    "address_pool_exhausted": [(broke(errors.ComposeError, POOL), CauseKind.ADDRESS_POOL, "harness clean")],
    "port_taken": [
        (broke(errors.ComposeError, BIND), CauseKind.PORT_TAKEN, "another port"),
        (broke(errors.InfrastructureError, f"the engine refused a call: {BIND}"), CauseKind.PORT_TAKEN, "taken"),
    ],
    "image_unavailable": [
        (
            broke(errors.ImageUnavailableError, "the image x:1 cannot be pulled", "Check the registry."),
            CauseKind.IMAGE_UNAVAILABLE,
            "Check the registry.",
        ),
        (built("ERROR: failed to resolve source metadata for x:1"), CauseKind.IMAGE_UNAVAILABLE, "docker login"),
        (broke(errors.ComposeError, "pull access denied for x"), CauseKind.IMAGE_UNAVAILABLE, "credentials"),
    ],
    "builder_unusable": [
        (built("compose build requires buildx 0.17.0 or later"), CauseKind.BUILDER, "DOCKER_BUILDKIT=0"),
        (built("the --mount option requires BuildKit. Refer to"), CauseKind.BUILDER, "Install the buildx plugin"),
        (
            broke(errors.InfrastructureError, 'the builder that is chosen: no builder "mine" found'),
            CauseKind.BUILDER,
            "BUILDX_BUILDER=default",
        ),
    ],
    "engine_failed": [
        (built("failed to set up container networking: no veth"), CauseKind.ENGINE_FAILED, "run again"),
        (broke(errors.ComposeError, "failed to create endpoint x on network y"), CauseKind.ENGINE_FAILED, "doctor"),
    ],
    "no_network_while_building": [
        (built("#9 0.3 Temporary failure resolving 'deb.example'"), CauseKind.NO_NETWORK, "name server"),
    ],
    "wrong_platform": [
        (died(255, "exec /usr/bin/python3: exec format error"), CauseKind.WRONG_PLATFORM, "platform"),
        (
            broke(errors.DescriptionError, "the container cannot start: exec format error"),
            CauseKind.WRONG_PLATFORM,
            "processor",
        ),
    ],
    "out_of_memory": [
        (died(137, "loading", oom_killed=True, limits=SMALL), CauseKind.OUT_OF_MEMORY, "memory 64 MiB"),
        (died(137, peak=60 * MIB, limits=SMALL), CauseKind.OUT_OF_MEMORY, "peak of 60 MiB"),
        (died(1, "worker lost", ooms=2, limits=SMALL), CauseKind.OUT_OF_MEMORY, "a process of it"),
    ],
    "timeout": [
        (
            died(None, timed_out=True, timeout=2.0, timeout_key="train.timeout", limits=Limits(cpus=0.5)),
            CauseKind.TIMEOUT,
            "train.timeout 2 s, 0.5 CPUs",
        ),
        (died(None, timed_out=True, timeout=2.0, timeout_key="train.timeout"), CauseKind.TIMEOUT, "train.timeout 2 s"),
    ],
    "command_not_found": [
        (died(127, "sh: 1: trian: not found"), CauseKind.COMMAND_NOT_FOUND, "a command was not found"),
        (
            broke(errors.DescriptionError, 'the container cannot start: exec: "x": executable file not found in $PATH'),
            CauseKind.COMMAND_NOT_FOUND,
            "no such program",
        ),
    ],
    "not_executable": [
        (died(126, "sh: 1: ./train.sh: Permission denied"), CauseKind.NOT_EXECUTABLE, "chmod +x"),
        (
            broke(errors.DescriptionError, 'the container cannot start: exec: "/t": permission denied'),
            CauseKind.NOT_EXECUTABLE,
            "may not be run",
        ),
    ],
    "crashed_while_serving": [
        (died(3, "boom", served=True), CauseKind.CRASHED_WHILE_SERVING, "while it was asked: exit code 3"),
        (died(139, served=True), CauseKind.CRASHED_WHILE_SERVING, "ended by signal 11"),
    ],
    "loopback_only": [(unready("127.0.0.1:8080"), CauseKind.LOOPBACK_ONLY, "bind 0.0.0.0:8080")],
    "wrong_port": [(unready("0.0.0.0:9999"), CauseKind.WRONG_PORT, "correct `serve.port`")],
    "never_ready": [
        (unready(), CauseKind.NEVER_READY, "Nothing listens"),
        (unready("0.0.0.0:8080"), CauseKind.NEVER_READY, "listens on the right port"),
        (unready("127.0.0.1:8080", "0.0.0.0:8080"), CauseKind.NEVER_READY, "serve.timeout 2 s"),
    ],
    "ended_by_signal": [
        (died(139), CauseKind.SIGNAL, "SIGSEGV"),
        (died(137, peak=30 * MIB, limits=SMALL), CauseKind.SIGNAL, "The memory limit is 64 MiB"),
        (died(132), CauseKind.SIGNAL, "older processors"),
    ],
    "build_failed": [(built("Step 3/4 : RUN false", "returned a non-zero code: 1"), CauseKind.BUILD_FAILED, "train")],
    "ended_with_code": [
        (died(1, "no rows"), CauseKind.EXIT_CODE, "train/log.txt"),
        (died(0, "bye"), CauseKind.EXIT_CODE, "exit code 0"),
        (died(255, "exit(-1)"), CauseKind.EXIT_CODE, "exit code 255"),
    ],
    "run_ended": [
        (broke(errors.ComposeError, "network x not found", "See doctor."), CauseKind.COMPOSE_FAILED, "See doctor."),
        (broke(errors.InfrastructureError, "cannot write /x: denied"), CauseKind.INFRASTRUCTURE, "infrastructure"),
        (broke(errors.DescriptionError, "unknown key"), CauseKind.DESCRIPTION, "description"),
        (Failure(subject="run", error="interrupted"), CauseKind.INTERRUPTED, "interrupted"),
        (Failure(subject="run", error="the harness crashed", message="E()"), CauseKind.HARNESS_CRASHED, "crashed"),
    ],
}
CASES = [(name, failure, kind, part) for name, cases in OWN.items() for failure, kind, part in cases]


def told(cause: Cause) -> str:
    """Return all that a cause says."""
    return f"{cause.text}\n{cause.advice}"


@pytest.mark.parametrize(("name", "failure", "kind", "part"), CASES, ids=[f"{c[0]}-{c[2]}" for c in CASES])
def test_a_recogniser_knows_its_own(name: str, failure: Failure, kind: CauseKind, part: str) -> None:
    """The first recogniser that knows a failure is its own, and says the kind, the limit or what to try."""
    cause = cause_of(failure)
    first = next(recogniser for recogniser in (*RECOGNISERS, *LAST) if recogniser(failure) is not None)
    assert (first.__name__, cause.kind) == (name, kind), cause
    assert part in told(cause)
    assert cause.summary
    assert "\n" not in cause.summary


@pytest.mark.parametrize("recogniser", RECOGNISERS, ids=lambda recogniser: recogniser.__name__)
def test_no_recogniser_knows_those_of_others(recogniser: Any) -> None:
    """A recogniser knows no failure of another one, so that their order decides nothing but between stated pairs."""
    both = {("out_of_memory", "crashed_while_serving")}  # a service that ran out of memory while it was asked
    wrong = [
        (name, failure)
        for name, failure, _, _ in CASES
        if name != recogniser.__name__ and (recogniser.__name__, name) not in both and recogniser(failure) is not None
    ]
    assert wrong == []


def test_every_recogniser_and_every_kind_has_a_case() -> None:
    """No recogniser and no kind is without a failure that it is for."""
    assert set(OWN) == {recogniser.__name__ for recogniser in (*RECOGNISERS, *LAST)}
    assert {kind for _, _, kind, _ in CASES} == set(CauseKind)


def test_memory_of_a_service_that_was_asked() -> None:
    """A service that runs out of memory while it is asked: memory is the cause, and when it was is said."""
    cause = cause_of(died(137, oom_killed=True, served=True, limits=SMALL))
    assert cause.kind is CauseKind.OUT_OF_MEMORY
    assert "while it was asked" in cause.summary


@pytest.mark.parametrize("kind", CauseKind)
def test_infrastructure_is_what_ends_with_3(kind: CauseKind) -> None:
    """The kinds of the machine are those that come from an InfrastructureError, or a full disk that becomes one."""
    from_error = {k for _, f, k, _ in CASES if f.error and _exit_code(f.error) == 3}
    assert kind.is_infrastructure == (kind in from_error or kind is CauseKind.NO_NETWORK)


def _exit_code(kind: str) -> int:
    own = [errors.HarnessError]
    for each in own:
        own += each.__subclasses__()
    return next((each.exit_code for each in own if each.kind == kind), 0)


# --- the lines that matter


OWN_FRAME = '  File "/app/train.py", line 12, in main'
LIBRARY = '  File "/usr/lib/python3/dist-packages/pandas/io.py", line 99, in read'
HEAD = "Traceback (most recent call last):"


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (("a", "", "b"), ("a", "b")),
        (tuple("abcdefghij"), tuple("cdefghij")),
        (("error: no rows", *"abcdefghi"), ("error: no rows", *"bcdefghi")),
        (("epoch 1", HEAD, OWN_FRAME, "    f()", "ValueError: bad"), (OWN_FRAME, "    f()", "ValueError: bad")),
        (
            (HEAD, OWN_FRAME, "    f()", LIBRARY, "    g()", "KeyError: 'x'"),
            (OWN_FRAME, "    f()", LIBRARY, "    g()", "KeyError: 'x'"),
        ),
        (
            (HEAD, LIBRARY, "KeyError: 'y'", "", "During handling", HEAD, OWN_FRAME, "    f()", "a.b.Error: z", "bye"),
            (OWN_FRAME, "    f()", "a.b.Error: z", "bye"),
        ),
        ((OWN_FRAME, "    f(", "     ^", "SyntaxError: x"), (OWN_FRAME, "    f(", "     ^", "SyntaxError: x")),
        ((HEAD, OWN_FRAME, "ValueError: two", "- one", "- two"), (OWN_FRAME, "ValueError: two", "- one", "- two")),
        ((HEAD, OWN_FRAME, "    f()", "    ~^^", "E: x"), (OWN_FRAME, "    f()", "E: x")),
        (
            ('1.2.3.4 - "POST /predict HTTP/1.1" 200 OK', '1.2.3.4 - "GET /x HTTP/1.1" 500 -'),
            ('1.2.3.4 - "GET /x HTTP/1.1" 500 -',),
        ),
        (("\x1b[31mred\x1b[0m\r",), ("red",)),
        ((" 10%|█   | 1/10 [00:01<00:09,  1.00it/s]", "old\rnew"), ("new",)),
        (("#9 0.345 E: no such package", "#9 ERROR: process"), ("E: no such package", "#9 ERROR: process")),
        ((), ()),
        (("[1] fatal", OWN_FRAME), ("[1] fatal", OWN_FRAME)),
    ],
)
def test_relevant_lines(log: tuple[str, ...], expected: tuple[str, ...]) -> None:
    """Of a traceback the last frame and the exception, else the last lines and the last one that tells of an error."""
    assert relevant(log) == expected


def test_a_long_line_is_cut() -> None:
    """A line of a megabyte does not fill the report."""
    assert len(clean(("x" * MIB,))[0]) == WIDTH + 3


# --- what is well known


@pytest.mark.parametrize(
    ("name", "line", "part"),
    [
        ("missing-module", "ModuleNotFoundError: No module named 'sklearn.linear_model'", "Add scikit-learn to r.lock"),
        ("missing-module", "/usr/bin/python3: No module named pytest", "Add pytest to r.lock"),
        ("missing-library", "OSError: libgomp.so.1: cannot open shared object file: No such file", "install libgomp1"),
        ("permission", "PermissionError: [Errno 13] Permission denied: '/model/x'", "The user of the container (7)"),
        ("read-only", "OSError: [Errno 30] Read-only file system: '/cache'", "/cache cannot be written"),
        ("no-gpu", "RuntimeError: Found no NVIDIA driver on your system.", "map_location"),
        ("cuda-memory", "torch.OutOfMemoryError: CUDA out of memory.", "batch smaller"),
        ("memory", "numpy.core._exceptions.MemoryError: Unable to allocate 9 GiB", "The memory limit is 64 MiB"),
        ("child-killed", "Killed", "the limit is 64 MiB"),
        ("child-killed", "[ERROR] Worker (pid:7) was sent SIGKILL! Perhaps out of memory?", "fewer workers"),
        ("version-mismatch", "InconsistentVersionWarning: Trying to unpickle estimator", "same versions"),
        ("version-mismatch", "AttributeError: Can't get attribute 'Scaler' on <module '__main__'>", "r.lock"),
        ("address-in-use", "OSError: [Errno 98] Address already in use", "start the server once"),
        ("missing-file", "FileNotFoundError: [Errno 2] No such file or directory: '/data/x.csv'", "no /data/x.csv"),
        ("missing-file", "python3: can't open file '/app/train.py': [Errno 2] No such file", "no /app/train.py"),
        ("missing-column", "KeyError: 'island'", "(island)"),
        ("missing-column", "KeyError: \"['island'] not in index\"", "['island'] not in index"),
        ("missing-variable", "  File \"<frozen os>\", line 709, in __getitem__\nKeyError: 'SEED'", "SEED is not set"),
        ("missing-values", "ValueError: Input X contains NaN.", "Impute"),
        ("text-as-number", "ValueError: could not convert string to float: 'abc'", "'abc'"),
        ("threads", "RuntimeError: can't start new thread", "may have 32 processes"),
        ("shared-memory", "RuntimeError: DataLoader worker (pid 7) is killed by signal: Bus error.", "shm_size"),
        ("truncated-artifact", "_pickle.UnpicklingError: invalid load key, 'v'.", "Git LFS"),
        ("no-network", "socket.gaierror: [Errno -3] Temporary failure in name resolution", "wants the network"),
        ("bad-arguments", "train.py: error: unrecognized arguments: --epoch", "correct `command`"),
    ],
)
def test_what_a_log_tells_of(name: str, line: str, part: str) -> None:
    """A well-known line names itself, and what to try names the file, the limit or the setting that it is about."""
    limits = Limits(memory=64 * MIB, pids=32, user="7")
    cause = cause_of(died(1, *line.splitlines(), limits=limits, requirements=("r.lock",)))
    assert (cause.kind, cause.symptom) == (CauseKind.EXIT_CODE, name)
    assert part in cause.advice
    assert "train/log.txt" in cause.advice


def test_every_known_line_has_a_case() -> None:
    """No entry of the table is without a line that it is for, and each advice can be filled in without its groups."""
    mark = next(m for m in test_what_a_log_tells_of.pytestmark if m.name == "parametrize")  # type: ignore[attr-defined]
    assert {case[0] for case in mark.args[1]} == {entry.name for entry in known.KNOWN}


def test_nothing_well_known() -> None:
    """An ordinary exception has no symptom, and the advice is to read it."""
    cause = cause_of(died(1, HEAD, OWN_FRAME, "ValueError: the loss went up"))
    assert (cause.symptom, cause.lines[-1]) == ("", "ValueError: the loss went up")
    assert cause.advice.startswith("Read the log lines above")


# --- all causes of a run


BAD = ended(code=1, log_tail=("boom",))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"images": images(failure="train", images=())}, [("images", CauseKind.BUILD_FAILED)]),
        ({"train": training(exit=BAD)}, [("train", CauseKind.EXIT_CODE)]),
        (
            {"train": training(exit=ended(code=137), memory_limit=64 * MIB, peak=63 * MIB)},
            [("train", CauseKind.OUT_OF_MEMORY)],
        ),
        ({"serve": serving(ready=False, listening=("0.0.0.0:1",))}, [("serve", CauseKind.WRONG_PORT)]),
        ({"serve": serving(ready=False, died=BAD)}, [("serve", CauseKind.EXIT_CODE)]),
        (
            {"contract": contract(died=BAD), "load": builders.load(died=BAD)},
            [("contract", CauseKind.CRASHED_WHILE_SERVING)],
        ),
        ({"load": builders.load(died=BAD)}, [("load", CauseKind.CRASHED_WHILE_SERVING)]),
        ({"fuzz": builders.fuzz(died=BAD)}, [("fuzz", CauseKind.CRASHED_WHILE_SERVING)]),
        ({"trainings": trainings(rerun("seed", "SEED=8", 3))}, [("trainings:seed", CauseKind.EXIT_CODE)]),
        ({"skew": skew(exit=ended(code=139))}, [("skew", CauseKind.SIGNAL)]),
        ({"robustness": robust(Start("read-only", exit=BAD))}, [("robustness:read-only", CauseKind.EXIT_CODE)]),
        ({"code": code(unit_tests=UnitTests(("pytest",), BAD))}, [("code", CauseKind.EXIT_CODE)]),
        (
            {"end": Ending(3, errors.EngineUnavailableError.kind, "the engine stopped answering: EOF")},
            [("run", CauseKind.ENGINE_GONE)],
        ),
        ({"end": None}, []),
    ],
)
def test_causes_of_a_run(changes: dict[str, Any], expected: list[tuple[str, CauseKind]]) -> None:
    """Every failure that a run recorded has one cause; trainings and starts that are meant to fail have none."""
    assert [(cause.subject, cause.kind) for cause in causes_of(evidence(**changes))] == expected


def test_a_service_that_died_is_told_once() -> None:
    """The finding of the first example without an answer has the cause; what follows is not told again."""
    lost = [builders.exchange(f"example:{n}", None, b"", error="ConnectionRefusedError") for n in ("one", "two")]
    gone = evidence(contract=contract(*lost, died=ended(code=3, log_tail=("boom",))))
    first, second = judge(gone, [CHECKS["contract.examples"]])
    assert "the service ended while it was asked: exit code 3\nboom" in first.received
    assert "serve/log.txt" in first.advice
    assert "boom" not in second.received
    (recovers,) = judge(gone, [CHECKS["contract.recovers"]])
    assert recovers.status is Status.SKIP, "nothing was answered, so nothing can have changed"


def test_a_service_that_a_bad_request_ended() -> None:
    """A service that dies of a malformed request fails `contract.recovers`, with its exit and its last lines."""
    good = contract()
    case = good.of("recovers")[0].case
    gone = contract(builders.exchange(case, None, b"", error="reset"), died=ended(code=139, log_tail=("segfault",)))
    (finding,) = judge(evidence(contract=gone), [CHECKS["contract.recovers"]])
    assert finding.status is Status.FAIL
    assert "ended by signal 11 (exit code 139)\nsegfault" in finding.received
    assert "serve/log.txt" in finding.advice


def test_what_is_asked_in_vain_is_not_judged() -> None:
    """A request that ends the service fails its check; those after it have not been refused, and are skipped."""
    good = contract()
    cases = [e.case for e in good.exchanges if e.case.startswith(("rejects", "recovers"))]
    last = next(n for n, case in enumerate(cases) if case.startswith("rejects-null"))
    lost = [builders.exchange(case, None, b"", error="refused") for case in cases[last:]]
    gone = evidence(contract=contract(*lost, died=ended(code=139)))
    found = {n: {f.status for f in judge(gone, [CHECKS[f"contract.rejects-{n}"]])} for n in ("null", "oversized")}
    assert found == {"null": {Status.FAIL}, "oversized": {Status.SKIP}}


@pytest.mark.parametrize(
    ("line", "limits", "expected"),
    [
        ("can't start new thread", Limits(pids=32), "pids 32"),
        ("MemoryError", SMALL, "memory 64 MiB"),
        ("MemoryError", Limits(), ""),
        ("Bus error", Limits(shm=64 * MIB), "shm 64 MiB"),
        ("ValueError: x", SMALL, ""),
    ],
)
def test_the_limit_that_applied(line: str, limits: Limits, expected: str) -> None:
    """The limit that a well-known line is about is said, where the container had it."""
    assert cause_of(died(1, line, limits=limits)).limit == expected


def test_limits_of_a_training_without_memory_limit() -> None:
    """A training keeps its other limits where it has none of memory."""
    end = ended(code=1, log_tail=("can't start new thread",), limits=Limits(pids=8))
    (cause,) = causes_of(evidence(train=training(exit=end, memory_limit=0)))
    assert cause.limit == "pids 8"


def test_old_records_have_causes_too() -> None:
    """A record without limits and times, as old runs wrote it, is enough for a cause."""
    old = training(exit=Exit(137, oom_killed=True, timed_out=False, seconds=1.0, log_tail=()), memory_limit=32 * MIB)
    (cause,) = causes_of(evidence(train=old, artifact=artifact()))
    assert cause.limit == "memory 32 MiB"


@pytest.mark.parametrize(("message", "part"), [(POOL, "harness clean"), (BIND, "another port"), ("who knows", "")])
def test_advice_for_an_error_of_the_machine(message: str, part: str) -> None:
    """What Compose and the engine say decides what to try; of what nobody knows there is no advice."""
    advice = diagnosis.advice_for(errors.ComposeError, message)
    assert part in advice
    assert bool(advice) == bool(part)


def test_a_build_that_the_machine_ended() -> None:
    """A build that ends for want of a network is the machine's; one whose step fails is the Dockerfile's."""
    fault = diagnosis.machine_fault(("Could not fetch", "Temporary failure in name resolution"))
    assert fault is not None
    assert fault.kind.is_infrastructure
    assert diagnosis.machine_fault(("RUN false", "returned a non-zero code: 1")) is None


# --- what the engine says of a container


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ({}, Limits(user="7")),
        ({"Memory": 64 * MIB, "MemorySwap": -1, "PidsLimit": None}, Limits(memory=64 * MIB, swap=-1, user="7")),
        ({"NanoCpus": 1_500_000_000, "PidsLimit": 32}, Limits(cpus=1.5, pids=32, user="7")),
        ({"CpuQuota": 50_000, "CpuPeriod": 100_000, "PidsLimit": -1}, Limits(cpus=0.5, user="7")),
        ({"Tmpfs": {"/tmp": "size=64k"}, "ReadonlyRootfs": True}, Limits(tmpfs={"/tmp": "size=64k"}, read_only=True)),
        (
            {"Mounts": [{"Type": "tmpfs", "Target": "/s", "TmpfsOptions": {"SizeBytes": 9}}, {"Type": "volume"}]},
            Limits(tmpfs={"/s": "size=9"}),
        ),
        ({"ShmSize": 64 * MIB}, Limits(shm=64 * MIB)),
    ],
)
def test_limits_of_a_container(host: dict[str, Any], expected: Limits) -> None:
    """What the engine held a container to is read from its inspect answer; a limit that is not set is none."""
    assert limits_of({"HostConfig": host, "Config": {"User": "7"}}) == replace(expected, user="7")


class Events:
    """An API that remembers some events of a container."""

    def __init__(self, *events: tuple[str, str]) -> None:
        self.found = [{"Action": action, "Actor": {"Attributes": {"signal": number}}} for action, number in events]
        self.asked: dict[str, Any] = {}

    def events(self, **asked: Any) -> list[dict[str, Any]]:
        """Return them all."""
        self.asked = asked
        return self.found


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((), (0, False)),
        ((("oom", ""), ("oom", "")), (2, False)),
        ((("kill", "15"), ("kill", "9")), (0, True)),
        ((("kill", "1"),), (0, False)),
    ],
)
def test_events_of_a_container(events: tuple[tuple[str, str], ...], expected: tuple[int, bool]) -> None:
    """Processes killed for memory are counted; a signal that ends a container was asked for, a SIGHUP ends none."""
    api = Events(*events)
    assert seen(api, "c", "2026-01-01T00:00:00.123456789Z", "2026-01-01T00:00:01Z") == expected
    assert (api.asked["since"], api.asked["until"]) == ("1767225600.123456", "1767225601.050000")


@pytest.mark.parametrize("time", ["", "soon"])
def test_events_without_a_time(time: str) -> None:
    """An engine that does not say when a container ran has seen nothing."""
    assert seen(Events(("oom", "")), "c", time, time) == (0, False)
