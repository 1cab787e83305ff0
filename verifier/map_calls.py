"""Maps as arguments: which helper takes which kind, what is remembered of a call.

Source: check_map_func_compatibility, record_func_map, get_constant_map_key of Linux 6.18.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpf.isa.effects import signed
from bpf.map_rules import readonly
from bpf.program import Map
from bpf.spec.errno import EACCES, EINVAL
from bpf.spec.maps import INNER_MAP, MAP_TYPES
from verifier import precision, rules
from verifier.env import Env
from verifier.rejection import Rejection
from verifier.state import SPILL, ZEROS, Reg
from verifier.types import SCALAR, STACK

if TYPE_CHECKING:
    from verifier.arguments import Call


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PERF = _names("perf_event_read perf_event_output skb_output perf_event_read_value xdp_output")
_RING = _names(
    "ringbuf_output ringbuf_reserve ringbuf_query ringbuf_reserve_dynptr ringbuf_submit_dynptr ringbuf_discard_dynptr"
)
_QUEUE = _names("map_peek_elem map_pop_elem map_push_elem")
_SOCKMAP = _names("map_lookup_elem sk_select_reuseport")
ONLY: dict[str, frozenset[str]] = {
    "prog_array": _names("tail_call"),
    "perf_event_array": _PERF,
    "ringbuf": _RING,
    "user_ringbuf": _names("user_ringbuf_drain"),
    "stack_trace": _names("get_stackid"),
    "cgroup_array": _names("skb_under_cgroup current_task_under_cgroup"),
    "cgroup_storage": _names("get_local_storage"),
    "percpu_cgroup_storage": _names("get_local_storage"),
    "devmap": _names("redirect_map map_lookup_elem"),
    "devmap_hash": _names("redirect_map map_lookup_elem"),
    "cpumap": _names("redirect_map"),
    "xskmap": _names("redirect_map map_lookup_elem"),
    "array_of_maps": _names("map_lookup_elem"),
    "hash_of_maps": _names("map_lookup_elem"),
    "sockmap": _SOCKMAP | _names("sk_redirect_map sock_map_update msg_redirect_map"),
    "sockhash": _SOCKMAP | _names("sk_redirect_hash sock_hash_update msg_redirect_hash"),
    "reuseport_sockarray": _names("sk_select_reuseport"),
    "queue": _QUEUE,
    "stack": _QUEUE,
    "sk_storage": _names("sk_storage_get sk_storage_delete kptr_xchg"),
    "inode_storage": _names("inode_storage_get inode_storage_delete kptr_xchg"),
    "task_storage": _names("task_storage_get task_storage_delete kptr_xchg"),
    "cgrp_storage": _names("cgrp_storage_get cgrp_storage_delete kptr_xchg"),
    "bloom_filter": _names("map_peek_elem map_push_elem"),
    "insn_array": frozenset(),
}
"""Kind of map -> the only helpers that take one; of a kind that is not here every other helper does."""

_STORAGES = {kind: _names(f"{kind}_get {kind}_delete") for kind in (
    "sk_storage", "inode_storage", "task_storage", "cgrp_storage",
)}  # fmt: skip
NEEDS: dict[str, frozenset[str]] = {
    "tail_call": _names("prog_array"),
    **dict.fromkeys(_PERF, _names("perf_event_array")),
    **dict.fromkeys(_RING, _names("ringbuf")),
    "user_ringbuf_drain": _names("user_ringbuf"),
    "get_stackid": _names("stack_trace"),
    "skb_under_cgroup": _names("cgroup_array"),
    "current_task_under_cgroup": _names("cgroup_array"),
    "redirect_map": _names("devmap devmap_hash cpumap xskmap"),
    "sk_redirect_map": _names("sockmap"),
    "msg_redirect_map": _names("sockmap"),
    "sock_map_update": _names("sockmap"),
    "sk_redirect_hash": _names("sockhash"),
    "msg_redirect_hash": _names("sockhash"),
    "sock_hash_update": _names("sockhash"),
    "get_local_storage": _names("cgroup_storage percpu_cgroup_storage"),
    "sk_select_reuseport": _names("reuseport_sockarray sockmap sockhash"),
    "map_pop_elem": _names("queue stack"),
    "map_peek_elem": _names("queue stack bloom_filter"),
    "map_push_elem": _names("queue stack bloom_filter"),
    "map_lookup_percpu_elem": _names("percpu_array percpu_hash lru_percpu_hash"),
    **{name: frozenset({kind}) for kind, names in _STORAGES.items() for name in names},
}
"""Helper -> the only kinds of map that it takes."""

_CHANGES = _names("map_delete_elem map_update_elem map_push_elem map_pop_elem")
_UPDATES = _names("map_update_elem map_delete_elem")
_MAY_UPDATE_SOCKETS = _names("socket_filter sched_cls sched_act xdp sk_reuseport flow_dissector sk_lookup")


def holds_sockets(map_: Map | None) -> bool:
    """Whether what is found in a map is a socket, which has to be released."""
    return map_ is not None and map_.kind in ("sockmap", "sockhash")


def has_all_keys(map_: Map) -> bool:
    """Whether each key below max_entries has a value, and max_entries is that of every map that comes here."""
    return map_.kind in ("array", "percpu_array") and not map_.flags & INNER_MAP


def _may_update_sockets(env: Env, name: str) -> bool:
    kind = env.subject.type.name
    if name not in _UPDATES:
        return False
    if kind == "tracing":
        return rules.attached_to(env.subject) == "trace_iter"
    return kind in _MAY_UPDATE_SOCKETS or (kind == "sock_ops" and name == "map_delete_elem")


def compatible(env: Env, made: Call) -> None:
    """The helper takes this kind of map. Raises Rejection."""
    map_ = made.map
    if map_ is None:
        return
    only, needs, name = ONLY.get(map_.kind), NEEDS.get(made.name), made.name
    ok = (only is None or name in only) and (needs is None or map_.kind in needs)
    said = ""
    if not ok and holds_sockets(map_) and needs is None:
        if _may_update_sockets(env, name):
            return
        said = "cannot update sockmap in this context\n" if name in _UPDATES else ""
    if not ok:
        number = MAP_TYPES[map_.kind].number if map_.kind in MAP_TYPES else 0
        raise Rejection(EINVAL, f"{said}cannot pass map_type {number} into func bpf_{name}#{made.number}", env.pc)


def record(env: Env, made: Call) -> None:
    """What is noted of a call's map over all paths. Raises Rejection where a program may only read it."""
    map_ = made.map
    if map_ is None:
        return
    if readonly(map_) and made.name in _CHANGES:
        raise Rejection(EACCES, "write into map forbidden", env.pc)
    aux = env.aux[env.pc]
    aux.map = map_ if aux.map is None or aux.map is map_ else False
    if made.name == "tail_call":
        if map_.kind != "prog_array":
            raise Rejection(EINVAL, "expected prog array map for tail call", env.pc)
        reg = env.state.frames[-1].regs[3]
        if reg.type == SCALAR and reg.num.mask == 0 and reg.num.value < map_.max_entries:
            precision.register(env, 3)


def constant_key(env: Env, reg: Reg, size: int) -> int | None:
    """A key that is known, because it lies on the stack as a constant; its slot is then marked precise."""
    if not env.capable or reg.type != STACK or reg.num.mask:
        return None
    frame = env.state.frames[reg.aux]
    index, place = divmod(-(reg.off + signed(reg.num.value, 64)) - 1, 8)
    kinds = frame.slot(index).kinds
    zeros = at = 0
    while place - at >= 0 and kinds[place - at] == ZEROS:
        zeros += 1
        at += 1
    if zeros >= size:
        return 0
    slot = frame.slot(index)
    if kinds[7] != SPILL or slot.reg.type != SCALAR:
        return None
    spilled = 0
    while place - spilled >= 0 and kinds[place - spilled] == SPILL:
        spilled += 1
    if spilled != size or slot.reg.num.mask:
        return None
    precision.slot(env, frame.number, index)
    return slot.reg.num.value
