"""Compares two documents of one service: what of the new one breaks a client that was made for the old one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from harness.openapi.alternatives import Schema
from harness.openapi.narrowing import SchemaComparison, SchemaDifference
from harness.openapi.reading import Content, Document, Operation, mapping, media_type, operations


@dataclass
class Changes:
    """What changed: each entry names the operation, the place in it and the change."""

    breaking: list[str] = field(default_factory=list)
    additions: list[str] = field(default_factory=list)


def breaking_changes(old: Document, new: Document) -> list[str]:
    """Return what of a new document breaks a client of the old one, each with its place."""
    return changes(old, new).breaking


def changes(old: Document, new: Document) -> Changes:
    """Return what changed for clients from one document to the next."""
    found = Changes()
    renamed = {_shape(path): path for path in _paths(new)}
    for path in _paths(old):
        if _shape(path) not in renamed:
            found.breaking.append(f"{path}: the path is gone")
            continue
        before, after = operations(old, path), operations(new, renamed[_shape(path)])
        for method, operation in before.items():
            where = f"{method.upper()} {path}"
            if method not in after:
                found.breaking.append(f"{where}: the operation is gone")
                continue
            for place, difference in _operation(operation, after[method]):
                text = f"{where}: {' '.join(filter(None, (place, difference.place)))} {difference.text}"
                (found.additions if difference.addition else found.breaking).append(text)
        found.additions += [f"{method.upper()} {path}: is new" for method in after if method not in before]
    shapes = {_shape(path) for path in _paths(old)}
    found.additions += [f"{path}: is new" for path in _paths(new) if _shape(path) not in shapes]
    return Changes(list(dict.fromkeys(found.breaking)), list(dict.fromkeys(found.additions)))


def _paths(document: Document) -> list[str]:
    return [path for path in map(str, mapping(document.get("paths"))) if path.startswith("/")]


def _shape(path: str) -> str:
    """Return a path without the names of its parameters: they are nobody's business but the document's."""
    return re.sub(r"\{[^}]*\}", "{}", path)


def _operation(old: Operation, new: Operation) -> Iterator[tuple[str, SchemaDifference]]:
    yield from _parameters(old, new)
    yield from _request(old, new)
    yield from _responses(old, new)


def _parameters(old: Operation, new: Operation) -> Iterator[tuple[str, SchemaDifference]]:
    before = old.parameters
    for (name, place), parameter in new.parameters.items():
        where, required = f"{place} parameter {name}", parameter.get("required") is True
        known = before.get((name, place))
        if known is None:
            if place != "path":  # one of a path was there under another name
                text = "is new and required" if required else "is new and optional"
                yield where, SchemaDifference("", text, addition=not required)
            continue
        if required and known.get("required") is not True:
            yield where, SchemaDifference("", "is now required")
        left, right = (Schema(each.document, p.get("schema", True)) for each, p in ((old, known), (new, parameter)))
        yield from ((where, difference) for difference in SchemaComparison(answer=False).compare(left, right))


def _request(old: Operation, new: Operation) -> Iterator[tuple[str, SchemaDifference]]:
    if new.body.get("required") is True and old.body.get("required") is not True:
        yield "the request body", SchemaDifference("", "is now required")
    if old.body and new.body:
        yield from _content("request", old.request, new.request, answer=False)


def _responses(old: Operation, new: Operation) -> Iterator[tuple[str, SchemaDifference]]:
    for status, answer in old.responses.items():
        after = new.response(int(status)) if status.isdecimal() else _content_of(new, status)
        if after is not None:
            before = Content(old.document, mapping(answer.get("content")))
            yield from _content(f"answer {status}", before, after, answer=True)
        elif status.startswith("2"):
            yield f"answer {status}", SchemaDifference("", "is gone")
    for status in new.responses:
        if status not in old.responses:
            yield f"answer {status}", SchemaDifference("", "is new", addition=True)


def _content_of(operation: Operation, status: str) -> Content | None:
    answers: dict[str, Any] = {key.upper(): answer for key, answer in operation.responses.items()}
    answer = answers.get(status.upper())
    return None if answer is None else Content(operation.document, mapping(answer.get("content")))


def _content(place: str, old: Content, new: Content, *, answer: bool) -> Iterator[tuple[str, SchemaDifference]]:
    for kind in old.types:
        before, after = old.schema(kind), new.schema(kind)
        where = f"{place} ({media_type(kind)})" if len(old.types) > 1 else place
        if after is None:
            yield place, SchemaDifference("", f"{'is no longer' if answer else 'no longer takes'} {media_type(kind)}")
            continue
        pair = Schema(old.document, before), Schema(new.document, after)
        yield from ((where, difference) for difference in SchemaComparison(answer=answer).compare(*pair))
    known = {media_type(kind) for kind in old.types}
    for kind in new.types:
        if media_type(kind) not in known:
            yield place, SchemaDifference("", f"also {media_type(kind)}", addition=True)
