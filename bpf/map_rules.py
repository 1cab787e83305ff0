"""Which map declarations there can be, by the kernel's rules, and how much memory their values take."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bpf.errors import MapRefused
from bpf.program import Map
from bpf.spec import layout
from bpf.spec.maps import (
    ACCESS,
    BY_NUMBER,
    HASHED,
    INNER_MAP,
    LOCAL,
    LOCKS,
    MAP_TYPES,
    NO_COMMON_LRU,
    NO_PREALLOC,
    NUMA_NODE,
    PER_CGROUP,
    RDONLY_PROG,
    RULES,
    SOCKETS,
    STACK_BUILD_ID,
    STORED,
    TIMERS,
    WRONLY,
    WRONLY_PROG,
    Rules,
)
from bpf.spec.maps import RDONLY as READ_ONLY

PAGE = 4096
MAX_BYTES = 64 << 20
"""The memory that the values of one map may take here."""

EXTRA = ("hash", "percpu_hash", "lru_hash", "lru_percpu_hash", "lpm_trie", "devmap_hash", "cgroup_storage", *LOCAL)
"""Kinds with a spare value for each CPU: a changed element moves there, so that its old value stays as it was."""

RINGS = ("ringbuf", "user_ringbuf")
OF_MAPS = ("array_of_maps", "hash_of_maps")
STORAGE = frozenset({*LOCAL, *PER_CGROUP})
"""Kinds that are given no number of elements."""

_NO_MEMORY = ("queue", "stack", "bloom_filter", "perf_event_array", "stack_trace", *SOCKETS, *OF_MAPS)
_KEY_SIZES = dict.fromkeys(PER_CGROUP, (8, 16))
_VALUE_SIZES = dict.fromkeys(
    ("devmap", "devmap_hash", "cpumap", "sockmap", "sockhash", "reuseport_sockarray"), (4, 8)
)  # fmt: skip
_DEVICES = ("devmap", "devmap_hash")
_EXTRA = {"bloom_filter": 0xF, "arena": (1 << 64) - PAGE}
"""What map_extra may say: how many hash functions, at which page."""
_NEVER_INNER = ("prog_array", "struct_ops", *PER_CGROUP)
MAX_CPUS = 8192  # CONFIG_NR_CPUS
FRAME, BUILD_ID = 8, 32  # bytes of an entry of a stack trace; with STACK_BUILD_ID

PROG_ARRAY = Rules((4, 4), (4, 4), frozenset(), NUMA_NODE | READ_ONLY | WRONLY)
NAME = 15  # BPF_OBJ_NAME_LEN, without the NUL
_SECTION = 7  # characters that the name of a data section has for itself in that of its map

_Reason = tuple[str, str]  # an errno's name, "" for what only this machine refuses, and why


def readonly(map_: Map) -> bool:
    """Whether programs may not write its values."""
    return map_.readonly or map_.kind in _DEVICES or bool(map_.flags & RDONLY_PROG)


def writeonly(map_: Map) -> bool:
    """Whether programs may not read its values."""
    return bool(map_.flags & WRONLY_PROG)


def entries(map_: Map) -> int:
    """How many elements a map has room for."""
    return STORED if map_.kind in STORAGE else map_.max_entries


def slots(map_: Map) -> int:
    """How many values (of each CPU) a map has room for."""
    return entries(map_) + (layout.CPUS if map_.kind in EXTRA else 0)


def value_bytes(map_: Map) -> int:
    """The bytes of a map that programs can reach. A ring buffer has twice its size, so that no record is cut in two."""
    if map_.kind in _NO_MEMORY or map_.kind not in RULES:
        return 0
    if map_.kind in RINGS:
        return 2 * map_.max_entries
    if map_.kind == "arena":
        return PAGE * map_.max_entries
    return layout.size(map_.value_size, slots(map_), per_cpu=RULES[map_.kind].per_cpu)


def check_name(name: str) -> None:
    """Raise MapRefused for a name that bpf() does not take; what is behind its 15th character is cut off before."""
    if not re.fullmatch("[A-Za-z0-9_.]*", name):
        raise MapRefused(f"map {name!r}: a name has letters, digits, _ and . only", "EINVAL")


def kernel_name(map_: Map, unit: str = "") -> str:
    """The name of a map as bpf() has it: at most 15 characters, before a data section the name of its object (unit).

    `.bss` of counter.o is `counter.bss`; `.data.cold`, which has a name of its own, stays. They are libbpf's rules.
    """
    if not map_.is_data:
        return map_.name[:NAME]
    section = map_.name[:NAME]
    before = "" if "." in map_.name[1:] else unit[: NAME - max(len(section), _SECTION)]
    return re.sub("[^A-Za-z0-9_.]", "_", before + section)


def check_map(map_: Map, maps: Sequence[Map] = ()) -> None:
    """Raise MapRefused, naming map, reason and errno, for what Linux or this machine would not create.

    maps: those of the unit, for a map-in-map.
    """
    found = _reason(map_) or (_inner(map_, maps) if map_.kind in OF_MAPS else None)
    if found:
        raise MapRefused(f"map {map_.name} of type {map_.kind}: {found[1]}", found[0])


def _reason(map_: Map) -> _Reason | None:
    """In the order in which Linux asks, since a declaration may be wrong in several ways."""
    rules = PROG_ARRAY if map_.kind == "prog_array" else RULES.get(map_.kind)
    if rules is None:
        known = map_.kind in MAP_TYPES
        return ("", "is not supported so far") if known else ("EINVAL", f"no such type, of {len(BY_NUMBER)}")
    big = map_.value_size > rules.values[1]
    if map_.extra & ~_EXTRA.get(map_.kind, 0) and not (map_.kind == "bloom_filter" and big):
        return "EINVAL", f"map_extra is 0x{map_.extra:x}"
    if big and (map_.kind == "bloom_filter" or (map_.kind in PER_CGROUP and not _wrong_key(map_, rules))):
        return "E2BIG", _sizes("value", map_.value_size, rules.values)
    of_hashes = rules.flags | NO_PREALLOC | NUMA_NODE
    if map_.kind.startswith("lru") and not map_.flags & ~of_hashes and map_.flags & NO_PREALLOC:
        return "ENOTSUPP", "flags 0x1 are not allowed"
    plain = _wrong_key(map_, rules) or _wrong_value(map_, rules) or _wrong_entries(map_)
    plain = plain or _flags(map_, rules.flags, rules.needs)
    if plain:
        return "EINVAL", plain
    return _too_big(map_, rules) or _special(map_) or _size(map_)


def _sizes(what: str, size: int, bounds: tuple[int, int]) -> str:
    least, most = bounds
    return f"a {what} of {size} bytes: {f'{least} to {most}' if least != most else least} are allowed"


def _wrong_key(map_: Map, rules: Rules) -> str:
    sizes = _KEY_SIZES.get(map_.kind)
    if sizes is not None:
        return "" if map_.key_size in sizes else f"a key of {map_.key_size} bytes: 8 or 16 are allowed"
    least, most = rules.keys
    strict = least == most or map_.kind == "lpm_trie"
    wrong = map_.key_size < least or (map_.key_size > most and strict)
    return _sizes("key", map_.key_size, rules.keys) if wrong else ""


def _wrong_value(map_: Map, rules: Rules) -> str:
    sizes = _VALUE_SIZES.get(map_.kind)
    if sizes is not None:
        return "" if map_.value_size in sizes else f"a value of {map_.value_size} bytes: 4 or 8 are allowed"
    if map_.kind == "stack_trace":
        size = BUILD_ID if map_.flags & STACK_BUILD_ID else FRAME
        if map_.value_size % size or not 0 < map_.value_size // size <= rules.values[1] // FRAME:
            return f"a value of {map_.value_size} bytes: 1 to {rules.values[1] // FRAME} entries of {size} are allowed"
        return ""
    least, most = rules.values
    strict = least == most or map_.kind == "lpm_trie"
    wrong = map_.value_size < least or (map_.value_size > most and strict)
    return _sizes("value", map_.value_size, rules.values) if wrong else ""


def _wrong_entries(map_: Map) -> str:
    if map_.kind in STORAGE:
        return f"max_entries is {map_.max_entries}, and must be 0" if map_.max_entries else ""
    if not 0 < map_.max_entries < 1 << 32:
        return f"max_entries is {map_.max_entries}"
    if map_.kind in RINGS and (map_.max_entries & map_.max_entries - 1 or map_.max_entries % PAGE):
        return f"max_entries is {map_.max_entries}: a power of two and whole pages are needed"
    return ""


def _flags(map_: Map, allowed: int, needed: int) -> str:
    if map_.flags & ~allowed:
        return f"flags 0x{map_.flags & ~allowed:x} are not allowed"
    if needed & ~map_.flags:
        return "flag BPF_F_NO_PREALLOC is needed" if needed & NO_PREALLOC else f"flags 0x{needed:x} are needed"
    for both in (READ_ONLY | WRONLY, RDONLY_PROG | WRONLY_PROG):
        if map_.flags & ACCESS & both == both:
            return "flags say read-only and write-only at once"
    if map_.kind.startswith("lru") and map_.flags & NO_COMMON_LRU and map_.flags & NUMA_NODE:
        return "lists of each CPU and a NUMA node at once"
    return ""


def _too_big(map_: Map, rules: Rules) -> _Reason | None:
    for what, size, bounds in (("key", map_.key_size, rules.keys), ("value", map_.value_size, rules.values)):
        if size > bounds[1] and map_.kind != "stack_trace":
            return "E2BIG", _sizes(what, size, bounds)
    if "hash" in map_.kind and map_.kind not in _VALUE_SIZES and map_.key_size + map_.value_size > HASHED:
        return "E2BIG", f"a key and a value of {map_.key_size + map_.value_size} bytes: at most {HASHED} together"
    if map_.kind == "cpumap" and map_.max_entries > MAX_CPUS:
        return "E2BIG", f"max_entries is {map_.max_entries}: at most {MAX_CPUS}, one a CPU"
    return None


def _special(map_: Map) -> _Reason | None:
    """What a spin lock or a timer in the value is refused for."""
    for what, at, size, align, kinds in (
        ("spin lock", map_.lock, layout.LOCK_SIZE, layout.LOCK_SIZE, LOCKS),
        ("timer", map_.timer, layout.TIMER_SIZE, layout.VALUE_ALIGN, TIMERS),
    ):
        if at is None:
            continue
        if at % align or not 0 <= at <= map_.value_size - size:
            return "EINVAL", f"a {what} at offset {at} of a value of {map_.value_size} bytes"
        if map_.flags & (RDONLY_PROG | WRONLY_PROG) or map_.kind in _DEVICES:
            return "EACCES", f"a {what} in values that programs may not read and write"
        if map_.kind not in kinds:
            return "EOPNOTSUPP", f"its values cannot hold a {what}"
    return None


def _size(map_: Map) -> _Reason | None:
    room = value_bytes(map_) if map_.kind == "arena" else map_.value_size
    if len(map_.initial) > room:
        return "EINVAL", f"initial data of {len(map_.initial)} bytes in a value of {room}"
    if map_.initial and map_.max_entries != 1 and map_.kind != "arena":
        return "EINVAL", "initial data is of one element only"
    total = value_bytes(map_) or map_.max_entries
    return ("", f"{total} bytes of values: at most {MAX_BYTES} are supported") if total > MAX_BYTES else None


def _inner(map_: Map, maps: Sequence[Map]) -> _Reason | None:
    members = [number for number in map_.maps if number != -1]
    if map_.inner is None and not members:
        return "EBADF", "it is not said what its maps are like"
    if map_.inner is not None and map_.inner.kind in (*OF_MAPS, *_NEVER_INNER):
        return "EINVAL" if map_.inner.kind in OF_MAPS else "ENOTSUPP", f"its maps cannot be of type {map_.inner.kind}"
    if len(map_.maps) > map_.max_entries:
        return "E2BIG", f"{len(map_.maps)} maps are given, max_entries is {map_.max_entries}"
    for number in members:
        if not 0 <= number < len(maps):
            return "EBADF", f"map {number} is not there"
        if not fits(map_, maps[number], maps):
            return "EINVAL", f"map {maps[number].name} is not like its inner maps"
    return None


def fits(outer: Map, inner: Map, maps: Sequence[Map]) -> bool:
    """Whether a map can be an element of a map-in-map; else Linux says EINVAL."""
    like = outer.inner or next((maps[number] for number in outer.maps if number != -1), None)
    if like is None:
        return False
    kept = ~(READ_ONLY | WRONLY)  # these two are the descriptor's
    if (like.kind, like.key_size, like.value_size, like.flags & kept) != (
        inner.kind, inner.key_size, inner.value_size, inner.flags & kept,
    ):  # fmt: skip
        return False
    free = like.kind not in ("array", "xskmap") or bool(like.flags & INNER_MAP)
    return inner.kind not in OF_MAPS and (free or like.max_entries == inner.max_entries)
