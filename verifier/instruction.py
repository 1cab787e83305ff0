"""What is wrong with an instruction whatever the state: reserved fields, registers, shifts; looked at when it is met.

As check_alu_op, check_load_mem, check_atomic, check_cond_jmp_op, check_ld_imm, check_ld_abs and do_check_insn of Linux
6.18, which look at the state in between. So a fault says which registers the kernel reads first: one that holds nothing
is what it reports then ("R1 !read_ok", EACCES). Where a fault has none to be read, it is reported before all else of
its instruction; nothing that depends on the state otherwise comes before a fault, but for packet loads, of which the
program's type is asked first.
"""

from __future__ import annotations

from typing import NamedTuple

from bpf.isa import opcodes
from bpf.isa.opcodes import ABS, ALU, ALU64, ATOMIC, IMM, IND, JMP, JMP32, LD, LDX, MEM, ST, STX, K, X
from bpf.spec.errno import EACCES, EINVAL
from verifier import calls
from verifier.raw import Raw
from verifier.rules import NO_ABSOLUTE


class Fault(NamedTuple):
    """Why an instruction is refused. reads: the registers that must hold something for the kernel to get there."""

    errno: int
    message: str
    reads: tuple[int, ...] = ()


_OPS = opcodes.ALU_OPS
_NEG, _END, _MOV, _DIV, _MOD = (_OPS[op] for op in ("neg", "end", "mov", "div", "mod"))
_SHIFTS = (_OPS["lsh"], _OPS["rsh"], _OPS["arsh"])
_JA, _CALL, _EXIT, _JCOND = (opcodes.JMP_OPS[op] for op in ("ja", "call", "exit", "jcond"))
_FP = opcodes.FRAME_POINTER
_ATOMICS = frozenset(opcodes.ATOMIC_OPS.values())
_ATOMICS |= {number | opcodes.FETCH for number in _ATOMICS} | {opcodes.XCHG, opcodes.CMPXCHG}
_SIZES = {number: bits for bits, number in opcodes.SIZE.items()}


def check(raw: Raw, sees_pointers: bool, arena: bool = False, packet: bool = True) -> Fault | None:
    """The first thing wrong with an instruction, None where nothing is.

    sees_pointers: the loader holds CAP_PERFMON; arena: the program has an arena; packet: its type may load from a
    packet by ld_abs. What an lddw's second slot must be was looked at before (verifier/references.py).
    """
    cls = raw.code & 7
    if cls in (ALU, ALU64):
        return _alu(raw, sees_pointers, arena)
    if cls == LDX:
        return _invalid(raw.src) or _writable(raw.dst, (raw.src,))
    if cls == STX:
        if raw.code & 0xE0 == ATOMIC:
            return _atomic(raw)
        if raw.code & 0xE0 != MEM or raw.imm:
            return _reserved("BPF_STX")
        return _operands(raw.src, raw.dst)
    if cls == ST:
        if raw.code & 0xE0 != MEM or raw.src:
            return _reserved("BPF_ST")
        return _operands(raw.dst)
    if cls == LD:
        return _load(raw, packet)
    return _jump(raw)


def _reserved(what: str) -> Fault:
    return Fault(EINVAL, f"{what} uses reserved fields")


def _invalid(register: int, reads: tuple[int, ...] = ()) -> Fault | None:
    return Fault(EINVAL, f"R{register} is invalid", reads) if register > _FP else None


def _operands(*registers: int) -> Fault | None:
    """All are read, in this order."""
    for index, register in enumerate(registers):
        if register > _FP:
            return _invalid(register, registers[:index])
    return None


def _writable(register: int, reads: tuple[int, ...] = ()) -> Fault | None:
    if register == _FP:
        return Fault(EACCES, "frame pointer is read only", reads)
    return _invalid(register, reads)


def _alu(raw: Raw, sees_pointers: bool, arena: bool) -> Fault | None:
    code, dst, src, off, imm = raw
    op = code & 0xF0
    if op == _NEG:
        if code & X or src or off or imm:
            return _reserved("BPF_NEG")
        return _invalid(dst) or _changed(dst, sees_pointers)
    if op == _END:
        if src or off or imm not in (16, 32, 64) or (code & 7 == ALU64 and code & X):
            return _reserved("BPF_END")
        return _invalid(dst) or _changed(dst, sees_pointers)
    if op == _MOV:
        return _move(raw, arena)
    if op > _END:
        return Fault(EINVAL, f"invalid BPF_ALU opcode {op:x}")
    division = op in (_DIV, _MOD)
    by_register = code & X
    if (imm if by_register else src) or not (off == 0 or (off == 1 and division)):
        return _reserved("BPF_ALU")
    reads = (src, dst) if by_register else (dst,)
    fault = _operands(*reads)
    if fault is not None:
        return fault
    if not by_register:
        if division and imm == 0:
            return Fault(EINVAL, "div by zero", reads)
        if op in _SHIFTS and not 0 <= imm < (64 if code & 7 == ALU64 else 32):
            return Fault(EINVAL, f"invalid shift {imm}", reads)
    return _writable(dst, reads)


