"""The walk: instruction after instruction, path after path, until all are done or one is refused.

Source: do_check, do_check_insn and process_bpf_exit of Linux 6.18.
"""

from __future__ import annotations

import time

from bpf.isa.table import Kind, Row
from bpf.spec.errno import E2BIG, EACCES, EAGAIN, EINVAL, EPERM
from verifier import alu, held, instruction, jumps, loops, memory, prune, subprograms, wide
from verifier.env import Env
from verifier.exits import check_return
from verifier.insn_text import text
from verifier.log import frame_text
from verifier.raw import Raw
from verifier.registers import readable, unmoved, writable
from verifier.rejection import Rejection
from verifier.rules import may_load_absolute
from verifier.state import ANY, UNINIT, State, const
from verifier.types import ARENA, BASE, BTF, CTX, FLOW_KEYS, MEM, PACKETS, SOCKETS, UNTRUSTED, name

DONE = -1  # in place of the next slot: the path has ended
ALL = -1
_RECOVERABLE = frozenset({EPERM, EACCES, EINVAL})  # of a mispredicted path, which is then kept from being run
_TICKS = 1024  # instructions between two looks at the clock


def explore(env: Env, state: State, start: int) -> None:
    """Walk all paths from a state at slot `start`. Raises Rejection."""
    env.state = state
    env.pc, env.before = start, -1
    env.scratched = env.scratched_slots = ALL
    shape = env.structure
    raws, prune_point, jump_point = shape.raws, shape.prune_point, shape.jump_point
    level, most = env.level, env.options.processed
    deadline = time.monotonic() + env.options.seconds if env.options.seconds else 0.0
    arrived = False  # whether this is the first instruction of a path that had waited
    while True:
        pc = env.pc
        state = env.state
        env.processed += 1
        if env.processed > most:
            raise Rejection(E2BIG, f"BPF program is too large. Processed {env.processed} insn", pc)
        if deadline and env.processed % _TICKS == 0 and time.monotonic() > deadline:
            raise Rejection(EAGAIN, f"time limit reached at insn {pc}", pc)
        state.last = env.before
        state.pc = pc
        if prune_point[pc] and prune.visited(env, pc):
            if level:
                how = " (speculative execution)" if state.speculative else ""
                env.log.add(f"\nfrom {env.before} to {pc}{how}: safe" if arrived else f"{pc}: safe")
            after = DONE
        else:
            if jump_point[pc]:
                env.history()
            if level:
                _log(env, state, pc, arrived)
            arrived = False
            if not state.speculative:
                env.aux[pc].seen = True
                if env.observer is not None:
                    env.observer(pc, state)
            after = _next(env, state, raws[pc], pc)
        if after >= 0:
            if env.returned:
                arrived, env.returned = True, False
            env.pc, env.before = after, pc
            continue
        env.scratched = env.scratched_slots = ALL
        prune.ended(env, env.state)
        if not env.waiting:
            return
        left = env.waiting.pop()
        if level == 1:
            env.log.cut(left.length)
        env.state, env.pc, env.before = left.state, left.pc, left.before
        arrived = True


def _log(env: Env, state: State, pc: int, arrived: bool) -> None:
    if env.level == 2 and arrived:
        how = " (speculative execution)" if state.speculative else ""
        env.log.add("")
        env.log.add(f"from {env.before} to {pc}{how}:" + state_text(env, state))
    if env.scratched or env.scratched_slots:
        show(env, pc)
    line, shown = env.lines[pc], env.line
    if line is not None and (shown is None or line.line != shown.line or line.file != shown.file):
        env.log.source(line)
        env.line = line
    env.log.instruction(pc, text(env.structure.raws, pc, env.subject, env.shown.get(pc)))


def state_text(env: Env, state: State, number: int = -1) -> str:
    """A frame with all its registers and slots, the running one unless named."""
    frame = state.frames[number]
    every = ALL if not env.capable else 0
    return frame_text(state, frame, precise=frame.precise | every, precise_slots=frame.precise_slots | every)


