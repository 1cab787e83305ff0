"""Functions that helpers call: their arguments, and the path that enters them.

Source: push_callback_call and the set_*_callback_state functions of Linux 6.18.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpf.program import Map
from bpf.spec.errno import ENOTSUPP
from verifier import global_functions, graphs
from verifier.env import Env, Waiting
from verifier.frames import enter
from verifier.rejection import Rejection
from verifier.state import ANY, ZERO, Dynptr, Frame, Reg, State
from verifier.types import DYNPTR, MAP_KEY, MAP_PTR, MAP_VALUE

if TYPE_CHECKING:
    from verifier.arguments import Call

_EACH = frozenset({"array", "percpu_array", "hash", "percpu_hash", "lru_hash", "lru_percpu_hash"})
_CONTINUE_OR_STOP = (0, 1)
_ANY_INT = (-(1 << 31), (1 << 31) - 1)


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
        raise Rejection(ENOTSUPP, "callback function not allowed for map", env.pc)  # ENOTSUPP
    _element(frame, caller.regs[1], map_, caller.regs[1].aux, caller.regs[3])


def _loop(env: Env, made: Call, caller: Frame, frame: Frame) -> None:
    frame.regs[1] = ANY
    frame.regs[2] = caller.regs[3]


def _timer(env: Env, made: Call, caller: Frame, frame: Frame) -> None:
    value = caller.regs[1]
    assert isinstance(value.of, Map)
    _element(frame, Reg(MAP_PTR, ZERO, 0, 0, 0, value.of, value.aux), value.of, value.aux, None)


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
    """Have the callback of a helper's call walked: it returns to the call, whose other way is that it is not called
    again.
    """
    caller = env.state.frames[-1]
    later = made.name in _LATER
    frame = _later(env, made.function, False) if later else _now(env, made.function)
    CALLBACKS[made.name](env, made, caller if later else env.waiting[-1].state.frames[-2], frame)


def _later(env: Env, subprog: int, sleepable: bool) -> Frame:
    """Have a function walked on its own that is called when the program has ended."""
    global_functions.note_static_call(env, subprog)
    subprogram = env.structure.subprograms[subprog]
    subprogram.callback = subprogram.asynchronous = True
    state = State()
    state.sleepable = sleepable
    frame = Frame(0, subprog, -1)
    state.frames.append(frame)
    frame.entry = env.state.frames[-1].entry + 1
    frame.asynchronous = True
    frame.returns = (0, 0)
    env.waiting.append(Waiting(state, env.structure.starts[subprog], env.pc, len(env.log)))
    env.scratched = env.scratched_slots = -1
    return frame


def _now(env: Env, subprog: int) -> Frame:
    """Have a function walked that the call calls."""
    global_functions.note_static_call(env, subprog)
    env.structure.subprograms[subprog].callback = True
    state = env.push(env.structure.starts[subprog], env.pc)
    frame = enter(env, state, subprog, env.pc)
    frame.callback = True
    frame.returns = _CONTINUE_OR_STOP
    state.unroll_depth += 1
    state.frames[-2].depth += 1
    env.state.frames[-1].depth = 0
    return frame


# Of kernel functions ---------------------------------------------------------------------------------

OF_KFUNCS = frozenset({
    "bpf_rbtree_add_impl", "bpf_wq_set_callback_impl", "bpf_task_work_schedule_signal_impl",
    "bpf_task_work_schedule_resume_impl",
})  # fmt: skip


def push_kfunc(env: Env, name: str, subprog: int, root: graphs.Root | None) -> None:
    """Have the callback of a kernel function walked. root: of a tree, whose nodes it compares."""
    regs = env.state.frames[-1].regs
    if root is not None:
        frame = _now(env, subprog)
        frame.regs[1] = frame.regs[2] = graphs.non_owning(graphs.element(root))
        return
    frame = _later(env, subprog, True)
    pointer = regs[3] if "task_work" in name else regs[1]
    map_ = pointer.of
    assert isinstance(map_, Map)
    _element(frame, Reg(MAP_PTR, ZERO, 0, 0, 0, map_, pointer.aux), map_, pointer.aux, None)
    if "task_work" in name:
        frame.returns = _ANY_INT
