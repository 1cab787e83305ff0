"""Helpers that call functions of the program while it waits."""

from __future__ import annotations

from collections.abc import Sequence

from bpf.spec.errno import E2BIG, EINVAL
from bpf.spec.maps import EACH
from vm.helpers.base import Calling, Invoke, Place
from vm.helpers.maps import map_of

M64 = (1 << 64) - 1
MAX_LOOPS = 1 << 23  # BPF_MAX_LOOPS


def loop(place: Place, arguments: Sequence[int]) -> Calling:
    """Call R2(index, R3) for each index below R1, until it returns something else than 0; how often it was called.

    As Linux since 6.0 compiles it inline: R1 counts with all its bits, and -E2BIG is a 32-bit number.
    """
    turns, function, context, flags = arguments[:4]
    if flags:
        return -EINVAL & M64
    if turns > MAX_LOOPS:
        return -E2BIG & 0xFFFF_FFFF
    for index in range(turns):
        if (yield Invoke(function, (index, context))):
            return index + 1
    return turns


def for_each_map_elem(place: Place, arguments: Sequence[int]) -> Calling:
    """Call R2(map, key, value, R3) for each element of map R1, until it returns something else than 0; how often.

    The value is this CPU's. Arrays go by index, the others by the order in which their elements came to be (Linux's
    is that of a hash with a random seed); those that are made meanwhile are left out.
    """
    handle, function, context, flags = arguments[:4]
    state = map_of(place, handle, EACH)
    if flags:
        return -EINVAL & M64
    called = 0
    for key in list(state.keys()):
        offset = state.find(key, place.world.cpu)
        if offset is None:
            continue
        called += 1
        lent = place.maps.lend(key)
        more = yield Invoke(function, (handle, lent, place.maps.address(state, offset), context))
        place.maps.take_back()
        if more:
            break
    return called
