"""Attach types as data: what a program says, when it is loaded, that it will be attached to (enum bpf_attach_type)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bpf.spec.sections import older

_NAMES = (
    "cgroup_inet_ingress cgroup_inet_egress cgroup_inet_sock_create cgroup_sock_ops sk_skb_stream_parser "
    "sk_skb_stream_verdict cgroup_device sk_msg_verdict cgroup_inet4_bind cgroup_inet6_bind cgroup_inet4_connect "
    "cgroup_inet6_connect cgroup_inet4_post_bind cgroup_inet6_post_bind cgroup_udp4_sendmsg cgroup_udp6_sendmsg "
    "lirc_mode2 flow_dissector cgroup_sysctl cgroup_udp4_recvmsg cgroup_udp6_recvmsg cgroup_getsockopt "
    "cgroup_setsockopt trace_raw_tp trace_fentry trace_fexit modify_return lsm_mac trace_iter cgroup_inet4_getpeername "
    "cgroup_inet6_getpeername cgroup_inet4_getsockname cgroup_inet6_getsockname xdp_devmap cgroup_inet_sock_release "
    "xdp_cpumap sk_lookup xdp sk_skb_verdict sk_reuseport_select sk_reuseport_select_or_migrate perf_event "
    "trace_kprobe_multi lsm_cgroup struct_ops netfilter tcx_ingress tcx_egress trace_uprobe_multi cgroup_unix_connect "
    "cgroup_unix_sendmsg cgroup_unix_recvmsg cgroup_unix_getpeername cgroup_unix_getsockname netkit_primary "
    "netkit_peer trace_kprobe_session trace_uprobe_session"
)

ATTACH_TYPES: Mapping[str, int] = MappingProxyType({name: number for number, name in enumerate(_NAMES.split())})
"""Every attach type of Linux 6.18: its name without BPF_, in small letters -> its number."""

INET4 = tuple(f"cgroup_inet4_{word}" for word in ("bind", "connect", "getpeername", "getsockname"))
INET6 = tuple(name.replace("4", "6") for name in INET4)
UDP4 = ("cgroup_udp4_sendmsg", "cgroup_udp4_recvmsg")
UDP6 = ("cgroup_udp6_sendmsg", "cgroup_udp6_recvmsg")
UNIX = tuple(f"cgroup_unix_{word}" for word in ("connect", "sendmsg", "recvmsg", "getpeername", "getsockname"))
SOCK = ("cgroup_inet_sock_create", "cgroup_inet_sock_release", "cgroup_inet4_post_bind", "cgroup_inet6_post_bind")

CGROUP_ADDRESSES = (*INET4, *INET6, *UDP4, *UDP6, *UNIX)

TAKES: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "cgroup_skb": ("cgroup_inet_ingress", "cgroup_inet_egress"),
    "cgroup_sock": SOCK,
    "cgroup_sock_addr": CGROUP_ADDRESSES,
    "cgroup_sockopt": ("cgroup_getsockopt", "cgroup_setsockopt"),
    "sk_lookup": ("sk_lookup",),
    "sk_reuseport": ("sk_reuseport_select", "sk_reuseport_select_or_migrate"),
    "netfilter": ("netfilter",),
    "syscall": ("cgroup_inet_ingress",),  # number 0
    "ext": ("cgroup_inet_ingress",),
})  # fmt: skip
"""Program type -> the attach types with which it is loaded; a type that is not here does not look at it then."""

STANDS_FOR: Mapping[str, str] = MappingProxyType({
    "cgroup_sock": "cgroup_inet_sock_create", "sk_reuseport": "sk_reuseport_select",
})  # fmt: skip
"""Program type -> what attach type 0 means for it."""

_BY_NUMBER = {number: name for name, number in ATTACH_TYPES.items()}


def attach_name(type_name: str, number: int) -> str:
    """The name of an attach type, what 0 means for a program type resolved; "" for a number that says nothing."""
    return (not number and STANDS_FOR.get(type_name)) or _BY_NUMBER.get(number, "")


PREFIXES: Mapping[str, str] = MappingProxyType({
    "trace_raw_tp": "btf_trace_", "trace_iter": "bpf_iter_", "lsm_mac": "bpf_lsm_", "lsm_cgroup": "bpf_lsm_",
})  # fmt: skip
"""Attach type -> how the kernel's type begins that describes a target."""


