"""Maps of what lies outside: devmap, devmap_hash, cpumap, cgroup_array. Only Python's side changes them.

Where bpf() takes a file descriptor, of a program or a cgroup, a value here holds its id.
"""

from __future__ import annotations

from typing import Any

from bpf.order import Order
from bpf.program import Map
from bpf.spec.errno import E2BIG, EBADF, EEXIST, EINVAL, ENODEV, ENOENT, ENOTSUPP, EOVERFLOW
from bpf.spec.layout import CPUS
from bpf.spec.maps import ANY, EXIST, NOEXIST
from vm.maps.array import ArrayState
from vm.maps.base import Contents, MapState, Value
from vm.maps.hash import HashState
from vm.network import Network

WORD = 4
MAX_QUEUE = 16_384  # packets that a CPU's queue may hold
_SIGN = 1 << 31


def fields(value: bytes, order: Order) -> tuple[int, int]:
    """The first word of a devmap's or cpumap's value, and the program in its second, 0 for none."""
    first, second = (int.from_bytes(value[at : at + WORD], order) for at in (0, WORD))
    return first, 0 if second & _SIGN else second


def _stored(value: bytes, order: Order) -> bytes:
    """A value as it is read back: no program is 0."""
    first, program = fields(value, order)
    return b"".join(word.to_bytes(WORD, order) for word in (first, program))[: len(value)]


class SparseState(ArrayState):
    """An array of which elements may be missing."""

    __slots__ = ("_there",)

    def __init__(self, map_: Map, order: Order) -> None:
        super().__init__(map_, order)
        self._there: set[int] = set()

    def at(self, key: bytes, cpu: int) -> int | None:
        """See MapState."""
        return super().at(key, cpu) if self._index(key) in self._there else None

    def _place(self, key: bytes, value: bytes) -> int:
        self._set(self._index(key), value)
        self._there.add(self._index(key))
        return 0

    def remove(self, key: bytes) -> int:
        """See MapState. Linux removes what is not there, too."""
        if self._index(key) >= self.map.max_entries:
            return -EINVAL
        self._there.discard(self._index(key))
        return 0

    def value(self, key: bytes) -> Value | None:
        """See MapState."""
        return super().value(key) if self._index(self._key(key)) in self._there else None

    def contents(self) -> Contents:
        """See MapState."""
        return MapState.contents(self)

    def _save(self) -> Any:
        return tuple(sorted(self._there))

    def _load(self, saved: Any) -> None:
        self._there = set(saved)


class DeviceState(SparseState):
    """devmap. A value: the device's ifindex, and the id of a program that packets pass on their way there."""

    __slots__ = ("_net",)

    def __init__(self, map_: Map, order: Order) -> None:
        super().__init__(map_, order)
        self._net: Network | None = None

    def describe(self, net: Network) -> None:
        """See MapState."""
        self._net = net

    def put(self, key: bytes, value: bytes, flags: int, cpu: int) -> int:
        """See MapState. Device 0 takes the element out."""
        if flags > EXIST:
            return -EINVAL
        if self._index(key) >= self.map.max_entries:
            return -E2BIG
        if flags == NOEXIST:
            return -EEXIST
        device, program = fields(value, self.order)
        if not device:
            return -EINVAL if program else self.remove(key)
        if self._net is not None and device not in self._net.devices:
            return -EINVAL
        return self._place(key, _stored(value, self.order))


class CpuState(SparseState):
    """cpumap. A value: how many packets wait at most for the CPU, and the id of the program that they pass there."""

    __slots__ = ()

    def put(self, key: bytes, value: bytes, flags: int, cpu: int) -> int:
        """See MapState. A queue of 0 takes the element out."""
        if flags > EXIST:
            return -EINVAL
        if self._index(key) >= self.map.max_entries:
            return -E2BIG
        if flags == NOEXIST:
            return -EEXIST
        size, _ = fields(value, self.order)
        if size > MAX_QUEUE:
            return -EOVERFLOW
        if self._index(key) >= CPUS:
            return -ENODEV
        return self._place(key, _stored(value, self.order)) if size else self.remove(key)


class CgroupArrayState(SparseState):
    """cgroup_array. A value: the id of a cgroup."""

    __slots__ = ()
    NO_LOOKUP = -ENOTSUPP

    def put(self, key: bytes, value: bytes, flags: int, cpu: int) -> int:
        """See MapState."""
        if flags != ANY:
            return -EINVAL
        if self._index(key) >= self.map.max_entries:
            return -E2BIG
        return -EBADF if int.from_bytes(value, self.order) & _SIGN else self._place(key, value)

    def remove(self, key: bytes) -> int:
        """See MapState."""
        if self._index(key) >= self.map.max_entries:
            return -E2BIG
        return super().remove(key) if self._index(key) in self._there else -ENOENT


class DeviceHashState(HashState):
    """devmap_hash: as devmap, with any keys."""

    __slots__ = ("_net",)

    def __init__(self, map_: Map, order: Order) -> None:
        super().__init__(map_, order)
        self._net: Network | None = None

    def describe(self, net: Network) -> None:
        """See MapState."""
        self._net = net

    def put(self, key: bytes, value: bytes, flags: int, cpu: int) -> int:
        """See MapState. EXIST asks for nothing."""
        device, _ = fields(value, self.order)
        if flags > EXIST or not device:
            return -EINVAL
        if flags == NOEXIST and key in self._index:
            return -EEXIST
        if self._net is not None and device not in self._net.devices:
            return -EINVAL
        return super().put(key, _stored(value, self.order), ANY, cpu)
