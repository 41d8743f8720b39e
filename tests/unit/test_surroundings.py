"""What surrounds a run: its machine, what its containers had, its files; and what is kept of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import builders
import pytest

from harness.engine import Leftover, labels, machine
from harness.engine.compose import Compose
from harness.errors import DescriptionError, InfrastructureError
from harness.evidence.records import Ending
from harness.evidence.run_folder import RunFolder
from harness.runner import cleanup
from harness.runner.cleanup import Keep
from harness.runner.stages import Run, run_environment

X86 = "processor\t: 0\nmodel name\t: AMD EPYC 7B13\nflags\t\t: sse2 fpu avx2 fpu\n\nprocessor\t: 1\nflags\t\t: other\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd evtstrm\nCPU part\t: 0xd0c\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (X86, ("AMD EPYC 7B13", ("avx2", "fpu", "sse2"))),
        (ARM, ("0xd0c", ("asimd", "evtstrm", "fp"))),
        ("", ("", ())),
    ],
)
def test_processor(text: str, expected: tuple[str, tuple[str, ...]]) -> None:
    """Model and flags of the first processor, as x86 and ARM write them."""
    assert machine.parse_cpuinfo(text) == expected


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"DockerRootDir": "/var/lib/docker", "SecurityOptions": ["name=seccomp"]}, "docker"),
        ({"DockerRootDir": "/home/x/docker", "SecurityOptions": ["name=rootless"]}, "docker rootless"),
        ({"DockerRootDir": "/var/lib/containers/storage", "SecurityOptions": None}, "podman"),
        ({"DockerRootDir": "/h/containers/storage", "SecurityOptions": ["name=rootless"]}, "podman rootless"),
        ({}, "docker"),
    ],
)
def test_kind_of_an_engine(info: dict[str, Any], expected: str) -> None:
    """Docker and Podman, rootless or not, are told by what `info` says."""
    assert machine.kind(info) == expected


def test_description_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engine, kernel and settings are recorded; the processor only of an engine on this machine, no other variables."""
    info = {"Version": "29", "KernelVersion": "6.12", "CgroupVersion": "2", "NCPU": 2, "MemTotal": 5, "Driver": "x"}
    engine = SimpleNamespace(info=lambda: info, url="tcp://far:2375")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("LC_TIME", "de_DE")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("API_TOKEN", "secret")
    found = machine.describe(cast("Any", engine), Compose((), "5", "plugin", {}))
    assert (found.engine_version, found.kernel, found.cgroup, found.timezone) == ("29", "6.12", "2", "Asia/Tokyo")
    assert {"OMP_NUM_THREADS": "3", "LC_TIME": "de_DE", "TZ": "Asia/Tokyo"}.items() <= found.variables.items()
    assert "API_TOKEN" not in found.variables
    assert (found.cpu_model, found.cpu_flags) == ("", ())
    engine.url = "unix:///var/run/docker.sock"
    assert (
        bool(machine.describe(cast("Any", engine), Compose((), "5", "plugin", {})).cpu_flags)
        is Path("/proc/cpuinfo").is_file()
    )


def test_packages_of_a_listing() -> None:
    """Names are normalised, messages ignored, and of a package that is there twice both versions are said."""
    listing = (
        "find: '/root': Permission denied\n"
        "/opt/venv/lib/python3.13/site-packages/scikit_learn-1.9.1.dist-info\n"
        "/usr/lib/python3/dist-packages/numpy-1.26.4.dist-info\n/opt/venv/numpy-2.5.5.dist-info\n/x/odd.dist-info\n"
    )
    assert run_environment.parse_packages(listing) == {"numpy": "1.26.4, 2.5.5", "scikit-learn": "1.9.1"}


def test_variables_that_look_secret() -> None:
    """They are hidden by their name; settings of threads and locale never are."""
    given = ["AWS_SECRET=x", "API_TOKEN=a=b", "OMP_NUM_THREADS=1", "MODE=a=b", "PGPASSWORD=p", "EMPTY="]
    assert run_environment.visible(given) == {
        "API_TOKEN": run_environment.HIDDEN,
        "AWS_SECRET": run_environment.HIDDEN,
        "EMPTY": "",
        "MODE": "a=b",
        "OMP_NUM_THREADS": "1",
        "PGPASSWORD": run_environment.HIDDEN,
    }


