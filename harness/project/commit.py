"""Says which commit the project's code is of, and whether git would keep what lies at a path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.project.git import NoRepositoryError, ask


@dataclass(frozen=True)
class Commit:
    """The code that a run saw."""

    sha: str
    dirty: bool  # files differ from the commit, or are not in it


def commit_of(root: Path) -> Commit:
    """Return the commit that is checked out. Raises NoRepositoryError; a repository without a commit is none."""
    sha = ask(root, "rev-parse", "--verify", "HEAD").strip()
    return Commit(sha, dirty=bool(ask(root, "status", "--porcelain", "--untracked-files=normal", "--", ".").strip()))


def keeper_of(path: Path) -> Path | None:
    """Return the root of the git work tree that would take up what lies at a path; None where it is ignored."""
    folder = path.resolve()
    while not folder.is_dir():
        folder = folder.parent
    try:
        top = Path(ask(folder, "rev-parse", "--show-toplevel").strip())
    except NoRepositoryError:
        return None
    try:
        ask(folder, "check-ignore", "--quiet", "--", str(path.resolve() / "index.json"))
    except NoRepositoryError:  # exit code 1: not ignored
        return top
    return None
