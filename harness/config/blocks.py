"""The `x-harness` block of `compose.yaml`: what Compose cannot say.

Strict models: an unknown key or a wrong type is refused (`harness.project.description` names the line and the nearest
valid key). `harness schema` prints them as JSON Schema, draft 2020-12.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.config.quality import QualityBlock, or_list
from harness.config.values import (
    Argv,
    Bytes,
    ContainerPath,
    ContextPath,
    DialectName,
    LossPattern,
    ProjectFolder,
    ProjectGlob,
    ProjectPath,
    RubricTest,
    Seconds,
    Share,
    UrlPath,
    Volatile,
)


class _Block(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, populate_by_name=True)


class DataLimits(_Block):
    """How much of a defect the dataset may have; each is a share or a distance between 0 and 1."""

    shared: Share = Field(0.05, description="Share of hold-out rows that training has too.")
    tells: Share = Field(0.99, description="Of what the most frequent class leaves, what one column may explain.")
    categories: Share = Field(0.1, description="L-infinity distance of a category column from the reference.")
    numbers: Share = Field(0.1, description="Jensen-Shannon divergence of a number column from the reference, in bits.")
    missing: Share = Field(0.1, description="Change in the share of missing values of a column.")


class DataBlock(_Block):
    """The fixture dataset: a file or a folder, delivered read-only."""

    path: ProjectFolder = Field(
        description="File or folder, relative to compose.yaml.", examples=["tests/fixtures/penguins"]
    )
    mount: ContainerPath = Field(
        "/data", description="Where the train service finds it; with sagemaker: /opt/ml/input/data/<channel>."
    )
    channel: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$", max_length=64)] = Field(
        "training", description="Name of the input channel, where the protocol has channels (sagemaker)."
    )
    schema_: ProjectPath | None = Field(
        None, alias="schema", description="A pandera DataFrameSchema as YAML; every table in `path` must satisfy it."
    )
    target: str | None = Field(None, description="The column that the model predicts.", examples=["species"])
    train: str | None = Field(
        None, description="Name or glob of the training tables in `path`; default: by name, such as train.csv."
    )
    holdout: str | None = Field(
        None, description="The same of the hold-out tables; default: by name, such as holdout.csv, test.csv, valid.csv."
    )
    reference: ProjectPath | None = Field(
        None, description="Table, relative to compose.yaml, that the training rows must resemble."
    )
    limits: DataLimits = Field(DataLimits(), description="How much the dataset may leak or drift.")


class SmallBatchBlock(_Block):
    """A few rows that every learner must be able to learn by heart."""

    rows: int = Field(10, ge=1, description="Distinct rows.")
    tile: int = Field(30, ge=1, description="How often they are repeated: some learners want a minimum of rows.")
    max_loss: float | None = Field(None, description="The last loss over these rows must not exceed this.")
    min_score: float | None = Field(None, description="The last `score` over these rows must reach this.")


class TrainBlock(_Block):
    """How the model is trained."""

    service: str = Field("train", description="The Compose service that trains.")
    target: str | None = Field(
        None, description="For a model trained inside an image build: the build stage to run the training in."
    )
    from_: ProjectPath | None = Field(
        None,
        alias="from",
        description="Requirements file, for training code without a Dockerfile; the harness supplies the image.",
    )
    source: ProjectPath = Field(".", description="With `from`: the folder that is copied into the training image.")
    command: Argv | None = Field(None, description="The train command; default: what the service says.")
    timeout: Seconds = Field(
        600.0,
        description="Longest time that training may take; a further one shares the cores: three times as much.",
    )
    artifact: ContainerPath = Field(
        "/model", description="Folder or file that training writes; with sagemaker: /opt/ml/model."
    )
    metrics: ContainerPath | None = Field(
        None,
        description="JSON lines or CSV, one line an epoch or step, an MLflow file store (`mlruns`) or a folder with "
        "TensorBoard event files; default: metrics.jsonl in `artifact`.",
    )
    loss: str = Field("loss", description="The key of the loss in the metrics.")
    unit_tests: Argv | None = Field(
        None,
        description="The project's own tests, run in the training image; pytest, unittest, or any command that leaves "
        "JUnit XML at $HARNESS_JUNIT.",
        examples=[["python", "-m", "pytest", "-q", "tests"]],
    )
    loss_pattern: LossPattern | None = Field(
        None,
        description="In place of `metrics`: a regular expression over the log, its group the loss, or named groups.",
        examples=["loss=([0-9.e+-]+)"],
    )
    score: str | None = Field(
        None, description="The key of the accuracy or R2 on the hold-out in the metrics.", examples=["accuracy"]
    )
    seed_env: str | None = Field(None, description="The environment variable of the seed.", examples=["SEED"])
    small_batch: SmallBatchBlock | None = Field(None, description="A few rows that it must learn by heart.")
    repeat: Literal["bytes", "parameters", "predictions"] | None = Field(
        None, description="What a second run must repeat; default: the predictions, judged as a warning."
    )
    max_memory: Bytes | None = Field(None, description="Budget of the memory at its peak.")
    max_time: Seconds | None = Field(None, description="Budget of the time.")
    hyperparameters: dict[str, str | int | float | bool] = Field(
        {},
        description="Given to training where the protocol says how (sagemaker: as strings, in hyperparameters.json).",
    )


class FeatureBlock(_Block):
    """Rows of a table, through a function of the training image: given these values, expect those."""

    transform: str = Field(
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$",
        description="`module:function`, importable in the working directory of the training image.",
        examples=["features:engineer"],
    )
    table: ProjectPath = Field(
        description="CSV with columns of the input and `expect:NAME`, or a JSON list of {given, expect}.",
        examples=["tests/features.csv"],
    )
    takes: Literal["table", "rows", "row"] = Field(
        "table",
        description="What the function gets: a pandas DataFrame (a list of dicts where the image has no pandas), "
        "a list of dicts, or one dict at a time.",
    )
    relative: float = Field(1e-6, ge=0, description="Relative tolerance of numbers.")


class CodeBlock(_Block):
    """The project's code, tried in the training image."""

    features: tuple[FeatureBlock, ...] = Field((), description="Tables of values that a transform must give.")


