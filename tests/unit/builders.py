"""Builders of complete, good records: a test changes the one thing that it is about."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from service import Service, asked

from harness.client.request_generators.skew import skew_requests
from harness.config.spec import Behaviour, Example, Handover, Relation, Spec, Tolerance
from harness.engine.compose import Compose
from harness.evidence.records import (
    Artifact,
    BaseImage,
    BuiltImage,
    Claim,
    Code,
    Companion,
    Contract,
    Data,
    Drift,
    DvcPointer,
    Ending,
    Environment,
    Evidence,
    Exchange,
    Exit,
    FeatureTable,
    FileHash,
    Fuzz,
    Health,
    Images,
    Import,
    Inside,
    Interface,
    Labels,
    Load,
    Loaded,
    Lock,
    Manifest,
    Provenance,
    Quality,
    ReadinessProbe,
    Rerun,
    Robustness,
    Scan,
    ScannedFile,
    Secrets,
    Services,
    Serving,
    Skew,
    Split,
    StageTime,
    Start,
    Step,
    Stop,
    Surroundings,
    Tally,
    Tracked,
    Training,
    Trainings,
    UnitTests,
    Use,
)
from harness.evidence.records.scored import DUMMY, LINEAR, NEW, HoldoutRow, Prediction
from harness.project.description import parse_block
from harness.runner.run_state import Watcher
from harness.runner.stages.contract import requests

REPO = Path(__file__).parents[2]
DIGEST = "sha256:" + "d" * 64
PINNED = f"python:3.13-slim@{DIGEST}"
REQUEST = {"instances": [{"length": 1.5, "island": "Dream"}]}
ANSWER = {"predictions": [0.25]}

TWO = {"instances": [{"length": 3.0, "island": "Biscoe"}]}


def _row(**changes: Any) -> dict[str, Any]:
    return {"instances": [{"length": 1.5, "island": "Dream", **changes}]}


BEHAVIOURS = (
    Behaviour("any colour", "b.json", Relation.INVARIANCE, (_row(colour="black"), _row(colour="white"))),
    Behaviour(
        "longer is more",
        "b.json",
        Relation.DIRECTIONAL,
        tuple(_row(length=float(length)) for length in (1, 1, 4, 6)),
        output="/predictions/0",
        never="falls",
    ),
    Behaviour(
        "nothing is nothing",
        "b.json",
        Relation.MINIMUM,
        (_row(length=0.0), _row(length=0)),
        ({"predictions": [0.0]}, {"predictions": [0]}),
    ),
)

BLOCK: dict[str, Any] = {
    "version": 1,
    "data": {"path": "data", "schema": "schema.yaml"},
    "code": {"features": [{"transform": "features:engineer", "table": "t.csv"}]},
    "train": {
        "metrics": "/model/metrics.jsonl",
        "score": "accuracy",
        "seed_env": "SEED",
        "max_time": "1h",
        "max_memory": "2g",
        "unit_tests": ["python", "-m", "pytest", "tests"],
    },
    "serve": {"port": 8080},
    "contract": {
        "examples": "contract/*.json",
        "skew": {"rows": "holdout.csv", "command": ["python", "predict.py"]},
    },
    "quality": {
        "conditions": ["accuracy >= 0.9", "accuracy[island=Dream] >= 0.8"],
        "holdout": "holdout.csv",
        "target": "kind",
    },
}

MODEL: dict[str, Any] = {
    "name": "demo",
    "services": {
        "train": {
            "build": {"context": "/project", "dockerfile": "Dockerfile"},
            "volumes": [{"type": "volume", "source": "model", "target": "/model", "volume": {}}],
        },
        "serve": {
            "image": "demo-serve",
            "ports": [{"mode": "ingress", "target": 8080, "published": "8080", "protocol": "tcp"}],
            "volumes": [{"type": "volume", "source": "model", "target": "/model", "read_only": True, "volume": {}}],
            "depends_on": {"train": {"condition": "service_completed_successfully"}},
        },
    },
    "volumes": {"model": {"name": "demo_model"}},
    "networks": {"default": {"name": "demo_default"}},
}

INTERFACE = Interface("openapi", "/health", "/predict")


class Silent(Watcher):
    """Watches and shows nothing."""

    def run_begins(self, *_: object) -> None: ...
    def stage_begins(self, *_: object) -> None: ...
    def line(self, *_: object) -> None: ...
    def stage_ends(self, *_: object, beside: bool = False) -> None: ...
    def found(self, *_: object) -> None: ...


@cache
def compose() -> Compose:
    """The Compose program of this machine; only its `config` is called, which needs no engine."""
    return Compose.find()


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a deep copy with nested changes; a change to None removes the key."""
    result = deepcopy(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def example(name: str = "one", **changes: Any) -> Example:
    """One example that the good contract answers as promised."""
    whole = Example(
        name=name,
        file=f"contract/{name}.json",
        request=REQUEST,
        response=ANSWER,
        has_response=True,
        status=200,
        tolerance=Tolerance(),
    )
    return replace(whole, **changes)


def spec(block: dict[str, Any] | None = None, model: dict[str, Any] | None = None, **changes: Any) -> Spec:
    """A mounted hand-over with data, schema and one example; `block` and `model` are merged in."""
    whole = Spec(
        root=Path("/project"),
        files=(Path("/project/compose.yaml"),),
        project="demo",
        block=parse_block(merged(BLOCK, block or {})),
        model=merged(MODEL, model or {}),
        handover=Handover.MOUNTED,
        train_key="train",
        serve_key="serve",
        port=8080,
        serve_artifact="/model",
        examples=(example(), example("two", request=TWO, response={"predictions": [1.5]})),
        behaviours=BEHAVIOURS,
        baseline=Service().baseline(),
    )
    return replace(whole, **changes)


def base(**changes: Any) -> BaseImage:
    """A base image pinned by digest."""
    return replace(BaseImage(reference=PINNED, service="train", digest=DIGEST), **changes)


def built(service: str = "train", **changes: Any) -> BuiltImage:
    """A built image."""
    whole = BuiltImage(
        service=service,
        reference=f"demo-{service}",
        id="sha256:" + "1" * 64,
        diff_ids=("sha256:" + "2" * 64,),
        platform="linux/amd64",
        size=120_000_000,
        working_dir="/app",
        user="10001",
    )
    return replace(whole, **changes)


def images(**changes: Any) -> Images:
    """Both images, pinned as the lock says."""
    whole = Images(
        builder="buildkit",
        compose="Compose 5.0.0 (plugin)",
        images=(built("train"), built("serve")),
        bases=(base(), base(service="serve")),
        requirements={"requirements.txt": "a" * 64},
        log_tail=("#9 DONE 0.1s",),
    )
    return replace(whole, **changes)


def lock(**changes: Any) -> Lock:
    """The pins that all good records satisfy."""
    whole = Lock(
        platform="linux/amd64",
        bases={PINNED: DIGEST},
        requirements={"requirements.txt": "a" * 64},
        data="b" * 64,
        images={"train": ("sha256:" + "2" * 64,)},
    )
    return replace(whole, **changes)


def data(**changes: Any) -> Data:
    """A dataset of one table that satisfies its schema."""
    whole = Data(
        path="data",
        files=(FileHash("train.csv", 10, "c" * 64),),
        sha256="b" * 64,
        tables=("train.csv",),
        rows=3,
        split=Split(
            train=("train.csv",),
            holdout=("holdout.csv",),
            train_rows=2,
            holdout_rows=1,
            holdout_has_target=True,
            target="kind",
            classes={"a": (1, 1), "b": (1, 1)},
            features=2,
        ),
        drift=(Drift("length", "Jensen-Shannon", 0.01, 0.05),),
        secrets=Secrets(scanned=10),
        dvc=(DvcPointer("data.dvc", "data", "1" * 32 + ".dir", "1" * 32 + ".dir"),),
    )
    return replace(whole, **changes)


def ended(**changes: Any) -> Exit:
    """A container that ended with exit code 0."""
    return replace(Exit(code=0, oom_killed=False, timed_out=False, seconds=1.25, log_tail=("saved /model",)), **changes)


def training(**changes: Any) -> Training:
    """A training run that ended well."""
    whole = Training(
        image="sha256:" + "1" * 64,
        command=("python", "train.py"),
        exit=ended(),
        in_image_build=False,
        memory_limit=2**30,
        peak=100 * 2**20,
        peak_source="counted by cgroup v2",
        peak_at=1.0,
        memory=((0.1, 20 * 2**20), (0.6, 90 * 2**20)),
    )
    return replace(whole, **changes)


def artifact(*losses: Any, **changes: Any) -> Artifact:
    """An artifact of two files, with metrics of a falling loss or of the losses given."""
    whole = Artifact(
        path="/model",
        files=(FileHash("metrics.jsonl", 60, "e" * 64), FileHash("model.bin", 1000, "f" * 64)),
        missing=None,
        metrics_path="/model/metrics.jsonl",
        metrics_declared=True,
        metrics=tuple(
            {"epoch": n, "loss": value, "accuracy": 0.95} for n, value in enumerate(losses or (0.9, 0.5, 0.2))
        ),
    )
    return replace(whole, **changes)


FITTED = tuple({"loss": loss, "accuracy": 1.0} for loss in (1.0, 0.1, 0.01))


def rerun(name: str, change: str, code: int | None = 0, *losses: Any, **changes: Any) -> Rerun:
    """A further training run; one that failed left nothing."""
    left = artifact(*losses)
    whole = Rerun(name, change, ended(code=code), left.files if code == 0 else (), left.metrics if code == 0 else None)
    return replace(whole, **changes)


def trainings(*runs: Rerun, **changes: Any) -> Trainings:
    """Further training runs of which each is as it should be; a run given replaces the one of its name, or is added."""
    found = {
        "again": rerun("again", "the same once more, without a network, as an arbitrary user"),
        "seed": rerun("seed", "SEED=8 in place of 7", 0, 0.8, 0.6, 0.3, files=(FileHash("model.bin", 1000, "8" * 64),)),
        "small-batch": rerun("small-batch", "10 distinct rows 30 times", metrics=FITTED),
        "shuffled": rerun("shuffled", "the values of y permuted", metrics=({"loss": 1.0, "accuracy": 0.55},)),
        "no-data": rerun("no-data", "the dataset's folder is empty", 1),
        "no-column": rerun("no-column", "the column y is missing", 1),
        "interrupted": rerun("interrupted", "SIGTERM while it runs", 143, signalled=1.0),
    }
    found |= {run.name: run for run in runs}
    left_out = dict.fromkeys(("seed", "small-batch", "shuffled", "no-data"), "left out for the test")
    labels = Labels(table="holdout.csv", rows=100, majority=0.5, numeric=False)
    whole = Trainings(tuple(found.values()), left_out, grace=10.0, labels=labels, batch=10, tile=30)
    return replace(whole, **changes)


def serving(**changes: Any) -> Serving:
    """A service that became ready and sees the artifact that training left."""
    whole = Serving(
        image="sha256:" + "1" * 64,
        handover=Handover.MOUNTED,
        artifact_path="/model",
        files=artifact().files,
        ready=True,
        seconds=0.8,
        last_answer="GET /health: 200; POST /predict: 200",
        died=None,
        log_tail=("listening on 8080",),
        listening=(),
        port=8080,
        ready_path="/health",
        timeout=60.0,
        asked=(YES,),
    )
    return replace(whole, **changes)


def exchange(case: str = "example:one", status: int | None = 200, body: Any = None, **changes: Any) -> Exchange:
    """One recorded exchange; `body` is JSON, or bytes as they are."""
    answer = ANSWER if body is None else body
    whole = Exchange(
        case=case,
        method="POST",
        path="/predict",
        request=json.dumps(REQUEST).encode(),
        status=status,
        content_type="application/json",
        response=answer if isinstance(answer, bytes) else json.dumps(answer).encode(),
        seconds=0.01,
    )
    return replace(whole, **changes)


def _answered(fault: str, described: Spec) -> dict[str, Exchange]:
    service = Service(fault)
    whole = {r.case: asked(service, r) for r in requests(described, INTERFACE)}
    return whole | {r.case: asked(service, r) for r in skew_requests(skew())}


@cache
def _answered_by_default(fault: str) -> MappingProxyType[str, Exchange]:
    """The answers are frozen records, so that the hundreds who ask share them, and the body of 4 MiB among them."""
    return MappingProxyType(_answered(fault, spec()))


def contract(*exchanges: Exchange, fault: str = "", described: Spec | None = None, **changes: Any) -> Contract:
    """What a service with one fault, or none, answers; an exchange given replaces the one of its case, or is added."""
    known = _answered_by_default(fault) if described is None else _answered(fault, described)
    whole = {**known, **{each.case: each for each in exchanges}}
    return replace(
        Contract(exchanges=tuple(whole.values()), interface=INTERFACE, document=Service(fault).document()), **changes
    )


def quality(**changes: Any) -> Quality:
    """Labelled rows of two islands, predicted without a mistake, by a linear model too."""
    kinds = ("long", "short")
    rows = tuple(
        HoldoutRow(
            number,
            kinds[number % 2],
            {"island": "Dream" if number % 3 else "Biscoe"},
            {NEW: Prediction(kinds[number % 2]), DUMMY: Prediction("long"), LINEAR: Prediction(kinds[number % 2])},
        )
        for number in range(1, 61)
    )
    return replace(Quality("holdout.csv", "kind", ("length", "island", "kind"), rows), **changes)


def skew(**changes: Any) -> Skew:
    """Two hold-out rows that the training image predicted as the service does."""
    answers = (ANSWER, {"predictions": [1.5]})
    whole = Skew((REQUEST, TWO), answers, ended(), examples=("one", "two"), example_answers=answers)
    return replace(whole, **changes)


YES = ReadinessProbe(
    0.1, ready=True, answer="GET /health: 200", code=200, prediction="POST /predict: 200", predicted=200
)
HEALTH = Health(("curl", "-f", "localhost"), 3.0, 0, "", 7, "refused")


def robust(*starts: Start, **changes: Any) -> Robustness:
    """A service that is robust; a start given replaces the one of the same name, or is added."""
    good = (
        Start("hermetic", ready=True, answered=True, heard=True),
        Start("artifact-missing", exit=ended(code=1, log_tail=("no model",))),
        Start("artifact-truncated", heard=True, last_answer="GET /health: 503"),
    )
    whole = {start.name: start for start in (*good, *starts)}
    return replace(Robustness(tuple(whole.values()), HEALTH, "10001:10001", 10001), **changes)


def stop(**changes: Any) -> Stop:
    """A service that stopped gracefully."""
    return replace(Stop("SIGTERM", 15, 10.0, 0.4, 0, killed=False, clients=4, in_flight=(exchange(),)), **changes)


def step(**changes: Any) -> Step:
    """A stretch of requests, all answered in 10 to 30 ms."""
    whole = Step(rate=50.0, clients=None, seconds=2.0, sent=100, answered=100, latencies=(0.01, 0.02, 0.03))
    return replace(whole, **changes)


def load(**changes: Any) -> Load:
    """A service that keeps up with a stream and with two clients."""
    steps = (step(rate=None, clients=1), step(rate=None, clients=2))
    return replace(Load(stream=step(), steps=steps, distinct=2), **changes)


def fuzz(**changes: Any) -> Fuzz:
    """A service in which fuzzing found nothing."""
    whole = Fuzz(
        tool="schemathesis 4", seed=1, phases=("coverage",), cases=50, accepted=9, operations=("POST /predict",)
    )
    return replace(whole, **changes)


def scanned(*imports: Import, **changes: Any) -> ScannedFile:
    """A joblib file with one import that every model has, or with those given."""
    usual = Import("sklearn.pipeline", "Pipeline", 14, Use.BUILT)
    return replace(ScannedFile("model.joblib", 1000, ("zlib", "joblib"), imports or (usual,)), **changes)


def scan(*files: ScannedFile, **changes: Any) -> Scan:
    """An artifact of a harmless model, or of the files given."""
    return replace(Scan(files or (scanned(),), seconds=0.01), **changes)


def tracked(**changes: Any) -> Tracked:
    """A repository without models."""
    return replace(Tracked(looked_at=40), **changes)


def environment(**changes: Any) -> Environment:
    """A machine."""
    whole = Environment(
        harness="0.1.0",
        python="3.13.1",
        host="Linux",
        engine="29.0.0 at unix:///var/run/docker.sock",
        api="1.44 of 1.44-1.52",
        compose="Compose 5.0.0 (plugin)",
        storage="overlay2",
        cores=2,
        memory=8 * 2**30,
        hash_seed="random",
        engine_version="29.0.0",
        engine_kind="docker",
        system="Debian GNU/Linux 13",
        kernel="6.12.1",
        architecture="x86_64",
        cgroup="2",
        cpu_model="EPYC",
        cpu_flags=("avx", "avx2", "fma", "sse4_2"),
        timezone="Etc/UTC",
        variables={"LANG": "C.UTF-8"},
    )
    return replace(whole, **changes)


def surroundings(**changes: Any) -> Surroundings:
    """What both containers had."""
    had = {"LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "SEED": "7"}
    whole = Surroundings(
        tuple(
            Inside(service, had, {"numpy": "2.3.1", "scikit-learn": "1.7.0"}, memory=2**30, user="10001")
            for service in ("train", "serve")
        ),
        {"compose.yaml": "1" * 64, "train.py": "2" * 64},
    )
    return replace(whole, **changes)


def code(**changes: Any) -> Code:
    """Eight tests that pass, one of them skipped, and a table of which each value is as expected."""
    tests = UnitTests(("python", "-m", "pytest", "tests"), ended(), Tally("JUnit XML", 8, 1, 0))
    rows = ({"x": 1},), ({"y": 2.0, "z": None},), ({"y": 2, "z": None},)
    return replace(Code(tests, (FeatureTable("features:engineer", "t.csv", *rows),)), **changes)


def manifest(**changes: Any) -> Manifest:
    """What the artifact says of itself: one file, and the version that made it."""
    claims = (Claim("manifest.json", "model.bin", "f" * 64),)
    return replace(Manifest(claims=claims, versions={"python": "3.13.5"}, versions_by="manifest.json"), **changes)


def loaded(**changes: Any) -> Loaded:
    """A serving container with the versions that made the artifact."""
    return replace(Loaded(python="3.13.5"), **changes)


def provenance(**changes: Any) -> Provenance:
    """A statement about the artifact."""
    subject = [{"name": file.path, "digest": {"sha256": file.sha256}} for file in artifact().files]
    return replace(Provenance({"subject": subject}, commit="c" * 40), **changes)


def stages(*unreached: str, reason: str = "the build of train failed") -> tuple[StageTime, ...]:
    """The times of a whole line; the stages named were not reached."""
    main = ("images", "data", "train", "artifact", "serve", "contract", "trainings")
    names = (*main, "skew", "quality", "fuzz", "robustness", "load", "stop", "scan", "tracked")
    return tuple(
        StageTime(name, float(number), 0.0 if name in unreached else 1.0, reason, done=False)
        if name in unreached
        else StageTime(name, float(number), 1.0, "done", done=True)
        for number, name in enumerate(names)
    )


def evidence(**changes: Any) -> Evidence:
    """The evidence of a run that passes every check."""
    whole = Evidence(
        spec=spec({"data": {"target": "kind", "reference": "reference.csv"}}),
        environment=environment(),
        lock=lock(),
        images=images(),
        data=data(),
        services=Services((Companion("db", ("serve",), "service_healthy", seconds=1.5),)),
        train=training(),
        artifact=artifact(),
        code=code(),
        manifest=manifest(),
        provenance=provenance(),
        serve=serving(),
        loaded=loaded(),
        contract=contract(),
        trainings=trainings(),
        surroundings=surroundings(),
        skew=skew(),
        quality=quality(),
        fuzz=fuzz(),
        load=load(),
        robustness=robust(),
        stop=stop(),
        scan=scan(),
        tracked=tracked(),
        stages=stages(),
        end=Ending(0, "judged"),
    )
    return replace(whole, **changes)


def write_files(root: Path, files: dict[str, str]) -> None:
    """Write text files below a folder."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
