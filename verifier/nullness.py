"""Null: what a comparison with 0 decides of all pointers that came from the same call.

Source: mark_ptr_or_null_regs and mark_ptr_not_null_reg of Linux 6.18.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from bpf.program import Map
from verifier import fields, held
from verifier.env import Env, each_reg
from verifier.state import ZERO, Reg, State
from verifier.types import ALLOC, BASE, MAP_PTR, MAP_VALUE, MAYBE_NULL, NON_OWNING, RCU, SCALAR, SOCKET, XDP_SOCK


@lru_cache(maxsize=64)
def _nameless(map_: Map) -> Map:
    """What all inner maps are like: none of them has that one's name."""
    return replace(map_, name="")


def decide(env: Env, state: State, number: int, null: bool) -> None:
    """A pointer that may be null was compared with 0: all that share its id are null, or are not."""
    reg = state.frames[-1].regs[number]
    id_ = reg.id
    if reg.ref and reg.ref == id_ and null:
        held.forget(state, id_)

    def change(one: Reg) -> Reg:
        if not one.type & MAYBE_NULL or one.id != id_ or not (id_ or one.type & RCU):
            return one
        if one.num != ZERO or (one.off and not one.type & (ALLOC | NON_OWNING)):
            return one
        return Reg(SCALAR, ZERO) if null else not_null(env, one)

    each_reg(state, change)


def not_null(env: Env, reg: Reg) -> Reg:
    """A pointer that is no longer null; its id is kept where it tells locks apart."""
    new = as_not_null(env, reg)
    return new if not new.id or fields.may_hold_lock(new, env.subject.btf) else new.identified(0)


def as_not_null(env: Env, reg: Reg) -> Reg:
    """The same pointer where it is not null."""
    if reg.type & BASE == MAP_VALUE and isinstance(reg.of, Map):
        map_ = reg.of
        if map_.inner is not None:
            uid = reg.id if fields.has_timers(map_.inner, env.subject.btf) else 0
            return Reg(MAP_PTR, ZERO, 0, 0, 0, _nameless(map_.inner), uid)
        if map_.kind == "xskmap":
            return Reg(XDP_SOCK, ZERO, 0, 0, reg.ref)
        if map_.kind in ("sockmap", "sockhash"):
            return Reg(SOCKET, ZERO, 0, 0, reg.ref)
    return reg.typed(reg.type & ~MAYBE_NULL)
