"""Which map declarations there can be, by the kernel's rules, and how much memory their values take."""

from __future__ import annotations

from collections.abc import Sequence

from bpf.errors import Refused
from bpf.program import Map
from bpf.spec import layout
from bpf.spec.maps import (
    ACCESS,
    BY_NUMBER,
    INNER_MAP,
    MAP_TYPES,
    NO_PREALLOC,
    RDONLY_PROG,
    RULES,
    TIMERS,
    WRONLY,
    WRONLY_PROG,
)
from bpf.spec.maps import RDONLY as READ_ONLY

PAGE = 4096
MAX_BYTES = 64 << 20
"""The memory that the values of one map may take here."""

EXTRA = ("hash", "percpu_hash", "lru_hash", "lru_percpu_hash", "lpm_trie", "devmap_hash")
"""Kinds with a spare value for each CPU: a changed element moves there, so that its old value stays as it was."""

RINGS = ("ringbuf", "user_ringbuf")
OF_MAPS = ("array_of_maps", "hash_of_maps")
_NO_MEMORY = ("queue", "stack", "bloom_filter", "perf_event_array", *OF_MAPS)
_VALUE_SIZES = {"devmap": (4, 8), "devmap_hash": (4, 8), "cpumap": (4, 8)}
MAX_CPUS = 8192  # CONFIG_NR_CPUS


def readonly(map_: Map) -> bool:
    """Whether programs may not write its values."""
    return map_.readonly or bool(map_.flags & RDONLY_PROG)


def slots(map_: Map) -> int:
    """How many values (of each CPU) a map has room for."""
    return map_.max_entries + (layout.CPUS if map_.kind in EXTRA else 0)


def value_bytes(map_: Map) -> int:
    """The bytes of a map that programs can reach. A ring buffer has twice its size, so that no record is cut in two."""
    if map_.kind in _NO_MEMORY or map_.kind not in RULES:
        return 0
    if map_.kind in RINGS:
        return 2 * map_.max_entries
    return layout.size(map_.value_size, slots(map_), per_cpu=RULES[map_.kind].per_cpu)


def check_map(map_: Map, maps: Sequence[Map] = ()) -> None:
    """Raise Refused, naming map and reason, for what Linux or this machine would not create.

    maps: those of the unit, for a map-in-map.
    """
    reason = _reason(map_) or (_inner(map_, maps) if map_.kind in OF_MAPS else "")
    if reason:
        raise Refused(f"map {map_.name} of type {map_.kind}: {reason}")


def _reason(map_: Map) -> str:
    rules = RULES.get(map_.kind)
    if rules is None:
        return "is not supported so far" if map_.kind in MAP_TYPES else f"no such type, of {len(BY_NUMBER)}"
    for what, size, (least, most) in (("key", map_.key_size, rules.keys), ("value", map_.value_size, rules.values)):
        if not least <= size <= most:
            allowed = f"{least} to {most}" if least != most else str(least)
            return f"a {what} of {size} bytes: {allowed} are allowed"
    if map_.kind in _VALUE_SIZES and map_.value_size not in _VALUE_SIZES[map_.kind]:
        return f"a value of {map_.value_size} bytes: 4 or 8 are allowed"
    if not 0 < map_.max_entries < 1 << 32:
        return f"max_entries is {map_.max_entries}"
    if map_.kind in RINGS and (map_.max_entries & map_.max_entries - 1 or map_.max_entries % PAGE):
        return f"max_entries is {map_.max_entries}: a power of two and whole pages are needed"
    if map_.kind == "cpumap" and map_.max_entries > MAX_CPUS:
        return f"max_entries is {map_.max_entries}: at most {MAX_CPUS}, one a CPU"
    return _timer(map_) or _flags(map_, rules.flags, rules.needs) or _size(map_)


def _timer(map_: Map) -> str:
    if map_.timer is None:
        return ""
    if map_.kind not in TIMERS:
        return "its values cannot hold a timer"
    if map_.timer % layout.VALUE_ALIGN or not 0 <= map_.timer <= map_.value_size - layout.TIMER_SIZE:
        return f"a timer at offset {map_.timer} of a value of {map_.value_size} bytes"
    return ""


def _flags(map_: Map, allowed: int, needed: int) -> str:
    if map_.flags & ~allowed:
        return f"flags 0x{map_.flags & ~allowed:x} are not allowed"
    if needed & ~map_.flags:
        return "flag BPF_F_NO_PREALLOC is needed" if needed & NO_PREALLOC else f"flags 0x{needed:x} are needed"
    for both in (READ_ONLY | WRONLY, RDONLY_PROG | WRONLY_PROG):
        if map_.flags & ACCESS & both == both:
            return "flags say read-only and write-only at once"
    return ""


def _size(map_: Map) -> str:
    if len(map_.initial) > map_.value_size:
        return f"initial data of {len(map_.initial)} bytes in a value of {map_.value_size}"
    if map_.initial and map_.max_entries != 1:
        return "initial data is of one element only"
    total = value_bytes(map_) or map_.max_entries
    return f"{total} bytes of values: at most {MAX_BYTES} are supported" if total > MAX_BYTES else ""


def _inner(map_: Map, maps: Sequence[Map]) -> str:
    members = [number for number in map_.maps if number != -1]
    if map_.inner is None and not members:
        return "it is not said what its maps are like"
    if len(map_.maps) > map_.max_entries:
        return f"{len(map_.maps)} maps are given, max_entries is {map_.max_entries}"
    for number in members:
        if not 0 <= number < len(maps):
            return f"map {number} is not there"
        if not fits(map_, maps[number], maps):
            return f"map {maps[number].name} is not like its inner maps"
    return ""


def fits(outer: Map, inner: Map, maps: Sequence[Map]) -> bool:
    """Whether a map can be an element of a map-in-map; else Linux says EINVAL."""
    like = outer.inner or maps[next(number for number in outer.maps if number != -1)]
    if (like.kind, like.key_size, like.value_size, like.flags) != (
        inner.kind, inner.key_size, inner.value_size, inner.flags,
    ):  # fmt: skip
        return False
    free = like.kind != "array" or bool(like.flags & INNER_MAP)
    return inner.kind not in OF_MAPS and (free or like.max_entries == inner.max_entries)
