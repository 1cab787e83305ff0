"""Map types as data: number, the name that bpftool gives it, the kernel it came in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class MapType:
    """A map type. number: BPF_MAP_TYPE_*."""

    number: int
    name: str
    since: str


_TYPES = (
    ("hash", "3.19"), ("array", "3.19"), ("prog_array", "4.2"), ("perf_event_array", "4.3"), ("percpu_hash", "4.6"),
    ("percpu_array", "4.6"), ("stack_trace", "4.6"), ("cgroup_array", "4.8"), ("lru_hash", "4.10"),
    ("lru_percpu_hash", "4.10"), ("lpm_trie", "4.11"), ("array_of_maps", "4.12"), ("hash_of_maps", "4.12"),
    ("devmap", "4.14"), ("sockmap", "4.14"), ("cpumap", "4.15"), ("xskmap", "4.18"), ("sockhash", "4.18"),
    ("cgroup_storage", "4.19"), ("reuseport_sockarray", "4.19"), ("percpu_cgroup_storage", "4.20"), ("queue", "4.20"),
    ("stack", "4.20"), ("sk_storage", "5.2"), ("devmap_hash", "5.4"), ("struct_ops", "5.6"), ("ringbuf", "5.8"),
    ("inode_storage", "5.10"), ("task_storage", "5.11"), ("bloom_filter", "5.16"), ("user_ringbuf", "6.1"),
    ("cgrp_storage", "6.2"), ("arena", "6.9"),
)  # fmt: skip

MAP_TYPES: Mapping[str, MapType] = MappingProxyType(
    {name: MapType(number, name, since) for number, (name, since) in enumerate(_TYPES, 1)}
)
"""Every map type of Linux 6.12 by name, in the order of their numbers."""

BY_NUMBER: Mapping[int, MapType] = MappingProxyType({map_type.number: map_type for map_type in MAP_TYPES.values()})
