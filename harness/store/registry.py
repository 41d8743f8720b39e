"""A remote artifact store: a repository of an OCI registry, as ORAS uses it.

Sources: OCI distribution specification 1.1 ("Pushing blobs", "Pushing manifests with subject", "Unavailable referrers
API"); for tokens, the specification "Token authentication" of the CNCF distribution project. The library `oras` does
not compare what it fetched with its digest, and sleeps for two minutes before it says that a login is needed.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth
from requests.utils import parse_dict_header

from harness.config.reference import Reference
from harness.engine.credentials import Credentials, credentials_of
from harness.errors import HarnessError, InfrastructureError, NotPublishedError, TamperedError
from harness.evidence.provenance import CHUNK
from harness.store.oci import INDEX, MANIFEST, Blob, Descriptor, OciManifest, Publication, digest_of

TIMEOUT = (10.0, 300.0)  # seconds: to connect, and between two pieces of an answer
MAX_MANIFEST = 4 * 1024 * 1024  # bytes: what the specification asks of a registry at least
OK, CREATED, ACCEPTED, UNAUTHORIZED, FORBIDDEN, MISSING = 200, 201, 202, 401, 403, 404
TOO_MANY, BROKEN = 429, 500


class _Login(AuthBase):
    """Adds what the registry asked for, to requests to itself alone; never what a `.netrc` says."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.header = ""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.header and urlsplit(request.url or "").netloc == self.host:
            request.headers["Authorization"] = self.header
        return request


