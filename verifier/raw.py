"""Instructions as they lie in memory: a malformed one is no `Insn`, and has a sentence of its own.

What an instruction does is said by the row of the one table that its fields select.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from bpf.isa.table import BY_OPCODE, Row
from bpf.order import Order

SLOT = 8
_FORMAT = {"little": struct.Struct("<BBhi"), "big": struct.Struct(">BBhi")}


class Raw(NamedTuple):
    """One 8-byte slot. off: signed 16 bits; imm: signed 32 bits. The second slot of an lddw has code 0."""

    code: int
    dst: int
    src: int
    off: int
    imm: int


def slots(code: bytes, order: Order) -> list[Raw]:
    """The slots of a program in byte order `order`; bytes after the last whole slot are left out."""
    whole = len(code) // SLOT * SLOT
    big = order == "big"
    found = []
    for opcode, registers, off, imm in _FORMAT[order].iter_unpack(code[:whole]):
        high, low = registers >> 4, registers & 15
        found.append(Raw(opcode, high, low, off, imm) if big else Raw(opcode, low, high, off, imm))
    return found


def row_of(raw: Raw) -> Row | None:
    """The row that a slot's opcode and selecting field name, whatever reserved fields hold; None for no instruction."""
    row = BY_OPCODE.get(raw.code)
    if row is None or isinstance(row, Row):
        return row
    field = row.field
    return row.rows.get(raw.off if field == "off" else raw.imm if field == "imm" else raw.src)
