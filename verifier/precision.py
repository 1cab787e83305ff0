"""Precision: which scalars of the stored states on the way here must be exactly that for what was decided.

A stored state is compared with later ones; where a scalar in it is not marked, any scalar will do. A decision that a
scalar's value took part in goes back along the path, instruction by instruction, and marks what it came from in each
stored state. Source: mark_chain_precision and backtrack_insn of Linux 6.18. One thing is done where Linux does not: a
fetching atomic's old value comes from its stack slot.
"""

from __future__ import annotations

from bpf.isa.table import Kind
from bpf.spec.errno import EFAULT
from verifier import calls, global_functions
from verifier.env import Env
from verifier.insn_text import text
from verifier.log import frame_text
from verifier.rejection import Rejection
from verifier.state import FP, SPILL, State, Step
from verifier.types import SCALAR

_ARGUMENTS = 0x3E  # R1-R5


class _Unsupported(Exception):
    """The path cannot be followed: everything on it is marked."""


class _Wanted:
    """What is looked for: bits of registers and of stack slots for each frame; frame: the one that is walked."""

    __slots__ = ("frame", "regs", "slots")

    def __init__(self, frame: int) -> None:
        self.frame = frame
        self.regs = [0] * 8
        self.slots = [0] * 8

    def any(self) -> bool:
        return any(self.regs) or any(self.slots)

    def linked(self, step: Step) -> None:
        """What moved together at a comparison is wanted together."""
        for frame, at, is_reg in step.linked:
            if (self.regs if is_reg else self.slots)[frame] >> at & 1:
                break
        else:
            return
        for frame, at, is_reg in step.linked:
            (self.regs if is_reg else self.slots)[frame] |= 1 << at


def register(env: Env, number: int) -> None:
    """A decision depends on the value of a scalar register of the running frame."""
    if not env.capable:
        return
    state = env.state
    if state.frames[-1].regs[number].type != SCALAR:
        return
    wanted = _Wanted(len(state.frames) - 1)
    wanted.regs[wanted.frame] = 1 << number
    _chain(env, state, wanted)


def slot(env: Env, frame: int, index: int) -> None:
    """A decision depends on what is spilled in a stack slot."""
    if not env.capable:
        return
    wanted = _Wanted(len(env.state.frames) - 1)
    wanted.slots[frame] = 1 << index
    _chain(env, env.state, wanted)


def propagate(env: Env, old: State, state: State) -> bool:
    """A state is as good as an old one: what is precise there is precise on the way here. Whether it marked any."""
    wanted = _Wanted(len(state.frames) - 1)
    for frame in reversed(old.frames):
        said = []
        for number in range(FP):
            if frame.precise >> number & 1 and frame.regs[number].type == SCALAR:
                wanted.regs[frame.number] |= 1 << number
                said.append(f"r{number}")
        for index, slot in enumerate(frame.stack):
            if frame.precise_slots >> index & 1 and slot.kinds[7] == SPILL and slot.reg.type == SCALAR:
                wanted.slots[frame.number] |= 1 << index
                said.append(f"fp{-8 * (index + 1)}")
        if said and env.level == 2:
            env.log.add(f"frame {frame.number}: propagating " + ",".join(said))
    return _chain(env, state, wanted)


def _chain(env: Env, start: State, wanted: _Wanted) -> bool:
    if not env.capable or not wanted.any():
        return False
    try:
        changed, found = _back(env, start, wanted)
    except _Unsupported:
        changed, found = False, False
    if not found:
        force(env, start)
        return True
    return changed