class ArtifactBlock(_Block):
    """What the artifact must hold, what it may, and how large it may be."""

    files: tuple[str, ...] = Field(
        (),
        description="Files that make it complete, as they lie below `train.artifact`.",
        examples=[["model.joblib", "manifest.json"]],
    )
    max_size: Bytes | None = Field(None, description="Largest size of all its files together.")
    own: tuple[str, ...] = Field(
        (),
        description="Modules of the project that its pickles may import, with all below them; those whose source lies "
        "beside compose.yaml are found without it.",
        examples=[["features"]],
    )
    allow: tuple[str, ...] = Field(
        (),
        description="Further imports that its pickles may have: `module.name`, with * and ? for those that are not "
        "known; a dangerous one only by its full name.",
        examples=[["mypackage.*"]],
    )
    in_git: tuple[str, ...] = Field(
        (), description="Globs of model files that may be in git, such as test fixtures.", examples=[["tests/**"]]
    )


class ServeBlock(_Block):
    """How the model is served."""

    service: str = Field("serve", description="The Compose service that serves.")
    port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Port inside the container; default: the only one that the service names, else the dialect's.",
    )
    dialect: DialectName = Field(
        "auto", description="Serving protocol; `auto`: recognised by asking; `plain`: JSON without an API document."
    )
    document: UrlPath | None = Field(
        None, description="Path of the service's OpenAPI document; default: the dialect's, such as /openapi.json."
    )
    model: str = Field("model", description="Name of the model, where the paths of the protocol hold one.")
    ready: UrlPath | None = Field(
        None, description="Path that answers 2xx when the model can predict; default: the dialect's."
    )
    timeout: Seconds = Field(60.0, description="Longest time until the service is ready.")
    artifact: ContainerPath | None = Field(None, description="Where the serving container sees the artifact.")
    bake: ContextPath | None = Field(
        None, description="Path in the build context from which the serving Dockerfile copies the artifact."
    )


