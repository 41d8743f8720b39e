"""Pickle files and joblib files: one pickle or several, arrays between the opcodes, other data behind them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from harness.evidence.records.scan import Kind, Use
from harness.scanner.arguments import BrokenError
from harness.scanner.arrays import layout, padding
from harness.scanner.carve import carve
from harness.scanner.formats import is_zip
from harness.scanner.known import is_dangerous
from harness.scanner.machine import Machine, Nested
from harness.scanner.opcodes import follow
from harness.scanner.source import Budget, CutError, Source, UnreadableError
from harness.scanner.values import Found, Made

HEAD = 64 * 1024  # bytes of a trial
TEXT_LENGTH = 0x09090909  # the least number that four characters of a text are, read as one
PROTOCOLS = b"\x02\x03\x04\x05"
TORCH_MAGIC = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # the pickle of 0x1950a86a20f9469cfc6c, torch.serialization
TORCH_PICKLES = 5  # magic, protocol, system, the object, the keys of its storages; then the storages' bytes


@dataclass(frozen=True)
class Trial:
    """What the first bytes are if they are read as a pickle."""

    follows: bool  # to the end of what is there, or beyond something that it makes
    is_pickle: bool
    is_joblib: bool = False
    is_doubtful: bool = False  # it names nothing in all that is there, and there is more
    # Bytes that there must be for it to be a pickle at all, where it begins with a string as long as only the letters
    # of a text announce it: `X`, then four of them as a length. 0: it does not.
    needed: int = 0


def starts_as_pickle(head: bytes) -> bool:
    """Whether data begins with the mark of protocol 2 or later."""
    return len(head) > 1 and head[0] == 0x80 and head[1] in PROTOCOLS  # noqa: PLR2004 - opcode PROTO


def attempt(head: bytes, *, whole: bool) -> Trial:
    """Read the first bytes as a pickle: a text is none unless it ends like one or makes something of an import.

    A file that breaks off after a call is a pickle too: what it calls before that is called. One that breaks off
    after no more than a name is a text with a `c` in front: `cat` and `dog`, each on a line. And one that ends soon
    without having named anything (`N.` is a pickle of None) is one only where what follows is a pickle too.
    """
    found = Found()
    source = Source(iter((head,)), Budget())
    marked = starts_as_pickle(head)
    ended, needed = False, 0
    try:
        while not ended:
            follow(Machine(source, found, payload=_enough))
            ended = marked or bool(found.refs) or not source.peek(1)
    except BrokenError:
        pass
    except CutError as exc:
        ended, needed = not whole, exc.needed
    except (UnreadableError, _EnoughError):
        ended = True
    is_doubtful = ended and needed > 0 and not found.refs and not marked
    if is_doubtful and needed >= TEXT_LENGTH:
        return Trial(follows=False, is_pickle=False, needed=needed)
    follows = ended or any(ref.use is not Use.REFERENCED for ref in found.refs.values())
    is_joblib = any(ref.is_wrapper for ref in found.refs.values())
    return Trial(follows, follows or marked, is_joblib, is_doubtful)


class _EnoughError(Exception):
    """A trial met an array: it is a joblib file."""


def _enough(_machine: Machine, _made: Made) -> None:
    raise _EnoughError


def scan_pickles(source: Source, found: Found, where: str, nested: Nested, *, joblib: bool = True) -> None:
    """Follow all pickles of a stream, and look through what lies behind them.

    Raises UnreadableError where a pickle breaks off or its reader would see other bytes than we do.
    """
    is_torch = source.peek(len(TORCH_MAGIC) + 2)[2:] == TORCH_MAGIC
    count = 0
    while True:
        machine = Machine(source, found, where, nested=nested, payload=_payload if joblib else None)
        follow(machine)
        count += 1
        head = source.peek(HEAD)
        if not head or (is_torch and count == TORCH_PICKLES):
            break
        if is_zip(head) or not _goes_on(head):
            found.note(Kind.TRAILING, f"bytes after the end of the pickle, from byte {source.at}", source.at, where)
            break
    carve(source, found, where)


def _goes_on(head: bytes) -> bool:
    """Whether bytes behind a pickle are another one; raw numbers break the rules of pickle at once."""
    found = Found()
    try:
        follow(Machine(Source(iter((head,)), Budget()), found, payload=_enough))
    except BrokenError:
        return bool(found.refs)
    except (UnreadableError, _EnoughError):
        return True
    return True


def _payload(machine: Machine, wrapper: Made) -> None:
    """Pass over the bytes of an array as `joblib.numpy_pickle.NumpyArrayWrapper.read_array` reads them."""
    source, at = machine.source, machine.source.at
    source.budget.tick()
    if machine.frame_end is not None and at < machine.frame_end:
        raise UnreadableError(f"byte {at}: an array inside a frame, where joblib would look for it behind the frame")
    found = layout(wrapper.state or {}, at)
    if found.has_objects:
        where = f"{machine.where} > array at {at}".removeprefix(" > ")
        follow(Machine(source, machine.found, where))  # joblib calls plain pickle.load here
        return
    if found.padded:
        # The length is no opcode: plain pickle.load stops here, whatever the values are.
        source.skip(padding(source.read(1)[0], at))
    else:
        _as_plain_pickle(machine)
    source.skip(found.size)


def _as_plain_pickle(machine: Machine) -> None:
    """Note what plain `pickle.load` would import where joblib reads the values of an array (joblib before 1.1)."""
    head = machine.source.peek(HEAD)
    seen = Found()
    with suppress(UnreadableError):
        follow(machine.fork(Source(iter((head,)), Budget()), seen))
    for key, ref in seen.refs.items():
        if is_dangerous(ref.module, ref.name):
            machine.found.refs.setdefault(key, ref)
