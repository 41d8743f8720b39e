"""Which further training runs a project gets, each with one thing changed: pure changes of its train service."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.config.blocks import SmallBatchBlock
from harness.config.spec import Handover, Spec
from harness.config.values import parse_duration
from harness.errors import DescriptionError
from harness.evidence.records import Artifact, Data, Labels
from harness.evidence.records.training_variants import FULL_DISK, INTERRUPTED, MUST_FAIL, NO_COLUMN, NO_DATA, NOISE
from harness.project.description import mount_over
from harness.project.runfile import ARTIFACT_VOLUME, DATA_VOLUME, Model, Variant, mount
from harness.runner import dataset_variants
from harness.runner.sandbox import RUNGS, Change, restricted

AGAIN, REPEAT, SEED, BATCH, SHUFFLED = "again", "repeat", "seed", "small-batch", "shuffled"
PAGE = 4096  # bytes that tmpfs counts in
PREFIX = "harness-train-"  # of the services
MAX_DATA = 256 * 1024**2  # bytes of a dataset that is copied and changed
DEEP = "left to --deep"
GRACE = 10.0  # seconds: what Docker gives where `stop_grace_period` says nothing
SHUFFLE_SEED = 0


@dataclass(frozen=True)
class VariantPlan:
    """One further run."""

    name: str
    change: str  # in words
    adapt: Change = lambda _service: None
    dataset: Path | None = None  # a folder in place of the dataset
    open_artifact: bool = False  # its folder may be written by every user
    disk: str = ""  # mount options of a tmpfs in place of the artifact's folder

    def variant(self, spec: Spec, artifact: str, data: str | None, shares: int | None = None) -> Variant:
        """Return the service with volumes of its own, one for the artifact, one for another dataset.

        `shares` weigh it against others that want the same core, who have 1024; None: they are equals.
        """
        volumes = {f"{ARTIFACT_VOLUME}-{self.name}": artifact} if has_volume(spec) else {}
        if data is not None:
            volumes[f"{DATA_VOLUME}-{self.name}"] = data

        def change(service: Model) -> None:
            if has_volume(spec):
                source = f"{ARTIFACT_VOLUME}-{self.name}"
                mount(service, spec.block.train.artifact, source, read_only=False)
                if self.open_artifact or self.disk:  # else the engine copies what the image has there again
                    next(entry for entry in service["volumes"] if entry["source"] == source)["volume"] = {
                        "nocopy": True
                    }
            if data is not None:
                for entry in service["volumes"]:
                    if entry["source"] == DATA_VOLUME:
                        entry["source"] = f"{DATA_VOLUME}-{self.name}"
                        entry["volume"] = {"nocopy": True}
            if shares is not None:
                service["cpu_shares"] = min(shares, int(service.get("cpu_shares") or shares))
            self.adapt(service)

        return Variant(f"{PREFIX}{self.name}", change, volumes)


@dataclass
class VariantPlans:
    """The runs to make, and why others are not made."""

    runs: list[VariantPlan] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    labels: Labels | None = None
    batch: int = 0
    tile: int = 0
    numeric: bool = False


def plan(spec: Spec, data: Data | None, folder: Path, *, deep: bool) -> VariantPlans:
    """Return the runs that can be made before the artifact is known; their datasets are written below `folder`.

    What other runs tell nearly as well is left to `deep`: another seed, and all but one of those that must fail. The
    longest come first, so that at the end no core waits for one of them. Raises DescriptionError for a broken table.
    """
    train = spec.block.train
    plans = VariantPlans()
    names = [rung.name for rung in RUNGS if rung.name in tried(spec)]
    plans.runs.append(
        VariantPlan(AGAIN, f"the same once more, {', '.join(names)}", restricted(*names), open_artifact=True)
    )
    if train.seed_env is None:
        plans.left_out[SEED] = "x-harness.train names no `seed_env`"
    elif not deep:
        plans.left_out[SEED] = DEEP
    else:
        old, new = other_seed(spec, train.seed_env)
        adapt = with_environment(train.seed_env, new)
        plans.runs.append(VariantPlan(SEED, f"{train.seed_env}={new} in place of {old or 'nothing'}", adapt))
    _with_data(spec, data, folder, plans)
    plans.runs.append(VariantPlan(INTERRUPTED, "SIGTERM while it runs"))
    if not deep:
        _leave_to_deep(plans)
    plans.runs.sort(key=lambda run: run.name in (*MUST_FAIL, INTERRUPTED))
    return plans


def _leave_to_deep(plans: VariantPlans) -> None:
    """Keep the first run that must fail: whether errors end the program is told by one."""
    made = [name for name in MUST_FAIL if any(run.name == name for run in plans.runs)]
    plans.runs = [run for run in plans.runs if run.name not in made[1:]]
    plans.left_out |= dict.fromkeys(made[1:], DEEP)


def add_full_disk(plans: VariantPlans, spec: Spec, artifact: Artifact, *, deep: bool) -> list[VariantPlan]:
    """Add the run on a disk that is too small for the artifact; return it, nothing where it is not to be made."""
    if not has_volume(spec):
        plans.left_out[FULL_DISK] = "the artifact lies in the container's own files: no small disk can be put there"
        return []
    if not deep and any(run.name in MUST_FAIL for run in plans.runs):
        plans.left_out[FULL_DISK] = DEEP
        return []
    options, change = small_disk(artifact)
    plans.runs.append(VariantPlan(FULL_DISK, change, disk=options))
    return plans.runs[-1:]


def small_disk(artifact: Artifact) -> tuple[str, str]:
    """Return the mount options of a tmpfs on which the artifact has no room, and what that is in words.

    It has half of the pages that the files need, apart from the metrics, so that it fills in the middle of writing.
    Where they fit in one page no file can be made at all: the folder itself takes the only inode.
    """
    needed = [file.size for file in artifact.files if file.path != artifact.metrics_name]
    pages = sum(-(-size // PAGE) for size in needed)
    if pages <= 1:
        return f"size={PAGE},nr_inodes=1,mode=1777", "the disk for the artifact is full"
    size = pages // 2 * PAGE
    return f"size={size},mode=1777", f"the disk for the artifact is full after {size} of {sum(needed)} bytes"


def _with_data(spec: Spec, data: Data | None, folder: Path, plans: VariantPlans) -> None:
    """Add the runs with a dataset made of the project's own."""
    if data is None or spec.block.data is None:
        reason = "x-harness has no `data`"
    elif (size := sum(file.size for file in data.files)) > MAX_DATA:
        reason = f"the dataset has {size} bytes, more than the {MAX_DATA} that are copied"
    else:
        _with_tables(spec, data, folder, plans)
        return
    plans.left_out |= dict.fromkeys((BATCH, SHUFFLED, NO_DATA, NO_COLUMN, NOISE), reason)


