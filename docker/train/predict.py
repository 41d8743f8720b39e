"""Predict requests in the training image: what the service answers over HTTP, without the service.

The last argument names a file with one JSON request a line; one JSON answer a line goes to standard output. A
difference from the service's answers is skew between training and serving.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import features
import joblib
import pandas as pd
from sklearn.pipeline import Pipeline


def answer(model: Pipeline, request: dict[str, list[dict[str, object]]]) -> dict[str, list[dict[str, object]]]:
    """Return the predictions in the form of the contract; a field that is left out is missing."""
    rows = pd.DataFrame(request["instances"]).reindex(columns=list(features.COLUMNS))
    return {
        "predictions": [
            {
                "species": features.SPECIES[chances.argmax()],
                "probabilities": dict(zip(features.SPECIES, chances.tolist(), strict=True)),
            }
            for chances in model.predict_proba(rows)
        ],
    }


def main() -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("requests", type=Path, help="file with one JSON request a line")
    default = Path(os.environ.get("MODEL_DIR", "/model"))
    parser.add_argument("--model", type=Path, default=default, help="folder with the artifact")
    options = parser.parse_args()
    model = joblib.load(options.model / "model.joblib")
    for line in options.requests.read_text(encoding="utf-8").splitlines():
        print(json.dumps(answer(model, json.loads(line))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