def _changed(register: int, sees_pointers: bool) -> Fault | None:
    """The register of neg or a byte swap, R10 being a pointer."""
    if register == _FP and not sees_pointers:
        return Fault(EACCES, f"R{register} pointer arithmetic prohibited")
    return _writable(register)


def _move(raw: Raw, arena: bool) -> Fault | None:
    code, dst, src, off, imm = raw
    if not code & X:
        return _reserved("BPF_MOV") if src or off else _writable(dst)
    if code & 7 == ALU64 and off == opcodes.ADDR_SPACE_CAST:
        if imm not in (opcodes.FROM_ARENA, opcodes.TO_ARENA):
            return Fault(EINVAL, "addr_space_cast insn can only convert between address space 1 and 0")
        if not arena:
            what = "addr_space_cast insn can only be used in a program that has an associated arena"
            return Fault(EINVAL, what)
    elif imm or off not in ((0, 8, 16) if code & 7 == ALU else (0, 8, 16, 32)):
        return _reserved("BPF_MOV")
    return _invalid(src) or _writable(dst, (src,))


def _atomic(raw: Raw) -> Fault | None:
    """Of a fetch into R10 nothing is said here: the kernel looks at the memory first (see `fetches_into`)."""
    if raw.imm == opcodes.LOAD_ACQUIRE:
        return _invalid(raw.src) or _writable(raw.dst, (raw.src,))
    if raw.imm == opcodes.STORE_RELEASE:
        return _operands(raw.src, raw.dst)
    if raw.imm not in _ATOMICS:
        return Fault(EINVAL, f"BPF_ATOMIC uses invalid atomic opcode {raw.imm & 0xFFFFFFFF:02x}")
    if _SIZES[raw.code & 0x18] < 32:
        return Fault(EINVAL, "invalid atomic operand size")
    return _operands(raw.src, raw.dst)


def fetches_into(raw: Raw) -> int:
    """The register that a fetching atomic writes, -1 for others. R10 is refused when all reads are found good."""
    if not raw.imm & opcodes.FETCH:
        return -1
    return 0 if raw.imm == opcodes.CMPXCHG else raw.src


def _load(raw: Raw, packet: bool) -> Fault | None:
    code, dst, src, off, _ = raw
    mode = code & 0xE0
    if mode in (ABS, IND):
        if not packet:
            return Fault(EINVAL, NO_ABSOLUTE)
        if dst or off or _SIZES[code & 0x18] == 64 or (mode == ABS and src):
            return _reserved("BPF_LD_[ABS|IND]")
        return _invalid(src, (6,)) if mode == IND else None
    if mode != IMM:
        return Fault(EINVAL, "invalid BPF_LD mode")
    if code != calls.WIDE:
        return Fault(EINVAL, "invalid BPF_LD_IMM insn")
    if off:
        return _reserved("BPF_LD_IMM64")
    return _writable(dst)


def _jump(raw: Raw) -> Fault | None:
    code, dst, src, off, imm = raw
    cls, op = code & 7, code & 0xF0
    long = cls == JMP32
    if op == _CALL:
        known = (opcodes.CALL_HELPER, opcodes.CALL_LOCAL, calls.KFUNC)
        if code & X or src not in known or (src != calls.KFUNC and off) or dst or long:
            return _reserved("BPF_CALL")
        return None
    if op == _JA:
        return _reserved("BPF_JA") if code & X or src or dst or (off if long else imm) else None
    if op == _EXIT:
        return _reserved("BPF_EXIT") if code & X or src or dst or imm or long else None
    if op > _JCOND:
        return Fault(EINVAL, f"invalid BPF_JMP/JMP32 opcode {op:x}")
    if op == _JCOND:
        if code != JMP | _JCOND | K or src != opcodes.MAY_GOTO or dst or imm:
            return Fault(EINVAL, f"invalid may_goto imm {imm}")
        return None
    fault = _invalid(dst)
    if fault is not None:
        return fault
    if code & X:
        return Fault(EINVAL, "BPF_JMP/JMP32 uses reserved fields", (dst,)) if imm else _invalid(src, (dst,))
    return Fault(EINVAL, "BPF_JMP/JMP32 uses reserved fields", (dst,)) if src else None
