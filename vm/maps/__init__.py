"""The maps of a World: one file a family."""

from __future__ import annotations

from bpf.program import Map
from vm.maps.array import ArrayState, SparseState
from vm.maps.base import Contents, MapState, Order, Value
from vm.maps.hash import HashState, TrieState
from vm.maps.outer import OuterArrayState, OuterHashState
from vm.maps.queue import BloomState, QueueState
from vm.maps.ring import PerfState, RingState, UserRingState

__all__ = ["Contents", "MapState", "Order", "Value", "new_map"]

_KINDS: dict[str, type[MapState]] = {
    "array": ArrayState, "percpu_array": ArrayState, "hash": HashState, "percpu_hash": HashState,
    "lru_hash": HashState, "lru_percpu_hash": HashState, "lpm_trie": TrieState, "queue": QueueState,
    "stack": QueueState,
    "bloom_filter": BloomState, "ringbuf": RingState, "user_ringbuf": UserRingState, "perf_event_array": PerfState,
    "array_of_maps": OuterArrayState, "hash_of_maps": OuterHashState, "devmap": SparseState, "cpumap": SparseState,
    "cgroup_array": SparseState,
    "devmap_hash": HashState,
}  # fmt: skip


def new_map(map_: Map, order: Order) -> MapState:
    """A map as it is when it has just been created."""
    return _KINDS[map_.kind](map_, order)
