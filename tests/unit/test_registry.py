"""Artifacts in an OCI registry and in a DVC remote: publish, verify, pull, logins, and all that may go wrong."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from publishing import FILES, Call, caller, evidence, passed_run, said
from registry import Registry, serving
from test_provenance import contents, git

from harness import errors
from harness.config.reference import Reference
from harness.errors import TamperedError
from harness.evidence.run_folder import RunFolder
from harness.store.oci import ARTIFACT, IN_TOTO, published
from harness.store.published import opened
from harness.store.registry import connected

MODEL = hashlib.sha256(FILES["model.bin"]).hexdigest()


@pytest.fixture
def call() -> Call:
    """Call the verbs as the command line does."""
    return caller()


@pytest.fixture
def run_folder(tmp_path: Path) -> RunFolder:
    """A run that passed."""
    return passed_run(tmp_path / "project")


@pytest.fixture
def project(run_folder: RunFolder) -> Path:
    """The project of that run."""
    return run_folder.path.parents[2]


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The engine's configuration file, which knows no registry yet."""
    folder = tmp_path / "docker"
    folder.mkdir()
    (folder / "config.json").write_text("{}", encoding="utf-8")
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nothing may go there
    return folder / "config.json"


@pytest.fixture
def remote() -> Iterator[Registry]:
    """A registry that answers."""
    made = Registry()
    with serving(made):
        yield made


def place(remote: Registry, tag: str = "v1") -> str:
    return f"oci://{remote.host}/team/penguins:{tag}"


@pytest.mark.parametrize("has_referrers", [True, False])
def test_there_and_back(
    *, has_referrers: bool, remote: Registry, project: Path, run_folder: RunFolder, tmp_path: Path, call: Call
) -> None:
    """What is published is verified and pulled with its provenance, whether or not the registry keeps referrers."""
    remote.has_referrers = has_referrers
    project = tmp_path / "project"
    assert call("publish", "--project", project, "--to", place(remote)) == errors.PASSED
    artifact = json.loads(remote.manifests[remote.tags["v1"]])
    assert artifact["artifactType"] == ARTIFACT
    titles = {layer["annotations"]["org.opencontainers.image.title"]: layer["digest"] for layer in artifact["layers"]}
    assert titles == {name: f"sha256:{hashlib.sha256(text).hexdigest()}" for name, text in FILES.items()}
    listed = f"sha256-{remote.tags['v1'][7:]}" in remote.tags
    assert listed is not has_referrers
    assert call("verify", place(remote)) == errors.PASSED
    assert call("pull", place(remote), tmp_path / "new") == errors.PASSED
    got = contents(tmp_path / "new")
    assert json.loads(got.pop("provenance.json")) == said(evidence(), run_folder.id)
    assert got == FILES


def test_a_folder_and_a_registry_hold_the_same(remote: Registry, project: Path, call: Call) -> None:
    """The same run has the same manifests in both, so that a digest names it everywhere."""
    store = project.parent / "store"
    assert call("publish", "--project", project, "--to", store) == errors.PASSED
    assert call("publish", "--project", project, "--to", place(remote)) == errors.PASSED
    entries = json.loads((store / "index.json").read_text(encoding="utf-8"))["manifests"]
    assert {entry["digest"] for entry in entries} == set(remote.manifests)
    digest = entries[0]["digest"]
    for name in (f"oci://{remote.host}/team/penguins@{digest}", f"{store}@{digest}"):
        assert call("verify", name) == errors.PASSED
        assert call("pull", name, project.parent / name.replace("/", "_")) == errors.PASSED


def test_a_second_time(remote: Registry, project: Path, run_folder: RunFolder, call: Call) -> None:
    """Blobs that are there are not sent again; another run of the same artifact adds its provenance."""
    for has_referrers in (True, False):
        remote.has_referrers = has_referrers
        call("publish", "--project", project, "--to", place(remote))
        first = dict(remote.manifests)
        remote.asked.clear()
        assert call("publish", "--project", project, "--to", place(remote)) == errors.PASSED
        assert remote.manifests == first or not has_referrers
        assert "POST blobs/uploads" not in remote.asked
    run_folder.write_json("provenance.json", said(run="20260102T000000Z-def"))
    assert call("publish", "--project", project, "--to", place(remote)) == errors.PASSED
    with opened(place(remote)) as source:
        found = published(source, source.artifacts()[-1])
    assert len(found.statements) == 2
    assert call("verify", place(remote)) == errors.PASSED


