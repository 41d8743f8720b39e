"""In what two environments differ: each difference is seen, and the true cause of a failure comes first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import builders
import pytest

from harness.evidence.records import Evidence, FileHash, Finding, Inside, Status
from harness.evidence.records.replay import Difference
from harness.reproduce.replay.environments import HINTS, RANKS, differences

OTHER = {
    "cpu_flags": ("avx", "sse4_2"),
    "kernel": "5.15.0",
    "engine_version": "20.10.24",
    "cores": 8,
    "timezone": "UTC",
}


def _inside(**changes: Any) -> Evidence:
    """Evidence with a train container that is changed; `variables` and `packages` are merged in, None removes."""
    around = builders.surroundings()
    train = around.of("train")
    for name in ("variables", "packages"):
        merged = {**(getattr(train, name) or {}), **changes.pop(name, {})}
        changes[name] = {key: value for key, value in merged.items() if value is not None}
    return builders.evidence(surroundings=replace(around, containers=(replace(train, **changes), around.of("serve"))))


def _on(evidence: Evidence, **changes: Any) -> Evidence:
    """The same on another machine."""
    return replace(evidence, environment=builders.environment(**changes))


def _fail(check: str, received: str) -> Finding:
    return Finding(Status.FAIL, received, check=check)


def _first(recorded: Evidence, here: Evidence, *failures: Finding) -> Difference:
    return differences(recorded, here, failures)[0]


def test_nothing_differs() -> None:
    """Two equal environments do not differ; what a run did is no part of its environment."""
    assert differences(builders.evidence(), builders.evidence(train=builders.training(peak=1), contract=None)) == ()


@pytest.mark.parametrize(
    ("changes", "subject", "name", "pair"),
    [
        ({"engine_kind": "podman rootless"}, "engine", "engine kind", ("docker", "podman rootless")),
        ({"engine_version": "20.10"}, "engine", "engine version", ("29.0.0", "20.10")),
        ({"kernel": "5.15.0"}, "kernel", "kernel", ("6.12.1", "5.15.0")),
        ({"architecture": "aarch64"}, "architecture", "architecture", ("x86_64", "aarch64")),
        ({"cgroup": "1"}, "engine", "cgroup", ("2", "1")),
        ({"storage": "btrfs"}, "storage", "storage", ("overlay2", "btrfs")),
        ({"cores": 8}, "cores", "cores", ("2", "8")),
        ({"memory": 2 * 2**30}, "memory", "memory of the machine", ("8.0 GiB", "2.0 GiB")),
        ({"cpu_model": "Xeon"}, "machine", "CPU model", ("EPYC", "Xeon")),
        ({"cpu_flags": ("avx", "fma", "sse4_2")}, "cpu", "CPU flags", ("avx2", "-")),
        ({"cpu_flags": ("avx", "avx2", "fma", "ibpb", "sse4_2")}, "machine", "further CPU flags", ("-", "ibpb")),
        ({"timezone": "Asia/Tokyo"}, "time zone", "host: time zone", ("Etc/UTC", "Asia/Tokyo")),
        ({"variables": {"LANG": "de_DE.UTF-8"}}, "machine", "host: LANG", ("C.UTF-8", "de_DE.UTF-8")),
        ({"compose": "Compose 2.0"}, "tools", "compose", ("Compose 5.0.0 (plugin)", "Compose 2.0")),
        ({"harness": "9"}, "tools", "harness", ("0.1.0", "9")),
    ],
)
def test_machines(changes: dict[str, Any], subject: str, name: str, pair: tuple[str, str]) -> None:
    """Each thing in which two machines can differ is one difference, with both values."""
    (found,) = differences(builders.evidence(), _on(builders.evidence(), **changes))
    assert (found.subject, found.name, (found.recorded, found.here)) == (subject, name, pair)


def test_what_is_unknown_does_not_differ() -> None:
    """An old run folder, or a CPU that nobody could ask, differs in nothing by that alone."""
    unknown = dict.fromkeys(("engine_kind", "kernel", "architecture", "cgroup", "cpu_model", "timezone"), "")
    assert differences(builders.evidence(), _on(builders.evidence(), cpu_flags=(), cores=0, **unknown)) == ()
    assert differences(builders.evidence(), replace(builders.evidence(), surroundings=None, environment=None)) == ()
    assert (
        differences(builders.evidence(), _inside(memory=0, user="", variables=dict.fromkeys(_HAD), packages={})) != ()
    )
    assert differences(builders.evidence(surroundings=None), _inside(variables={"X": "1"})) == ()


_HAD = ("LANG", "OMP_NUM_THREADS", "SEED")


def test_noise_of_the_memory() -> None:
    """Two boots of one machine do not have the very same memory."""
    assert differences(builders.evidence(), _on(builders.evidence(), memory=8 * 2**30 - 2**20)) == ()


@pytest.mark.parametrize(
    ("changes", "subject", "name"),
    [
        ({"variables": {"OMP_NUM_THREADS": "4"}}, "threads", "train: OMP_NUM_THREADS"),
        ({"variables": {"MKL_NUM_THREADS": "4"}}, "threads", "train: MKL_NUM_THREADS"),
        ({"variables": {"TZ": "Asia/Tokyo"}}, "locale", "train: TZ"),
        ({"variables": {"LC_ALL": "de_DE"}}, "locale", "train: LC_ALL"),
        ({"variables": {"SEED": "8"}}, "variables", "train: SEED"),
        ({"variables": {"SEED": None}}, "variables", "train: SEED"),
        ({"packages": {"numpy": "1.26.4"}}, "packages", "train: numpy"),
        ({"packages": {"numpy": None}}, "packages", "train: numpy"),
        ({"memory": 2**29}, "memory", "train: memory limit"),
        ({"shared_memory": 2**26}, "memory", "train: shared memory"),
        ({"cpus": 0.5}, "cores", "train: CPU limit"),
        ({"user": "0"}, "variables", "train: user"),
        ({"network": "none"}, "engine", "train: network"),
    ],
)
def test_containers(changes: dict[str, Any], subject: str, name: str) -> None:
    """Each thing in which two containers can differ is one difference."""
    (found,) = differences(builders.evidence(), _inside(**changes))
    assert (found.subject, found.name) == (subject, name)
    assert found.recorded != found.here


def test_data_and_code() -> None:
    """Another dataset and another file of the project are named, with the file that changed."""
    data = builders.data(sha256="9" * 64, files=(FileHash("train.csv", 10, "8" * 64),))
    (found,) = differences(builders.evidence(), builders.evidence(data=data))
    assert (found.subject, "train.csv" in found.why) == ("data", True)
    sources = {"compose.yaml": "1" * 64, "train.py": "3" * 64}
    (code,) = differences(builders.evidence(), builders.evidence(surroundings=builders.surroundings(sources=sources)))
    assert (code.subject, code.name) == ("code", "train.py")
    locked = builders.images(requirements={"requirements.txt": "b" * 64})
    (wanted,) = differences(builders.evidence(), builders.evidence(images=locked))
    assert (wanted.subject, wanted.name) == ("packages", "requirements.txt")


def test_images() -> None:
    """Another base is a cause; layers that were only built anew are the last thing to look at."""
    base = builders.images(bases=(builders.base(digest="sha256:" + "e" * 64), builders.base(service="serve")))
    (found,) = differences(builders.evidence(), builders.evidence(images=base))
    assert (found.subject, found.name) == ("base", "base image of train")
    anew = builders.images(images=(builders.built("train", diff_ids=("sha256:" + "7" * 64,)), builders.built("serve")))
    found, *_ = reversed(differences(builders.evidence(), _on(builders.evidence(images=anew), kernel="5.15.0")))
    assert (found.subject, found.name) == ("image", "layers of train")
    named = builders.images(images=(builders.built("train"), builders.built("serve", diff_ids=("sha256:" + "7" * 64,))))
    (found,) = differences(builders.evidence(), builders.evidence(images=named))
    assert found.subject == "base", "the project does not build it: its name means another image here"
    arm = builders.images(images=(builders.built("train", platform="linux/arm64"), builders.built("serve")))
    (found,) = differences(builders.evidence(), builders.evidence(images=arm))
    assert found.subject == "architecture"


def test_a_base_of_the_same_name() -> None:
    """A base is told by its layers where both runs know them, for its name can mean another image on another engine."""

    def with_base(**changes: Any) -> Evidence:
        return builders.evidence(images=builders.images(bases=(builders.base(digest=None, **changes),)))

    (found,) = differences(with_base(layers="a" * 64), with_base(layers="b" * 64))
    assert (found.subject, found.name) == ("base", "base image of train")
    assert found.recorded == f"{builders.base().reference} (layers {'a' * 12})"
    assert differences(with_base(layers="a" * 64), with_base(layers="a" * 64, reference="another-name")) == ()
    assert differences(with_base(layers="a" * 64), with_base()) == (), "an old run did not record them"
    (named,) = differences(with_base(), with_base(reference="another-name"))
    assert named.here == "another-name"


def test_the_variables_of_compose() -> None:
    """A `.env` is no code: a bundle writes its own, and what came of it is in the containers' variables."""
    sources = {**builders.surroundings().sources, ".env": "3" * 64}
    own = builders.evidence(surroundings=builders.surroundings(sources=sources))
    assert differences(own, builders.evidence()) == ()


