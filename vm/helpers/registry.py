"""Helper name -> what it does."""

from __future__ import annotations

from bpf.spec.conventions import Convention
from vm.helpers import basic, control, fib, maps, redirect, skb, skb_room, xdp
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
    "skb_load_bytes": skb.skb_load_bytes,
    "skb_load_bytes_relative": skb.skb_load_bytes_relative,
    "skb_store_bytes": skb.skb_store_bytes,
    "skb_pull_data": skb.skb_pull_data,
    "l3_csum_replace": skb.l3_csum_replace,
    "l4_csum_replace": skb.l4_csum_replace,
    "csum_update": skb.csum_update,
    "csum_level": skb.csum_level,
    "get_hash_recalc": skb.get_hash_recalc,
    "set_hash_invalid": skb.set_hash_invalid,
    "set_hash": skb.set_hash,
    "skb_change_type": skb.skb_change_type,
    "skb_ecn_set_ce": skb.skb_ecn_set_ce,
    "get_cgroup_classid": skb.get_cgroup_classid,
    "get_route_realm": skb.get_route_realm,
    "skb_cgroup_id": skb.skb_cgroup_id,
    "get_socket_cookie": skb.get_socket_cookie,
    "get_socket_uid": skb.get_socket_uid,
    "skb_change_tail": skb_room.skb_change_tail,
    "skb_change_head": skb_room.skb_change_head,
    "skb_vlan_push": skb_room.skb_vlan_push,
    "skb_vlan_pop": skb_room.skb_vlan_pop,
    "skb_change_proto": skb_room.skb_change_proto,
    "skb_adjust_room": skb_room.skb_adjust_room,
    "xdp_adjust_head": xdp.xdp_adjust_head,
    "xdp_adjust_meta": xdp.xdp_adjust_meta,
    "xdp_adjust_tail": xdp.xdp_adjust_tail,
    "xdp_get_buff_len": xdp.xdp_get_buff_len,
    "xdp_load_bytes": xdp.xdp_load_bytes,
    "xdp_store_bytes": xdp.xdp_store_bytes,
    "redirect": redirect.redirect,
    "redirect_neigh": redirect.redirect_neigh,
    "redirect_peer": redirect.redirect_peer,
    "clone_redirect": redirect.clone_redirect,
    "redirect_map": redirect.redirect_map,
    "check_mtu": redirect.check_mtu,
    "fib_lookup": fib.fib_lookup,
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
