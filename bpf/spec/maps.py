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
STACK_BUILD_ID, CLONE, SEGV_ON_FAULT, NO_USER_CONV = 0x20, 0x200, 0x2_0000, 0x4_0000
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

LOCAL = {"sk_storage": "socket", "inode_storage": "inode", "task_storage": "task", "cgrp_storage": "cgroup"}
"""Storage kind -> the objects of the kernel that it has values for."""

PER_CGROUP = frozenset({"cgroup_storage", "percpu_cgroup_storage"})
"""Storage of the cgroup that a program is attached to."""

LOCKS = frozenset({"array", "hash", "cgroup_storage", *LOCAL})
"""Kinds whose values may hold a bpf_spin_lock."""

STORED = 64
"""How many elements a storage has room for here, whose max_entries is 0."""

SOCKETS = frozenset({"sockmap", "sockhash", "reuseport_sockarray", "xskmap"})
"""Kinds whose values are sockets."""

_KMALLOC = 4 << 20  # KMALLOC_MAX_SIZE
HASHED = _KMALLOC - 48 - 1
"""Bytes that key and value of a hash may have together: less than an allocation, without struct htab_elem."""

_BIG = (1, (1 << 31) - 1)
_PER_CPU = (1, 32 << 10)  # PCPU_MIN_UNIT_SIZE
_WORD, _NONE = (4, 4), (0, 0)
_LOCAL = (1, 0xFFFF - 128)  # BPF_LOCAL_STORAGE_MAX_VALUE_SIZE: 16 bits, without struct bpf_local_storage_elem
_HASH = NO_PREALLOC | NUMA_NODE | ACCESS | ZERO_SEED
_LRU = _HASH & ~NO_PREALLOC | NO_COMMON_LRU
_KEY = _ENTRY = (1, HASHED - 1)
_HELD = (1, _KMALLOC)
_OUTSIDE = NUMA_NODE | RDONLY | WRONLY
_CGROUP = frozenset({"get_local_storage"})
_SOCKMAP = frozenset({LOOKUP, UPDATE, DELETE, "sk_select_reuseport"})

RULES: Mapping[str, Rules] = MappingProxyType(
    {
        "array": Rules(_WORD, _BIG, _ELEMENTS, NUMA_NODE | ACCESS | MMAPABLE | INNER_MAP),
        "percpu_array": Rules(_WORD, _PER_CPU, _CPU_ELEMENTS, ACCESS, per_cpu=True),
        "hash": Rules(_KEY, _ENTRY, _ELEMENTS, _HASH),
        "percpu_hash": Rules(_KEY, _PER_CPU, _CPU_ELEMENTS, _HASH & ~NUMA_NODE, per_cpu=True),
        "lru_hash": Rules(_KEY, _ENTRY, _ELEMENTS, _LRU),
        "lru_percpu_hash": Rules(_KEY, _PER_CPU, _CPU_ELEMENTS, _LRU & ~NUMA_NODE, per_cpu=True),
        "lpm_trie": Rules((5, 260), (1, _KMALLOC - 280), _TRIE, NO_PREALLOC | NUMA_NODE | ACCESS, NO_PREALLOC),
        "queue": Rules(_NONE, _HELD, _QUEUE),
        "stack": Rules(_NONE, _HELD, _QUEUE),
        "bloom_filter": Rules(_NONE, _HELD, frozenset({PUSH, PEEK}), NUMA_NODE | ZERO_SEED | ACCESS),
        "ringbuf": Rules(_NONE, _NONE, _RING, NUMA_NODE),
        "user_ringbuf": Rules(_NONE, _NONE, frozenset({"user_ringbuf_drain"}), NUMA_NODE),
        "perf_event_array": Rules(_WORD, _WORD, _PERF, NUMA_NODE | RDONLY | WRONLY | PRESERVE_ELEMS),
        "cgroup_array": Rules(
            _WORD, _WORD, frozenset({"current_task_under_cgroup", "skb_under_cgroup"}), NUMA_NODE | RDONLY | WRONLY
        ),
        "array_of_maps": Rules(_WORD, _WORD, _LOOKUP, NUMA_NODE | RDONLY | WRONLY),
        "hash_of_maps": Rules(_KEY, _WORD, _LOOKUP, _HASH),
        "devmap": Rules(_WORD, (4, 8), _LOOKUP | _REDIRECT, NUMA_NODE | RDONLY | WRONLY),
        "devmap_hash": Rules(_WORD, (4, 8), _LOOKUP | _REDIRECT, NUMA_NODE | RDONLY | WRONLY),
        "cpumap": Rules(_WORD, (4, 8), _REDIRECT, NUMA_NODE),
        "xskmap": Rules(_WORD, _WORD, _LOOKUP | _REDIRECT, _OUTSIDE),
        "sockmap": Rules(
            _WORD, (4, 8), _SOCKMAP | {"sk_redirect_map", "msg_redirect_map", "sock_map_update"}, _OUTSIDE
        ),
        "sockhash": Rules(
            (1, 512), (4, 8), _SOCKMAP | {"sk_redirect_hash", "msg_redirect_hash", "sock_hash_update"}, _OUTSIDE
        ),
        "reuseport_sockarray": Rules(_WORD, (4, 8), frozenset({"sk_select_reuseport"})),
        **{
            kind: Rules(_WORD, _LOCAL, frozenset({kind + "_get", kind + "_delete"}), NO_PREALLOC | CLONE, NO_PREALLOC)
            for kind in LOCAL
        },
        "cgroup_storage": Rules((8, 16), _LOCAL, _CGROUP),
        "percpu_cgroup_storage": Rules((8, 16), _PER_CPU, _CGROUP, per_cpu=True),
        "stack_trace": Rules(_WORD, (8, 1016), frozenset({"get_stackid"}), _OUTSIDE | STACK_BUILD_ID),
        "arena": Rules(_NONE, _NONE, frozenset(), MMAPABLE | SEGV_ON_FAULT | NO_USER_CONV, MMAPABLE),
    }
)
"""The map types that exist here, besides the prog array."""

_TABLES = ("hash", "percpu_hash", "lru_hash", "lru_percpu_hash")
TAKEN_FROM = frozenset({*_TABLES, "queue", "stack", "stack_trace"})
"""Kinds of which bpf() looks an element up and deletes it in one call."""

BATCHES: Mapping[str, frozenset[str]] = MappingProxyType({
    **dict.fromkeys((*_TABLES, "hash_of_maps"), frozenset({"lookup", "lookup_and_delete", "update", "delete"})),
    **dict.fromkeys(("array", "percpu_array", "array_of_maps"), frozenset({"lookup", "update"})),
    "lpm_trie": frozenset({"lookup", "update", "delete"}),
})  # fmt: skip
"""Kind -> what bpf() does with many elements in one call."""

BUCKETS = frozenset({*_TABLES, "hash_of_maps"})
"""Kinds that are gone through by buckets, and not by keys."""

MAP_HELPERS = frozenset(name for rules in RULES.values() for name in rules.helpers)
"""The helpers that take a map."""