class Images:
    """An engine in which a container prints a list of packages, or has none of the programs for that."""

    def __init__(self, programs: dict[str, str]) -> None:
        self.programs = programs
        self.created: list[str] = []
        self.left: set[str] = set()

    def create(self, image: str, argv: list[str], marks: dict[str, str]) -> str:
        """Create a container."""
        assert marks[labels.STAGE] == "surroundings"
        self.created.append(argv[0])
        self.left.add(f"{image} {argv[0]}")
        return f"{image} {argv[0]}"

    def start(self, container: str) -> None:
        """Start it, if its program is there."""
        if container.split()[1] not in self.programs:
            raise InfrastructureError("executable file not found")

    def result(self, container: str, timeout: float) -> tuple[int, str]:
        """Return what it prints."""
        assert timeout > 0
        return 1, self.programs[container.split()[1]]

    def remove(self, thing: Leftover) -> bool:
        """Remove it."""
        self.left.discard(thing.id)
        return True


def _run(root: Path, engine: Any) -> Run:
    found = builders.spec(root=root, files=(root / "compose.yaml",))
    found.model["services"]["train"]["build"]["context"] = str(root / "docker")
    return Run(
        spec=found,
        folder=RunFolder.create(root),
        say=lambda _stage, _line: None,
        engine=engine,
        compose=cast("Any", None),
        labels={},
    )


def test_packages_of_an_image(tmp_path: Path) -> None:
    """The first program that the image has lists them; an image with the same layers is looked into only once."""
    engine = Images({"python3": "/x/numpy-2.0.dist-info\n"})
    run = _run(tmp_path, engine)
    image = builders.built("train")
    assert run_environment.packages(run, [image]) == {"train": {"numpy": "2.0"}}
    assert engine.created == ["find", "python3"]
    assert run_environment.packages(run, [image]) == {"train": {"numpy": "2.0"}}
    assert engine.created == ["find", "python3"]
    other = builders.built("serve", diff_ids=("sha256:other",))
    assert run_environment.packages(_run(tmp_path, Images({})), [other]) == {"serve": None}
    run.over.set()
    assert run_environment.packages(run, [other]) == {"serve": None}, "a run that is over creates nothing more"


def test_processor_of_a_remote_engine(tmp_path: Path) -> None:
    """A container says what processor an engine elsewhere has; what is known already is not asked for."""
    run = _run(tmp_path, Images({"cat": X86}))
    unknown = builders.environment(cpu_flags=(), cpu_model="")
    found = run_environment.with_processor(run, unknown, [builders.built()])
    assert found == builders.environment(cpu_model="AMD EPYC 7B13", cpu_flags=("avx2", "fpu", "sse2"))
    assert run_environment.with_processor(run, builders.environment(), [builders.built()]) == builders.environment()
    assert run_environment.with_processor(run, unknown, []) == unknown


def test_sources(tmp_path: Path) -> None:
    """Compose file, lock, examples, what the block names and the build context; nothing outside, no data."""
    names = ("compose.yaml", "harness.lock", "contract/one.json", "holdout.csv", "docker/train.py", "data/train.csv")
    builders.write_files(tmp_path, dict.fromkeys(("unrelated.txt", ".harness/x", *names), "x"))
    found = run_environment.sources(_run(tmp_path, None))
    assert set(found) == {"compose.yaml", "harness.lock", "contract/one.json", "holdout.csv", "docker/train.py"}
    assert all(len(digest) == 64 for digest in found.values())


def test_what_a_container_had(tmp_path: Path) -> None:
    """Its variables, limits and network come from the engine's words; of one that was never made, from its image."""
    run = _run(tmp_path, None)
    inspect = {
        "Config": {"Env": ["A=1"], "User": "10001"},
        "HostConfig": {"Memory": 5, "NanoCpus": 1_500_000_000, "ShmSize": 7, "NetworkMode": f"{run.project}_default"},
    }
    run.folder.write_text("train/inspect.json", json.dumps(inspect))
    run.folder.write_text("images/serve.json", json.dumps({"Config": {"Env": ["B=2"]}}))
    found = run_environment.collect(run, builders.images(), {"train": {"numpy": "2"}}, {"a": "b"})
    train, serve = found.containers
    assert (train.variables, train.packages, train.memory, train.cpus) == ({"A": "1"}, {"numpy": "2"}, 5, 1.5)
    assert (train.shared_memory, train.user, train.network) == (7, "10001", "default")
    assert (serve.variables, serve.packages) == ({"B": "2"}, None)
    assert found.sources == {"a": "b"}
    quota = {"HostConfig": {"CpuQuota": 50_000}}
    run.folder.write_text("train/inspect.json", json.dumps(quota))
    assert run_environment.collect(run, builders.images(), {}, {}).of("train").cpus == 0.5


