"""Helper name -> what it does."""

from __future__ import annotations

from bpf.spec.conventions import Convention
from vm.helpers import basic, clocks, control, dynptr, maps, probe, syncookie, task, text, timers
from vm.helpers.base import Helper

_IMPLEMENTATIONS: dict[str, Helper] = {
    "get_prandom_u32": basic.get_prandom_u32,
    "get_smp_processor_id": basic.get_smp_processor_id,
    "csum_diff": basic.csum_diff,
    "unwind": basic.unwind,
    "ktime_get_ns": clocks.ktime_get_ns,
    "ktime_get_boot_ns": clocks.ktime_get_ns,
    "ktime_get_coarse_ns": clocks.ktime_get_coarse_ns,
    "ktime_get_tai_ns": clocks.ktime_get_tai_ns,
    "jiffies64": clocks.jiffies64,
    "get_numa_node_id": clocks.get_numa_node_id,
    "get_current_pid_tgid": task.get_current_pid_tgid,
    "get_current_uid_gid": task.get_current_uid_gid,
    "get_current_comm": task.get_current_comm,
    "get_current_task": task.get_current_task,
    "get_current_task_btf": task.get_current_task,
    "get_current_cgroup_id": task.get_current_cgroup_id,
    "current_task_under_cgroup": task.current_task_under_cgroup,
    "get_current_ancestor_cgroup_id": task.get_current_ancestor_cgroup_id,
    "get_ns_current_pid_tgid": task.get_ns_current_pid_tgid,
    "send_signal": task.send_signal,
    "send_signal_thread": task.send_signal_thread,
    "get_netns_cookie": task.get_netns_cookie,
    "get_branch_snapshot": task.get_branch_snapshot,
    "get_attach_cookie": task.get_attach_cookie,
    "override_return": task.override_return,
    "kallsyms_lookup_name": task.kallsyms_lookup_name,
    "trace_printk": text.trace_printk,
    "trace_vprintk": text.trace_vprintk,
    "snprintf": text.snprintf,
    "strtol": text.strtol,
    "strtoul": text.strtoul,
    "strncmp": text.strncmp,
    "probe_read": probe.probe_read,
    "probe_read_kernel": probe.probe_read_kernel,
    "probe_read_user": probe.probe_read_user,
    "copy_from_user": probe.probe_read_user,
    "probe_read_str": probe.probe_read_str,
    "probe_read_kernel_str": probe.probe_read_kernel_str,
    "probe_read_user_str": probe.probe_read_user_str,
    "copy_from_user_task": probe.copy_from_user_task,
    "probe_write_user": probe.probe_write_user,
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
    "perf_event_read": maps.perf_event_read,
    "perf_event_read_value": maps.perf_event_read_value,
    "spin_lock": maps.spin_lock,
    "spin_unlock": maps.spin_unlock,
    "kptr_xchg": maps.kptr_xchg,
    "dynptr_from_mem": dynptr.dynptr_from_mem,
    "dynptr_read": dynptr.dynptr_read,
    "dynptr_write": dynptr.dynptr_write,
    "dynptr_data": dynptr.dynptr_data,
    "ringbuf_reserve_dynptr": dynptr.ringbuf_reserve_dynptr,
    "ringbuf_submit_dynptr": dynptr.ringbuf_submit_dynptr,
    "ringbuf_discard_dynptr": dynptr.ringbuf_discard_dynptr,
    "user_ringbuf_drain": dynptr.user_ringbuf_drain,
    "tcp_raw_gen_syncookie_ipv4": syncookie.tcp_raw_gen_syncookie_ipv4,
    "tcp_raw_gen_syncookie_ipv6": syncookie.tcp_raw_gen_syncookie_ipv6,
    "tcp_raw_check_syncookie_ipv4": syncookie.tcp_raw_check_syncookie_ipv4,
    "tcp_raw_check_syncookie_ipv6": syncookie.tcp_raw_check_syncookie_ipv6,
    "loop": control.loop,
    "for_each_map_elem": control.for_each_map_elem,
    "timer_init": timers.timer_init,
    "timer_set_callback": timers.timer_set_callback,
    "timer_start": timers.timer_start,
    "timer_cancel": timers.timer_cancel,
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
