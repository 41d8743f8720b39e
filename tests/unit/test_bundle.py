"""Packing a run: what goes in, what stays out and why, and that a bundle opens as what was packed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

import builders
import pytest

from harness.cli import main
from harness.engine import Engine
from harness.errors import DescriptionError
from harness.evidence.records import Contract, Ending, Evidence, Finding, Selection, Status
from harness.evidence.run_folder import RunFolder
from harness.reproduce.bundle import Bundle, Packed, open_bundle, pack, place_of
from harness.reproduce.bundle.failing import failing_exchanges
from harness.reproduce.bundle.origin import arguments_of

SECRET = "correct-horse-battery"
COMPOSE = """\
name: demo
services:
  train:
    build: {context: ., args: [BASE_IMAGE, NPM_TOKEN]}
    environment: {SEED: "7", API_KEY: "${API_KEY}"}
    env_file: [prod.env]
  serve: {image: demo-serve, environment: [DB_PASSWORD]}
x-harness: {version: 1}
"""
FILES = {
    "compose.yaml": COMPOSE,
    ".env": f"BASE_IMAGE=python:3\nAPI_KEY={SECRET}\nUNUSED=1\n",
    "prod.env": "MODE=fast\nSESSION_SECRET=q\n",
    "Dockerfile": "FROM python:3\nCOPY . /\n",
    ".dockerignore": "left-out\n",
    "train.py": "print(1)\n",
    "left-out/big.bin": "x",
    "requirements.txt": "a==1\n",
    "wheels/a-1.whl": "wheel",
    "wheels/.requirements.sha256": "x",
    "data/train.csv": "x,y\n1,2\n",
    "schema.yaml": "columns: {}\n",
    "t.csv": "x,expect:y\n",
    "holdout.csv": "x,kind\n",
    "contract/one.json": "{}",
    "harness.lock": "{}",
    "id_rsa": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    "token.txt": f"{SECRET}\n",
    "secret.txt": "the one that Compose mounts",
}
MODEL: dict[str, Any] = {
    "services": {
        "train": {
            "build": {"context": "ROOT", "args": {"BASE_IMAGE": "python:3", "NPM_TOKEN": "npm-token-value"}},
            "environment": {"SEED": "7", "API_KEY": SECRET, "MODE": "fast", "SESSION_SECRET": "q"},
        },
        "serve": {"environment": {"DB_PASSWORD": "demo"}},
    },
    "secrets": {"mounted": {"file": "ROOT/secret.txt"}},
}


def _rooted(value: Any, root: Path) -> Any:
    return json.loads(json.dumps(value).replace("ROOT", str(root)))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a failed run in it, some of whose files hold secrets."""
    root = tmp_path / "project"
    builders.write_files(root, FILES)
    return root


def _spec(root: Path, **block: Any) -> Any:
    wheels = {"wheels": {"requirements.txt": "wheels"}, **block}
    return builders.spec(wheels, _rooted(MODEL, root), root=root, files=(root / "compose.yaml",))


def _contract() -> Contract:
    """What a good service answers, but for the body of 4 MiB: to pack that takes longer than all else."""
    whole = builders.contract()
    return replace(whole, exchanges=tuple(each for each in whole.exchanges if len(each.request) < 2**20))


def _run(root: Path, **changes: Any) -> RunFolder:
    good = {"spec": _spec(root), "contract": _contract(), "end": Ending(1, "judged")}
    whole = builders.evidence(**{**good, **changes})
    folder = RunFolder.create(root)
    for field in fields(Evidence):
        if (record := getattr(whole, field.name)) is not None:
            folder.write(field.name, record)
    folder.write_findings([Finding(Status.FAIL, "/x: 1", "one: status 200", "Mend it.", "contract.examples")])
    folder.write_text("train/log.txt", f"using {SECRET}\nepoch 1")
    folder.write_json("train/inspect.json", {"Config": {"Env": [f"API_KEY={SECRET}", "PATH=/bin"]}})
    builders.write_files(folder.path, {"artifact/model.bin": "model", "trainings/again/artifact/m": "m"})
    return folder


def _bundle(packed: Packed, into: Path) -> Bundle:
    return open_bundle(packed.path, into)


