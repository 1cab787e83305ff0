"""Arithmetic: what an ALU instruction makes of the registers it names.

Source: check_alu_op, adjust_reg_min_max_vals and adjust_ptr_min_max_vals of Linux 6.18.
"""

from __future__ import annotations

from bpf.isa.effects import signed
from bpf.isa.opcodes import ADDR_SPACE_CAST
from bpf.isa.table import Kind, Row
from bpf.spec.errno import EACCES, EINVAL
from verifier import precision, speculation, tnum
from verifier.arith import alu, fork, sign_extended, zext32
from verifier.branch import sane
from verifier.env import Env
from verifier.raw import Raw
from verifier.registers import linkable, readable, writable
from verifier.rejection import Rejection
from verifier.scalar import UNBOUNDED, UNKNOWN, Scalar, constant, settled
from verifier.state import ADD_CONST, ADD_CONST32, ADD_CONST64, ANY, MAX_VAR_OFF, Reg, scalar
from verifier.tnum import S64_MAX, S64_MIN, U32, U64
from verifier.types import (
    ARENA,
    BASE,
    BTF,
    BUF,
    CTX,
    DYNPTR,
    FLOW_KEYS,
    FUNC,
    MAP_KEY,
    MAP_PTR,
    MAP_VALUE,
    MAYBE_NULL,
    MEM,
    PACKETS,
    SCALAR,
    STACK,
    TP_BUFFER,
    UNTRUSTED,
    name,
)  # fmt: skip

_S32_MAX = (1 << 31) - 1
_NO_SWAP = {"little": "to_le", "big": "to_be"}  # byte order -> what leaves bytes where they are
_MOVABLE = frozenset({CTX, MAP_VALUE, MAP_KEY, STACK, TP_BUFFER, BTF, MEM, BUF, FUNC, DYNPTR}) | PACKETS
_SIGNS = {
    "add": "+=", "sub": "-=", "mul": "*=", "div": "/=", "sdiv": "/=", "or": "|=", "and": "&=", "lsh": "<<=",
    "rsh": ">>=", "mod": "%=", "smod": "%=", "xor": "^=", "arsh": "s>>=",
}  # fmt: skip
_BITWISE = frozenset({"and", "or", "xor"})
_SHIFTS = frozenset({"lsh", "rsh", "arsh"})
_DIVISIONS = frozenset({"div", "mod", "sdiv", "smod"})


def step(env: Env, raw: Raw, row: Row) -> None:
    """Execute an ALU instruction whose form is right. Raises Rejection."""
    op = row.op
    if op == "mov":
        _move(env, raw, row)
    elif op == "movsx":
        _move_signed(env, raw, row)
    elif row.kind is Kind.CAST:
        _cast(env, raw)
    elif op == "neg" or ("src" not in row.fields and "imm" not in row.fields):
        _unary(env, raw, row)
    else:
        _binary(env, raw, row)


def _unary(env: Env, raw: Raw, row: Row) -> None:
    reg = readable(env, raw.dst)
    if env.is_pointer(reg):
        raise Rejection(EACCES, f"R{raw.dst} pointer arithmetic prohibited", env.pc)
    writable(env, raw.dst)
    if reg.type == SCALAR and row.bits == 64 and row.op == _NO_SWAP[env.subject.order]:
        env.set(raw.dst, reg)
    elif reg.type == SCALAR:
        env.set(raw.dst, scalar(alu(row.op, row.width, reg.num, reg.num, row.bits, env.subject.order)))
    else:
        env.set(raw.dst, ANY)


def _move(env: Env, raw: Raw, row: Row) -> None:
    if "imm" in row.fields:
        writable(env, raw.dst)
        env.set(raw.dst, Reg(SCALAR, constant(raw.imm if row.width == 64 else raw.imm & 0xFFFF_FFFF)))
        return
    reg = readable(env, raw.src)
    writable(env, raw.dst)
    if row.width == 64:
        env.set(raw.dst, linkable(env, raw.src))
        return
    if env.is_pointer(reg):
        raise Rejection(EACCES, f"R{raw.src} partial copy of pointer", env.pc)
    if reg.type != SCALAR:
        env.set(raw.dst, scalar(zext32(UNKNOWN)))
        return
    if reg.num.umax >> 32:
        env.set(raw.dst, scalar(zext32(reg.num)))
    else:
        reg = linkable(env, raw.src)
        env.set(raw.dst, Reg(SCALAR, zext32(reg.num), reg.off, reg.id))


def _move_signed(env: Env, raw: Raw, row: Row) -> None:
    reg = readable(env, raw.src)
    writable(env, raw.dst)
    if env.is_pointer(reg):
        text = "sign-extension part of pointer" if row.width == 64 else "partial copy of pointer"
        raise Rejection(EACCES, f"R{raw.src} {text}", env.pc)
    if reg.type != SCALAR:
        env.set(raw.dst, ANY if row.width == 64 else scalar(zext32(UNKNOWN)))
        return
    linked = reg.num.umax < 1 << row.bits - 1
    if linked:
        reg = linkable(env, raw.src)
    num = sign_extended(reg.num, row.bits, row.width)
    env.set(raw.dst, Reg(SCALAR, num, reg.off, reg.id) if linked else scalar(num))


