"""Finds in a document the paths that a project did not name, or named wrongly: of readiness and of predictions."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from harness.openapi.reading import Document, mapping, operations

# What the last part of a path promises, the strongest first. A path that only says that the process lives (ping, live,
# status) promises no prediction, so it is none of these.
_READY = ("ready", "readyz", "readiness", "health", "healthz", "healthy", "healthcheck")
_ALIVE = ("ping", "status", "alive", "live", "livez", "liveness", "heartbeat", "up")
SHOWN = 5  # paths in one advice


def ready_paths(document: Document, *, alive: bool = False) -> list[str]:
    """Return the paths that a GET without parameters asks for readiness, the likeliest first.

    With `alive` also those by which a service only shows that it answers, its root the last.
    """
    ranks = {word: rank for rank, word in enumerate((*_READY, *_ALIVE) if alive else _READY)}
    found = [
        (ranks[word], len(path), path)
        for path in paths(document)
        if (word := _last_word(path)) in ranks and _is_plain_get(document, path)
    ]
    root = ["/"] if alive and _is_plain_get(document, "/") else []
    return [path for _, _, path in sorted(found)] + root


def paths(document: Document) -> list[str]:
    """Return all paths, as the document writes them."""
    return list(map(str, mapping(document.get("paths"))))


def posts(document: Document) -> list[str]:
    """Return the paths that take a POST, as the document writes them."""
    return [path for path in paths(document) if "post" in operations(document, path)]


def better_predict(document: Document, path: str) -> str:
    """Say where the document has predictions, when the service has none at POST `path`."""
    others = posts(document)
    if near := _nearest(others, path):
        return f"Name the path that the document has: `contract.predict: {near}`."
    if others:
        more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
        return f"Name in `contract.predict` one that takes POST: {', '.join(others[:SHOWN])}{more}."
    if "get" in operations(document, path):
        return (
            f"The document has GET {path} alone: let it take POST with a JSON body, as a prediction of rows does; what "
            "is asked for by query parameters is not asked here."
        )
    return "The document has no path that takes POST: serve predictions there, with a JSON body."


def _nearest(candidates: Sequence[str], wanted: str) -> str | None:
    """Return the path that was likely meant: its last part is the same, it is the only one, or nearly the same."""
    known = [path for path in candidates if "{" not in path]
    same = [path for path in known if _last_word(path) == _last_word(wanted)]
    if len(same) == 1 or len(known) == 1:
        return (same or known)[0]
    close = difflib.get_close_matches(wanted, same or known, n=1, cutoff=0.6)
    return close[0] if close else None


def _last_word(path: str) -> str:
    """Return the last part of a path in small letters, without what joins words."""
    return path.rstrip("/").rpartition("/")[2].lower().replace("-", "").replace("_", "")


def _is_plain_get(document: Document, path: str) -> bool:
    """Whether a path can be asked as it stands: nothing in it or behind it is to be filled in."""
    found = operations(document, path).get("get")
    required = [each for each in found.parameters.values() if each.get("required")] if found else []
    return found is not None and "{" not in path and not required
