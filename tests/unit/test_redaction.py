"""Redaction: no secret leaves the machine, and what it stood in stays what it was."""

from __future__ import annotations

import base64
import io
import json
import os
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from harness.reproduce.bundle.redaction import Redactor, is_credential_file, is_env_file
from harness.reproduce.bundle.secret_names import (
    collect,
    is_secret_name,
    secrets_in,
    secrets_of_model,
    secrets_of_words,
)

VALUE = 'pa$$/w"ö rd+1'
GITHUB = "ghp_" + "a1B2" * 9


def _redactor(value: str = VALUE, name: str = "DB_PASSWORD", model: Any = None) -> Redactor:
    return Redactor(collect([(name, value)], model or {}))


def _file(redactor: Redactor, text: bytes, place: str) -> bytes:
    return b"".join(redactor.redact_file(io.BytesIO(text), place))


@pytest.mark.parametrize(
    "name",
    [
        *("API_KEY", "apiKey", "HF_TOKEN", "DB_PASSWORD", "PGPASSWORD", "MYSQL_PWD", "AWS_SECRET_ACCESS_KEY"),
        *("clientSecret", "X-Api-Key", "Authorization", "Cookie", "SENTRY_DSN", "my.credentials", "SSH_KEY", "apikey"),
    ],
)
def test_names_of_secrets(name: str) -> None:
    """What is called a token, a password, a key or a credential is one."""
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("SEED", "OMP_NUM_THREADS", "MAX_TOKENS", "TOKENIZERS_PARALLELISM", "KEYBOARD", "MONKEY", "PWD", "PATH"),
        *("GPG_KEY", "SSH_AUTH_SOCK", "POSTGRES_PASSWORD_FILE", "AUTHOR", "PASSENGERS", "COMPASS", "BASE_IMAGE"),
    ],
)
def test_names_of_no_secrets(name: str) -> None:
    """What is only called alike, a path, and what images publish, is none."""
    assert not is_secret_name(name)


def test_trivial_values() -> None:
    """An empty value or a switch is nobody's secret."""
    assert list(secrets_in({"AUTH": "true", "KEY": "", "TOKEN": "0", "SECRET": "None", "PASSWORD": None})) == []


def test_command_lines() -> None:
    """A secret in a command line is found by its option, in a list of variables by its name."""
    words = ["serve", "--api-key=abcdefgh", "--token", "ijklmnop", "-v", "DB_PASSWORD=a=b", "--password", "--x"]
    assert list(secrets_of_words(words)) == [
        ("api-key", "abcdefgh"),
        ("token", "ijklmnop"),
        ("DB_PASSWORD", "a=b"),
    ]


def test_models() -> None:
    """Environment, build arguments, labels and `Env` are looked into; a feature called `token` is no secret."""
    model = {
        "services": {
            "serve": {
                "environment": {"API_KEY": "aaaaaaaa", "SEED": "7"},
                "build": {"args": {"NPM_TOKEN": "bbbbbbbb"}},
            }
        },
        "Config": {"Env": ["PASSWORD=cccccccc"], "Labels": {"secret": "dddddddd"}},
        "request": {"token": "the first word"},
        "NetworkSettings": {"SandboxKey": "/var/run/docker/netns/1"},
    }
    assert sorted(value for _, value in secrets_of_model(model)) == ["aaaaaaaa", "bbbbbbbb", "cccccccc", "dddddddd"]


@pytest.mark.parametrize(
    "spelled",
    [
        VALUE,
        json.dumps(VALUE)[1:-1],
        json.dumps(VALUE, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps({"a": VALUE}))[1:-1],
        quote(VALUE, safe=""),
        quote(VALUE),
        VALUE.replace("$", "$$"),
        base64.b64encode(VALUE.encode()).decode(),
        base64.b64encode(f"user:{VALUE}".encode()).decode(),
        base64.b64encode(f"u:{VALUE}".encode()).decode(),
        base64.b64encode(f"us:{VALUE}".encode()).decode(),
        base64.urlsafe_b64encode(VALUE.encode()).decode(),
    ],
)
def test_spellings(spelled: str) -> None:
    """A value is found however it is escaped: in JSON, in JSON in JSON, in URLs, in Compose, in Base64."""
    redactor = _redactor()
    made = redactor.redact(f"before {spelled} after".encode(), "run/log.txt").decode()
    assert spelled not in made
    assert "[redacted DB_PASSWORD]" in made
    assert made.startswith("before ")
    assert made.endswith(" after")
    assert redactor.places == {"DB_PASSWORD": {"run/log.txt"}}