def _cast(env: Env, raw: Raw) -> None:
    if raw.off != ADDR_SPACE_CAST or raw.imm not in (1, 1 << 16):
        raise Rejection(EINVAL, "addr_space_cast insn can only convert between address space 1 and 0", env.pc)
    if not any(map_.kind == "arena" for map_ in env.subject.maps):
        raise Rejection(
            EINVAL, "addr_space_cast insn can only be used in a program that has an associated arena", env.pc
        )
    readable(env, raw.src)
    writable(env, raw.dst)
    env.set(raw.dst, Reg(ARENA, UNKNOWN) if raw.imm == 1 else ANY)


def _binary(env: Env, raw: Raw, row: Row) -> None:
    op, width = row.op, row.width
    regs = env.state.frames[-1].regs
    by_register = "src" in row.fields
    if by_register:
        readable(env, raw.src)
    dst = readable(env, raw.dst)
    if not by_register:
        if raw.imm == 0 and op in _DIVISIONS:
            raise Rejection(EINVAL, "div by zero", env.pc)
        if op in _SHIFTS and not 0 <= raw.imm < width:
            raise Rejection(EINVAL, f"invalid shift {raw.imm}", env.pc)
    writable(env, raw.dst)
    if dst.type == ARENA:
        env.aux[env.pc].narrowed = width == 64
        return
    if by_register:
        src = regs[raw.src]
        if src.type != SCALAR:
            if dst.type != SCALAR:
                if op == "sub" and env.leaks:
                    env.set(raw.dst, ANY)
                    return
                raise Rejection(EACCES, f"R{raw.dst} pointer {_SIGNS[op]} pointer prohibited", env.pc)
            precision.register(env, raw.dst)
            pointer(env, raw, row, src, dst)
            return
        if dst.type != SCALAR:
            precision.register(env, raw.src)
            pointer(env, raw, row, dst, src)
            return
        if not env.capable:
            precision.register(env, raw.src)
    else:
        src = Reg(SCALAR, constant(raw.imm))
        if dst.type != SCALAR:
            pointer(env, raw, row, dst, src)
            return
    if op in ("add", "sub") and not env.spec_v1 and by_register and not shifts_too_far(op, width, src.num):
        speculation.scalar_alu(env, raw)
    ways = fork(op, dst.num, src.num)
    if ways is not None:
        env.push(env.pc, env.pc).frames[-1].regs[raw.dst] = scalar(ways[1])
        dst = scalar(ways[0])
    num = sane(alu(op, width, dst.num, src.num), "alu", env.log.lines if env.level else None)
    if dst.id and env.capable and op in ("add", "sub"):
        by = _distance(op, width, src.num)
        same = by_register and raw.src == raw.dst
        if by is not None and not dst.id & ADD_CONST and not same and (width == 64 or dst.num.umax >> 32 == 0):
            flag = ADD_CONST64 if width == 64 else ADD_CONST32
            env.set(raw.dst, Reg(SCALAR, num, by, dst.id | flag))
            return
    env.set(raw.dst, scalar(num))


def _distance(op: str, width: int, src: Scalar) -> int | None:
    """How far an addition or subtraction moves a number, where that is known and fits in 32 bits."""
    if src.mask & (U32 if width == 32 else U64):
        return None
    by = src.s32min if width == 32 else src.smin
    if op == "sub":
        by = -by if by > -_S32_MAX - 1 else by - 1
    return by if -_S32_MAX - 1 <= by <= _S32_MAX else None


def shifts_too_far(op: str, width: int, src: Scalar) -> bool:
    """Whether the result of a shift is not known because its count is not."""
    return op in _SHIFTS and (src.mask != 0 or src.umax >= width)


