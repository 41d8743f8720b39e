"""What the serving container has installed and warns of, and what the artifact names."""

from __future__ import annotations

import pytest

from harness.evidence.records import Artifact, Loaded, Manifest, Selection
from harness.reports.console import Console
from harness.runner.pipeline import run
from harness.runner.scheduler import stage
from harness.runner.stages import Run
from harness.runner.stages import serving_packages as loaded_stage
from harness.runner.stages.serve import Served
from harness.scanner.manifests import read_manifest

from ..support import HERE, Mini, nightly

pytestmark = [
    pytest.mark.engine,
    # The stage is called in this process, and the SDK leaves the socket of `attach` to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

WARNING = "/x/base.py:442: InconsistentVersionWarning: Trying to unpickle estimator A from version 1.8.0"
MANIFEST = """
import platform
Path("/model/manifest.json").write_text(json.dumps({"versions": {"python": platform.python_version()}}))
"""


@pytest.mark.parametrize("warning", [nightly(""), WARNING])
def test_packages_and_warnings(warning: str, mini: Mini, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The container's own Python says what it has; a line of the log is found."""
    monkeypatch.setenv("BASE_IMAGE", base)
    serve, train = ((HERE / "mini" / name).read_text(encoding="utf-8") for name in ("serve.py", "train.py"))
    found: list[tuple[Loaded, Manifest]] = []

    @stage("look")
    def look(run: Run, artifact: Artifact, serve: Served) -> None:
        manifest = read_manifest(run.folder.path / "artifact", artifact, ("model.json",))
        found.append((loaded_stage.collect(run, serve.running), manifest))

    project = mini(serve=f"print({warning!r}, flush=True)\n{serve}", train=train + MANIFEST)
    run(project, (), Console(), Selection(only=("serve.ready",)), also=look)
    [(loaded, manifest)] = found
    assert loaded.python == manifest.versions["python"]
    assert loaded.warnings == ((warning,) if warning else ())
