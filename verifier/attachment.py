"""Program types, attach types and sleeping: may such a program be loaded at all, and by this loader?

As bpf_prog_load (kernel/bpf/syscall.c) and check_attach_btf_id (kernel/bpf/verifier.c) of Linux 6.18.
"""

from __future__ import annotations

from verifier import options as caps
from verifier.options import Options
from verifier.raw import SLOT
from verifier.rejection import Rejection
from verifier.shape import E2BIG, EINVAL, EPERM, Structure, holds
from verifier.subject import Subject

UNPRIVILEGED_INSNS, PRIVILEGED_INSNS = 4096, 1_000_000
_UNPRIVILEGED = frozenset({"socket_filter", "cgroup_skb"})
_NETWORK = frozenset({
    "sched_cls", "sched_act", "xdp", "lwt_in", "lwt_out", "lwt_xmit", "lwt_seg6local", "sk_skb", "sk_msg",
    "flow_dissector", "cgroup_device", "cgroup_sock", "cgroup_sock_addr", "cgroup_sockopt", "cgroup_sysctl",
    "sock_ops", "ext", "netfilter",
})  # fmt: skip
_TRACE = frozenset({
    "kprobe", "tracepoint", "perf_event", "raw_tracepoint", "raw_tracepoint_writable", "tracing", "lsm", "struct_ops",
    "ext",
})  # fmt: skip

_ATTACH = {
    "cgroup_sock": frozenset({0, 2, 34, 12, 13}),
    "cgroup_sock_addr": frozenset({8, 9, 10, 11, 14, 15, 19, 20, 29, 30, 31, 32, 49, 50, 51, 52, 53}),
    "cgroup_skb": frozenset({0, 1}),
    "cgroup_sockopt": frozenset({21, 22}),
    "sk_lookup": frozenset({36}),
    "sk_reuseport": frozenset({0, 39, 40}),
    "netfilter": frozenset({45}),
    "syscall": frozenset({0}),
    "ext": frozenset({0}),
}
"""Program type -> the attach types that it may be loaded for; the kernel gives cgroup_sock's and sk_reuseport's 0 a
meaning. Other types may name any."""

TRACE_RAW_TP, FENTRY, FEXIT, MODIFY_RETURN, TRACE_ITER = 23, 24, 25, 26, 28
_NEED_TARGET = frozenset({"tracing", "lsm", "ext"})


def check_type(subject: Subject, options: Options) -> None:
    """Size, type and attach type, which bpf_prog_load decides without a sentence."""
    capable = holds(options, caps.BPF)
    count, kind = len(subject.code) // SLOT, subject.type.name
    if not 0 < count <= (PRIVILEGED_INSNS if capable else UNPRIVILEGED_INSNS):
        raise Rejection(E2BIG, "")
    if kind not in _UNPRIVILEGED and not capable:
        raise Rejection(EPERM, "")
    if kind in _NETWORK and not holds(options, caps.NET_ADMIN):
        raise Rejection(EPERM, "")
    if kind in _TRACE and not holds(options, caps.PERFMON):
        raise Rejection(EPERM, "")
    if kind in _ATTACH and subject.attach not in _ATTACH[kind]:
        raise Rejection(EINVAL, "")
    if kind == "unspec":
        raise Rejection(EINVAL, "")


def check_target(found: Structure) -> None:
    """Whether such a program may sleep, and is told what it is attached to where it must be."""
    subject = found.subject
    kind = subject.type.name
    if kind == "syscall":
        if not subject.sleepable:
            raise Rejection(EINVAL, "Syscall programs can only be sleepable")
        return
    if subject.sleepable and not _may_sleep(subject):
        what = "Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable"
        raise Rejection(EINVAL, what)
    if kind in _NEED_TARGET and not subject.target:
        raise Rejection(EINVAL, "Tracing programs must provide btf_id")


def _may_sleep(subject: Subject) -> bool:
    kind = subject.type.name
    if kind == "tracing":
        return subject.attach in (FENTRY, FEXIT, MODIFY_RETURN, TRACE_ITER)
    return kind in ("lsm", "kprobe", "struct_ops")
