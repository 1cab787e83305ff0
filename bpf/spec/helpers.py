"""Helper functions as data: number, name, how many arguments, since which kernel.

What a helper does is in vm/helpers; who may call it is in callers.py, what it takes in signatures.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bpf.spec.callers import allowed


@dataclass(frozen=True, slots=True)
class Helper:
    """A helper function.

    arguments  how many of R1-R5 it reads
    callback   which of R1-R5 is a function that it calls, 0 for none
    inline     it is compiled code: nobody is called
    later      what it calls runs after the program
    lends      it shows that function bytes that are no program's
    typed      it acts on the context of programs of a type, or says where a packet goes: others have no use for it
    moves      it may move the packet or change its length
    gives      the structure of the kernel's that it returns a pointer to; "?" for one that only the program knows
    keeps      it needs the room where sockets are, or what a run keeps beside its packet
    """

    number: int
    name: str
    arguments: int
    since: str
    callback: int = 0
    inline: bool = False
    later: bool = False
    lends: bool = False
    typed: bool = False
    moves: bool = False
    gives: str = ""
    keeps: bool = False


def _table(*helpers: Helper) -> Mapping[int, Helper]:
    return MappingProxyType({helper.number: helper for helper in sorted(helpers, key=lambda helper: helper.number)})


_PACKET = (
    Helper(9, "skb_store_bytes", 5, "4.1", typed=True),
    Helper(10, "l3_csum_replace", 5, "4.1", typed=True),
    Helper(11, "l4_csum_replace", 5, "4.1", typed=True),
    Helper(13, "clone_redirect", 3, "4.2", typed=True),
    Helper(17, "get_cgroup_classid", 1, "4.3", typed=True),
    Helper(18, "skb_vlan_push", 3, "4.3", typed=True, moves=True),
    Helper(19, "skb_vlan_pop", 1, "4.3", typed=True, moves=True),
    Helper(23, "redirect", 2, "4.4", typed=True),
    Helper(24, "get_route_realm", 1, "4.4", typed=True),
    Helper(26, "skb_load_bytes", 4, "4.5", typed=True),
    Helper(31, "skb_change_proto", 3, "4.8", typed=True, moves=True),
    Helper(32, "skb_change_type", 2, "4.8", typed=True),
    Helper(34, "get_hash_recalc", 1, "4.8", typed=True),
    Helper(38, "skb_change_tail", 3, "4.9", typed=True, moves=True),
    Helper(39, "skb_pull_data", 2, "4.9", typed=True),
    Helper(40, "csum_update", 2, "4.9", typed=True),
    Helper(41, "set_hash_invalid", 1, "4.9", typed=True),
    Helper(43, "skb_change_head", 3, "4.10", typed=True, moves=True),
    Helper(44, "xdp_adjust_head", 2, "4.10", typed=True, moves=True),
    Helper(46, "get_socket_cookie", 1, "4.12", typed=True, keeps=True),
    Helper(47, "get_socket_uid", 1, "4.12", typed=True),
    Helper(48, "set_hash", 2, "4.13", typed=True),
    Helper(50, "skb_adjust_room", 4, "4.13", typed=True, moves=True, keeps=True),
    Helper(51, "redirect_map", 3, "4.14", typed=True),
    Helper(54, "xdp_adjust_meta", 2, "4.15", typed=True, moves=True),
    Helper(65, "xdp_adjust_tail", 2, "4.18", typed=True, moves=True),
    Helper(68, "skb_load_bytes_relative", 5, "4.18", typed=True),
    Helper(69, "fib_lookup", 4, "4.18", typed=True),
    Helper(79, "skb_cgroup_id", 1, "4.18", typed=True),
    Helper(97, "skb_ecn_set_ce", 1, "5.1", typed=True),
    Helper(135, "csum_level", 2, "5.8", typed=True),
    Helper(152, "redirect_neigh", 4, "5.10", typed=True),
    Helper(155, "redirect_peer", 2, "5.10", typed=True),
    Helper(163, "check_mtu", 5, "5.12", typed=True),
    Helper(188, "xdp_get_buff_len", 1, "5.18", typed=True),
    Helper(189, "xdp_load_bytes", 4, "5.18", typed=True),
    Helper(190, "xdp_store_bytes", 4, "5.18", typed=True),
)
"""Helpers that take a packet's context or say where a packet goes (net/core/filter.c)."""

