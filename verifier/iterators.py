"""Open-coded iterators: made, stepped and destroyed on the stack; each step is two paths, one more element and none.

Source: process_iter_arg, mark_stack_slots_iter and process_iter_next_call of Linux 6.18.
"""

from __future__ import annotations

from bpf.spec.errno import EINVAL, EPROTO
from bpf.spec.kfunc_signatures import ITERATORS, KfuncSignature
from verifier import dynptrs, held, loops, memory, objects
from verifier.env import Env
from verifier.rejection import Rejection
from verifier.state import EMPTY, ITER_SLOT, ZERO, Iterator, Reg, Slot, State, const
from verifier.types import MAYBE_NULL, STACK

_KINDS = bytes([ITER_SLOT]) * 8
_PREFIX = "bpf_iter_"


def is_iterator(one: KfuncSignature, number: int) -> bool:
    """Whether an argument is an iterator: the first of its functions."""
    return number == 1 and bool(one.step[0])


def argument(env: Env, one: KfuncSignature, number: int, reg: Reg) -> tuple[int, int, int]:
    """An iterator as an argument: its frame, its slot and its reference (0 of a new one). Raises Rejection."""
    if reg.type != STACK:
        raise Rejection(EINVAL, f"arg#{number - 1} expected pointer to an iterator on stack", env.pc)
    kind, step = one.step
    slots = ITERATORS[kind] // 8
    if step == "new":
        return _made(env, one, number, reg, kind, slots)
    said = ""
    try:
        index = dynptrs.place(env, reg, "iter", slots)
    except Rejection as refused:
        index, said = dynptrs.OUTSIDE, refused.message + "\n"
    frame = env.state.frames[reg.aux]
    trust = _is_open(frame.stack, index, kind, slots)
    if trust == "untrusted":
        raise Rejection(EPROTO, f"expected an RCU CS when using {one.name}", env.pc)
    if trust is None:
        raise Rejection(EINVAL, f"{said}expected an initialized iter_{kind} as arg #{number - 1}", env.pc)
    bits = (1 << slots) - 1 << index - slots + 1
    env.live.read(env.state, env.pc, reg.aux, bits)
    env.scratched_slots |= bits
    ref = frame.stack[index].reg.ref
    if step == "destroy":
        held.release(env, ref)
        for at in range(index - slots + 1, index + 1):
            frame.stack[at] = EMPTY
        env.live.wrote(frame.number, bits)
    return reg.aux, index, ref


def _made(env: Env, one: KfuncSignature, number: int, reg: Reg, kind: str, slots: int) -> tuple[int, int, int]:
    frame = env.state.frames[reg.aux]
    said = ""
    try:
        index = dynptrs.place(env, reg, "iter", slots)
        free = index == dynptrs.OUTSIDE or all(
            ITER_SLOT not in frame.stack[at].kinds for at in range(index - slots + 1, index + 1)
        )
    except Rejection as refused:
        free, said = False, refused.message + "\n"
    if not free:
        raise Rejection(EINVAL, f"{said}expected uninitialized iter_{kind} as arg #{number - 1}", env.pc)
    for off in range(0, slots * 8, 8):
        memory.access(env, number, off, 8, True, -1)
    index = dynptrs.place(env, reg, "iter", slots)
    ref = held.acquire(env)
    trust = ("rcu" if objects.in_rcu(env) else "untrusted") if one.guarded else ""
    of = Iterator(kind, "active", 0, trust)
    for at in range(slots):
        frame.stack[index - at] = Slot(_KINDS, Reg(STACK, ZERO, 0, 0, 0 if at else ref, of))
    bits = (1 << slots) - 1 << index - slots + 1
    env.live.wrote(frame.number, bits)
    env.scratched_slots |= bits
    return reg.aux, index, 0


def _is_open(stack: list[Slot], index: int, kind: str, slots: int) -> str | None:
    """How far an iterator is to be trusted that is at a slot; None where there is none."""
    if index == dynptrs.OUTSIDE:
        return None
    for at in range(slots):
        slot = stack[index - at]
        of = slot.reg.of
        if isinstance(of, Iterator) and of.trust == "untrusted":
            return "untrusted"
        if bool(slot.reg.ref) == bool(at) or not isinstance(of, Iterator) or of.kind != kind or slot.kinds != _KINDS:
            return None
    of = stack[index].reg.of
    return of.trust if isinstance(of, Iterator) else None


def step(env: Env, frame: int, index: int) -> None:
    """A step is done and R0 its result: what goes on with an element waits, and here there are no more."""
    state = env.state
    slot = state.frames[frame].stack[index]
    of = slot.reg.of
    assert isinstance(of, Iterator)
    if of.state == "active":
        own = state.parent  # stored right here
        earlier = loops.previous(env, own.parent if own is not None else None, env.pc)
        queued = env.push(env.pc + 1, env.pc)
        _become(queued, frame, index, of._replace(depth=of.depth + 1))
        if earlier is not None:
            loops.widen(env, earlier, queued)
        regs = queued.frames[-1].regs
        regs[0] = regs[0].typed(regs[0].type & ~MAYBE_NULL)
    _become(state, frame, index, of._replace(state="drained"))
    env.set(0, const(0))


def _become(state: State, frame: int, index: int, of: Iterator) -> None:
    stack = state.frames[frame].stack
    slot = stack[index]
    reg = slot.reg
    stack[index] = Slot(slot.kinds, Reg(reg.type, reg.num, reg.off, reg.id, reg.ref, of, reg.aux))


def unguard(state: State) -> None:
    """An RCU read section has ended: iterators that it guarded may only be destroyed."""
    for frame in state.frames:
        for index, slot in enumerate(frame.stack):
            of = slot.reg.of
            if slot.kinds[7] == ITER_SLOT and isinstance(of, Iterator) and of.trust == "rcu":
                _become(state, frame.number, index, of._replace(trust="untrusted"))
