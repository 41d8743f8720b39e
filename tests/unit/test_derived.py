"""Datasets made of the project's own, the plans of further runs, and how two artifacts differ."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import builders
import pandas as pd
import pytest

from harness.config.spec import Handover, Spec
from harness.errors import DescriptionError
from harness.evidence.records import Data, FileHash
from harness.evidence.records.training_variants import FULL_DISK, MUST_FAIL
from harness.project.runfile import run_file, varied
from harness.runner import training_variants
from harness.runner.artifact_diff import SAME, UNKNOWN, differences
from harness.runner.dataset_variants import (
    labels_of,
    read_tables,
    shuffled,
    small_batch,
    training_table,
    without,
    write_dataset,
)
from harness.runner.stages.data import hash_files

TRAIN = "kind,x,note\n" + "".join(f"{kind},{n},0{n}\n" for n, kind in enumerate("aaaaaaaabbbbcc"))
HELD = "x,kind\n1,a\n2,a\n3,b\n"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A folder with two tables and a file that is none."""
    folder = tmp_path / "data"
    builders.write_files(folder, {"train.csv": TRAIN, "deep/holdout.csv": HELD, "readme.txt": "rows"})
    return folder


def _tables(folder: Path) -> dict[str, pd.DataFrame]:
    return read_tables(folder, ["deep/holdout.csv", "train.csv"])


def test_a_small_batch_takes_each_class_in_turn(dataset: Path) -> None:
    """Each value of the target in turn, repeated to train on; the hold-out holds the same rows, in its own columns."""
    batch, rows = small_batch(_tables(dataset), "kind", 7, 3)
    assert rows == 7
    assert Counter(batch["train.csv"]["kind"]) == {"a": 9, "b": 6, "c": 6}
    assert list(batch["deep/holdout.csv"].columns) == ["x", "kind"]
    assert Counter(batch["deep/holdout.csv"]["kind"]) == {"a": 3, "b": 2, "c": 2}


def test_rows_that_contradict_each_other_are_one() -> None:
    """Rows that differ in the target alone cannot both be learned; without a target the first rows are taken."""
    table = pd.DataFrame({"x": ["1", "1", "2"], "y": ["a", "b", "a"]})
    assert small_batch({"t.csv": table}, "y", 10, 1)[1] == 2
    assert small_batch({"t.csv": table}, None, 2, 2)[0]["t.csv"]["y"].tolist() == ["a", "b", "a", "b"]
    assert small_batch({"t.csv": table}, "z", 2, 2) == ({}, 0)


def test_shuffled_labels_keep_their_numbers(dataset: Path) -> None:
    """Only the target moves, in every table, the same way for the same seed."""
    tables = _tables(dataset)
    made, again = shuffled(tables, "kind", 0), shuffled(tables, "kind", 0)
    assert set(made) == {"train.csv", "deep/holdout.csv"}
    for name, table in made.items():
        assert table.equals(again[name])
        assert Counter(table["kind"]) == Counter(tables[name]["kind"])
        assert table.drop(columns="kind").equals(tables[name].drop(columns="kind"))
    assert made["train.csv"]["kind"].tolist() != tables["train.csv"]["kind"].tolist()


def test_chance_of_the_hold_out(dataset: Path) -> None:
    """Chance is the most frequent label of the hold-out; a target of many numbers is a regression."""
    tables = _tables(dataset)
    labels = labels_of(tables, "kind")
    assert labels is not None
    assert (labels.table, labels.rows, labels.numeric) == ("deep/holdout.csv", 3, False)
    assert labels.majority == pytest.approx(2 / 3)
    assert labels_of({"train.csv": tables["train.csv"]}, "kind") is None
    many = pd.DataFrame({"y": [str(n / 7) for n in range(40)]})
    numbers = labels_of({"train.csv": many, "test.csv": many}, "y")
    assert numbers is not None
    assert numbers.numeric
    assert training_table({"a.csv": many, "b.csv": many.head(3)}, "y") == "a.csv"


