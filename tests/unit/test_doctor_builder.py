"""`harness doctor` says which builder Compose takes, and that one is too old before a run finds out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.provision.doctor import _builder

NEW, OLD = "github.com/docker/buildx 0.29.1+ds1 0.29.1+ds1-4", "github.com/docker/buildx v0.13.1 abc"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the plugin, the only one that is looked into."""
    monkeypatch.setattr(sys.modules[_builder.__module__], "PLUGINS", ())
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("DOCKER_BUILDKIT", raising=False)
    (tmp_path / "cli-plugins").mkdir()
    return tmp_path


def _plugin(config: Path, body: str) -> Path:
    plugin = config / "cli-plugins/docker-buildx"
    plugin.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    plugin.chmod(0o755)
    return plugin


@pytest.mark.parametrize(
    ("body", "compose", "ok", "value"),
    [
        (f"echo {NEW}", "Compose 5.6.1 (packaged)", True, "buildx 0.29.1"),
        (f"echo {OLD}", "Compose 5.6.1 (packaged)", False, "buildx 0.13.1"),
        (f"echo {OLD}", "Compose 2.26.1 (plugin)", True, "buildx 0.13.1"),
        ("echo github.com/docker/buildx v1.0.0", "Compose 10.0.0 (plugin)", True, "buildx 1.0.0"),
        ("echo nothing", "Compose 5.6.1 (packaged)", True, "unknown version"),
        ("exit 1", "Compose 5.6.1 (packaged)", True, "unknown version"),
    ],
)
def test_the_version_of_buildx(config: Path, body: str, compose: str, value: str, *, ok: bool) -> None:
    """Only a buildx that this Compose refuses is missing, with both ways out."""
    plugin = _plugin(config, body)
    line = _builder(compose)
    assert (line.ok, "DOCKER_BUILDKIT=0" in line.mend) == (ok, not ok)
    assert value in line.value
    assert str(plugin) in line.value


def test_a_plugin_that_cannot_run(config: Path) -> None:
    """A plugin for another processor, or a broken one, is said to be so."""
    _plugin(config, "").write_bytes(b"\x7fELF")
    assert not _builder("Compose 5.6.1 (packaged)").ok


def test_the_classic_builder(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a plugin, and where a variable says so, it is the classic one."""
    assert _builder("Compose 5.6.1").value == "classic (there is no buildx plugin)"
    _plugin(config, f"echo {OLD}")
    monkeypatch.setenv("DOCKER_BUILDKIT", "0")
    line = _builder("Compose 5.6.1")
    assert (line.ok, line.value) == (True, "classic (DOCKER_BUILDKIT says so)")
