"""The opcodes of pickle, protocol 0 to 5: what each does to the abstract machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.evidence.records.scan import Use
from harness.scanner import arguments as read
from harness.scanner.arguments import BrokenError
from harness.scanner.machine import MAX_STACK, Machine
from harness.scanner.source import UnreadableError
from harness.scanner.values import INERT, Ref

OpcodeHandler = Callable[[Machine], None]


def _called(machine: Machine, items: list[Any]) -> None:
    machine.call(items[0] if items else INERT, machine.tuple_of(items[1:]), Use.CALLED)


def _instance(machine: Machine) -> None:
    ref = machine.named()
    machine.call(ref, machine.tuple_of(machine.items()), Use.CALLED)


def _two(machine: Machine, step: Callable[[Any, Any], None]) -> None:
    step(*machine.take(2))


def _signed(machine: Machine) -> None:
    machine.push(int.from_bytes(machine.source.read(4), "little", signed=True))


def _three(machine: Machine) -> None:
    function, arguments, _ = machine.take(3)
    machine.call(function, arguments, Use.BUILT)


def _float(machine: Machine) -> None:
    machine.source.skip(8)
    machine.push(INERT)


def _bag(machine: Machine) -> None:
    machine.keep(machine.items())
    machine.push(INERT)


def _persistent(machine: Machine) -> None:
    read.line(machine.source)
    machine.push(INERT)


def _binary_persistent(machine: Machine) -> None:
    """Data outside the pickle, or the class that PyTorch's old format keeps beside the source of its module."""
    key = machine.pop()
    is_class = isinstance(key, tuple) and len(key) > 1 and key[0] == "module" and isinstance(key[1], Ref)
    machine.push(key[1] if is_class else INERT)


# As in pickletools.opcodes; grouped by what they do to the stack.
STEPS: dict[bytes, OpcodeHandler] = {
    b"(": Machine.mark,
    b"0": Machine.discard,
    b"1": lambda m: m.items().clear(),
    b"2": lambda m: m.push(m.top()),
    # Numbers and truth values.
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"I": lambda m: m.push(read.integer(m.source)),
    b"L": lambda m: m.push(read.integer(m.source)),
    b"J": _signed,
    b"K": lambda m: m.push(read.number(m.source, 1)),
    b"M": lambda m: m.push(read.number(m.source, 2)),
    b"\x8a": lambda m: m.push(read.long(m.source, 1)),
    b"\x8b": lambda m: m.push(read.long(m.source, 4)),
    b"F": lambda m: m.push(read.real(m.source)),
    b"G": _float,
    # Texts and bytes.
    b"S": lambda m: m.push(read.quoted(m.source)),
    b"T": lambda m: m.push(read.text(m.source, 4)),
    b"U": lambda m: m.push(read.text(m.source, 1)),
    b"V": lambda m: m.push(read.raw_text(m.source)),
    b"X": lambda m: m.push(read.text(m.source, 4)),
    b"\x8c": lambda m: m.push(read.text(m.source, 1)),
    b"\x8d": lambda m: m.push(read.text(m.source, 8)),
    b"B": lambda m: m.put_bytes(4),
    b"C": lambda m: m.put_bytes(1),
    b"\x8e": lambda m: m.put_bytes(8),
    b"\x96": lambda m: m.put_bytes(8),
    b"\x97": lambda m: m.push(INERT),
    b"\x98": Machine.top,
    # Containers.
    b"]": lambda m: m.push(INERT),
    b"l": _bag,
    b"a": lambda m: m.add_items(m.take(1)),
    b"e": lambda m: m.add_items(m.items()),
    b")": lambda m: m.push(()),
    b"t": lambda m: m.put_tuple(m.items()),
    b"\x85": lambda m: m.put_tuple(m.take(1)),
    b"\x86": lambda m: m.put_tuple(m.take(2)),
    b"\x87": lambda m: m.put_tuple(m.take(3)),
    b"}": lambda m: m.put_dict([]),
    b"d": lambda m: m.put_dict(m.items()),
    b"s": lambda m: m.set_items(m.take(2)),
    b"u": lambda m: m.set_items(m.items()),
    b"\x8f": lambda m: m.push(INERT),
    b"\x90": lambda m: m.add_items(m.items()),
    b"\x91": _bag,
    # The memo.
    b"p": lambda m: m.remember(read.index(m.source)),
    b"q": lambda m: m.remember(read.number(m.source, 1)),
    b"r": lambda m: m.remember(read.number(m.source, 4)),
    b"\x94": Machine.remember,
    b"g": lambda m: m.recall(read.index(m.source)),
    b"h": lambda m: m.recall(read.number(m.source, 1)),
    b"j": lambda m: m.recall(read.number(m.source, 4)),
    # Names and calls.
    b"c": lambda m: m.push(m.named()),
    b"\x93": lambda m: _two(m, lambda module, name: m.push(m.ref(module, name))),
    b"\x82": lambda m: m.extension(1),
    b"\x83": lambda m: m.extension(2),
    b"\x84": lambda m: m.extension(4),
    b"R": lambda m: _two(m, lambda function, arguments: m.call(function, arguments, Use.CALLED)),
    b"\x81": lambda m: _two(m, lambda function, arguments: m.call(function, arguments, Use.BUILT)),
    b"\x92": _three,
    b"i": _instance,
    b"o": lambda m: _called(m, m.items()),
    b"b": Machine.build,
    # Persistent ids name data outside the pickle; PyTorch stores its tensors so.
    b"P": _persistent,
    b"Q": _binary_persistent,
    b"\x80": lambda m: m.source.skip(1),
    b"\x95": Machine.frame,
}


_BY_BYTE: tuple[OpcodeHandler | None, ...] = tuple(STEPS.get(bytes([code])) for code in range(256))
_STOP = ord(".")
_OFTEN = 4096  # opcodes between two looks at the height of the stack


def follow(machine: Machine) -> None:
    """Follow a pickle to its end. Raises BrokenError, UnreadableError, and RunOverError as Budget.tick does."""
    source, steps, byte = machine.source, _BY_BYTE, machine.source.byte
    while machine.depth <= MAX_STACK:
        source.budget.tick()
        for _ in range(_OFTEN):
            machine.at = source.at
            code = byte()
            if code == _STOP:
                machine.stop()
                return
            step = steps[code]
            if step is None:
                raise BrokenError(f"byte {machine.at}: {code:#04x} is no pickle opcode")
            step(machine)
    raise UnreadableError(f"puts more than {MAX_STACK} values on the stack")
