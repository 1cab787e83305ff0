"""The contract between a process that runs compiled code on its own CPU and the code that enters it.

Both share a block of 64-bit words at a fixed address. A target that can be a host has a module (Target.host) with a
function `host_code(target, base, block)` that gives a HostCode for these addresses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from jit.target import Target

WORD = 8
# Words of the block. The callback is a C function without arguments that returns 0 to go on, anything else to leave.
CALLBACK, HOST_SP, RESULT, FINAL_SP, NUMBER, RETURN, CALL_SP, ANSWER = range(8)
ARGUMENTS = 8  # R1-R5 at a helper call
AX = 13  # its home there
TARGET = 14  # address of the function to enter
ENTRY = 16  # what registers hold at entry, in the order of HostCode.entered
SAVED = 48  # what callee-saved registers hold at the end, in the order of HostCode.checked
DESTROYED = 80  # what caller-saved registers hold after a helper call, in the order of HostCode.destroyed
KEPT = 96  # what callee-saved registers hold at a helper call, in the order of HostCode.checked
BLOCK_SIZE = WORD * 112


@dataclass(frozen=True, slots=True)
class HostCode:
    """Machine code for the exit page, at `base`, and for the stubs.

    code       a C function without arguments that enters a function, and what the stubs share; a callback from a stub
               may call it again, when it puts HOST_SP back afterwards
    common     address of what the stubs share
    entered, checked, destroyed   names of registers, see the words of the block
    flush      whether the CPU must be told of code that was written as data
    saved      platform (of sys.platform) -> where a signal handler finds a register, and "pc": offset in ucontext_t
    """

    code: bytes
    common: int
    entered: tuple[str, ...]
    checked: tuple[str, ...]
    destroyed: tuple[str, ...]
    flush: bool
    saved: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def entered(target: Target, without: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """The registers to set at entry: the homes of R0-R10 and whatever else a function preserves."""
    return tuple(name for name in dict.fromkeys((*target.homes[:11], *target.callee_saved)) if name not in without)


def destroyed(target: Target) -> tuple[str, ...]:
    """The registers to poison after a helper call."""
    return tuple(name for name in target.caller_saved if name != target.result)
