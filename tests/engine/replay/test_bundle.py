"""A bundle's README, followed without the harness: Docker, Compose and curl alone see the failure again."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.reproduce.bundle import open_bundle

from ..support import REPO, Engine, Harness, Mini, Ran

pytestmark = pytest.mark.engine

PROJECTS = REPO / "tests/projects"
BLOCK = re.compile(r"^### (.+?)$.*?^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _packed(ran: Ran) -> Path:
    named = [
        line.partition(":")[2].split(" (")[0].strip() for line in ran.out.splitlines() if line.startswith("bundle:")
    ]
    assert len(named) == 1, str(ran)
    assert f"replay:   harness replay {named[0]}" in ran.out
    return Path(named[0])


class ByHand:
    """Follows the README of a bundle in a shell, in which there is no harness."""

    def __init__(self, bundle: Path, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        tar = shutil.which("tar")
        assert tar is not None
        subprocess.run([tar, "xzf", str(bundle), "-C", str(folder)], check=True)
        self.blocks = BLOCK.findall((folder / "README.md").read_text(encoding="utf-8"))
        plugins = folder.parent / f"{folder.name}-docker/cli-plugins"
        plugins.mkdir(parents=True)
        (plugins / "docker-compose").symlink_to(Path(sys.executable).parent / "docker-compose")
        port = str(20000 + secrets.randbelow(20000))
        self.environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "DOCKER_CONFIG": str(plugins.parent), "PORT": port}
        if "DOCKER_HOST" in os.environ:
            self.environment["DOCKER_HOST"] = os.environ["DOCKER_HOST"]

    def follow(self) -> dict[str, str]:
        """Run every block, the last one, which cleans up, on every path; return title -> what it printed."""
        *steps, (last, clean_up) = self.blocks
        assert last == "Clean up"
        try:
            return {title: self._shell(title, block) for title, block in steps}
        finally:
            self._shell(last, clean_up)

    def _shell(self, title: str, block: str) -> str:
        done = subprocess.run(
            ["/bin/bash", "-e", "-c", block],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, f"{title}: exit code {done.returncode}\n{block}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr


@pytest.fixture
def left(engine: Engine) -> Iterator[None]:
    """After the README's clean-up nothing of it is left."""
    yield
    names = [c["Names"][0] for c in engine.client.api.containers(all=True)]
    names += [v["Name"] for v in engine.client.api.volumes().get("Volumes") or ()]
    names += [n["Name"] for n in engine.client.api.networks()]
    assert [name for name in names if "-by-hand" in name and "mini-" in name] == []


@pytest.mark.usefixtures("left")
def test_a_wrong_answer_is_seen_again_by_hand(mini: Mini, run_harness: Harness, tmp_path: Path) -> None:
    """A failed run packs a bundle; its README trains, serves and asks, and the same wrong answer comes."""
    change = {"services": {"serve": {"environment": {"API_KEY": "a-secret-of-the-service"}}}}
    project = mini(change, fault="wrong-answer")
    ran = run_harness(project, env={"CI_JOB_TOKEN": "a-secret-of-the-machine"})
    ran.assert_failed("contract.examples", received="/predictions/0: expected 2.0, received 2.99")
    bundle = _packed(ran)
    by_hand = ByHand(bundle, tmp_path / "by-hand")
    said = by_hand.follow()
    assert list(said) == ["Fill the volume of the dataset", "Train", "Serve", "Ask: example:two"]
    assert "trained on 3 rows: weight 2.000" in said["Train"]
    answer = (by_hand.folder / "requests/01.answer").read_text(encoding="utf-8")
    assert json.loads(answer)["predictions"] == pytest.approx([3.0, 6.0], rel=1e-3)
    assert answer in said["Ask: example:two"]
    assert "HTTP/1.1 200" in said["Ask: example:two"]
    with tarfile.open(bundle) as archive:
        for member in archive:
            content = (archive.extractfile(member) or b"").read()  # type: ignore[union-attr]
            assert b"a-secret-of-the" not in content, member.name


@pytest.mark.nightly
@pytest.mark.usefixtures("left")
def test_a_failed_training_is_seen_again_by_hand(mini: Mini, run_harness: Harness, tmp_path: Path) -> None:
    """Where training failed the README ends there, with the same exit code."""
    ran = run_harness(mini(train="import sys\nprint('no such column: y')\nsys.exit(3)"))
    assert ran.code == 1, str(ran)
    by_hand = ByHand(_packed(ran), tmp_path / "by-hand")
    said = by_hand.follow()
    assert list(said) == ["Fill the volume of the dataset", "Train"]
    assert "no such column: y" in said["Train"]
    assert "training ended with exit code 3" in said["Train"]


@pytest.mark.nightly
@pytest.mark.usefixtures("left")
@pytest.mark.parametrize("name", ["baked", "trained-in-build", "no-dockerfile"])
def test_each_hand_over_goes_by_hand(name: str, mini: Mini, run_harness: Harness, tmp_path: Path, base: str) -> None:
    """However the artifact is handed over, the README's steps serve it; a run that passed is packed on request."""
    ran = run_harness(mini.copy(PROJECTS / name), "run", "--fast", "--bundle")
    ran.assert_passed()
    by_hand = ByHand(_packed(ran), tmp_path / "by-hand")
    by_hand.environment["BASE_IMAGE"] = base
    said = by_hand.follow()
    assert ("Bake the artifact into the serving image" in said) is (name == "baked")
    (title,) = [title for title in said if title.startswith("Ask: ")]
    assert (by_hand.folder / "requests/01.answer").read_text(encoding="utf-8").strip() in said[title]


@pytest.mark.nightly
def test_images_travel(mini: Mini, run_harness: Harness, tmp_path: Path, engine: Engine) -> None:
    """With images the bundle holds what the engine needs: they load under the ID that the run recorded."""
    project = mini(
        {"services": {"train": {"image": None, "build": {"context": ".", "args": ["BASE_IMAGE"]}}}},
    )
    (project / "Dockerfile").write_text("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN touch /travelled\n", encoding="utf-8")
    ran = run_harness(project, "run", "--fast", "--bundle", "--with-images", "--only", "train.*")
    ran.assert_passed()
    bundle = open_bundle(_packed(ran), tmp_path / "into")
    image = bundle.manifest.images["train"]
    engine.client.api.remove_image(image.reference, force=True)
    with bundle.images["train"].open("rb") as stream:
        (loaded,) = engine.client.images.load(stream)
    assert loaded.id == image.id
    assert tuple(loaded.attrs["RootFS"]["Layers"]) == image.diff_ids
