"""Maps without keys: queue, stack, bloom_filter. No program has a pointer into one, so the values are kept here."""

from __future__ import annotations

from typing import Any

from bpf.order import Order
from bpf.program import Map
from bpf.spec.errno import E2BIG, EINVAL, ENOENT, EOPNOTSUPP
from bpf.spec.maps import ANY, EXIST, NOEXIST
from vm.maps.base import Contents, MapState


class QueueState(MapState):
    """queue and stack. Contents: the values, the oldest first."""

    __slots__ = ("_held",)
    NO_NEXT = -EINVAL

    def __init__(self, map_: Map, order: Order) -> None:
        super().__init__(map_, order)
        self._held: list[bytes] = []

    @property
    def _next(self) -> int:
        return 0 if self.map.kind == "queue" else -1

    def push(self, value: bytes, flags: int) -> int:
        """See MapState. BPF_EXIST: the oldest makes room."""
        if flags & NOEXIST or flags > EXIST:
            # Linux tests NOEXIST as a bit, so that 3 is refused for it and not for being too great.
            return -EINVAL
        if len(self._held) >= self.map.max_entries:
            if not flags & EXIST:
                return -E2BIG
            del self._held[0]
        self._held.append(value)
        return 0

    def pop(self) -> bytes | int:
        """See MapState."""
        return self._held.pop(self._next) if self._held else -ENOENT

    def peek(self, value: bytes = b"") -> bytes | int:
        """See MapState."""
        return self._held[self._next] if self._held else -ENOENT

    def remove(self, key: bytes) -> int:
        """See MapState."""
        return -EINVAL

    def contents(self) -> Contents:
        """See MapState."""
        return tuple(self._held)

    def lookup(self, key: bytes, cpu: int = 0) -> memoryview | None:
        """See MapState: what pop would take."""
        found = self.peek()
        return None if isinstance(found, int) else memoryview(found)

    def _save(self) -> Any:
        return tuple(self._held)

    def _load(self, saved: Any) -> None:
        self._held = list(saved)


class BloomState(MapState):
    """bloom_filter: a set of values, without the chance hits that Linux's has. Contents: the values, sorted."""

    __slots__ = ("_held",)
    NO_NEXT = -EOPNOTSUPP

    def __init__(self, map_: Map, order: Order) -> None:
        super().__init__(map_, order)
        self._held: set[bytes] = set()

    def push(self, value: bytes, flags: int) -> int:
        """See MapState."""
        if flags != ANY:
            return -EINVAL
        self._held.add(value)
        return 0

    def peek(self, value: bytes) -> bytes | int:
        """See MapState."""
        return value if value in self._held else -ENOENT

    def contents(self) -> Contents:
        """See MapState."""
        return tuple(sorted(self._held))

    def _save(self) -> Any:
        return tuple(sorted(self._held))

    def _load(self, saved: Any) -> None:
        self._held = set(saved)
