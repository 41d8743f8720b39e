"""A minimal OCI registry in memory, written from the OCI distribution specification 1.1, with faults on demand."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json")
INDEX = MANIFESTS[1]
_PATH = re.compile(r"/v2/(?P<name>[a-z0-9/._-]+)/(?P<kind>blobs/uploads|blobs|manifests|referrers)/(?P<last>[^/]*)")


@dataclass
class Registry:
    """What it holds and how it behaves. `faults` maps `METHOD kind` to a status that is answered instead."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, bytes] = field(default_factory=dict)  # by digest
    tags: dict[str, str] = field(default_factory=dict)  # tag -> digest
    has_referrers: bool = True  # whether it keeps them itself: else the client does, under a tag
    login: str = ""  # basic, bearer, or nothing
    user: str = "ann:secret"
    faults: dict[str, int] = field(default_factory=dict)
    cut: int = 0  # bytes of a blob that are left out
    elsewhere: str = ""  # where uploads go
    asked: list[str] = field(default_factory=list)  # METHOD kind
    seen: list[str] = field(default_factory=list)  # the Authorization of each request
    host: str = ""

    def answer(self, handler: _Handler, method: str) -> None:
        """Answer one request."""
        url = urlsplit(handler.path)
        query = {key: value[0] for key, value in parse_qs(url.query).items()}
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        self.seen.append(handler.headers.get("Authorization", ""))
        if url.path == "/token":
            self._token(handler, query, body.decode())
            return
        match = _PATH.fullmatch(url.path)
        kind = match["kind"] if match else ""
        self.asked.append(f"{method} {kind}")
        if status := self.faults.get(f"{method} {kind}"):
            handler.reply(status, _errors("SOME_CODE", "as the test wants it"))
        elif not self._may(handler, method):
            return
        elif match is None:
            handler.reply(404, b"no such page")
        else:
            getattr(self, f"_{method.lower()}_{kind.replace('/', '_')}")(handler, match["last"], query, body)

    def _may(self, handler: _Handler, method: str) -> bool:
        given = handler.headers.get("Authorization", "")
        action = "pull" if method in ("GET", "HEAD") else "pull,push"
        basic = f"Basic {base64.b64encode(self.user.encode()).decode()}"
        if not self.login or given in (basic if self.login == "basic" else f"Bearer {action}", "Bearer pull,push"):
            return True
        realm = f'Bearer realm="http://{self.host}/token",service="me",scope="repository:x:{action}"'
        challenge = 'Basic realm="me"' if self.login == "basic" else realm
        handler.reply(401, _errors("UNAUTHORIZED", "authentication required"), {"WWW-Authenticate": challenge})
        return False

    def _token(self, handler: _Handler, query: dict[str, str], body: str) -> None:
        form = {key: value[0] for key, value in parse_qs(body).items()}
        basic = f"Basic {base64.b64encode(self.user.encode()).decode()}"
        if handler.headers.get("Authorization") == basic or form.get("refresh_token") == "an-identity":
            scope = (query or form)["scope"]
            handler.reply(200, json.dumps({"token": scope.rpartition(":")[2]}).encode())
        else:
            handler.reply(401, _errors("DENIED", "who are you?"))

    def _head_blobs(self, handler: _Handler, last: str, *_: Any) -> None:
        handler.reply(200 if last in self.blobs else 404, b"")

    def _post_blobs_uploads(self, handler: _Handler, *_: Any) -> None:
        handler.reply(202, b"", {"Location": self.elsewhere or "/v2/x/blobs/uploads/one?state=a"})

    def _put_blobs_uploads(self, handler: _Handler, _: str, query: dict[str, str], body: bytes) -> None:
        if query.get("state") != "a" or query["digest"] != _digest(body):
            handler.reply(400, _errors("DIGEST_INVALID", "the content is another"))
            return
        self.blobs[query["digest"]] = body
        handler.reply(201, b"")

    def _get_blobs(self, handler: _Handler, last: str, *_: Any) -> None:
        found = self.blobs.get(last)
        handler.reply(404 if found is None else 200, found or b"", cut=self.cut)

    def _put_manifests(self, handler: _Handler, last: str, _: Any, body: bytes) -> None:
        whole = json.loads(body)
        if handler.headers["Content-Type"] not in MANIFESTS or (":" in last and last != _digest(body)):
            handler.reply(400, _errors("MANIFEST_INVALID", "no"))
            return
        if any(each["digest"] not in self.blobs for each in [*whole.get("layers", []), *_config(whole)]):
            handler.reply(400, _errors("MANIFEST_BLOB_UNKNOWN", "a layer is missing"))
            return
        self.manifests[_digest(body)] = body
        if ":" not in last:
            self.tags[last] = _digest(body)
        subject = whole.get("subject") if self.has_referrers else None
        handler.reply(201, b"", {"OCI-Subject": subject["digest"]} if subject else {})

    def _get_manifests(self, handler: _Handler, last: str, *_: Any) -> None:
        found = self.manifests.get(self.tags.get(last, last))
        if found is None:
            handler.reply(404, _errors("MANIFEST_UNKNOWN", "no such manifest"))
        else:
            handler.reply(200, found, {"Content-Type": handler.headers["Accept"]})

    def _get_referrers(self, handler: _Handler, last: str, query: dict[str, str], _: bytes) -> None:
        """One referrer a page, the last one first: the specification promises no order."""
        if not self.has_referrers:
            handler.reply(404, b"404 page not found")
            return
        found = [text for text in self.manifests.values() if json.loads(text).get("subject", {}).get("digest") == last]
        found.reverse()
        page = int(query.get("page", 0))
        entries = [{"mediaType": MANIFESTS[0], "digest": _digest(t), "size": len(t)} for t in found[page : page + 1]]
        more = {"Link": f'<{urlsplit(handler.path).path}?page={page + 1}>; rel="next"'} if found[page + 1 :] else {}
        handler.reply(200, json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode(), more)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: Registry

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None, cut: int = 0) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) - cut])
        if cut:
            self.close_connection = True

    def do_GET(self) -> None:
        self.registry.answer(self, self.command)

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815 - the names that http.server calls

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(registry: Registry) -> Iterator[str]:
    """Serve a registry on a free port; yields HOST:PORT."""
    handler = type("Handler", (_Handler,), {"registry": registry})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    registry.host = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield registry.host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _config(whole: dict[str, Any]) -> list[dict[str, Any]]:
    return [whole["config"]] if "config" in whole else []


def _errors(code: str, message: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()