_SOCKETS = (
    Helper(52, "sk_redirect_map", 4, "4.14", typed=True),
    Helper(53, "sock_map_update", 4, "4.14", typed=True),
    Helper(60, "msg_redirect_map", 4, "4.17", typed=True),
    Helper(70, "sock_hash_update", 4, "4.18", typed=True),
    Helper(71, "msg_redirect_hash", 4, "4.18", typed=True),
    Helper(72, "sk_redirect_hash", 4, "4.18", typed=True),
    Helper(81, "get_local_storage", 2, "4.19"),
    Helper(82, "sk_select_reuseport", 4, "4.19", typed=True),
    Helper(107, "sk_storage_get", 4, "5.2", keeps=True),
    Helper(108, "sk_storage_delete", 2, "5.2", keeps=True),
    Helper(145, "inode_storage_get", 4, "5.10"),
    Helper(146, "inode_storage_delete", 2, "5.10"),
)
"""Helpers of maps whose keys or values are objects of the kernel."""

_TRACING = (
    Helper(126, "seq_printf", 5, "5.8", typed=True),
    Helper(127, "seq_write", 3, "5.8", typed=True),
    Helper(153, "per_cpu_ptr", 2, "5.10", gives="?"),
    Helper(154, "this_cpu_ptr", 1, "5.10", gives="?"),
    Helper(183, "get_func_arg", 3, "5.17", typed=True),
    Helper(184, "get_func_ret", 2, "5.17", typed=True),
    Helper(185, "get_func_arg_cnt", 1, "5.17", typed=True),
)
_KEEPING = (
    Helper(20, "skb_get_tunnel_key", 4, "4.3", typed=True, keeps=True),
    Helper(21, "skb_set_tunnel_key", 4, "4.3", typed=True, keeps=True),
    Helper(29, "skb_get_tunnel_opt", 3, "4.6", typed=True, keeps=True),
    Helper(30, "skb_set_tunnel_opt", 3, "4.6", typed=True, keeps=True),
    Helper(33, "skb_under_cgroup", 3, "4.8", typed=True),
    Helper(49, "setsockopt", 5, "4.13", typed=True, keeps=True),
    Helper(57, "getsockopt", 5, "4.15", typed=True, keeps=True),
    Helper(59, "sock_ops_cb_flags_set", 2, "4.16", typed=True),
    Helper(64, "bind", 3, "4.17", typed=True, keeps=True),
    Helper(61, "msg_apply_bytes", 2, "4.17", typed=True),
    Helper(62, "msg_cork_bytes", 2, "4.17", typed=True),
    Helper(63, "msg_pull_data", 4, "4.17", typed=True),
    Helper(66, "skb_get_xfrm_state", 5, "4.18", typed=True),
    Helper(73, "lwt_push_encap", 4, "4.18", typed=True, moves=True),
    Helper(83, "skb_ancestor_cgroup_id", 2, "4.19", typed=True),
    Helper(84, "sk_lookup_tcp", 5, "4.20", typed=True, keeps=True),
    Helper(85, "sk_lookup_udp", 5, "4.20", typed=True, keeps=True),
    Helper(86, "sk_release", 1, "4.20", typed=True, keeps=True),
    Helper(95, "sk_fullsock", 1, "5.1", typed=True, keeps=True),
    Helper(96, "tcp_sock", 1, "5.1", typed=True, keeps=True),
    Helper(98, "get_listener_sock", 1, "5.1", typed=True, keeps=True),
    Helper(99, "skc_lookup_tcp", 5, "5.2", typed=True, keeps=True),
    Helper(100, "tcp_check_syncookie", 5, "5.2", typed=True, keeps=True),
    Helper(101, "sysctl_get_name", 4, "5.2", typed=True, keeps=True),
    Helper(102, "sysctl_get_current_value", 3, "5.2", typed=True, keeps=True),
    Helper(103, "sysctl_get_new_value", 3, "5.2", typed=True, keeps=True),
    Helper(104, "sysctl_set_new_value", 3, "5.2", typed=True, keeps=True),
    Helper(110, "tcp_gen_syncookie", 5, "5.4", typed=True, keeps=True),
    Helper(124, "sk_assign", 3, "5.7", typed=True, keeps=True),
    Helper(128, "sk_cgroup_id", 1, "5.8", typed=True, keeps=True),
    Helper(129, "sk_ancestor_cgroup_id", 2, "5.8", typed=True, keeps=True),
    Helper(142, "load_hdr_opt", 4, "5.10", typed=True, keeps=True),
    Helper(143, "store_hdr_opt", 4, "5.10", typed=True, keeps=True, moves=True),
    Helper(144, "reserve_hdr_opt", 3, "5.10", typed=True, keeps=True),
    Helper(151, "skb_cgroup_classid", 1, "5.10", typed=True),
    Helper(186, "get_retval", 0, "5.18", typed=True, keeps=True),
    Helper(187, "set_retval", 1, "5.18", typed=True, keeps=True),
    Helper(192, "skb_set_tstamp", 3, "5.18", typed=True),
)
"""Helpers of tunnels and sockets (vm/kept.py)."""