def _all(bundle: Bundle) -> dict[str, bytes]:
    files = sorted(path for path in bundle.path.rglob("*") if path.is_file())
    return {path.relative_to(bundle.path).as_posix(): path.read_bytes() for path in files}


def test_what_is_packed_opens_again(project: Path, tmp_path: Path) -> None:
    """The evidence comes back equal, and the project's files lie at the same places."""
    folder = _run(project, contract=builders.contract())
    packed = pack(folder, project, environ={})
    assert packed.path == project / f".harness/bundles/{folder.id}.harness.tar.gz"
    assert packed.size == packed.path.stat().st_size
    bundle = _bundle(packed, tmp_path / "into")
    assert bundle.manifest == packed.manifest
    evidence, original = bundle.run.load(), folder.load()
    assert evidence.contract == original.contract
    assert evidence.train == original.train
    assert bundle.run.findings() == folder.findings()
    for name in ("train.py", "Dockerfile", ".dockerignore", "data/train.csv", "holdout.csv", "harness.lock"):
        assert (bundle.project / name).read_bytes() == (project / name).read_bytes(), name
    assert not (bundle.project / "left-out").exists()
    assert bundle.manifest.compose_files == ("compose.yaml",)
    assert bundle.manifest.command == ("harness", "run")
    assert bundle.manifest.data == "data"
    assert bundle.manifest.images["train"].diff_ids == builders.built().diff_ids


def test_equal_content_gives_equal_bytes(project: Path, tmp_path: Path) -> None:
    """Neither the time nor the owner nor the place of the file is in a bundle; another content is."""
    folder = _run(project)
    first = pack(folder, project, tmp_path / "a.tar.gz", environ={}).path.read_bytes()
    for path in project.rglob("*"):
        os.utime(path, (1, 1))
    assert pack(folder, project, tmp_path / "b/c.tar.gz", environ={}).path.read_bytes() == first
    (project / "train.py").write_text("print(2)\n", encoding="utf-8")
    assert pack(folder, project, tmp_path / "d.tar.gz", environ={}).path.read_bytes() != first


def test_a_plain_tar_opens_it(project: Path, tmp_path: Path) -> None:
    """A bundle needs no harness: any tar takes it, the manifest first, the others by name."""
    packed = pack(_run(project), project, environ={})
    with tarfile.open(packed.path) as archive:
        names = archive.getnames()
        assert {(m.uid, m.gid, m.mtime, m.isreg()) for m in archive.getmembers()} == {(0, 0, 315532800, True)}
    assert names[0] == "bundle.json"
    assert names[1:] == sorted(names[1:])
    tar = shutil.which("tar")
    assert tar is not None
    subprocess.run([tar, "xzf", str(packed.path), "-C", str(tmp_path)], check=True)
    assert (tmp_path / "README.md").is_file()


def test_no_secret_leaves_the_machine(project: Path, tmp_path: Path) -> None:
    """Not one byte of a secret is in any file: of the environment, of `.env`, of Compose, of a container."""
    folder = _run(project)
    folder.write_text("serve/log.txt", "sent host-token-123 to https://u:pass-word@x.org and c2Fs npm-token-value")
    packed = pack(folder, project, environ={"CI_JOB_TOKEN": "host-token-123", "HOME": "/root"})
    bundle = _bundle(packed, tmp_path / "into")
    for name, content in _all(bundle).items():
        for secret in (SECRET, "host-token-123", "pass-word", "npm-token-value", "AAAA", "the one that Compose mounts"):
            assert secret.encode() not in content, (name, secret)
    redacted = {each.name: each.places for each in bundle.manifest.redactions}
    assert {"API_KEY", "CI_JOB_TOKEN", "NPM_TOKEN", "URL_CREDENTIALS"} <= set(redacted)
    assert "run/train/log.txt" in redacted["API_KEY"]
    assert "run/spec.json" in redacted["API_KEY"]
    assert "project/token.txt" in redacted["API_KEY"]
    assert bundle.run.load().spec.model["services"]["train"]["environment"]["API_KEY"] == "[redacted API_KEY]"
    assert (bundle.run.path / "train/log.txt").read_text(encoding="utf-8") == "using [redacted API_KEY]\nepoch 1\n"
    readme = (bundle.path / "README.md").read_text(encoding="utf-8")
    assert "- API_KEY: " in readme


