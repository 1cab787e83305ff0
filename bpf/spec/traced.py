"""What tracing programs are given, as data of Linux 6.18: arguments that may be NULL, iterators' contexts.

Found by asking the kernel about every argument of every tracepoint and iterator that it had built in.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_NULLABLE = {
    (0,): (
        "mm_collapse_huge_page_isolate mm_page_alloc mm_page_alloc_zone_locked mm_page_pcpu_drain tmigr_update_events "
        "xfs_blockgc_flush_all xfs_blockgc_start xfs_blockgc_stop xfs_blockgc_worker xfs_defer_add_item "
        "xfs_defer_cancel_item xfs_defer_cancel_list xfs_defer_create_intent xfs_defer_finish_item "
        "xfs_defer_isolate_paused xfs_defer_item_pause xfs_defer_item_unpause xfs_defer_pending_abort "
        "xfs_defer_pending_finish xfs_defer_relog_intent xfs_fs_sync_fs xfs_inodegc_flush xfs_inodegc_push "
        "xfs_inodegc_queue xfs_inodegc_start xfs_inodegc_stop xfs_inodegc_throttle"
    ),
    (0, 1): "tcp_send_reset",
    (1,): (
        "break_lease_block break_lease_noblock break_lease_unblock ext4_mballoc_discard ext4_mballoc_free fcntl_setlk "
        "flock_lock_inode folio_wait_writeback generic_delete_lease hugetlbfs_alloc_inode locks_remove_posix "
        "mm_khugepaged_collapse_file mm_khugepaged_scan_file mm_khugepaged_scan_pmd posix_lock_inode sched_pi_setprio "
        "time_out_leases writeback_dirty_folio xfs_blockgc_free_space xfs_ioc_free_eofblocks"
    ),
    (2,): (
        "fib_table_lookup sched_stick_numa sched_swap_numa tcp_sendmsg_locked xfs_btree_overlapped_query_range "
        "xfs_btree_updkeys"
    ),
    (3,): "kfree_skb qdisc_dequeue",
    (4,): "xfs_map_blocks_alloc xfs_map_blocks_found",
}  # fmt: skip

NULLABLE: Mapping[str, tuple[int, ...]] = MappingProxyType({
    name: arguments for arguments, names in _NULLABLE.items() for name in names.split()
})  # fmt: skip
"""Tracepoint -> the arguments, from 0, that may be NULL although nothing in their type says so."""

_PTR, _TRUSTED, _READ, _BUFFER = "ptr_or_null_", "trusted_ptr_or_null_", "rdonly_buf_or_null", "buf_or_null"

ITERATORS: Mapping[str, Mapping[int, str]] = MappingProxyType({
    "bpf_link": {1: _PTR}, "bpf_map": {1: _TRUSTED}, "bpf_map_elem": {2: _READ, 3: _BUFFER}, "bpf_prog": {1: _PTR},
    "bpf_sk_storage_map": {2: _PTR, 3: _BUFFER}, "cgroup": {1: _TRUSTED}, "dmabuf": {1: _PTR}, "ipv6_route": {1: _PTR},
    "kmem_cache": {1: _TRUSTED}, "ksym": {1: _PTR}, "netlink": {1: _PTR}, "sockmap": {2: _READ, 3: _PTR},
    "task": {1: _TRUSTED}, "task_file": {1: _PTR, 3: _PTR}, "task_vma": {1: _PTR, 2: _PTR}, "tcp": {1: _TRUSTED},
    "udp": {1: _TRUSTED}, "unix": {1: _PTR},
})  # fmt: skip
"""Iterator -> argument -> what the verifier takes it for; others are what their type says, and trusted."""

UNTRUSTED_HOOKS = frozenset(
    f"bpf_lsm_{name}"
    for name in (
        "bpf_map_free", "bpf_prog_free", "file_alloc_security", "file_free_security", "sk_alloc_security",
        "sk_free_security", "task_free",
    )
)  # fmt: skip
"""LSM hooks whose arguments are not whole yet, or no more."""

DISABLED_HOOKS = frozenset(
    f"bpf_lsm_{name}"
    for name in (
        "vm_enough_memory", "inode_need_killpriv", "inode_getsecurity", "inode_listsecurity", "inode_copy_up_xattr",
        "getselfattr", "getprocattr", "setprocattr", "key_getsecurity", "audit_rule_match", "ismaclabel",
    )
)  # fmt: skip
"""LSM hooks that no program can be attached to."""

UNSUPPORTED: Mapping[str, frozenset[str]] = MappingProxyType({"tcp_congestion_ops": frozenset({"get_info"})})
"""Structure of functions -> those that no program can be."""

SLEEPING: Mapping[str, frozenset[str]] = MappingProxyType({"bpf_dummy_ops": frozenset({"test_sleepable"})})
"""Structure of functions -> those that may sleep, where not all may."""

WRITABLE: Mapping[str, tuple[tuple[str, ...], tuple[tuple[str, str], ...]]] = MappingProxyType({
    "packet": (("nf_conn", "nf_conn___init"), (("nf_conn", "mark"),)),
    "tcp_congestion_ops": (("tcp_sock",), (
        ("sock", "sk_pacing_rate"), ("sock", "sk_pacing_status"), ("inet_connection_sock", "icsk_ca_priv"),
        ("inet_connection_sock", "icsk_ack.pending"), ("tcp_sock", "snd_cwnd"), ("tcp_sock", "snd_cwnd_cnt"),
        ("tcp_sock", "snd_cwnd_stamp"), ("tcp_sock", "snd_ssthresh"), ("tcp_sock", "ecn_flags"),
        ("tcp_sock", "app_limited"),
    )),
})  # fmt: skip
"""Who writes ("packet": sched_cls, sched_act, xdp; else a structure of functions) -> the structures that may be
written to, and their members, each by the structure that lies at the same place and has it."""
