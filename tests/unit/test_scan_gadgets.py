"""Every gadget is found and named in every protocol and form, and nothing of it is ever executed."""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gadgets
import pytest
from gadgets import FORMS, GADGETS, PROTOCOLS, Gadget, assemble, variants

from harness.evidence.records import ScannedFile, Use
from harness.scanner import scan_file
from harness.scanner.known import is_dangerous
from harness.scanner.opcodes import STEPS


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[str]:
    """A command that makes a file; after the test the file must not be there."""
    sign = tmp_path / "executed"
    yield f"touch {sign}"
    assert not sign.exists(), "something was executed"


def scan(content: bytes, folder: Path) -> ScannedFile:
    path = folder / "model.bin"
    path.write_bytes(content)
    return scan_file(path, "model.bin")


def named(file: ScannedFile) -> set[str]:
    """The dangerous imports that were found."""
    return {each.full for each in file.imports if is_dangerous(each.module, each.name)}


def test_the_canary_sings(tmp_path: Path) -> None:
    """The gadgets are real: a loader that executes them makes the file."""
    (tmp_path / "model.pkl").write_bytes(assemble("os", "system", f"touch {tmp_path / 'executed'}", 4))
    code = f"import pickle; pickle.load(open({str(tmp_path / 'model.pkl')!r}, 'rb'))"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "executed").exists()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_gadget_of_every_protocol(protocol: int, canary: str, tmp_path: Path) -> None:
    """Each gadget is named, called, with its position, in each protocol; the pickles are well-formed."""
    wrong = []
    for module, name in GADGETS:
        content = assemble(module, name, canary, protocol)
        pickletools.dis(content, out=io.StringIO())
        file = scan(content, tmp_path)
        found = [each for each in file.imports if is_dangerous(each.module, each.name)]
        opcodes = [content[each.position : each.position + 1] for each in found]
        named_once = [(each.full, each.use) for each in found] == [(f"{module}.{name}", Use.CALLED)]
        if file.error is not None or not named_once or opcodes != [b"c" if protocol < 4 else b"\x93"]:
            wrong.append(f"{module}.{name}: {file}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("form", FORMS)
def test_gadgets_in_every_form(form: str, canary: str, tmp_path: Path) -> None:
    """All gadgets are named in each form, the protocols in turn."""
    if "lz4" in form:
        pytest.importorskip("lz4")
    missed = []
    for number, (module, name) in enumerate(GADGETS):
        hidden = form.startswith(("behind", "bytes", "torch zip, tensor"))
        if hidden and module in ("features", "__main__"):
            continue  # in the middle of other data a call is found by the module that it begins with
        protocol = number % 6 if not form.startswith("bytes") else 2 + number % 4
        content = assemble(module, name, canary, protocol)
        file = scan(FORMS[form](content, tmp_path), tmp_path)
        if f"{module}.{name}" not in named(file):
            missed.append(f"{module}.{name} in protocol {protocol}: {file}")
        assert hidden or file.error is None, file.error
    assert not missed, "\n".join(missed)


@pytest.mark.parametrize("form", FORMS)
def test_real_pickles_in_every_form(form: str, canary: str, tmp_path: Path) -> None:
    """What `pickle.dumps` makes of an object with `__reduce__` is named in each form and protocol."""
    if "lz4" in form:
        pytest.importorskip("lz4")
    found = {}
    for protocol in PROTOCOLS:
        if form.startswith("bytes") and protocol < 2:
            continue  # in protocol 0 and 1 a pickle inside bytes is plain text, and no file of its own
        written = 2 if form.startswith("after arrays") and protocol < 2 else protocol
        content = pickle.dumps(Gadget(os.system, canary), written)
        found[protocol] = named(scan(FORMS[form](content, tmp_path), tmp_path))
    assert found == {protocol: {f"{os.name}.system"} for protocol in found}
    assert len(found) >= 4


@pytest.mark.parametrize("variant", variants("os", "system", "x"))
def test_other_ways_to_call(variant: str, canary: str, tmp_path: Path) -> None:
    """INST, OBJ, NEWOBJ, names out of the memo, and files that break off after the call."""
    for module, name in GADGETS:
        file = scan(variants(module, name, canary)[variant], tmp_path)
        assert named(file) == {f"{module}.{name}"}, file
        assert (file.error is not None) == (variant in ("breaks off", "then no opcode"))


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04" + b"\x82\x07)R.",  # EXT1
        b"\x80\x04" + b"\x83\x07\x00)R.",
        b"\x80\x04" + b"\x84\x07\x00\x00\x00)R.",
        b"\x80\x04" + b"cbuiltins\nstr\nC\x02os\x85R\x8c\x06system\x93.",  # the name is the result of a call
        b"\x80\x04" + b"X\xff\x00\x00\x00" + b"o" * 255 + b"\x8c\x06system\x93.",  # longer than any name
    ],
)
def test_names_that_are_not_in_the_file(content: bytes, tmp_path: Path) -> None:
    """A name that is computed, or registered elsewhere, is dangerous whatever it is."""
    assert len(named(scan(content, tmp_path))) == 1


def test_altered_classes(tmp_path: Path) -> None:
    """State that is given to a class or a module itself changes the program: it is noted."""
    for content in (
        b"\x80\x02cnumpy\nndarray\n}X\x01\x00\x00\x00aK\x01sb.",
        b"\x80\x02cnumpy\nndarray\nX\x01\x00\x00\x00aK\x01s.",
    ):
        (found,) = scan(content, tmp_path).imports
        assert found.use is Use.ALTERED


def test_every_opcode_is_known() -> None:
    """The table has the opcodes of the standard library, all of them."""
    assert set(STEPS) | {b"."} == {opcode.code.encode("latin-1") for opcode in pickletools.opcodes}


def test_stack_effects() -> None:
    """Each opcode takes and gives as many values as the standard library says."""
    from harness.scanner.machine import Machine
    from harness.scanner.source import Budget, Source
    from harness.scanner.values import Found

    arguments: dict[str, bytes] = {"p": b"0\n", "g": b"0\n", "I": b"1\n", "L": b"1L\n", "F": b"1.5\n", "S": b"'a'\n"}
    arguments |= {"V": b"a\n", "c": b"a\nb\n", "i": b"a\nb\n", "P": b"a\n"}
    for opcode in pickletools.opcodes:
        if opcode.code == ".":
            continue
        source = Source(iter((arguments.get(opcode.code, bytes(16)),)), Budget())
        machine = Machine(source, Found())
        machine.push("kept")
        machine.remember(0)
        before: list[Any] = list(opcode.stack_before)
        for value in before:
            if value is pickletools.markobject:
                machine.mark()
            elif value is not pickletools.stackslice:
                machine.push("text")
        if opcode.code == "1":  # its mark goes too, as the table of the standard library forgets to say
            machine.push("text")
        STEPS[opcode.code.encode("latin-1")](machine)
        left = 1 + len(opcode.stack_after)
        assert machine.depth == left, opcode.name


def test_the_set_is_worth_its_name() -> None:
    """There are no fewer gadgets than public scanners are tested with."""
    assert len(set(GADGETS)) > 60
    assert len(gadgets.FORMS) > 35