def show(env: Env, pc: int) -> None:
    """Write what has changed, behind the instruction."""
    frame = env.state.frames[-1]
    every = ALL if not env.capable else 0
    env.log.state(pc, frame_text(env.state, frame, env.scratched, env.scratched_slots, every, every))
    env.scratched = env.scratched_slots = 0


def _next(env: Env, state: State, raw: Raw, pc: int) -> int:
    """Execute one instruction: the slot to go on at, or DONE. A mispredicted path that fails just ends."""
    aux = env.aux[pc]
    if state.speculative and aux.nospec:
        return DONE
    try:
        after = execute(env, raw, pc)
    except Rejection as refusal:
        if state.speculative and refusal.errno in _RECOVERABLE:
            env.live.failed()
            if env.level and refusal.message:
                env.log.add(refusal.message)
            aux.nospec = True
            aux.alu_state = 0
            return DONE
        raise
    if state.speculative and aux.nospec_result:
        return DONE
    return after


def execute(env: Env, raw: Raw, pc: int) -> int:
    """Execute one instruction: the slot to go on at, or DONE; other ways are added to what waits. Raises Rejection."""
    if not env.checked[pc]:
        fault = instruction.check(raw, env.leaks, env.arena, may_load_absolute(env.subject))
        if fault is not None:
            for number in fault.reads:
                readable(env, number)
            raise Rejection(fault.errno, fault.message, pc)
        env.checked[pc] = True
    row = env.structure.rows[pc]
    assert row is not None, raw
    return _KINDS[row.kind](env, raw, row)


def _alu(env: Env, raw: Raw, row: Row) -> int:
    alu.step(env, raw, row)
    return env.pc + 1