def test_weak_secrets_go_by_their_names(project: Path, tmp_path: Path) -> None:
    """A password that is a common word goes where its name stands, and the word stays elsewhere."""
    bundle = _bundle(pack(_run(project), project, environ={}), tmp_path / "into")
    spec = bundle.run.load().spec
    assert spec.model["services"]["serve"]["environment"]["DB_PASSWORD"] == "[redacted DB_PASSWORD]"
    assert spec.model["services"]["train"]["environment"]["SESSION_SECRET"] == "[redacted SESSION_SECRET]"
    assert spec.project == "demo"


def test_variables_of_the_compose_file(project: Path, tmp_path: Path) -> None:
    """`.env` is written anew: what the Compose files take, secrets apart, the environment before the file."""
    packed = pack(
        _run(project), project, environ={"BASE_IMAGE": "python:4", "OTHER": "x", "NPM_TOKEN": "npm-token-value"}
    )
    bundle = _bundle(packed, tmp_path / "into")
    text = (bundle.project / ".env").read_text(encoding="utf-8")
    assert text == "API_KEY='[redacted API_KEY]'\nBASE_IMAGE=python:4\nNPM_TOKEN='[redacted NPM_TOKEN]'\n"
    assert (bundle.project / "prod.env").read_text(encoding="utf-8") == (
        "MODE=fast\nSESSION_SECRET=[redacted SESSION_SECRET]\n"
    )


def test_requests_with_a_secret_are_said_to_be_changed(project: Path, tmp_path: Path) -> None:
    """Requests and answers are byte for byte those of the run, or the README says that they are not."""
    folder = _run(project)
    plain = _bundle(pack(folder, project, environ={}), tmp_path / "plain")
    assert (plain.run.path / "exchanges.ndjson").read_bytes() == (folder.path / "exchanges.ndjson").read_bytes()
    said = "not byte for byte"
    assert said not in (plain.path / "README.md").read_text(encoding="utf-8")
    body = json.dumps({"key": SECRET}).encode()
    folder.write("contract", builders.contract(builders.exchange(body={"k": SECRET}, request=body)))
    changed = _bundle(pack(folder, project, environ={}), tmp_path / "changed")
    exchange = changed.run.load().contract
    assert exchange is not None
    assert exchange.exchanges[0].request == b'{"key": "[redacted API_KEY]"}'
    assert said in (changed.path / "README.md").read_text(encoding="utf-8")


def test_what_stays_out_is_named(project: Path) -> None:
    """Wheels, artifacts, credentials: each with the reason and how to get it, with its hash where that may be told."""
    manifest = pack(_run(project), project, environ={}).manifest
    absent = {each.path: each for each in manifest.absent}
    assert "harness setup" in absent["project/wheels/a-1.whl"].how
    assert absent["project/wheels/a-1.whl"].sha256
    assert "artifact" in absent["run/artifact/model.bin"].why
    assert "artifact" in absent["run/trainings/again/artifact/m"].why
    assert absent["project/id_rsa"].sha256 is None
    assert absent["project/secret.txt"].sha256 is None
    assert not set(absent) & set(manifest.files)


def test_the_artifact_on_request(project: Path, tmp_path: Path) -> None:
    """With `artifact` it is in the bundle."""
    bundle = _bundle(pack(_run(project), project, artifact=True, environ={}), tmp_path / "into")
    assert (bundle.run.path / "artifact/model.bin").read_text(encoding="utf-8") == "model"


def test_large_files_stay_out(project: Path) -> None:
    """A file above its part of the limit is named with its hash; with a larger limit it is in."""
    (project / "data/big.csv").write_text("x\n" * 600_000, encoding="utf-8")
    folder = _run(project, data=builders.data(dvc=()))
    absent = {each.path: each for each in pack(folder, project, environ={}).manifest.absent}
    assert absent["project/data/big.csv"].size == 1_200_000
    assert "--limit" in absent["project/data/big.csv"].how
    assert "limit" in absent["project/data/big.csv"].why
    packed = pack(folder, project, limit=64 * 2**20, environ={})
    assert "project/data/big.csv" in packed.manifest.files


