"""Helper name -> what it does."""

from __future__ import annotations

from bpf.spec.conventions import Convention
from vm.helpers import basic, control
from vm.helpers.base import Helper

_IMPLEMENTATIONS: dict[str, Helper] = {
    "ktime_get_ns": basic.ktime_get_ns,
    "ktime_get_boot_ns": basic.ktime_get_ns,
    "get_prandom_u32": basic.get_prandom_u32,
    "get_smp_processor_id": basic.get_smp_processor_id,
    "get_current_pid_tgid": basic.get_current_pid_tgid,
    "get_current_uid_gid": basic.get_current_uid_gid,
    "get_current_comm": basic.get_current_comm,
    "trace_printk": basic.trace_printk,
    "csum_diff": basic.csum_diff,
    "unwind": basic.unwind,
    "loop": control.loop,
}


def implementation(name: str) -> Helper:
    """The function of a helper that bpf/spec/helpers.py lists."""
    return _IMPLEMENTATIONS[name]


def implementations(convention: Convention) -> dict[int, tuple[str, int, Helper]]:
    """Of the helpers that somebody is called for: number -> (name, how many arguments, what it does)."""
    return {
        number: (helper.name, helper.arguments, implementation(helper.name))
        for number, helper in convention.helpers.items()
        if not helper.inline
    }