KERNEL = _table(
    Helper(1, "map_lookup_elem", 2, "3.19"),
    Helper(2, "map_update_elem", 4, "3.19"),
    Helper(3, "map_delete_elem", 2, "3.19"),
    Helper(4, "probe_read", 3, "4.1"),
    Helper(5, "ktime_get_ns", 0, "4.1"),
    Helper(6, "trace_printk", 5, "4.1"),
    Helper(7, "get_prandom_u32", 0, "4.1"),
    Helper(8, "get_smp_processor_id", 0, "4.1"),
    Helper(12, "tail_call", 3, "4.2", inline=True),
    Helper(14, "get_current_pid_tgid", 0, "4.2"),
    Helper(15, "get_current_uid_gid", 0, "4.2"),
    Helper(16, "get_current_comm", 2, "4.2"),
    Helper(22, "perf_event_read", 2, "4.3"),
    Helper(25, "perf_event_output", 5, "4.4"),
    Helper(28, "csum_diff", 5, "4.6"),
    Helper(35, "get_current_task", 0, "4.8"),
    Helper(36, "probe_write_user", 3, "4.8"),
    Helper(37, "current_task_under_cgroup", 2, "4.9"),
    Helper(42, "get_numa_node_id", 0, "4.10"),
    Helper(45, "probe_read_str", 3, "4.11"),
    Helper(55, "perf_event_read_value", 4, "4.15"),
    Helper(58, "override_return", 2, "4.16"),
    Helper(80, "get_current_cgroup_id", 0, "4.18"),
    Helper(87, "map_push_elem", 3, "4.20"),
    Helper(88, "map_pop_elem", 2, "4.20"),
    Helper(89, "map_peek_elem", 2, "4.20"),
    Helper(93, "spin_lock", 1, "5.1"),
    Helper(94, "spin_unlock", 1, "5.1"),
    Helper(105, "strtol", 4, "5.2"),
    Helper(106, "strtoul", 4, "5.2"),
    Helper(109, "send_signal", 1, "5.3"),
    Helper(112, "probe_read_user", 3, "5.5"),
    Helper(113, "probe_read_kernel", 3, "5.5"),
    Helper(114, "probe_read_user_str", 3, "5.5"),
    Helper(115, "probe_read_kernel_str", 3, "5.5"),
    Helper(117, "send_signal_thread", 1, "5.6"),
    Helper(118, "jiffies64", 0, "5.6"),
    Helper(120, "get_ns_current_pid_tgid", 4, "5.7"),
    Helper(122, "get_netns_cookie", 1, "5.7"),
    Helper(123, "get_current_ancestor_cgroup_id", 1, "5.7"),
    Helper(125, "ktime_get_boot_ns", 0, "5.8"),
    Helper(130, "ringbuf_output", 4, "5.8"),
    Helper(131, "ringbuf_reserve", 3, "5.8"),
    Helper(132, "ringbuf_submit", 2, "5.8"),
    Helper(133, "ringbuf_discard", 2, "5.8"),
    Helper(134, "ringbuf_query", 2, "5.8"),
    Helper(148, "copy_from_user", 3, "5.10"),
    Helper(158, "get_current_task_btf", 0, "5.11", gives="task_struct"),
    Helper(160, "ktime_get_coarse_ns", 0, "5.11"),
    Helper(164, "for_each_map_elem", 4, "5.13", callback=2, lends=True),
    Helper(165, "snprintf", 5, "5.13"),
    Helper(169, "timer_init", 3, "5.15"),
    Helper(170, "timer_set_callback", 2, "5.15", callback=2, later=True, lends=True),
    Helper(171, "timer_start", 3, "5.15"),
    Helper(172, "timer_cancel", 1, "5.15"),
    Helper(174, "get_attach_cookie", 1, "5.15"),
    Helper(176, "get_branch_snapshot", 3, "5.16"),
    Helper(177, "trace_vprintk", 4, "5.16"),
    Helper(179, "kallsyms_lookup_name", 4, "5.16"),
    Helper(181, "loop", 4, "5.17", callback=2),
    Helper(182, "strncmp", 3, "5.17"),
    Helper(191, "copy_from_user_task", 5, "5.18"),
    Helper(194, "kptr_xchg", 2, "5.19"),
    Helper(195, "map_lookup_percpu_elem", 3, "5.19"),
    Helper(197, "dynptr_from_mem", 4, "5.19"),
    Helper(198, "ringbuf_reserve_dynptr", 4, "5.19"),
    Helper(199, "ringbuf_submit_dynptr", 2, "5.19"),
    Helper(200, "ringbuf_discard_dynptr", 2, "5.19"),
    Helper(201, "dynptr_read", 5, "5.19"),
    Helper(202, "dynptr_write", 5, "5.19"),
    Helper(203, "dynptr_data", 3, "5.19"),
    Helper(204, "tcp_raw_gen_syncookie_ipv4", 3, "6.0"),
    Helper(205, "tcp_raw_gen_syncookie_ipv6", 3, "6.0"),
    Helper(206, "tcp_raw_check_syncookie_ipv4", 2, "6.0"),
    Helper(207, "tcp_raw_check_syncookie_ipv6", 2, "6.0"),
    Helper(208, "ktime_get_tai_ns", 0, "6.1"),
    Helper(209, "user_ringbuf_drain", 4, "6.1", callback=2, lends=True),
    Helper(27, "get_stackid", 3, "4.6"),
    Helper(67, "get_stack", 4, "4.18"),
    Helper(141, "get_task_stack", 4, "5.9"),
    Helper(156, "task_storage_get", 4, "5.11"),
    Helper(157, "task_storage_delete", 2, "5.11"),
    Helper(210, "cgrp_storage_get", 4, "6.2"),
    Helper(211, "cgrp_storage_delete", 2, "6.2"),
    *_PACKET,
    *_SOCKETS,
    *_TRACING,
    *_KEEPING,
)
"""The kernel's helpers that exist here, by the kernel's number."""


def of_type(name: str) -> Mapping[int, Helper]:
    """The kernel's helpers that programs of a type may call; "" for programs without one."""
    numbers = allowed(name) if name else {number for number, helper in KERNEL.items() if not helper.typed}
    return _table(*(helper for number, helper in KERNEL.items() if number in numbers))


SUITE = _table(Helper(5, "unwind", 1, ""))
"""The public conformance suite's helpers: "unwind" returns R1, and ends the whole run with R0 = 0 when that is 0."""
