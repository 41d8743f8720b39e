"""Fit the heat that a house needs by frost and wind by gradient descent, and save it in MLflow's format."""

import json
import tempfile
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

DATA, OUT = Path("/data"), Path("/model")
COLUMNS = ["frost", "wind"]
EPOCHS, RATE = 200, 0.5
SIGNATURE = ModelSignature(Schema([ColSpec("double", name) for name in COLUMNS]), Schema([ColSpec("double", "heat")]))


def main() -> None:
    """Train, write one line of metrics for each epoch and the model last."""
    table = pd.read_csv(DATA / "train.csv")
    inputs = np.column_stack([np.ones(len(table)), table[COLUMNS]])
    heat = table["heat"].to_numpy()
    weights = np.zeros(inputs.shape[1])
    with (OUT / "metrics.jsonl").open("w", encoding="utf-8") as metrics:
        for epoch in range(1, EPOCHS + 1):
            errors = inputs @ weights - heat
            print(json.dumps({"epoch": epoch, "loss": float(np.mean(errors**2))}), file=metrics, flush=True)
            weights -= RATE * inputs.T @ errors / len(table)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "weights.json"
        file.write_text(json.dumps(weights.tolist()) + "\n", encoding="utf-8")
        mlflow.pyfunc.save_model(
            OUT / "heat",
            python_model="heat.py",
            artifacts={"weights": str(file)},
            signature=SIGNATURE,
            pip_requirements=["mlflow-skinny", "numpy", "pandas"],
        )


if __name__ == "__main__":
    main()
