"""Spin locks and timers in values, as arguments.

Source: process_spin_lock and process_timer_func of Linux 6.18.
"""

from __future__ import annotations

from bpf.isa.effects import signed
from bpf.program import Map
from verifier import fields
from verifier.env import Env, each_reg
from verifier.rejection import Rejection
from verifier.state import ANY, UNINIT, Ref, Reg
from verifier.types import MAP_VALUE, NON_OWNING


def _field(env: Env, number: int, reg: Reg, kind: str, word: str) -> fields.Field:
    """The field that an argument points to. Raises Rejection."""
    if reg.num.mask:
        raise Rejection(
            22, f"R{number} doesn't have constant offset. {word} has to be at the constant offset", env.pc
        )
    map_ = reg.of if reg.type == MAP_VALUE and isinstance(reg.of, Map) else None
    what, name = ("map", map_.name) if map_ is not None else ("local", "kptr")
    if map_ is not None and not map_.value_type and map_.lock is None and map_.timer is None:
        raise Rejection(22, f"map '{name}' has to have BTF in order to use {word}", env.pc)
    found = fields.find(map_, env.subject.btf, kind) if map_ is not None else None
    if found is None:
        raise Rejection(22, f"{what} '{name}' has no valid {word}", env.pc)
    off = reg.off + signed(reg.num.value, 64)
    if found.offset != off:
        raise Rejection(22, f"off {off} doesn't point to 'struct {word}' that is at {found.offset}", env.pc)
    return found


def process(env: Env, number: int, reg: Reg, lock: bool, word: str) -> None:
    """Lock or unlock. Raises Rejection."""
    state = env.state
    _field(env, number, reg, f"{word}_lock", f"{word}_lock")
    if lock:
        if state.locks:
            raise Rejection(22, "Locking two bpf_spin_locks are not allowed", env.pc)
        state.refs += (Ref("lock", reg.id, env.pc, reg.of),)
        state.locks += 1
        state.lock = reg.id
        return
    if not state.locks:
        raise Rejection(22, f"{word}_unlock without taking a lock", env.pc)
    held = next((ref for ref in state.refs if ref.kind == "lock" and ref.id == reg.id and ref.what == reg.of), None)
    if held is None:
        raise Rejection(22, f"{word}_unlock of different lock", env.pc)
    state.refs = tuple(ref for ref in state.refs if ref is not held)
    state.locks -= 1
    state.lock = 0
    each_reg(state, _number if env.leaks else _nothing)


def _nothing(reg: Reg) -> Reg:
    return UNINIT if reg.type & NON_OWNING else reg


def _number(reg: Reg) -> Reg:
    return ANY if reg.type & NON_OWNING else reg


def timer(env: Env, number: int, reg: Reg) -> tuple[Map, int]:
    """A timer's map and the lookup that gave it. Raises Rejection."""
    _field(env, number, reg, "bpf_timer", "bpf_timer")
    assert isinstance(reg.of, Map)
    return reg.of, reg.aux
