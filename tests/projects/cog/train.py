"""Fit the heat that a house needs by frost and wind: least squares by gradient descent."""

import csv
import json
import os
from pathlib import Path

DATA = Path(os.environ.get("DATA", "/data"))
OUT = Path(os.environ.get("OUT", "/model"))
COLUMNS = ("frost", "wind")
EPOCHS = 200
RATE = 0.5


def read(path: Path) -> list[tuple[list[float], float]]:
    """Return (inputs with a leading 1, heat) of every row."""
    with path.open(newline="", encoding="utf-8") as file:
        return [([1.0, *(float(row[name]) for name in COLUMNS)], float(row["heat"])) for row in csv.DictReader(file)]


def main() -> None:
    """Train, write one line of metrics for each epoch and the model last."""
    rows = read(DATA / "train.csv")
    weights = [0.0] * (len(COLUMNS) + 1)
    OUT.mkdir(parents=True, exist_ok=True)
    with (OUT / "metrics.jsonl").open("w", encoding="utf-8") as metrics:
        for epoch in range(1, EPOCHS + 1):
            errors = [sum(w * x for w, x in zip(weights, inputs, strict=True)) - heat for inputs, heat in rows]
            loss = sum(error**2 for error in errors) / len(rows)
            print(json.dumps({"epoch": epoch, "loss": loss}), file=metrics, flush=True)
            for i in range(len(weights)):
                slope = sum(e * row[0][i] for e, row in zip(errors, rows, strict=True)) / len(rows)
                weights[i] -= RATE * slope
    print(f"{EPOCHS} epochs on {len(rows)} rows, loss {loss:.6f}")
    model = {"columns": COLUMNS, "weights": weights}
    (OUT / "model.json").write_text(json.dumps(model) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
