#!/usr/bin/env bash
# What a team writes today: build, train, serve, wait, ask, compare, clean up, with Compose and curl alone.
# Usage: by_hand.sh COMPOSE...   (for example: by_hand.sh docker compose)
set -euo pipefail
cd "$(dirname "$0")/../.."
compose=("$@" --project-name by-hand)
trap '"${compose[@]}" down --volumes --timeout 1 >/dev/null 2>&1' EXIT

"${compose[@]}" build >/dev/null 2>&1
"${compose[@]}" run --rm --no-TTY train >/dev/null 2>&1
"${compose[@]}" up --detach --no-deps serve >/dev/null 2>&1
for _ in $(seq 600); do
  curl --silent --fail --output /dev/null http://127.0.0.1:8080/health && break
  sleep 0.05
done

"${compose[@]}" cp serve:/model/model.joblib - | sha256sum >/dev/null
python3 - <<'PYTHON'
import json
import pathlib
import urllib.error
import urllib.request

URL = "http://127.0.0.1:8080/predict"


def ask(body: bytes) -> tuple[int, bytes]:
    request = urllib.request.Request(URL, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


for path in sorted(pathlib.Path("tests/contract").glob("*.json")):
    example = json.loads(path.read_text())
    if isinstance(example, list):  # behavioural tests: their requests are among those below
        continue
    status, body = ask(json.dumps(example["request"]).encode())
    assert status == 200, (path, status, body)
    for expected, received in zip(example["response"]["predictions"], json.loads(body)["predictions"], strict=True):
        assert expected["species"] == received["species"], (path, expected, received)
good = json.dumps(json.loads(pathlib.Path("tests/contract/gentoo.json").read_text())["request"]).encode()
for bad in (good[:-1], b"{}", b'{"instances": []}', b'{"instances": [{"island": 1}]}', b"[]") * 9:
    assert 400 <= ask(bad)[0] < 500, bad
    assert ask(good)[0] == 200
for _ in range(31):  # as many good requests as invariances and behavioural tests are
    assert ask(good)[0] == 200
PYTHON
