"""Judges a server that runs already: the contract alone, without an engine, an image or a training."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness import __version__
from harness.checks import all_checks
from harness.client.http import Target
from harness.config.blocks import Block
from harness.config.spec import Handover, Spec
from harness.errors import DescriptionError
from harness.evidence.records import Contract, Environment, Selection
from harness.evidence.run_folder import RunFolder
from harness.project.contract_file import load_contract
from harness.project.description import find_block
from harness.runner.run_state import LINE, RunState, Verdict, Watcher, ended
from harness.runner.stages import Recording
from harness.runner.stages import contract as contract_stage
from harness.runner.stages import fuzz as fuzz_stage
from harness.runner.stages import load as load_stage
from harness.runner.stages.readiness import await_ready

ELSEWHERE = "the service runs already: it was neither built, trained nor started here"
GENTLY = "the service runs elsewhere and others may use it: --deep fuzzes it and puts it under load"
JUDGED = ("contract", "fuzz", "load")


@dataclass(frozen=True)
class Overrides:
    """What the command line says instead of x-harness; None: what x-harness says."""

    examples: str | None = None
    predict: str | None = None
    dialect: str | None = None
    strict: bool = False


def describe(root: Path, files: Sequence[Path], target: Target, overrides: Overrides) -> Spec:
    """Return the description of a service that runs already: the x-harness block where there is one.

    Raises DescriptionError.
    """
    root = root.resolve()
    block = find_block(root, files) or Block(version=1)
    raw = block.model_dump(by_alias=True, exclude_unset=True)
    contract, serve = dict(raw.get("contract", {})), dict(raw.get("serve", {}))
    changes = {"examples": overrides.examples, "predict": overrides.predict, "strict": overrides.strict or None}
    contract |= {key: value for key, value in changes.items() if value is not None}
    if overrides.dialect is not None:
        serve["dialect"] = overrides.dialect
    try:
        block = Block.model_validate({**raw, "contract": contract, "serve": serve})
    except ValueError as exc:
        raise DescriptionError(f"the command line and x-harness do not fit: {exc}", hint="Correct the option.") from exc
    examples, behaviours = load_contract(root, block.contract.examples)
    return Spec(
        root=root,
        files=(),
        project=target.host,
        block=block.model_copy(update={"data": None}),
        model={},
        handover=Handover.MOUNTED,
        train_key="",
        serve_key="",
        port=target.port,
        serve_artifact=None,
        examples=examples,
        behaviours=behaviours,
    )


def judge(spec: Spec, target: Target, watcher: Watcher, selection: Selection) -> Verdict:
    """Send the requests of the contract to a server that runs already, and judge the answers. Raises HarnessError."""
    selection.verify([check.name for check in all_checks()])
    folder = RunFolder.create(spec.root)
    folder.mark_latest()
    environment = Environment(
        harness=__version__,
        python=platform.python_version(),
        host=platform.platform(),
        engine=f"none: {target.url}",
        api="none",
        compose="none",
        storage="none",
        cores=0,
        memory=0,
        hash_seed="",
    )
    watcher.run_begins(spec, environment, folder.id)
    line = RunState(Recording(spec=spec, folder=folder, say=watcher.line), watcher, selection)
    line.keep("environment", environment)
    with ended(line):
        line.leave_out(ELSEWHERE, *(name for name in LINE if name not in JUDGED))
        contract = line.record("contract", lambda: contract_stage.collect(line.run, target, await_ready(spec, target)))
        if not selection.deep:
            line.leave_out(GENTLY, "fuzz", "load")
        else:
            _burden(line, target, contract)
    return line.verdict()


def _burden(line: RunState, target: Target, contract: Contract) -> None:
    """Fuzz a server that may be fuzzed, and put it under load."""
    seed, budget = line.selection.seed, line.selection.budget
    if line.needs("fuzz"):
        options = partial(fuzz_stage.collect, deep=True, foreign=True, seed=seed, budget=budget)
        line.record("fuzz", lambda: options(line.run, target, contract))
    if line.needs("load"):
        line.record("load", lambda: load_stage.collect(line.run, target, contract))
