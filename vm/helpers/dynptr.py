"""Dynptrs: 16 bytes on the program's stack that say where memory lies and how much of it there is.

Their bytes (bpf/spec/layout.py) are Linux's own. Null is 16 zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bpf.spec import layout
from bpf.spec.errno import E2BIG, EBUSY, EINVAL
from vm.helpers.base import Calling, Invoke, Place
from vm.helpers.maps import end_record, map_of, ring
from vm.helpers.packet import XDP, Buffer
from vm.maps.ring import FORCE_WAKEUP, NO_WAKEUP, UserRingState

M32 = (1 << 32) - 1
LOCAL, RINGBUF, SKB_KIND, XDP_KIND = 1, 2, 3, 4  # enum bpf_dynptr_type
MOST = 128 << 10  # BPF_MAX_USER_RINGBUF_SAMPLES


@dataclass(frozen=True, slots=True)
class Dynptr:
    """data: address of what it points to, 0 for null; size in bytes; kind; offset of its first byte; read-only.

    Of a packet `data` is the context.
    """

    data: int
    size: int
    kind: int
    offset: int
    readonly: bool

    @classmethod
    def at(cls, place: Place, address: int) -> Dynptr:
        """The dynptr at an address."""
        data, size, offset = layout.read_dynptr(place.memory.read(address, layout.DYNPTR_SIZE), place.order)
        return cls(
            data, size & layout.DYNPTR_MAX, size >> layout.DYNPTR_KIND & 7, offset, bool(size & layout.DYNPTR_READONLY)
        )

    def start(self, place: Place) -> int:
        """The address of its first byte."""
        if self.kind in (SKB_KIND, XDP_KIND):
            return packet_data(place) + self.offset
        return self.data + self.offset

    def outside(self, offset: int, size: int) -> bool:
        """Whether `size` bytes from an offset on are not all in it."""
        return size > self.size or offset > self.size - size


def packet_data(place: Place) -> int:
    """The address of the packet's data, wherever helpers have moved them."""
    packet = place.packet
    if packet.layout == XDP:
        return Buffer(place, packet.context, XDP)["data"]
    now = packet.now(place.memory)
    return now.start + now.data


def _set(place: Place, address: int, data: int = 0, size: int = 0, kind: int = 0) -> None:
    place.memory.write(address, layout.dynptr(data, size | kind << layout.DYNPTR_KIND, 0, place.order))


def dynptr_from_mem(place: Place, arguments: Sequence[int]) -> int:
    """Make R4 a dynptr of R2 bytes at R1."""
    data, size, flags, to = arguments[0], arguments[1] & M32, arguments[2], arguments[3]
    if size > layout.DYNPTR_MAX or flags:
        _set(place, to)
        return -E2BIG if size > layout.DYNPTR_MAX else -EINVAL
    _set(place, to, data, size, LOCAL)
    return 0


def dynptr_read(place: Place, arguments: Sequence[int]) -> int:
    """Copy R2 bytes from offset R4 of dynptr R3 to R1."""
    to, size, address, offset, flags = arguments
    found, size, offset = Dynptr.at(place, address), size & M32, offset & M32
    if not found.data or flags:
        return -EINVAL
    if found.outside(offset, size):
        return -E2BIG
    place.memory.write(to, place.memory.read(found.start(place) + offset, size))
    return 0


def dynptr_write(place: Place, arguments: Sequence[int]) -> int:
    """Copy R4 bytes at R3 to offset R2 of dynptr R1."""
    address, offset, source, size, flags = arguments
    found, size, offset = Dynptr.at(place, address), size & M32, offset & M32
    if not found.data or found.readonly:
        return -EINVAL
    if found.outside(offset, size):
        return -E2BIG
    if flags:
        return -EINVAL
    place.memory.write(found.start(place) + offset, place.memory.read(source, size))
    return 0


def dynptr_data(place: Place, arguments: Sequence[int]) -> int:
    """The address of R3 bytes at offset R2 of dynptr R1; 0 where they are not in it."""
    found, offset, size = Dynptr.at(place, arguments[0]), arguments[1] & M32, arguments[2] & M32
    packet = found.kind in (SKB_KIND, XDP_KIND)  # those have slices
    if not found.data or packet or found.readonly or found.outside(offset, size):
        return 0
    return found.start(place) + offset


def ringbuf_reserve_dynptr(place: Place, arguments: Sequence[int]) -> int:
    """Make R4 a dynptr of a new record of R2 bytes."""
    size, flags, to = arguments[1] & M32, arguments[2], arguments[3]
    state = ring(place, arguments[0], "ringbuf_reserve_dynptr")
    offset = None if flags or size > layout.DYNPTR_MAX else state.reserve(size, 0)
    if offset is None:
        _set(place, to)
        return -E2BIG if not flags and size > layout.DYNPTR_MAX else -EINVAL
    _set(place, to, place.maps.address(state, offset), size, RINGBUF)
    return 0


def _end(place: Place, address: int, *, discard: bool) -> int:
    found = Dynptr.at(place, address)
    if found.data:
        end_record(place, found.data, discard=discard)
        _set(place, address)
    return 0


def ringbuf_submit_dynptr(place: Place, arguments: Sequence[int]) -> int:
    """End the record of dynptr R1, which a reader then gets; nothing for a null one."""
    return _end(place, arguments[0], discard=False)


def ringbuf_discard_dynptr(place: Place, arguments: Sequence[int]) -> int:
    """End the record of dynptr R1, which no reader gets."""
    return _end(place, arguments[0], discard=True)


def user_ringbuf_drain(place: Place, arguments: Sequence[int]) -> Calling:
    """Call R2(dynptr, R3) for each record of map R1, until it returns something else than 0; how many it was given."""
    handle, function, context, flags = arguments[:4]
    state = map_of(place, handle, "user_ringbuf_drain")
    assert isinstance(state, UserRingState)
    draining, name = place.maps.draining, state.map.name
    if flags & ~(NO_WAKEUP | FORCE_WAKEUP):
        return -EINVAL
    if name in draining:
        return -EBUSY
    draining.add(name)
    taken = 0
    while taken < MOST and (record := state.first()) is not None:
        offset, size = record
        data = layout.dynptr(place.maps.address(state, offset), size | LOCAL << layout.DYNPTR_KIND, 0, place.order)
        more = yield Invoke(function, (place.maps.lend(data), context))
        place.maps.take_back()
        state.release()
        taken += 1
        if more:
            break
    draining.discard(name)
    return taken
