"""Dynptrs as arguments of helpers and kernel functions.

Source: process_dynptr_func and check_helper_call of Linux 6.18.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpf.spec.errno import EINVAL
from bpf.spec.signatures import Kind
from verifier import dynptrs, memory
from verifier.env import Env
from verifier.rejection import Rejection
from verifier.state import Dynptr, Reg, Slice
from verifier.types import DYNPTR, STACK

if TYPE_CHECKING:
    from verifier.arguments import Call

_TYPE = "DYNPTR_TYPE_"


def check(env: Env, made: Call, number: int, reg: Reg, kind: Kind) -> None:
    """A dynptr argument of a helper. Raises Rejection."""
    wanted = next((flag.removeprefix(_TYPE).lower() for flag in kind.flags if flag.startswith(_TYPE)), "")
    if "MEM_UNINIT" in kind.flags:
        initialize(env, number, reg, wanted)
        made.makes = True
        return
    found = use(env, number, reg, mutates="MEM_RDONLY" not in kind.flags)
    if wanted and kind_of(found) != wanted:
        raise Rejection(EINVAL, f"Expected a dynptr of type {wanted} as arg #{number - 1}", env.pc)
    dynptrs.read(env, reg)
    made.dynptr = found


def initialize(env: Env, number: int, reg: Reg, kind: str, ref: int = 0) -> None:
    """An argument where a dynptr is to be made; ref: of the one that it is a clone of. Raises Rejection."""
    _points(env, number, reg)
    said = ""
    try:
        fits = reg.type != DYNPTR
        if fits:
            dynptrs.place(env, reg, "dynptr", dynptrs.SLOTS)
    except Rejection as refused:
        fits, said = False, refused.message + "\n"
    if not fits:
        raise Rejection(EINVAL, said + "Dynptr has to be an uninitialized dynptr", env.pc)
    for off in range(0, 16, 8):
        memory.access(env, number, off, 8, True, -1)
    dynptrs.make(env, env.state.frames[-1].regs[number], kind, ref)


def use(env: Env, number: int, reg: Reg, *, mutates: bool) -> Reg:
    """An argument that is a dynptr; what is known of it. Raises Rejection."""
    _points(env, number, reg)
    if reg.type == DYNPTR and mutates:
        raise Rejection(EINVAL, "cannot pass pointer to const bpf_dynptr, the helper mutates it", env.pc)
    said = ""
    try:
        found = dynptrs.find(env, reg)
    except Rejection as refused:
        found, said = None, refused.message + "\n"
    if found is None:
        raise Rejection(EINVAL, f"{said}Expected an initialized dynptr as arg #{number - 1}", env.pc)
    return found


def _points(env: Env, number: int, reg: Reg) -> None:
    if reg.type not in (STACK, DYNPTR):
        text = f"arg#{number - 1} expected pointer to stack or const struct bpf_dynptr"
        raise Rejection(EINVAL, text, env.pc)


def kind_of(found: Reg) -> str:
    """A dynptr's kind."""
    assert isinstance(found.of, Dynptr)
    return found.of.kind


def check_release(env: Env, number: int, reg: Reg) -> None:
    """A dynptr that is given back. Raises Rejection."""
    if reg.type != STACK:
        raise Rejection(EINVAL, "cannot release unowned const bpf_dynptr", env.pc)
    said, ref = "", 0
    try:
        index = dynptrs.place(env, reg, "dynptr", dynptrs.SLOTS)
        ref = env.state.frames[reg.aux].stack[index].reg.ref if index != dynptrs.OUTSIDE else 0
    except Rejection as refused:
        said = refused.message + "\n"
    if not ref:
        raise Rejection(EINVAL, f"{said}arg {number} is an unacquired reference", env.pc)


def release(env: Env, reg: Reg) -> None:
    """Give a dynptr back."""
    dynptrs.release(env, reg)


def lends(env: Env, made: Call) -> None:
    """The result is a slice of a dynptr."""
    assert made.dynptr is not None
    made.owner = Slice(made.dynptr.id, "")
    made.ref = made.dynptr.ref


def moves_packet(env: Env, made: Call) -> bool:
    """Whether it writes to the packet through a dynptr."""
    return made.name == "dynptr_write" and made.dynptr is not None and kind_of(made.dynptr) in ("skb", "skb_meta")
