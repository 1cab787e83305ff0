"""Program types as data: number, name, section names, context, what the return value means, the kernel they came in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from bpf.spec.sections import older

LINK, NETWORK = "link", "network"

XDP = {0: "XDP_ABORTED", 1: "XDP_DROP", 2: "XDP_PASS", 3: "XDP_TX", 4: "XDP_REDIRECT"}
TC = {
    -1: "TC_ACT_UNSPEC", 0: "TC_ACT_OK", 1: "TC_ACT_RECLASSIFY", 2: "TC_ACT_SHOT", 3: "TC_ACT_PIPE", 4: "TC_ACT_STOLEN",
    5: "TC_ACT_QUEUED", 6: "TC_ACT_REPEAT", 7: "TC_ACT_REDIRECT", 8: "TC_ACT_TRAP",
}  # fmt: skip
CGROUP = {0: "deny", 1: "allow"}
CGROUP_SKB = {0: "deny", 1: "allow", 2: "deny, congestion", 3: "allow, congestion"}
LWT = {0: "BPF_OK", 2: "BPF_DROP", 7: "BPF_REDIRECT", 128: "BPF_LWT_REROUTE"}
SK = {0: "SK_DROP", 1: "SK_PASS"}
FLOW = {0: "BPF_OK", 2: "BPF_DROP", 129: "BPF_FLOW_DISSECTOR_CONTINUE"}
NETFILTER = {0: "NF_DROP", 1: "NF_ACCEPT"}


@dataclass(frozen=True, slots=True)
class ProgramType:
    """A program type.

    number    BPF_PROG_TYPE_*
    name      as bpftool has it
    since     kernel release
    sections  names that libbpf gives it: `x` is that section, `x/` what begins so, `x+` both `x` and `x/...`
    context   name of a layout of bpf/spec/contexts.py, "" where that is none
    data      LINK or NETWORK: the header that the packet's data begin at; "" without a packet of its own
    returns   return value (low 32 bits, signed) -> what it means
    others    what every other value means
    """

    number: int
    name: str
    since: str
    sections: tuple[str, ...] = ()
    context: str = ""
    data: str = ""
    returns: Mapping[int, str] = field(default_factory=dict)
    others: str = ""

    def meaning(self, r0: int) -> str:
        """What a return value says, "" where it says nothing."""
        low = (r0 & 0xFFFF_FFFF ^ 0x8000_0000) - 0x8000_0000
        return self.returns.get(low, self.others)

    def takes(self, section: str) -> int:
        """How many characters of a section's name are one of `sections`; 0 for none."""
        best = 0
        for name in self.sections:
            stem = name.rstrip("+")
            if section == name or (name != stem and (section == stem or section.startswith(stem + "/"))):
                best = max(best, len(stem))
            elif name.endswith("/") and section.startswith(name):
                best = max(best, len(name))
        return best


READERS = frozenset({
    "socket_filter", "cgroup_skb", "lwt_in", "lwt_out", "lwt_seg6local", "sk_reuseport", "flow_dissector", "netfilter",
})  # fmt: skip
"""Types whose programs may not change their packet through pointers into it, or a dynptr."""


def _attach(*names: str) -> tuple[str, ...]:
    """The sections of programs that are attached to a cgroup's socket addresses."""
    return tuple(f"cgroup/{name}{end}" for name in names for end in ("4", "6", "_unix"))


