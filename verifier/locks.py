"""Spin locks and timers in values, as arguments.

Source: process_spin_lock and process_timer_func of Linux 6.18.
"""

from __future__ import annotations

from bpf.isa.effects import signed
from bpf.object.btf import Btf
from bpf.program import Map
from bpf.spec.errno import EINVAL
from verifier import fields
from verifier.env import Env, each_reg
from verifier.rejection import Rejection
from verifier.state import ANY, UNINIT, Ref, Reg
from verifier.types import MAP_VALUE, NON_OWNING


def _field(env: Env, number: int, reg: Reg, kind: str, word: str) -> fields.Field:
    """The field that an argument points to. Raises Rejection."""
    if reg.num.mask:
        raise Rejection(
            EINVAL, f"R{number} doesn't have constant offset. {word} has to be at the constant offset", env.pc
        )
    map_ = reg.of if reg.type == MAP_VALUE and isinstance(reg.of, Map) else None
    what, name = ("map", map_.name) if map_ is not None else ("local", "kptr")
    if map_ is not None and not map_.value_type and map_.lock is None and map_.timer is None:
        raise Rejection(EINVAL, f"map '{name}' has to have BTF in order to use {word}", env.pc)
    found: fields.Field | None = None
    if map_ is not None:
        found = fields.find(map_, env.subject.btf, kind)
    elif isinstance(reg.of, Btf):
        found = next((field for field in fields.of_object(reg.of, reg.aux) if field.kind == kind), None)
    if found is None:
        raise Rejection(EINVAL, f"{what} '{name}' has no valid {word}", env.pc)
    off = reg.off + signed(reg.num.value, 64)
    if found.offset != off:
        raise Rejection(EINVAL, f"off {off} doesn't point to 'struct {word}' that is at {found.offset}", env.pc)
    return found


def process(env: Env, number: int, reg: Reg, lock: bool, word: str, irq: bool = False) -> None:
    """Lock or unlock. word: "bpf_spin" or "bpf_res_spin"; irq: with interrupts off. Raises Rejection."""
    state = env.state
    _field(env, number, reg, f"{word}_lock", f"{word}_lock")
    resilient = word == "bpf_res_spin"
    kind = ("res_lock_irq" if irq else "res_lock") if resilient else "lock"
    of = reg.of
    if lock:
        if not resilient and any(ref.kind == "lock" for ref in state.refs):
            raise Rejection(EINVAL, "Locking two bpf_spin_locks are not allowed", env.pc)
        if resilient and any(ref.kind.startswith("res_") and _is(ref, reg) for ref in state.refs):
            raise Rejection(EINVAL, "Acquiring the same lock again, AA deadlock detected", env.pc)
        state.refs += (Ref(kind, reg.id, env.pc, of),)
        state.locks += 1
        state.lock = reg.id
        return
    if not state.locks:
        raise Rejection(EINVAL, f"{word}_unlock without taking a lock", env.pc)
    held = next((ref for ref in reversed(state.refs) if ref.kind == kind and _is(ref, reg)), None)
    if held is None:
        raise Rejection(EINVAL, f"{word}_unlock of different lock", env.pc)
    last = [ref for ref in state.refs if "lock" in ref.kind]
    if not _is(last[-1], reg):
        raise Rejection(EINVAL, f"{word}_unlock cannot be out of order", env.pc)
    state.refs = tuple(ref for ref in state.refs if ref is not held)
    state.locks -= 1
    state.lock = last[-2].id if len(last) > 1 else 0
    each_reg(state, _number if env.leaks else _nothing)


def _is(ref: Ref, reg: Reg) -> bool:
    """Whether a held lock is the one that a register leads to."""
    return ref.id == reg.id and (ref.what is reg.of or ref.what == reg.of)


def holds_of(env: Env, reg: Reg) -> bool | None:
    """Whether the lock next to what a register points to is held; None where another is."""
    if not env.state.locks:
        return False
    return True if any("lock" in ref.kind and _is(ref, reg) for ref in env.state.refs) else None


def _nothing(reg: Reg) -> Reg:
    return UNINIT if reg.type & NON_OWNING else reg


def _number(reg: Reg) -> Reg:
    return ANY if reg.type & NON_OWNING else reg


def work(env: Env, number: int, reg: Reg, struct: str) -> tuple[Map, int]:
    """The map and the lookup that gave a timer, a workqueue or a task's work. Raises Rejection."""
    _field(env, number, reg, struct, struct)
    assert isinstance(reg.of, Map)
    return reg.of, reg.aux
