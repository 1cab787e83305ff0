"""Which program types may call which helper, and what it takes to: sets as the kernel has them, each growing another.

Those of Linux 6.18 with everything configured (bpf_base_func_proto and the get_func_proto of each type);
`python -m tests.probing` compares them with the live kernel.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

from bpf.spec.program_types import PROGRAM_TYPES
from bpf.spec.prototypes import PROTOTYPES

_TABLE = """
base: map_lookup_elem map_update_elem map_delete_elem ktime_get_ns get_prandom_u32 get_smp_processor_id tail_call
    get_current_pid_tgid get_current_uid_gid get_numa_node_id map_push_elem map_pop_elem map_peek_elem strtol strtoul
    get_ns_current_pid_tgid ktime_get_boot_ns ringbuf_output ringbuf_reserve ringbuf_submit ringbuf_discard
    ringbuf_query strncmp map_lookup_percpu_elem ktime_get_tai_ns
base [CAP_BPF]: get_cgroup_classid current_task_under_cgroup get_current_cgroup_id spin_lock spin_unlock jiffies64
    get_current_ancestor_cgroup_id per_cpu_ptr this_cpu_ptr task_storage_get task_storage_delete for_each_map_elem
    timer_init timer_set_callback timer_start timer_cancel loop kptr_xchg dynptr_from_mem ringbuf_reserve_dynptr
    ringbuf_submit_dynptr ringbuf_discard_dynptr dynptr_read dynptr_write dynptr_data user_ringbuf_drain
    cgrp_storage_get cgrp_storage_delete
base [CAP_BPF CAP_PERFMON]: trace_printk get_current_comm perf_event_read get_current_task perf_event_read_value
    send_signal probe_read_user probe_read_kernel probe_read_user_str probe_read_kernel_str send_signal_thread
    get_task_stack copy_from_user snprintf_btf get_current_task_btf snprintf task_pt_regs get_branch_snapshot
    trace_vprintk find_vma copy_from_user_task
socket < base: ktime_get_coarse_ns
socket [CAP_PERFMON]: skc_to_tcp6_sock skc_to_tcp_sock skc_to_tcp_timewait_sock skc_to_tcp_request_sock
    skc_to_udp6_sock skc_to_unix_sock skc_to_mptcp_sock
trace < base: probe_read probe_read_str get_func_ip
trace [CAP_SYS_ADMIN]: probe_write_user
probe < trace: perf_event_output get_stackid get_stack get_attach_cookie
cgroup @!cgroup_inet_ingress cgroup_inet_egress cgroup_sock_ops cgroup_udp4_recvmsg cgroup_udp6_recvmsg
    cgroup_unix_recvmsg cgroup_inet4_getpeername cgroup_inet6_getpeername cgroup_unix_getpeername
    cgroup_inet4_getsockname cgroup_inet6_getsockname cgroup_unix_getsockname: get_retval set_retval
cgroup: get_local_storage perf_event_output
lwt < socket: get_cgroup_classid get_route_realm perf_event_output skb_load_bytes csum_diff skb_under_cgroup
    get_hash_recalc skb_pull_data
skb_change: skb_store_bytes l3_csum_replace l4_csum_replace clone_redirect skb_get_tunnel_key skb_set_tunnel_key
    redirect skb_get_tunnel_opt skb_set_tunnel_opt skb_change_tail csum_update set_hash_invalid skb_change_head
    csum_level
lookup: sk_lookup_tcp sk_lookup_udp sk_release skc_lookup_tcp
cookies: tcp_check_syncookie tcp_gen_syncookie tcp_raw_gen_syncookie_ipv4 tcp_raw_gen_syncookie_ipv6
    tcp_raw_check_syncookie_ipv4 tcp_raw_check_syncookie_ipv6
storage: sk_storage_get sk_storage_delete
attached < trace storage: perf_event_output get_stackid get_socket_cookie get_stack skb_output xdp_output
    skc_to_tcp6_sock skc_to_tcp_sock skc_to_tcp_timewait_sock skc_to_tcp_request_sock skc_to_udp6_sock d_path
    sock_from_file skc_to_unix_sock xdp_get_buff_len skc_to_mptcp_sock
