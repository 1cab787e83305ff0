"""Maps: elements, queues, ring buffers, perf events, spin locks."""

from __future__ import annotations

from collections.abc import Sequence

from bpf.spec import maps as spec
from bpf.spec.errno import E2BIG, EFAULT, EINVAL, ENOENT
from bpf.spec.layout import CPUS
from bpf.spec.maps import RULES
from vm.helpers.base import Place
from vm.helpers.owners import SOCKET, number_of, socket_address
from vm.helpers.packet import SKB, XDP, Buffer
from vm.maps.base import MapState
from vm.maps.outer import OuterArrayState
from vm.maps.ring import CURRENT_CPU, PerfState, RingState
from vm.maps.sockets import SocketArrayState
from vm.services import Trap

M64 = (1 << 64) - 1
M32 = (1 << 32) - 1
LOCK = 4
COUNTER = 24  # sizeof(struct bpf_perf_event_value)
CTXLEN = (1 << 20) - 1  # BPF_F_CTXLEN_MASK, shifted down


def map_of(place: Place, handle: int, helper: str) -> MapState:
    """The map of a handle. Raises Trap for no handle, and for a helper that the verifier lets no such map near."""
    state = place.maps.state(handle)
    if state is None:
        raise Trap("map handle", handle)
    if helper not in RULES[state.map.kind].helpers:
        raise Trap("map operation", handle)
    return state


def _changed(place: Place, handle: int, helper: str) -> MapState:
    """As map_of, for a helper that changes it. Raises Trap for one that programs may not write."""
    state = map_of(place, handle, helper)
    if state.map.flags & spec.RDONLY_PROG or state.map.readonly:
        raise Trap("map operation", handle)
    return state


def _key(place: Place, state: MapState, address: int) -> bytes:
    return place.memory.read(address, state.map.key_size)


def map_lookup_elem(place: Place, arguments: Sequence[int]) -> int:
    """The address of the value of the key at R2 in map R1, on this CPU; 0 for none.

    Of a map-in-map it is the map, of a map of sockets the socket.
    """
    state = map_of(place, arguments[0], spec.LOOKUP)
    key = _key(place, state, arguments[1])
    if isinstance(state, OuterArrayState):
        name = state.member(key)
        return 0 if name is None else place.maps.handle(name)
    if isinstance(state, SocketArrayState):
        cookie = state.member(key)
        return 0 if cookie is None else socket_address(place, cookie)
    offset = state.at(key, place.world.cpu)
    return 0 if offset is None else place.maps.address(state, offset)


def map_update_elem(place: Place, arguments: Sequence[int]) -> int:
    """Give the key at R2 the value at R3, on this CPU. R4: BPF_ANY, NOEXIST, EXIST, F_LOCK.

    Of a map of sockets R3 is a socket.
    """
    state = _changed(place, arguments[0], spec.UPDATE)
    key = _key(place, state, arguments[1])
    if isinstance(state, SocketArrayState):
        cookie = number_of(place, SOCKET, arguments[2])
        return -EINVAL if cookie is None else state.join(key, cookie, arguments[3])
    value = place.memory.read(arguments[2], state.map.value_size)
    return state.put(key, value, arguments[3], place.world.cpu)


def map_delete_elem(place: Place, arguments: Sequence[int]) -> int:
    """Delete the key at R2."""
    state = _changed(place, arguments[0], spec.DELETE)
    return state.remove(_key(place, state, arguments[1]))


def map_push_elem(place: Place, arguments: Sequence[int]) -> int:
    """Push the value at R2. R3: BPF_EXIST makes room."""
    state = _changed(place, arguments[0], spec.PUSH)
    return state.push(place.memory.read(arguments[1], state.map.value_size), arguments[2])


def map_pop_elem(place: Place, arguments: Sequence[int]) -> int:
    """Take a value out to R2, which is zeroed where there is none."""
    state = _changed(place, arguments[0], spec.POP)
    return _answer(place, state, arguments[1], state.pop())


def map_peek_elem(place: Place, arguments: Sequence[int]) -> int:
    """Copy what pop would take to R2; of a bloom filter: whether the value at R2 may be in it."""
    state = map_of(place, arguments[0], spec.PEEK)
    if state.map.kind == "bloom_filter":
        found = state.peek(place.memory.read(arguments[1], state.map.value_size))
        return found if isinstance(found, int) else 0
    return _answer(place, state, arguments[1], state.peek(b""))


def _answer(place: Place, state: MapState, address: int, found: bytes | int) -> int:
    missing = isinstance(found, int)
    place.memory.write(address, bytes(state.map.value_size) if isinstance(found, int) else found)
    return -ENOENT if missing else 0


def map_lookup_percpu_elem(place: Place, arguments: Sequence[int]) -> int:
    """As map_lookup_elem, on CPU R3."""
    state = map_of(place, arguments[0], spec.PERCPU)
    key = _key(place, state, arguments[1])
    cpu = arguments[2] & M32
    offset = state.at(key, cpu) if cpu < CPUS else None
    return 0 if offset is None else place.maps.address(state, offset)


# Records -----------------------------------------------------------------------------------------