def test_a_tracked_dataset_says_how_to_get_it(project: Path) -> None:
    """Of a dataset that DVC tracks the manifest says which pointer to pull."""
    (project / "data/big.csv").write_text("x\n" * 600_000, encoding="utf-8")
    (project / "data.dvc").write_text("outs: []\n", encoding="utf-8")
    manifest = pack(_run(project), project, environ={}).manifest
    absent = {each.path: each for each in manifest.absent}
    assert absent["project/data/big.csv"].how.startswith("`dvc pull data.dvc`")
    assert "project/data.dvc" in manifest.files


def test_the_limit_of_all_files(project: Path) -> None:
    """The records of the run come first; what no longer fits is named."""
    packed = pack(_run(project, contract=builders.contract()), project, limit=400_000, environ={})
    assert "run/spec.json" in packed.manifest.files
    assert sum(entry.size for entry in packed.manifest.files.values()) < 500_000
    tiny = pack(_run(project), project, limit=1000, environ={})
    assert "project/train.py" in {each.path for each in tiny.manifest.absent} | set(tiny.manifest.files)
    assert "run/contract.json" in {each.path for each in tiny.manifest.absent}


def test_links_and_strange_names(project: Path, tmp_path: Path) -> None:
    """A link in the project becomes the file that it leads to; one that leads out, and a strange name, stay out."""
    (project / "link.py").symlink_to("train.py")
    (project / "passwd").symlink_to("/etc/passwd")
    (project / "bad\nname").write_text("x", encoding="utf-8")
    (project / "go.sh").write_text("#!/bin/sh\n", encoding="utf-8")
    (project / "go.sh").chmod(0o755)
    (project / "empty").mkdir()
    os.mkfifo(project / "pipe")
    bundle = _bundle(pack(_run(project), project, environ={}), tmp_path / "into")
    assert (bundle.project / "link.py").read_text(encoding="utf-8") == "print(1)\n"
    assert not (bundle.project / "link.py").is_symlink()
    absent = {each.path: each for each in bundle.manifest.absent}
    assert absent["project/passwd"].how == "ln -s '/etc/passwd' 'passwd'"
    assert "control characters" in absent["project/bad\nname"].why
    assert os.access(bundle.project / "go.sh", os.X_OK)
    assert (bundle.project / "empty").is_dir()
    assert not (bundle.project / "pipe").exists()


def test_a_binary_file_with_a_secret(project: Path) -> None:
    """A file that is no text cannot be redacted: it stays out."""
    (project / "cache.bin").write_bytes(b"\0" * 100 + SECRET.encode())
    (project / "good.bin").write_bytes(b"\0" * 100)
    manifest = pack(_run(project), project, environ={}).manifest
    absent = {each.path: each for each in manifest.absent}
    assert "holds the secret API_KEY" in absent["project/cache.bin"].why
    assert absent["project/cache.bin"].sha256 is None
    assert "project/good.bin" in manifest.files


def test_a_project_that_has_moved(project: Path, tmp_path: Path) -> None:
    """An old run is packed from where its project is now."""
    folder = _run(project)
    moved = project.rename(tmp_path / "elsewhere")
    bundle = _bundle(pack(RunFolder(moved / ".harness/runs" / folder.id), moved, environ={}), tmp_path / "into")
    assert (bundle.project / "train.py").is_file()


def test_an_incomplete_run(project: Path, tmp_path: Path) -> None:
    """A run that ended early, or lost files, is packed with what it has; one without its description is refused."""
    none = dict.fromkeys(("images", "data", "train", "artifact", "serve", "contract", "quality", "fuzz", "lock"))
    folder = _run(project, **none)
    (folder.path / "environment.json").write_text("{", encoding="utf-8")
    (folder.path / "findings.json").write_text("{", encoding="utf-8")
    bundle = _bundle(pack(folder, project, environ={}), tmp_path / "into")
    assert (bundle.run.path / "environment.json").read_text(encoding="utf-8") == "{"
    (folder.path / "spec.json").unlink()
    with pytest.raises(DescriptionError, match=r"spec\.json"):
        pack(folder, project, environ={})


