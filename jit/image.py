"""What compilation gives: machine code and the maps that lead back to the program."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

from bpf.program import Program
from jit.target import Target


@dataclass(frozen=True)
class Image:
    """Machine code of one program, linked for its plan's addresses.

    base        address of code[0]
    code        machine code
    entry_base  address of entries[0]; entries holds a 16-byte slot per function, a jump to it
    functions   offset in code of each function's first instruction
    offsets     ascending offsets in code, one per Op boundary; offsets[i] starts code that slot pcs[i] stands for
    pcs         slots, -1 for code of the JIT's own (prologue, epilogue)
    starts      slot -> offset of the first byte of its code: where the machine state is the program's state
    """

    target: Target
    program: Program
    base: int
    code: bytes
    entry_base: int
    entries: bytes
    functions: tuple[int, ...]
    offsets: tuple[int, ...]
    pcs: tuple[int, ...]

    def pc_at(self, address: int) -> int:
        """The slot whose code the native address lies in; -1 for the JIT's own code or no code at all."""
        offset = address - self.base
        if not 0 <= offset < len(self.code):
            return -1
        return self.pcs[bisect_right(self.offsets, offset) - 1]

    @cached_property
    def starts(self) -> dict[int, int]:
        """Slot -> offset of its first native instruction (see class)."""
        found: dict[int, int] = {}
        for offset, pc in zip(self.offsets, self.pcs, strict=True):
            if pc >= 0:
                found.setdefault(pc, offset)
        return found

    def extent(self, pc: int) -> tuple[int, int]:
        """Offsets [from, to) of the code of slot pc."""
        at = [i for i, p in enumerate(self.pcs) if p == pc]
        if not at:
            return 0, 0
        after = at[-1] + 1
        return self.offsets[at[0]], self.offsets[after] if after < len(self.offsets) else len(self.code)

    def homes(self, pc: int) -> tuple[str, ...]:
        """Location map: the native registers that hold R0-R10 when the machine stands at the start of slot pc."""
        return self.target.homes[:11]