socket_filter < socket: perf_event_output skb_load_bytes get_socket_cookie get_socket_uid skb_load_bytes_relative
    get_netns_cookie
kprobe < probe: override_return
sched_cls < lwt skb_change lookup cookies storage: skb_vlan_push skb_vlan_pop skb_change_proto skb_change_type
    get_socket_cookie get_socket_uid set_hash skb_adjust_room skb_get_xfrm_state skb_load_bytes_relative fib_lookup
    skb_cgroup_id skb_ancestor_cgroup_id sk_fullsock tcp_sock skb_ecn_set_ce get_listener_sock get_netns_cookie
    sk_assign skb_cgroup_classid redirect_neigh redirect_peer check_mtu skb_set_tstamp
sched_act < sched_cls:
tracepoint < probe:
xdp < socket lookup cookies: redirect perf_event_output csum_diff xdp_adjust_head redirect_map xdp_adjust_meta
    xdp_adjust_tail fib_lookup check_mtu xdp_get_buff_len xdp_load_bytes xdp_store_bytes
perf_event < probe: perf_prog_read_value read_branch_records
cgroup_skb < socket cgroup lookup storage: skb_load_bytes get_socket_cookie get_socket_uid skb_load_bytes_relative
    skb_cgroup_id skb_ancestor_cgroup_id sk_fullsock tcp_sock skb_ecn_set_ce get_listener_sock get_netns_cookie
    sk_cgroup_id sk_ancestor_cgroup_id
cgroup_sock < base cgroup: get_socket_cookie sk_storage_get get_netns_cookie ktime_get_coarse_ns
lwt_in < lwt: lwt_push_encap
lwt_out < lwt:
lwt_xmit < lwt skb_change: lwt_push_encap
lwt_seg6local < lwt: lwt_seg6_store_bytes lwt_seg6_adjust_srh lwt_seg6_action
sock_ops < socket cgroup storage: get_socket_cookie setsockopt sock_map_update getsockopt sock_ops_cb_flags_set
    sock_hash_update tcp_sock get_netns_cookie load_hdr_opt store_hdr_opt reserve_hdr_opt
sk_skb < socket lookup: skb_store_bytes perf_event_output skb_load_bytes skb_change_tail skb_pull_data skb_change_head
    get_socket_cookie get_socket_uid skb_adjust_room sk_redirect_map sk_redirect_hash
cgroup_device < base cgroup:
sk_msg < socket storage: perf_event_output msg_redirect_map msg_apply_bytes msg_cork_bytes msg_pull_data
    msg_redirect_hash msg_push_data msg_pop_data get_netns_cookie
raw_tracepoint < probe:
raw_tracepoint_writable < probe:
cgroup_sock_addr < socket cgroup lookup storage: get_socket_cookie get_netns_cookie
cgroup_sock_addr @cgroup_inet4_bind cgroup_inet6_bind cgroup_inet4_connect cgroup_inet6_connect cgroup_unix_connect
    cgroup_udp4_sendmsg cgroup_udp6_sendmsg cgroup_unix_sendmsg cgroup_udp4_recvmsg cgroup_udp6_recvmsg
    cgroup_unix_recvmsg cgroup_inet4_getpeername cgroup_inet6_getpeername cgroup_unix_getpeername
    cgroup_inet4_getsockname cgroup_inet6_getsockname cgroup_unix_getsockname: setsockopt getsockopt
cgroup_sock_addr @cgroup_inet4_connect cgroup_inet6_connect: bind
lirc_mode2: map_lookup_elem map_update_elem map_delete_elem map_push_elem map_pop_elem map_peek_elem ktime_get_ns
    ktime_get_boot_ns tail_call get_prandom_u32 rc_repeat rc_keydown rc_pointer_rel
lirc_mode2 [CAP_PERFMON]: trace_printk
sk_reuseport < base: skb_load_bytes get_socket_cookie skb_load_bytes_relative sk_select_reuseport ktime_get_coarse_ns
flow_dissector < socket: skb_load_bytes
cgroup_sysctl < base cgroup: sysctl_get_name sysctl_get_current_value sysctl_get_new_value sysctl_set_new_value
    ktime_get_coarse_ns
