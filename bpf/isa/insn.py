"""One instruction with its operands."""

from __future__ import annotations

from typing import NamedTuple

from bpf.isa.effects import signed
from bpf.isa.table import Kind, Row


class Insn(NamedTuple):
    """A row of the table with operands.

    dst, src  register numbers
    off       signed 16 bits: a memory offset in bytes, or a jump distance in 8-byte slots
    imm       signed 32 bits; for lddw the 64-bit immediate as an unsigned number, whose low half is the imm of the
              first slot and whose high half is the imm of the second

    A field that the row does not use is 0, except the field that selects the row, which holds its selecting value
    (`Insn(ROW["movsx8_64"], 1, 2, off=8)`); use `make` to have it filled in.
    """

    row: Row
    dst: int = 0
    src: int = 0
    off: int = 0
    imm: int = 0

    @property
    def slots(self) -> int:
        """How many 8-byte slots the instruction takes: 2 for lddw, else 1."""
        return 2 if self.row.kind is Kind.WIDE else 1

    @property
    def distance(self) -> int:
        """How far a jump or call goes, in slots from the slot after it (lddw func: after its first slot)."""
        name = self.row.op
        if name in ("gotol", "call_local"):
            return self.imm
        return signed(self.imm, 32) if name == "func" else self.off

    def with_distance(self, distance: int) -> Insn:
        """The same jump, call or lddw func with another distance."""
        name = self.row.op
        if name in ("gotol", "call_local"):
            return self._replace(imm=distance)
        return self._replace(imm=distance & 0xFFFFFFFF) if name == "func" else self._replace(off=distance)


def make(row: Row, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> Insn:
    """An instruction with its selecting field filled in."""
    if row.select is None:
        return Insn(row, dst, src, off, imm)
    field, value = row.select
    if field == "off":
        return Insn(row, dst, src, value, imm)
    if field == "src":
        return Insn(row, dst, value, off, imm)
    return Insn(row, dst, src, off, value)
