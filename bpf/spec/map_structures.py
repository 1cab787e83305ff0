"""The kernel's structure of a map by the map's type, as a program reads it that looks into a map itself."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_BY_STRUCTURE = {
    "bpf_htab": "hash percpu_hash lru_hash lru_percpu_hash hash_of_maps",
    "bpf_array": "array prog_array perf_event_array percpu_array cgroup_array array_of_maps",
    "bpf_stack_map": "stack_trace", "lpm_trie": "lpm_trie", "bpf_dtab": "devmap devmap_hash", "bpf_stab": "sockmap",
    "bpf_cpu_map": "cpumap", "xsk_map": "xskmap", "bpf_shtab": "sockhash",
    "bpf_cgroup_storage_map": "cgroup_storage percpu_cgroup_storage", "reuseport_array": "reuseport_sockarray",
    "bpf_queue_stack": "queue stack", "bpf_ringbuf_map": "ringbuf user_ringbuf", "bpf_bloom_filter": "bloom_filter",
    "bpf_local_storage_map": "sk_storage inode_storage task_storage cgrp_storage", "bpf_arena": "arena",
    "bpf_struct_ops_map": "struct_ops",
}  # fmt: skip

STRUCTURES: Mapping[str, str] = MappingProxyType({
    kind: name for name, kinds in _BY_STRUCTURE.items() for kind in kinds.split()
})  # fmt: skip
"""Map type -> name of the structure."""