def _back(env: Env, start: State, wanted: _Wanted) -> tuple[bool, bool]:
    """Walk back. Whether a stored state was changed; whether all that was wanted has been found."""
    state = start
    first, last, later = state.first, state.pc, -1
    skip = True
    changed = False
    logged = env.level == 2
    while True:
        if logged:
            env.log.add(f"mark_precise: frame{wanted.frame}: last_idx {last} first_idx {first} subseq_idx {later} ")
        if last < 0:
            return _entry(state, wanted, changed)
        history = len(state.history)
        pc = last
        while True:
            if skip:
                skip = False
            else:
                step = state.history[history - 1] if history else None
                _step(env, pc, later, step if step is not None and step.pc == pc else None, wanted, logged)
            if not wanted.any():
                return changed, True
            later = pc
            steps = state.history
            if pc == state.first and (history == 0 or (history == 1 and steps[0].pc == pc)):
                break
            if history and steps[history - 1].pc == pc:
                history -= 1
                pc = steps[history].before
            else:
                pc -= 1
        if state.parent is None:
            return changed, False
        state = state.parent
        changed |= _mark(env, state, wanted, logged)
        if not wanted.any():
            return changed, True
        later, last, first = first, state.last, state.first


def _entry(state: State, wanted: _Wanted, changed: bool) -> tuple[bool, bool]:
    """At the entry of a global function only its arguments can still be wanted."""
    frame = state.frames[0]
    if len(state.frames) > 1 or not frame.subprog or wanted.slots[0] or wanted.regs[0] & ~_ARGUMENTS:
        return changed, False
    for number in range(1, 6):
        if wanted.regs[0] >> number & 1 and frame.regs[number].type == SCALAR:
            frame.precise |= 1 << number
            changed = True
    return changed, True


def _mark(env: Env, state: State, wanted: _Wanted, logged: bool) -> bool:
    """Mark what is wanted in a stored state; what is marked already, or no scalar, is wanted no longer."""
    changed = False
    for number in range(wanted.frame, -1, -1):
        frame = state.frames[number]
        bits = wanted.regs[number]
        for at in range(FP):
            if bits >> at & 1:
                if frame.regs[at].type != SCALAR or frame.precise >> at & 1:
                    wanted.regs[number] &= ~(1 << at)
                else:
                    frame.precise |= 1 << at
                    changed = True
        bits = wanted.slots[number]
        at = 0
        while bits >> at:
            if bits >> at & 1:
                slot = frame.slot(at)
                if slot.kinds[7] != SPILL or slot.reg.type != SCALAR or frame.precise_slots >> at & 1:
                    wanted.slots[number] &= ~(1 << at)
                else:
                    frame.precise_slots |= 1 << at
                    changed = True
            at += 1
        if logged:
            regs, slots = _names(wanted.regs[number], wanted.slots[number])
            shown = frame_text(state, frame, precise=frame.precise, precise_slots=frame.precise_slots)
            env.log.add(f"mark_precise: frame{number}: parent state regs={regs} stack={slots}: {shown}")
    return changed


def _names(regs: int, slots: int) -> tuple[str, str]:
    """Bits as the log has them: `r0,r6` and `-8,-16`."""
    return (
        ",".join(f"r{at}" for at in range(regs.bit_length()) if regs >> at & 1),
        ",".join(str(-8 * (at + 1)) for at in range(slots.bit_length()) if slots >> at & 1),
    )


