"""Whether a build failed by its Dockerfile or by the machine: the builder says so, and no step may say it for it.

The outputs are those of Compose 5 with buildx 0.29, with the classic builder of Engine 20.10, and with Podman's.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.diagnosis import CauseKind, heard, machine_fault
from harness.engine.compose import Compose, ComposeOutput
from harness.errors import ComposeError, DiskFullError, ImageUnavailableError, InfrastructureError
from harness.runner.stages import images

# What a machine that fails has a builder say.
FAULTS = {
    CauseKind.ENGINE_FAILED: (
        "failed to set up container networking: driver failed programming",
        "failed to add interface veth0a1 to sandbox: error setting interface",
        "failed to create endpoint pensive_x on network bridge: adding interface failed",
        "failed to prepare extraction snapshot: input/output error",
        "OCI runtime create failed: unable to start container process: error setting cgroup config: no such device",
    ),
    CauseKind.DISK_FULL_ENGINE: ("write /var/lib/docker/tmp/x: no space left on device",),
    CauseKind.ENGINE_GONE: (
        "rpc error: code = Unavailable desc = error reading from server: EOF",
        "Unavailable: closing transport due to: connection error: desc = EOF",
        "Cannot connect to the Docker daemon at unix:///x.sock. Is the docker daemon running?",
    ),
    CauseKind.IMAGE_UNAVAILABLE: (
        "failed to fetch oauth token: unexpected status from GET request to https://x.invalid: 503",
        'failed to authorize: failed to fetch anonymous token: Get "https://x.invalid/token": EOF',
        'failed to do request: Head "https://x.invalid/v2/y/manifests/1": dial tcp: lookup x.invalid: no such host',
        "x.invalid/y:1: failed to resolve source metadata for x.invalid/y:1: not found",
        "failed to copy: httpReadSeeker: failed open: unexpected status code https://x.invalid: 429 Too Many Requests",
    ),
}
# Of these a step is believed, in the words of the C library.
PASSED_ON = ("lookup x.invalid", "no space left")


def buildkit(command: str, error: str, *printed: str, target: str = "") -> tuple[str, ...]:
    """Return what Compose prints of a step that fails with BuildKit."""
    name = f"{target} " if target else ""
    step = f"[{name}2/2] RUN {command}"
    return (
        " Image x-serve Building",
        "#1 [internal] load local bake definitions",
        "#1 DONE 0.0s",
        "",
        f"#6 {step}",
        *(f"#6 0.{number:03} {line}" for number, line in enumerate(printed)),
        f"#6 ERROR: {error}",
        "------",
        f" > {step}:",
        *(f"0.{number:03} {line}" for number, line in enumerate(printed)),
        "------",
        f"{f'target {target}: ' if target else ''}failed to solve: {error}",
        "",
    )


def newer(command: str, error: str, *printed: str) -> tuple[str, ...]:
    """Return the same of a newer BuildKit, which shows the line of the Dockerfile too."""
    rule = "-" * 20
    lines = buildkit(command, error, *printed)[:-2]
    shown = ("Dockerfile:2", rule, "   1 |     FROM x", f"   2 | >>> RUN {command}", rule, "")
    details = ("", "View build details: docker-desktop://dashboard/build/default/default/abc")
    return (*lines, *shown, f"target serve: failed to solve: {error}", *details)


def classic(command: str, error: str, *printed: str) -> tuple[str, ...]:
    """Return what Compose prints of a step that fails with the classic builder."""
    return (
        " Image x-serve Building",
        "Step 1/2 : FROM x",
        " ---> 4c0ffb47a148",
        f"Step 2/2 : RUN {command}",
        " ---> Running in 34a56a2ab911",
        *printed,
        error,
    )


def podman(command: str, error: str, *printed: str) -> tuple[str, ...]:
    """Return what Compose prints of a step that fails with Podman's builder."""
    return ("STEP 1/2: FROM x", f"STEP 2/2: RUN {command}", *printed, error)


