"""Projects, and parts of them, that tests of several folders make."""

from __future__ import annotations

from pathlib import Path

from .support import HERE, Mini

LEARNER = (HERE / "mini/learner.py").read_text(encoding="utf-8")
# A table of the mini project, in the words of pandera.
SCHEMA = """\
schema_type: dataframe
version: 0.20.0
columns:
  x: {title: null, description: null, dtype: float64, nullable: false, checks: {less_than: 100}, unique: false,
      coerce: true, required: true, regex: false}
  y: {title: null, description: null, dtype: float64, nullable: false, checks: null, unique: false,
      coerce: true, required: true, regex: false}
checks: null
index: null
dtype: null
coerce: true
strict: true
name: null
ordered: false
unique: null
report_duplicates: all
unique_column_names: false
add_missing_columns: false
title: null
description: null
"""
# A service that dies of its second prediction, in place of the first line of the method.
CRASH = """\
    def try_to_predict(self, body: bytes) -> None:
        global asked
        asked = globals().get("asked", 0) + 1
        if asked > 1:
            print("no more", flush=True)
            os._exit(3)
"""
# A folder and a file of the project that only a bind mount brings in: there the engine sees none of ours.
READS = """
import pathlib
assert pathlib.Path("/conf/nested/limit.txt").read_text() == "7", "the folder is not here"
assert pathlib.Path("/limit.txt").read_text() == "7", "the file is not here"
"""


def with_mounts(mini: Mini) -> Path:
    """Make a project whose training reads a folder and a file that are mounted from the project."""
    code = READS + (HERE / "mini/train.py").read_text(encoding="utf-8")
    mounts = ["./data:/data:ro", "./conf:/conf:ro", "./conf/nested/limit.txt:/limit.txt:ro", "model:/model"]
    project = mini({"services": {"train": {"volumes": mounts}}}, train=code)
    (project / "conf/nested").mkdir(parents=True)
    (project / "conf/nested/limit.txt").write_text("7", encoding="utf-8")
    return project


def learner(mini: Mini, fault: str, **train: str) -> Path:
    """A classifier of one number, with one defect or none."""
    folder = mini(
        {
            "services": {"train": {"environment": {"FAULT": fault, "SEED": "7"}}},
            "x-harness": {
                "data": {"target": "y"},
                "train": {"score": "accuracy", "seed_env": "SEED", "max_memory": "64m", "max_time": "30s", **train},
            },
        },
        train=LEARNER,
    )
    for name, count in (("train", 60), ("holdout", 40)):
        lines = [f"{(n + 0.5) / count - 0.5:.6f},{int(n >= count // 2)}" for n in range(count)]
        (folder / f"data/{name}.csv").write_text("\n".join(["x,y", *lines, ""]), encoding="utf-8")
    return folder
