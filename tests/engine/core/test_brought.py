"""What the image has at the place of the artifact is there after every training: no difference between two of them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from ..support import Harness, Mini

pytestmark = [pytest.mark.engine, pytest.mark.nightly]  # further layouts of what no training left

DOCKERFILE = """\
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN mkdir -p /model/sub && touch /model/.gitkeep /model/sub/.gitkeep && echo a > /model/labels.txt
RUN chmod -R a+rwX /model
"""
BUILT = {"image": None, "build": {"context": ".", "dockerfile": "train.Dockerfile", "args": ["BASE_IMAGE"]}}
NO_COPY = {"type": "volume", "source": "model", "target": "/model", "volume": {"nocopy": True}}
MOUNTS: dict[str, dict[str, Any]] = {
    "mounted without a copy": {"volumes": ["./data:/data:ro", NO_COPY]},
    "in the container's own files": {"volumes": ["./data:/data:ro"]},
}


@pytest.mark.parametrize("train", MOUNTS.values(), ids=MOUNTS)
def test_what_the_image_brings_is_no_difference(train: dict[str, Any], mini: Mini, run_harness: Harness) -> None:
    """Both trainings leave the same bytes, whichever files their image has there, and the service sees them."""
    baked = train.get("volumes") == ["./data:/data:ro"]
    folder = mini.baking() if baked else mini()
    model = yaml.safe_load((folder / "compose.yaml").read_text(encoding="utf-8"))
    service = {key: value for key, value in {**model["services"]["train"], **BUILT, **train}.items() if value}
    model["services"]["train"] = service
    (folder / "compose.yaml").write_text(yaml.safe_dump(model, sort_keys=False, width=10_000), encoding="utf-8")
    (folder / "train.Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
    (folder / ".dockerignore").write_text("**/.gitkeep\n", encoding="utf-8")
    ran = run_harness(folder, "run", "--only", "train.deterministic", "--only", "artifact.*")
    ran.assert_passed()
    said = ran.finding("train.deterministic")
    assert said["status"] == "pass", str(ran)
    assert "the bytes repeat" in said["received"], str(ran)
    brought = {".gitkeep", "sub/.gitkeep", "labels.txt"}
    assert set(ran.record("artifact.json")["brought"]) == (brought if baked else set()), str(ran)
