"""What the image has at the place of the artifact, and what keeps an empty folder in git, is left by no training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import builders
import pytest
from builders import artifact, evidence, rerun, serving, trainings

from harness.checks import all_checks
from harness.checks.judge import judge
from harness.checks.training_variants import looks_complete
from harness.config.spec import Handover
from harness.evidence.records import FileHash, Finding, Status
from harness.runner.artifact_diff import differences
from harness.runner.stages import Run
from harness.runner.stages.artifact import _brought
from harness.runner.training_variants import copies

KEEP = FileHash(".gitkeep", 0, "e" * 64)
LABELS = FileHash("labels.txt", 10, "1" * 64)
WHOLE = artifact().files


def _judged(check: str, **changes: Any) -> Finding:
    found = judge(evidence(**changes), [each for each in all_checks() if each.name == check])
    return next(finding for finding in found if finding.check == check)


@pytest.mark.parametrize("name", [".gitkeep", "sub/.gitkeep", ".gitignore", ".keep", "a/.DS_Store", "Thumbs.db"])
def test_housekeeping_on_one_side_is_no_difference(name: str, tmp_path: Path) -> None:
    """It was in the volume of one training and not in that of the other: neither made it."""
    alone = FileHash(name, 0, "e" * 64)
    assert differences((*WHOLE, alone), WHOLE, tmp_path, tmp_path) == {}
    assert differences(WHOLE, (*WHOLE, alone), tmp_path, tmp_path) == {}


def test_any_other_file_on_one_side_is_one(tmp_path: Path) -> None:
    """A hidden file of another name may be part of a model."""
    for name in (".model", "gitkeep", "keep.bin"):
        other = FileHash(name, 1, "a" * 64)
        assert differences((*WHOLE, other), WHOLE, tmp_path, tmp_path) == {name: "only the first run left it"}


def test_housekeeping_that_differs_is_one(tmp_path: Path) -> None:
    """Where both trainings have it and write it differently, they differ."""
    left, right = (FileHash(".gitignore", 1, digit * 64) for digit in "12")
    assert differences((left,), (right,), tmp_path, tmp_path)


def test_it_need_not_be_handed_over() -> None:
    """`.dockerignore` may leave it out of the serving image; a file that training made must be there."""
    seen = serving(files=WHOLE)
    assert _judged("artifact.handed-over", artifact=artifact(files=(*WHOLE, KEEP)), serve=seen).status is Status.PASS
    assert _judged("artifact.handed-over", artifact=artifact(files=(*WHOLE, LABELS)), serve=seen).status is Status.FAIL


def test_what_the_image_brought_makes_no_artifact_complete() -> None:
    """A failed training whose image holds an old model left nothing; a file that it wrote again counts."""
    main = artifact(files=(*WHOLE, LABELS, KEEP), brought=("labels.txt", ".gitkeep"))
    names = tuple(file.path for file in WHOLE)
    assert looks_complete(main, rerun("no-data", "x", 1, files=(*WHOLE, LABELS), brought=("labels.txt",)))
    assert looks_complete(main, rerun("no-data", "x", 1, files=WHOLE))
    assert not looks_complete(main, rerun("no-data", "x", 1, files=(*WHOLE, LABELS), brought=(*names, "labels.txt")))
    assert not looks_complete(main, rerun("no-data", "x", 1, files=(LABELS,), brought=("labels.txt",)))
    lies = rerun("no-data", "x", files=(*WHOLE, LABELS), brought=("labels.txt",))
    found = _judged("train.exit-code-truth", artifact=main, trainings=trainings(lies))
    assert (found.status, "looks complete" in found.received) == (Status.FAIL, True)


@dataclass(frozen=True)
class _Engine:
    """An engine that knows one container, of which `mounted` are volumes."""

    mounted: tuple[str, ...] = ()

    def changed_paths(self, container: str) -> frozenset[str]:
        assert container == "c"
        return frozenset({"/model", "/model/model.bin"})

    def inspect(self, container: str) -> dict[str, list[dict[str, str]]]:
        assert container == "c"
        return {"Mounts": [{"Destination": place} for place in self.mounted]}


@pytest.mark.parametrize(
    ("mounted", "brought"),
    [
        ((), ("labels.txt", ".gitkeep")),
        (("/data", "/models"), ("labels.txt", ".gitkeep")),
        (("/model",), ()),  # by `VOLUME` of the image: no change in it is told
        (("/",), ()),
    ],
)
def test_what_was_brought_is_told_by_what_was_written(mounted: tuple[str, ...], brought: tuple[str, ...]) -> None:
    """The engine knows which paths a container changed over its image, but for its volumes."""
    spec = builders.spec({"train": {"artifact": "/model"}}, handover=Handover.BAKED)
    run = cast("Run", type("Fake", (), {"spec": spec, "engine": _Engine(mounted)}))
    files = (FileHash("model.bin", 1, "2" * 64), LABELS, KEEP)
    assert _brought(run, "c", files) == brought
    assert _brought(run, "c", ()) == ()


def test_a_volume_without_a_copy_stays_empty() -> None:
    """Where the project's own mount takes nothing from the image, neither do the volumes of further trainings."""
    mount = {"type": "volume", "source": "model", "target": "/model"}
    for volume, expected in (({}, True), ({"nocopy": True}, False), (None, True)):
        model = {"services": {"train": {"volumes": [{**mount, "volume": volume}]}}}
        assert copies(builders.spec({"train": {"artifact": "/model"}}, model)) is expected
