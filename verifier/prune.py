"""States that need not be explored: an explored one covers them. And loops: an unfinished one that is equal.

Source: is_state_visited, states_equal, regsafe, stacksafe and the visits of cycles of Linux 6.18.
"""

from __future__ import annotations

from bpf.isa.table import Kind
from bpf.spec.errno import EINVAL
from verifier import calls, loops, precision
from verifier.env import Env, Stored, Visit
from verifier.ids import Ids
from verifier.log import frame_text
from verifier.rejection import Rejection
from verifier.scalar import UNKNOWN, within
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
    Dynptr,
    Frame,
    Iterator,
    Reg,
    Slot,
    State,
)  # fmt: skip
from verifier.types import (
    ARENA,
    BASE,
    BUF,
    MAP_KEY,
    MAP_VALUE,
    MEM,
    NOT_INIT,
    PACKETS,
    SCALAR,
    STACK,
    TP_BUFFER,
)  # fmt: skip

NOT_EXACT, EXACT, RANGE_WITHIN = range(3)  # how a state is compared: as covered, as the same, with all ranges inside
_LONG_HISTORY = 40
_MOST_BACK = 64
_UNPRIVILEGED_STATES = 64
_REGIONS = frozenset({MAP_KEY, MAP_VALUE, MEM, BUF, TP_BUFFER})
_ANY_SLOT = Reg(SCALAR, UNKNOWN)


def key(env: Env, state: State, pc: int) -> int:
    """Where the states of an instruction and its caller are kept."""
    return (pc ^ (state.frames[-1].callsite & 0xFFFF_FFFF)) % len(env.structure.raws)


def due(jumps: int, processed: int) -> bool:
    """Whether a state is stored, so many jumps and instructions after the last one."""
    return jumps >= 2 and processed >= 8


def visited(env: Env, pc: int) -> bool:
    """Whether the state at pc is covered by an explored one; if not, it may be stored. Raises Rejection."""
    state = env.state
    shape = env.structure
    forced = env.frequent or shape.force_checkpoint[pc] or len(state.history) > _LONG_HISTORY
    add = forced or due(env.jumps - env.last_jumps, env.processed - env.last_processed)
    if not env.explored:
        env.early.append((env.jumps, env.processed, forced))
    where = key(env, state, pc)
    kept = env.explored.get(where)
    count = 0
    if kept and env.options.prune:
        _clean(env, kept, state, pc)
        for stored in reversed(kept[:]):
            count += 1
            old = stored.state
            if old.pc != pc:
                continue
            hit = loop = False
            if old.branches:
                hit = _looping(env, old, state, pc)
                loop = hit and not shape.calls_callback[pc]
                few = env.jumps - env.last_jumps < 20 and env.processed - env.last_processed < 100
                if few and not hit and not forced:
                    add = False
            else:
                loop = _unfinished(env, old)
                hit = equal(env, old, state, RANGE_WITHIN if loop else NOT_EXACT)
            if hit:
                stored.hits += 1
                if shape.jump_point[pc]:
                    env.history()
                precision.propagate(env, old, state)
                if loop:
                    _add_back(env, old, state, pc)
                return True
            if add:
                stored.misses += 1
            most = 64 if shape.force_checkpoint[pc] and old.branches else 3
            if stored.misses > stored.hits * most + most:
                kept.remove(stored)
                env.stored -= 1
                if old.branches:
                    env.evicted += 1
    env.max_states = max(env.max_states, count)
    if (not env.capable and count > _UNPRIVILEGED_STATES) or not add:
        return False
    _store(env, state, pc, where)
    return False


def _store(env: Env, state: State, pc: int, where: int) -> None:
    env.total_states += 1
    env.stored += 1
    _peak(env)
    env.last_jumps, env.last_processed = env.jumps, env.processed
    new = state.copy()
    new.pc = pc
    for frame in new.frames:
        frame.precise = frame.precise_slots = 0
    _enter(env, new)
    state.parent = new
    state.first = pc
    state.depth = new.depth + 1
    state.history = []
    env.explored.setdefault(where, []).append(Stored(new))


def _peak(env: Env) -> None:
    now = env.stored + env.evicted + sum(len(visit.back) for visit in env.visits.values())
    env.peak_states = max(env.peak_states, now)


def ended(env: Env, state: State | None) -> None:
    """A path is done: what was stored on it has one branch fewer."""
    while state is not None:
        state.branches -= 1
        if state.branches:
            return
        _leave(env, state)
        state = state.parent


# What is no longer looked at -------------------------------------------------------------------------


def _clean(env: Env, kept: list[Stored], state: State, pc: int) -> None:
    """Forget in finished states what is never read again."""
    for stored in kept:
        old = stored.state
        if old.branches or old.cleaned or old.pc != pc or not _same_callers(old, state) or _unfinished(env, old):
            continue
        old.cleaned = True
        for frame in old.frames:
            bits = env.structure.live_before[_pc_in(old, frame.number)]
            for number in range(10):
                if not bits >> number & 1:
                    frame.regs[number] = UNINIT
            for index, slot in enumerate(frame.stack):
                if any(slot.kinds) and not env.live.alive(old, frame.number, index):
                    frame.stack[index] = EMPTY