_SECTIONS: tuple[tuple[str, str], ...] = (
    ("cgroup_skb/ingress", "cgroup_inet_ingress"), ("cgroup_skb/egress", "cgroup_inet_egress"),
    ("cgroup/sock_create", "cgroup_inet_sock_create"), ("cgroup/sock_release", "cgroup_inet_sock_release"),
    ("cgroup/sock", "cgroup_inet_sock_create"), ("cgroup/post_bind4", "cgroup_inet4_post_bind"),
    ("cgroup/post_bind6", "cgroup_inet6_post_bind"), ("cgroup/dev", "cgroup_device"), ("sockops", "cgroup_sock_ops"),
    ("sk_skb/stream_parser", "sk_skb_stream_parser"), ("sk_skb/stream_verdict", "sk_skb_stream_verdict"),
    ("sk_skb/verdict", "sk_skb_verdict"), ("sk_msg", "sk_msg_verdict"), ("cgroup/sysctl", "cgroup_sysctl"),
    ("cgroup/getsockopt", "cgroup_getsockopt"), ("cgroup/setsockopt", "cgroup_setsockopt"),
    ("xdp/devmap", "xdp_devmap"), ("xdp.frags/devmap", "xdp_devmap"), ("xdp/cpumap", "xdp_cpumap"),
    ("xdp.frags/cpumap", "xdp_cpumap"), ("xdp", "xdp"), ("xdp.frags", "xdp"), ("tc/ingress", "tcx_ingress"),
    ("tc/egress", "tcx_egress"), ("tcx/ingress", "tcx_ingress"), ("tcx/egress", "tcx_egress"),
    ("netkit/primary", "netkit_primary"), ("netkit/peer", "netkit_peer"), ("flow_dissector", "flow_dissector"),
    ("lirc_mode2", "lirc_mode2"), ("sk_lookup", "sk_lookup"),
    ("sk_reuseport/migrate", "sk_reuseport_select_or_migrate"), ("sk_reuseport", "sk_reuseport_select"),
    ("netfilter", "netfilter"), ("kprobe.multi", "trace_kprobe_multi"), ("kretprobe.multi", "trace_kprobe_multi"),
    ("kprobe.session", "trace_kprobe_session"), ("uprobe.multi", "trace_uprobe_multi"),
    ("uretprobe.multi", "trace_uprobe_multi"), ("uprobe.multi.s", "trace_uprobe_multi"),
    ("uretprobe.multi.s", "trace_uprobe_multi"), ("uprobe.session", "trace_uprobe_session"),
    ("uprobe.session.s", "trace_uprobe_session"), ("xdp_devmap", "xdp_devmap"), ("xdp_cpumap", "xdp_cpumap"),
    ("fentry", "trace_fentry"), ("fentry.s", "trace_fentry"),
    ("fexit", "trace_fexit"), ("fexit.s", "trace_fexit"), ("fmod_ret", "modify_return"),
    ("fmod_ret.s", "modify_return"), ("tp_btf", "trace_raw_tp"), ("iter", "trace_iter"), ("iter.s", "trace_iter"),
    ("lsm", "lsm_mac"), ("lsm.s", "lsm_mac"), ("lsm_cgroup", "lsm_cgroup"), ("struct_ops", "struct_ops"),
    ("struct_ops.s", "struct_ops"),
    *((f"cgroup/{word}{n}", f"cgroup_inet{n}_{word}") for word in ("bind", "connect", "getpeername", "getsockname")
      for n in "46"),
    *((f"cgroup/{word}{n}", f"cgroup_udp{n}_{word}") for word in ("sendmsg", "recvmsg") for n in "46"),
    *((f"cgroup/{word}_unix", f"cgroup_unix_{word}")
      for word in ("connect", "sendmsg", "recvmsg", "getpeername", "getsockname")),
)  # fmt: skip
OF_SECTION: Mapping[str, str] = MappingProxyType(dict(_SECTIONS))
"""What libbpf gives programs of a section; of what follows a slash the longest part that is here counts."""


def attach_of(section: str) -> str:
    """The expected attach type of programs of a section, "" for none that says one."""
    section = name = section.removeprefix("?")
    while name not in OF_SECTION and "/" in name:
        name = name.rpartition("/")[0]
    return OF_SECTION.get(name) or OF_SECTION.get(older(section, OF_SECTION), "")
