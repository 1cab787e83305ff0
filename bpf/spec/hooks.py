"""Hooks as data: where programs are attached, what types they take, how several at one of them go together.

Names are bpftool's attach types, and for tracing what libbpf's sections begin with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bpf.spec.attach import attach_of

DEVICE, CGROUP, MAP, SOCKET, ROUTE = "device", "cgroup", "map", "socket", "route"
NAMESPACE, EVENT = "namespace", "event"
"""What a hook belongs to: a network device, a cgroup by its path, a sockmap, a socket by its cookie, a route by its
prefix; the network namespace (of which there is one), something that is traced by its name."""

ONE, CHAIN, CGROUPS, EVERY, FIRST_ERROR, BY_PRIORITY = "one", "chain", "cgroups", "every", "first error", "by priority"
"""How the programs at a hook go together (Linux 6.12).

ONE          there is one at most
CHAIN        in order, until one returns another value than -1 (tcx_run)
CGROUPS      all, those of the cgroup before those of the ones around it; each may say no (bpf_prog_run_array_cg)
EVERY        all, in order (bpf_prog_run_array)
FIRST_ERROR  in order, until one returns another value than 0 (a trampoline's fmod_ret programs; LSM's are such)
BY_PRIORITY  by ascending priority, until one drops the packet (nf_hook_slow)
"""


@dataclass(frozen=True, slots=True)
class Hook:
    """A place that programs can be attached to.

    types     program types that it takes
    at        what it belongs to
    rule      how several programs go together
    since     kernel release
    sections  section names that mean it besides those that say an attach type of its name (bpf/spec/attach.py); for an
              EVENT they begin with its name
    strict    whether a program whose section means another hook is not taken
    """

    name: str
    types: tuple[str, ...]
    at: str
    rule: str
    since: str
    sections: tuple[str, ...] = ()
    strict: bool = False


def _cgroup(name: str, kind: str, since: str) -> Hook:
    strict = kind in ("cgroup_sock", "cgroup_sock_addr", "cgroup_sockopt")
    return Hook(f"cgroup_{name}", (kind,), CGROUP, CGROUPS, since, strict=strict)


def _event(name: str, kind: str, since: str, rule: str = EVERY, *, also: tuple[str, ...] = ()) -> Hook:
    return Hook(name, (kind, *also), EVENT, rule, since)


_HOOKS = (
    Hook("xdp", ("xdp",), DEVICE, ONE, "4.8"),
    Hook("tcx_ingress", ("sched_cls",), DEVICE, CHAIN, "6.6", ("tc", "classifier")),
    Hook("tcx_egress", ("sched_cls",), DEVICE, CHAIN, "6.6"),
    _cgroup("inet_ingress", "cgroup_skb", "4.10"),
    _cgroup("inet_egress", "cgroup_skb", "4.10"),
    _cgroup("inet_sock_create", "cgroup_sock", "4.10"),
    _cgroup("inet_sock_release", "cgroup_sock", "5.9"),
    _cgroup("inet4_post_bind", "cgroup_sock", "4.17"),
    _cgroup("inet6_post_bind", "cgroup_sock", "4.17"),
    _cgroup("sock_ops", "sock_ops", "4.13"),
    _cgroup("device", "cgroup_device", "4.15"),
    *(
        _cgroup(f"inet{version}_{call}", "cgroup_sock_addr", since)
        for call, since in (("bind", "4.17"), ("connect", "4.17"), ("getpeername", "5.8"), ("getsockname", "5.8"))
        for version in "46"
    ),
    *(
        _cgroup(f"udp{version}_{call}", "cgroup_sock_addr", since)
        for call, since in (("sendmsg", "4.18"), ("recvmsg", "5.2"))
        for version in "46"
    ),
    *(
        _cgroup(f"unix_{call}", "cgroup_sock_addr", "6.7")
        for call in ("connect", "sendmsg", "recvmsg", "getpeername", "getsockname")
    ),
    _cgroup("sysctl", "cgroup_sysctl", "5.2"),
    _cgroup("getsockopt", "cgroup_sockopt", "5.3"),
    _cgroup("setsockopt", "cgroup_sockopt", "5.3"),
    Hook("sk_skb_stream_parser", ("sk_skb",), MAP, ONE, "4.14"),
    Hook("sk_skb_stream_verdict", ("sk_skb",), MAP, ONE, "4.14"),
    Hook("sk_skb_verdict", ("sk_skb",), MAP, ONE, "5.13", ("sk_skb",)),
    Hook("sk_msg_verdict", ("sk_msg",), MAP, ONE, "4.17"),
    Hook("socket_filter", ("socket_filter",), SOCKET, ONE, "3.19", ("socket",)),
    Hook("sk_reuseport", ("sk_reuseport",), SOCKET, ONE, "4.19", ("sk_reuseport", "sk_reuseport/migrate")),
    Hook("flow_dissector", ("flow_dissector",), NAMESPACE, ONE, "4.20"),
    Hook("sk_lookup", ("sk_lookup",), NAMESPACE, EVERY, "5.9"),
    *(
        Hook(f"netfilter_{name}", ("netfilter",), NAMESPACE, BY_PRIORITY, "6.4")
        for name in ("pre_routing", "local_in", "forward", "local_out", "post_routing")
    ),
    *(Hook(name, (name,), ROUTE, ONE, "4.10", (name,)) for name in ("lwt_in", "lwt_out", "lwt_xmit")),
    _event("kprobe", "kprobe", "4.1"),
    _event("kretprobe", "kprobe", "4.1"),
    _event("uprobe", "kprobe", "4.3"),
    _event("uretprobe", "kprobe", "4.3"),
    _event("tracepoint", "tracepoint", "4.7"),
    _event("raw_tracepoint", "raw_tracepoint", "4.17", also=("raw_tracepoint_writable",)),
    _event("perf_event", "perf_event", "4.9"),
    _event("tp_btf", "tracing", "5.5"),
    _event("fentry", "tracing", "5.5"),
    _event("fexit", "tracing", "5.5"),
    _event("fmod_ret", "tracing", "5.5", FIRST_ERROR),
    _event("iter", "tracing", "5.8", ONE),
    _event("lsm", "lsm", "5.7", FIRST_ERROR),
    _event("lirc_mode2", "lirc_mode2", "4.18"),
)

HOOKS: Mapping[str, Hook] = MappingProxyType({one.name: one for one in _HOOKS})
"""Every hook by name."""

_ALIASES = {"tp": "tracepoint", "raw_tp": "raw_tracepoint"}


_OF_SECTION = {section: one for one in _HOOKS for section in one.sections}


def of_section(section: str) -> tuple[Hook, str] | None:
    """The hook that a section means, and for an EVENT what is traced; None where it means none.

    `xdp/devmap` and `xdp/cpumap` mean the entry of a map, which is no hook.
    """
    section = section.removeprefix("?")
    hook = _OF_SECTION.get(section) or HOOKS.get(attach_of(section))
    if hook is not None and hook.at != EVENT:
        return hook, ""
    stem, _, rest = section.partition("/")
    stem = stem.removesuffix(".s")
    hook = HOOKS.get(_ALIASES.get(stem, stem))
    return (hook, rest) if hook is not None and hook.at == EVENT and rest else None