def pointer(env: Env, raw: Raw, row: Row, base: Reg, moved: Reg) -> None:
    """Move a pointer by a scalar, into the dst register; which of both is dst does not matter. Raises Rejection."""
    op, by = row.op, moved.num
    dst = raw.dst
    if by.smin > by.smax or by.umin > by.umax or (by.mask == 0 and (by.smin != by.smax or by.umin != by.umax)):
        env.set(dst, ANY)
        return
    if row.width == 32:
        if op == "sub" and env.leaks:
            env.set(dst, ANY)
            return
        raise Rejection(EACCES, f"R{dst} 32-bit pointer arithmetic prohibited", env.pc)
    kind = base.type & BASE
    if base.type & MAYBE_NULL:
        raise Rejection(
            EACCES, f"R{dst} pointer arithmetic on {name(base.type)} prohibited, null-check it first", env.pc
        )
    if kind == MEM and base.type & UNTRUSTED:
        return
    known = by.mask == 0
    if kind not in _MOVABLE and not (
        (kind == FLOW_KEYS and known) or (kind in (MAP_PTR, FLOW_KEYS) and known and by.smin == 0 and op == "add")
    ):
        raise Rejection(EACCES, f"R{dst} pointer arithmetic on {name(base.type)} prohibited", env.pc)
    _sane(env, moved, base.type)
    _sane(env, base, base.type)
    before = env.state.frames[-1].regs[dst]
    window = None
    if op in ("add", "sub") and speculation.needed(env, raw):
        window = speculation.pointer_alu(env, raw, op, base, moved)
    if op == "add":
        reg = _plus(env, base, by)
    elif op == "sub":
        if before is moved:
            raise Rejection(EACCES, f"R{dst} tried to subtract pointer from scalar", env.pc)
        if kind == STACK:
            raise Rejection(EACCES, f"R{dst} subtraction from stack pointer prohibited", env.pc)
        reg = _minus(env, base, by)
    elif op in _BITWISE:
        raise Rejection(EACCES, f"R{dst} bitwise operator {_SIGNS[op]} on pointer prohibited", env.pc)
    else:
        raise Rejection(EACCES, f"R{dst} pointer arithmetic with {_SIGNS[op]} operator prohibited", env.pc)
    env.set(dst, reg)
    _sane(env, reg, base.type)
    if not env.spec_v1:
        speculation.in_bounds(env, dst, reg)
        if window is not None:
            speculation.commit(env, raw, op, reg, moved, window)


def _sane(env: Env, reg: Reg, type_: int) -> None:
    """Whether an offset is one that arithmetic may have. Raises Rejection."""
    num = reg.num
    if num.mask == 0:
        value = signed(num.value, 64)
        if not -MAX_VAR_OFF < value < MAX_VAR_OFF:
            raise Rejection(EINVAL, f"math between {name(type_)} pointer and {value} is not allowed", env.pc)
    off = reg.off if reg.type != SCALAR else 0
    if not -MAX_VAR_OFF < off < MAX_VAR_OFF:
        raise Rejection(EINVAL, f"{name(type_)} pointer offset {off} is not allowed", env.pc)
    if num.smin == S64_MIN:
        raise Rejection(
            EINVAL, f"math between {name(type_)} pointer and register with unbounded min value is not allowed", env.pc
        )
    if not -MAX_VAR_OFF < num.smin < MAX_VAR_OFF:
        raise Rejection(EINVAL, f"value {num.smin} makes {name(type_)} pointer be out of bounds", env.pc)


def _at(base: Reg, off: int) -> Reg:
    """A pointer at another fixed offset. One that lies behind the packet's end need not when it is moved back.

    Linux 6.18 keeps that knowledge, and takes a way that can be gone for dead.
    """
    if base.aux < 0 and off < base.off and base.type in PACKETS:
        return Reg(base.type, base.num, off, base.id, base.ref, base.of, 0)
    return base.moved(base.num, off)


def _plus(env: Env, base: Reg, by: Scalar) -> Reg:
    if by.mask == 0:
        off = base.off + by.smin
        if -(1 << 31) <= off <= _S32_MAX:
            return _at(base, off)
    num = base.num
    smin, smax = num.smin + by.smin, num.smax + by.smax
    if smin < S64_MIN or smax > S64_MAX:
        smin, smax = S64_MIN, S64_MAX
    umin, umax = num.umin + by.umin, num.umax + by.umax
    if umax > U64:
        umin, umax = 0, U64
    value, mask = tnum.add(num.value, num.mask, by.value, by.mask)
    moved = settled(value, mask, smin, smax, umin, umax, *UNBOUNDED[4:])
    if base.type in PACKETS:
        return Reg(base.type, moved, base.off, env.new_id(), base.ref, base.of, 0)
    return base.moved(moved, base.off)


def _minus(env: Env, base: Reg, by: Scalar) -> Reg:
    if by.mask == 0:
        off = base.off - by.smin
        if -(1 << 31) <= off <= _S32_MAX:
            return _at(base, off)
    num = base.num
    smin, smax = num.smin - by.smax, num.smax - by.smin
    if smin < S64_MIN or smax > S64_MAX:
        smin, smax = S64_MIN, S64_MAX
    if num.umin < by.umax:
        umin, umax = 0, U64
    else:
        umin, umax = num.umin - by.umax, num.umax - by.umin
    value, mask = tnum.sub(num.value, num.mask, by.value, by.mask)
    moved = settled(value, mask, smin, smax, umin, umax, *UNBOUNDED[4:])
    if base.type in PACKETS:
        return Reg(base.type, moved, base.off, env.new_id(), base.ref, base.of, 0 if by.smin < 0 else max(base.aux, 0))
    return base.moved(moved, base.off)