def unreachable(what: str, error: str) -> tuple[str, ...]:
    """Return what Compose prints where a builder of another driver does not come up."""
    return (f"#2 [internal] {what}", f"#2 ERROR: {error}", "------", f" > [internal] {what}:", "------", error)


def ended(how: str, command: str, code: int = 9) -> str:
    """Return how a builder says that the command of a step ended with an exit code."""
    return {
        "buildkit": f"executor failed running [/bin/sh -c {command}]: exit code: {code}",
        "newer": f'process "/bin/sh -c {command}" did not complete successfully: exit code: {code}',
        "classic": f"The command '/bin/sh -c {command}' returned a non-zero code: {code}",
        "podman": f'building at STEP "RUN {command}": while running runtime: exit status {code}',
    }[how]


BUILDERS: dict[str, Callable[..., tuple[str, ...]]] = {
    "buildkit": buildkit,
    "newer": newer,
    "classic": classic,
    "podman": podman,
}


def kind(lines: tuple[str, ...]) -> CauseKind | None:
    fault = machine_fault(lines[-40:])
    return fault.kind if fault else None


@pytest.mark.parametrize(
    ("words", "expected"), [(words, kind) for kind, all_words in FAULTS.items() for words in all_words]
)
def test_what_the_builder_says(words: str, expected: CauseKind) -> None:
    """A fault of the machine in the builder's own words is the machine's, with any builder."""
    for how, made in BUILDERS.items():
        assert kind(made("true", words)) == expected, how


@pytest.mark.parametrize(
    "words",
    [
        *(w for words in FAULTS.values() for w in words if not any(known in w for known in PASSED_ON)),
        "ERROR: failed to solve: rpc error: code = Unavailable desc = gone",
        "target train: failed to solve: pull access denied",
        "#6 ERROR: failed to create endpoint x",
        "------",
        "compose build requires buildx 0.17.0 or later",
        " > [internal] booting buildkit:",
        "no space left on device",
        "Temporary failure in name resolution",
        "the --mount option requires BuildKit",
    ],
)
def test_what_a_step_prints(words: str) -> None:
    """A program that prints such words and ends with an exit code is the Dockerfile's failure, with any builder."""
    telling, run = f"echo '{words}'; exit 9", "sh tests.sh"
    for how, made in BUILDERS.items():
        for count in (1, 60):  # what is kept of the output is less
            assert kind(made(run, ended(how, run), *["begun"] * count, words, "1 failed")) is None, how
        assert kind(made(telling, ended(how, telling), words)) is None, how


@pytest.mark.parametrize("how", BUILDERS)
def test_a_command_that_is_quoted(how: str) -> None:
    """What the command itself says is no reason; what stands after it is."""
    command = "echo failed to create endpoint; apt-get install x"
    before = {
        "buildkit": f"executor failed running [/bin/sh -c {command}]: ",
        "newer": f'process "/bin/sh -c {command}" did not complete successfully: ',
        "classic": "",
        "podman": f'building at STEP "RUN {command}": ',
    }[how]
    assert kind(BUILDERS[how](command, f"{before}unable to find user nobody: no matching entries")) is None
    assert kind(BUILDERS[how](command, f"{before}failed to add interface x to sandbox")) is CauseKind.ENGINE_FAILED


