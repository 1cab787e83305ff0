"""Functions that helpers call: their arguments, and the path that enters them.

Source: push_callback_call and the set_*_callback_state functions of Linux 6.18.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpf.program import Map
from verifier import global_functions
from verifier.env import Env, Waiting
from verifier.frames import enter
from verifier.rejection import Rejection
from verifier.state import ANY, ZERO, Dynptr, Frame, Reg, State
from verifier.types import DYNPTR, MAP_KEY, MAP_PTR, MAP_VALUE

if TYPE_CHECKING:
    from verifier.arguments import Call

_EACH = frozenset({"array", "percpu_array", "hash", "percpu_hash", "lru_hash", "lru_percpu_hash"})
_CONTINUE_OR_STOP = (0, 1)


def _element(frame: Frame, pointer: Reg, map_: Map, uid: int, context: Reg | None) -> None:
    frame.regs[1] = pointer
    frame.regs[2] = Reg(MAP_KEY, ZERO, 0, 0, 0, map_)
    frame.regs[3] = Reg(MAP_VALUE, ZERO, 0, 0, 0, map_, uid)
    if context is not None:
        frame.regs[4] = context


def _each(env: Env, made: Call, caller: Frame, frame: Frame) -> None:
    map_ = caller.regs[1].of
    assert isinstance(map_, Map)
    if map_.kind not in _EACH:
        raise Rejection(22, "callback function not allowed for map", env.pc)
    _element(frame, caller.regs[1], map_, caller.regs[1].aux, caller.regs[3])


def _loop(env: Env, made: Call, caller: Frame, frame: Frame) -> None:
    frame.regs[1] = ANY
    frame.regs[2] = caller.regs[3]


def _timer(env: Env, made: Call, caller: Frame, frame: Frame) -> None:
    value = caller.regs[1]
    assert isinstance(value.of, Map)
    _element(frame, Reg(MAP_PTR, ZERO, 0, 0, 0, value.of, value.aux), value.of, value.aux, None)
    frame.asynchronous = True


def _find_vma(env: Env, made: Call, caller: Frame, frame: Frame) -> None:
    from verifier import objects

    frame.regs[1] = caller.regs[1]
    frame.regs[2] = objects.kernel_object(env, "vm_area_struct")
    frame.regs[3] = caller.regs[4]


def _drain(env: Env, made: Call, caller: Frame, frame: Frame) -> None:
    frame.regs[1] = Reg(DYNPTR, ZERO, 0, env.new_id(), 0, Dynptr("local", True))
    frame.regs[2] = caller.regs[3]


CALLBACKS = {
    "for_each_map_elem": _each, "loop": _loop, "timer_set_callback": _timer, "find_vma": _find_vma,
    "user_ringbuf_drain": _drain,
}  # fmt: skip
_LATER = frozenset({"timer_set_callback"})


def push(env: Env, made: Call) -> None:
    """Have the callback of a call walked: it returns to the call, whose other way is that it is not called again."""
    subprog = made.function
    global_functions.check_static_call(env, subprog)
    subprogram = env.structure.subprograms[subprog]
    subprogram.callback = True
    arguments = CALLBACKS[made.name]
    caller = env.state.frames[-1]
    start = env.structure.starts[subprog]
    if made.name in _LATER:
        subprogram.asynchronous = True
        state = State()
        frame = Frame(0, subprog, -1)
        state.frames.append(frame)
        frame.entry = caller.entry + 1
        env.waiting.append(Waiting(state, start, env.pc, len(env.log)))
        arguments(env, made, caller, frame)
        frame.returns = (0, 0)
        return
    state = env.push(start, env.pc)
    frame = enter(env, state, subprog, env.pc)
    arguments(env, made, state.frames[-2], frame)
    frame.callback = True
    frame.returns = _CONTINUE_OR_STOP
    state.unroll_depth += 1
    state.frames[-2].depth += 1
    caller.depth = 0