def test_a_dataset_is_written_as_it_was(dataset: Path, tmp_path: Path) -> None:
    """Cells stay the texts that they are, and files that are no tables are copied."""
    tables = _tables(dataset)
    names = [file.path for file in hash_files(dataset)]
    write_dataset(dataset, names, {**tables, **without(tables, "kind")}, tmp_path / "made")
    assert (tmp_path / "made/train.csv").read_text(encoding="utf-8").splitlines()[:2] == ["x,note", "0,00"]
    assert (tmp_path / "made/deep/holdout.csv").read_text(encoding="utf-8") == "x\n1\n2\n3\n"
    assert (tmp_path / "made/readme.txt").read_text(encoding="utf-8") == "rows"


def test_json_lines_keep_their_types(tmp_path: Path) -> None:
    """Numbers stay numbers of their kind, and a key that a row lacks stays away."""
    text = '{"x": 1, "y": "a"}\n{"x": 2.5, "y": null, "z": [1]}\n'
    builders.write_files(tmp_path / "d", {"rows.jsonl": text})
    write_dataset(tmp_path / "d", ["rows.jsonl"], read_tables(tmp_path / "d", ["rows.jsonl"]), tmp_path / "made")
    assert (tmp_path / "made/rows.jsonl").read_text(encoding="utf-8") == text


def test_a_broken_table(tmp_path: Path) -> None:
    """A table that cannot be read is the description's fault, with its name."""
    builders.write_files(tmp_path, {"rows.jsonl": "{"})
    with pytest.raises(DescriptionError, match="jsonl cannot be read"):
        read_tables(tmp_path, ["rows.jsonl"])


# --- plans


def _plans(dataset: Path, folder: Path, spec: Spec, *, deep: bool) -> training_variants.VariantPlans:
    files = hash_files(dataset)
    plans = training_variants.plan(spec, Data(path=str(dataset), files=files, sha256="0"), folder, deep=deep)
    training_variants.add_full_disk(plans, spec, builders.artifact(), deep=deep)
    return plans


def _spec(**changes: Any) -> Spec:
    return builders.spec({"data": {"target": "kind"}}, **changes)


def _service(spec: Spec, plan: training_variants.VariantPlan, data: str | None = None) -> Any:
    images = {"train": "sha256:1"}
    model = run_file(spec, project="p", images=images, data_volume="harness-data-1", labels={})
    made = varied(model, "train", plan.variant(spec, "vol-a", data))
    return made["services"][f"harness-train-{plan.name}"], made["volumes"]


def test_all_plans(dataset: Path, tmp_path: Path) -> None:
    """A run as it is has five; --deep has another seed and all the ways in which training must fail."""
    some = _plans(dataset, tmp_path / "1", _spec(), deep=False)
    assert [run.name for run in some.runs] == ["again", "small-batch", "shuffled", "no-column", "interrupted"]
    assert some.left_out == dict.fromkeys(["seed", *MUST_FAIL[1:]], "left to --deep")
    every = _plans(dataset, tmp_path / "2", _spec(), deep=True)
    assert every.left_out == {}
    assert {run.name for run in every.runs} == {run.name for run in some.runs} | {"seed", *MUST_FAIL}


def test_a_small_disk(dataset: Path, tmp_path: Path) -> None:
    """The tmpfs for a full disk has half of the pages of the artifact without its metrics, or no inode to spare."""
    plans = _plans(dataset, tmp_path / "made", _spec(), deep=True)
    plan = next(run for run in plans.runs if run.name == FULL_DISK)
    assert (plan.disk, plan.change) == ("size=4096,nr_inodes=1,mode=1777", "the disk for the artifact is full")
    service, volumes = _service(_spec(), plan)
    mounted = next(entry for entry in service["volumes"] if entry["target"] == "/model")
    assert mounted["volume"] == {"nocopy": True}, "the engine would copy what the image has there, and fill it"
    assert volumes[mounted["source"]] == {"name": "vol-a", "external": True}
    files = (FileHash("metrics.jsonl", 10**6, "0"), FileHash("a", 5000, "0"), FileHash("b", 5000, "0"))
    options, words = training_variants.small_disk(builders.artifact(files=files))
    assert (options, words) == ("size=8192,mode=1777", "the disk for the artifact is full after 8192 of 10000 bytes")


def test_no_disk_of_its_own(dataset: Path, tmp_path: Path) -> None:
    """An artifact that lies in the container's own files cannot be given a small disk, and the run says so."""
    plans = _plans(dataset, tmp_path / "made", _spec(handover=Handover.TRAINED_IN_BUILD), deep=True)
    assert "no small disk" in plans.left_out[FULL_DISK]


