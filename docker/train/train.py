"""Train the penguin classifier: a folder of data in, a folder with the artifact out."""

import argparse
import hashlib
import json
import os
import platform
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn, Self

import features
import joblib
import numpy as np
import pandas as pd

# scikit-learn takes a second to import, so it is imported where it is used: data that cannot be trained on is
# refused before that.
if TYPE_CHECKING:
    from sklearn.linear_model import SGDClassifier
    from sklearn.pipeline import Pipeline

MANIFEST_FORMAT = 1
EPOCHS = 60
REPORT_EVERY = 5
PACKAGES = ("scikit-learn", "pandas", "numpy", "joblib")


class InputError(Exception):
    """The data cannot be trained on; the message says why and what to do."""


@dataclass(frozen=True)
class Dataset:
    """One labelled table and the file that it came from."""

    path: Path
    rows: pd.DataFrame
    labels: np.ndarray

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a CSV file and refuse what the model was not made for."""
        try:
            table = pd.read_csv(path)
            missing = {features.TARGET, *features.COLUMNS} - set(table.columns)
            if missing:
                message = (
                    f"{path}: expected the columns {', '.join(sorted(missing))}, "
                    f"received {', '.join(table.columns)}; add them or mount another folder"
                )
                raise InputError(message)
            rows = features.typed(table)
        except OSError as error:
            message = f"{path}: expected a readable CSV file, received: {error.strerror}; "
            raise InputError(message + "mount a folder with train.csv and holdout.csv") from error
        except ValueError as error:
            message = f"{path}: expected a CSV table of penguins, received: {error}; correct it"
            raise InputError(message) from error
        unknown = set(table[features.TARGET].astype(str)) - set(features.SPECIES)
        if unknown or table.empty:
            message = (
                f"{path}: expected rows with one of {', '.join(features.SPECIES)} as "
                f"{features.TARGET}, received {', '.join(sorted(unknown)) or 'no rows'}; correct it"
            )
            raise InputError(message)
        return cls(path, rows, table[features.TARGET].to_numpy(dtype=object))


def build(seed: int) -> "Pipeline":
    """Return the untrained pipeline; it takes rows as they stand in the CSV files."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import SGDClassifier
    from sklearn.pipeline import Pipeline, make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

    numbers = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        StandardScaler(),
    )
    prepare = ColumnTransformer(
        [
            ("numbers", numbers, [*features.MEASURED, *features.ENGINEERED]),
            # A missing category is a category of its own.
            ("categories", OneHotEncoder(handle_unknown="ignore"), list(features.CATEGORIES)),
        ],
        sparse_threshold=0,
    )
    classify = SGDClassifier(
        loss="log_loss",
        learning_rate="constant",
        eta0=0.02,
        random_state=seed,
    )
    return Pipeline(
        [
            ("features", FunctionTransformer(features.engineer)),
            ("prepare", prepare),
            ("classify", classify),
        ],
    )


def fit(
    model: "Pipeline",
    train: Dataset,
    holdout: Dataset,
    seed: int,
    metrics: Path,
) -> dict[str, float]:
    """Fit in epochs, write a line of metrics after the first and every few, and return the last."""
    from sklearn.metrics import accuracy_score

    prepare, classify = model[:-1], model[-1]
    inputs, unseen = prepare.fit_transform(train.rows), prepare.transform(holdout.rows)
    generator = np.random.default_rng(seed)
    line: dict[str, float] = {}
    with metrics.open("w", encoding="utf-8") as file:
        for epoch in range(1, EPOCHS + 1):
            order = generator.permutation(len(inputs))
            classify.partial_fit(inputs[order], train.labels[order], classes=features.SPECIES)
            if epoch > 1 and epoch % REPORT_EVERY:  # measuring costs more than the epoch itself
                continue
            line = {
                "epoch": epoch,
                "loss": loss(classify, inputs, train.labels),
                "holdout_loss": loss(classify, unseen, holdout.labels),
                "accuracy": float(accuracy_score(holdout.labels, classify.predict(unseen))),
            }
            # Flushed, so that whoever follows file and log sees each line as it comes.
            print(json.dumps(line), file=file, flush=True)
            print(
                f"epoch {epoch}/{EPOCHS}: loss {line['loss']:.4f}, "
                f"hold-out loss {line['holdout_loss']:.4f}, accuracy {line['accuracy']:.3f}",
                flush=True,
            )
    return line


def loss(classify: "SGDClassifier", inputs: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean log loss."""
    from sklearn.metrics import log_loss

    return float(log_loss(labels, classify.predict_proba(inputs), labels=features.SPECIES))


def example(model: "Pipeline", holdout: Dataset) -> dict[str, object]:
    """Return one row and its probabilities: who loads the model can check that it still agrees."""
    fullest = holdout.rows.isna().sum(axis="columns").idxmin()
    row = holdout.rows.loc[[fullest]]
    chances = model.predict_proba(row)[0]
    return {
        "instance": json.loads(row.to_json(orient="records"))[0],
        "probabilities": dict(zip(features.SPECIES, map(float, chances), strict=True)),
    }


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def save(model: "Pipeline", out: Path, facts: Mapping[str, object]) -> None:
    """Write the model and then the manifest, each under a temporary name first.

    The manifest comes last: where it stands, the artifact is complete.
    """
    artifact, manifest = out / "model.joblib", out / "manifest.json"
    partial = out / "model.joblib.partial"
    joblib.dump(model, partial)
    partial.replace(artifact)
    content = {
        "format": MANIFEST_FORMAT,
        "artifact": {"file": artifact.name, "sha256": digest(artifact)},
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        **facts,
    }
    partial = out / "manifest.json.partial"
    partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    partial.replace(manifest)


def run(data: Path, out: Path, seed: int) -> None:
    """Train on one folder and leave model, manifest and metrics in the other."""
    train, holdout = Dataset.read(data / "train.csv"), Dataset.read(data / "holdout.csv")
    out.mkdir(parents=True, exist_ok=True)
    # A run that breaks off must not leave an earlier run's artifact as its own.
    (out / "manifest.json").unlink(missing_ok=True)
    print(f"training on {len(train.rows)} rows, seed {seed}", flush=True)
    model = build(seed)
    metrics = fit(model, train, holdout, seed, out / "metrics.jsonl")
    facts = {
        "seed": seed,
        "features": {"columns": features.COLUMNS, "engineered": features.ENGINEERED},
        "classes": features.SPECIES,
        "rows": {"train": len(train.rows), "holdout": len(holdout.rows)},
        "data": {dataset.path.name: digest(dataset.path) for dataset in (train, holdout)},
        "metrics": metrics,
        "example": example(model, holdout),
    }
    save(model, out, facts)
    print(f"wrote {out / 'model.joblib'}", flush=True)


def stop(number: int, _frame: FrameType | None) -> NoReturn:
    """End at once, with the exit code of a program that a signal ended; the manifest is not there yet."""
    sys.exit(128 + number)


def main() -> int:
    """Run the command line and return the exit code."""
    # The first process of a container ignores SIGTERM unless it says otherwise.
    signal.signal(signal.SIGTERM, stop)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("/data"), help="folder with the CSV files")
    parser.add_argument("--out", type=Path, default=Path("/model"), help="folder for the artifact")
    # A text as default: argparse then checks the variable like an argument.
    parser.add_argument("--seed", type=int, default=os.environ.get("SEED", "7"))
    options = parser.parse_args()
    try:
        run(options.data, options.out, options.seed)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
