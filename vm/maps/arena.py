"""An arena: pages that the program and a process share. It has no elements, only memory."""

from __future__ import annotations

from typing import Any

from bpf.order import Order
from bpf.program import Map
from bpf.spec.errno import EINVAL, EOPNOTSUPP
from vm.maps.base import Contents, MapState


class ArenaState(MapState):
    """arena. Its pages are there from the start; those that are zero at the end take no room in a saved state."""

    __slots__ = ()
    NO_LOOKUP, NO_NEXT = -EINVAL, -EOPNOTSUPP

    def __init__(self, map_: Map, order: Order) -> None:
        super().__init__(map_, order)
        self.values[: len(map_.initial)] = map_.initial

    def contents(self) -> Contents:
        """See MapState: nothing but memory, which an Outcome has among its regions."""
        return ()

    def save(self) -> tuple[Any, ...]:
        """See MapState."""
        return bytes(self.store).rstrip(b"\0"), None

    def load(self, saved: tuple[Any, ...]) -> None:
        """See MapState."""
        self.values[:] = saved[0].ljust(len(self.values), b"\0")
        self.store = self.values
