"""Says what is wrong with a document itself, by the rules of the OpenAPI version that it names."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from harness.openapi.reading import Document, short

KNOWN = ("3.0", "3.1", "3.2")
MAX_ERRORS = 10

DocumentPath = tuple[str | int, ...]


def version(document: Document) -> str | None:
    """Return the version that a document names, such as 3.1; None where it names none."""
    found = re.match(r"^(\d+\.\d+)\.\d+", str(document.get("openapi", "")))
    return found[1] if found else None


def references_elsewhere(document: Document) -> list[str]:
    """Return the references of a document that lead out of it, sorted."""
    return sorted({node["$ref"] for node in _nodes(document) if _leads_out(node)})


def errors(document: Document) -> list[str]:
    """Return what is wrong with a document of a known version, each with its JSON path; at most MAX_ERRORS.

    References that lead out of the document are taken as right: nothing is fetched.
    """
    from jsonschema.exceptions import best_match

    inside = _without_elsewhere(document)
    validator = _validator(str(version(document)))
    form = [best_match([error]) for error in validator.schema_validator.iter_errors(inside)]
    said = [f"{_json_path(tuple(error.absolute_path))}: {short(error.message)}" for error in form]
    return list(dict.fromkeys(said or _beyond_form(validator, inside)))[:MAX_ERRORS]


def _beyond_form(validator: Any, document: dict[str, Any]) -> Iterator[str]:
    """Yield what breaks the rules that the JSON Schema of OpenAPI cannot express, in a document of the right form."""
    from jsonschema_path import SchemaPath
    from referencing.exceptions import Unresolvable

    path = SchemaPath.from_dict(document, handlers=_Nowhere())
    taken: set[DocumentPath] = set()
    try:
        for error in validator(path).root_validator(path):
            place = _place(document, error, taken)
            taken.add(place)
            yield f"{_json_path(place)}: {short(error.message)}"
    except Unresolvable as exc:
        reference = f"#{exc.ref}" if exc.ref.startswith("/") else exc.ref  # the library cuts a pointer's `#`
        places = _find(document, lambda node: isinstance(node, dict) and node.get("$ref") == reference)
        yield f"{_json_path(next(places, ()))}: the reference {short(reference)} leads to nothing"
    except RecursionError:
        yield "$: it refers to itself without end"
    except (TypeError, AttributeError, ValueError, KeyError) as exc:  # what the library raises where a form is wrong
        yield f"$: {type(exc).__name__}: {short(str(exc))}"


class _Nowhere(dict[str, Any]):
    """Handlers of every scheme of URL, none of which fetches anything."""

    def __contains__(self, scheme: object) -> bool:
        return True

    def __missing__(self, scheme: str) -> Any:
        return _refuse


def _refuse(url: str) -> Any:
    raise ValueError(f"nothing is fetched: {url}")


@cache
def _validator(known: str) -> Any:
    """Return the validator of a version.

    The library takes jsonschema-rs where that is installed, whose words are others: a verdict must not depend on it.
    A default that its own schema refuses is let pass: from 3.1 on it may be one (JSON Schema 2020-12, Validation,
    9.2), and pydantic writes such defaults.
    """
    import openapi_spec_validator as library
    from jsonschema.validators import validator_for
    from openapi_spec_validator import schemas
    from openapi_spec_validator.validation.keywords import ValueValidator

    class Silent(ValueValidator):
        """Takes every default."""

        def __call__(self, schema: Any, value: Any) -> Iterator[Any]:  # noqa: ARG002 - the library's signature
            return iter(())

    short = known.replace(".", "")
    kind = getattr(library, f"OpenAPIV{short}SpecValidator")
    rules = dict(getattr(schemas, f"schema_v{short}"))
    own = {
        "schema_validator": validator_for(rules)(rules),
        "keyword_validators": {**kind.keyword_validators, "default": Silent},
    }
    return type(kind.__name__, (kind,), own)


def _place(document: Any, error: Any, taken: set[DocumentPath]) -> DocumentPath:
    """Return where an error stands, which the library says from the schema on that it was looking at.

    Equal texts may be one object: a place that an earlier error has is not the place of this one.
    """
    path: DocumentPath = tuple(error.absolute_path)
    places = ((*where, *path) for where in _find(document, lambda node: _is_at(node, path, error.instance)))
    return next((place for place in places if place not in taken), path)


def _find(document: Any, fits: Callable[[Any], bool]) -> Iterator[DocumentPath]:
    """Yield where values stand that fit, the outermost first."""
    queue: deque[tuple[DocumentPath, Any]] = deque([((), document)])
    while queue:
        where, node = queue.popleft()
        if fits(node):
            yield where
        queue.extend(((*where, key), child) for key, child in _children(node))


def _is_at(node: Any, path: DocumentPath, wanted: Any) -> bool:
    for key in path:
        try:
            node = node[key]
        except (KeyError, IndexError, TypeError):
            return False
    return node is wanted and (bool(path) or isinstance(wanted, dict | list))  # equal texts may be one object


def _children(node: Any) -> list[tuple[str | int, Any]]:
    if isinstance(node, dict):
        return list(node.items())
    return list(enumerate(node)) if isinstance(node, list) else []


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of a document."""
    stack = [node]
    while stack:
        current = stack.pop()
        if isinstance(current, Mapping):
            yield dict(current)
        stack += [child for _, child in _children(current)]


def _leads_out(node: Mapping[str, Any]) -> bool:
    reference = node.get("$ref")
    return isinstance(reference, str) and not reference.startswith("#")


def _without_elsewhere(node: Any) -> Any:
    """Return a copy in which nothing stands in place of each reference that leads out."""
    if isinstance(node, dict):
        return {} if _leads_out(node) else {key: _without_elsewhere(child) for key, child in node.items()}
    return [_without_elsewhere(child) for child in node] if isinstance(node, list) else node


def _json_path(path: DocumentPath) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else _key(part) for part in path)
    return "$" + "".join(parts)


def _key(name: str) -> str:
    return f".{name}" if re.fullmatch(r"\w+", name) else f"[{json.dumps(name)}]"
