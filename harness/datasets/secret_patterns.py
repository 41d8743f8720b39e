"""What secrets look like: patterns that ordinary tables do not fit.

The prefixes are those that the issuers document for their own keys, so that a pattern needs no guess about entropy.
Card numbers: ISO/IEC 7812-1, with Luhn's check digit. Numbers and addresses that are published as examples are none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Pattern:
    """One kind of secret; `hint` is a short part of each match, so that most text is passed over quickly."""

    kind: str
    hint: tuple[bytes, ...]
    expression: re.Pattern[bytes]


def _pattern(kind: str, hint: str, expression: str) -> Pattern:
    return Pattern(kind, tuple(hint.encode().split()), re.compile(expression.encode()))


IN_URL = "password in a URL"
_WORD, _END = r"(?<![A-Za-z0-9_])", r"(?![A-Za-z0-9_])"
KEYS = (
    _pattern("private key", "-----BEGIN", r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"),
    _pattern("AWS access key", "AKIA ASIA", _WORD + r"A[KS]IA[A-Z2-7]{16}" + _END),
    _pattern("Google API key", "AIza", _WORD + r"AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
    _pattern("GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", _WORD + r"gh[pousr]_[A-Za-z0-9]{36}" + _END),
    _pattern("GitHub token", "github_pat_", _WORD + r"github_pat_[A-Za-z0-9_]{82}" + _END),
    _pattern("GitLab token", "glpat-", _WORD + r"glpat-[A-Za-z0-9_-]{20,64}"),
    _pattern("Slack token", "xox", _WORD + r"xox[abeoprs]-[0-9]{8,}-[A-Za-z0-9-]{10,}"),
    _pattern("Stripe key", "_live_", _WORD + r"[rs]k_live_[A-Za-z0-9]{16,}" + _END),
    _pattern("OpenAI key", "sk-", _WORD + r"sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{40,}"),
    _pattern("Anthropic key", "sk-ant-", _WORD + r"sk-ant-[a-z0-9]+-[A-Za-z0-9_-]{40,}"),
    _pattern("Hugging Face token", "hf_", _WORD + r"hf_[A-Za-z]{34}" + _END),
    _pattern("PyPI token", "pypi-AgE", _WORD + r"pypi-AgE[A-Za-z0-9_-]{50,}"),
    _pattern("npm token", "npm_", _WORD + r"npm_[A-Za-z0-9]{36}" + _END),
    _pattern("SendGrid key", "SG.", _WORD + r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])"),
    _pattern("Azure storage key", "AccountKey=", r"AccountKey=[A-Za-z0-9+/]{86}=="),
    _pattern("JSON web token", "eyJ", _WORD + r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}"),
    _pattern(IN_URL, "://", r"[a-z][a-z0-9+]{1,20}://[^\s:/@\"',]{1,64}:[^\s:/@\"',]{3,64}@[a-z0-9.-]+"),
)
EMAIL = re.compile(
    rb"(?<![A-Za-z0-9._%+:/-])[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@((?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24})(?![\w@-])"
)
EXAMPLE_DOMAINS = re.compile(
    r"(^|\.)(example\.(com|org|net|edu)|[^.]+\.(example|test|invalid|local|localhost))$", re.IGNORECASE
)
CARD = re.compile(
    rb"(?<![\w.+-])(?<!\d )(?:\d{4}([ -])\d{4}\1\d{4}\1\d{4}|3[47]\d\d([ -])\d{6}\2\d{5}|\d{13,16})(?![\w.-]| \d)"
)
# Visa, Mastercard, American Express, Discover, with their lengths.
_ISSUER = re.compile(
    r"4(\d{12}|\d{15})|5[1-5]\d{14}|2(22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}|6(011|5\d\d)\d{12}"
)
# Published by payment providers for tests: no account stands behind them.
TEST_CARDS = frozenset({
    *("4111111111111111", "4242424242424242", "4012888888881881", "4000056655665556", "4222222222222"),
    *("5555555555554444", "5105105105105100", "5200828282828210", "2223003122003222"),
    *("378282246310005", "371449635398431", "6011111111111117", "6011000990139424"),
})  # fmt: skip


def _is_example(kind: str, text: str) -> bool:
    """Whether a match is one that manuals print in place of a secret."""
    if kind == "AWS access key":
        return text.endswith("EXAMPLE")
    host = text.rpartition("@")[2]
    return kind == IN_URL and ("${" in text or host in {"localhost", "host"} or bool(EXAMPLE_DOMAINS.search(host)))


def is_card(digits: str) -> bool:
    """Whether an issuer's number has the right check digit (Luhn, US patent 2950048)."""
    if not _ISSUER.fullmatch(digits) or digits in TEST_CARDS or len(set(digits)) <= 2:  # noqa: PLR2004
        return False
    doubled = [int(d) * 2 for d in digits[-2::-2]]
    return (sum(map(int, digits[-1::-2])) + sum(d - 9 if d > 9 else d for d in doubled)) % 10 == 0  # noqa: PLR2004


def issued(digits: str) -> bool:
    """Whether digits have a prefix and a length that an issuer of cards uses."""
    return bool(_ISSUER.fullmatch(digits))


def keys(text: bytes) -> Iterator[tuple[int, str, str]]:
    """Yield the place, the kind and the text of each key."""
    for pattern in KEYS:
        if any(hint in text for hint in pattern.hint):
            for match in pattern.expression.finditer(text):
                found = match[0].decode("ascii", "replace")
                if not _is_example(pattern.kind, found):
                    yield match.start(), pattern.kind, found


def hidden(text: str) -> str:
    """Return a text of which a few characters are left: enough to find it, too few to use it."""
    return f"{text[:4]}...({len(text)} characters)"