@pytest.mark.parametrize("how", BUILDERS)
@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("OSError: [Errno 28] No space left on device",), CauseKind.DISK_FULL_ENGINE),
        (("dd: error writing '/big': No space left on device", "1+0 records in"), CauseKind.DISK_FULL_ENGINE),
        (
            ("WARNING: Retrying: [Errno -3] Temporary failure in name resolution')': /x", "ERROR: No matching version"),
            CauseKind.NO_NETWORK,
        ),
        (
            ("Err:1 http://deb.invalid", "  Temporary failure resolving 'deb.invalid'", "E: Unable to locate package"),
            CauseKind.NO_NETWORK,
        ),
        (("curl: (6) Could not resolve host: x.invalid",), CauseKind.NO_NETWORK),
    ],
)
def test_what_programs_pass_on(how: str, lines: tuple[str, ...], expected: CauseKind) -> None:
    """A full disk and a missing network only programs can tell: their words are believed, at the end of a step.

    Not where the Dockerfile itself says them, nor where the step went on to fail for another reason.
    """
    assert kind(BUILDERS[how]("pip install x", ended(how, "pip install x"), *lines)) is expected
    telling = f'echo "{" ".join(lines)}"'
    assert kind(BUILDERS[how](telling, ended(how, telling), *lines)) is None
    trace = ("Traceback (most recent call last):", '  File "/t.py", line 1, in <module>', "    f()", "AssertionError")
    assert kind(BUILDERS[how]("python t.py", ended(how, "python t.py"), *lines, *trace)) is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ('error during container init: error mounting "proc" to rootfs', True),
        ("error during container init: unable to create session key: disk quota exceeded", True),
        ("unable to apply cgroup configuration: no such process", True),
        ("can't get final child's PID from pipe: EOF", True),
        ("error during container init: error running prestart hook #0: exit status 1, stderr: no sandbox", True),
        ('exec: "/nosuch": stat /nosuch: no such file or directory', False),
        ("exec /x: exec format error", False),
        ('error during container init: chdir to cwd ("/x") set in config.json failed: permission denied', False),
    ],
)
def test_a_runtime_that_cannot_start_a_step(words: str, *, expected: bool) -> None:
    """BuildKit lets the runtime print why it cannot start a step; a program that is not there is the Dockerfile's."""
    said = f"runc run failed: unable to start container process: {words}"
    lines = buildkit("true", ended("buildkit", "true", 1), said)
    assert (kind(lines) is CauseKind.ENGINE_FAILED) == expected
    assert (kind(classic("true", f"OCI runtime create failed: {said}: unknown")) is None) != expected
    more = buildkit("sh x", ended("buildkit", "sh x", 1), "begun", said)
    assert kind(more) is None, "a step that printed something had begun"


@pytest.mark.parametrize(
    ("lines", "advice"),
    [
        (("compose build requires buildx 0.17.0 or later",), "DOCKER_BUILDKIT=0"),
        (("compose build requires buildx v0.23 or later", ""), "0.23 or later"),
        (('no builder "mine" found', ""), "BUILDX_BUILDER=default"),
        (unreachable("booting buildkit", "Error response from daemon: no"), "BUILDX_BUILDER=default"),
        (unreachable("waiting for connection", "context deadline exceeded"), "BUILDX_BUILDER=default"),
        (
            ("the classic builder doesn't support secrets; building with BuildKit requires the plugin",),
            "Install the buildx plugin",
        ),
        (
            ("Step 2/3 : RUN --mount=type=cache,target=/c true", "the --mount option requires BuildKit. Refer to x"),
            "Install the buildx plugin",
        ),
    ],
)
def test_a_builder_that_cannot(lines: tuple[str, ...], advice: str) -> None:
    """A builder that is too old, missing or not to be reached is the machine's, with the ways out."""
    fault = machine_fault((" Image x-serve Building", *lines))
    assert fault is not None
    assert fault.kind is CauseKind.BUILDER
    assert advice in fault.advice


def test_a_builder_that_does_not_see_the_images_of_the_engine() -> None:
    """A base that only the engine has is asked of a registry by a builder in a container: the advice says so."""
    words = "failed to resolve source metadata for docker.io/harness-local/python:3.13-trixie: pull access denied"
    fault = machine_fault(buildkit("true", words))
    assert fault is not None
    assert (fault.kind, "BUILDX_BUILDER=default" in fault.advice) == (CauseKind.IMAGE_UNAVAILABLE, True)


