"""The files that the quality gate reads: found by convention where they are not named, and checked."""

from __future__ import annotations

from pathlib import Path

from harness.config.blocks import Block
from harness.datasets.row_file import SUFFIXES
from harness.errors import DescriptionError
from harness.project.compose_file import Places

HOLDOUT, TRAINING = ("holdout", "test"), ("train",)


def completed(root: Path, block: Block, places: Places) -> Block:
    """Return the block with hold-out file, target and training rows filled in. Raises DescriptionError."""
    quality = block.quality
    if quality is None:
        return block
    data = root / block.data.path if block.data else None
    found = quality.model_copy(
        update={
            "holdout": quality.holdout or _table(root, data, HOLDOUT),
            "training": quality.training or _table(root, data, TRAINING),
            "target": quality.target or (block.data.target if block.data else None),
        }
    )
    where = places("quality")
    if found.holdout is None:
        raise DescriptionError(
            f"{where}`quality` needs labelled rows, and there is no holdout.csv in `data.path`",
            hint="Name the file: quality: {holdout: tests/holdout.csv, conditions: [...]}",
        )
    if found.target is None:
        raise DescriptionError(
            f"{where}`quality` needs the name of the column with the labels",
            hint="Add it to the dataset: data: {target: species}",
        )
    if block.contract.examples is None:
        raise DescriptionError(
            f"{where}`quality` needs `contract.examples`: the rows take their form",
            hint="Add an example with one good request.",
        )
    for key, name in (("holdout", found.holdout), ("training", found.training)):
        if name is not None and (Path(name).suffix not in SUFFIXES or not (root / name).is_file()):
            raise DescriptionError(
                f"{places('quality', key)}{name} is no CSV, JSON-lines or Parquet file",
                hint=f"Correct `quality.{key}`, or fetch the file (for example with `dvc pull`).",
            )
    if isinstance(found.baseline, str) and not (root / found.baseline).is_file():
        raise DescriptionError(
            f"{places('quality', 'baseline')}the baseline {found.baseline} does not exist",
            hint="Run once without it, then commit the run's predictions under this name: "
            f"cp .harness/runs/latest/quality/predictions.jsonl {found.baseline}\n"
            "Or take those of the last published artifact: baseline: {store: oci://HOST/REPOSITORY}",
        )
    return block.model_copy(update={"quality": found})


def _table(root: Path, data: Path | None, stems: tuple[str, ...]) -> str | None:
    """Return the first table in the dataset with one of these names, relative to the project."""
    if data is None or not data.is_dir():
        return None
    names = (data / f"{stem}{suffix}" for stem in stems for suffix in SUFFIXES)
    return next((str(name.relative_to(root)) for name in names if name.is_file()), None)