@pytest.mark.parametrize(
    ("keep", "kept"),
    [(Keep.NEVER, ()), (Keep.ON_FAILURE, (1, 2, 3, 4, 70)), (Keep.ALWAYS, (0, 1, 2, 3, 4, 70))],
)
def test_which_runs_are_kept(keep: Keep, kept: tuple[int, ...]) -> None:
    """By how they ended; an interrupted one never is, and one that has not ended neither."""
    assert tuple(code for code in (0, 1, 2, 3, 4, 70, 130) if keep.wants(Ending(code, "x"))) == kept
    assert not keep.wants(None)


class Things:
    """An engine with containers, networks and volumes."""

    def __init__(self, *things: Leftover) -> None:
        self.things = list(things)
        self.images: list[str] = []  # that were removed

    def labelled(self, label: str) -> list[Leftover]:
        """Return things with a label."""
        name, _, value = label.partition("=")
        return [t for t in self.things if name in t.labels and value in ("", t.labels[name])]

    def remove(self, thing: Leftover) -> bool:
        """Remove a thing."""
        self.things.remove(thing)
        return True

    def image_names(self) -> list[str]:
        """Return the names of the images."""
        return []

    def remove_image(self, name: str) -> None:
        """Remove an image."""
        self.images.append(name)

    def inspect(self, container: str) -> dict[str, Any]:
        """Say how a container ended."""
        return {"Id": container, "State": {"Status": "exited", "ExitCode": 1}}


def _thing(kind: str, name: str, **marks: str) -> Leftover:
    owner = "kept" if "keep" in marks else str(labels.Owner.current())
    made = {labels.RUN_ID: "R1", labels.OWNER: owner, labels.EXPIRES: "9e12"}
    return Leftover(kind, name, name, made | {f"harness.{key}": value for key, value in marks.items()})


@pytest.fixture
def things() -> Things:
    """What a run has on the engine when it ends."""
    return Things(
        _thing("container", "c-train", stage="train"),
        _thing("container", "c-again", stage="harness-train-again"),
        _thing("network", "n"),
        _thing("volume", "v"),
    )


def test_keeping(things: Things) -> None:
    """Containers of the main line stay with their network; the others go; how to enter and to remove is said."""
    said = list(cleanup.keep_run(cast("Any", things), "R1", builders.spec()))
    assert [thing.name for thing in things.things] == ["c-train", "n"]
    assert said[0].startswith("kept c-train (exited, exit code 1)")
    assert "harness shell train --run R1" in said[1]
    assert "harness clean --run R1" in said[-1]


def test_sweeping() -> None:
    """What is kept stays until its expiry; then it goes. `test_run_names` has the images."""
    dead = str(labels.Owner("boot", "1", 1, 1.0))
    engine = Things(_thing("container", "fresh", keep=dead), _thing("container", "old", keep=dead, expires="1"))
    assert [thing.name for thing in cleanup.sweep(cast("Any", engine))] == ["old"]


def test_cleaning_one_run(things: Things) -> None:
    """A run that goes on is left alone, one that nobody knows is named; a kept one goes, its image too."""
    with pytest.raises(DescriptionError, match="still goes on"):
        cleanup.clean_run(cast("Any", things), "R1")
    with pytest.raises(DescriptionError, match="nothing on this engine is of the run R2"):
        cleanup.clean_run(cast("Any", things), "R2")
    engine = Things(_thing("container", "c", keep=str(labels.Owner("boot", "1", 1, 1.0))))
    assert [thing.name for thing in cleanup.clean_run(cast("Any", engine), "R1")] == ["c"]
    assert (engine.things, engine.images) == ([], ["harness-r1-baked", "harness-r1-built"])


@pytest.mark.parametrize(("terminal", "flags"), [(True, []), (False, ["--no-TTY"])])
def test_compose_runs_a_service(tmp_path: Path, *, terminal: bool, flags: list[str]) -> None:
    """The container is removed at its end, has a terminal where there is one, and its exit code comes back."""
    script = tmp_path / "docker-compose"
    script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/argv\nexit 7\n')
    script.chmod(0o755)
    found = Compose((str(script),), "5", "path", dict(os.environ))
    assert found.run(tmp_path, tmp_path / "c.json", "train", terminal=terminal) == 7
    argv = (tmp_path / "argv").read_text().split()
    assert argv[argv.index("run") :] == ["run", "--rm", *flags, "train"]
