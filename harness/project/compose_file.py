"""Finds the Compose files of a project, parses them, and tells where in them a key stands.

Compose reads them for us wherever it is installed; `block_of` reads our own block where it is not.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from harness.errors import DescriptionError
from harness.project.interpolation import interpolated, read_env

KEY = "x-harness"
FILES = "COMPOSE_FILE"
RESET, OVERRIDE = "!reset", "!override"  # how a later file takes away or replaces what an earlier one says
NAMES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")


def find_files(root: Path, files: Sequence[Path] = ()) -> tuple[Path, ...]:
    """Return the Compose files to read, as Compose chooses them.

    Those named; else those of COMPOSE_FILE, in the environment or in `.env`; else the project's own with its override.
    Raises DescriptionError when one is missing.
    """
    where, named = "Give the path with --file.", list(files)
    if not named and (text := variables(root).get(FILES)):
        separator = variables(root).get("COMPOSE_PATH_SEPARATOR") or os.pathsep
        where, named = f"Correct {FILES}.", [root / name for name in text.split(separator) if name]
    if named:
        missing = [str(f) for f in named if not f.is_file()]
        if missing:
            raise DescriptionError(f"no such file: {', '.join(missing)}", hint=where)
        return tuple(f.resolve() for f in named)
    for name in NAMES:
        if (root / name).is_file():
            override = root / f"{Path(name).stem}.override{Path(name).suffix}"
            return tuple(f for f in (root / name, override) if f.is_file())
    raise DescriptionError(
        f"there is no compose.yaml in {root}",
        hint="Run the harness in the folder of compose.yaml, or name the file with --file.",
    )


def is_described(root: Path) -> bool:
    """Whether a folder has Compose files that are read without being named."""
    return bool(variables(root).get(FILES)) or any((root / name).is_file() for name in NAMES)


def variables(folder: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that Compose knows in a folder: those of the environment, below them those of `.env`."""
    try:
        return read_env((folder / ".env").read_text(encoding="utf-8-sig"), environ)
    except (OSError, UnicodeDecodeError):
        return dict(environ)


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


class Loader(yaml.SafeLoader):
    """Reads YAML as Compose does, by version 1.2: `on`, `12:30` and `2024-01-01` are texts."""


Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if not (tag.endswith(":timestamp") or (tag.endswith(":bool") and first not in "tTfF"))
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse(path: Path) -> yaml.Node | None:
    """Return the syntax tree of a Compose file, which knows its places. Raises DescriptionError.

    Of several documents in one file the keys of all count, as for Compose; of a double key the last.
    """
    try:
        nodes = list(yaml.compose_all(path.read_text(encoding="utf-8-sig"), Loader=Loader))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f"{path.name}:{mark.line + 1}:{mark.column + 1}: {path.name}" if mark else path.name
        raise DescriptionError(f"{where} is not YAML: {exc}", hint="Correct the file.") from exc
    except OSError as exc:
        raise DescriptionError(f"{path} cannot be read: {exc}", hint="Correct its permissions, or the path.") from exc
    documents = [node for node in nodes if isinstance(node, yaml.MappingNode)]
    if not documents or len(documents) < len(nodes):
        raise DescriptionError(
            f"{path.name} is no Compose file: expected a mapping with `services:`", hint="Correct the file."
        )
    for other in documents[1:]:
        documents[0].value += other.value
    return documents[0]


def block_of(sources: Sequence[tuple[Path, yaml.Node | None]]) -> Any:
    """Return our block as the Compose files say it, later ones over earlier ones, with its variables filled in.

    Raises DescriptionError for a tag that Compose does not define, and for a variable that is required and missing.
    """
    block: Any = None
    known = variables(sources[0][0].parent) if sources else {}
    for path, tree in sources:
        if found := child(tree, KEY):
            try:
                block = _merged(block, found[1], _Values(path, known))
            except RecursionError as exc:
                raise DescriptionError(f"{path.name}: `{KEY}` holds itself", hint="Correct the alias.") from exc
    return block


class _Values:
    """Turns the nodes of one file into values."""

    def __init__(self, path: Path, variables: Mapping[str, str]) -> None:
        self.path = path
        self.variables = variables
        self._loader = Loader("")

    def of(self, node: yaml.Node) -> Any:
        """Return the value of a node; what is reset in it is left out."""
        if node.tag.startswith("!") and node.tag not in (RESET, OVERRIDE):
            raise self._wrong(node, f"the tag {node.tag} is none of Compose ({RESET}, {OVERRIDE})")
        if isinstance(node, yaml.MappingNode):
            self._loader.flatten_mapping(node)
            return {str(self.of(key)): self.of(value) for key, value in node.value if value.tag != RESET}
        if isinstance(node, yaml.SequenceNode):
            return [self.of(each) for each in node.value if each.tag != RESET]
        try:
            value = self._loader.construct_object(node) if not node.tag.startswith("!") else node.value
            return interpolated(value, self.variables) if isinstance(value, str) else value
        except (ValueError, yaml.YAMLError) as exc:
            raise self._wrong(node, str(exc)) from exc

    def _wrong(self, node: yaml.Node, why: str) -> DescriptionError:
        mark = node.start_mark
        where = f"{self.path.name}:{mark.line + 1}:{mark.column + 1}"
        return DescriptionError(f"{where}: {why}", hint="Correct the line, or set the variable.")


def _merged(old: Any, node: yaml.Node, values: _Values) -> Any:
    """Return what a later file makes of a value: mappings are merged, lists grow, all else is replaced."""
    if node.tag == RESET:
        return None
    if isinstance(node, yaml.MappingNode) and isinstance(old, dict) and node.tag != OVERRIDE:
        made = dict(old)
        for key_node, value in node.value:
            key = str(key_node.value)
            made[key] = _merged(made.get(key), value, values)
            if value.tag == RESET:
                del made[key]
        return made
    value = values.of(node)
    return old + value if isinstance(old, list) and isinstance(value, list) and node.tag != OVERRIDE else value


def child(node: yaml.Node | None, key: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """Return key and value below a node; None where there is no such key."""
    if isinstance(node, yaml.MappingNode):
        for key_node, value in reversed(node.value):
            if key_node.value == str(key):
                return key_node, value
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key], node.value[key]
    return None
