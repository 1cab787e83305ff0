"""Registers as operands: read, written, copied.

Source: check_reg_arg, check_func_arg_reg_off and assign_scalar_id_before_mov of Linux 6.18.
"""

from __future__ import annotations

from bpf.spec.errno import EACCES
from verifier.env import Env
from verifier.log import tnum_text
from verifier.rejection import Rejection
from verifier.state import ADD_CONST, FP, Reg
from verifier.types import (
    ALLOC,
    ARENA,
    BTF,
    BUF,
    MAP_KEY,
    MAP_VALUE,
    MEM,
    NON_OWNING,
    NOT_INIT,
    PACKETS,
    RCU,
    RDONLY,
    RINGBUF,
    SCALAR,
    STACK,
    TRUSTED,
    name,
)  # fmt: skip

_LOOSE = frozenset({
    STACK, MAP_KEY, MAP_VALUE, MEM, MEM | RDONLY, MEM | RINGBUF, BUF, BUF | RDONLY, ARENA, SCALAR, *PACKETS,
})  # fmt: skip
_MOVED = frozenset({
    BTF, BTF | ALLOC, BTF | TRUSTED, BTF | RCU, BTF | ALLOC | NON_OWNING, BTF | ALLOC | NON_OWNING | RCU,
})  # fmt: skip
"""Pointers to structures that may be passed with a constant offset: the very types, none of which may be null."""


def readable(env: Env, number: int) -> Reg:
    """A register that is read. Raises Rejection where nothing was written to it."""
    env.scratched |= 1 << number
    reg = env.state.frames[-1].regs[number]
    if reg.type == NOT_INIT:
        raise Rejection(EACCES, f"R{number} !read_ok", env.pc)
    return reg


def writable(env: Env, number: int) -> None:
    """A register is written. Raises Rejection for the frame pointer."""
    if number == FP:
        raise Rejection(EACCES, "frame pointer is read only", env.pc)
    env.scratched |= 1 << number


def linkable(env: Env, number: int) -> Reg:
    """A register that is copied: if it is a scalar, it has an id then that the copy shares."""
    regs = env.state.frames[-1].regs
    reg = regs[number]
    new = with_id(env, reg)
    regs[number] = new
    return new


def with_id(env: Env, reg: Reg) -> Reg:
    """A scalar with an id to be shared by its copies; a constant needs none."""
    if reg.type != SCALAR:
        return reg
    if reg.id & ADD_CONST:
        reg = Reg(SCALAR, reg.num)
    if not reg.id and reg.num.mask:
        reg = reg.identified(env.new_id())
    return reg


def unmoved(env: Env, number: int, reg: Reg, fixed_allowed: bool = False) -> None:
    """A pointer that may only be used as it was given. Raises Rejection."""
    if reg.off < 0:
        raise Rejection(EACCES, f"negative offset {name(reg.type)} ptr R{number} off={reg.off} disallowed", env.pc)
    if not fixed_allowed and reg.off:
        raise Rejection(
            EACCES, f"dereference of modified {name(reg.type)} ptr R{number} off={reg.off} disallowed", env.pc
        )
    if reg.num.mask or reg.num.value:
        raise Rejection(EACCES, f"variable {name(reg.type)} access var_off={tnum_text(reg.num)} disallowed", env.pc)


def passed(env: Env, number: int, reg: Reg) -> None:
    """A pointer that is an argument and not given back, moved no further than its type allows. Raises Rejection."""
    if reg.type not in _LOOSE:
        unmoved(env, number, reg, fixed_allowed=reg.type in _MOVED)
