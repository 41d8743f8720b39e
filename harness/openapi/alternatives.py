"""Takes a schema apart into plain alternatives, so that two schemas can be compared: no references, no nesting.

An alternative is a mapping of JSON Schema keywords with at most one `type`; a value satisfies the schema when it
satisfies one alternative. What cannot be taken apart (`not`, `if`, patterns of names) is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from harness.openapi.reading import Document, mapping, resolve

MAX_DEPTH = 24  # of compositions inside compositions
MAX_ALTERNATIVES = 64

Alternative = dict[str, Any]
_COMPOSED = ("$ref", "allOf", "anyOf", "oneOf", "type", "nullable", "const", "enum")
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_SPEAK_OF = {  # JSON Schema 2020-12, Validation, 6.2 to 6.5: on values of other types they say nothing
    **dict.fromkeys(_NUMBERS, ("number", "integer")),
    **dict.fromkeys(("minLength", "maxLength", "pattern"), ("string",)),
    **dict.fromkeys(("minItems", "maxItems", "uniqueItems", "items"), ("array",)),
    **dict.fromkeys(("minProperties", "maxProperties", "required", "properties", "additionalProperties"), ("object",)),
}
_LARGEST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_SMALLEST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")


@dataclass(frozen=True)
class Schema:
    """A schema and the document that it stands in."""

    document: Document
    node: Any
    above: tuple[int, ...] = ()  # identities of the schemas that this one is composed into: a circle ends there

    def at(self, node: Any) -> Schema:
        """Return a schema of the same document."""
        return Schema(self.document, node)

    @property
    def nullable(self) -> bool:
        """Whether it is OpenAPI 3.0 and says `nullable`."""
        return str(self.document.get("openapi", "")).startswith("3.0") and self.node.get("nullable") is True


def alternatives(schema: Schema) -> list[Alternative]:
    """Return the alternatives of a schema; none where nothing satisfies it, an empty one where everything does."""
    node = schema.node
    if node is False:
        return []
    if not isinstance(node, dict) or len(schema.above) > MAX_DEPTH:
        return [{}]
    found: list[Alternative] = [_plain(schema, kind) for kind in _types(node)]
    for part in _parts(schema):
        pairs = product(found, part)
        found = [both for left, right in pairs if (both := _both(left, right)) is not None][:MAX_ALTERNATIVES]
    if schema.nullable and not any(each.get("type") == "null" for each in found):
        found.append({"type": "null"})
    return found


def named(document: Document, node: Any) -> Any:
    """Return what a schema that is a reference and nothing else stands for; any other as it is."""
    return resolve(document, node) if isinstance(node, dict) and node.keys() == {"$ref"} else node


def _parts(schema: Schema) -> Iterator[list[Alternative]]:
    """Yield what a value must satisfy besides the keywords of the schema itself, each as its alternatives."""
    node = schema.node

    def inner(child: Any, circle: list[Alternative]) -> list[Alternative]:
        child = named(schema.document, child)
        above = (*schema.above, id(node))
        return circle if id(child) in above else alternatives(replace(schema, node=child, above=above))

    if "$ref" in node:
        yield inner(resolve(schema.document, node), [{}])
    for child in _list(node.get("allOf")):
        yield inner(child, [{}])
    for word in ("anyOf", "oneOf"):
        if children := _list(node.get(word)):
            yield [each for child in children for each in inner(child, [])]


def _types(node: dict[str, Any]) -> list[str | None]:
    """Return the types that a schema names; None for any. Fields without a type are meant as those of an object."""
    kinds = node.get("type")
    if isinstance(kinds, str):
        return [kinds]
    if isinstance(kinds, list) and kinds:
        return [str(kind) for kind in kinds]
    if any(word in node for word in ("properties", "additionalProperties")):
        return ["object"]
    return ["array"] if "items" in node else [None]


def _plain(schema: Schema, kind: str | None) -> Alternative:
    """Return the keywords of a schema itself that speak of values of one type."""
    own = {
        word: value
        for word, value in schema.node.items()
        if word not in _COMPOSED and (kind is None or kind in _SPEAK_OF.get(word, (kind,)))
    }
    if kind is not None:
        own["type"] = kind
    values = [schema.node["const"]] if "const" in schema.node else _list(schema.node.get("enum"))
    if values:
        own["enum"] = [value for value in values if kind is None or is_of(value, kind)]
    for name in ("exclusiveMinimum", "exclusiveMaximum"):  # 3.0: a boolean beside `minimum`
        if own.get(name) is True:
            own[name] = own.pop(name.removeprefix("exclusive").lower(), None)
        if not is_number(own.get(name)):
            own.pop(name, None)
    return own


def _both(left: Alternative, right: Alternative) -> Alternative | None:
    """Return what satisfies both; None where nothing does."""
    kinds = {kind for kind in (left.get("type"), right.get("type")) if kind is not None}
    if kinds == {"integer", "number"}:
        kinds = {"integer"}
    if len(kinds) > 1:
        return None
    both = {**left, **right}
    for kind in kinds:
        both["type"] = kind
    for word in left.keys() & right.keys():
        if (merged := _merged(word, left[word], right[word])) is not None:
            both[word] = merged
    return None if "enum" in both and not both["enum"] else both


def _merged(word: str, left: Any, right: Any) -> Any:
    """Return the value of a keyword that says what both say; None for the one on the right."""
    merged: Any = None
    if word == "properties":
        left, right = mapping(left), mapping(right)
        common = [name for name in left if name in right and left[name] != right[name]]
        merged = {**left, **right, **{name: {"allOf": [left[name], right[name]]} for name in common}}
    elif word == "required":
        merged = [*_list(left), *(name for name in _list(right) if name not in _list(left))]
    elif word == "enum":
        merged = [value for value in left if value in Values(right)]
    elif word == "items":
        merged = left if left == right else {"allOf": [left, right]}
    elif word == "additionalProperties":
        merged = False if left is False else (left if right is True else right)
    elif word in _LARGEST and is_number(left) and is_number(right):
        merged = max(left, right)
    elif word in _SMALLEST and is_number(left) and is_number(right):
        merged = min(left, right)
    return merged


class Values(list[Any]):
    """JSON values, among which `in` tells true from 1 and finds 1 where 1.0 is."""

    def __contains__(self, wanted: object) -> bool:
        return any(key(value) == key(wanted) for value in self)


def key(value: Any) -> str:
    """Return a text that two JSON values share where they are equal."""
    whole = isinstance(value, float) and value.is_integer()
    return json.dumps(int(value) if whole else value, sort_keys=True)


_KINDS: dict[str, tuple[type, ...]] = {
    "null": (type(None),),
    "boolean": (bool,),
    "string": (str,),
    "array": (list,),
    "object": (dict,),
}


def is_of(value: Any, kind: str) -> bool:
    """Whether a JSON value is of a type of JSON Schema."""
    if kind in ("integer", "number"):
        return is_number(value) and (kind == "number" or float(value).is_integer())
    return isinstance(value, _KINDS.get(kind, (object,)))


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number; a boolean is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