def _same_callers(a: State, b: State) -> bool:
    return len(a.frames) == len(b.frames) and all(
        one.callsite == other.callsite for one, other in zip(a.frames, b.frames, strict=True)
    )


def _pc_in(state: State, number: int) -> int:
    """Where a frame is: its instruction, or its call."""
    return state.pc if number == len(state.frames) - 1 else state.frames[number + 1].callsite


# Loops -----------------------------------------------------------------------------------------------


def _looping(env: Env, old: State, state: State, pc: int) -> bool:
    """Whether the state closes a loop that has converged. Raises Rejection for one that never ends."""
    frame = old.frames[-1]
    if frame.asynchronous and frame.entry != state.frames[-1].entry:
        return False
    shape = env.structure
    raw = shape.raws[pc]
    row = shape.rows[pc]
    if calls.is_iterator_step(raw, pc, env.subject):
        return equal(env, old, state, RANGE_WITHIN) and loops.iterator_is_active(state)
    counted = row is not None and row.kind is Kind.COUNTDOWN and old.may_goto_depth != state.may_goto_depth
    if counted and equal(env, old, state, RANGE_WITHIN):
        return True
    if shape.calls_callback[pc]:
        return equal(env, old, state, RANGE_WITHIN)
    if (
        old.may_goto_depth == state.may_goto_depth
        and old.unroll_depth == state.unroll_depth
        and _may_loop(old, state)
        and equal(env, old, state, EXACT)
        and not loops.depths_differ(old, state)
    ):
        every = -1 if not env.capable else 0
        shown = [
            frame_text(one, frame, precise=frame.precise | every, precise_slots=frame.precise_slots | every)
            for one in (state, old)
            for frame in one.frames[-1:]
        ]
        raise Rejection(EINVAL, f"infinite loop detected at insn {pc}\ncur state:{shown[0]}\nold state:{shown[1]}", pc)
    return False


def _may_loop(old: State, state: State) -> bool:
    """A quick look: equal registers of the running frame."""
    if len(old.frames) != len(state.frames):
        return False
    return all(one.same(other) for one, other in zip(old.frames[-1].regs, state.frames[-1].regs, strict=True))


def _place(env: Env, state: State) -> tuple[int, ...]:
    """Which cycle a state is in, and the calls that led there; () for none."""
    callers: list[int] = []
    for frame in state.frames:
        pc = _pc_in(state, frame.number)
        scc = env.structure.scc[pc]
        if scc:
            return (scc, *callers)
        callers.append(pc)
    return ()


def _unfinished(env: Env, state: State) -> bool:
    """Whether marks of a state may still grow: a path of its cycle ended in a state that is not done."""
    place = _place(env, state)
    visit = env.visits.get(place) if place else None
    return visit is not None and bool(visit.back)


def _enter(env: Env, state: State) -> None:
    place = _place(env, state)
    if not place:
        return
    visit = env.visits.get(place)
    if visit is None:
        visit = env.visits[place] = Visit()
    if visit.entry is None:
        visit.entry = state
        if env.level == 2:
            env.log.add(f"SCC enter {_place_text(place)}")


def _place_text(place: tuple[int, ...]) -> str:
    return "(" + "".join(f"{pc}," for pc in place[1:]) + f"{place[0]})"


def _leave(env: Env, state: State) -> None:
    place = _place(env, state)
    visit = env.visits.get(place) if place else None
    if visit is None or visit.entry is not state:
        return
    if env.level == 2:
        env.log.add(f"SCC exit {_place_text(place)}")
    visit.entry = None
    _peak(env)
    back, visit.back = visit.back[::-1], []  # the newest first
    rounds = 0
    changed = bool(back)
    while changed:
        changed = False
        rounds += 1
        if rounds > _MOST_BACK:
            for one in back:
                precision.force(env, one)
            break
        for one in back:
            assert one.equal is not None
            changed |= precision.propagate(env, one.equal, one)


def _add_back(env: Env, old: State, state: State, pc: int) -> None:
    place = _place(env, old)
    visit = env.visits.get(place) if place else None
    if visit is None:
        return
    if env.level == 2:
        env.log.add(f"SCC backedge {_place_text(place)}")
    new = state.copy()
    new.pc = pc
    new.equal = old
    visit.back.append(new)


# Equality --------------------------------------------------------------------------------------------


