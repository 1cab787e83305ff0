"""Loops that end by themselves: may_goto, iterators, callbacks. What changes in them is widened until it stays.

Source: widen_imprecise_scalars, find_prev_entry, process_iter_next_call of Linux 6.18.
"""

from __future__ import annotations

from verifier.env import Env
from verifier.ids import Ids
from verifier.raw import Raw
from verifier.scalar import UNKNOWN
from verifier.state import ANY, ITER_SLOT, SPILL, Iterator, Reg, Slot, State
from verifier.types import SCALAR


def may_goto(env: Env, raw: Raw) -> int:
    """Execute may_goto: the other way, one round deeper, waits; it goes on where the loop ends."""
    pc = env.pc
    own = env.state.parent  # stored right here
    earlier = previous(env, own.parent if own is not None else None, pc)
    queued = env.push(pc + 1, pc)
    queued.may_goto_depth += 1
    if earlier is not None:
        widen(env, earlier, queued)
    return pc + 1 + raw.off


def previous(env: Env, state: State | None, pc: int) -> State | None:
    """The last stored state on the way here that was at pc, called from the same places."""
    now = env.state
    while state is not None:
        if state.pc == pc and [one.callsite for one in state.frames] == [one.callsite for one in now.frames]:
            return state
        state = state.parent
    return None


def widen_from(env: Env, pc: int, state: State) -> None:
    """Widen a state that is at pc again."""
    earlier = previous(env, state.parent, pc)
    if earlier is not None:
        widen(env, earlier, state)


def widen(env: Env, old: State, state: State) -> None:
    """Scalars that changed since an earlier round, and whose value nothing depends on, can be anything."""
    ids = Ids(env.ids)
    for one, other in zip(old.frames, state.frames, strict=False):
        precise = one.precise if env.capable else -1
        for number, reg in enumerate(one.regs[:10]):
            new = _widened(reg, other.regs[number], ids, precise >> number & 1 == 1)
            if new is not other.regs[number]:
                other.regs[number] = new
        precise = one.precise_slots if env.capable else -1
        for index, slot in enumerate(one.stack):
            if index >= len(other.stack):
                break
            now = other.stack[index]
            if slot.kinds[7] == SPILL and now.kinds[7] == SPILL:
                new = _widened(slot.reg, now.reg, ids, precise >> index & 1 == 1)
                if new is not now.reg:
                    other.stack[index] = Slot(now.kinds, new)


def _widened(old: Reg, reg: Reg, ids: Ids, precise: bool) -> Reg:
    if old.type != SCALAR or reg.type != SCALAR or precise:
        return reg
    if old.num == reg.num and old.off == reg.off and ids.same(old.id, reg.id):
        return reg
    return ANY if reg.num is not UNKNOWN or reg.id else reg


def iterator_is_active(state: State) -> bool:
    """Whether the iterator that R1 points to has given something."""
    pointer = state.frames[-1].regs[1]
    frame = state.frames[pointer.aux]
    index = (-(pointer.off + pointer.num.smin) - 1) // 8
    reg = frame.slot(index).reg
    return isinstance(reg.of, Iterator) and reg.of.state == "active"


def depths_differ(old: State, state: State) -> bool:
    """Whether an active iterator has moved between two states."""
    for one, other in zip(old.frames, state.frames, strict=True):
        for index, slot in enumerate(one.stack):
            if slot.kinds[7] != ITER_SLOT:
                continue
            a, b = slot.reg.of, other.slot(index).reg.of
            if isinstance(a, Iterator) and isinstance(b, Iterator) and a.state == "active" and a.depth != b.depth:
                return True
    return False
