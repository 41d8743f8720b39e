"""What `harness VERB --help` adds to the options: examples that can be copied."""

from __future__ import annotations

import argparse
from collections.abc import Callable

Verb = Callable[..., argparse.ArgumentParser]  # (name, function, text, *parents)

EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "setup": (("harness setup", "find or install an engine, Compose, a base image and wheels"),),
    "doctor": (
        ("harness doctor", "what is missing on this machine, and what to do"),
        ("harness doctor --json", "the same for a program"),
    ),
    "lock": (("harness lock", "move the pins after a change of base image, requirements or data"),),
    "run": (
        ("harness run", "everything"),
        ("harness run --fast", "the main line alone: build, train, serve, contract"),
        ("harness run --only 'contract.*' --only serve.ready", "some checks, and what they need"),
        ("harness run --skip contract.fuzz", "all but one"),
        ("harness run --deep --budget 10m", "the nightly run: fuzzing with random requests, more trainings"),
        ("harness run -f compose.yaml -f compose.ci.yaml", "with an override of Compose"),
        ("harness run --keep on-failure", "leave the containers of a failing run for a look"),
        ("harness run --json", "events for a program; `--quiet` for a short log"),
    ),
    "contract": (
        ("harness contract --url http://127.0.0.1:8080", "judge a server that runs already"),
        ("harness contract --url http://127.0.0.1:8080 --deep", "fuzz and load it too"),
    ),
    "record": (
        ("harness record rows.csv", "train, serve, and write the answers to these rows down as examples"),
        ("harness record rows.jsonl --url http://127.0.0.1:8080 --yes", "ask a server that runs already"),
    ),
    "judge": (
        ("harness judge", "the last run, with today's checks"),
        ("harness judge 20261125T0029", "a run by the start of its ID"),
    ),
    "report": (
        ("harness report", "all reports of the last run, into its folder"),
        ("harness report 20261125T0029 --format junit --out reports", "one of them, elsewhere"),
    ),
    "compare": (
        ("harness compare 20261124T2249 latest", "what changed between two runs, new failures first"),
        ("harness compare main-run latest --fail-on-regression --markdown", "for CI: 1 where a check now fails"),
    ),
    "score": (("harness score latest", "the rubric of Breck et al. (2017) over the last run"),),
    "checks": (("harness checks", "all names, for --only, --skip and x-harness.skip"),),
    "schema": (("harness schema > x-harness.schema.json", "for the editor that completes the block"),),
    "replay": (
        ("harness replay", "run again what failed in the last run, and say whether it fails again"),
        ("harness replay 20261125T002931Z-4b60fd.harness.tar.gz", "what CI saw, from its bundle"),
        ("harness replay latest --here", "with this machine's variables, not the recorded ones"),
    ),
    "shell": (
        ("harness shell serve", "a shell in the state of the last run's serving container"),
        ("harness shell train --run 20261125T0029 -- python -V", "one program in it"),
    ),
    "clean": (
        ("harness clean", "remove what a killed run left; nothing without our labels"),
        ("harness clean --run 20261125T002931Z-4b60fd", "remove what this run kept"),
    ),
    "bundle": (
        ("harness bundle", "pack the last run: everything that somebody else needs to see it fail again"),
        ("harness bundle latest --with-images --artifact", "for a machine without a network"),
    ),
    "publish": (
        ("harness publish --to /srv/models", "put the artifact of the last run into a folder, by its digest"),
        ("harness publish --to oci://127.0.0.1:5000/penguins:main", "into a registry"),
        ("harness publish --to dvc:storage --pointer models/model.dvc", "into a DVC remote"),
    ),
    "verify": (
        ("harness verify .harness/runs/latest", "compare an artifact with its provenance"),
        ("harness verify oci://127.0.0.1:5000/penguins:main", "compare a published one"),
    ),
    "pull": (("harness pull oci://127.0.0.1:5000/penguins:main model", "fetch a published artifact into a folder"),),
    "data": (
        ("harness data schema train.csv --out train.schema.yaml", "a first pandera schema, to be corrected"),
        ("harness data sample big.parquet --rows 200 --target label --out fixture.parquet", "a tiny fixture"),
    ),
    "ci": (
        ("harness ci init github", "a workflow and a composite action; also gitlab, azure, jenkins"),
        ("harness ci init gitlab --print > .gitlab/harness.yml", "for a pipeline that exists: include it"),
    ),
    "completion": (
        ("harness completion bash > /etc/bash_completion.d/harness", "for bash"),
        ("harness completion zsh > ~/.zfunc/_harness", "for zsh"),
    ),
}


def examples(verb: str) -> str | None:
    """Return the examples of a verb as text; None for one that has none."""
    given = EXAMPLES.get(verb)
    if given is None:
        return None
    return "examples:\n" + "\n".join(f"  {line}\n      {what}" for line, what in given)
