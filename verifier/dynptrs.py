"""Dynptrs on the stack: made, used, given back, and lost when something else is written there.

A dynptr is two slots; `index` is the one at its address, its first, and index - 1 the one above. Source:
mark_stack_slots_dynptr, unmark_stack_slots_dynptr and destroy_if_dynptr_stack_slot of Linux 6.18.
"""

from __future__ import annotations

from bpf.isa.effects import signed
from bpf.spec.errno import EINVAL
from verifier import held
from verifier.env import Env, each_reg
from verifier.rejection import Rejection
from verifier.state import ANY, DYNPTR_SLOT, EMPTY, UNINIT, ZERO, Dynptr, Frame, Reg, Slice, Slot
from verifier.types import DYNPTR

SLOTS = 2
PACKET = frozenset({"skb", "xdp", "skb_meta"})
COUNTED = frozenset({"ringbuf"})  # kinds that hold a reference
OUTSIDE = -1
_KINDS = bytes([DYNPTR_SLOT]) * 8


def place(env: Env, reg: Reg, what: str, slots: int) -> int:
    """The slot that a stack pointer points to, where an object of so many slots starts.

    OUTSIDE where the stack does not reach that far yet. Raises Rejection with the reason alone.
    """
    if reg.num.mask:
        raise Rejection(EINVAL, f"{what} has to be at a constant offset", env.pc)
    off = reg.off + signed(reg.num.value, 64)
    index = (-off - 1) // 8 if off < 0 else -((off + 1) // 8)  # as C divides
    if off % 8 or index + 1 < slots:
        raise Rejection(EINVAL, f"cannot pass in {what} at an offset={off}", env.pc)
    frame = env.state.frames[reg.aux]
    return index if 0 <= index < len(frame.stack) else OUTSIDE


def find(env: Env, reg: Reg) -> Reg | None:
    """What is known of the dynptr that a register points to; None where there is none. Raises Rejection."""
    if reg.type == DYNPTR:
        return reg
    index = place(env, reg, "dynptr", SLOTS)
    if index == OUTSIDE:
        return None
    stack = env.state.frames[reg.aux].stack
    first = stack[index]
    if first.kinds != _KINDS or stack[index - 1].kinds != _KINDS:
        return None
    return first.reg if isinstance(first.reg.of, Dynptr) and first.reg.of.first else None


def make(env: Env, reg: Reg, kind: str, ref: int = 0) -> None:
    """A new dynptr where a stack pointer points. ref: the reference of the one that it is a clone of."""
    frame = env.state.frames[reg.aux]
    index = place(env, reg, "dynptr", SLOTS)
    assert index != OUTSIDE
    destroy_slot(env, frame, index)
    destroy_slot(env, frame, index - 1)
    id_ = env.new_id()
    if kind in COUNTED and not ref:
        ref = held.acquire(env)
    elif kind not in COUNTED:
        ref = 0
    for at, first in ((index, True), (index - 1, False)):
        frame.stack[at] = Slot(_KINDS, Reg(DYNPTR, ZERO, 0, id_, ref, Dynptr(kind, first), int(first)))
    _touched(env, frame, index)


def _touched(env: Env, frame: Frame, index: int) -> None:
    env.live.wrote(frame.number, 3 << index - 1)
    env.scratched_slots |= 3 << index - 1


def read(env: Env, reg: Reg) -> None:
    """A dynptr is used."""
    if reg.type == DYNPTR:
        return
    index = place(env, reg, "dynptr", SLOTS)
    env.live.read(env.state, env.pc, reg.aux, 3 << index - 1)
    env.scratched_slots |= 3 << index - 1


def release(env: Env, reg: Reg) -> None:
    """Give back the dynptr that a stack pointer points to, its slices and its clones."""
    frame = env.state.frames[reg.aux]
    index = place(env, reg, "dynptr", SLOTS)
    ref = frame.stack[index].reg.ref
    if not ref:
        _forget(env, frame, index)
        return
    held.release(env, ref)
    for at in range(1, len(frame.stack)):
        slot = frame.stack[at]
        if slot.kinds[7] == DYNPTR_SLOT and slot.reg.ref == ref:
            of = slot.reg.of
            if isinstance(of, Dynptr) and of.first:
                _forget(env, frame, at)


def _forget(env: Env, frame: Frame, index: int) -> None:
    frame.stack[index] = frame.stack[index - 1] = EMPTY
    env.live.wrote(frame.number, 3 << index - 1)


def destroy_slot(env: Env, frame: Frame, index: int) -> None:
    """A slot is written: a dynptr there is gone. Raises Rejection for one that has to be released."""
    slot = frame.stack[index]
    if slot.kinds[7] != DYNPTR_SLOT:
        return
    of = slot.reg.of
    assert isinstance(of, Dynptr)
    if of.kind in COUNTED:
        raise Rejection(EINVAL, "cannot overwrite referenced dynptr", env.pc)
    if not of.first:
        index += 1
    number = slot.reg.id
    lost = ANY if env.leaks else UNINIT

    def change(reg: Reg) -> Reg:
        return lost if isinstance(reg.of, Slice) and not reg.of.kind and reg.of.dynptr == number else reg

    frame.stack[index] = frame.stack[index - 1] = EMPTY
    each_reg(env.state, change)
    _touched(env, frame, index)
