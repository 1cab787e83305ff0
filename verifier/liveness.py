"""Which registers may still be read: per instruction, as compute_live_registers of Linux 6.18 has it."""

from __future__ import annotations

from bpf.isa import opcodes
from bpf.isa.opcodes import ALU, ALU64, ATOMIC, JMP, JMP32, LDX, MEM, MEMSX, ST, STX, X
from verifier import calls
from verifier.raw import Raw
from verifier.shape import Structure
from verifier.subject import Subject

_ALL = 0xFFFF  # what is read by an instruction of which the kernel makes nothing, and by packet loads
_CALLER_SAVED = 0x3F  # R0-R5
_MODE = 0xE0
_MOV, _END = opcodes.ALU_OPS["mov"], opcodes.ALU_OPS["end"]
_JA, _JCOND, _EXIT, _CALL = (opcodes.JMP_OPS[op] for op in ("ja", "jcond", "exit", "call"))


def effect(raw: Raw, pc: int, subject: Subject, caps: frozenset[str]) -> tuple[int, int]:
    """The registers that an instruction reads, and those that it writes, as bits."""
    code = raw.code
    cls, mode = code & 7, code & _MODE
    dst, src = 1 << raw.dst, 1 << raw.src
    if cls in (ALU, ALU64):
        op = code & 0xF0
        if op == _END:
            return dst, dst
        if op == _MOV:
            return (src if code & X else 0), dst
        return (dst | src if code & X else dst), dst
    if cls in (JMP, JMP32):
        op = code & 0xF0
        if op in (_JA, _JCOND):
            return 0, 0
        if op == _EXIT:
            return 1, 0
        if op == _CALL:
            found = calls.summary(raw, pc, subject, caps)
            reads = _CALLER_SAVED & ~1 if found is None else (2 << found.reads) - 2
            return reads, _CALLER_SAVED
        return (dst | src if code & X else dst), 0
    if cls == LDX and mode in (MEM, MEMSX):
        return src, dst
    if cls == ST and mode == MEM:
        return dst, 0
    if cls == STX and mode == MEM:
        return dst | src, 0
    if cls == STX and mode == ATOMIC:
        if raw.imm == opcodes.CMPXCHG:
            return 1 | dst | src, 1
        if raw.imm == opcodes.LOAD_ACQUIRE:
            return src, dst
        if raw.imm == opcodes.STORE_RELEASE:
            return dst | src, 0
        return dst | src, (src if raw.imm & opcodes.FETCH else 0)
    return (0, dst) if code == calls.WIDE else (_ALL, 0)


def live(found: Structure) -> list[int]:
    """Per slot, as bits, the registers that may be read before they are written, from just before it on."""
    raws, order, of = found.raws, found.postorder, found.successors
    before = [0] * len(raws)
    effects = [effect(raws[pc], pc, found.subject, found.options.caps) for pc in order]
    changed = True
    while changed:
        changed = False
        for index, pc in enumerate(order):
            reads, writes = effects[index]
            behind = 0
            for target in of[pc]:
                behind |= before[target]
            now = behind & ~writes | reads
            if now != before[pc]:
                before[pc] = now
                changed = True
    return before