_TYPES = (
    ProgramType(0, "unspec", "3.18"),
    ProgramType(1, "socket_filter", "3.19", ("socket",), "__sk_buff", NETWORK, {0: "drop"}, "keep"),
    ProgramType(2, "kprobe", "4.1", (
        "kprobe+", "kretprobe+", "uprobe+", "uretprobe+", "uprobe.s+", "uretprobe.s+", "kprobe.multi+",
        "kretprobe.multi+", "kprobe.session+", "uprobe.multi+", "uretprobe.multi+", "uprobe.multi.s+",
        "uretprobe.multi.s+", "uprobe.session+", "uprobe.session.s+", "ksyscall+", "kretsyscall+", "usdt+", "usdt.s+",
    ), "pt_regs"),
    ProgramType(3, "sched_cls", "4.1", (
        "tc", "classifier", "tc/ingress", "tc/egress", "tcx/ingress", "tcx/egress", "netkit/primary", "netkit/peer",
    ), "__sk_buff", LINK, TC),
    ProgramType(4, "sched_act", "4.1", ("action",), "__sk_buff", LINK, TC),
    ProgramType(5, "tracepoint", "4.7", ("tracepoint+", "tp+"), "tracepoint"),
    ProgramType(6, "xdp", "4.8", (
        "xdp", "xdp.frags", "xdp/devmap", "xdp.frags/devmap", "xdp/cpumap", "xdp.frags/cpumap",
    ), "xdp_md", LINK, XDP),
    ProgramType(7, "perf_event", "4.9", ("perf_event",), "bpf_perf_event_data"),
    ProgramType(8, "cgroup_skb", "4.10", ("cgroup_skb/ingress", "cgroup_skb/egress", "cgroup/skb"), "__sk_buff",
                NETWORK, CGROUP_SKB),
    ProgramType(9, "cgroup_sock", "4.10", (
        "cgroup/sock_create", "cgroup/sock_release", "cgroup/sock", "cgroup/post_bind4", "cgroup/post_bind6",
    ), "bpf_sock", "", CGROUP),
    ProgramType(10, "lwt_in", "4.10", ("lwt_in",), "__sk_buff", NETWORK, LWT),
    ProgramType(11, "lwt_out", "4.10", ("lwt_out",), "__sk_buff", NETWORK, LWT),
    ProgramType(12, "lwt_xmit", "4.10", ("lwt_xmit",), "__sk_buff", NETWORK, LWT),
    ProgramType(13, "sock_ops", "4.13", ("sockops",), "bpf_sock_ops"),
    ProgramType(14, "sk_skb", "4.14", ("sk_skb/stream_parser", "sk_skb/stream_verdict", "sk_skb/verdict", "sk_skb"),
                "__sk_buff", NETWORK, SK),
    ProgramType(15, "cgroup_device", "4.15", ("cgroup/dev",), "bpf_cgroup_dev_ctx", "", CGROUP),
    ProgramType(16, "sk_msg", "4.17", ("sk_msg",), "sk_msg_md", NETWORK, SK),
    ProgramType(17, "raw_tracepoint", "4.17", ("raw_tp+", "raw_tracepoint+"), "raw_tracepoint"),
    ProgramType(18, "cgroup_sock_addr", "4.17", (
        "cgroup/bind4", "cgroup/bind6", *_attach("connect", "sendmsg", "recvmsg", "getpeername", "getsockname"),
    ), "bpf_sock_addr", "", CGROUP),
    ProgramType(19, "lwt_seg6local", "4.18", ("lwt_seg6local",), "__sk_buff", NETWORK, LWT),
    ProgramType(20, "lirc_mode2", "4.18", ("lirc_mode2",), "lirc_mode2"),
    ProgramType(21, "sk_reuseport", "4.19", ("sk_reuseport", "sk_reuseport/migrate"), "sk_reuseport_md", NETWORK, SK),
    ProgramType(22, "flow_dissector", "4.20", ("flow_dissector",), "__sk_buff", NETWORK, FLOW),
    ProgramType(23, "cgroup_sysctl", "5.2", ("cgroup/sysctl",), "bpf_sysctl", "", CGROUP),
    ProgramType(24, "raw_tracepoint_writable", "5.2", ("raw_tp.w+", "raw_tracepoint.w+"), "raw_tracepoint_writable"),
    ProgramType(25, "cgroup_sockopt", "5.3", ("cgroup/getsockopt", "cgroup/setsockopt"), "bpf_sockopt", "", CGROUP),
    ProgramType(26, "tracing", "5.5", (
        "fentry+", "fentry.s+", "fexit+", "fexit.s+", "fmod_ret+", "fmod_ret.s+", "tp_btf+", "iter+", "iter.s+",
    ), "tracing"),
    ProgramType(27, "struct_ops", "5.6", ("struct_ops+", "struct_ops.s+")),
    ProgramType(28, "ext", "5.6", ("freplace+",)),
    ProgramType(29, "lsm", "5.7", ("lsm+", "lsm.s+", "lsm_cgroup+"), "tracing", "", {0: "allow"}),
    ProgramType(30, "sk_lookup", "5.9", ("sk_lookup",), "bpf_sk_lookup", "", SK),
    ProgramType(31, "syscall", "5.14", ("syscall",), "syscall"),
    ProgramType(32, "netfilter", "6.4", ("netfilter",), "bpf_nf_ctx", NETWORK, NETFILTER),
)  # fmt: skip

PROGRAM_TYPES: Mapping[str, ProgramType] = MappingProxyType({found.name: found for found in _TYPES})
"""Every program type of Linux 6.12 by name, in the order of their numbers."""

BY_NUMBER: Mapping[int, ProgramType] = MappingProxyType({found.number: found for found in _TYPES})

ALIASES: Mapping[str, str] = MappingProxyType({
    "socket": "socket_filter", "tc": "sched_cls", "classifier": "sched_cls", "action": "sched_act", "tp": "tracepoint",
    "raw_tp": "raw_tracepoint", "sockops": "sock_ops",
})  # fmt: skip
"""Other words that people use for a type."""

_STEMS = {name.rstrip("+"): found for found in _TYPES for name in found.sections}


def of_section(section: str, *, old: bool = True) -> ProgramType | None:
    """The type that libbpf gives a program of this section; `?name` is one that is not loaded by itself.

    old: what libbpf 1.0 does not know is what an older one made of it.
    """
    section = section.removeprefix("?")
    best = max(_TYPES, key=lambda found: found.takes(section))
    return best if best.takes(section) else _STEMS.get(older(section, _STEMS) if old else "")
