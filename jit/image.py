"""What compilation gives: machine code and the maps that lead back to the program."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

from bpf.program import Program
from jit.ops import Front
from jit.relax import Labels, Layout
from jit.target import Target


class SourceMap:
    """Which slot each byte of code belongs to; worked out when somebody asks.

    offsets  ascending offsets in the code, one per Op boundary and one per prologue
    pcs      the slot that the code from offsets[i] on stands for, -1 for the JIT's own (prologues, poison)
    """

    def __init__(self, front: Front, labels: Labels, layout: Layout) -> None:
        self._front = front
        self._labels = labels
        self._layout = layout

    @cached_property
    def offsets(self) -> list[int]:
        """See class."""
        straight, before, prefix = self._labels.straight, self._labels.before, self._layout.prefix
        return [straight[label] + prefix[before[label]] for label in self._order]

    @cached_property
    def pcs(self) -> list[int]:
        """See class."""
        ops = self._front.ops
        return [ops[label].pc if label < len(ops) else -1 for label in self._order]

    @property
    def _order(self) -> list[int]:
        """The labels in the order of the code: each function's own, then those of its Ops."""
        count = len(self._front.ops)
        return [
            label
            for index, function in enumerate(self._front.functions)
            for label in (count + index, *range(function.start, function.end))
        ]


@dataclass(frozen=True, slots=True)
class Rescue:
    """An entry of the exception table: a fault in [start, end) makes a load give 0 and goes on at `end`.

    dst, a, off, width, signed   what is loaded: see Op
    """

    start: int
    end: int
    dst: int
    a: int
    off: int
    width: int
    signed: bool


@dataclass(frozen=True)
class Image:
    """Machine code of one program, linked for its plan's addresses.

    base        address of code[0]
    code        machine code
    entry_base  address of entries[0]; entries holds a 16-byte slot per function, a jump to it
    functions   offset in code of each function's first instruction
    source_map  which slot each byte of code belongs to
    rescues     the exception table, by ascending addresses
    starts      slot -> offset of the first byte of its code: where the machine state is the program's state
    """

    target: Target
    program: Program
    base: int
    code: bytes
    entry_base: int
    entries: bytes
    functions: tuple[int, ...]
    source_map: SourceMap
    rescues: tuple[Rescue, ...] = ()

    def rescue_at(self, address: int) -> Rescue | None:
        """The entry of the exception table for a fault at a native address."""
        index = bisect_right(self.rescues, address, key=lambda rescue: rescue.start) - 1
        return self.rescues[index] if index >= 0 and address < self.rescues[index].end else None

    def pc_at(self, address: int) -> int:
        """The slot whose code the native address lies in; -1 for the JIT's own code or no code at all."""
        offset = address - self.base
        if not 0 <= offset < len(self.code):
            return -1
        return self.source_map.pcs[bisect_right(self.source_map.offsets, offset) - 1]

    @cached_property
    def starts(self) -> dict[int, int]:
        """Slot -> offset of its first native instruction (see class)."""
        found: dict[int, int] = {}
        for offset, pc in zip(self.source_map.offsets, self.source_map.pcs, strict=True):
            if pc >= 0:
                found.setdefault(pc, offset)
        return found

    def extent(self, pc: int) -> tuple[int, int]:
        """Offsets [from, to) of the code of slot pc."""
        offsets = self.source_map.offsets
        at = [i for i, p in enumerate(self.source_map.pcs) if p == pc]
        if not at:
            return 0, 0
        after = at[-1] + 1
        return offsets[at[0]], offsets[after] if after < len(offsets) else len(self.code)

    def homes(self, pc: int) -> tuple[str, ...]:
        """Location map: the native registers that hold R0-R10 when the machine stands at the start of slot pc."""
        return self.target.homes[:11]