def test_a_tag_moves(remote: Registry, project: Path, run_folder: RunFolder, call: Call) -> None:
    """A tag names what was published last under it."""
    call("publish", "--project", project, "--to", place(remote))
    first = remote.tags["v1"]
    changed = evidence({**FILES, "model.bin": b"a better model"})
    run_folder.write("artifact", changed.artifact)
    (run_folder.path / "artifact/model.bin").write_bytes(b"a better model")
    run_folder.write_json("provenance.json", said(changed, run_folder.id))
    assert call("publish", "--project", project, "--to", place(remote)) == errors.PASSED
    assert remote.tags["v1"] != first


def test_the_newest_of_a_folder(project: Path, run_folder: RunFolder, tmp_path: Path, call: Call) -> None:
    """A model that is published again after another one is the newest again: a step back is a publication too."""
    store, found = tmp_path / "store", []
    for text in (b"a model", b"another", b"a model"):
        whole = evidence({**FILES, "model.bin": text})
        run_folder.write("artifact", whole.artifact)
        (run_folder.path / "artifact/model.bin").write_bytes(text)
        run_folder.write_json("provenance.json", said(whole, run_folder.id))
        assert call("publish", "--project", project, "--to", store) == errors.PASSED
        with opened(str(store)) as source:
            found.append(source.artifacts())
    assert [len(each) for each in found] == [1, 2, 2]
    assert found[2][-1] == found[0][-1] != found[1][-1]


@pytest.mark.parametrize("login", ["basic", "bearer", "identity"])
def test_logins(login: str, remote: Registry, config: Path, project: Path, call: Call) -> None:
    """The password or token of the engine's configuration opens the registry; without one the message says so."""
    remote.login = "bearer" if login == "identity" else login
    assert call("publish", "--project", project, "--to", place(remote)) == 3
    entry = {"auth": base64.b64encode(b"ann:secret").decode()}
    if login == "identity":
        entry["identitytoken"] = "an-identity"
    config.write_text(json.dumps({"auths": {remote.host: entry}}), encoding="utf-8")
    assert call("publish", "--project", project, "--to", place(remote)) == errors.PASSED
    assert call("verify", place(remote)) == errors.PASSED
    assert call("pull", place(remote), project / "new") == errors.PASSED


