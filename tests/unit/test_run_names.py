"""The names that a run gives to images: nobody else's, and gone after it, however it ended."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.engine import Engine, Leftover, labels
from harness.project import runfile
from harness.runner import cleanup

DEAD, LIVE, GONE = "20261127T220002Z-d22671", "20261127T220003Z-0a1b2c", "20261127T220004Z-ffffff"


class Images:
    """An engine with named images, and the containers of runs."""

    def __init__(self, names: list[str], *things: Leftover) -> None:
        self.names, self.things = names, list(things)

    def image_names(self) -> list[str]:
        """Return the names of the images."""
        return list(self.names)

    def labelled(self, _label: str) -> list[Leftover]:
        """Return all containers."""
        return list(self.things)

    def remove(self, thing: Leftover) -> bool:
        """Remove a container."""
        self.things.remove(thing)
        return True

    def remove_image(self, name: str) -> None:
        """Remove a name, where there is one."""
        self.names = [each for each in self.names if each != name]


def _container(run: str, owner: labels.Owner) -> Leftover:
    marks = {labels.RUN_ID: run, labels.OWNER: str(owner), labels.EXPIRES: "9e12"}
    return Leftover("container", run, run, marks)


def test_sweeping_takes_the_names_of_runs_that_are_over() -> None:
    """Names of a run whose harness was killed go with its containers, or after them; those of others stay."""
    alive = labels.Owner.current()
    dead = labels.Owner(alive.boot, alive.namespace, 2**22 + 1, 1.0)
    kept = [
        *runfile.names_of(LIVE),
        "harness-local/python",
        "harness-test/engine",
        "my-harness-20261127t220002z-d22671-baked",
        "harness-20261127t220002z-d22671-baked-more",
        "demo-serve",
    ]
    names = [*runfile.names_of(DEAD), *runfile.names_of(GONE), *kept]
    engine = Images(names, _container(DEAD, dead), _container(LIVE, alive))
    assert [thing.name for thing in cleanup.sweep(cast("Any", engine))] == [DEAD]
    assert engine.names == kept


def test_tags_of_the_user_are_of_the_whole_image() -> None:
    """The stage that trains gets no further tag of the service: with BuildKit both builds would take it."""
    build = {"context": ".", "tags": ["demo:extra"]}
    train = SimpleNamespace(service="serve", target="train")
    spec = SimpleNamespace(
        model={"services": {"serve": {"build": build}}},
        block=SimpleNamespace(train=train),
        serve_key="serve",
        train_key="serve-train",
        project="demo",
    )
    services = runfile.build_file(cast("Any", spec))["services"]
    assert services["serve"]["build"] == build
    assert services["serve-train"]["build"] == {"context": ".", "target": "train"}


def test_a_name_is_of_a_run() -> None:
    """From each name the run can be read, and no builder or registry refuses it."""
    for name in runfile.names_of(DEAD):
        assert runfile.run_of(name) == DEAD.lower()
        assert name == name.lower()
    assert runfile.run_of("harness-local/python") is None


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("demo-serve:latest", "demo-serve"),
        ("localhost/harness-x-built:latest", "harness-x-built"),
        ("docker.io/library/harness-x-built:latest", "harness-x-built"),
        ("docker.io/me/demo:1", "me/demo"),
        ("localhost:5000/demo:1", "localhost:5000/demo"),
    ],
)
def test_names_as_engines_give_them(tag: str, name: str) -> None:
    """Podman and Docker write the same name in two ways; a registry with a port is a part of the name."""
    api = SimpleNamespace(images=lambda: [{"RepoTags": [tag]}, {"RepoTags": None}])
    engine = Engine(cast("Any", SimpleNamespace(api=api)), "unix:///x", configured=True)
    assert engine.image_names() == [name]
