"""Stack traces have the live kernel's ids, and get into each other's way as there. Skipped without the kernel."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

import pytest

from bpf.program import Map
from bpf.spec.maps import MAP_TYPES
from bpf.text import assemble
from engines import syscall
from tests.live_kernel import live
from vm.maps.stack import FAST_COMPARE, REUSE, StackState

pytestmark = live
HERE = sys.byteorder
RAW_TRACEPOINT = 17
SKIPPED = 3  # frames of the program and of what has called it, which differ from call to call


def identified(map_: Map, flags: Sequence[int]) -> list[tuple[int, bytes | None]]:
    """What the kernel's get_stackid gives for each of the flags, and the trace under it."""
    found = []
    with contextlib.ExitStack() as held:

        def kept(descriptor: int) -> int:
            held.callback(os.close, descriptor)
            return descriptor

        number = MAP_TYPES[map_.kind].number
        stacks = kept(syscall.create_map("m", number, map_.key_size, map_.value_size, map_.max_entries))
        array = kept(syscall.create_array("flags", 8))
        text = f"r6 = map_value[fd:{array}][0]; r3 = *(u64 *)(r6 + 0); r2 = map[fd:{stacks}]; call 27; exit"
        program = kept(syscall.load(assemble(text, order=HERE).encode(HERE), kind=RAW_TRACEPOINT)[0])
        for one in flags:
            syscall.write_value(array, one.to_bytes(8, HERE))
            r0 = syscall.test_run(program, b"")
            signed = r0 - (1 << 32) if r0 >> 31 else r0
            trace = syscall.lookup(stacks, signed.to_bytes(4, HERE), map_.value_size) if signed >= 0 else None
            found.append((signed, trace))
    return found


def words(data: bytes) -> tuple[int, ...]:
    """Addresses without the zeros behind them."""
    found = tuple(int.from_bytes(data[at : at + 8], HERE) for at in range(0, len(data), 8))
    return found[: len(found) - next((n for n, word in enumerate(reversed(found)) if word), len(found))]


@pytest.mark.parametrize(("frames", "entries"), [(127, 16), (2, 4), (8, 1), (8, 2), (1, 3)])
def test_ids(frames: int, entries: int) -> None:
    map_ = Map("m", "stack_trace", 4, 8 * frames, entries)
    whole = identified(Map("m", "stack_trace", 4, 8 * 127, 64), [SKIPPED])[0][1]
    assert whole is not None
    stack = (0,) * SKIPPED + words(whole)
    assert len(stack) > SKIPPED + 2
    flags = [SKIPPED, SKIPPED, SKIPPED + 1, SKIPPED + 1 | REUSE, SKIPPED + 2 | FAST_COMPARE, SKIPPED | REUSE]
    flags += [len(stack) - 1, len(stack), 0xFF, 1 << 12]
    mine = StackState(map_, HERE)
    for one, (number, trace) in zip(flags, identified(map_, flags), strict=True):
        assert mine.identify(stack, one) == number, (one, stack)
        if number >= 0:
            assert mine.value(number.to_bytes(4, HERE)) == trace