@dataclass(frozen=True)
class Registry:
    """One repository, over one HTTP session."""

    reference: Reference
    session: requests.Session
    login: _Login

    def publish(self, publication: Publication) -> None:
        """Push an artifact and what refers to it; the tag comes last, so that it never names a part.

        Blobs that are there are not sent again. Raises InfrastructureError, and DescriptionError where a file is no
        longer the one that the run recorded.
        """
        for blob in {each.digest: each for each in publication.blobs}.values():
            self._push(blob)
        artifact = publication.artifact
        self._put_manifest(artifact.digest, artifact.content, MANIFEST)
        for referrer in publication.referrers:
            answer = self._put_manifest(referrer.digest, referrer.content, MANIFEST)
            if "OCI-Subject" not in answer.headers:
                self._list(artifact.digest, referrer)
        self._put_manifest(self.reference.tag, artifact.content, MANIFEST)

    def artifacts(self) -> Sequence[str]:
        """Return the digest that the reference names. Raises NotPublishedError."""
        name = self.reference.digest or self.reference.tag
        content = self._get_manifest(name, MANIFEST)
        if content is None:
            raise NotPublishedError(f"nothing is published as {self.reference}", hint="`harness publish` does that.")
        return [self.reference.digest or digest_of(content)]

    def referrers(self, digest: str) -> Sequence[str]:
        """Return the digests of the manifests that refer to one."""
        return list({entry["digest"]: None for entry in self._referrers(digest)})

    def manifest(self, digest: str) -> bytes:
        """Return what is stored under a manifest's digest. Raises TamperedError where nothing is."""
        content = self._get_manifest(digest, MANIFEST)
        if content is None:
            raise TamperedError(f"{self.reference}: {digest} is missing", hint="Publish the artifact again.")
        return content

    def chunks(self, digest: str) -> Iterator[bytes]:
        """Yield a blob in pieces. Raises TamperedError where there is none."""
        answer = self._ask("GET", f"blobs/{digest}", allowed=(MISSING,), stream=True)
        with closing(answer), self._errors():
            if answer.status_code == MISSING:
                raise TamperedError(f"{self.reference}: {digest} is missing", hint="Publish the artifact again.")
            yield from answer.iter_content(CHUNK)

    def _push(self, blob: Blob) -> None:
        if self._ask("HEAD", f"blobs/{blob.digest}", allowed=(MISSING,)).status_code == OK:
            return
        blob.checked()
        place = self._ask("POST", "blobs/uploads/", allowed=(ACCEPTED,)).headers.get("Location", "")
        url = urljoin(self.reference.root, place)
        if not place or (urlsplit(url).scheme != "https" and not self.reference.plain_http):
            raise InfrastructureError(
                f"{self.reference.host} names no safe place for an upload: {place!r}", hint="Ask its administrator."
            )
        self._ask("PUT", url, allowed=(CREATED,), body=blob.source if blob.size else b"", digest=blob.digest)

    def _put_manifest(self, name: str, content: bytes, kind: str) -> requests.Response:
        return self._ask("PUT", f"manifests/{name}", allowed=(CREATED,), body=content, kind=kind)

    def _get_manifest(self, name: str, kind: str) -> bytes | None:
        """Return a manifest as it is stored; None where there is none."""
        answer = self._ask("GET", f"manifests/{name}", allowed=(MISSING,), accept=kind, stream=True)
        with closing(answer):
            return None if answer.status_code == MISSING else self._body(answer)

    def _body(self, answer: requests.Response) -> bytes:
        found = bytearray()
        with self._errors():
            for chunk in answer.iter_content(CHUNK):
                found += chunk
                if len(found) > MAX_MANIFEST:
                    raise InfrastructureError(f"{answer.url} is larger than {MAX_MANIFEST} bytes", hint="Look at it.")
        return bytes(found)

    def _referrers(self, digest: str) -> Iterator[Descriptor]:
        """Yield what refers to a manifest: the registry says it, or else the index under a tag of that name."""
        url = f"referrers/{digest}"
        while url:
            answer = self._ask("GET", url, allowed=(MISSING,), accept=INDEX, stream=True)
            with closing(answer):
                if answer.status_code == MISSING:
                    break
                content = self._body(answer)
            yield from json.loads(content)["manifests"]
            url = urljoin(answer.url, answer.links["next"]["url"]) if "next" in answer.links else ""
        else:
            return
        yield from self._listed(digest)

    def _listed(self, digest: str) -> list[Descriptor]:
        content = self._get_manifest(_tag_of(digest), INDEX)
        return [] if content is None else list(json.loads(content)["manifests"])

    def _list(self, subject: str, referrer: OciManifest) -> None:
        """Add to the index of what refers to a manifest: this registry keeps none itself."""
        try:
            entries = [entry for entry in self._listed(subject) if entry["digest"] != referrer.digest]
        except (ValueError, KeyError, TypeError) as exc:
            raise InfrastructureError(
                f"the tag {_tag_of(subject)} of {self.reference.repository} is no index: {exc!r}",
                hint="Delete it, or publish to another repository.",
            ) from exc
        whole = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [*entries, referrer.descriptor]}
        self._put_manifest(_tag_of(subject), json.dumps(whole).encode(), INDEX)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        allowed: Sequence[int] = (),
        body: bytes | Path | None = None,
        kind: str = "application/octet-stream",
        accept: str = "*/*",
        digest: str = "",
        stream: bool = False,
    ) -> requests.Response:
        """Return the answer to one request, after one login where that is asked for; 200 is always allowed."""
        url = urljoin(self.reference.root, path)
        headers = {"Accept": accept} | ({} if body is None else {"Content-Type": kind})
        parameters = {"digest": digest} if digest else {}
        answer = self._send(method, url, headers, parameters, body, stream=stream)
        if answer.status_code == UNAUTHORIZED and self._log_in(answer):
            answer.close()
            answer = self._send(method, url, headers, parameters, body, stream=stream)
        if answer.status_code not in (OK, *allowed):
            with closing(answer):
                raise self._refused(method, answer)
        return answer

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        parameters: Mapping[str, str],
        body: bytes | Path | None,
        *,
        stream: bool,
    ) -> requests.Response:
        def send(data: Any) -> requests.Response:
            return self.session.request(
                method,
                url,
                headers=headers,
                params=parameters,
                data=data,
                auth=self.login,
                stream=stream,
                timeout=TIMEOUT,
                allow_redirects=method in ("GET", "HEAD"),
            )

        with self._errors():
            if isinstance(body, Path):
                with body.open("rb") as file:
                    return send(file)
            return send(body)

    def _log_in(self, answer: requests.Response) -> bool:
        """Answer a challenge; return whether there is something new to try."""
        scheme, _, rest = answer.headers.get("WWW-Authenticate", "").partition(" ")
        before, known = self.login.header, credentials_of(self.reference.host)
        if scheme.lower() == "basic" and known is not None and known.user:
            self.login.header = f"Basic {b64encode(f'{known.user}:{known.password}'.encode()).decode()}"
        elif scheme.lower() == "bearer":
            self.login.header = f"Bearer {self._token(parse_dict_header(rest), known)}"
        return self.login.header != before

    def _token(self, asked: Mapping[str, str | None], known: Credentials | None) -> str:
        """Return a token for what a challenge asks for. Raises InfrastructureError."""
        realm = urljoin(self.reference.root, asked.get("realm") or "")
        if urlsplit(realm).scheme != "https" and not self.reference.plain_http:
            raise InfrastructureError(
                f"{self.reference.host} wants the password sent without TLS, to {realm}",
                hint="Ask its administrator, or add --plain-http where the network is your own.",
            )
        wanted = {key: value for key in ("service", "scope") if (value := asked.get(key))}
        with self._errors():
            if known is not None and known.identity_token:
                form = {"grant_type": "refresh_token", "client_id": "ml-container-harness", **wanted}
                form["refresh_token"] = known.identity_token
                answer = self.session.post(realm, data=form, auth=_Login(""), timeout=TIMEOUT)
            else:
                basic = HTTPBasicAuth(known.user, known.password) if known else _Login("")
                answer = self.session.get(realm, params=wanted, auth=basic, timeout=TIMEOUT)
        if answer.status_code != OK:
            raise self._refused("GET", answer)
        try:
            found = answer.json()
            return str(found.get("token") or found["access_token"])
        except (ValueError, KeyError, AttributeError) as exc:
            raise InfrastructureError(f"{realm} gave no token: {exc!r}", hint="Ask its administrator.") from exc

    def _refused(self, method: str, answer: requests.Response) -> HarnessError:
        host, status = self.reference.host, answer.status_code
        said = f"{host} answered {method} {urlsplit(answer.url).path} with {status}: {_said(answer)}"
        hint = "Ask the registry's administrator."
        if status in (UNAUTHORIZED, FORBIDDEN):
            hint = f"Log in as somebody who may do this: docker login {host}"
        elif status == MISSING:
            hint = f"Check the name of the repository, {self.reference.repository}; some registries want it created."
        elif status == TOO_MANY or status >= BROKEN:
            hint = "Try again later."
        return InfrastructureError(said, hint=hint)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Map what the HTTP library raises."""
        try:
            yield
        except requests.exceptions.SSLError as exc:
            raise InfrastructureError(
                f"no TLS with {self.reference.host}: {exc}",
                hint="Name its certificate in REQUESTS_CA_BUNDLE; --plain-http where it speaks no TLS at all.",
            ) from exc
        except requests.exceptions.RequestException as exc:
            raise InfrastructureError(
                f"{self.reference.host} does not answer, or broke off: {exc}", hint="Check the name and the network."
            ) from exc


@contextmanager
def connected(reference: Reference) -> Iterator[Registry]:
    """Open a session with a registry for the block; nothing is sent yet."""
    with requests.Session() as session:
        session.trust_env = not reference.is_loopback  # no proxy stands between us and ourselves
        yield Registry(reference, session, _Login(reference.host))


def _tag_of(digest: str) -> str:
    """Return the tag of the index of what refers to a manifest ("Referrers Tag Schema")."""
    return digest.replace(":", "-", 1)


def _said(answer: requests.Response) -> str:
    """Return what an answer says of an error, as the specification writes it or as text."""
    try:
        return "; ".join(f"{each['code']}: {each.get('message', '')}" for each in answer.json()["errors"]) or "nothing"
    except (ValueError, KeyError, TypeError, AttributeError, requests.exceptions.RequestException):
        return answer.reason or "no reason given"
