"""A container for Amazon SageMaker: one image whose `train` trains and whose `serve` serves.

The specification is the Amazon SageMaker Developer Guide, sections "Use Your Own Inference Code with Hosting
Services", "How Amazon SageMaker Provides Training Information" and "How Amazon SageMaker Processes Training Output".
What requests and answers hold is the container's own affair: any JSON is looked at.
"""

from __future__ import annotations

import json

from harness.client.protocols.protocol import Dialect, Expected, Probe, Sign
from harness.config.blocks import Block
from harness.evidence.records import Exchange

INVOCATIONS = "/invocations"
PING_WITHIN = 2.0
PREDICT_WITHIN = 60.0
HOSTING = "the SageMaker Developer Guide"
CONFIG = "/opt/ml/input/config"
HOST = "algo-1"


def train_files(block: Block) -> dict[str, str]:
    """Return path -> text of the three files that SageMaker gives to a training container."""
    given = block.train.hyperparameters
    hyperparameters = {key: value if isinstance(value, str) else json.dumps(value) for key, value in given.items()}
    channel = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
    files = {
        "hyperparameters.json": hyperparameters,
        "inputdataconfig.json": {block.data.channel: channel} if block.data else {},
        "resourceconfig.json": {"current_host": HOST, "hosts": [HOST], "network_interface_name": "eth0"},
    }
    return {f"{CONFIG}/{name}": json.dumps(content, indent=1) + "\n" for name, content in files.items()}


def _is_200(exchange: Exchange) -> bool:
    return exchange.status == 200  # noqa: PLR2004 - OK; SageMaker takes no other status for healthy


def _takes_post_only(exchange: Exchange) -> bool:
    return exchange.status == 405  # noqa: PLR2004 - Method Not Allowed


SAGEMAKER = Dialect(
    "sagemaker",
    port=8080,
    ready="/ping",
    predict=INVOCATIONS,
    is_ready=_is_200,
    signs=(Sign("/ping", _is_200), Sign(INVOCATIONS, _takes_post_only)),
    probes=(
        Probe(
            "ping",
            "GET",
            "/ping",
            Expected((200,), within=PING_WITHIN),
            f"{HOSTING}, How Your Container Should Respond to Health Check (Ping) Requests",
        ),
        Probe(
            "invocations",
            "POST",
            INVOCATIONS,
            Expected((200,), within=PREDICT_WITHIN),
            f"{HOSTING}, How Your Container Should Respond to Inference Requests",
            example=True,
        ),
    ),
    ready_within=PING_WITHIN,
    predict_within=PREDICT_WITHIN,
    stop_within=30.0,  # SIGTERM, then SIGKILL
    train_command=("train",),
    serve_command=("serve",),
    artifact="/opt/ml/model",
    data="/opt/ml/input/data",
    failure="/opt/ml/output/failure",
    train_files=train_files,
    train_environment={
        "TRAINING_JOB_NAME": "harness",
        "TRAINING_JOB_ARN": "arn:aws:sagemaker:us-east-1:000000000000:training-job/harness",
    },
)
