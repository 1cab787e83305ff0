"""Hash tables: hash, percpu_hash, their LRU kinds; and the longest-prefix trie, which stores alike.

Where a value lies is part of a run's result, so it follows from the operations alone: an element takes the value that
was freed last, else the first that was never used. As in Linux a changed element moves (to the CPU's spare value, and
leaves its own behind as the next spare one), so that a pointer got before the change still sees the old value; per-CPU
values are changed where they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bpf.map_rules import entries
from bpf.order import Order
from bpf.program import Map
from bpf.spec.errno import E2BIG, EEXIST, EINVAL, ENOENT, ENOSPC
from bpf.spec.layout import CPUS
from bpf.spec.maps import ANY, EXIST, F_LOCK, NOEXIST
from vm.maps.base import MapState, Value


class HashState(MapState):
    """hash, percpu_hash, lru_hash, lru_percpu_hash.

    An LRU kind that is full gives up the element that has not been looked up, made or changed by a program for the
    longest time (Linux comes near to that); `evicted` counts those.
    """

    __slots__ = ("_free", "_index", "_lru", "_room", "_spare", "_unused", "evicted")
    FULL = -E2BIG

    def __init__(self, map_: Map, order: Order) -> None:
        super().__init__(map_, order)
        self._lru = map_.kind.startswith("lru")
        self._index: dict[bytes, int] = {}  # key -> slot; of an LRU kind the least recently used first
        self._free: list[int] = []
        self._unused = 0  # the first slot that never held an element
        self._room = entries(map_)
        self._spare = [self._room + cpu for cpu in range(CPUS)]
        self.evicted = 0

    def at(self, key: bytes, cpu: int) -> int | None:
        """See MapState."""
        slot = self._index.get(key)
        if slot is None:
            return None
        if self._lru:
            self._used(key)
        return self.offset(slot, cpu)

    def _used(self, key: bytes) -> None:
        self._index[key] = self._index.pop(key)

    def find(self, key: bytes, cpu: int) -> int | None:
        """See MapState."""
        slot = self._index.get(key)
        return None if slot is None else self.offset(slot, cpu)

    def _wrong(self, key: bytes, flags: int) -> int:
        """What an update with these flags fails with; 0 for nothing."""
        if flags > EXIST and (self._lru or self.per_cpu):
            return -EINVAL
        if failed := self._flags(flags):
            return failed
        mode = flags & ~F_LOCK
        if key in self._index:
            return -EEXIST if mode == NOEXIST else 0
        return -ENOENT if mode == EXIST else 0

    def put(self, key: bytes, value: bytes, flags: int, cpu: int) -> int:
        """See MapState."""
        if failed := self._wrong(key, flags):
            return failed
        slot = self._index.get(key)
        if slot is None:
            return self._make(key, value, cpu)
        if self.per_cpu or flags & F_LOCK:
            self._set(slot, value, cpu, timer=True)  # only with the lock held it stays where it is
        else:
            self._index[key], self._spare[cpu] = self._spare[cpu], slot
            self._set(self._index[key], value, fresh=True)
        if self._lru:
            self._used(key)
        return 0

    def _make(self, key: bytes, value: bytes, cpu: int) -> int:
        if len(self._index) >= self._room:
            if not self._lru:
                return self.FULL
            self.remove(next(iter(self._index)))
            self.evicted += 1
        if self._free:
            slot = self._free.pop()
        else:
            slot = self._unused
            self._unused += 1
        self._index[key] = slot
        for other in range(CPUS if self.per_cpu else 1):
            mine = value if other == cpu or not self.per_cpu else bytes(self._size)
            self._set(slot, mine, other, fresh=True)
        return 0

    def remove(self, key: bytes) -> int:
        """See MapState. The bytes of the value stay until another element needs them."""
        slot = self._index.pop(key, None)
        if slot is None:
            return -ENOENT
        self._free.append(slot)
        return 0

    def keys(self) -> Iterable[bytes]:
        """See MapState."""
        return self._index

    def value(self, key: bytes) -> Value | None:
        """See MapState."""
        slot = self._index.get(self._key(key))
        return None if slot is None else self._each(slot)

    def _save(self) -> Any:
        return tuple(self._index.items()), tuple(self._free), self._unused, tuple(self._spare), self.evicted

    def _load(self, saved: Any) -> None:
        index, free, self._unused, spare, self.evicted = saved
        self._index, self._free, self._spare = dict(index), list(free), list(spare)


class TrieState(HashState):
    """lpm_trie: a key is a prefix length in bits (in the program's byte order) and data, first bits first.

    A lookup finds the longest prefix that the key begins with, among those not longer than the key says.
    """

    __slots__ = ("_prefixes",)
    FULL = -ENOSPC

    def __init__(self, map_: Map, order: Order) -> None:
        super().__init__(map_, order)
        self._prefixes: dict[tuple[int, int], bytes] = {}  # (length, leading bits) -> the key that was given last

    @property
    def _bits(self) -> int:
        return 8 * (self.map.key_size - 4)

    def _split(self, key: bytes) -> tuple[int, int]:
        """The length, and the data as a number."""
        return int.from_bytes(key[:4], self.order), int.from_bytes(key[4:], "big")

    def _prefix(self, key: bytes) -> tuple[int, int]:
        length, data = self._split(key)
        return length, data >> self._bits - length

    def at(self, key: bytes, cpu: int) -> int | None:
        """See MapState."""
        length, data = self._split(key)
        if length > self._bits:
            return None
        for shorter in range(length, -1, -1):
            found = self._prefixes.get((shorter, data >> self._bits - shorter))
            if found is not None:
                return self.offset(self._index[found])
        return None

    def find(self, key: bytes, cpu: int) -> int | None:
        """See MapState."""
        return self.at(key, cpu)

    def put(self, key: bytes, value: bytes, flags: int, cpu: int) -> int:
        """See MapState."""
        if flags > EXIST or self._split(key)[0] > self._bits:
            return -EINVAL
        prefix = self._prefix(key)
        old = self._prefixes.get(prefix)
        if failed := self._wrong(key if old is None else old, flags):
            return failed
        if old is not None and old != key:  # the same prefix: only the bits behind it are new
            self._index[key] = self._index.pop(old)
        failed = super().put(key, value, ANY, cpu)
        if not failed:
            self._prefixes[prefix] = key
        return failed

    def remove(self, key: bytes) -> int:
        """See MapState."""
        if self._split(key)[0] > self._bits:
            return -EINVAL
        found = self._prefixes.pop(self._prefix(key), None)
        return -ENOENT if found is None else super().remove(found)

    def value(self, key: bytes) -> Value | None:
        """See MapState. Of the prefix itself."""
        if self._split(self._key(key))[0] > self._bits:
            return None
        found = self._prefixes.get(self._prefix(key))
        return None if found is None else self._each(self._index[found])

    def _load(self, saved: Any) -> None:
        super()._load(saved)
        self._prefixes = {self._prefix(key): key for key in self._index}