def test_a_run_against_a_service_elsewhere(project: Path, tmp_path: Path) -> None:
    """A run that started no container is packed too: its README sends the requests."""
    spec = replace(_spec(project), model={}, files=(), train_key="", serve_key="")
    bundle = _bundle(pack(_run(project, spec=spec), project, environ={}), tmp_path / "into")
    readme = (bundle.path / "README.md").read_text(encoding="utf-8")
    assert "docker" not in readme
    assert '"$URL/predict"' in readme


class _Images:
    """An engine that has one of the two images, under a name that means another one now."""

    def image(self, reference: str) -> dict[str, str] | None:
        known = {"demo-train": {"Id": "sha256:new"}, "sha256:" + "1" * 64: {"Id": "sha256:" + "1" * 64}}
        return known.get(reference)

    def save(self, reference: str, target: Any) -> None:
        target.write(b"\0layers of " + reference.encode())


def test_a_name_with_a_secret(project: Path) -> None:
    """A file that is called like a secret stays out, and the manifest does not tell its name."""
    (project / f"{SECRET}.txt").write_text("x", encoding="utf-8")
    packed = pack(_run(project), project, environ={})
    assert SECRET.encode() not in packed.manifest.to_json()
    absent = {each.path: each.why for each in packed.manifest.absent}
    assert absent["project/[redacted API_KEY].txt"] == "its name holds a secret"


def test_an_image_with_a_secret(project: Path) -> None:
    """An image cannot be redacted: one that holds a secret stays out."""
    token = "sha256:" + "1" * 64  # what the engine of this test writes into its images
    manifest = pack(_run(project), project, images=cast("Engine", _Images()), environ={"X_TOKEN": token}).manifest
    absent = {each.path: each for each in manifest.absent}
    assert absent["images/train.tar"].why == "it holds the secret X_TOKEN"
    assert manifest.images["train"].file is None


def test_images_on_request(project: Path, tmp_path: Path) -> None:
    """With images each is a file that the engine saved, by its ID where its name means another one by now."""
    serve = builders.built("serve", id="sha256:gone")
    folder = _run(project, images=builders.images(images=(builders.built(), serve)))
    packed = pack(folder, project, images=cast("Engine", _Images()), environ={})
    bundle = _bundle(packed, tmp_path / "into")
    assert set(bundle.images) == {"train"}
    assert bundle.images["train"].read_bytes() == b"\0layers of sha256:" + b"1" * 64
    assert "images/serve.tar" in {each.path for each in bundle.manifest.absent}
    readme = (bundle.path / "README.md").read_text(encoding="utf-8")
    assert "docker load --input images/train.tar" in readme


def test_the_readme_reproduces(project: Path, tmp_path: Path) -> None:
    """The README names each step in a block of `sh`, and the request is in a file byte for byte."""
    bundle = _bundle(pack(_run(project), project, environ={}), tmp_path / "into")
    readme = (bundle.path / "README.md").read_text(encoding="utf-8")
    steps = (
        "compose.json build",
        "docker cp project/data/.",
        "run --no-TTY",
        "up --detach serve",
        "curl ",
        "down --volumes",
    )
    assert [step for step in steps if step not in readme] == []
    model = json.loads((bundle.path / "compose.json").read_text(encoding="utf-8"))
    train = model["services"]["train"]
    assert train["build"]["context"] == "./project"
    assert train["build"]["args"]["BASE_IMAGE"] == "${BASE_IMAGE:-python:3}"
    assert train["environment"]["API_KEY"] == "${API_KEY:-[redacted API_KEY]}"
    assert str(project) not in json.dumps(model)
    assert "harness." not in json.dumps(model)
    contract = bundle.run.load().contract
    assert contract is not None
    assert (bundle.path / "requests/01.body").read_bytes() == contract.exchanges[0].request


def _failed(check: str, expected: str = "", received: str = "") -> Finding:
    return Finding(Status.FAIL, received, expected, "", check)


@pytest.mark.parametrize(
    ("finding", "cases"),
    [
        (_failed("contract.examples", "two: status 200"), ["example:two"]),
        (_failed("contract.finite", received="single:one:0: NaN in status 200"), ["single:one:0"]),
        (_failed("images.pinned", received="example:two"), []),
        (Finding(Status.PASS, "example:two", check="contract.finite"), []),
    ],
)
def test_failing_exchanges(finding: Finding, cases: list[str]) -> None:
    """The requests that a failed check speaks of are those to send again; no others where it names some."""
    contract = builders.contract(builders.exchange("single:one:0"))
    found = failing_exchanges(builders.evidence(contract=contract), [finding])
    assert [exchange.case for exchange in found] == cases


