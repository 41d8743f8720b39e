"""Replaces secrets in texts by `[redacted NAME]`: by value, in every usual spelling, and by what keys look like."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import IO, Any
from urllib.parse import quote, quote_plus

import yaml

from harness.datasets.secret_patterns import IN_URL, KEYS
from harness.reproduce.bundle.secret_names import MIN_ANYWHERE, TRIVIAL, NamedSecret, is_secret_name

SNIFFED = 8192  # bytes: with a NUL among them a file is no text
MIN_PART = 12  # letters: a shorter secret of letters alone is no part of another word
BLOCK = 2**20  # bytes read at once, up to the end of the line
MAX_LINE = 2**24  # bytes: of a longer line the parts are looked at one by one
MAX_KEY = 2**16  # bytes of a private key with its lines
CREDENTIAL_FILES = re.compile(
    r"(^|/)(\.netrc|\.npmrc|\.pypirc|\.git-credentials|\.htpasswd|\.pgpass|kubeconfig|id_(rsa|dsa|ecdsa|ed25519)"
    r"|\.docker/config\.json|\.dockercfg|\.aws/credentials|credentials\.json|[^/]+\.(pem|key|p12|pfx|jks|keystore))$"
)
_PRIVATE = re.compile(rb"-----BEGIN ((?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?)-----.*?-----END \1-----", re.DOTALL)
_URL = re.compile(rb"://[^\s:/@\"'<>,\\]{0,128}:[^\s/@\"'<>,\\]{1,256}@|://[^\s:/@\"'<>,\\]{16,256}@")
_INTERPOLATED = re.compile(rb"://[^@]*\$\{?[A-Za-z_]\w*\}?[^@]*@")
_HEADER = re.compile(
    rb"(?i)((?:proxy-)?authorization[\\\"']{0,3}\s*[:=]\s*[\\\"']{0,3}(?:bearer|basic|token|digest|apikey)\s+)"
    rb"([A-Za-z0-9._~+/=-]{6,})"
)
_ENV_LINE = re.compile(r"^(\s*(?:export\s+)?)([A-Za-z_][\w.]*)(\s*[=:]\s*)(.*)$")


def is_env_file(name: str) -> bool:
    """Whether a file holds variables by its name: `.env`, `.env.local`, `production.env`."""
    base = PurePosixPath(name).name
    return base == ".env" or base.startswith(".env.") or base.endswith(".env")


def is_credential_file(name: str) -> bool:
    """Whether a file is a credential by its name: it is never packed."""
    return bool(CREDENTIAL_FILES.search(name))


def marker(name: str) -> str:
    """Return what stands in place of a secret; it needs no escaping in JSON, URLs apart."""
    return f"[redacted {re.sub(r'[^A-Za-z0-9_.-]', '_', name)}]"


def spellings(value: str) -> Iterator[str]:
    """Yield how a value is written in texts, JSON (in JSON), Compose files, URLs and Base64, without doubles."""
    json_text = json.dumps(value)[1:-1]
    raw = value.encode("utf-8", "surrogateescape")
    found = [value, json_text, json.dumps(value, ensure_ascii=False)[1:-1], json.dumps(json_text)[1:-1]]
    found += [value.replace("$", "$$"), json.dumps(value.replace("$", "$$"))[1:-1], value.replace("'", "''")]
    found += [quote(raw, safe=""), quote(raw), quote_plus(raw), value.strip()]
    found += [quote(raw, safe="").replace("%2F", "%2f").replace("%2B", "%2b").replace("%3D", "%3d")]
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        found.append(encode(raw).decode())
        for lead in range(3):  # in the midst of a longer text, such as `user:value`
            text = encode(b"\0" * lead + raw).decode().rstrip("=")
            first, last = (lead * 8 + 5) // 6, (lead + len(raw)) * 8 // 6
            if last - first >= 8:  # noqa: PLR2004 - fewer characters are chance
                found.append(text[first:last])
    yield from dict.fromkeys(text for text in found if len(text) >= MIN_ANYWHERE)


@dataclass
class Redactor:
    """Replaces secrets and remembers, by name, where there were any."""

    secrets: tuple[NamedSecret, ...] = ()
    places: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._anywhere: dict[bytes, str] = {}  # spelling -> name, the longest first
        self._patterns: list[tuple[str, bytes, re.Pattern[bytes]]] = []  # name, what a text must hold, what is found
        found: dict[bytes, str] = {}
        for secret in self.secrets:
            raw, name = secret.value.encode("utf-8", "surrogateescape"), secret.name.encode()
            if not secret.anywhere:
                beside = rb"(" + re.escape(name) + rb"[\\\"']{0,3}\s*[:=,]?\s*[\\\"']{0,3})"
                self._patterns.append((secret.name, name, re.compile(beside + re.escape(raw) + rb"(?![\w-])")))
            elif secret.value.isalpha() and len(secret.value) < MIN_PART:
                word = rb"(?<![A-Za-z0-9_])()" + re.escape(raw) + rb"(?![A-Za-z0-9_])"
                self._patterns.append((secret.name, raw, re.compile(word)))
            else:
                found |= {
                    t.encode("utf-8", "surrogateescape"): secret.name for t in reversed([*spellings(secret.value)])
                }
        self._anywhere = dict(sorted(found.items(), key=lambda pair: (-len(pair[0]), pair[0])))

    def note(self, name: str, place: str) -> None:
        """Remember that a secret was left out at a place."""
        self.places.setdefault(name, set()).add(place)

    def redact(self, data: bytes, place: str) -> bytes:
        """Return a text without secrets; the same bytes where it has none."""
        made = data
        for text, name in self._anywhere.items():
            if text in made:
                made = made.replace(text, marker(name).encode())
                self.note(name, place)
        for name, hint, pattern in self._patterns:
            if hint in made:
                made = self._sub(pattern, made, partial(_after, name), name, place)
        return self._keys(made, place)

    def holds(self, stream: IO[bytes], *, plain: bool = False) -> str | None:
        """Return the name of a secret that is in bytes that are no text; `plain`: only as it is."""
        texts = dict(self._anywhere)
        if plain:
            texts = {s.value.encode("utf-8", "surrogateescape"): s.name for s in self.secrets if s.anywhere}
        overlap, tail = max(map(len, texts), default=1), b""
        while block := stream.read(4 * BLOCK):
            whole = tail + block
            if name := next((name for text, name in texts.items() if text in whole), None):
                return name
            tail = whole[-overlap:]
        return None

    def redact_file(self, source: IO[bytes], place: str) -> Iterator[bytes]:
        """Yield a text file without secrets, in pieces of whole lines."""
        name = place.lower()
        if is_env_file(name):
            yield self._env(source.read(MAX_LINE), place)
        elif name.endswith(".json"):
            yield self._json(source.read(), place)
        elif name.endswith((".yaml", ".yml")):
            yield self._yaml(source.read(), place)
        elif name.endswith((".ndjson", ".jsonl")):
            for block in blocks(source):
                yield self._json_lines(block, place)
        else:
            for block in blocks(source):
                yield self.redact(block, place)

    def _sub(
        self, pattern: re.Pattern[bytes], data: bytes, by: Callable[[re.Match[bytes]], bytes], name: str, place: str
    ) -> bytes:
        made = pattern.sub(by, data)
        if made != data:
            self.note(name, place)
        return made

    def _keys(self, data: bytes, place: str) -> bytes:
        """Replace what has the form of a key, whatever its name."""
        if b"PRIVATE KEY" in data:
            data = self._sub(_PRIVATE, data, lambda _: marker("PRIVATE_KEY").encode(), "PRIVATE_KEY", place)
        if b"://" in data and b"@" in data:
            by = marker("URL_CREDENTIALS").encode()
            data = self._sub(
                _URL,
                data,
                lambda m: m[0] if b"[redacted " in m[0] or _INTERPOLATED.match(m[0]) else b"://" + by + b"@",
                "URL_CREDENTIALS",
                place,
            )
        if b"uthorization" in data:
            data = self._sub(_HEADER, data, lambda m: m[1] + marker("AUTHORIZATION").encode(), "AUTHORIZATION", place)
        for pattern in KEYS:
            if pattern.kind not in (IN_URL, "private key") and any(hint in data for hint in pattern.hint):
                name = re.sub(r"\W+", "_", pattern.kind).upper()
                data = self._sub(pattern.expression, data, partial(_in_place, name), name, place)
        return data

    def _env(self, data: bytes, place: str) -> bytes:
        lines = []
        for line in data.decode("utf-8", "replace").splitlines():
            match = _ENV_LINE.match(line)
            if match and is_secret_name(match[2]) and match[4].strip("\"' ").lower() not in TRIVIAL:
                self.note(match[2], place)
                lines.append(f"{match[1]}{match[2]}{match[3]}{marker(match[2])}")
            else:
                lines.append(line)
        return self.redact("".join(f"{line}\n" for line in lines).encode(), place)

    def _json(self, data: bytes, place: str) -> bytes:
        """Redact JSON so that it stays JSON: as text where that does it, else value by value."""
        made = self.redact(data, place)
        if made == data or not _is_json(data) or _is_json(made):
            return made
        return json.dumps(self._value(json.loads(data), place), indent=1).encode()

    def _json_lines(self, block: bytes, place: str) -> bytes:
        made = self.redact(block, place)
        if made == block:
            return block
        return b"".join(self._json_line(line, place) for line in block.splitlines(keepends=True))

    def _json_line(self, line: bytes, place: str) -> bytes:
        made = self.redact(line, place)
        if made == line or not _is_json(line) or _is_json(made):
            return made
        return json.dumps(self._value(json.loads(line), place)).encode() + b"\n"

    def _value(self, value: Any, place: str) -> Any:
        if isinstance(value, dict):
            return {self._value(k, place): self._value(v, place) for k, v in value.items()}
        if isinstance(value, list):
            return [self._value(item, place) for item in value]
        if isinstance(value, str):
            return self.redact(value.encode("utf-8", "surrogatepass"), place).decode("utf-8", "surrogatepass")
        if isinstance(value, int | float) and not isinstance(value, bool):
            text = json.dumps(value)
            made = self.redact(text.encode(), place).decode()
            return value if made == text else made
        return value

    def _yaml(self, data: bytes, place: str) -> bytes:
        """Redact YAML so that a value stays a text: a bare `[redacted X]` would be a list."""
        made = self.redact(data, place)
        if made == data:
            return data
        quoted = re.sub(rb"(?m)((?:^[ \t]*-|:)[ \t]+)(\[redacted [\w.-]+\])(?=\s*(?:#.*)?$)", rb'\1"\2"', made)
        return quoted if _is_yaml(quoted) else made


def _after(name: str, match: re.Match[bytes]) -> bytes:
    """Keep what stands before a secret."""
    return match[1] + marker(name).encode()


def _in_place(name: str, match: re.Match[bytes]) -> bytes:
    del match
    return marker(name).encode()


def blocks(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield a file in pieces of whole lines, a private key never cut in two."""
    while block := stream.read(BLOCK):
        block += stream.readline(MAX_LINE)
        begin = block.rfind(b"-----BEGIN ")
        while begin >= 0 and b"-----END " not in block[begin:] and len(block) - begin < MAX_KEY:
            line = stream.readline(MAX_LINE)
            if not line:
                break
            block += line
        yield block


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _is_yaml(text: bytes) -> bool:
    try:
        yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return False
    return True
