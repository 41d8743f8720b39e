"""What is known of a call's result, and of the few names that are harmless in some places and in no other.

`getattr` of a class is how a pickle names one of its functions, `numpy.memmap` is the class of arrays, and torch's
loader of bytes is given bytes that were scanned. Called in any other way they reach any function, open any file or
unpickle what nobody saw; so they may not go where a later call of them would stay unseen: into a list, into a tuple
inside a tuple, to a function that calls what it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from harness.evidence.records.scan import Kind, Use
from harness.scanner.arrays import make_dtype
from harness.scanner.source import UnreadableError
from harness.scanner.values import SCANNED, Found, Made, Ref

_RECONSTRUCTORS = ("copyreg", "copy_reg")


class Caller(Protocol):
    """What a call needs of the machine that makes it."""

    found: Found
    where: str
    at: int
    reads_arrays: bool

    def keep(self, items: list[Any]) -> None:
        """Pass over values that go where calls are no longer seen."""

    def ref(self, module: Any, name: Any) -> Ref:
        """Note an import."""


def keep(machine: Caller, values: Sequence[Any]) -> None:
    """Note the watched names among values, and directly in tuples among them. Raises UnreadableError."""
    for value in values:
        if type(value) is Ref and value.is_watched:
            _stray(machine, value)
        elif type(value) is tuple:
            for ref in value:
                if type(ref) is Ref and ref.is_watched:
                    _stray(machine, ref)


def _stray(machine: Caller, ref: Ref) -> None:
    """Say that a name may be called where nobody sees it. Raises UnreadableError where that would hide more."""
    ref.is_stray = True
    if ref.is_memmap:
        machine.found.note(Kind.OUTSIDE, "numpy.memmap, which opens files, is called", machine.at, machine.where)
    elif ref.is_file_wrapper or (ref.is_wrapper and machine.reads_arrays):
        raise UnreadableError(f"byte {machine.at}: an array wrapper made in a way that no joblib does")
    elif ref.is_loader:
        raise UnreadableError(f"byte {machine.at}: hands bytes to torch.load that could not be scanned")


def result(machine: Caller, function: Ref, arguments: Any, use: Use) -> Any:
    """Return what is known of the result of a call. Raises UnreadableError."""
    known = arguments if isinstance(arguments, tuple) else ()
    if function.is_getter:
        return _got(machine, function, known)
    if function.is_dtype:
        return make_dtype(known)
    if function.is_loader and known == (SCANNED,):
        return function.made
    if function.is_wrapper:
        if not machine.reads_arrays or (use is Use.BUILT and arguments == ()):
            return Made(function, {})
        _stray(machine, function)
    if function.is_memmap or function.is_loader:
        _stray(machine, function)
    return _made(machine, function, known)


def _made(machine: Caller, function: Ref, known: tuple[Any, ...]) -> Made:
    """Return the object that a function makes, or a class that another function makes an object of."""
    first = known[0] if known and isinstance(known[0], Ref) else None
    if first is not None and function.module in _RECONSTRUCTORS and function.name == "_reconstructor":
        machine.keep(list(known[1:]))
        return Made(first, {}) if first.is_wrapper else first.made
    if first is not None and first.is_memmap and function.name == "_reconstruct":
        known = known[1:]
    machine.keep(list(known))
    return function.made


def _got(machine: Caller, function: Ref, known: tuple[Any, ...]) -> Any:
    """Return the name that a getter returns, as an import of its own: what it leads to is judged, not the getter."""
    texts = [value for value in known if type(value) is str]
    function.is_read = True
    if function.name == "_ufunc_reconstruct" and len(known) == len(texts) == 2:  # noqa: PLR2004 - module, name
        return machine.ref(*texts)
    if function.name == "getattr" and len(known) == 2 and isinstance(known[0], Ref) and len(texts) == 1:  # noqa: PLR2004
        return machine.ref(known[0].module, f"{known[0].name}.{texts[0]}")
    if function.name == "type" and len(known) == 1 and known[0] is None:  # the class of None has no name
        return function.made
    function.is_stray = True
    machine.keep(list(known))
    return function.made