def _with_tables(spec: Spec, data: Data, folder: Path, plans: VariantPlans) -> None:
    source, target = spec.root / data.path, spec.block.data.target if spec.block.data else None
    names = [file.path for file in data.files]
    nothing = folder / NO_DATA
    nothing.mkdir(parents=True)
    # The engine fills an empty volume with what the image has at its place.
    (nothing / "harness.txt").write_text("The harness left the dataset out on purpose.\n", encoding="utf-8")
    plans.runs.append(VariantPlan(NO_DATA, "the files of the dataset are missing", dataset=nothing))
    dataset_variants.write_noise(names, folder / NOISE)
    plans.runs.append(
        VariantPlan(NOISE, "the files of the dataset cannot be read: they hold noise", dataset=folder / NOISE)
    )
    try:
        tables = dataset_variants.read_tables(
            source, [n for n in names if Path(n).suffix in (".csv", ".parquet", ".jsonl")]
        )
    except DescriptionError as exc:  # the project may read it in a way of its own
        plans.left_out |= dict.fromkeys((BATCH, SHUFFLED, NO_COLUMN), str(exc))
        return

    def add(name: str, change: str, changed: Mapping[str, Any]) -> None:
        dataset_variants.write_dataset(source, names, {**tables, **changed}, folder / name)
        plans.runs.append(VariantPlan(name, change, dataset=folder / name))

    block = spec.block.train.small_batch or SmallBatchBlock()
    batch, plans.batch = dataset_variants.small_batch(tables, target, block.rows, block.tile)
    plans.tile = block.tile
    if batch:
        add(BATCH, f"{plans.batch} distinct rows {block.tile} times", batch)
    else:
        plans.left_out[BATCH] = f"no table of the dataset has the column {target}" if target else "it has no table"
    if target is None or not any(target in table.columns for table in tables.values()):
        reason = f"no table has the column {target}" if target else "x-harness.data names no `target`"
        plans.left_out |= dict.fromkeys((SHUFFLED, NO_COLUMN), reason)
        return
    add(NO_COLUMN, f"the column {target} is missing", dataset_variants.without(tables, target))
    plans.labels, plans.numeric = (
        dataset_variants.labels_of(tables, target),
        dataset_variants.is_numeric(tables, target),
    )
    if spec.block.train.score is None:
        plans.left_out[SHUFFLED] = "x-harness.train names no `score`"
    elif plans.labels is None:
        plans.left_out[SHUFFLED] = "the dataset has no hold-out table: how many rows the score is over is unknown"
    else:
        change = f"the values of {target} permuted within each table, seed {SHUFFLE_SEED}"
        add(SHUFFLED, change, dataset_variants.shuffled(tables, target, SHUFFLE_SEED))


