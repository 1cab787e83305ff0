"""Maps of maps: an element is the name of a map of the same World; a program gets that map's handle."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bpf.order import Order
from bpf.program import Map
from bpf.spec.errno import E2BIG, EEXIST, EINVAL, ENOENT
from bpf.spec.maps import ANY, EXIST, F_LOCK, NOEXIST
from vm.maps.array import next_index
from vm.maps.base import MapState, Value, checked


class OuterArrayState(MapState):
    """array_of_maps. An element is the name of a map; what a program looks up is that map's handle.

    Its values are no bytes of a region: `member` says which map a key names.
    """

    __slots__ = ("_members",)

    def __init__(self, map_: Map, order: Order) -> None:
        super().__init__(map_, order)
        self._members: dict[bytes, str] = {}

    def member(self, key: bytes) -> str | None:
        """The name of the map at a key."""
        return self._members.get(key)

    def join(self, key: bytes, name: str, flags: int = 0) -> int:
        """Put a map there, by its name: 0 or a negative errno."""
        if failed := self.room(key, flags):
            return failed
        self._members[key] = name
        return 0

    def room(self, key: bytes, flags: int) -> int:
        """0, or what making or changing an element fails with, whichever map it is given."""
        if flags != ANY:
            return -EINVAL
        return -E2BIG if int.from_bytes(key, self.order) >= self.map.max_entries else 0

    def next_key(self, key: bytes | None = None) -> bytes | None:
        """See MapState."""
        return next_index(self, key)

    def remove(self, key: bytes) -> int:
        """See MapState."""
        if int.from_bytes(key, self.order) >= self.map.max_entries:
            return -E2BIG
        return 0 if self._members.pop(key, None) is not None else -ENOENT

    def update(self, key: bytes, value: Value, flags: int = 0) -> None:
        """See MapState; value: the name of a map."""
        assert isinstance(value, bytes)
        if flags & F_LOCK:
            checked(-EINVAL)
        checked(self.join(self._key(key), value.decode(), flags))

    def keys(self) -> Iterable[bytes]:
        """See MapState."""
        return self._members

    def value(self, key: bytes) -> Value | None:
        """See MapState."""
        name = self._members.get(self._key(key))
        return None if name is None else name.encode()

    def _save(self) -> Any:
        return tuple(self._members.items())

    def _load(self, saved: Any) -> None:
        self._members = dict(saved)


class OuterHashState(OuterArrayState):
    """hash_of_maps: as array_of_maps, with any keys."""

    __slots__ = ()

    def room(self, key: bytes, flags: int) -> int:
        """See OuterArrayState."""
        if flags > EXIST:
            return -EINVAL
        if key in self._members:
            return -EEXIST if flags == NOEXIST else 0
        if flags == EXIST:
            return -ENOENT
        return -E2BIG if len(self._members) >= self.map.max_entries else 0

    def remove(self, key: bytes) -> int:
        """See MapState."""
        return 0 if self._members.pop(key, None) is not None else -ENOENT

    def next_key(self, key: bytes | None = None) -> bytes | None:
        """See MapState."""
        return MapState.next_key(self, key)