def _load(env: Env, raw: Raw, row: Row) -> int:
    readable(env, raw.src)
    writable(env, raw.dst)
    type_ = env.state.frames[-1].regs[raw.src].type
    memory.access(env, raw.src, raw.off, row.width // 8, False, raw.dst, row.ordered, row.signed)
    if row.ordered and not _atomic_allowed(type_):
        raise Rejection(EACCES, f"BPF_ATOMIC loads from R{raw.src} {name(type_)} is not allowed", env.pc)
    _one_pointer(env, type_, not row.ordered)
    return env.pc + 1


def _store(env: Env, raw: Raw, row: Row) -> int:
    by_register = "src" in row.fields
    if by_register:
        readable(env, raw.src)
    type_ = readable(env, raw.dst).type
    if row.ordered and not _atomic_allowed(type_):
        raise Rejection(EACCES, f"BPF_ATOMIC stores into R{raw.dst} {name(type_)} is not allowed", env.pc)
    memory.access(env, raw.dst, raw.off, row.width // 8, True, raw.src if by_register else -1, row.ordered)
    env.live.stored(env.state, env.pc)
    _one_pointer(env, type_, False)
    return env.pc + 1


def _atomic(env: Env, raw: Raw, row: Row) -> int:
    src = readable(env, raw.src)
    type_ = readable(env, raw.dst).type
    if row.op == "cmpxchg" and env.is_pointer(readable(env, 0)):
        raise Rejection(EACCES, "R0 leaks addr into mem", env.pc)
    if env.is_pointer(src):
        raise Rejection(EACCES, f"R{raw.src} leaks addr into mem", env.pc)
    if not _atomic_allowed(type_):
        raise Rejection(EACCES, f"BPF_ATOMIC stores into R{raw.dst} {name(type_)} is not allowed", env.pc)
    size = row.width // 8
    into = -1
    base = env.state.frames[-1].regs[raw.dst]
    if row.fetch:
        into = 0 if row.op == "cmpxchg" else raw.src
        writable(env, into)
        env.set_unknown(into)
    memory.access(env, raw.dst, raw.off, size, False, -1, True)
    if into >= 0:
        memory.access(env, raw.dst, raw.off, size, False, into, True)
    if base.type == ARENA:
        _one_pointer(env, ARENA, False)
    memory.access(env, raw.dst, raw.off, size, True, -1, True)
    env.live.stored(env.state, env.pc)
    return env.pc + 1


def _atomic_allowed(type_: int) -> bool:
    return type_ not in (CTX, FLOW_KEYS) and type_ not in PACKETS and type_ not in SOCKETS


def _one_pointer(env: Env, type_: int, mismatch_allowed: bool) -> None:
    """One access has one kind of base on all paths, where the kernel rewrites it. Raises Rejection."""
    aux = env.aux[env.pc]
    if aux.pointer < 0:
        aux.pointer = type_
        return
    seen = aux.pointer
    if seen == type_ or (_same_access(seen) and _same_access(type_)):
        return
    alike = seen & BASE == type_ & BASE or UNTRUSTED & (seen | type_)
    if mismatch_allowed and alike and seen & BASE in (BTF, MEM) and type_ & BASE in (BTF, MEM):
        aux.pointer = seen | UNTRUSTED if seen & BASE == BTF else type_ | UNTRUSTED
        return
    raise Rejection(EINVAL, "same insn cannot be used with different pointers", env.pc)


def _same_access(type_: int) -> bool:
    """Whether an access is executed as it stands."""
    return type_ & BASE not in SOCKETS and type_ & BASE not in (CTX, BTF, ARENA)


def _branch(env: Env, raw: Raw, row: Row) -> int:
    env.jumps += 1
    after = jumps.step(env, raw, row)
    if env.level:
        show(env, env.pc)
    return after


def _goto(env: Env, raw: Raw, row: Row) -> int:
    env.jumps += 1
    return env.pc + 1 + (raw.imm if row.op == "gotol" else raw.off)


def _countdown(env: Env, raw: Raw, row: Row) -> int:
    env.jumps += 1
    return loops.may_goto(env, raw)


def _call(env: Env, raw: Raw, row: Row) -> int:
    env.jumps += 1
    after = subprograms.call(env, raw)
    env.mark(0)
    return after


def _exit(env: Env, raw: Raw, row: Row) -> int:
    env.jumps += 1
    state = env.state
    held.check_leak(env, False, len(state.frames) == 1, "BPF_EXIT instruction in main prog")
    if len(state.frames) > 1:
        env.returned = True
        return subprograms.leave(env)
    check_return(env)
    return DONE


def _packet(env: Env, raw: Raw, row: Row) -> int:
    regs = env.state.frames[-1].regs
    readable(env, 6)
    held.check_leak(env, False, True, "BPF_LD_[ABS|IND]")
    if regs[6].type != CTX:
        raise Rejection(EINVAL, "at the time of BPF_LD_ABS|IND R6 != pointer to skb", env.pc)
    if row.op == "ld_ind":
        readable(env, raw.src)
    unmoved(env, 6, regs[6])
    for number in range(6):
        env.set(number, UNINIT)
    env.set(0, ANY)
    if len(env.state.frames) == 1:
        return env.pc + 1
    env.push(env.pc + 1, env.pc)
    return subprograms.leave_early(env, const(0))


def _wide(env: Env, raw: Raw, row: Row) -> int:
    wide.load(env, raw, row)
    return env.pc + 2


_KINDS = {
    Kind.ALU: _alu, Kind.CAST: _alu, Kind.LOAD: _load, Kind.STORE: _store, Kind.ATOMIC: _atomic, Kind.BRANCH: _branch,
    Kind.GOTO: _goto, Kind.COUNTDOWN: _countdown, Kind.CALL: _call, Kind.EXIT: _exit, Kind.PACKET: _packet,
    Kind.WIDE: _wide,
}  # fmt: skip


def path(env: Env) -> tuple[tuple[int, int], ...]:
    """How the state that is being explored was reached: runs of slots without a jump, (first, last)."""
    runs: list[tuple[int, int]] = []
    state: State | None = env.state
    pc = last = env.pc
    while state is not None:
        for step in reversed(state.history):
            if step.before != step.pc - 1 and step.pc <= pc and step.pc != step.before:
                runs.append((step.pc, last))
                pc = last = step.before
        state = state.parent
    runs.append((0, last))
    return tuple(reversed([run for run in runs if run[0] <= run[1]]))