def test_the_services_that_failed_are_named() -> None:
    """BuildKit says which target failed; a step that prints the name of another blames nobody."""
    model: dict[str, Any] = {"services": {"serve": {}, "my.train": {}, "serve-train": {}}}

    def failed(*lines: str) -> str:
        return images._failed(model, ComposeOutput(1, lines))

    assert (
        failed(*buildkit("false", ended("buildkit", "false"), "target serve: failed", target="my_train")) == "my.train"
    )
    assert failed(*buildkit("false", ended("buildkit", "false"), target="serve-train")) == "serve-train"
    assert (
        failed(*classic("false", ended("classic", "false"), "target serve: failed")) == "serve, my.train, serve-train"
    )
    assert (
        images._failed({"services": {"serve": {}}}, ComposeOutput(1, newer("false", ended("newer", "false"))))
        == "serve"
    )


def test_no_output_is_no_fault() -> None:
    """A build that says nothing at all is nobody's known fault."""
    assert (heard(()).own, heard(("", "")).printed, machine_fault(())) == ("", (), None)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("failed to solve: failed to create endpoint x", InfrastructureError),
        ("compose build requires buildx 0.17.0 or later", InfrastructureError),
        ("failed to solve: write /x: no space left on device", DiskFullError),
        ("failed to solve: rpc error: code = Unavailable desc = EOF", ComposeError),
        ("failed to solve: x: failed to resolve source metadata for x: not found", ImageUnavailableError),
    ],
)
def test_compose_raises_what_the_machine_did(tmp_path: Path, words: str, error: type[InfrastructureError]) -> None:
    """A build that the machine ended raises an error of exit code 3 with the builder's words."""
    program = tmp_path / "compose"
    program.write_text(f"#!/bin/sh\necho '{words}'\nexit 1\n", encoding="utf-8")
    program.chmod(0o755)
    compose = Compose((str(program),), "5.0", "path", {"PATH": "/usr/bin:/bin"})
    with pytest.raises(error, match="while building") as caught:
        compose.build(tmp_path, Path("c.json"), ["serve"], lambda _: None)
    assert type(caught.value) is error
    assert words in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("line", "builder"),
    [
        ("#1 [internal] load local bake definitions", "buildkit"),
        ("Step 1/2 : FROM x", "classic"),
        ("STEP 1/2: FROM x", "buildah"),
        ("no step", "unknown"),
    ],
)
def test_the_builder_that_ran_is_recorded(line: str, builder: str) -> None:
    """The first step says who builds: not Compose's warning, which DOCKER_BUILDKIT=0 silences, nor what steps print."""

    def build(_root: Path, _file: Path, _services: list[str], on_line: Callable[[str], None]) -> ComposeOutput:
        printed = () if builder == "unknown" else ("#7 0.1 Step 1/2 : FROM x", "STEP 1/2: FROM x")
        for each in ("the plugin is not found: falling back to the classic builder", line, *printed):
            on_line(each)
        return ComposeOutput(0, ())

    run: Any = SimpleNamespace(
        compose=SimpleNamespace(build=build),
        engine=None,
        spec=SimpleNamespace(root=Path()),
        folder=SimpleNamespace(write_json=lambda *_: Path()),
        log=lambda *_: nullcontext(io.StringIO()),
    )
    assert images._build(run, {"services": {"x": {}}}, "images/build.json")[0] == builder


def test_the_builder_of_the_engine_itself() -> None:
    """What starts from an image of the engine alone is built by the engine, whatever builder is chosen."""
    compose = Compose(("c",), "5.0", "path", {"BUILDX_BUILDER": "mine", "DOCKER_CONTEXT": "default", "HOME": "/x"})
    local = compose.with_builder_of("unix:///run/docker.sock").environment
    assert local == {"BUILDX_BUILDER": "default", "DOCKER_HOST": "unix:///run/docker.sock", "HOME": "/x"}
    assert compose.with_builder_of("tcp://far.invalid:2376") is compose, "its certificates are those of the context"
