"""What programs may do and must give back by type, as data: the sets and ranges of Linux 6.18's verifier."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bpf.spec.attach import INET4, INET6, UDP4, UDP6, UNIX

UNPRIVILEGED = frozenset({"socket_filter", "cgroup_skb"})
"""The types that take no capability."""

NET_ADMIN = frozenset({
    "sched_cls", "sched_act", "xdp", "lwt_in", "lwt_out", "lwt_xmit", "lwt_seg6local", "sk_skb", "sk_msg",
    "flow_dissector", "cgroup_device", "cgroup_sock", "cgroup_sock_addr", "cgroup_sockopt", "cgroup_sysctl", "sock_ops",
    "ext", "netfilter",
})  # fmt: skip
"""The types that take CAP_NET_ADMIN beside CAP_BPF."""

PERFMON = frozenset({
    "kprobe", "tracepoint", "perf_event", "raw_tracepoint", "raw_tracepoint_writable", "tracing", "lsm", "struct_ops",
    "ext",
})  # fmt: skip
"""The types that take CAP_PERFMON beside CAP_BPF."""

TRACING = frozenset({
    "kprobe", "tracepoint", "perf_event", "raw_tracepoint", "raw_tracepoint_writable",
})  # fmt: skip
"""The types for which the kernel says "tracing progs": they run anywhere, also where a lock is held."""

ABSOLUTE = frozenset({"socket_filter", "sched_cls", "sched_act"})
"""The types whose programs may use LD_ABS and LD_IND."""

_READ = frozenset({"lwt_in", "lwt_out", "lwt_seg6local", "sk_reuseport", "flow_dissector", "cgroup_skb"})
PACKET_WRITE = frozenset({"sched_cls", "sched_act", "xdp", "lwt_xmit", "sk_skb", "sk_msg", "cgroup_sockopt"})
"""The types whose programs may write into their packet."""
PACKET_READ = PACKET_WRITE | _READ
"""The types whose programs may hand their packet to a helper that reads it."""

UNCONVERTED = frozenset({
    "kprobe", "tracepoint", "raw_tracepoint", "raw_tracepoint_writable", "tracing", "lsm", "struct_ops", "syscall",
    "cgroup_device", "netfilter", "lirc_mode2",
})  # fmt: skip
"""The types whose context is memory as it stands (no convert_ctx_access), so that a helper may be given it."""

SLEEPABLE = frozenset({"lsm", "kprobe", "struct_ops", "syscall"})
"""The types whose programs may sleep; beside them the tracing programs of SLEEPABLE_ATTACH."""
SLEEPABLE_ATTACH = frozenset({"trace_fentry", "trace_fexit", "modify_return", "trace_iter"})

BOOL, ZERO, ONE, BITS = (0, 1), (0, 0), (1, 1), (0, 3)
ERRORS = (-4095, 0)

_NO_CHOICE = (
    *UDP4[1:], *UDP6[1:], *INET4[2:], *INET6[2:], *UNIX[2:],
)  # fmt: skip

RETURNS: Mapping[str, Mapping[str, tuple[int, int]]] = MappingProxyType({
    "cgroup_skb": {"": BOOL, "cgroup_inet_egress": BITS},
    "cgroup_sock": {"": BOOL},
    "cgroup_sock_addr": {"": BOOL, **dict.fromkeys(_NO_CHOICE, ONE), INET4[0]: BITS, INET6[0]: BITS},
    "cgroup_device": {"": BOOL},
    "cgroup_sysctl": {"": BOOL},
    "cgroup_sockopt": {"": BOOL},
    "sock_ops": {"": BOOL},
    "tracing": {"trace_fentry": ZERO, "trace_fexit": ZERO, "trace_iter": BOOL},
    "kprobe": {"trace_kprobe_session": BOOL, "trace_uprobe_session": BOOL},
    "sk_lookup": {"": BOOL},
    "netfilter": {"": BOOL},
})  # fmt: skip
"""Program type -> attach type, "" for any other -> the least and the greatest R0 at exit; nothing: any number."""

BOOL_HOOKS = frozenset({
    "bpf_lsm_audit_rule_known", "bpf_lsm_inode_xattr_skipcap", "bpf_lsm_xfrm_state_pol_flow_match",
})  # fmt: skip
"""LSM hooks that give yes or no; others give 0 or an error."""

CALLBACK_RETURNS: Mapping[str, tuple[int, int]] = MappingProxyType({
    "for_each_map_elem": BOOL, "loop": BOOL, "find_vma": BOOL, "user_ringbuf_drain": BOOL, "timer_set_callback": ZERO,
    "bpf_rbtree_add_impl": BOOL, "bpf_wq_set_callback_impl": ZERO,
})  # fmt: skip
"""Helper or kfunc -> the least and the greatest R0 that its callback gives back."""

GPL = frozenset({
    "GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL",
})  # fmt: skip
"""Licenses that count as the kernel's own."""

UNPRIVILEGED_SLOTS, SLOTS = 4096, 1_000_000
"""How many instructions a program may have, without and with CAP_BPF."""

FLOW_KEYS = 56
"""Bytes of bpf_flow_keys."""