def test_failing_exchanges_without_a_name() -> None:
    """Where a failed check names no request, those that got no good answer stand for it."""
    contract = builders.contract(builders.exchange("recovers:x", 500), builders.exchange("again:1", None))
    found = failing_exchanges(builders.evidence(contract=contract), [_failed("contract.recovers", "all", "one")])
    assert {exchange.case for exchange in found} == {"recovers:x", "again:1"}


def test_the_call_is_told_again() -> None:
    """The selection of a run becomes the options that made it."""
    selection = Selection(("contract.*",), ("contract.load",), fast=True, deep=True, seed=4, budget=2.5)
    expected = "--only contract.* --skip contract.load --fast --deep --seed 4 --budget 2.5s"
    assert arguments_of(selection) == expected.split()
    assert arguments_of(Selection()) == arguments_of(None) == []


def _main(*argv: str) -> int:
    return main.main(list(argv))


def test_the_verb(project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`harness bundle` packs an old run, and says where it lies, what was redacted, and how to replay it."""
    monkeypatch.setenv("GITHUB_ACTIONS", "false")
    folder = _run(project)
    assert _main("bundle", "--project", str(project), folder.id) == 0
    out = capsys.readouterr().out
    assert f"replay:   harness replay {place_of(folder)}" in out
    assert "redacted: API_KEY in " in out
    assert "left out: project/wheels/a-1.whl" in out
    assert place_of(folder).is_file()


def test_the_verb_refuses(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that is not there, and a size that is none, are refused with exit code 2."""
    assert _main("bundle", "--project", str(project), "nothing") == 2
    with pytest.raises(SystemExit) as caught:
        _main("bundle", "--limit", "many")
    assert caught.value.code == 2
    assert "expected a size such as" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("case", "packed"),
    [
        ((1,), True),
        ((3,), True),
        ((0,), False),
        ((130,), False),
        ((0, "--bundle"), True),
        ((1, "--no-bundle"), False),
    ],
)
def test_when_a_run_is_packed(
    project: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    case: tuple[Any, ...],
    packed: object,
) -> None:
    """A run that failed is packed, one that passed on request alone; the exit code stays that of the run."""
    code, *options = case
    folder = _ending(project, monkeypatch, code)
    assert _main("run", "--project", str(project), *options) == code
    out = capsys.readouterr().out
    assert place_of(folder).exists() is packed
    assert ("replay:   harness replay" in out) is packed


def test_a_bundle_that_fails_is_no_failure_of_the_run(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no bundle can be written that is said, and the exit code stays that of the run."""
    folder = _ending(project, monkeypatch, 1)
    place_of(folder).parent.write_text("in the way", encoding="utf-8")
    assert _main("run", "--project", str(project)) == 1
    assert "bundle:   none was packed: " in capsys.readouterr().out


def test_an_error_that_ends_the_run(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that an error ended is packed, and the error is told as ever."""
    folder = _ending(project, monkeypatch, 2, DescriptionError("it broke", hint="Mend it."))
    assert _main("run", "--project", str(project)) == 2
    out = capsys.readouterr().out
    assert "it broke" in out
    assert place_of(folder).is_file()


def _ending(project: Path, monkeypatch: pytest.MonkeyPatch, code: int, error: Exception | None = None) -> RunFolder:
    """Let `harness run` end with a code, or an error, after its run folder was written."""
    from harness.runner import pipeline
    from harness.runner.run_state import Verdict

    kind = "interrupted" if code == 130 else "judged"
    folder = _run(project, end=Ending(code, kind))

    def run(root: Path, files: Any, watcher: Any, selection: Any, **options: Mapping[str, Any]) -> Verdict:
        del root, files, selection, options
        watcher.run_begins(_spec(project), builders.environment(), folder.id)
        if error is not None:
            raise error
        return Verdict(folder, (), (), code)

    monkeypatch.setattr(pipeline, "run", run)
    return folder
