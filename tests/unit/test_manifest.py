"""What an artifact says of itself: manifests of several kinds, and the checks of files and versions."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import builders
import pytest
from defects import defect

from harness.checks import all_checks
from harness.checks.judge import judge_one
from harness.evidence.records import Artifact, Claim, Evidence, FileHash, Finding, Loaded, Manifest, Status
from harness.runner.stages.serving_packages import WARNINGS
from harness.scanner.manifests import read_manifest

MODEL = b"a model"
HEX = hashlib.sha256(MODEL).hexdigest()


def made(folder: Path, files: dict[str, Any]) -> Artifact:
    """Write an artifact and return its record; what is no bytes is written as JSON, a text as it is."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content) if not isinstance(content, bytes) else ""
        path.write_bytes(content if isinstance(content, bytes) else text.encode())
    found = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    hashes = [
        FileHash(str(path.relative_to(folder)), path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in found
    ]
    return builders.artifact(files=tuple(hashes))


OWN = {"artifact": {"file": "model.bin", "sha256": HEX}, "data": {"train.csv": HEX}, "versions": {"python": "3.13.5"}}
MLMODEL = """
artifact_path: model
flavors:
  python_function: {model_path: model.pkl, loader_module: mlflow.sklearn, env: {conda: conda.yaml}}
  sklearn: {pickled_model: model.pkl, sklearn_version: 1.9.1}
saved_input_example_info: {artifact_path: input_example.json}
"""
CLAIMS = [
    ({"manifest.json": OWN}, [("model.bin", HEX)]),
    ({"a/manifest.json": {"files": {"m.bin": f"sha256:{HEX}"}}}, [("a/m.bin", HEX)]),
    ({"manifest.json": {"files": ["a.bin", "./b.bin"]}}, [("a.bin", ""), ("b.bin", "")]),
    ({"manifest.json": [{"path": "/data/x", "sha256": HEX}, {"path": "no hash"}]}, []),
    ({"MLmodel": MLMODEL}, [("input_example.json", ""), ("model.pkl", "")]),
    ({"MLmodel": MLMODEL, "model.pkl/data": b"x"}, [("input_example.json", "")]),
    ({"model-settings.json": {"parameters": {"uri": "./model.joblib"}}}, [("model.joblib", "")]),
    ({"model-settings.json": {"parameters": {"uri": "s3://b/model"}}}, []),
    ({"config.json": {"model_type": "bert"}}, [("model.safetensors", "")]),
    ({"config.json": {"model_type": "bert"}, "pytorch_model.bin": b"x"}, []),
    ({"config.json": {"other": 1}}, []),
    ({"model.safetensors.index.json": {"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}}}, [
        ("m-1.safetensors", ""), ("m-2.safetensors", ""),
    ]),
    ({"variables/variables.data-00000-of-00002": b"x"}, [
        ("variables/variables.data-00000-of-00002", ""),
        ("variables/variables.data-00001-of-00002", ""),
        ("variables/variables.index", ""),
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("files", "claims"), CLAIMS)
def test_claims(files: dict[str, Any], claims: list[tuple[str, str]], tmp_path: Path) -> None:
    """Each kind of manifest names its files; hashes of data are none of the artifact's."""
    found = read_manifest(tmp_path, made(tmp_path, files), ())
    assert [(claim.file, claim.sha256) for claim in found.claims] == claims
    assert found.unreadable == ()


def test_versions(tmp_path: Path) -> None:
    """The manifest's own come before requirements; only pins count there."""
    artifact = made(tmp_path, {"requirements.txt": "scikit-learn==1.9.1 ; x\nmlflow<4\njoblib[x]==1.6.0\\\n"})
    found = read_manifest(tmp_path, artifact, ("model.bin",))
    assert dict(found.versions) == {"scikit-learn": "1.9.1", "joblib": "1.6.0"}
    assert found.claims == (Claim("artifact.files", "model.bin"),)
    assert read_manifest(tmp_path, made(tmp_path, {"manifest.json": OWN}), ()).versions == {"python": "3.13.5"}


@pytest.mark.parametrize("text", ["{", "\x00", "[" * 100_000])
def test_a_manifest_that_cannot_be_read(text: str, tmp_path: Path) -> None:
    """It is named with the reason, whatever it holds."""
    found = read_manifest(tmp_path, made(tmp_path, {"manifest.json": text}), ())
    assert found.unreadable[0].startswith("manifest.json: ")


LOADED = Loaded("3.13.5", {"scikit-learn": "1.9.1"})


def judged(
    folder: Path,
    files: dict[str, Any],
    *,
    declared: tuple[str, ...] = (),
    loaded: Loaded = LOADED,
    strict: bool = False,
) -> dict[str, Finding]:
    """Judge one artifact with both checks."""
    artifact = made(folder, files)
    spec = builders.spec({"contract": {"strict": strict}})
    manifest = read_manifest(folder, artifact, declared)
    evidence = Evidence(spec=spec, artifact=artifact, manifest=manifest, loaded=loaded)
    checks = [check for check in all_checks() if check.name in ("artifact.complete", "artifact.loads")]
    return {check.name: next(judge_one(evidence, check)) for check in checks}


GOOD = {"model.bin": MODEL, "manifest.json": OWN}


def test_a_good_artifact(tmp_path: Path) -> None:
    """Named, unchanged, complete, and of the versions that serve it."""
    found = judged(tmp_path, GOOD, declared=("model.bin",))
    assert found["artifact.complete"].received.startswith("2 files; all 1 that artifact.files, manifest.json names")
    assert found["artifact.loads"].received == "no warning in the log; 1 versions of manifest.json agree"
    assert {finding.status for finding in found.values()} == {Status.PASS}


OTHER = {**OWN, "versions": {"Scikit_Learn": "1.8.0", "torch": "3.0", "python": "3.13.5"}}
WARNING = "InconsistentVersionWarning: Trying to unpickle estimator SGDClassifier from version 1.8.0 when using 1.9.1."
DEFECTS: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    ({"model.bin": b"another"}, {}, "artifact.complete", f"where manifest.json says {HEX[:12]}"),
    ({}, {"declared": ("gone.bin",)}, "artifact.complete", "gone.bin is missing, which artifact.files names"),
    ({"e.bin": b""}, {"declared": ("e.bin",)}, "artifact.complete", "e.bin is empty"),
    ({"model.bin.partial": b"x"}, {}, "artifact.complete", "model.bin.partial is left over"),
    ({"x/manifest.json": "{"}, {}, "artifact.complete", "x/manifest.json: "),
    ({}, {"loaded": Loaded("3.13.5", {}, (WARNING,))}, "artifact.loads", "SGDClassifier from version 1.8.0"),
    ({"manifest.json": OTHER}, {"strict": True}, "artifact.loads", "Scikit_Learn: made with 1.8.0, served with 1.9.1"),
]


@pytest.mark.parametrize(
    ("files", "options", "check", "said"),
    [pytest.param(*d, marks=defect(d[2], d[3], proof="file"), id=d[3]) for d in DEFECTS],
)
def test_each_defect_fails_its_check_alone(
    files: dict[str, Any], options: dict[str, Any], check: str, said: str, tmp_path: Path
) -> None:
    """The file or the package is named, with both values."""
    found = judged(tmp_path, {**GOOD, **files}, **options)
    assert {name for name, finding in found.items() if finding.status is not Status.PASS} == {check}
    assert (found[check].status, said in found[check].received) == (Status.FAIL, True), found[check]


def test_what_was_never_promised_is_a_warning(tmp_path: Path) -> None:
    """Other versions, and a file without a content that nobody names."""
    found = judged(tmp_path, {**GOOD, "manifest.json": OTHER, "empty": b"", "__init__.py": b""})
    assert {finding.status for finding in found.values()} == {Status.WARN}
    assert found["artifact.complete"].received == "empty: empty"


def test_no_python_in_the_serving_image() -> None:
    """A server of another language is no defect."""
    manifest = Manifest(versions={"python": "3.13"}, versions_by="m")
    evidence = Evidence(spec=builders.spec(), manifest=manifest, loaded=Loaded(""))
    [found] = judge_one(evidence, next(check for check in all_checks() if check.name == "artifact.loads"))
    assert (found.status, "no Python" in found.received) == (Status.PASS, True)


def test_warnings_of_the_frameworks() -> None:
    """What they really say is recognised, and what any server says is not."""
    assert WARNINGS.search(WARNING)
    assert WARNINGS.search("WARNING mlflow: Detected one or more mismatches between the model's dependencies and the")
    assert WARNINGS.search(
        "UserWarning: If you are loading a serialized model (like pickle) generated by an older version of XGBoost"
    )
    assert not WARNINGS.search("WARNING:  Using version 2 of the config; a newer version is out")
