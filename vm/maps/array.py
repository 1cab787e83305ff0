"""Arrays, of one value or one for each CPU; and arrays of which elements may be missing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bpf.program import Map
from bpf.spec.maps import EXIST, F_LOCK, NOEXIST
from vm.maps.base import E2BIG, EEXIST, EINVAL, Contents, MapState, Order, Value


class ArrayState(MapState):
    """array, percpu_array. Its canonical contents leave out elements that are all zero."""

    __slots__ = ()

    def __init__(self, map_: Map, order: Order) -> None:
        super().__init__(map_, order)
        self.values[: len(map_.initial)] = map_.initial

    def _index(self, key: bytes) -> int:
        return int.from_bytes(key, self.order)

    def at(self, key: bytes, cpu: int) -> int | None:
        """See MapState."""
        index = self._index(key)
        return self.offset(index, cpu) if index < self.map.max_entries else None

    def put(self, key: bytes, value: bytes, flags: int, cpu: int) -> int:
        """See MapState."""
        mode, index = flags & ~F_LOCK, self._index(key)
        if mode > EXIST:
            return EINVAL
        if index >= self.map.max_entries:
            return E2BIG
        if mode == NOEXIST:
            return EEXIST
        if failed := self._flags(flags):
            return failed
        self._set(index, value, cpu)
        return 0

    def remove(self, key: bytes) -> int:
        """See MapState."""
        return EINVAL

    def keys(self) -> Iterable[bytes]:
        """See MapState."""
        return (index.to_bytes(4, self.order) for index in range(self.map.max_entries))

    def value(self, key: bytes) -> Value | None:
        """See MapState."""
        index = self._index(self._key(key))
        return self._each(index) if index < self.map.max_entries else None

    def contents(self) -> Contents:
        """See MapState."""
        if not any(bytes(self.store)):
            return {}
        found = {key: value for key in self.keys() if (value := self.value(key)) is not None}
        return {key: value for key, value in found.items() if any(b"".join(value) if self.per_cpu else value)}  # type: ignore[arg-type]


class SparseState(ArrayState):
    """devmap, cpumap, cgroup_array: elements may be missing. Only Python's side changes it."""

    __slots__ = ("_there",)

    def __init__(self, map_: Map, order: Order) -> None:
        super().__init__(map_, order)
        self._there: set[int] = set()

    def at(self, key: bytes, cpu: int) -> int | None:
        """See MapState."""
        return super().at(key, cpu) if self._index(key) in self._there else None

    def put(self, key: bytes, value: bytes, flags: int, cpu: int) -> int:
        """See MapState."""
        if flags > EXIST:
            return EINVAL
        failed = super().put(key, value, flags, cpu)
        if not failed:
            self._there.add(self._index(key))
        return failed

    def remove(self, key: bytes) -> int:
        """See MapState. Linux removes what is not there, too."""
        if self._index(key) >= self.map.max_entries:
            return EINVAL
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
