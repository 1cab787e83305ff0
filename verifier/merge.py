"""Verification by joined states: one state for each block entry and caller, instead of one for each path.

It is quick and knows less. What it accepts may run, and the search of paths would accept it too, if its limits let it;
what it refuses, that search decides (verify.py). Not for programs with loops, which only a walk shows to end, and not
where states hold what cannot be joined.
"""

from __future__ import annotations

from collections.abc import Callable

from bpf.spec.errno import E2BIG
from verifier import tnum
from verifier.env import Env
from verifier.explore import DONE, execute
from verifier.rejection import Rejection
from verifier.scalar import Scalar, settled
from verifier.state import (
    ADD_CONST,
    DYNPTR_SLOT,
    EMPTY,
    INVALID,
    IRQ_FLAG,
    ITER_SLOT,
    MISC,
    SPILL,
    SPILL_KINDS,
    UNINIT,
    ZEROS,
    Frame,
    Reg,
    Slot,
    State,
)  # fmt: skip
from verifier.types import NOT_INIT, PACKETS, SCALAR

_OBJECTS = frozenset({DYNPTR_SLOT, ITER_SLOT, IRQ_FLAG})

_Key = tuple[int, ...]


class Unjoinable(Exception):
    """Two states that no one state covers."""


class _Ids:
    """The ids of a joined state: one for each pair of ids that stood for the same thing."""

    __slots__ = ("new", "pairs")

    def __init__(self, new: Callable[[], int]) -> None:
        self.new = new
        self.pairs: dict[tuple[int, int], int] = {}

    def of(self, one: int, other: int) -> int:
        flags = one & ADD_CONST
        if not one or not other or other & ADD_CONST != flags:
            return 0
        one, other = one & ~ADD_CONST, other & ~ADD_CONST
        found = self.pairs.get((one, other))
        if found is None:
            found = self.pairs[one, other] = one if one == other else self.new()
        return found | flags


def joinable(env: Env) -> bool:
    """Whether a program has no loops, of its own graph or through functions that are called back."""
    shape = env.structure
    if any(shape.scc) or any(shape.calls_callback):
        return False
    return not any(row is not None and row.op == "func" for row in shape.rows)


def explore(env: Env, state: State, start: int) -> None:
    """Walk all blocks until no state grows. Raises Rejection, and Unjoinable where it cannot be done so."""
    entries: dict[_Key, State] = {}
    waiting: set[_Key] = set()
    points = env.structure.prune_point
    turn = {pc: number for number, pc in enumerate(env.structure.postorder)}

    def arrive(at: State, pc: int) -> None:
        key = (pc, *(frame.callsite for frame in at.frames))
        old = entries.get(key)
        if old is None:
            entries[key] = at.copy()
        else:
            new = _join(env, old, at)
            if new is None:
                return
            entries[key] = new
        waiting.add(key)

    arrive(state, start)
    while waiting:
        key = max(waiting, key=lambda one: (len(one), turn[one[0]]))  # callees first, and what leads to others
        waiting.remove(key)
        _block(env, entries[key].copy(), key[0], points, arrive)


def _block(env: Env, state: State, pc: int, points: list[bool], arrive: Callable[[State, int], None]) -> None:
    """Walk from a block's entry to the entries behind it."""
    first = True
    while first or not points[pc]:
        first = False
        env.processed += 1
        if env.processed > env.options.processed:
            raise Rejection(E2BIG, f"BPF program is too large. Processed {env.processed} insn", pc)
        env.state, env.pc = state, pc
        state.history = []
        env.aux[pc].seen = True
        after = execute(env, env.structure.raws[pc], pc)
        for left in env.waiting:
            left.state.history = []
            arrive(left.state, left.pc)
        env.waiting.clear()
        env.returned = False
        if after == DONE:
            return
        env.before, pc = pc, after
        state = env.state
    arrive(state, pc)


# Joining ---------------------------------------------------------------------------------------------