def test_a_text_without_secrets() -> None:
    """What holds no secret stays byte for byte, broken Unicode included."""
    content = bytes(range(1, 256)) * 10
    redactor = _redactor()
    assert _file(redactor, content, "run/exchanges.ndjson") == content
    assert redactor.places == {}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (f"using {GITHUB} now", "GITHUB_TOKEN"),
        ("http_proxy=http://bob:hunter2@proxy.corp:3128/", "URL_CREDENTIALS"),
        ("redis://:hunter2@localhost:6379/0", "URL_CREDENTIALS"),
        ("https://0123456789abcdef0123@git.corp/x", "URL_CREDENTIALS"),
        ("Authorization: Bearer abc.def-ghi", "AUTHORIZATION"),
        ('"headers": {"authorization": "Basic dXNlcjpwYXNz"}', "AUTHORIZATION"),
        ("-----BEGIN RSA PRIVATE KEY-----\nAAAA\nBBBB\n-----END RSA PRIVATE KEY-----", "PRIVATE_KEY"),
    ],
)
def test_what_keys_look_like(text: str, name: str) -> None:
    """Known tokens, credentials in URLs and headers, and private keys are redacted whatever they are called."""
    redactor = Redactor()
    made = redactor.redact(text.encode(), "p").decode()
    assert f"[redacted {name}]" in made
    for word in ("hunter2", GITHUB, "abc.def", "dXNl", "AAAA", "0123456789abcdef0123"):
        assert word not in made
    assert set(redactor.places) == {name}


@pytest.mark.parametrize(
    "text",
    ["http://127.0.0.1:8080/predict", "postgres://app:${DB_PASSWORD}@db/x", "git@host:a/b", "a: b@c", "ssh://git@h/x"],
)
def test_what_is_no_key(text: str) -> None:
    """An address without a password, and one that takes it from a variable, stay."""
    assert Redactor().redact(text.encode(), "p") == text.encode()