def equal(env: Env, old: State, state: State, how: int) -> bool:
    """Whether what was found of the old state holds of this one."""
    if len(old.frames) != len(state.frames) or (old.speculative and not state.speculative):
        return False
    if old.sleepable != state.sleepable:
        return False
    ids = Ids(env.ids)
    if not _same_held(old, state, ids):
        return False
    for one, other in zip(old.frames, state.frames, strict=True):
        if one.callsite != other.callsite or one.depth > other.depth:
            return False
        bits = env.structure.live_before[_pc_in(old, one.number)]
        regs = other.regs
        precise = one.precise if env.capable else -1
        for number, reg in enumerate(one.regs):
            if bits >> number & 1 and not _covers(env, reg, regs[number], ids, how, precise >> number & 1 == 1):
                return False
        if not _stack_covers(env, one, other, ids, how):
            return False
    return True


def _same_held(old: State, state: State, ids: Ids) -> bool:
    if len(old.refs) != len(state.refs) or old.locks != state.locks or old.preempt != state.preempt:
        return False
    if old.rcu != state.rcu or not ids.same(old.irq, state.irq) or not ids.same(old.lock, state.lock):
        return False
    for one, other in zip(old.refs, state.refs, strict=True):
        if one.kind != other.kind or not ids.same(one.id, other.id):
            return False
        if "lock" in one.kind and one.what is not other.what and one.what != other.what:
            return False
    return True


def _same(old: Reg, reg: Reg, ids: Ids) -> bool:
    return (
        (
            old is reg
            or (
                old.type == reg.type
                and old.off == reg.off
                and old.aux == reg.aux
                and (old.of is reg.of or old.of == reg.of)
                and (old.num is reg.num or old.num == reg.num)
            )
        )
        and ids.same(old.id, reg.id)
        and ids.same(old.ref, reg.ref)
    )


def _covers(env: Env, old: Reg, reg: Reg, ids: Ids, how: int, precise: bool) -> bool:
    if how == EXACT:
        return _same(old, reg, ids)
    type_ = old.type
    if type_ == NOT_INIT:
        return True
    if type_ != reg.type:
        return False
    if type_ == SCALAR:
        if env.explore_limits:
            return old.num == reg.num and old.off == reg.off and ids.scalars(old.id, reg.id)
        if how == NOT_EXACT and not precise:
            return True
        if (old.id ^ reg.id) & ADD_CONST or (old.id & ADD_CONST and old.off != reg.off):
            return False
        return within(old.num, reg.num) and ids.scalars(old.id, reg.id)
    base = type_ & BASE
    if base in _REGIONS:
        return (
            old.off == reg.off
            and old.aux == reg.aux
            and (old.of is reg.of or old.of == reg.of)
            and within(old.num, reg.num)
            and ids.same(old.id, reg.id)
            and ids.same(old.ref, reg.ref)
        )
    if type_ in PACKETS:
        if old.aux < 0 or reg.aux < 0:
            if old.aux != reg.aux:
                return False
        elif old.aux > reg.aux:
            return False
        return old.off == reg.off and ids.same(old.id, reg.id) and within(old.num, reg.num)
    if base == ARENA:
        return True
    return _same(old, reg, ids) and (base != STACK or old.aux == reg.aux)


def _as_scalar(env: Env, slot: Slot) -> Reg | None:
    """What a load of a whole slot gives, where that is a scalar and no zero."""
    if slot.kinds == SPILL_KINDS and slot.reg.type == SCALAR:
        return slot.reg
    if all(kind == MISC or (kind == INVALID and env.uninit) for kind in slot.kinds):
        return _ANY_SLOT
    return None


def _stack_covers(env: Env, old: Frame, frame: Frame, ids: Ids, how: int) -> bool:
    stack = frame.stack
    precise = old.precise_slots if env.capable else -1
    for index, slot in enumerate(old.stack):
        have = index < len(stack)
        if how != NOT_EXACT and (not have or slot.kinds != stack[index].kinds):
            return False
        kinds = slot.kinds
        if not any(kinds) or (env.uninit and all(kind in (INVALID, MISC) for kind in kinds)):
            continue
        if not have:
            return False
        other = stack[index]
        one, two = _as_scalar(env, slot), _as_scalar(env, other)
        if one is not None and two is not None:
            if not _covers(env, one, two, ids, how, precise >> index & 1 == 1 if one is slot.reg else False):
                return False
            continue
        for a, b in zip(kinds, other.kinds, strict=True):
            if a in (b, INVALID) or (a == MISC and (env.uninit or b == ZEROS)):
                continue
            return False
        last = kinds[7]
        if last == SPILL:
            if not _covers(env, slot.reg, other.reg, ids, how, precise >> index & 1 == 1):
                return False
        elif last in (DYNPTR_SLOT, ITER_SLOT, IRQ_FLAG) and not _same_object(slot.reg, other.reg, ids):
            return False
    return True


def _same_object(old: Reg, reg: Reg, ids: Ids) -> bool:
    a, b = old.of, reg.of
    if isinstance(a, Iterator) and isinstance(b, Iterator):
        return a.kind == b.kind and a.state == b.state and ids.same(old.ref, reg.ref)
    if isinstance(a, Dynptr) and isinstance(b, Dynptr):
        return a == b and ids.same(old.ref, reg.ref)
    return a == b and ids.same(old.ref, reg.ref)
