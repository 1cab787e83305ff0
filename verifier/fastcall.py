"""Calls around which nothing need be saved: spills before and fills after them that may go.

As mark_fastcall_patterns of Linux 6.18's kernel/bpf/verifier.c: a call that is compiled inline and clobbers only R0 may
have around it pairs `*(u64 *)(r10 - n) = rX` and `rX = *(u64 *)(r10 - n)` that nothing else depends on.
"""

from __future__ import annotations

from bpf.isa import opcodes
from bpf.isa.opcodes import LDX, MEM, STX
from verifier import calls
from verifier.shape import NONE, Structure, Subprogram

_CALLER_SAVED = 0x3F
_STORE, _LOAD = STX | MEM | opcodes.SIZE[64], LDX | MEM | opcodes.SIZE[64]
_FP = opcodes.FRAME_POINTER


def find(found: Structure) -> None:
    """Note, per function, which calls have such pairs, and where on its stack they end."""
    raws = found.raws
    for subprogram in found.subprograms:
        inside = range(subprogram.start, subprogram.end)
        where = [pc for pc in inside if raws[pc].code == calls.CALL]
        if where:
            spills = (raws[pc].off for pc in inside if raws[pc].code == _STORE and raws[pc].dst == _FP)
            lowest = min(0, min(spills, default=0))
            for pc in where:
                _around(found, subprogram, pc, lowest)


def touched(found: Structure, subprogram: Subprogram, pc: int) -> None:
    """An access to where spills lie that may go: unless it is one of them, all of the function stay.

    To be asked of an access below Subprogram.fastcall_stack.
    """
    if found.fastcall[pc]:
        return
    subprogram.fastcall_stack = NONE
    for inside in range(subprogram.start, subprogram.end):
        found.fastcall[inside] = False
        found.spills[inside] = 0


def remove(found: Structure) -> None:
    """Functions whose spills go need less stack. To be done when all is walked."""
    for subprogram in found.subprograms:
        gone = any(found.spills[pc] for pc in range(subprogram.start, subprogram.end))
        if gone and not subprogram.keep_fastcall_stack:
            subprogram.stack = -subprogram.fastcall_stack


def _around(found: Structure, subprogram: Subprogram, pc: int, lowest: int) -> None:
    """The pairs around one call; of a call that clobbers what it may, they stay, and their stack with them."""
    raws = found.raws
    made = calls.summary(raws[pc], pc, found.subject, found.options.caps)
    if made is None:
        return
    clobbered = (2 << made.reads) - (2 if made.void else 1)
    expected = _CALLER_SAVED & ~clobbered
    pairs = 0
    while pairs < min(6, pc, len(raws) - 1 - pc):
        store, load = raws[pc - pairs - 1], raws[pc + pairs + 1]
        if store.code != _STORE or load.code != _LOAD or store.dst != _FP or load.src != _FP:
            break
        offset = lowest + 8 * pairs
        if store.src != load.dst or not expected >> store.src & 1 or store.off != offset or load.off != offset:
            break
        expected &= ~(1 << store.src)
        pairs += 1
        found.fastcall[pc - pairs] = found.fastcall[pc + pairs] = True
    if not pairs:
        return
    if made.fastcall:
        found.spills[pc] = pairs
    else:
        subprogram.keep_fastcall_stack = True
    end = lowest + 8 * pairs
    subprogram.fastcall_stack = end if subprogram.fastcall_stack == NONE else min(subprogram.fastcall_stack, end)
