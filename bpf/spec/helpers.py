"""Helper functions as data: number, name, how many arguments, since which kernel.

What a helper does is in vm/helpers; here is only what a program may call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Helper:
    """A helper function.

    arguments  how many of R1-R5 it reads
    callback   which of R1-R5 is a function that it calls, 0 for none
    inline     it is compiled code: nobody is called
    types      the program types that may call it; empty: all
    moves      it may move the packet or change its length
    """

    number: int
    name: str
    arguments: int
    since: str
    callback: int = 0
    inline: bool = False
    types: frozenset[str] = frozenset()
    moves: bool = False


def _table(*helpers: Helper) -> Mapping[int, Helper]:
    return MappingProxyType({helper.number: helper for helper in helpers})


_TC = frozenset({"sched_cls", "sched_act"})
_LWT_XMIT = _TC | {"lwt_xmit"}
_LWT = _LWT_XMIT | {"lwt_in", "lwt_out", "lwt_seg6local"}
_FILTERS = frozenset({"socket_filter", "cgroup_skb"})
_SK = frozenset({"sk_skb"})
_XDP = frozenset({"xdp"})
_SEES = _LWT | _FILTERS | _SK

_PACKET = (
    Helper(9, "skb_store_bytes", 5, "4.1", types=_LWT_XMIT | _SK),
    Helper(10, "l3_csum_replace", 5, "4.1", types=_LWT_XMIT),
    Helper(11, "l4_csum_replace", 5, "4.1", types=_LWT_XMIT),
    Helper(13, "clone_redirect", 3, "4.2", types=_LWT_XMIT),
    Helper(17, "get_cgroup_classid", 1, "4.3", types=_LWT),
    Helper(18, "skb_vlan_push", 3, "4.3", types=_TC, moves=True),
    Helper(19, "skb_vlan_pop", 1, "4.3", types=_TC, moves=True),
    Helper(23, "redirect", 2, "4.4", types=_LWT_XMIT | _XDP),
    Helper(24, "get_route_realm", 1, "4.4", types=_LWT),
    Helper(26, "skb_load_bytes", 4, "4.5", types=_SEES),
    Helper(31, "skb_change_proto", 3, "4.8", types=_TC, moves=True),
    Helper(32, "skb_change_type", 2, "4.8", types=_TC),
    Helper(34, "get_hash_recalc", 1, "4.8", types=_LWT),
    Helper(38, "skb_change_tail", 3, "4.9", types=_LWT_XMIT | _SK, moves=True),
    Helper(39, "skb_pull_data", 2, "4.9", types=_LWT | _SK),
    Helper(40, "csum_update", 2, "4.9", types=_LWT_XMIT),
    Helper(41, "set_hash_invalid", 1, "4.9", types=_LWT_XMIT),
    Helper(43, "skb_change_head", 3, "4.10", types=_LWT_XMIT | _SK, moves=True),
    Helper(44, "xdp_adjust_head", 2, "4.10", types=_XDP, moves=True),
    Helper(46, "get_socket_cookie", 1, "4.12", types=_TC | _FILTERS | _SK),
    Helper(47, "get_socket_uid", 1, "4.12", types=_TC | _FILTERS | _SK),
    Helper(48, "set_hash", 2, "4.13", types=_TC),
    Helper(50, "skb_adjust_room", 4, "4.13", types=_TC, moves=True),
    Helper(51, "redirect_map", 3, "4.14", types=_XDP),
    Helper(54, "xdp_adjust_meta", 2, "4.15", types=_XDP, moves=True),
    Helper(65, "xdp_adjust_tail", 2, "4.18", types=_XDP, moves=True),
    Helper(68, "skb_load_bytes_relative", 5, "4.18", types=_TC | _FILTERS),
    Helper(69, "fib_lookup", 4, "4.18", types=_TC | _XDP),
    Helper(79, "skb_cgroup_id", 1, "4.18", types=_TC | {"cgroup_skb"}),
    Helper(97, "skb_ecn_set_ce", 1, "5.1", types=_TC | {"cgroup_skb"}),
    Helper(135, "csum_level", 2, "5.8", types=_LWT_XMIT),
    Helper(152, "redirect_neigh", 4, "5.10", types=_TC),
    Helper(155, "redirect_peer", 2, "5.10", types=_TC),
    Helper(163, "check_mtu", 5, "5.12", types=_TC | _XDP),
    Helper(188, "xdp_get_buff_len", 1, "5.18", types=_XDP),
    Helper(189, "xdp_load_bytes", 4, "5.18", types=_XDP),
    Helper(190, "xdp_store_bytes", 4, "5.18", types=_XDP),
)
"""Helpers that take a packet's context or say where a packet goes (net/core/filter.c)."""

KERNEL = _table(
    Helper(1, "map_lookup_elem", 2, "3.19"),
    Helper(2, "map_update_elem", 4, "3.19"),
    Helper(3, "map_delete_elem", 2, "3.19"),
    Helper(5, "ktime_get_ns", 0, "4.1"),
    Helper(6, "trace_printk", 5, "4.1"),
    Helper(7, "get_prandom_u32", 0, "4.1"),
    Helper(8, "get_smp_processor_id", 0, "4.1"),
    Helper(12, "tail_call", 3, "4.2", inline=True),
    Helper(14, "get_current_pid_tgid", 0, "4.2"),
    Helper(15, "get_current_uid_gid", 0, "4.2"),
    Helper(16, "get_current_comm", 2, "4.2"),
    Helper(25, "perf_event_output", 5, "4.4"),
    Helper(28, "csum_diff", 5, "4.6"),
    Helper(87, "map_push_elem", 3, "4.20"),
    Helper(88, "map_pop_elem", 2, "4.20"),
    Helper(89, "map_peek_elem", 2, "4.20"),
    Helper(93, "spin_lock", 1, "5.1"),
    Helper(94, "spin_unlock", 1, "5.1"),
    Helper(125, "ktime_get_boot_ns", 0, "5.8"),
    Helper(130, "ringbuf_output", 4, "5.8"),
    Helper(131, "ringbuf_reserve", 3, "5.8"),
    Helper(132, "ringbuf_submit", 2, "5.8"),
    Helper(133, "ringbuf_discard", 2, "5.8"),
    Helper(134, "ringbuf_query", 2, "5.8"),
    Helper(181, "loop", 4, "5.17", callback=2),
    Helper(195, "map_lookup_percpu_elem", 3, "5.19"),
    *_PACKET,
)
"""The kernel's helpers that exist here, by the kernel's number."""


def of_type(name: str) -> Mapping[int, Helper]:
    """The kernel's helpers that programs of a type may call; "" for programs without one."""
    return _table(*(helper for helper in KERNEL.values() if not helper.types or name in helper.types))


SUITE = _table(Helper(5, "unwind", 1, ""))
"""The public conformance suite's helpers: "unwind" returns R1, and ends the whole run with R0 = 0 when that is 0."""
