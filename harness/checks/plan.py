"""What a run must do for the checks that it was asked for: the stages that make what they read, and no others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.config.companions import dependencies
from harness.config.spec import Handover, Spec

# Stage -> the stages whose work it starts from. A stage makes the record of its name; `bake` completes `images`, and
# `steps`, the services that serving waits for, what `services` began before training.
STARTS_FROM: Mapping[str, tuple[str, ...]] = {
    "images": (),
    "data": (),
    "tracked": (),
    "code": ("images", "data"),
    "services": ("images", "data"),
    "train": ("images", "data", "services"),
    "artifact": ("train",),
    "manifest": ("artifact",),
    "scan": ("artifact",),
    "bake": ("artifact",),
    "provenance": ("artifact", "images"),
    "trainings": ("artifact",),
    "steps": ("artifact", "services", "bake"),
    "serve": ("artifact", "images", "bake", "steps"),
    "loaded": ("serve",),
    "contract": ("serve",),
    "skew": ("serve",),
    "quality": ("serve",),
    "robustness": ("serve",),
    "fuzz": ("contract",),
    "load": ("contract",),
    "stop": ("contract",),
}
COMPLETED_BY = {"images": "bake", "services": "steps"}  # record -> the stage after which nothing more comes to it


def bakes(spec: Spec) -> bool:
    """Whether the artifact is put into the serving image: that is built, or built on, after training."""
    return spec.handover is not Handover.MOUNTED


def absent(spec: Spec) -> frozenset[str]:
    """Return the records that a project has nothing for: its checks say what they make of that."""
    block = spec.block
    has_others = bool(spec.model) and bool(dependencies(spec))  # of a service that runs elsewhere nothing is known
    has = {
        "data": block.data is not None,
        "code": block.train.unit_tests is not None or bool(block.code.features),
        "skew": block.contract.skew is not None,
        "quality": block.quality is not None,
        "services": has_others,
        "steps": has_others,
        "bake": bakes(spec),
    }
    return frozenset(name for name, there in has.items() if not there)


def stages(records: Iterable[str], spec: Spec) -> frozenset[str]:
    """Return the stages that make these records whole, and all that those start from.

    A record that is none of a stage's (the lock, the machine) needs none. What a stage starts from is what an earlier
    one leaves, not the whole record: training starts from its image, also where the serving one is baked later.
    """
    missing = absent(spec)
    queue = [name for name in records if name in STARTS_FROM and name not in missing]
    queue += [COMPLETED_BY[name] for name in queue if name in COMPLETED_BY]
    found: set[str] = set()
    while queue:
        name = queue.pop()
        if name not in found and name not in missing:
            found.add(name)
            queue += STARTS_FROM[name]
    return frozenset(found)