def test_a_private_key_is_never_cut() -> None:
    """A key that lies across two pieces of a large file is replaced whole."""
    key = b"-----BEGIN PRIVATE KEY-----\n" + b"QUJD\n" * 40 + b"-----END PRIVATE KEY-----\n"
    for lead in range(2**20 - 400, 2**20 + 100, 50):
        content = b"x\n" * (lead // 2) + key + b"after\n"
        made = b"".join(Redactor().redact_file(io.BytesIO(content), "log.txt"))
        assert b"QUJD" not in made
        assert made.endswith(b"[redacted PRIVATE_KEY]\nafter\n")


def test_json_stays_json() -> None:
    """A secret that is a number, or part of one, leaves valid JSON."""
    redactor = _redactor("12345678", "PIN_KEY")
    made = _file(redactor, b'{"pin": 12345678, "text": "12345678", "list": [1.12345678]}', "run/x.json")
    assert b"12345678" not in made
    assert json.loads(made)["text"] == "[redacted PIN_KEY]"


def test_json_lines_stay_json_lines() -> None:
    """Every line stays a line of JSON; those without a secret stay byte for byte."""
    first = b'{"a":  1}\n'
    made = _file(
        _redactor("12345678", "PIN_KEY"), first + b'{"pin": 12345678}\n{"b": "x12345678"}', "run/exchanges.ndjson"
    )
    lines = made.splitlines(keepends=True)
    assert lines[0] == first
    assert [json.loads(line) for line in lines] == [
        {"a": 1},
        {"pin": "[redacted PIN_KEY]"},
        {"b": "x[redacted PIN_KEY]"},
    ]


@pytest.mark.parametrize(
    "text",
    [
        "environment:\n  DB_PASSWORD: s3cr3t-value\n",
        "environment:\n  DB_PASSWORD: 's3cr3t-value'\n",
        'environment:\n  DB_PASSWORD: "s3cr3t-value"  # ours\n',
        "environment:\n  DB_PASSWORD: s3cr3t-value # ours\n",
    ],
)
def test_yaml_stays_what_it_was(text: str) -> None:
    """The value in a Compose file stays a text: a bare `[redacted X]` would be a list."""
    made = _file(_redactor("s3cr3t-value"), text.encode(), "project/compose.yaml")
    assert yaml.safe_load(made) == {"environment": {"DB_PASSWORD": "[redacted DB_PASSWORD]"}}


def test_yaml_lists() -> None:
    """`NAME=value` in a list stays a text too."""
    made = _file(_redactor("s3cr3t-value"), b"environment:\n- DB_PASSWORD=s3cr3t-value\n- s3cr3t-value\n", "c.yml")
    assert yaml.safe_load(made)["environment"] == ["DB_PASSWORD=[redacted DB_PASSWORD]", "[redacted DB_PASSWORD]"]


def test_a_common_word_goes_beside_its_name_only() -> None:
    """`POSTGRES_PASSWORD: postgres` does not redact every `postgres`; the password itself goes."""
    model = {"services": {"db": {"image": "postgres:16"}}}
    redactor = _redactor("postgres", "POSTGRES_PASSWORD", model)
    text = (
        b"image: postgres:16\nPOSTGRES_PASSWORD: postgres\n"
        b'{"POSTGRES_PASSWORD": "postgres"}\nPOSTGRES_PASSWORD=postgres'
    )
    made = redactor.redact(text, "p")
    assert made.startswith(b"image: postgres:16\n")
    assert made.count(b"[redacted POSTGRES_PASSWORD]") == 3
    assert made.count(b"postgres") == 1


def test_a_short_value_goes_beside_its_name_only() -> None:
    """A password of three letters is replaced where its name stands, and nowhere else."""
    made = _redactor("abc", "ROOT_PASSWORD").redact(b'abc ROOT_PASSWORD=abc {"ROOT_PASSWORD": "abc"} abcd', "p")
    assert made == b'abc ROOT_PASSWORD=[redacted ROOT_PASSWORD] {"ROOT_PASSWORD": "[redacted ROOT_PASSWORD]"} abcd'


def test_a_word_is_no_part_of_another() -> None:
    """A password of letters is replaced as a word; a default that manuals print only beside its name."""
    made = _redactor("swordfish").redact(b"swordfish swordfishes /swordfish", "p")
    assert made == b"[redacted DB_PASSWORD] swordfishes /[redacted DB_PASSWORD]"
    made = _redactor("secret").redact(b"import secrets; secret = DB_PASSWORD=secret", "p")
    assert made == b"import secrets; secret = DB_PASSWORD=[redacted DB_PASSWORD]"


@pytest.mark.parametrize("lead", [0, 4 * 2**20 - 5, 4 * 2**20])
def test_bytes_that_hold_a_secret(lead: int) -> None:
    """A secret in bytes is found wherever it lies, across two pieces too."""
    redactor = _redactor("s3cr3t-value")
    assert redactor.holds(io.BytesIO(b"\0" * lead + b"s3cr3t-value")) == "DB_PASSWORD"
    assert redactor.holds(io.BytesIO(b"\0" * lead + b"s3cr3t-valu")) is None


def test_env_files() -> None:
    """In a file of variables every secret goes by its name, known or not; the others stay."""
    redactor = Redactor()
    made = _file(redactor, b"SEED=7\nexport API_KEY='xyz'\n# a note\nEMPTY_TOKEN=\n", "project/prod.env")
    assert made == b"SEED=7\nexport API_KEY=[redacted API_KEY]\n# a note\nEMPTY_TOKEN=\n"
    assert redactor.places == {"API_KEY": {"project/prod.env"}}


def test_files_by_name() -> None:
    """Files of variables and credentials are known by their names."""
    assert all(map(is_env_file, (".env", "a/.env", ".env.local", "a/prod.env")))
    assert not any(map(is_env_file, ("env.py", "a.environment", "environment.json")))
    credentials = (".netrc", "a/.npmrc", "id_rsa", "x/server.key", "a/.docker/config.json", "ca.pem")
    assert all(map(is_credential_file, credentials))
    assert not any(map(is_credential_file, ("keys.py", "monkey", "key.txt", "docker/config.json")))


def test_random_secrets_never_survive() -> None:
    """Whatever bytes a token has, no form of it is left in JSON that holds it."""
    for seed in range(200):
        value = base64.b85encode(os.urandom(6 + seed % 20)).decode()
        redactor = _redactor(value, "TOKEN")
        document = {"env": [f"TOKEN={value}"], "log": f"got {value}!", "body": json.dumps({"t": value})}
        made = _file(redactor, json.dumps(document, indent=1).encode(), "run/x.json")
        assert value not in json.loads(made)["log"]
        assert value not in json.loads(json.loads(made)["body"])["t"]
        assert json.loads(made)["env"] == ["TOKEN=[redacted TOKEN]"]