def test_without_a_dataset_the_disk_is_what_fails(dataset: Path, tmp_path: Path) -> None:
    """A project without a dataset gets the full disk without --deep: it is the one way in which training must fail."""
    plans = _plans(dataset, tmp_path / "made", builders.spec({"data": None}), deep=False)
    assert [run.name for run in plans.runs] == ["again", "interrupted", "full-disk"]


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        ({"data": None}, "no `data`"),
        ({"data": {"target": None}}, "no `target`"),
        ({"data": {"target": "height"}}, "no table has the column height"),
        ({"train": {"score": None}}, "no `score`"),
    ],
)
def test_why_labels_are_not_shuffled(block: dict[str, Any], reason: str, dataset: Path, tmp_path: Path) -> None:
    """A run that cannot be made says why."""
    spec = builders.spec({"data": {"target": "kind"}, **block})
    assert reason in _plans(dataset, tmp_path / "made", spec, deep=False).left_out["shuffled"]


def test_a_table_that_only_the_project_can_read(tmp_path: Path) -> None:
    """It is no reason to end a run: only what needs the table is left out."""
    builders.write_files(tmp_path / "data", {"rows.jsonl": "{"})
    plans = _plans(tmp_path / "data", tmp_path / "made", _spec(), deep=False)
    assert [run.name for run in plans.runs] == ["again", "no-data", "interrupted"]
    assert "rows.jsonl cannot be read" in plans.left_out["small-batch"]


def test_volumes_of_a_further_run(dataset: Path, tmp_path: Path) -> None:
    """Its artifact and its dataset are volumes of its own; the dataset stays read-only."""
    plans = _plans(dataset, tmp_path / "made", _spec(), deep=False)
    batch = next(run for run in plans.runs if run.name == "small-batch")
    service, volumes = _service(_spec(), batch, "vol-d")
    assert {m["target"]: (m["source"], m["read_only"]) for m in service["volumes"]} == {
        "/model": ("harness-artifact-small-batch", False),
        "/data": ("harness-data-small-batch", True),
    }
    assert volumes["harness-artifact-small-batch"] == {"name": "vol-a", "external": True}
    assert volumes["harness-data-small-batch"] == {"name": "vol-d", "external": True}


@pytest.mark.parametrize(("own", "weight"), [({}, 128), ({"cpu_shares": 64}, 64), ({"cpu_shares": 2048}, 128)])
def test_the_main_line_goes_first(own: dict[str, Any], weight: int, dataset: Path, tmp_path: Path) -> None:
    """Where a core is wanted by others, a further run gets little of it, and no more than the project gives it."""
    spec = _spec(model={"services": {"train": own}})
    plan = _plans(dataset, tmp_path / "made", spec, deep=False).runs[0]
    model = run_file(spec, project="p", images={"train": "sha256:1"}, data_volume="harness-data-1", labels={})
    weighed = varied(model, "train", plan.variant(spec, "vol-a", None, 128))["services"]["harness-train-again"]
    assert weighed["cpu_shares"] == weight
    assert _service(spec, plan)[0].get("cpu_shares") == own.get("cpu_shares")


@pytest.mark.parametrize(
    ("service", "apart"),
    [
        ({}, True),
        ({"volumes": [{"type": "tmpfs", "target": "/scratch"}]}, True),
        ({"volumes": [{"type": "bind", "source": "/x", "target": "/data"}]}, True),
        ({"volumes": [{"type": "bind", "source": "/x", "target": "/code", "read_only": True}]}, True),
        ({"volumes": [{"type": "bind", "source": "/x", "target": "/logs"}]}, False),
        ({"volumes": [{"type": "volume", "source": "cache", "target": "/cache"}]}, False),
        ({"depends_on": {"tracker": {"condition": "service_started"}}}, False),
        ({"devices": [{"source": "/dev/kfd"}]}, False),
        ({"gpus": [{"count": 1}]}, False),
        ({"deploy": {"resources": {"reservations": {"devices": [{"capabilities": ["gpu"]}]}}}}, False),
        ({"deploy": {"resources": {"limits": {"memory": "1g"}}}}, True),
    ],
)
def test_what_may_run_beside_the_main_training(service: dict[str, Any], apart: bool) -> None:  # noqa: FBT001
    """Not what could write into its files, use its services or take its device: the main run is the evidence."""
    model = {"services": {"train": service}}
    artifact = {"type": "volume", "source": "model", "target": "/model"}
    model["services"]["train"]["volumes"] = [artifact, *service.get("volumes", ())]
    assert training_variants.is_apart(_spec(model=model)) is apart


