"""The CI files that the harness ships, one set for each system, with the version of the harness in them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

from harness import __version__

VERSION = "@VERSION@"
# System -> path in a project's repository -> template beside this module.
SYSTEMS: Mapping[str, Mapping[str, str]] = {
    "github": {
        ".github/workflows/harness.yml": "github-workflow.yml",
        ".github/actions/harness/action.yml": "github-action.yml",
    },
    "gitlab": {".gitlab-ci.yml": "gitlab-ci.yml"},
    "azure": {"azure-pipelines.yml": "azure-pipelines.yml"},
    "jenkins": {"Jenkinsfile": "Jenkinsfile"},
}


def rendered(system: str) -> dict[str, str]:
    """Return path -> text of the files of one of SYSTEMS."""
    here = files(__name__)
    return {
        path: here.joinpath(name).read_text(encoding="utf-8").replace(VERSION, __version__)
        for path, name in SYSTEMS[system].items()
    }