class LatencyBlock(_Block):
    """How fast the service answers a steady stream of requests, sent at their times whether or not it keeps up."""

    rate: float | None = Field(
        None, gt=0, description="Requests a second; default: 50, or half of what one client gets where that is less."
    )
    duration: Seconds = Field(2.0, description="How long they are sent.")
    p50: Seconds | None = Field(None, description="Half of the answers take no longer.")
    p95: Seconds | None = Field(None, description="95 of 100 answers take no longer.")
    p99: Seconds | None = Field(None, description="99 of 100 answers take no longer.")


class LoadBlock(_Block):
    """What the service bears: more and more clients at once, until its answers are slower than `p95`."""

    clients: tuple[Annotated[int, Field(ge=1, le=1024)], ...] = Field(
        (1, 2, 4, 8), min_length=1, description="Steps: clients that each wait for their answer and ask again."
    )
    duration: Seconds = Field(0.5, description="How long each step lasts.")
    p95: Seconds = Field(1.0, description="The step at which 95 of 100 answers take longer is the last.")
    sustains: int | None = Field(None, ge=1, description="Clients that it must bear within `p95`, without an error.")


class SkewBlock(_Block):
    """Hold-out rows are predicted in the training image too: both answers must agree."""

    rows: ProjectPath = Field(
        description="CSV or JSON-lines file, relative to compose.yaml.", examples=["data/holdout.csv"]
    )
    command: Argv = Field(
        description="Run in the training image with the artifact in its place; reads one JSON request a line from the "
        "file that its last argument names, and prints one JSON answer a line."
    )
    limit: int = Field(100, ge=1, description="At most this many rows.")
    relative: float = Field(1e-6, ge=0, description="Relative tolerance of numbers.")


class ContractBlock(_Block):
    """What the service promises about its answers."""

    predict: UrlPath | None = Field(
        None, description="Path that takes prediction requests; default: the dialect's, such as /predict."
    )
    examples: ProjectGlob | None = Field(
        None,
        description="Glob of example files: request, expected response, tolerance.",
        examples=["tests/contract/*.json"],
    )
    strict: bool = Field(
        default=False,
        description="Judge what was never promised (unknown fields, lax types) as failures, not warnings.",
    )
    baseline: ProjectPath | None = Field(
        None, description="Committed OpenAPI document that the served one must stay compatible with."
    )
    latency: LatencyBlock = Field(LatencyBlock(), description="Steady requests, and how slow an answer may be.")
    load: LoadBlock = Field(LoadBlock(), description="More and more clients at once.")
    skew: SkewBlock | None = Field(None, description="Rows that training and serving must predict alike.")
    volatile: tuple[Volatile, ...] = Field(
        (),
        description="JSON pointers into the answers, `*` for any key or position, of what is new each time and no "
        "prediction; left out wherever answers are compared.",
        examples=[["/request_id", "/predictions/*/id"]],
    )


class BundleBlock(_Block):
    """What a bundle may hold."""

    variables: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], ...] = Field(
        (),
        description="Variables that the Compose files take and whose values may go into a bundle; of others, "
        "`BASE_IMAGE` apart, only the names do, and of a name that looks secret never more.",
        examples=[["EPOCHS", "MODEL_NAME"]],
    )


class Block(_Block):
    """The whole `x-harness` block."""

    version: Literal[1] = Field(description="Version of this format.")
    wheels: dict[ProjectPath, ProjectFolder] = Field(
        default_factory=dict,
        description="Hash-locked requirements file -> folder that `harness setup` fills with its wheels.",
    )
    data: DataBlock | None = None
    code: CodeBlock = CodeBlock()
    train: TrainBlock = TrainBlock()
    artifact: ArtifactBlock = ArtifactBlock()
    serve: ServeBlock = ServeBlock()
    contract: ContractBlock = ContractBlock()
    quality: QualityBlock | None = Field(
        None, json_schema_extra=or_list, description="How good the served model must be on hold-out rows."
    )
    bundle: BundleBlock = BundleBlock()
    manual: dict[RubricTest, Annotated[str, Field(min_length=1)]] = Field(
        default_factory=dict,
        description="Test of the ML Test Score done by hand, such as `Data 2` -> where its results are written.",
    )
    skip: dict[str, Annotated[str, Field(min_length=1)]] = Field(
        default_factory=dict, description="Check -> the reason why it is skipped, shown in every report."
    )


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the `x-harness` block, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Block.model_json_schema(by_alias=True)}
