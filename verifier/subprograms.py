"""Calls: into the program's own functions and back, to helpers and kfuncs.

Source: check_func_call, setup_func_entry and prepare_func_exit of Linux 6.18.
"""

from __future__ import annotations

from bpf.spec.errno import EACCES, EINVAL
from verifier import calls, global_functions, helper_calls, kfunc_calls, loops, precision
from verifier.env import Env
from verifier.exits import check_range
from verifier.frames import clobber, enter, forget_packets
from verifier.log import frame_text
from verifier.raw import Raw
from verifier.rejection import Rejection
from verifier.rules import Range
from verifier.state import ANY, UNINIT, Frame, Reg
from verifier.types import SCALAR, STACK

_ALL = -1


def call(env: Env, raw: Raw) -> int:
    """Execute a call: the slot to go on at. Raises Rejection."""
    if calls.is_local_call(raw):
        return _local(env, raw)
    if calls.is_kfunc_call(raw):
        return kfunc_calls.call(env, raw)
    after = helper_calls.call(env, raw)
    if raw.imm != calls.TAIL_CALL or len(env.state.frames) == 1:
        return after
    env.push(after, env.pc)
    forget_packets(env)
    return leave_early(env, ANY)


def leave_early(env: Env, result: Reg) -> int:
    """Return from a called function in its middle with a result: a tail call was taken, a packet load failed."""
    env.set(0, result)
    return leave(env)


def _local(env: Env, raw: Raw) -> int:
    target = env.pc + 1 + raw.imm
    subprog = env.structure.subprogram_at(target)
    state = env.state
    caller = state.frames[-1]
    if global_functions.is_global(env, subprog):
        global_functions.check_call(env, subprog)
        if env.structure.subprograms[subprog].changes_packet:
            forget_packets(env)
        env.called.add(subprog)
        clobber(env)
        env.set(0, ANY)
        return env.pc + 1
    global_functions.note_static_call(env, subprog)
    callee = enter(env, state, subprog, env.pc)
    callee.regs[1:6] = caller.regs[1:6]
    for number in range(6):
        caller.regs[number] = UNINIT
    if env.level:
        show_entry(env, caller, callee)
    return env.structure.starts[subprog]


def show_entry(env: Env, caller: Frame, callee: Frame) -> None:
    """Write both sides of a call."""
    every = _ALL if not env.capable else 0
    env.log.add("caller:")
    env.log.add(frame_text(env.state, caller, precise=every, precise_slots=every))
    env.log.add("callee:")
    env.log.add(frame_text(env.state, callee, precise=every, precise_slots=every))


def leave(env: Env) -> int:
    """Return from a function: the slot to go on at. Raises Rejection."""
    state = env.state
    callee = state.frames[-1]
    result = callee.regs[0]
    if result.type == STACK:
        raise Rejection(EINVAL, "cannot return stack pointer to the caller", env.pc)
    caller = state.frames[-2]
    if callee.callback:
        if result.type != SCALAR:
            raise Rejection(EACCES, "R0 not a scalar value", env.pc)
        if callee.returns is None:
            precision.register(env, 0)
        else:
            check_range(env, result, Range(*callee.returns), "At callback return")
        after = callee.callsite
    else:
        caller.regs[0] = result
        after = callee.callsite + 1
    if env.level:
        every = _ALL if not env.capable else 0
        env.log.add("returning from callee:")
        env.log.add(frame_text(state, callee, precise=every, precise_slots=every))
        env.log.add(f"to caller at {after}:")
        env.log.add(frame_text(state, caller, precise=every, precise_slots=every))
    state.frames.pop()
    if callee.callback:
        loops.widen_from(env, after, state)
    return after
