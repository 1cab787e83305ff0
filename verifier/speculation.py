"""What a processor may run by misprediction: pointer arithmetic is masked, and paths that are not taken are looked at.

Only for programs of who lacks CAP_PERFMON. Source: sanitize_ptr_alu and its neighbours of Linux 6.18.
"""

from __future__ import annotations

from typing import NamedTuple

from bpf.program import Map
from bpf.spec.errno import EACCES
from verifier.env import Env
from verifier.log import tnum_text
from verifier.memory import map_access
from verifier.raw import Raw
from verifier.rejection import Rejection
from verifier.scalar import UNBOUNDED, Scalar
from verifier.state import ANY, MAX_STACK, Reg
from verifier.types import MAP_VALUE, STACK

NON_POINTER, NEGATIVE, MASK_SRC, MASK_DST, IMMEDIATE = 1, 2, 4, 8, 16
_END = "pointer arithmetic with it prohibited for !root"


class Window(NamedTuple):
    """How far a pointer may be moved: the state of its mask, bytes, and in which direction."""

    state: int
    limit: int
    to_left: bool


def _by_register(raw: Raw) -> bool:
    return raw.code & 8 != 0


def needed(env: Env, raw: Raw) -> bool:
    """Whether arithmetic of this instruction is masked."""
    return not env.spec_v1 and _by_register(raw) and not env.aux[env.pc].nospec


def _note(env: Env, raw: Raw, op: str, state: int, limit: int) -> None:
    """One instruction has one mask on all paths. Raises Rejection."""
    aux = env.aux[env.pc]
    if aux.alu_state and (aux.alu_state != state or aux.alu_limit != limit):
        raise Rejection(EACCES, f"R{raw.dst} tried to {op} from different maps, paths or scalars, {_END}", env.pc)
    aux.alu_state, aux.alu_limit = state, limit


def scalar_alu(env: Env, raw: Raw) -> None:
    """Two scalars are added or subtracted. Raises Rejection where a pointer was before."""
    if needed(env, raw):
        _note(env, raw, "add" if raw.code & 0xF0 == 0 else "sub", NON_POINTER, 0)


def pointer_alu(env: Env, raw: Raw, op: str, base: Reg, moved: Reg) -> Window | None:
    """Before a pointer is moved: how far it may be; and the path on which it is not. Raises Rejection."""
    constant = moved.num.mask == 0
    negative = moved.num.smin < 0
    window = None
    regs = env.state.frames[-1].regs
    before = regs[raw.dst]
    is_dst = before is base
    if not env.state.speculative:
        if not constant and negative != (moved.num.smax < 0):
            number = raw.dst if before is moved else raw.src
            raise Rejection(EACCES, f"R{number} has unknown scalar with mixed signed bounds, {_END}", env.pc)
        to_left = negative if op == "add" else not negative
        limit = _limit(env, raw, op, base, before is moved, to_left)
        state = (NEGATIVE if negative else 0) | (IMMEDIATE if constant else 0) | (MASK_SRC if is_dst else MASK_DST)
        if not constant:
            env.explore_limits = True
        window = Window(state, limit, to_left)
    if not constant:
        regs[raw.dst] = base.moved(_wide(base.num), base.off) if is_dst else base
        env.push(env.pc + 1, env.pc, speculative=True)
        regs[raw.dst] = before
    return window


def _wide(num: Scalar) -> Scalar:
    """The same without ranges of the low 32 bits: Linux has forgotten them where it leaves a pointer unmoved."""
    return Scalar(num.value, num.mask, num.smin, num.smax, num.umin, num.umax, *UNBOUNDED[4:])


def commit(env: Env, raw: Raw, op: str, reg: Reg, moved: Reg, window: Window) -> None:
    """After a pointer was moved: its mask is narrowed to what was seen. Raises Rejection."""
    limit = _limit(env, raw, op, reg, False, window.to_left)
    _note(env, raw, op, window.state, abs(window.limit - limit))


def _limit(env: Env, raw: Raw, op: str, reg: Reg, moved_is_dst: bool, to_left: bool) -> int:
    if reg.type == STACK:
        most = MAX_STACK + to_left
        limit = -(reg.num.value + reg.off)
        limit = (limit + (1 << 63)) % (1 << 64) - (1 << 63)
    elif reg.type == MAP_VALUE and isinstance(reg.of, Map):
        most = reg.of.value_size
        limit = (reg.num.smin if to_left else reg.num.umax) + reg.off
    else:
        number = raw.src if moved_is_dst else raw.dst
        raise Rejection(EACCES, f"R{number} has pointer with unsupported alu operation, {_END}", env.pc)
    if limit >= most or limit < 0:
        raise Rejection(EACCES, f"R{raw.dst} tried to {op} beyond pointer bounds, {_END}", env.pc)
    return limit


def in_bounds(env: Env, number: int, reg: Reg) -> None:
    """A moved pointer stays inside what it points to. Raises Rejection."""
    if reg.type == STACK:
        off = reg.off + reg.num.value
        off = (off + (1 << 63)) % (1 << 64) - (1 << 63)
        if reg.num.mask:
            raise Rejection(
                EACCES,
                f"R{number} variable stack access prohibited for !root, var_off={tnum_text(reg.num)} off={off}",
                env.pc,
            )
        if not -MAX_STACK <= off < 0:
            raise Rejection(
                EACCES, f"R{number} stack pointer arithmetic goes out of range, prohibited for !root; off={off}", env.pc
            )
    elif reg.type == MAP_VALUE:
        try:
            map_access(env, number, reg, reg.off, 1, False, direct=False)
        except Rejection as inner:
            raise Rejection(
                EACCES,
                f"{inner.message}\nR{number} pointer arithmetic of map value goes out of range, prohibited for !root",
                env.pc,
            ) from None


def path(env: Env, pc: int, raw: Raw | None) -> None:
    """Look at a path that is only mispredicted, from pc; raw: a comparison, whose operands are not known there."""
    state = env.push(pc, env.pc, speculative=True)
    if raw is not None:
        regs = state.frames[-1].regs
        regs[raw.dst] = ANY
        if _by_register(raw):
            regs[raw.src] = ANY
