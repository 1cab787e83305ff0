"""The wire form: 8-byte slots, in either byte order (RFC 9669 section 3).

    little-endian   | opcode:8 | src:4 dst:4 | off:16 | imm:32 |
    big-endian      | opcode:8 | dst:4 src:4 | off:16 | imm:32 |

Decoding checks every field; each kind of malformed encoding has its own error (bpf/errors.py).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from bpf.errors import BadImmediate, BadProgram, BadRegister, HalfWide, ReservedField, Truncated, UnknownOpcode
from bpf.isa.insn import Insn
from bpf.isa.opcodes import FRAME_POINTER, REGISTERS
from bpf.isa.table import BY_OPCODE, ROW, Kind, Row
from bpf.order import Order

SLOT = 8
_FORMAT = {"little": struct.Struct("<BBhi"), "big": struct.Struct(">BBhi")}
_LOW_HALF = frozenset({"map_fd", "map_idx", "func"})  # lddw forms that have no second immediate
_ALL = frozenset({"dst", "src", "off", "imm"})
_STAND_IN = Insn(ROW["ja"])


def _reserved(row: Row) -> tuple[str, ...]:
    used = row.fields | ({row.select[0]} if row.select else set())
    return tuple(sorted(_ALL - used))


_RESERVED = {row.name: _reserved(row) for row in BY_OPCODE.values() if isinstance(row, Row)} | {
    row.name: _reserved(row)
    for choice in BY_OPCODE.values()
    if not isinstance(choice, Row)
    for row in choice.rows.values()
}


def encode(insns: Iterable[Insn | None], order: Order) -> bytes:
    """The wire form of instructions (None, the second slot of an lddw in a slot list, is skipped).

    Raises BadImmediate for an operand that its field cannot hold.
    """
    pack = _FORMAT[order].pack
    out = bytearray()
    big = order == "big"
    for insn in insns:
        if insn is None:
            continue
        row, dst, src, off, imm = insn
        registers = dst << 4 | src if big else src << 4 | dst
        try:
            if row.kind is Kind.WIDE:
                low = imm & 0xFFFFFFFF
                out += pack(row.opcode, registers, off, low - ((low & 0x80000000) << 1))
                high = imm >> 32
                out += pack(0, 0, 0, high - ((high & 0x80000000) << 1))
            else:
                out += pack(row.opcode, registers, off, imm)
        except struct.error:
            raise BadImmediate(f"{row.name}: off {off} or imm {imm} does not fit", pc=len(out) // SLOT) from None
    return bytes(out)


def decode(code: bytes, order: Order) -> tuple[Insn | None, ...]:
    """The instructions of `code` by slot; the second slot of an lddw holds None.

    Raises the subclasses of BadProgram that bpf/errors.py lists, naming the slot.
    """
    slots, big = _slots(code, order), order == "big"
    insns: list[Insn | None] = []
    while len(insns) < len(slots):
        insn = _insn(slots, len(insns), big=big)
        insns.append(insn)
        if insn.row.kind is Kind.WIDE:
            insns.append(None)
    return tuple(insns)


def decode_all(code: bytes, order: Order) -> tuple[tuple[Insn | None, ...], dict[int, bytes]]:
    """As `decode`, with a jump to the next instruction in place of each malformed slot; and those slots' bytes.

    For the verifier, which has a sentence for each. Raises Truncated.
    """
    slots, big = _slots(code, order), order == "big"
    insns: list[Insn | None] = []
    malformed: dict[int, bytes] = {}
    while len(insns) < len(slots):
        pc = len(insns)
        try:
            insn = _insn(slots, pc, big=big)
        except BadProgram:
            insn = _STAND_IN
            malformed[pc] = code[SLOT * pc : SLOT * (pc + 1)]
        insns.append(insn)
        if insn.row.kind is Kind.WIDE:
            insns.append(None)
    return tuple(insns), malformed


def _slots(code: bytes, order: Order) -> list[tuple[int, int, int, int]]:
    """Opcode, registers, off and imm of each slot. Raises Truncated."""
    if len(code) % SLOT or not code:
        raise Truncated(
            f"code is {len(code)} bytes long, which is not a whole number of 8-byte instructions"
            if code
            else "no code",
            remedy="an instruction takes 8 bytes, lddw takes 16",
        )
    return list(_FORMAT[order].iter_unpack(code))


def _insn(slots: Sequence[tuple[int, int, int, int]], pc: int, *, big: bool) -> Insn:
    """The instruction at a slot. Raises the subclasses of BadProgram."""
    opcode, registers, off, imm = slots[pc]
    dst, src = (registers >> 4, registers & 15) if big else (registers & 15, registers >> 4)
    row = BY_OPCODE.get(opcode)
    if row is None:
        raise UnknownOpcode(f"unknown opcode 0x{opcode:02x}", pc=pc)
    if not isinstance(row, Row):
        field = row.field
        value = off if field == "off" else imm if field == "imm" else src
        found = row.rows.get(value)
        if found is None:
            raise UnknownOpcode(f"opcode 0x{opcode:02x} with {field} {value} is no instruction", pc=pc)
        row = found
    if row.kind is Kind.WIDE:
        imm = _wide(slots, pc) | imm & 0xFFFFFFFF
        if row.op in _LOW_HALF and imm >> 32:
            raise ReservedField(f"{row.name}: imm of the second slot is {imm >> 32}, must be 0", pc=pc)
    for field in _RESERVED[row.name]:
        value = off if field == "off" else imm if field == "imm" else src if field == "src" else dst
        if value:
            raise ReservedField(f"{row.name}: reserved field {field} is {value}, must be 0", pc=pc)
    if row.immediates and imm not in row.immediates:
        raise UnknownOpcode(f"{row.name} with imm {imm} is no instruction", pc=pc)
    if dst >= REGISTERS or ("src" in row.fields and src >= REGISTERS):
        raise BadRegister(f"{row.name}: no register R{max(dst, src)}", pc=pc, remedy="registers are R0 to R10")
    if (dst == FRAME_POINTER and row.writes_dst) or (src == FRAME_POINTER and row.writes_src):
        raise BadRegister(f"{row.name}: frame pointer R10 is read only", pc=pc)
    return Insn(row, dst, src, off, imm)


def _wide(slots: Sequence[tuple[int, int, int, int]], pc: int) -> int:
    """The high half of the immediate of the lddw at pc, in place."""
    if pc + 1 >= len(slots):
        raise HalfWide("lddw lacks its second slot", pc=pc)
    opcode, registers, off, imm = slots[pc + 1]
    if opcode or registers or off:
        raise HalfWide("second slot of lddw has a field other than imm set", pc=pc)
    return (imm & 0xFFFFFFFF) << 32
