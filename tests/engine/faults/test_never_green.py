"""A run in which a selected part was not reached is never green, and a selected part is all that a run does."""

from __future__ import annotations

import pytest
import yaml
from defects import defect

from ..support import Harness, Mini, merged

pytestmark = pytest.mark.engine


@defect("images.built", "the serving image, into which the artifact is baked, does not build")
def test_a_serving_image_that_does_not_build_after_training(mini: Mini, run_harness: Harness) -> None:
    """The image that is made last counts as the first one does: training went well, and the run is red."""
    ran = run_harness(mini.baking(after="RUN exit 9"))
    ran.assert_failed("images.built", received="exit 9")
    assert ran.statuses["train.exits-cleanly"] == "pass", str(ran)
    assert ran.statuses["serve.ready"] == ran.statuses["contract.examples"] == "skip", str(ran)
    assert [f["check"] for f in ran.record("findings.json") if f["check"] == "images.built"] == ["images.built"]


def test_only_does_what_its_check_reads(mini: Mini, run_harness: Harness) -> None:
    """`--only` of what lies in git or in the data builds nothing; one of training serves nothing."""
    folder = mini()
    for check, stages in (
        ("artifact.not-in-git", {"tracked"}),
        ("data.pinned", {"data"}),
        ("train.exits-cleanly", {"images", "data", "train"}),
    ):
        ran = run_harness(folder, "run", "--only", check)
        assert ran.code == 0, str(ran)
        assert {stage["name"] for stage in ran.record("stages.json") if stage["done"]} == stages, str(ran)
        assert ran.statuses[check] in ("pass", "warn", "skip"), str(ran)


def test_a_build_that_the_project_skips_is_not_green(mini: Mini, run_harness: Harness) -> None:
    """`skip` of the check that would say why does not make a run green that never served."""
    folder = mini.baking(after="RUN exit 9")
    file = folder / "compose.yaml"
    model = yaml.safe_load(file.read_text(encoding="utf-8"))
    skipping = merged(model, {"x-harness": {"skip": {"images.built": "we know"}}})
    file.write_text(yaml.safe_dump(skipping, sort_keys=False, width=10_000), encoding="utf-8")
    ran = run_harness(folder)
    assert ran.code == 4, str(ran)
    assert ran.finding("serve.ready")["received"].startswith("not reached: the build of serve failed"), str(ran)