cgroup_sockopt < base cgroup storage: tcp_sock get_netns_cookie
cgroup_sockopt @cgroup_setsockopt: setsockopt getsockopt
tracing < attached:
tracing @trace_raw_tp trace_fentry trace_fexit modify_return: get_attach_cookie
tracing @trace_fentry trace_fexit modify_return: get_func_arg get_func_ret get_func_arg_cnt
tracing @trace_iter: seq_printf seq_write seq_printf_btf
struct_ops < base storage: setsockopt getsockopt tcp_send_ack ktime_get_coarse_ns
lsm < attached: spin_lock spin_unlock inode_storage_get inode_storage_delete bprm_opts_set ima_inode_hash
    ima_file_hash setsockopt getsockopt
lsm @lsm_mac: get_attach_cookie get_func_arg get_func_ret get_func_arg_cnt
lsm @lsm_cgroup: get_local_storage get_retval set_retval
sk_lookup < socket: perf_event_output sk_release sk_assign
syscall < attached: btf_find_by_name_kind sys_close kallsyms_lookup_name
syscall [CAP_PERFMON]: sys_bpf
netfilter < base:
"""
"""set, sets that it grows, [capabilities that a helper needs], @expected attach types (! all but): helpers.

A set that has a program type's name is that type's. Two programs are what another thing says: ext has the set of what
it replaces; struct_ops has what its structure gives it (here: tcp_congestion_ops), lsm setsockopt and getsockopt only
on hooks with a locked or just made socket.
"""


class Row(NamedTuple):
    """Helpers of a set. attach: the expected attach types that have them, empty: all; but: all except these."""

    helpers: tuple[str, ...]
    needs: frozenset[str]
    attach: frozenset[str]
    but: bool = False

    def holds(self, attach: str) -> bool:
        """Whether programs with this expected attach type have them; "" for any."""
        return not attach or not self.attach or (attach in self.attach) != self.but


_ROW = re.compile(r"(\w+)(?: < ([\w ]+?))?(?: \[([A-Z_ ]+)\])?(?: @(!?)([\w ]+))?:((?: \w+)*)")


def _sets() -> tuple[Mapping[str, tuple[str, ...]], Mapping[str, tuple[Row, ...]]]:
    grows: dict[str, tuple[str, ...]] = {}
    rows: dict[str, tuple[Row, ...]] = {}
    for line in _TABLE.strip().replace("\n    ", " ").splitlines():
        match = _ROW.fullmatch(line)
        assert match is not None, line
        name, parents, needs, but, attach, helpers = match.groups()
        grows[name] = (*grows.get(name, ()), *(parents or "").split())
        capabilities, attaches = (frozenset((one or "").split()) for one in (needs, attach))
        row = Row(tuple(helpers.split()), capabilities, attaches, but=bool(but))
        rows[name] = (*rows.get(name, ()), row)
    return MappingProxyType(grows), MappingProxyType(rows)


_GROWS, _ROWS = _sets()
_NUMBERS = {one.name: number for number, one in PROTOTYPES.items()}


@cache
def allowed(kind: str, attach: str = "") -> Mapping[int, frozenset[str]]:
    """What programs of a type may call: number -> the capabilities that it needs besides what the type does.

    attach: their expected attach type as `bpftool feature` has it (`cgroup_inet4_bind`), "" for any of the type's.
    """
    found: dict[int, frozenset[str]] = {}
    for parent in _GROWS.get(kind, ()):
        found.update(allowed(parent, attach))
    for row in _ROWS.get(kind, ()):
        if row.holds(attach):
            found.update({_NUMBERS[name]: row.needs for name in row.helpers})
    return MappingProxyType(found)


@cache
def callers(number: int) -> tuple[str, ...]:
    """The program types that may call a helper, in the order of their numbers."""
    return tuple(name for name in PROGRAM_TYPES if number in allowed(name))
