"""Where an artifact lies in an OCI registry: `oci://HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]`.

Source of the grammar: OCI distribution specification 1.1, "Pulling manifests" (`<name>`, `<reference>`), and OCI image
specification 1.1, "Descriptors" (digests).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Self

SCHEME = "oci://"
LATEST = "latest"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    r"(?P<host>(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?)"
    rf"/(?P<repository>{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?"
    rf"(?:@(?P<digest>{DIGEST.pattern}))?",
    re.ASCII,
)


@dataclass(frozen=True)
class Reference:
    """A tag or a digest in a repository of a registry."""

    host: str  # with its port, where one is named
    repository: str
    tag: str = LATEST
    digest: str = ""  # where given it says more than the tag
    plain_http: bool = False

    @classmethod
    def parse(cls, text: str, *, plain_http: bool = False) -> Self:
        """Read `oci://HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]`. Raises ValueError.

        HTTP without TLS is spoken where it is asked for, and to this machine itself.
        """
        match = _REFERENCE.fullmatch(text.removeprefix(SCHEME)) if text.startswith(SCHEME) else None
        if match is None:
            raise ValueError(
                f"expected {SCHEME}HOST[:PORT]/REPOSITORY[:TAG], the repository in small letters, received {text!r}"
            )
        host, repository, tag, digest = match["host"], match["repository"], match["tag"], match["digest"]
        return cls(host, repository, tag or LATEST, digest or "", plain_http or _is_loopback(host))

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine itself."""
        return _is_loopback(self.host)

    @property
    def root(self) -> str:
        """The URL of the repository, with a slash at the end."""
        return f"{'http' if self.plain_http else 'https'}://{self.host}/v2/{self.repository}/"

    def __str__(self) -> str:
        return f"{SCHEME}{self.host}/{self.repository}" + (f"@{self.digest}" if self.digest else f":{self.tag}")


def _is_loopback(host: str) -> bool:
    name = host.rpartition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