def _join(env: Env, old: State, new: State) -> State | None:
    """A state that covers both; None where the old one does already."""
    if len(old.refs) != len(new.refs) or (old.locks, old.rcu, old.preempt) != (new.locks, new.rcu, new.preempt):
        raise Unjoinable
    if any(one.kind != other.kind for one, other in zip(old.refs, new.refs, strict=True)):
        raise Unjoinable
    if (old.refs or old.irq or new.irq) and (old.refs != new.refs or old.irq != new.irq or old.lock != new.lock):
        raise Unjoinable
    ids = _Ids(env.new_id)
    made = old.copy()
    changed = False
    for frame, other in zip(made.frames, new.frames, strict=True):
        changed |= _join_frame(frame, other, ids)
    return made if changed else None


def _join_frame(frame: Frame, other: Frame, ids: _Ids) -> bool:
    changed = False
    for number, reg in enumerate(frame.regs):
        joined = _join_reg(reg, other.regs[number], ids)
        if not joined.same(reg):
            frame.regs[number] = joined
            changed = True
    for index, slot in enumerate(frame.stack):
        new = _join_slot(slot, other.slot(index), ids)
        if new.kinds != slot.kinds or not new.reg.same(slot.reg):
            frame.stack[index] = new
            changed = True
    return changed


def _join_reg(one: Reg, other: Reg, ids: _Ids) -> Reg:
    if one.same(other):
        return one if not one.id or ids.of(one.id, other.id) == one.id else one.identified(ids.of(one.id, other.id))
    if NOT_INIT in (one.type, other.type) or one.type != other.type:
        return UNINIT
    if one.type == SCALAR:
        num = _join_num(one.num, other.num)
        if one.off != other.off:
            return Reg(SCALAR, num)
        return Reg(SCALAR, num, one.off, ids.of(one.id, other.id))
    if one.off != other.off or one.of != other.of or one.ref != other.ref or bool(one.id) != bool(other.id):
        return UNINIT
    if one.type in PACKETS:
        aux = min(one.aux, other.aux) if one.aux >= 0 and other.aux >= 0 else one.aux if one.aux == other.aux else 0
    elif one.aux != other.aux:
        return UNINIT
    else:
        aux = one.aux
    num = _join_num(one.num, other.num)
    return Reg(one.type, num, one.off, ids.of(one.id, other.id), one.ref, one.of, aux)


def _join_num(a: Scalar, b: Scalar) -> Scalar:
    if a is b or a == b:
        return a
    value, mask = tnum.union(a.value, a.mask, b.value, b.mask)
    return settled(
        value, mask, min(a.smin, b.smin), max(a.smax, b.smax), min(a.umin, b.umin), max(a.umax, b.umax),
        min(a.s32min, b.s32min), max(a.s32max, b.s32max), min(a.u32min, b.u32min), max(a.u32max, b.u32max),
    )  # fmt: skip


def _join_slot(one: Slot, other: Slot, ids: _Ids) -> Slot:
    if one is other:
        return one
    if _OBJECTS & (set(one.kinds) | set(other.kinds)):
        if one.kinds != other.kinds or not one.reg.same(other.reg):
            raise Unjoinable
        return one
    if one.kinds == other.kinds == SPILL_KINDS or (one.kinds == other.kinds and one.kinds[7] == SPILL):
        reg = _join_reg(one.reg, other.reg, ids)
        if reg.type != NOT_INIT:
            return Slot(one.kinds, reg)
        return EMPTY
    pointers = any(slot.kinds[7] == SPILL and slot.reg.type != SCALAR for slot in (one, other))
    kinds = bytes(_join_kind(a, b, pointers) for a, b in zip(one.kinds, other.kinds, strict=True))
    return Slot(kinds)


def _join_kind(a: int, b: int, pointers: bool) -> int:
    """Data, where both are; a spilled pointer is none."""
    if INVALID in (a, b) or pointers:
        return INVALID
    return ZEROS if a == b == ZEROS else MISC
