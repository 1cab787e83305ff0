"""Who may do what: Linux's rules for map types, program types, helpers and sizes, by capability.

Those of Linux 6.12: bpf(2), capabilities(7), Documentation/admin-guide/sysctl/kernel.rst (unprivileged_bpf_disabled).
CAP_SYS_ADMIN stands for the other three.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bpf.errors import BadInput, CallFailed
from bpf.program import Map, Program
from bpf.spec.maps import ZERO_SEED
from bpf.spec.prototypes import PROTOTYPES

BPF, PERFMON, NET_ADMIN, SYS_ADMIN = "CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN", "CAP_SYS_ADMIN"
CAPABILITIES = (BPF, PERFMON, NET_ADMIN, SYS_ADMIN)

UNPRIVILEGED_INSNS, PRIVILEGED_INSNS = 4096, 1_000_000

_NET_MAPS = frozenset({"sockmap", "sockhash", "devmap", "devmap_hash", "xskmap"})
_BPF_MAPS = frozenset({
    "sk_storage", "inode_storage", "task_storage", "cgrp_storage", "bloom_filter", "lpm_trie", "reuseport_sockarray",
    "stack_trace", "queue", "stack", "lru_hash", "lru_percpu_hash", "struct_ops", "cpumap", "arena",
})  # fmt: skip

UNPRIVILEGED_TYPES = frozenset({"socket_filter", "cgroup_skb"})
_NET_TYPES = frozenset({
    "sched_cls", "sched_act", "xdp", "lwt_in", "lwt_out", "lwt_xmit", "lwt_seg6local", "sk_skb", "sk_msg",
    "flow_dissector", "cgroup_device", "cgroup_sock", "cgroup_sock_addr", "cgroup_sockopt", "cgroup_sysctl",
    "sock_ops", "ext", "netfilter",
})  # fmt: skip
_TRACE_TYPES = frozenset({
    "kprobe", "tracepoint", "perf_event", "raw_tracepoint", "raw_tracepoint_writable", "tracing", "lsm", "struct_ops",
    "ext",
})  # fmt: skip

_BPF_HELPERS = frozenset({
    "spin_lock", "spin_unlock", "jiffies64", "per_cpu_ptr", "this_cpu_ptr", "timer_init", "timer_set_callback",
    "timer_start", "timer_cancel", "kptr_xchg", "for_each_map_elem", "loop", "user_ringbuf_drain",
    "ringbuf_reserve_dynptr", "ringbuf_submit_dynptr", "ringbuf_discard_dynptr", "dynptr_from_mem", "dynptr_read",
    "dynptr_write", "dynptr_data", "cgrp_storage_get", "cgrp_storage_delete", "get_current_cgroup_id",
    "get_current_ancestor_cgroup_id",
})  # fmt: skip
_PERFMON_HELPERS = frozenset({
    "trace_printk", "trace_vprintk", "get_current_task", "get_current_task_btf", "probe_read", "probe_read_str",
    "probe_read_user", "probe_read_kernel", "probe_read_user_str", "probe_read_kernel_str", "snprintf_btf", "snprintf",
    "task_pt_regs",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls bpf(). unprivileged_bpf_disabled: the sysctl, 0, 1 or 2 (both the latter say no; 2 may be undone)."""

    capabilities: frozenset[str] = frozenset(CAPABILITIES)
    unprivileged_bpf_disabled: int = 2

    def has(self, capability: str) -> bool:
        """Whether it may do what a capability allows."""
        return capability in self.capabilities or SYS_ADMIN in self.capabilities


ROOT = Caller()


def capabilities(text: str) -> frozenset[str]:
    """--caps: names separated by commas, with or without CAP_; "none". Raises BadInput."""
    words = [word.strip().upper() for word in text.split(",") if word.strip()]
    found = {word if word.startswith("CAP_") else f"CAP_{word}" for word in words if word != "NONE"}
    unknown = sorted(found - set(CAPABILITIES))
    if unknown:
        raise BadInput(f"no capability {unknown[0]}", file="--caps", remedy="there is " + ", ".join(CAPABILITIES))
    return frozenset(found)


def _need(caller: Caller, capability: str, what: str) -> None:
    if not caller.has(capability):
        raise CallFailed("EPERM", f"{what} needs {capability}")


def _enter(caller: Caller, what: str) -> None:
    if caller.unprivileged_bpf_disabled and not caller.has(BPF):
        mode = caller.unprivileged_bpf_disabled
        raise CallFailed("EPERM", f"{what} needs {BPF} where unprivileged_bpf_disabled is {mode}")


def map_capability(kind: str) -> str:
    """What creating a map of a type needs, "" for nothing."""
    return NET_ADMIN if kind in _NET_MAPS else BPF if kind in _BPF_MAPS else ""


def may_create(caller: Caller, map_: Map) -> None:
    """Raise CallFailed EPERM where Linux would not create this map for the caller."""
    what = f"map {map_.name} of type {map_.kind}"
    _enter(caller, what)
    if needed := map_capability(map_.kind):
        _need(caller, needed, what)
    if map_.flags & ZERO_SEED:
        _need(caller, SYS_ADMIN, f"{what} with BPF_F_ZERO_SEED")


def type_capabilities(kind: str) -> tuple[str, ...]:
    """What loading a program of a type needs."""
    needed = [] if kind in UNPRIVILEGED_TYPES else [BPF]
    return (*needed, *([NET_ADMIN] if kind in _NET_TYPES else []), *([PERFMON] if kind in _TRACE_TYPES else []))


def helper_capabilities(name: str) -> tuple[str, ...]:
    """What calling a helper needs besides what the program's type does."""
    if name in _PERFMON_HELPERS:
        return BPF, PERFMON
    return (BPF,) if name in _BPF_HELPERS else ()


def may_load(caller: Caller, program: Program, kind: str) -> None:
    """Raise CallFailed where Linux would not load this program, of this type, for the caller.

    EPERM for the type and for functions; E2BIG for its size; EINVAL for a helper.
    """
    what = f"program {program.name} of type {kind}"
    _enter(caller, what)
    limit = PRIVILEGED_INSNS if caller.has(BPF) else UNPRIVILEGED_INSNS
    if not 0 < len(program) <= limit:
        raise CallFailed("E2BIG", f"program {program.name} has {len(program)} instructions; {limit} are allowed")
    for needed in type_capabilities(kind):
        _need(caller, needed, what)
    for pc, number in _calls(program):
        name = PROTOTYPES[number].name if number in PROTOTYPES else ""
        missing = next((needed for needed in helper_capabilities(name) if not caller.has(needed)), "")
        if missing:
            message = f"program of this type cannot use helper bpf_{name}#{number} without {missing}"
            raise CallFailed("EINVAL", message, place=f"insn {pc}")
    for pc, insn in enumerate(program.insns):
        if insn is not None and insn.row.op in ("call_local", "func") and not caller.has(BPF):
            raise CallFailed("EPERM", f"functions of a program need {BPF}", place=f"insn {pc}")


def _calls(program: Program) -> Iterable[tuple[int, int]]:
    for pc, insn in enumerate(program.insns):
        if insn is not None and insn.row.op == "call_helper":
            yield pc, insn.imm