def tried(spec: Spec) -> tuple[str, ...]:
    """Return the restrictions that can be tried: an artifact in the container's own files needs a writable root.

    The user stays what it is there, too: only a folder of a volume can be opened to every user.
    """
    inside = not has_volume(spec)
    service = spec.model["services"].get(spec.block.train.service, {})
    files = bool(service.get("configs")) or spec.block.serve.dialect == "sagemaker"
    left = {RUNGS[1].name: inside or files, RUNGS[3].name: inside}
    return tuple(rung.name for rung in RUNGS if not left.get(rung.name))


def has_volume(spec: Spec) -> bool:
    """Whether the artifact lies in a volume or folder that is mounted, and not in the container's own files."""
    train = spec.block.train
    own = spec.handover is Handover.BAKED and train.from_ is None
    service = spec.model["services"].get(train.service, {})
    return spec.handover is Handover.MOUNTED or (own and mount_over(service, train.artifact) is not None)


def is_apart(spec: Spec) -> bool:
    """Whether further runs can go on beside the main one without a trace in what that leaves.

    Not where both may write to the same files, use the same other services, or want the same device for themselves.
    """
    service = spec.model["services"].get(spec.block.train.service, {})
    data = spec.block.data
    own = [mount_over(service, path) for path in (spec.block.train.artifact, data.mount if data else None) if path]
    reserved = ((service.get("deploy") or {}).get("resources") or {}).get("reservations") or {}
    shared = [
        entry
        for entry in service.get("volumes") or ()
        if entry not in own and entry.get("type") != "tmpfs" and not entry.get("read_only")
    ]
    devices = service.get("devices") or service.get("gpus") or reserved.get("devices")
    return not (shared or devices or service.get("depends_on"))


def place(spec: Spec) -> str:
    """Return where the volume of the artifact is mounted: the user's own mount may lie above the artifact."""
    old = mount_over(spec.model["services"].get(spec.block.train.service, {}), spec.block.train.artifact)
    return str(old["target"]) if old else spec.block.train.artifact


def copies(spec: Spec) -> bool:
    """Whether a new volume gets what the image has at that place: it does, unless the user's mount says no."""
    old = mount_over(spec.model["services"].get(spec.block.train.service, {}), spec.block.train.artifact)
    return not ((old or {}).get("volume") or {}).get("nocopy")


def singly(spec: Spec) -> list[VariantPlan]:
    """Return the runs that tell which restriction is too much, and the plain repetition."""
    single = [
        VariantPlan(name.replace(" ", "-"), name, restricted(name), open_artifact=name == RUNGS[3].name)
        for name in tried(spec)
    ]
    return [VariantPlan(REPEAT, "the same once more"), *single]


def other_seed(spec: Spec, name: str) -> tuple[str, str]:
    """Return the seed of the service and another one."""
    service = spec.model["services"].get(spec.block.train.service, {})
    old = str((service.get("environment") or {}).get(name) or "")
    return old, str(int(old) + 1) if old.isdecimal() else "1"


def with_environment(name: str, value: str) -> Change:
    """Return the change that sets one variable."""

    def change(service: Model) -> None:
        service["environment"] = {**(service.get("environment") or {}), name: value}

    return change


def grace(spec: Spec) -> float:
    """Return the seconds that the train service has between SIGTERM and SIGKILL."""
    service = spec.model["services"].get(spec.block.train.service, {})
    text = str(service.get("stop_grace_period") or "")
    total = 0.0
    for part in _parts(text):
        total += float(str(parse_duration(part)))
    return total or GRACE


def _parts(duration: str) -> list[str]:
    """Split a duration of Compose, such as 1m30s."""
    return re.findall(r"[0-9.]+(?:ms|s|m|h)", duration)