def ring(place: Place, handle: int, helper: str) -> RingState:
    """The ring buffer of a handle; see map_of."""
    state = map_of(place, handle, helper)
    assert isinstance(state, RingState)
    return state


def ringbuf_output(place: Place, arguments: Sequence[int]) -> int:
    """Copy R3 bytes at R2 into a record."""
    state = ring(place, arguments[0], "ringbuf_output")
    size = arguments[2] & M64
    if size >= state.map.max_entries:
        return state.output(bytes(state.map.max_entries), arguments[3])  # there is no room for it, whatever it says
    return state.output(place.memory.read(arguments[1], size), arguments[3])


def ringbuf_reserve(place: Place, arguments: Sequence[int]) -> int:
    """The address of a new record of R2 bytes; 0 where there is no room."""
    state = ring(place, arguments[0], "ringbuf_reserve")
    offset = state.reserve(arguments[1], arguments[2])
    return 0 if offset is None else place.maps.address(state, offset)


def end_record(place: Place, address: int, *, discard: bool) -> int:
    """End the record at an address. Raises Trap where there is none."""
    for state, offset in place.maps.around(address):
        if isinstance(state, RingState) and state.commit(offset, discard=discard):
            return 0
    raise Trap("ringbuf record", address)


def ringbuf_submit(place: Place, arguments: Sequence[int]) -> int:
    """End the record at R1, which a reader then gets."""
    return end_record(place, arguments[0], discard=False)


def ringbuf_discard(place: Place, arguments: Sequence[int]) -> int:
    """End the record at R1, which no reader gets."""
    return end_record(place, arguments[0], discard=True)


def ringbuf_query(place: Place, arguments: Sequence[int]) -> int:
    """R2: 0 bytes not yet read, 1 size, 2 the reader's position, 3 the writer's."""
    return ring(place, arguments[0], "ringbuf_query").query(arguments[1])


def perf_event_output(place: Place, arguments: Sequence[int]) -> int:
    """Send R5 bytes at R4 to the event of map R2 that R3 names: an index, or BPF_F_CURRENT_CPU.

    Bits 32-51 of R3: so many bytes of the packet R1 behind them.
    """
    state = map_of(place, arguments[1], "perf_event_output")
    assert isinstance(state, PerfState)
    flags, behind = arguments[2], b""
    if (size := flags >> 32 & CTXLEN) and place.packet.layout in (SKB, XDP):
        if flags >> 52:
            return -EINVAL
        packet = Buffer(place, arguments[0], SKB, XDP)
        if size > packet.size:
            return -EFAULT
        flags, behind = flags & M32, packet.read(0, size)
    data = place.memory.read(arguments[3], arguments[4] & M32)
    return state.output(data + behind, flags, place.world.cpu)


def _counter(place: Place, handle: int, flags: int, helper: str) -> tuple[int, int, int] | int:
    """What the event of a map counted that the flags name, or an errno."""
    state = map_of(place, handle, helper)
    if flags & ~M32:
        return -EINVAL
    index = place.world.cpu if flags == CURRENT_CPU else flags
    if index >= state.map.max_entries:
        return -E2BIG
    counters = place.world.counters.get(state.map.name, ())
    if index >= len(counters):
        return -ENOENT
    return counters[index] if index == place.world.cpu else -EINVAL  # it is another CPU's


def perf_event_read(place: Place, arguments: Sequence[int]) -> int:
    """What the event of map R1 that R2 names (see perf_event_output) has counted; World.counters says that."""
    found = _counter(place, arguments[0], arguments[1], "perf_event_read")
    return found if isinstance(found, int) else found[0]


def perf_event_read_value(place: Place, arguments: Sequence[int]) -> int:
    """As perf_event_read, with the times that it was enabled and ran, to R4 bytes at R3."""
    to, size = arguments[2], arguments[3] & M32
    found = _counter(place, arguments[0], arguments[1], "perf_event_read_value") if size == COUNTER else -EINVAL
    if isinstance(found, int):
        place.memory.write(to, bytes(size))
        return found
    place.memory.write(to, b"".join(number.to_bytes(8, place.order) for number in found))
    return 0


# Locks -------------------------------------------------------------------------------------------


def spin_lock(place: Place, arguments: Sequence[int]) -> int:
    """Take the bpf_spin_lock at R1; wait for the CPU that has it. A lock that nobody will open is a Fault."""
    while any(place.memory.read(arguments[0], LOCK)):
        if not place.turn.wait():
            raise Trap("deadlock", arguments[0])
    place.memory.write(arguments[0], (1).to_bytes(LOCK, place.order))
    return 0


def spin_unlock(place: Place, arguments: Sequence[int]) -> int:
    """Give the bpf_spin_lock at R1 back."""
    place.memory.write(arguments[0], bytes(LOCK))
    place.turn.opened()
    return 0


def kptr_xchg(place: Place, arguments: Sequence[int]) -> int:
    """Put R2 into the pointer at R1; what was there."""
    old = int.from_bytes(place.memory.read(arguments[0], 8), place.order)
    place.memory.write(arguments[0], arguments[1].to_bytes(8, place.order))
    return old
