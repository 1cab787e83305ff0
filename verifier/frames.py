"""Frames: entered, and what a call leaves of the caller's registers.

Source: setup_func_entry and clear_all_pkt_pointers of Linux 6.18.
"""

from __future__ import annotations

from bpf.spec.errno import E2BIG
from verifier.dynptrs import PACKET
from verifier.env import Env, each_reg
from verifier.rejection import Rejection
from verifier.state import ANY, UNINIT, Frame, Reg, Slice, State
from verifier.types import PACKET_END, PACKETS

MAX_FRAMES = 8


def enter(env: Env, state: State, subprog: int, callsite: int) -> Frame:
    """A new frame, without arguments yet. Raises Rejection where there are too many."""
    depth = len(state.frames)
    if depth >= MAX_FRAMES:
        raise Rejection(E2BIG, f"the call stack of {depth + 1} frames is too deep", env.pc)
    frame = Frame(depth, subprog, callsite)
    state.frames.append(frame)
    env.scratched = env.scratched_slots = -1
    return frame


def clobber(env: Env) -> None:
    """After a call nothing is in R0-R5."""
    regs = env.state.frames[-1].regs
    for number in range(6):
        regs[number] = UNINIT
    env.scratched |= 0x3F


def forget_packets(env: Env) -> None:
    """The packet may have moved: its pointers are lost, and slices of dynptrs of it."""

    def change(reg: Reg) -> Reg:
        slice_ = isinstance(reg.of, Slice) and reg.of.kind in PACKET
        if reg.type in PACKETS or reg.type == PACKET_END or slice_:
            return ANY if env.leaks else UNINIT
        return reg

    each_reg(env.state, change)
