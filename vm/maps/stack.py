"""Stack traces: stack_trace, whose elements programs make from the stack that they were called on.

A trace's id is Linux's: Bob Jenkins's lookup3 hash over the 32-bit words of its addresses (jhash2), cut to the number
of buckets. So the same addresses have the same id here and there, and the same traces get into each other's way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bpf.map_rules import BUILD_ID, FRAME
from bpf.order import Order
from bpf.program import Map
from bpf.spec.errno import E2BIG, EEXIST, EFAULT, EINVAL, ENOENT, ENOMEM
from bpf.spec.maps import STACK_BUILD_ID
from vm.maps.base import MapState, Value

SKIP, USER, FAST_COMPARE, REUSE, USER_BUILD_ID = 0xFF, 1 << 8, 1 << 9, 1 << 10, 1 << 11  # BPF_F_* of a stack
MOST = 127  # kernel.perf_event_max_stack
_BY_ADDRESS = 2  # BPF_STACK_BUILD_ID_IP: no file is mapped there
_M32 = 0xFFFF_FFFF
_START = 0xDEAD_BEEF  # JHASH_INITVAL


_MIX = ((0, 2, 1, 4), (1, 0, 2, 6), (2, 1, 0, 8), (0, 2, 1, 16), (1, 0, 2, 19), (2, 1, 0, 4))
_FINAL = ((2, 1, 14), (0, 2, 11), (1, 0, 25), (2, 1, 16), (0, 2, 4), (1, 0, 14), (2, 1, 24))
"""The steps of the hash: which of three words is changed by which, and how far that one is turned."""


def _turn(word: int, count: int) -> int:
    return (word << count | word >> 32 - count) & _M32


def jhash(words: Sequence[int]) -> int:
    """jhash2 with a first value of 0: lookup3's hashword. words: of 32 bits."""
    state = [_START + (len(words) << 2) & _M32] * 3
    at = 0
    while len(words) - at > 3:
        state = [one + words[at + n] & _M32 for n, one in enumerate(state)]
        for to, by, added, count in _MIX:
            state[to] = (state[to] - state[by] & _M32) ^ _turn(state[by], count)
            state[by] = state[by] + state[added] & _M32
        at += 3
    for n, word in enumerate(words[at:]):
        state[n] = state[n] + word & _M32
    for to, by, count in _FINAL if words[at:] else ():
        state[to] = (state[to] ^ state[by]) - _turn(state[by], count) & _M32
    return state[2]


def frames_of(stack: Sequence[int], room: int, flags: int) -> Sequence[int] | None:
    """What of a stack is taken, the innermost frame first: past those to skip, at most `room`. None where none is left.

    The stack is cut before frames are skipped, as Linux does.
    """
    skip = flags & SKIP
    taken = stack[: min(room + skip, MOST)]
    return None if len(taken) < skip else taken[skip:]


def entry(address: int, order: Order, *, build_id: bool) -> bytes:
    """An address as it stands in a trace, with build_id as a struct bpf_stack_build_id."""
    word = address.to_bytes(8, order)
    return _BY_ADDRESS.to_bytes(4, order) + bytes(20) + word if build_id else word


class StackState(MapState):
    """stack_trace. Contents: id -> addresses, and zeros behind them."""

    __slots__ = ("_buckets", "_traces")

    def __init__(self, map_: Map, order: Order) -> None:
        super().__init__(map_, order)
        self._buckets = 1 << (map_.max_entries - 1).bit_length()
        self._traces: dict[int, tuple[int, ...]] = {}

    @property
    def _build_id(self) -> bool:
        return bool(self.map.flags & STACK_BUILD_ID)

    def identify(self, stack: Sequence[int], flags: int) -> int:
        """The id of a stack, which is kept under it: what get_stackid returns."""
        if flags & ~(SKIP | USER | FAST_COMPARE | REUSE):
            return -EINVAL
        taken = frames_of(stack, self.map.value_size // (BUILD_ID if self._build_id else FRAME), flags)
        if not taken:
            return -EFAULT
        data = b"".join(address.to_bytes(FRAME, self.order) for address in taken)
        number = jhash([int.from_bytes(data[at : at + 4], self.order) for at in range(0, len(data), 4)])
        index, trace = number & self._buckets - 1, tuple(taken)
        there = self._traces.get(index)
        if there == trace:
            return index
        if there is not None and not flags & REUSE:
            return -EEXIST
        if len(self._traces) >= self.map.max_entries:  # the new trace is made before the old one is given up
            return -ENOMEM
        self._traces[index] = trace
        return index

    def put(self, key: bytes, value: bytes, flags: int, cpu: int) -> int:
        """See MapState."""
        return -EINVAL

    def remove(self, key: bytes) -> int:
        """See MapState."""
        index = int.from_bytes(key, self.order)
        if index >= self._buckets:
            return -E2BIG
        return 0 if self._traces.pop(index, None) is not None else -ENOENT

    def keys(self) -> Iterable[bytes]:
        """See MapState."""
        return [index.to_bytes(4, self.order) for index in sorted(self._traces)]

    def value(self, key: bytes) -> Value | None:
        """See MapState."""
        trace = self._traces.get(int.from_bytes(self._key(key), self.order))
        if trace is None:
            return None
        shown = b"".join(entry(address, self.order, build_id=self._build_id) for address in trace)
        return shown.ljust(self.map.value_size, b"\0")

    def lookup(self, key: bytes, cpu: int = 0) -> memoryview | None:
        """See MapState; of a copy."""
        found = self.value(key)
        return memoryview(found) if isinstance(found, bytes) else None

    def _save(self) -> Any:
        return tuple(self._traces.items())

    def _load(self, saved: Any) -> None:
        self._traces = dict(saved)