def _step(env: Env, pc: int, later: int, step: Step | None, wanted: _Wanted, logged: bool) -> None:
    """Go back over one instruction; later: the one that was executed after it."""
    raw = env.structure.raws[pc]
    row = env.structure.rows[pc]
    if raw.code == 0 or row is None:
        return
    frame = wanted.frame
    regs = wanted.regs
    if logged:
        names, slots = _names(regs[frame], wanted.slots[frame])
        shown = text(env.structure.raws, pc, env.subject, env.shown.get(pc))
        env.log.add(f"mark_precise: frame{frame}: regs={names} stack={slots} before {pc}: {shown}")
    if step is not None and step.linked:
        wanted.linked(step)
    kind = row.kind
    dst, src = 1 << raw.dst, 1 << raw.src
    if kind is Kind.ALU or kind is Kind.CAST:
        if not regs[frame] & dst:
            return
        moves = row.op in ("mov", "movsx") or kind is Kind.CAST
        if moves:
            regs[frame] &= ~dst
        if "src" in row.fields and raw.src != FP:
            regs[frame] |= src
    elif kind is Kind.LOAD:
        if not regs[frame] & dst:
            return
        regs[frame] &= ~dst
        if step is None or step.slot is None:
            return
        wanted.slots[step.slot[0]] |= 1 << step.slot[1]
    elif kind is Kind.ATOMIC:
        if regs[frame] & dst:
            raise _Unsupported
        into = 0 if not row.fetch else 1 if row.op == "cmpxchg" else src
        if regs[frame] & into:
            regs[frame] &= ~into
            if step is not None and step.slot is not None:
                wanted.slots[step.slot[0]] |= 1 << step.slot[1]
    elif kind is Kind.STORE:
        if regs[frame] & dst:
            raise _Unsupported
        if step is None or step.slot is None:
            return
        number, at = step.slot
        if not wanted.slots[number] >> at & 1:
            return
        wanted.slots[number] &= ~(1 << at)
        if "src" in row.fields:
            regs[frame] |= src
    elif kind is Kind.CALL:
        _call(env, pc, later, wanted)
        return
    elif kind is Kind.EXIT:
        _exit(env, later, wanted)
        return
    elif kind is Kind.BRANCH:
        if "src" in row.fields and regs[frame] & (dst | src):
            stacks = step.stacks if step is not None else 0
            regs[frame] |= (0 if stacks & 1 else src) | (0 if stacks & 2 else dst)
    elif kind is Kind.WIDE:
        regs[frame] &= ~dst
    elif kind is Kind.PACKET and regs[frame] & 1:
        raise _Unsupported
    if step is not None and step.linked:
        wanted.linked(step)


def _call(env: Env, pc: int, later: int, wanted: _Wanted) -> None:
    raw = env.structure.raws[pc]
    regs, frame = wanted.regs, wanted.frame
    if calls.is_local_call(raw) and not global_functions.is_global(env, env.structure.subprogram_at(pc + 1 + raw.imm)):
        if frame == 0 and regs[0] & ~_ARGUMENTS:  # a function that ended in a packet load: the kernel loses count here
            raise Rejection(EFAULT, f"verifier bug: static subprog unexpected regs {regs[0]:x}", env.pc)
        if regs[frame] & ~_ARGUMENTS or wanted.slots[frame] or frame == 0:
            raise _Unsupported
        regs[frame - 1] |= regs[frame]
        regs[frame] = 0
        wanted.frame -= 1
    elif env.structure.calls_callback[pc] and pc != later - 1 and not calls.is_local_call(raw):
        if regs[frame] & ~_ARGUMENTS or wanted.slots[frame] or frame == 0:
            raise _Unsupported
        regs[frame] = 0
        wanted.frame -= 1
    else:
        regs[frame] &= ~1
        if regs[frame] & _ARGUMENTS:
            raise _Unsupported


def _exit(env: Env, later: int, wanted: _Wanted) -> None:
    regs, frame = wanted.regs, wanted.frame
    if later >= 0 and env.structure.calls_callback[later]:
        regs[frame] &= ~_ARGUMENTS
    if regs[frame] & _ARGUMENTS or frame + 1 >= len(regs):
        raise _Unsupported
    result = later > 0 and calls.is_local_call(env.structure.raws[later - 1]) and regs[frame] & 1
    regs[frame] &= ~1
    wanted.frame += 1
    if result:
        regs[frame + 1] |= 1


def force(env: Env, state: State) -> None:
    """Mark every scalar of every stored state on the way to this one."""
    logged = env.level == 2
    if logged:
        env.log.add(f"mark_precise: frame{len(state.frames) - 1}: falling back to forcing all scalars precise")
    parent = state.parent
    while parent is not None:
        for frame in parent.frames:
            for number in range(FP):
                if frame.regs[number].type == SCALAR and not frame.precise >> number & 1:
                    frame.precise |= 1 << number
                    if logged:
                        env.log.add(f"force_precise: frame{frame.number}: forcing r{number} to be precise")
            for index, slot in enumerate(frame.stack):
                if slot.kinds[7] == SPILL and slot.reg.type == SCALAR and not frame.precise_slots >> index & 1:
                    frame.precise_slots |= 1 << index
                    if logged:
                        env.log.add(f"force_precise: frame{frame.number}: forcing fp{-8 * (index + 1)} to be precise")
        parent = parent.parent
