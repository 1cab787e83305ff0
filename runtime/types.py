"""A program's type by the name of its section."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from bpf.errors import BadInput

UNSPEC = "unspec"
NUMBERED = (
    "unspec", "socket_filter", "kprobe", "sched_cls", "sched_act", "tracepoint", "xdp", "perf_event", "cgroup_skb",
    "cgroup_sock", "lwt_in", "lwt_out", "lwt_xmit", "sock_ops", "sk_skb", "cgroup_device", "sk_msg", "raw_tracepoint",
    "cgroup_sock_addr", "lwt_seg6local", "lirc_mode2", "sk_reuseport", "flow_dissector", "cgroup_sysctl",
    "raw_tracepoint_writable", "cgroup_sockopt", "tracing", "struct_ops", "ext", "lsm", "sk_lookup", "syscall",
    "netfilter",
)  # fmt: skip
"""bpftool's names in the order of BPF_PROG_TYPE_*."""

_WORDS = {
    "socket": "socket_filter", "tc": "sched_cls", "classifier": "sched_cls", "action": "sched_act", "tp": "tracepoint",
    "raw_tp": "raw_tracepoint", "sockops": "sock_ops", "kretprobe": "kprobe", "uprobe": "kprobe",
    "uretprobe": "kprobe", "fentry": "tracing", "fexit": "tracing", "fmod_ret": "tracing", "tp_btf": "tracing",
    "iter": "tracing", "freplace": "ext", "cgroup_skb": "cgroup_skb",
}  # fmt: skip


def table() -> Any:
    """bpf.spec.program_types, None where there is none."""
    return import_module("bpf.spec.program_types") if find_spec("bpf.spec.program_types") else None


def of_section(section: str) -> str:
    """The type that a section's name says: what libbpf gives it, else its first word where that is a type."""
    found = table()
    if found is not None:
        known = found.of_section(section)
        return known.name if known is not None else UNSPEC
    word = section.removeprefix("?").split("/")[0].split(".")[0]
    word = _WORDS.get(word, word)
    return word if word in NUMBERED else UNSPEC


def named(word: str) -> str:
    """A type as a user writes it: bpftool's name, or the name of a section. Raises BadInput."""
    if word in NUMBERED:
        return word
    found = of_section(word)
    if found == UNSPEC:
        raise BadInput(f"no program type {word!r}", remedy="types: " + ", ".join(NUMBERED))
    return found
