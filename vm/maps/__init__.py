"""The maps of a World: one file a family."""

from __future__ import annotations

from bpf.order import Order
from bpf.program import Map
from bpf.spec.maps import LOCAL
from vm.maps.arena import ArenaState
from vm.maps.array import ArrayState
from vm.maps.base import Contents, MapState, Value
from vm.maps.hash import HashState, TrieState
from vm.maps.outer import OuterArrayState, OuterHashState
from vm.maps.outside import CgroupArrayState, CpuState, DeviceHashState, DeviceState
from vm.maps.queue import BloomState, QueueState
from vm.maps.ring import PerfState, RingState, UserRingState
from vm.maps.sockets import ReuseportState, SocketArrayState, SocketHashState, XskState
from vm.maps.stack import StackState
from vm.maps.storage import CgroupStorageState, LocalState

__all__ = ["Contents", "MapState", "Order", "Value", "new_map"]

_KINDS: dict[str, type[MapState]] = {
    "array": ArrayState, "percpu_array": ArrayState, "hash": HashState, "percpu_hash": HashState,
    "lru_hash": HashState, "lru_percpu_hash": HashState, "lpm_trie": TrieState, "queue": QueueState,
    "stack": QueueState,
    "bloom_filter": BloomState, "ringbuf": RingState, "user_ringbuf": UserRingState, "perf_event_array": PerfState,
    "array_of_maps": OuterArrayState, "hash_of_maps": OuterHashState, "devmap": DeviceState, "cpumap": CpuState,
    "cgroup_array": CgroupArrayState, "devmap_hash": DeviceHashState, "xskmap": XskState, "sockmap": SocketArrayState,
    "sockhash": SocketHashState, "reuseport_sockarray": ReuseportState, "stack_trace": StackState,
    "cgroup_storage": CgroupStorageState, "percpu_cgroup_storage": CgroupStorageState, "arena": ArenaState,
    **dict.fromkeys(LOCAL, LocalState),
}  # fmt: skip


def new_map(map_: Map, order: Order) -> MapState:
    """A map as it is when it has just been created."""
    return _KINDS[map_.kind](map_, order)