def test_order_without_a_hint() -> None:
    """Data, packages, threads and locale of a container, processor, memory, engine, kernel, zone of the machine."""
    here = _on(_inside(variables={"OMP_NUM_THREADS": "4", "TZ": "UTC"}, packages={"numpy": "1"}, memory=2**29), **OTHER)
    data = builders.data(sha256="9" * 64)
    subjects = [each.subject for each in differences(builders.evidence(), replace(here, data=data))]
    wanted = ["data", "packages", "threads", "locale", "cpu", "memory", "cores", "engine", "kernel", "time zone"]
    assert list(dict.fromkeys(subjects)) == wanted
    assert set(subjects) <= set(RANKS)
    assert set(HINTS) <= set(RANKS)


def test_threads_are_the_cause() -> None:
    """A model that is another one with many threads: their number comes before the packages that differ too."""
    here = _on(_inside(variables={"OMP_NUM_THREADS": "1"}, packages={"six": "2"}), **OTHER)
    recorded = _inside(variables={"OMP_NUM_THREADS": "4"})
    found = _first(
        recorded, here, _fail("train.deterministic", "the second run's predictions differ: not reproducible")
    )
    assert (found.name, found.recorded, found.here) == ("train: OMP_NUM_THREADS", "4", "1")


def test_memory_is_the_cause() -> None:
    """Training that used all its memory on a small machine: memory comes first, the limit or the machine's own."""
    small = _on(_inside(packages={"six": "2"}), **{**OTHER, "memory": 2 * 2**30})
    killed = _fail("train.exits-cleanly", "killed because it used all its memory (exit code 137)")
    found = _first(small, builders.evidence(), killed)
    assert (found.name, found.recorded, found.here) == ("memory of the machine", "2.0 GiB", "8.0 GiB")
    limited = _first(_inside(memory=2**28, packages={"six": "2"}), builders.evidence(), killed)
    assert (limited.name, limited.recorded, limited.here) == ("train: memory limit", "256 MiB", "1.0 GiB")


