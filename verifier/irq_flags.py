"""Regions with interrupts off: the flag that is saved on the stack, and the order in which flags are restored.

Source: process_irq_flag and release_irq_state of Linux 6.18.
"""

from __future__ import annotations

from bpf.spec.errno import EACCES, EINVAL
from verifier import dynptrs, held, memory
from verifier.env import Env
from verifier.rejection import Rejection
from verifier.state import EMPTY, IRQ_FLAG, ZERO, IrqFlag, Reg, Slot
from verifier.types import STACK

_KINDS = bytes([IRQ_FLAG]) * 8


def process(env: Env, number: int, reg: Reg, *, save: bool, by: str) -> None:
    """A flag as an argument: saved or restored, by "native" or "lock" functions. Raises Rejection."""
    if reg.type != STACK:
        raise Rejection(EINVAL, f"arg#{number - 1} doesn't point to an irq flag on stack", env.pc)
    said = ""
    try:
        index = dynptrs.place(env, reg, "irq_flag", 1)
    except Rejection as refused:
        said, index = refused.message + "\n", -2
    frame = env.state.frames[reg.aux]
    if save:
        if said or (index >= 0 and IRQ_FLAG in frame.stack[index].kinds):
            raise Rejection(EINVAL, f"{said}expected uninitialized irq flag as arg#{number - 1}", env.pc)
        memory.access(env, number, 0, 8, True, -1)
        index = dynptrs.place(env, reg, "irq_flag", 1)
        env.state.irq = held.acquire(env, "irq")
        frame.stack[index] = Slot(_KINDS, Reg(STACK, ZERO, 0, 0, env.state.irq, IrqFlag(by)))
    else:
        slot = frame.stack[index] if index >= 0 else EMPTY
        of = slot.reg.of
        if slot.kinds != _KINDS or not slot.reg.ref or not isinstance(of, IrqFlag):
            raise Rejection(EINVAL, f"{said}expected an initialized irq flag as arg#{number - 1}", env.pc)
        env.live.read(env.state, env.pc, reg.aux, 1 << index)
        if of.by != by:
            text = f"irq flag acquired by {of.by} kfuncs cannot be restored with {by} kfuncs"
            raise Rejection(EINVAL, text, env.pc)
        _restore(env, slot.reg.ref)
        frame.stack[index] = EMPTY
    env.live.wrote(reg.aux, 1 << index)
    env.scratched_slots |= 1 << index


def _restore(env: Env, id_: int) -> None:
    state = env.state
    saved = [ref for ref in state.refs if ref.kind == "irq"]
    if id_ != state.irq:
        where = next((ref.pc for ref in saved if ref.id == state.irq), 0)
        text = f"cannot restore irq state out of order, expected id={state.irq} acquired at insn_idx={where}"
        raise Rejection(EACCES, text, env.pc)
    state.refs = tuple(ref for ref in state.refs if ref.kind != "irq" or ref.id != id_)
    state.irq = saved[-2].id if len(saved) > 1 else 0