def test_all_restrictions_at_once(dataset: Path, tmp_path: Path) -> None:
    """The second run has no network, no writable root, no capabilities, and a user that nobody knows."""
    model = {"services": {"train": {"networks": {"default": None}, "cap_add": ["SYS_ADMIN"], "privileged": True}}}
    spec = _spec(model=model)
    plans = _plans(dataset, tmp_path / "made", spec, deep=False)
    service, _ = _service(spec, plans.runs[0])
    assert "networks" not in service
    assert "cap_add" not in service
    assert "privileged" not in service
    wanted = {"network_mode": "none", "read_only": True, "tmpfs": ["/tmp"], "cap_drop": ["ALL"], "user": "54321:54321"}
    assert wanted.items() <= service.items()


def test_a_baked_artifact_in_a_volume_gets_one_of_its_own(dataset: Path, tmp_path: Path) -> None:
    """Where the user's volume holds the artifact, further runs must not write into it too."""
    spec = _spec(handover=Handover.BAKED)
    plans = _plans(dataset, tmp_path / "made", spec, deep=False)
    service, _ = _service(spec, plans.runs[0])
    (held,) = [m for m in service["volumes"] if m["target"] == "/model"]
    assert (held["source"], held["volume"]) == ("harness-artifact-again", {"nocopy": True})


def test_an_artifact_inside_the_container_needs_its_files() -> None:
    """Where no volume holds the artifact, neither the root nor the user is changed."""
    inside = _spec(handover=Handover.BAKED, model={"services": {"train": {"volumes": []}}})
    assert training_variants.tried(inside) == ("without a network", "without capabilities")


@pytest.mark.parametrize(
    ("old", "expected"), [({"SEED": "7"}, ("7", "8")), ({}, ("", "1")), ({"SEED": "x"}, ("x", "1"))]
)
def test_another_seed(old: dict[str, str], expected: tuple[str, str]) -> None:
    """Another seed is the next number."""
    assert training_variants.other_seed(_spec(model={"services": {"train": {"environment": old}}}), "SEED") == expected


@pytest.mark.parametrize(("text", "seconds"), [("1m30s", 90.0), ("500ms", 0.5), (None, 10.0)])
def test_grace(text: str | None, seconds: float) -> None:
    """Compose writes durations of more than one part; Docker's own grace is ten seconds."""
    assert training_variants.grace(_spec(model={"services": {"train": {"stop_grace_period": text}}})) == seconds


# --- differences


def _zip(path: Path, year: int, text: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("w.npy", (year, 1, 1, 0, 0, 0)), text)


def test_differences(tmp_path: Path) -> None:
    """Files are compared by what they hold where that can be read: last digits and times do not count."""
    one, other = tmp_path / "1", tmp_path / "2"
    value = 178.71884591244708
    builders.write_files(one, {"a.json": json.dumps({"w": value}), "b.json": '{"w": 1}', "d.bin": "1", "gone": ""})
    builders.write_files(other, {"a.json": json.dumps({"w": 178.7188459124471}), "b.json": '{"w": 2}', "d.bin": "2"})
    for name, text in (("e.npz", "same"), ("f.npz", "1")):
        _zip(one / name, 2020, text)
        _zip(other / name, 2021, text.replace("1", "2"))
    assert differences(hash_files(one), hash_files(other), one, other) == {
        "a.json": SAME,
        "b.json": "/w: expected 1, received 2 (more than 1e-09 off)",
        "d.bin": UNKNOWN,
        "e.npz": SAME,
        "f.npz": "1 of 1 members differ, the first is w.npy",
        "gone": "only the first run left it",
    }
    same = (FileHash("a", 1, "0"),)
    assert differences(same, same, one, other) == {}
