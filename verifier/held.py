"""What a program holds: references, locks, regions that must be left. Taken, given back, and not to be forgotten.

Source: acquire_reference, release_reference, check_resource_leak of Linux 6.18.
"""

from __future__ import annotations

from bpf.spec.errno import EINVAL
from verifier.env import Env, each_reg
from verifier.rejection import Rejection
from verifier.state import ANY, UNINIT, Ref, Reg, State


def acquire(env: Env, kind: str = "ptr", what: object = None) -> int:
    """Hold one more thing; its id."""
    id_ = env.new_id()
    env.state.refs += (Ref(kind, id_, env.pc, what),)
    return id_


def forget(state: State, id_: int) -> bool:
    """Hold a reference no longer; False where it is not held."""
    kept = tuple(ref for ref in state.refs if ref.kind != "ptr" or ref.id != id_)
    if len(kept) == len(state.refs):
        return False
    state.refs = kept
    return True


def release(env: Env, id_: int) -> bool:
    """Give a reference back: what belongs to it cannot be used any more. False where it is not held."""
    if not forget(env.state, id_):
        return False

    def change(reg: Reg) -> Reg:
        if reg.ref != id_:
            return reg
        return ANY if env.leaks else UNINIT

    each_reg(env.state, change)
    return True


def check_leak(env: Env, thrown: bool, locks: bool, what: str) -> None:
    """Nothing may be held where a program ends; locks: nor regions be open. Raises Rejection."""
    state = env.state
    if not state.refs and not (state.locks or state.irq or state.rcu or state.preempt):
        return
    if locks and state.locks:
        raise Rejection(EINVAL, f"{what} cannot be used inside bpf_spin_lock-ed region", env.pc)
    if thrown or len(state.frames) == 1:
        lingering = [ref for ref in state.refs if ref.kind == "ptr"]
        if lingering:
            lines = [f"Unreleased reference id={ref.id} alloc_insn={ref.pc}" for ref in lingering]
            raise Rejection(EINVAL, "\n".join([*lines, f"{what} would lead to reference leak"]), env.pc)
    if locks:
        regions = ((state.irq, "local_irq_save"), (state.rcu, "rcu_read_lock"), (state.preempt, "preempt_disable"))
        for held, word in regions:
            if held:
                raise Rejection(EINVAL, f"{what} cannot be used inside bpf_{word}-ed region", env.pc)
