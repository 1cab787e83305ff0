"""Map types as data: number, the name that bpftool gives it, the kernel it came in; flags; what may be declared."""

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

NO_PREALLOC, NO_COMMON_LRU, NUMA_NODE, RDONLY, WRONLY = 1, 2, 4, 8, 0x10  # BPF_F_*, at creation
ZERO_SEED, RDONLY_PROG, WRONLY_PROG, MMAPABLE, PRESERVE_ELEMS, INNER_MAP = 0x40, 0x80, 0x100, 0x400, 0x800, 0x1000
ACCESS = RDONLY | WRONLY | RDONLY_PROG | WRONLY_PROG

ANY, NOEXIST, EXIST, F_LOCK = 0, 1, 2, 4  # flags of an update
"""ANY: make or change; NOEXIST: only make; EXIST: only change; F_LOCK: under the value's spin lock."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What Linux accepts when a map of a type is created.

    keys, values  least and greatest size in bytes; a type without keys (or values) has 0 and 0
    flags         those that may be set
    needs         those that must be
    per_cpu       whether there is a value for each CPU
    helpers       those that take such a map
    """

    keys: tuple[int, int]
    values: tuple[int, int]
    helpers: frozenset[str]
    flags: int = NUMA_NODE | ACCESS
    needs: int = 0
    per_cpu: bool = False


LOOKUP, UPDATE, DELETE = "map_lookup_elem", "map_update_elem", "map_delete_elem"
PUSH, POP, PEEK, PERCPU = "map_push_elem", "map_pop_elem", "map_peek_elem", "map_lookup_percpu_elem"
EACH = "for_each_map_elem"
_TRIE = frozenset({LOOKUP, UPDATE, DELETE})
_ELEMENTS = _TRIE | {EACH}
_CPU_ELEMENTS = _ELEMENTS | {PERCPU}
_LOOKUP = frozenset({LOOKUP})
_REDIRECT = frozenset({"redirect_map"})
_QUEUE = frozenset({PUSH, POP, PEEK})
_RING = frozenset({"ringbuf_output", "ringbuf_reserve", "ringbuf_submit", "ringbuf_discard", "ringbuf_query"})
_RING |= {"ringbuf_reserve_dynptr", "ringbuf_submit_dynptr", "ringbuf_discard_dynptr"}
_PERF = frozenset({"perf_event_output", "perf_event_read", "perf_event_read_value"})
_UNDER = frozenset({"current_task_under_cgroup", "skb_under_cgroup"})
TIMERS = frozenset({"array", "hash", "lru_hash"})
"""Kinds whose values may hold a bpf_timer."""

_KMALLOC = 4 << 20  # KMALLOC_MAX_SIZE
_BIG = (1, (1 << 31) - 1)
_PER_CPU = (1, 32 << 10)  # PCPU_MIN_UNIT_SIZE
_WORD, _NONE = (4, 4), (0, 0)
_HASH = NO_PREALLOC | NUMA_NODE | ACCESS | ZERO_SEED
_LRU = _HASH & ~NO_PREALLOC | NO_COMMON_LRU
_KEY = (1, 64 << 10)
_ENTRY = (1, _KMALLOC - (65 << 10))

RULES: Mapping[str, Rules] = MappingProxyType(
    {
        "array": Rules(_WORD, _BIG, _ELEMENTS, NUMA_NODE | ACCESS | MMAPABLE | INNER_MAP),
        "percpu_array": Rules(_WORD, _PER_CPU, _CPU_ELEMENTS, ACCESS, per_cpu=True),
        "hash": Rules(_KEY, _ENTRY, _ELEMENTS, _HASH),
        "percpu_hash": Rules(_KEY, _PER_CPU, _CPU_ELEMENTS, _HASH & ~NUMA_NODE, per_cpu=True),
        "lru_hash": Rules(_KEY, _ENTRY, _ELEMENTS, _LRU),
        "lru_percpu_hash": Rules(_KEY, _PER_CPU, _CPU_ELEMENTS, _LRU & ~NUMA_NODE, per_cpu=True),
        "lpm_trie": Rules((5, 260), _ENTRY, _TRIE, NO_PREALLOC | NUMA_NODE | ACCESS, NO_PREALLOC),
        "queue": Rules(_NONE, _ENTRY, _QUEUE),
        "stack": Rules(_NONE, _ENTRY, _QUEUE),
        "bloom_filter": Rules(_NONE, _ENTRY, frozenset({PUSH, PEEK}), NUMA_NODE | ZERO_SEED | ACCESS),
        "ringbuf": Rules(_NONE, _NONE, _RING, NUMA_NODE),
        "user_ringbuf": Rules(_NONE, _NONE, frozenset({"user_ringbuf_drain"}), NUMA_NODE),
        "perf_event_array": Rules(_WORD, _WORD, _PERF, NUMA_NODE | RDONLY | WRONLY | PRESERVE_ELEMS),
        "cgroup_array": Rules(
            _WORD, _WORD, frozenset({"current_task_under_cgroup", "skb_under_cgroup"}), NUMA_NODE | RDONLY | WRONLY
        ),
        "array_of_maps": Rules(_WORD, _WORD, _LOOKUP, NUMA_NODE | RDONLY | WRONLY),
        "hash_of_maps": Rules(_KEY, _WORD, _LOOKUP, _HASH & ~(RDONLY_PROG | WRONLY_PROG)),
        "devmap": Rules(_WORD, (4, 8), _LOOKUP | _REDIRECT, NUMA_NODE | RDONLY | WRONLY),
        "devmap_hash": Rules(_WORD, (4, 8), _LOOKUP | _REDIRECT, NUMA_NODE | RDONLY | WRONLY),
        "cpumap": Rules(_WORD, (4, 8), _REDIRECT, NUMA_NODE),
    }
)
"""The map types that exist here, besides the arena."""

MAP_HELPERS = frozenset(name for rules in RULES.values() for name in rules.helpers)
"""The helpers that take a map."""
