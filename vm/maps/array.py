"""Arrays, of one value or one for each CPU."""

from __future__ import annotations

from collections.abc import Iterable

from bpf.order import Order
from bpf.program import Map
from bpf.spec.errno import E2BIG, EEXIST, EINVAL
from bpf.spec.maps import EXIST, F_LOCK, NOEXIST
from vm.maps.base import Contents, MapState, Value


def next_index(state: MapState, key: bytes | None) -> bytes | None:
    """The index after one, whether there is something at it or not; None after the last."""
    at = -1 if key is None else int.from_bytes(key, state.order)
    after = at + 1 if at < state.map.max_entries else 0
    return after.to_bytes(4, state.order) if after < state.map.max_entries else None


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
            return -EINVAL
        if index >= self.map.max_entries:
            return -E2BIG
        if mode == NOEXIST:
            return -EEXIST
        if failed := self._flags(flags):
            return failed
        self._set(index, value, cpu)
        return 0

    def remove(self, key: bytes) -> int:
        """See MapState."""
        return -EINVAL

    def keys(self) -> Iterable[bytes]:
        """See MapState."""
        return (index.to_bytes(4, self.order) for index in range(self.map.max_entries))

    def next_key(self, key: bytes | None = None) -> bytes | None:
        """See MapState."""
        return next_index(self, key)

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
