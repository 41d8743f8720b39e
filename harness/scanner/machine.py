"""An abstract pickle machine: it follows a pickle opcode by opcode and executes nothing.

Why not a subclass of `pickle._Unpickler` with inert stubs, which finds the same imports? It builds what the file
says: bytes of any size, tuples whose hash takes exponential time or overflows the C stack, integers of a million
digits. Here a value is a mark on a stack: names and the few numbers that a joblib array needs are kept, all else is
`INERT`, payloads are passed over, so that no file can make this code call, allocate or recurse. The effect of each
opcode on the stack and the memo is that of the standard library (`pickletools` states it for all of them), so that
a name hidden in the memo is still read.

joblib writes the bytes of an array behind the state (BUILD) of its wrapper: `harness.scanner.pickles` passes over them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.evidence.records.scan import Kind, Use
from harness.scanner import arguments as read
from harness.scanner.arguments import BrokenError
from harness.scanner.arrays import set_dtype
from harness.scanner.calls import keep, result
from harness.scanner.source import Source, UnreadableError
from harness.scanner.values import INERT, SCANNED, Dtype, Found, Made, Mapping, Ref, leads_outside

MAX_STACK = 2_000_000  # values on the stack
MAX_MEMO = 20_000_000
MAX_KEPT = 1_000_000  # texts in the memo; what comes later is INERT, and an import named by it is refused
MAX_TUPLE = 16  # items of a tuple that are followed
COMPUTED = "<computed>"

Nested = Callable[[Source, int, str], bool]
Payload = Callable[["Machine", Made], None]


class _Mark:
    """The MARK on the stack."""


MARK = _Mark()


class Machine:
    """The stack and the memo of one pickle; `harness.scanner.opcodes.follow` leads it from its first opcode to STOP.

    `nested` is given each binary string and says whether it read it as a file of its own; `payload` passes over the
    array behind a joblib wrapper, and is None where the reader is plain pickle. With `lenient` a missing value is
    INERT: for what is found in the middle of other data.
    """

    def __init__(
        self,
        source: Source,
        found: Found,
        where: str = "",
        *,
        nested: Nested | None = None,
        payload: Payload | None = None,
        lenient: bool = False,
    ) -> None:
        self.source = source
        self.found = found
        self.where = where
        self.frame_end: int | None = None
        self.at = 0  # of the opcode
        self.reads_arrays = payload is not None
        self._watches = False  # whether a name was imported that is harmless in few places
        self._lenient = lenient
        self._nested = nested
        self._payload = payload
        self._stack: list[Any] = []
        self._memo: list[Any] = []
        self._sparse: dict[int, Any] = {}
        self._kept = 0

    def fork(self, source: Source, found: Found) -> Machine:
        """Return a machine that goes on from here as plain pickle would, on other bytes."""
        other = Machine(source, found, self.where)
        other._watches = self._watches
        other._stack, other._memo, other._sparse = self._stack[:], self._memo[:], dict(self._sparse)
        return other

    # The stack.

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self._stack.append(value)

    def pop(self) -> Any:
        """Take the value from the top of the stack."""
        if self._stack and self._stack[-1] is not MARK:
            return self._stack.pop()
        if self._lenient:
            return INERT
        raise BrokenError(f"byte {self.at}: nothing on the stack")

    def top(self) -> Any:
        """Return the value on the top of the stack."""
        if self._stack and self._stack[-1] is not MARK:
            return self._stack[-1]
        self._stack.append(self.pop())
        return self._stack[-1]

    def stop(self) -> None:
        """End the pickle with the value on the top of the stack. Raises BrokenError where there is none."""
        self.pop()

    @property
    def depth(self) -> int:
        """How many values are on the stack."""
        return len(self._stack)

    def mark(self) -> None:
        """Put a mark on the stack."""
        self._stack.append(MARK)

    def discard(self) -> None:
        """Take a value or a mark off the stack (POP)."""
        if self._stack and self._stack[-1] is MARK:
            self._stack.pop()
        else:
            self.pop()

    def items(self) -> list[Any]:
        """Take all values down to the last mark, and the mark."""
        stack = self._stack
        at = len(stack) - 1
        while at >= 0 and stack[at] is not MARK:
            at -= 1
        if at < 0 and not self._lenient:
            raise BrokenError(f"byte {self.at}: no mark on the stack")
        found = stack[at + 1 :]
        del stack[max(at, 0) :]
        return found

    def take(self, count: int) -> list[Any]:
        """Take `count` values, in the order in which they were put there."""
        return [self.pop() for _ in range(count)][::-1]

    # Containers.

    def put_tuple(self, items: list[Any]) -> None:
        """Put a tuple on the stack."""
        self.push(self.tuple_of(items))

    def tuple_of(self, items: list[Any]) -> Any:
        """Return a tuple, which may be the arguments of a call; INERT for a long one."""
        if len(items) > MAX_TUPLE:
            self.keep(items)
            return INERT
        if self._watches and any(type(item) is tuple for item in items):
            self.keep([item for item in items if type(item) is tuple])
        return tuple(items)

    def keep(self, items: list[Any]) -> None:
        """Pass over values that go where calls are no longer seen: into a list, or to a function."""
        if self._watches:
            keep(self, items)

    def put_dict(self, items: list[Any]) -> None:
        """Put a dict on the stack."""
        self.push(Mapping())
        self.set_items(items)

    def set_items(self, items: list[Any]) -> None:
        """Set items of the dict, or of another object, on the top of the stack."""
        target = self.top()
        if self._watches:
            self.keep([item for item in items if type(item) in (Ref, tuple) and not getattr(item, "is_memmap", False)])
        if isinstance(target, Mapping):
            target.update(items)
        elif isinstance(target, Ref):
            target.used(Use.ALTERED)

    def add_items(self, items: list[Any]) -> None:
        """Pass over items that are added to a list, a set, or an object that behaves like one."""
        target = self.top()
        self.keep(items)
        if isinstance(target, Ref):
            target.used(Use.ALTERED)  # the `__path__` of a package, say

    # The memo.

    def remember(self, index: int | None = None) -> None:
        """Remember the top of the stack under a number, by default the next one (MEMOIZE)."""
        size = len(self._memo)
        if index is None:
            index = size + len(self._sparse)
        value = self.top()
        if type(value) is str:
            self._kept += 1
            value = value if self._kept <= MAX_KEPT else INERT
        if index == size:
            self._memo.append(value)
            if self._sparse:
                self._sparse.pop(index, None)
        elif index < size:
            self._memo[index] = value
        else:
            self._sparse[index] = value
        if size + len(self._sparse) > MAX_MEMO:
            raise UnreadableError(f"remembers more than {MAX_MEMO} values")

    def recall(self, index: int) -> None:
        """Put a remembered value on the stack."""
        if index < len(self._memo):
            self.push(self._memo[index])
        elif index in self._sparse or self._lenient:
            self.push(self._sparse.get(index, INERT))
        else:
            raise BrokenError(f"byte {self.at}: nothing is remembered under {index}")

    # Payloads.

    def frame(self) -> None:
        """Note where a frame ends, which matters to joblib's reader alone."""
        size = read.number(self.source, 8)
        self.frame_end = self.source.at + size

    def put_bytes(self, size: int) -> None:
        """Pass over a binary string, or scan what it holds."""
        count = read.number(self.source, size)
        if self._nested is not None and self._nested(self.source, count, f"bytes at {self.at}"):
            self.push(SCANNED)
            return
        self.source.skip(count)
        self.push(INERT)

    # Names, and what is done with them.

    def ref(self, module: Any, name: Any) -> Ref:
        """Note an import; what is no text that stands in the file is computed."""
        module, name = (part if type(part) is str else COMPUTED for part in (module, name))
        ref = self.found.ref(module, name, self.at, self.where)
        self._watches = self._watches or ref.is_watched
        return ref

    def named(self) -> Ref:
        """Read a module and a name, each a line."""
        return self.ref(read.name(self.source), read.name(self.source))

    def extension(self, size: int) -> None:
        """Note a name that stands in the extension registry of whoever loads the file."""
        self.push(self.ref("copyreg", f"<extension {read.number(self.source, size)}>"))

    def call(self, function: Any, arguments: Any, use: Use) -> None:
        """Note a call and put on the stack what is known of its result."""
        if isinstance(function, Ref):
            function.used(use)
            self.push(result(self, function, arguments, use))
            return
        if isinstance(function, Made):
            function.ref.used(Use.CALLED)
        self.keep([arguments])
        self.found.note(Kind.COMPUTED_CALL, "calls what another call returned", self.at, self.where)
        self.push(INERT)

    def build(self) -> None:
        """Give the object on the stack its state."""
        state, target = self.pop(), self.top()
        self.keep([state])
        if isinstance(target, Ref):
            target.used(Use.ALTERED)
        elif isinstance(target, Dtype):
            set_dtype(target, state)
        elif isinstance(target, Made):
            target.ref.used(Use.BUILT)
            if target.ref.is_file_wrapper:
                self._file(state)
            if target.ref.is_wrapper and self._payload is not None:
                if target.state is None or not isinstance(state, Mapping) or state.items is None:
                    raise UnreadableError(f"byte {self.at}: an array wrapper with a state that no joblib writes")
                target.state.update(state.items)
                self._payload(self, target)
                self._stack[-1] = INERT  # the array takes the place of its wrapper

    def _file(self, state: Any) -> None:
        """Note the file that joblib before 0.10 keeps an array in; it is unpickled from there."""
        place = state.items.get("filename") if isinstance(state, Mapping) and state.items is not None else None
        if type(place) is not str:
            raise UnreadableError(f"byte {self.at}: an array in a file whose name is not written as joblib writes it")
        kind = Kind.OUTSIDE if leads_outside(place) else Kind.EXTERNAL_DATA
        self.found.note(kind, place, self.at, self.where)
