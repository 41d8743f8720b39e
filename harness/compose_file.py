"""Finds the Compose files of a project, parses them, and tells where in them a key stands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from harness.errors import DescriptionError

KEY = "x-harness"
NAMES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")


def find_files(root: Path, files: Sequence[Path] = ()) -> tuple[Path, ...]:
    """Return the Compose files to read: those named, else the project's own with its override.

    Raises DescriptionError when one is missing.
    """
    if files:
        missing = [str(f) for f in files if not f.is_file()]
        if missing:
            raise DescriptionError(f"no such file: {', '.join(missing)}", hint="Give the path with --file.")
        return tuple(f.resolve() for f in files)
    for name in NAMES:
        if (root / name).is_file():
            override = root / f"{Path(name).stem}.override{Path(name).suffix}"
            return tuple(f for f in (root / name, override) if f.is_file())
    raise DescriptionError(
        f"there is no compose.yaml in {root}",
        hint="Run the harness in the folder of compose.yaml, or name the file with --file.",
    )


class Places:
    """Finds where a key stands in the Compose files."""

    def __init__(self, sources: tuple[tuple[Path, yaml.Node | None], ...]) -> None:
        self.sources = sources

    def __call__(self, *keys: str | int) -> str:
        """Return `file:line:column: ` of a key of the block, or of the nearest one around it; empty for none."""
        for path, tree in self.sources:
            node: yaml.Node | None = tree
            mark = None
            for key in (KEY, *keys):
                found = child(node, key)
                if found is None:
                    break
                key_node, node = found
                mark = key_node.start_mark
            else:
                if mark is not None:
                    return f"{path.name}:{mark.line + 1}:{mark.column + 1}: "
        # A missing key has no place of its own: name that of the block it should stand in.
        return self(*keys[:-1]) if keys else ""


def parse(path: Path) -> yaml.Node | None:
    """Return the syntax tree of a Compose file, which knows its places. Raises DescriptionError."""
    try:
        node: yaml.Node | None = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise DescriptionError(f"{path.name} is not YAML: {exc}", hint="Correct the file.") from exc
    if not isinstance(node, yaml.MappingNode):
        raise DescriptionError(
            f"{path.name} is no Compose file: expected a mapping with `services:`", hint="Correct the file."
        )
    return node


def child(node: yaml.Node | None, key: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """Return key and value below a node; None where there is no such key."""
    if isinstance(node, yaml.MappingNode):
        for key_node, value in node.value:
            if key_node.value == str(key):
                return key_node, value
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key], node.value[key]
    return None
