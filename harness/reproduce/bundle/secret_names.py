"""Which values of a project are secret, told by the names that they stand under."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# Parts of a name, between underscores, dashes, dots and capital letters. `TOKENS` counts something, a `TOKEN` opens it.
PARTS = frozenset({
    *("token", "secret", "secrets", "password", "passwd", "passphrase", "passwort", "pass", "pw", "pwd", "credential"),
    *("credentials", "creds", "key", "apikey", "keys", "auth", "authorization", "cookie", "dsn", "jwt", "bearer"),
})  # fmt: skip
JOINED = re.compile(r"(secret|password|passwd|credential|api_?key|access_?key|private_?key)s?$|token$", re.IGNORECASE)
# No secrets, though they are called so: paths, what images publish, and switches.
PLAIN = re.compile(
    r"(_|^)(FILE|PATH|DIR|SOCK|NAME|ALGORITHM|TYPE|LENGTH|SIZE|COUNT|LIMIT|TTL|URL_PATH)$|^(GPG_KEY|PWD|OLDPWD)$",
    re.IGNORECASE,
)
CREDENTIALS_PATH = "GOOGLE_APPLICATION_CREDENTIALS"
_SPLIT = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])")
_ASSIGNED = re.compile(r"^-{0,2}([A-Za-z_][\w.-]*)=(.*)$", re.DOTALL)
_OPTION = re.compile(r"^--?([A-Za-z_][\w-]*)$")
TRIVIAL = frozenset({"", "true", "false", "yes", "no", "on", "off", "none", "null", "0", "1"})
# What manuals and images write for a password: replacing these words everywhere would change code and protect nothing.
DEFAULTS = frozenset({
    *("secret", "secrets", "password", "passwd", "postgres", "mysql", "admin", "changeme", "example", "default"),
    *("token", "testing", "docker", "guest", "public", "private", "minioadmin", "string", "dummy", "local"),
})  # fmt: skip
MIN_ANYWHERE = 6  # characters: a shorter value is replaced only where its name stands beside it


@dataclass(frozen=True)
class NamedSecret:
    """One value and the name that it stands under. One that is not `anywhere` is a common word."""

    name: str
    value: str
    anywhere: bool = True


def is_secret_name(name: str) -> bool:
    """Whether a value under this name is nobody else's business."""
    if PLAIN.search(name) or name == CREDENTIALS_PATH:
        return False
    return bool(JOINED.search(name)) or any(part.lower() in PARTS for part in _SPLIT.split(name))


def secrets_in(values: Mapping[str, str | None]) -> Iterator[tuple[str, str]]:
    """Yield name and value of the secrets of an environment, of build arguments, labels or headers."""
    for name, value in values.items():
        if is_secret_name(name) and value is not None and str(value).lower() not in TRIVIAL:
            yield name, str(value)


def secrets_of_words(words: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """Yield the secrets of a command line or of a list such as `Env`: `NAME=value`, `--name=value`, `--name value`."""
    option = ""
    for word in map(str, words):
        if match := _ASSIGNED.match(word):
            yield from secrets_in({match[1]: match[2]})
        elif option and not word.startswith("-"):
            yield from secrets_in({option: word})
        is_option = _OPTION.match(word)
        option = is_option[1] if is_option else ""


def secrets_of_model(tree: Any) -> Iterator[tuple[str, str]]:
    """Yield the secrets of a Compose model, or of what the engine says of an image or a container.

    Looked at are mappings and lists that hold settings; elsewhere a `key` or a `token` is a word of the project.
    """
    if isinstance(tree, list):
        for item in tree:
            yield from secrets_of_model(item)
    if not isinstance(tree, dict):
        return
    for key, value in tree.items():
        if key.lower() in SETTINGS and isinstance(value, dict):
            yield from secrets_in({k: str(v) for k, v in value.items() if isinstance(v, str | int | float)})
        elif key.lower() in SETTINGS and isinstance(value, list):
            yield from secrets_of_words(value)
        else:
            yield from secrets_of_model(value)


SETTINGS = frozenset({
    *("environment", "env", "args", "labels", "command", "entrypoint", "cmd", "healthcheck", "test", "headers"),
    *("hyperparameters", "driver_opts", "options", "sysctls", "annotations"),
})  # fmt: skip


def public_words(tree: Any) -> Iterator[str]:
    """Yield the names and the plain values of a Compose model: a secret that equals one of these is a common word."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield str(key)
            if not is_secret_name(str(key)):
                yield from public_words(value)
    elif isinstance(tree, list):
        for item in tree:
            yield from public_words(item)
    elif isinstance(tree, str):
        yield tree
        yield from re.split(r"[/:@=]", tree)


def collect(pairs: Iterable[tuple[str, str]], model: Any) -> tuple[NamedSecret, ...]:
    """Return the secrets, each value once under the first of its names, the longest values first.

    `POSTGRES_PASSWORD: postgres` is no reason to redact every `postgres`: such a value goes only beside its name.
    """
    words = {word for word in public_words(model) if word.isalpha()}
    found: dict[tuple[str, bool], str] = {}
    for name, value in sorted(set(pairs)):
        anywhere = len(value) >= MIN_ANYWHERE and value not in words and value.lower() not in DEFAULTS
        found.setdefault((value, anywhere) if anywhere else (f"{name}\0{value}", anywhere), name)
    secrets = (NamedSecret(name, key.rpartition("\0")[2], anywhere) for (key, anywhere), name in found.items())
    return tuple(sorted(secrets, key=lambda secret: (-len(secret.value), secret.name, secret.value)))