def test_a_credential_helper(
    remote: Registry, config: Path, project: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    """A program that keeps passwords is asked; one that fails is named."""
    remote.login = "basic"
    helper = config.parent / "docker-credential-ours"
    config.write_text(json.dumps({"credHelpers": {remote.host: "ours"}}), encoding="utf-8")
    monkeypatch.setenv("PATH", f"{config.parent}:/usr/bin:/bin")
    helper.write_text('#!/bin/sh\necho \'{"Username": "ann", "Secret": "secret"}\'\n', encoding="utf-8")
    helper.chmod(0o755)
    assert call("publish", "--project", project, "--to", place(remote)) == errors.PASSED
    helper.write_text("#!/bin/sh\necho locked; exit 1\n", encoding="utf-8")
    assert call("verify", place(remote)) == 3


def test_a_wrong_password(
    remote: Registry, config: Path, project: Path, capsys: pytest.CaptureFixture[str], call: Call
) -> None:
    """It is refused once, not tried for ever, and never printed."""
    auths = {remote.host: {"auth": base64.b64encode(b"ann:wrong-one").decode()}}
    config.write_text(json.dumps({"auths": auths}), encoding="utf-8")
    for login in ("basic", "bearer"):
        remote.login = login
        remote.asked.clear()
        assert call("publish", "--project", project, "--to", place(remote)) == 3
        assert len(remote.asked) <= 2
        out = capsys.readouterr().out
        assert "401" in out
        assert "wrong-one" not in out


def test_uploads_elsewhere(remote: Registry, config: Path, project: Path, call: Call) -> None:
    """Where a registry sends uploads to another host, the password does not go there."""
    other = Registry()
    remote.login = "basic"
    auths = {remote.host: {"auth": base64.b64encode(b"ann:secret").decode()}}
    config.write_text(json.dumps({"auths": auths}), encoding="utf-8")
    with serving(other):
        remote.elsewhere = f"http://{other.host}/v2/x/blobs/uploads/one?state=a"
        call("publish", "--project", project, "--to", place(remote))
    assert other.blobs
    assert set(other.seen) == {""}
    assert any(remote.seen)


@pytest.mark.parametrize("status", [403, 404, 429, 500, 503])
@pytest.mark.parametrize("request_", ["HEAD blobs", "POST blobs/uploads", "PUT blobs/uploads", "PUT manifests"])
def test_publish_is_refused(
    status: int, request_: str, remote: Registry, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every refusal is one message with the status, exit code 3, and leaves no tag."""
    remote.faults = {request_: status}
    code = caller()("publish", "--project", project, "--to", place(remote))
    if (request_, status) == ("HEAD blobs", 404):
        assert code == errors.PASSED
        return
    assert code == 3
    assert f"with {status}: " in capsys.readouterr().out
    assert not remote.tags


@pytest.mark.parametrize(("status", "code"), [(401, 3), (403, 3), (404, 2), (429, 3), (500, 3), (503, 3)])
def test_reading_is_refused(status: int, code: int, remote: Registry, tmp_path: Path, call: Call) -> None:
    """What is not there is the user's mistake, what is refused or broken the infrastructure's."""
    remote.faults = {"GET manifests": status}
    assert call("verify", place(remote)) == code
    assert call("pull", place(remote), tmp_path / "new") == code
    assert not (tmp_path / "new").exists()


def test_nobody_answers(project: Path, call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    """A registry that is not there, and one without TLS where TLS is spoken."""
    assert call("publish", "--project", project, "--to", "oci://127.0.0.1:1/x") == 3
    assert "does not answer" in capsys.readouterr().out
    with serving(Registry()) as host:
        reference = replace(Reference.parse(f"oci://{host}/x"), plain_http=False)
        with connected(reference) as registry, pytest.raises(errors.InfrastructureError, match="no TLS") as caught:
            registry.artifacts()
    assert "--plain-http" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "oci://",
        "oci://host",
        "oci://host/",
        "oci://host/Upper",
        "oci://host/a//b",
        "oci://host/a:",
        "oci://host/a:ta g",
        "oci://host/a@sha256:12",
        "oci://user@host/a",
        "oci://host:port/a",
        "oci:///a",
        "oci://host/a?b",
    ],
)
def test_malformed_references(text: str, project: Path, tmp_path: Path, call: Call) -> None:
    """Exit code 2, before anything is sent or read."""
    assert call("publish", "--project", project, "--to", text) == 2
    assert call("verify", text) == 2
    assert call("pull", text, tmp_path / "new") == 2


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ("oci://registry.example/a", "https://registry.example/v2/a/"),
        ("oci://registry.example:5000/a/b-c:v1", "https://registry.example:5000/v2/a/b-c/"),
        ("oci://127.0.0.1:5000/a", "http://127.0.0.1:5000/v2/a/"),
        ("oci://localhost/a", "http://localhost/v2/a/"),
        ("oci://[::1]:5000/a", "http://[::1]:5000/v2/a/"),
        ("oci://127.example/a", "https://127.example/v2/a/"),
    ],
)
def test_tls_but_to_ourselves(text: str, root: str) -> None:
    """HTTPS everywhere, plain HTTP to this machine, and elsewhere only where it is asked for."""
    assert Reference.parse(text).root == root
    assert Reference.parse(text, plain_http=True).root == root.replace("https:", "http:")


def _spoil(remote: Registry, how: str) -> None:
    """Change what the registry holds."""
    tagged = remote.tags["v1"]
    for digest, text in list(remote.manifests.items()):
        kind = json.loads(text).get("artifactType")
        if (how, kind) in {("artifact", ARTIFACT), ("provenance", IN_TOTO)}:
            remote.manifests[digest] = text.replace(b"octet-stream" if kind == ARTIFACT else b"SLSA", b"x") + b" "
    if how == "statement":
        [digest] = [key for key, text in remote.blobs.items() if b"in-toto" in text]
        remote.blobs[digest] += b" "
    if how == "no statement":
        [digest] = [key for key, text in remote.blobs.items() if b"in-toto" in text]
        del remote.blobs[digest]
    if how in ("another type", "path", "no json"):
        whole = json.loads(remote.manifests[tagged])
        if how == "path":
            whole["layers"][0]["annotations"]["org.opencontainers.image.title"] = "../../model"
        whole["artifactType"] = "application/x" if how == "another type" else ARTIFACT
        text = b"[" if how == "no json" else json.dumps(whole).encode()
        remote.tags["v1"] = f"sha256:{hashlib.sha256(text).hexdigest()}"
        remote.manifests[remote.tags["v1"]] = text


@pytest.mark.parametrize("how", ["provenance", "statement", "no statement", "another type", "path", "no json"])
def test_a_registry_that_was_tampered_with(
    how: str, remote: Registry, project: Path, tmp_path: Path, call: Call
) -> None:
    """What is not what its name says, no artifact of ours, or leads out of the folder is refused: no file is left."""
    call("publish", "--project", project, "--to", place(remote))
    _spoil(remote, how)
    assert call("verify", place(remote)) == 2
    assert call("pull", place(remote), tmp_path / "new") == 2
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "model").exists()


def test_a_manifest_that_is_not_its_digest(remote: Registry, project: Path, call: Call) -> None:
    """Asked for by digest, another manifest is refused."""
    call("publish", "--project", project, "--to", place(remote))
    digest = remote.tags["v1"]
    _spoil(remote, "artifact")
    assert call("verify", f"oci://{remote.host}/team/penguins@{digest}") == 2


def test_a_layer_that_was_changed(remote: Registry, project: Path, tmp_path: Path, call: Call) -> None:
    """`verify` names the file, `pull` refuses it and leaves no file of that name."""
    call("publish", "--project", project, "--to", place(remote))
    remote.blobs[f"sha256:{MODEL}"] = b"evil"
    assert call("verify", place(remote)) == errors.CHECK_FAILED
    assert call("pull", place(remote), tmp_path / "new") == 2
    assert not (tmp_path / "new/model.bin").exists()


def test_a_layer_that_is_cut_off(
    remote: Registry, project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], call: Call
) -> None:
    """A transfer that ends early is the infrastructure's; the part is no file."""
    call("publish", "--project", project, "--to", place(remote))
    remote.cut = 3
    assert call("verify", place(remote)) == 3
    assert call("pull", place(remote), tmp_path / "new") == 3
    assert "broke off" in capsys.readouterr().out
    assert not (tmp_path / "new/model.bin").exists()


def test_pull_keeps_what_is_there(remote: Registry, project: Path, tmp_path: Path, call: Call) -> None:
    """A folder with something in it is not written to; an empty one is."""
    call("publish", "--project", project, "--to", place(remote))
    for name in ("full", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "full/mine").write_bytes(b"")
    assert call("pull", place(remote), tmp_path / "full") == 2
    assert call("pull", place(remote), tmp_path / "empty") == 0
    assert call("pull", tmp_path / "gone", tmp_path / "x") == 2
    assert call("pull", tmp_path / "full", tmp_path / "x") == 2


def test_verify_names_every_difference(
    remote: Registry,
    project: Path,
    run_folder: RunFolder,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Changed, missing, renamed and added files, each of them, in a folder, a folder store and a registry."""
    call, store = caller(), tmp_path / "store"
    for to in (store, place(remote)):
        call("publish", "--project", project, "--to", to)
    changed, gone = (f"sha256:{hashlib.sha256(text).hexdigest()}" for text in FILES.values())
    remote.blobs[changed] = b"evil"
    del remote.blobs[gone]
    (store / "blobs/sha256" / changed[7:]).write_bytes(b"evil")
    (store / "blobs/sha256" / gone[7:]).unlink()
    artifact = run_folder.path / "artifact"
    (artifact / "model.bin").write_bytes(b"evil")
    (artifact / "sub/metrics.jsonl").rename(artifact / "renamed.jsonl")
    evil = hashlib.sha256(b"evil").hexdigest()
    lines = {f"model.bin: SHA-256 {evil}, where the provenance says {MODEL}", "sub/metrics.jsonl is missing"}
    added = "renamed.jsonl is none of the files that the provenance names"
    for what, expected in ((store, lines), (place(remote), lines), (artifact, lines | {added})):
        capsys.readouterr()
        assert call("verify", what) == errors.CHECK_FAILED
        out = capsys.readouterr().out
        flat = "".join(out.split())
        assert all("".join(line.split()) in flat for line in expected), out
        assert out.count("\n  ") >= len(expected)


def _fake_dvc(root: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    (root / "bin").mkdir(exist_ok=True)
    (root / "bin/dvc").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (root / "bin/dvc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{root / 'bin'}:/usr/bin:/bin")


SCRIPT = """echo "$*" > ../called; cp "$DVC_SYSTEM_CONFIG_DIR/config" ../config 2>/dev/null
for last; do :; done; rm -rf ../content; cp -r "$last" ../content; echo outs: > penguins.dvc"""


@pytest.mark.parametrize(("remote", "name"), [("storage", "storage"), ("/srv/models", "harness")])
def test_a_dvc_remote(remote: str, name: str, project: Path, monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    """DVC adds files and provenance to the remote, named or given by its place; git will ignore what it pulls."""
    git(project, "init", "-q")
    _fake_dvc(project.parent, monkeypatch, SCRIPT)
    pointer = project / "models/penguins.dvc"
    for _ in range(2):
        assert call("publish", "--project", project, "--to", f"dvc:{remote}", "--pointer", pointer) == errors.PASSED
    words = (project / "called").read_text(encoding="utf-8").split()
    assert words[:-1] == f"add --force --to-remote --remote {name} --out penguins".split()
    assert set(contents(project / "content")) >= {*FILES, "provenance.json"}
    assert (project / "models/.gitignore").read_text(encoding="utf-8") == "/penguins\n"
    assert (project / "config").exists() == (name == "harness")
    if name == "harness":
        assert 'url = "/srv/models"' in (project / "config").read_text(encoding="utf-8")
    assert call("verify", project / "content") == errors.PASSED


def test_dvc_refuses(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a pointer, without a remote, without DVC, and what DVC says where it fails."""
    call, pointer = caller(), tmp_path / "models/penguins.dvc"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert call("publish", "--project", project, "--to", "dvc:storage") == 2
    assert call("publish", "--project", project, "--to", "dvc:", "--pointer", pointer) == 2
    assert call("publish", "--project", project, "--to", "dvc:storage", "--pointer", tmp_path / "penguins") == 2
    capsys.readouterr()
    assert call("publish", "--project", project, "--to", "dvc:storage", "--pointer", pointer) == 3
    assert "DVC is not installed" in capsys.readouterr().out
    _fake_dvc(tmp_path, monkeypatch, "echo no such remote; exit 251")
    assert call("publish", "--project", project, "--to", "dvc:storage", "--pointer", pointer) == 3
    assert "ended with exit code 251\nno such remote" in capsys.readouterr().out
    _fake_dvc(tmp_path, monkeypatch, "exit 0")
    assert call("publish", "--project", project, "--to", "dvc:storage", "--pointer", pointer) == 3


def test_publish_refuses_to_a_registry(project: Path, run_folder: RunFolder, remote: Registry, call: Call) -> None:
    """No such run, a digest as the target, a run that failed, a changed artifact, no provenance: nothing is sent."""
    to = place(remote)
    assert call("publish", "nope", "--project", project, "--to", to) == 2
    assert call("publish", "--project", project, "--to", f"oci://{remote.host}/x@sha256:{'a' * 64}") == 2
    run_folder.write_findings([])
    assert call("publish", "--project", project, "--to", to) == 2
    assert not remote.asked
    (run_folder.path / "artifact/model.bin").write_bytes(b"evil")
    assert call("publish", "--failed", "--project", project, "--to", to) == 2
    assert not remote.tags
    (run_folder.path / "provenance.json").unlink()
    assert call("publish", "--failed", "--project", project, "--to", to) == 2


def test_a_store_says_that_it_is_broken(tmp_path: Path) -> None:
    """Whatever is wrong with a folder is one error."""
    (tmp_path / "oci-layout").write_text("{}", encoding="utf-8")
    for text in ("[", "{}", '{"manifests": 1}', '{"manifests": [{}]}'):
        (tmp_path / "index.json").write_text(text, encoding="utf-8")
        with pytest.raises(TamperedError), opened(str(tmp_path)) as source:
            source.artifacts()
