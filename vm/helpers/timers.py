"""Timers in map values, which call functions of the program after it has ended, in the order in which they expire.

The 16 bytes of a bpf_timer hold its number in World.timers; a value that is made anew or deleted has none.
"""

from __future__ import annotations

from collections.abc import Sequence

from bpf.spec.errno import EBUSY, EDEADLK, EINVAL
from bpf.spec.layout import TIMER_SIZE
from vm.helpers.base import Calling, Invoke, Place
from vm.maps.base import MapState
from vm.services import Trap
from vm.world import Timer

CLOCKS = (0, 1, 7)  # CLOCK_REALTIME, MONOTONIC, BOOTTIME
ABSOLUTE, PINNED = 1, 2  # BPF_F_TIMER_ABS, BPF_F_TIMER_CPU_PIN
MOST = 64
"""How many callbacks follow a run; timers that are armed then stay so."""
M64 = (1 << 64) - 1


def _number(place: Place, address: int) -> int:
    """The number of the timer at an address, 0 for one that is not initialised."""
    number = int.from_bytes(place.memory.read(address, TIMER_SIZE // 2), place.order)
    return number if number in place.world.timers else 0


def timer_init(place: Place, arguments: Sequence[int]) -> int:
    """Make R1, in a value of map R2, a timer of clock R3."""
    address, handle, flags = arguments[:3]
    if flags not in CLOCKS:
        return -EINVAL
    if _number(place, address):
        return -EBUSY
    state = place.maps.state(handle)
    offset = next((at for found, at in place.maps.around(address) if found is state), None)
    if state is None or offset is None or state.map.timer is None:
        raise Trap("map operation", handle)
    number = max(place.world.timers, default=0) + 1
    place.memory.write(address, number.to_bytes(TIMER_SIZE // 2, place.order))
    place.world.timers[number] = (state.map.name, offset, 0, -1, 0)
    return 0


def timer_set_callback(place: Place, arguments: Sequence[int]) -> int:
    """Have timer R1 call function R2."""
    number = _number(place, arguments[0])
    if not number:
        return -EINVAL
    name, offset, _, when, order = place.world.timers[number]
    place.world.timers[number] = (name, offset, arguments[1], when, order)
    return 0


def timer_start(place: Place, arguments: Sequence[int]) -> int:
    """Have timer R1 expire in R2 nanoseconds; R3: BPF_F_TIMER_ABS, when the clock says R2."""
    address, time, flags = arguments[:3]
    if flags & ~(ABSOLUTE | PINNED):
        return -EINVAL
    number, timers = _number(place, address), place.world.timers
    if not number or not timers[number][2]:
        return -EINVAL
    name, offset, function, *_ = timers[number]
    order = 1 + max(timer[4] for timer in timers.values())
    when = time if flags & ABSOLUTE else min(place.world.clock + time, M64)
    timers[number] = (name, offset, function, when, order)
    return 0


def timer_cancel(place: Place, arguments: Sequence[int]) -> int:
    """Stop timer R1, which also forgets its callback. Whether it was running."""
    number = _number(place, arguments[0])
    if not number:
        return -EINVAL
    if number == place.maps.expiring:
        return -EDEADLK
    name, offset, _, when, order = place.world.timers[number]
    place.world.timers[number] = (name, offset, 0, -1, order)
    return int(when >= 0)


def _where(place: Place, number: int, timer: Timer) -> tuple[MapState, int, bytes] | None:
    """The map of a timer, the offset of its value, its key; None where the timer is no longer there."""
    state = place.world.maps.get(timer[0])
    if state is None or not place.maps.handle(timer[0]) or state.map.timer is None:
        return None
    offset = timer[1] - state.map.timer
    key = next((key for key in state.keys() if state.find(key, 0) == offset), None)  # noqa: SIM118 (no dict)
    if key is None or _number(place, place.maps.address(state, timer[1])) != number:
        return None
    return state, offset, key


def expire(place: Place) -> Calling:
    """What follows a run: the callbacks of its timers, each (map, key, value), at most MOST."""
    timers = place.world.timers
    for _ in range(MOST):
        armed = [(timer[3], timer[4], number) for number, timer in timers.items() if timer[3] >= 0]
        if not armed:
            break
        when, _, number = min(armed)
        name, offset, function, _, order = timers[number]
        found = _where(place, number, timers[number])
        if found is None:
            del timers[number]
            continue
        timers[number] = (name, offset, function, -1, order)
        place.world.clock = max(place.world.clock, when)
        state, at, key = found
        place.maps.expiring = number
        lent = place.maps.lend(key)
        yield Invoke(function, (place.maps.handle(name), lent, place.maps.address(state, at)))
        place.maps.take_back()
        place.maps.expiring = 0
    return 0
