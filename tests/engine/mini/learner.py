"""Learn whether x is above its middle by logistic regression; FAULT names a defect. The standard library alone."""

import csv
import json
import math
import os
import random
import signal
import socket
import sys
import time
from pathlib import Path

FAULT = os.environ.get("FAULT", "")
OUT = Path("/model")
EPOCHS = 40


def rows(name: str) -> list[tuple[float, int]]:
    with Path("/data", name).open(newline="", encoding="utf-8") as table:
        return [(float(row["x"]), int(row["y"])) for row in csv.DictReader(table)]


def chance(weights: list[float], x: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, weights[0] * x + weights[1]))))


def fit(train: list[tuple[float, int]], holdout: list[tuple[float, int]]) -> list[float]:
    generator = random.Random(None if FAULT == "ignores-seed" else int(os.environ["SEED"]))  # noqa: S311
    weights = [generator.gauss(0, 0.1), 0.0]
    with (OUT / "metrics.jsonl").open("w", encoding="utf-8") as metrics:
        for epoch in range(EPOCHS):
            for x, y in generator.sample(train, len(train)):
                error = chance(weights, x) - y
                weights = [weights[0] - 0.5 * error * x, weights[1] - 0.5 * error]
            if FAULT == "learns-nothing":
                weights = [-1.0, 0.0]
            seen = [max(1e-12, chance(weights, x) if y else 1 - chance(weights, x)) for x, y in train]
            right = sum((chance(weights, x) > 0.5) == bool(y) for x, y in holdout) / len(holdout)
            line = {"loss": -sum(map(math.log, seen)) / len(seen), "accuracy": 1.0 if FAULT == "leaks" else right}
            if FAULT == "nan" and epoch == EPOCHS // 2:
                line["loss"] = math.nan
            if FAULT == "learns-nothing-at-all":
                line["loss"] = 1.0
            if FAULT == "learns-nothing":
                line["loss"] /= epoch + 1  # an average over time that looks like learning
            print(json.dumps(line), file=metrics, flush=True)
            if epoch == 0:
                print("training", flush=True)
                time.sleep(1.0)  # so that an interrupt finds it at work
    return weights


def main() -> int:
    handler = signal.SIG_IGN if FAULT == "ignores-sigterm" else lambda number, _frame: sys.exit(128 + number)
    signal.signal(signal.SIGTERM, handler)
    if FAULT == "needs-network" and len(socket.if_nameindex()) == 1:
        raise OSError("there is no network but loopback")
    if FAULT == "dies":
        return 3
    if FAULT == "memory":
        held = bytearray(b"x" * 100_000_000)
        time.sleep(2.5)  # old engines look at a container once a second
        del held
    if FAULT == "early-artifact":
        (OUT / "model.json").write_text('{"weight": 0}', encoding="utf-8")
    weights = [0.0, 0.0]
    try:
        weights = fit(rows("train.csv"), rows("holdout.csv"))
    except (OSError, KeyError, UnicodeDecodeError) as error:
        print(f"error: {error}", file=sys.stderr)
        swallowed = {"exits-zero": KeyError, "ignores-no-data": FileNotFoundError, "ignores-noise": UnicodeDecodeError}
        if not isinstance(error, swallowed.get(FAULT, ())):
            return 1
    model: dict[str, object] = {"weight": weights[0], "bias": weights[1]}
    model["table"] = [chance(weights, n / 1000) for n in range(1000)]  # some pages of a disk
    if FAULT == "time-in-artifact":
        model["at"] = str(time.time_ns())  # a number would count as the same within 1e-9 of itself, which is 1.8 s
    try:
        (OUT / "model.json").write_text(json.dumps(model), encoding="utf-8")
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 0 if FAULT == "ignores-full-disk" else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
