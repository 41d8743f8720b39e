"""Reads what a document says: which operation a path belongs to, and the bodies that it takes and gives."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote, urlsplit

SHOWN = 200  # characters of a message
MAX_HOPS = 32  # of references that lead to references
JSON_TYPE = re.compile(r"^application/([\w.!#$&^-]+\+)?json$")  # RFC 6839 for `+json`

Document = Mapping[str, Any]


def mapping(value: Any) -> dict[str, Any]:
    """Return a JSON object as it is, and nothing in place of anything else: a document may hold what it should not."""
    return value if isinstance(value, dict) else {}


def short(text: str) -> str:
    """Return a message that fits a finding."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def resolve(document: Document, node: Any) -> Any:
    """Follow `$ref` to its end inside the document; None where it leads elsewhere, to nothing or in a circle."""
    for _ in range(MAX_HOPS):
        if not isinstance(node, dict) or not isinstance(reference := node.get("$ref"), str):
            return node
        node = _target(document, reference)
    return None


def _target(document: Document, reference: str) -> Any:
    if reference != "#" and not reference.startswith("#/"):
        return None
    node: Any = document
    for part in reference[2:].split("/") if reference != "#" else ():
        name = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(node, list) and name.isdecimal() and int(name) < len(node):
            node = node[int(name)]
        elif isinstance(node, dict) and name in node:
            node = node[name]
        else:
            return None
    return node


def media_type(text: str) -> str:
    """Return a content type without its parameters, in small letters (RFC 9110, section 8.3.1)."""
    return text.partition(";")[0].strip().lower()


def is_json(content_type: str) -> bool:
    """Whether a body of this type is JSON; one without a type is taken for it."""
    plain = media_type(content_type)
    return not plain or JSON_TYPE.match(plain) is not None


@dataclass(frozen=True)
class Content:
    """Content type -> what the document says of a body of that type."""

    document: Document
    types: Mapping[str, Any]

    def schema(self, content_type: str) -> Any:
        """Return the schema of a body of this type; True where anything goes, None where the type is not listed.

        A type is found as it stands, else by the narrowest range that holds it, such as `application/*`.
        """
        wanted = media_type(content_type) or "application/json"
        ranges = sorted(self.types, key=lambda key: ("*" in key, -len(key)))
        found = next((key for key in ranges if fnmatchcase(wanted, media_type(key))), None)
        if found is None:
            return None
        entry = mapping(resolve(self.document, self.types[found]))
        return entry.get("schema", True)


@dataclass(frozen=True)
class Operation:
    """One operation of a document, such as POST /predict."""

    document: Document
    path: str  # as the document writes it
    item: Mapping[str, Any]
    path_item: Mapping[str, Any]

    @property
    def body(self) -> Mapping[str, Any]:
        """The request body, resolved; empty where there is none."""
        return mapping(resolve(self.document, self.item.get("requestBody")))

    @property
    def request(self) -> Content:
        """What the request body may be."""
        return Content(self.document, mapping(self.body.get("content")))

    @property
    def responses(self) -> Mapping[str, Any]:
        """Status as the document writes it -> the answer, resolved."""
        found = mapping(self.item.get("responses"))
        return {
            str(status): mapping(resolve(self.document, answer))
            for status, answer in found.items()
            if not str(status).startswith("x-")
        }

    def response(self, status: int) -> Content | None:
        """Return what an answer with this status may be: by the status itself, its class, or `default`; else None."""
        answers = {key.upper(): answer for key, answer in self.responses.items()}
        for key in (str(status), f"{status // 100}XX", "DEFAULT"):
            if key in answers:
                return Content(self.document, mapping(answers[key].get("content")))
        return None

    @property
    def parameters(self) -> dict[tuple[str, str], Mapping[str, Any]]:
        """(name, place) -> parameter; those of the operation win over those of its path."""
        found: dict[tuple[str, str], Mapping[str, Any]] = {}
        for holder in (self.path_item, self.item):
            listed = holder.get("parameters")
            for each in listed if isinstance(listed, list) else ():
                parameter = mapping(resolve(self.document, each))
                found[str(parameter.get("name")), str(parameter.get("in"))] = parameter
        return found


METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")


def operations(document: Document, path: str) -> dict[str, Operation]:
    """Return the operations of a path of the document, by their method in small letters."""
    item = mapping(resolve(document, mapping(document.get("paths")).get(path)))
    return {
        method: Operation(document, path, mapping(item[method]), item)
        for method in METHODS
        if isinstance(item.get(method), dict)
    }


def operation(document: Document | None, path: str, method: str = "post") -> Operation | None:
    """Return the operation that a request for a real path belongs to; None where the document has none.

    A path without templates wins over one with (OpenAPI 3.1, Paths Object); the path of a server's URL may stand
    before it.
    """
    if document is None:
        return None
    real = path.partition("?")[0]
    for candidate in (real, *_below_servers(document, real)):
        for written in sorted(map(str, mapping(document.get("paths"))), key=lambda p: p.count("{")):
            if matches(written, candidate) and (found := operations(document, written).get(method)):
                return found
    return None


def matches(template: str, path: str) -> bool:
    """Whether a path fits a template such as `/v1/models/{name}:predict`."""
    parts = re.split(r"\{[^}]*\}", template)
    return re.fullmatch("[^/]+".join(re.escape(part) for part in parts), path) is not None


def _below_servers(document: Document, path: str) -> Iterator[str]:
    servers = document.get("servers")
    for server in servers if isinstance(servers, list) else ():
        try:
            prefix = urlsplit(str(mapping(server).get("url", ""))).path.rstrip("/")
        except ValueError:  # no URL
            continue
        if prefix and path.startswith(prefix + "/"):
            yield path.removeprefix(prefix)
