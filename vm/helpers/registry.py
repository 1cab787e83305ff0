"""Helper name -> what it does."""

from __future__ import annotations

from bpf.spec.conventions import Convention
from vm.helpers import basic, control, maps
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
    "map_lookup_elem": maps.map_lookup_elem,
    "map_update_elem": maps.map_update_elem,
    "map_delete_elem": maps.map_delete_elem,
    "map_push_elem": maps.map_push_elem,
    "map_pop_elem": maps.map_pop_elem,
    "map_peek_elem": maps.map_peek_elem,
    "map_lookup_percpu_elem": maps.map_lookup_percpu_elem,
    "ringbuf_output": maps.ringbuf_output,
    "ringbuf_reserve": maps.ringbuf_reserve,
    "ringbuf_submit": maps.ringbuf_submit,
    "ringbuf_discard": maps.ringbuf_discard,
    "ringbuf_query": maps.ringbuf_query,
    "perf_event_output": maps.perf_event_output,
    "spin_lock": maps.spin_lock,
    "spin_unlock": maps.spin_unlock,
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