@pytest.mark.parametrize(
    ("variable", "received"),
    [
        ("TZ", "ValueError: time data '01/31/2026' does not match format '%d/%m/%Y'"),
        ("LANG", "UnicodeDecodeError: 'ascii' codec can't decode byte 0xc3"),
        ("LC_ALL", "locale.Error: unsupported locale setting"),
    ],
)
def test_the_locale_is_the_cause(variable: str, received: str) -> None:
    """A date or a text that could not be read: the locale comes before engine, kernel and processor."""
    recorded = _on(_inside(variables={variable: "de_DE"}, packages={"six": "2"}), **OTHER)
    found = _first(recorded, builders.evidence(), _fail("train.exits-cleanly", f"exit code 1\n{received}"))
    assert (found.subject, found.name) == ("locale", f"train: {variable}")


def test_a_package_is_the_cause() -> None:
    """A package that the failure names comes before one that it does not, and before another dataset."""
    recorded = _inside(packages={"scikit-learn": "1.2.0", "a-first": "1"})
    here = replace(_on(builders.evidence(), **OTHER), data=builders.data(sha256="9" * 64))
    found = _first(recorded, here, _fail("train.exits-cleanly", "AttributeError in scikit-learn: has no attribute 'x'"))
    assert (found.name, found.recorded, found.here) == ("train: scikit-learn", "1.2.0", "1.7.0")


def test_a_cpu_flag_is_the_cause() -> None:
    """An illegal instruction: the flags that one processor lacks come first."""
    recorded = _on(_inside(packages={"six": "2"}), **OTHER)
    found = _first(recorded, builders.evidence(), _fail("train.exits-cleanly", "ended by signal 4 (exit code 132)"))
    assert (found.name, found.recorded, found.here) == ("CPU flags", "-", "avx2, fma")


def test_a_variable_that_the_failure_names() -> None:
    """Whatever the failure names comes first."""
    recorded = _on(_inside(variables={"MODE": "strict"}, packages={"six": "2"}), **OTHER)
    assert _first(recorded, builders.evidence(), _fail("train.exits-cleanly", "KeyError: MODE")).name == "train: MODE"


def test_a_container_that_never_was() -> None:
    """Of a container that was not made no limits are known."""
    around = builders.surroundings(containers=(Inside("train", packages={"numpy": "2.3.1", "scikit-learn": "1.7.0"}),))
    found = differences(builders.evidence(), builders.evidence(surroundings=around))
    assert {each.subject for each in found} <= {"variables", "threads", "locale"}
