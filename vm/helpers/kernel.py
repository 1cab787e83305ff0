"""Kernel functions of no family: sections that nothing interrupts, casts, exceptions, strings of the task."""

from __future__ import annotations

from collections.abc import Sequence

from bpf.spec.errno import EINVAL
from vm.helpers.base import Exit, Place
from vm.helpers.probe import user_string
from vm.services import Trap

M32 = (1 << 32) - 1
PAD_ZEROS = 1  # BPF_F_PAD_ZEROS
_SAME = ("pt_regs.", "tracing", "raw_tracepoint")  # contexts that are the kernel's own structures


def nothing(place: Place, arguments: Sequence[int]) -> int:
    """What has no effect where one CPU runs one program: RCU, preemption, interrupts."""
    return 0


def local_irq_save(place: Place, arguments: Sequence[int]) -> int:
    """Interrupts are off: the 8 bytes at R1 say what they were before."""
    place.memory.write(arguments[0], bytes(8))
    return 0


def same(place: Place, arguments: Sequence[int]) -> int:
    """R1: only its type is another."""
    return arguments[0]


def kern_ctx(place: Place, arguments: Sequence[int]) -> int:
    """The kernel's own structure behind context R1: of a kprobe that is the context, else World.context_object.

    Raises Trap where that is not described.
    """
    context, packet = arguments[0], place.packet
    if not context or context != packet.context:
        raise Trap("context", context)
    if packet.layout.startswith(_SAME):
        return context
    if not place.world.context_object:
        raise Trap("kernel context", context)
    return place.world.context_object


def throw(place: Place, arguments: Sequence[int]) -> Exit:
    """End the whole program with R1."""
    return Exit(arguments[0])


def map_sum_elem_count(place: Place, arguments: Sequence[int]) -> int:
    """How many elements map R1 has, of the kinds that count them."""
    state = place.maps.state(arguments[0])
    return len(list(state.keys())) if state is not None and "hash" in state.map.kind else 0


def copy_from_user_str(place: Place, arguments: Sequence[int]) -> int:
    """Copy a string of the task's at R3 to the R2 bytes at R1, with a zero; its length with it. R4: pad with zeros."""
    to, size, address, flags = arguments[0], arguments[1] & M32, arguments[2], arguments[3]
    if flags & ~PAD_ZEROS:
        return -EINVAL & M32
    if not size:
        return 0
    found = user_string(place, address, size)
    if isinstance(found, int):
        if flags:
            place.memory.write(to, bytes(size))
        return found & M32
    place.memory.write(to, found.ljust(size, b"\0") if flags else found)
    return len(found)
