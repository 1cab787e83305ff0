"""What a map declaration may say; tests/engines/test_live_maps.py holds the same rules against the live kernel."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from bpf.errors import MapRefused, Refused
from bpf.map_rules import MAX_BYTES, check_map, check_name, kernel_name, slots, value_bytes
from bpf.plan import Unit
from bpf.program import Map
from bpf.spec.layout import CPUS
from bpf.spec.maps import MAP_TYPES, NO_PREALLOC, RDONLY, RDONLY_PROG, RULES, WRONLY, WRONLY_PROG
from bpf.text import assemble

NOTHING = assemble("r0 = 0; exit")
INNER = Map("inner", "hash", 4, 8, 4)


@pytest.mark.parametrize(
    ("map_", "words"),
    [
        (Map("m", "array", 8, 8, 1), "a key of 8 bytes: 4 are allowed"),
        (Map("m", "array", 4, 0, 1), "a value of 0 bytes"),
        (Map("m", "hash", 0, 8, 1), "a key of 0 bytes"),
        (Map("m", "hash", 4, 8, 0), "max_entries is 0"),
        (Map("m", "percpu_array", 4, (32 << 10) + 1, 1), "a value of 32769 bytes: 1 to 32768 are allowed"),
        (Map("m", "array", 4, 8, 1, flags=NO_PREALLOC), "flags 0x1 are not allowed"),
        (Map("m", "hash", 4, 8, 1, flags=RDONLY_PROG | WRONLY_PROG), "read-only and write-only at once"),
        (Map("m", "hash", 4, 8, 1, flags=RDONLY | WRONLY), "read-only and write-only at once"),
        (Map("m", "lru_hash", 4, 8, 1, flags=NO_PREALLOC), "flags 0x1 are not allowed"),
        (Map("m", "lpm_trie", 8, 8, 1), "flag BPF_F_NO_PREALLOC is needed"),
        (Map("m", "lpm_trie", 4, 8, 1, flags=NO_PREALLOC), "a key of 4 bytes: 5 to 260 are allowed"),
        (Map("m", "queue", 4, 8, 1), "a key of 4 bytes: 0 are allowed"),
        (Map("m", "ringbuf", 0, 0, 4097), "a power of two and whole pages"),
        (Map("m", "ringbuf", 0, 0, 2048), "a power of two and whole pages"),
        (Map("m", "ringbuf", 0, 8, 4096), "a value of 8 bytes: 0 are allowed"),
        (Map("m", "devmap", 4, 6, 1), "a value of 6 bytes: 4 or 8 are allowed"),
        (Map("m", "cpumap", 4, 4, 10_000), "at most 8192"),
        (Map("m", "array", 4, 8, 1 << 30), f"at most {MAX_BYTES} are supported"),
        (Map("m", "array", 4, 8, 1, initial=bytes(9)), "initial data of 9 bytes in a value of 8"),
        (Map("m", "array", 4, 8, 2, initial=bytes(8)), "initial data is of one element only"),
        (Map("m", "array_of_maps", 4, 4, 1), "it is not said what its maps are like"),
        (Map("m", "array_of_maps", 4, 4, 1, inner=INNER, maps=(7,)), "map 7 is not there"),
        (Map("m", "array_of_maps", 4, 4, 1, inner=INNER, maps=(-1, -1)), "2 maps are given, max_entries is 1"),
        (Map("m", "array_of_maps", 4, 4, 1, inner=INNER, maps=(2,)), "map other is not like its inner maps"),
        (Map("m", "struct_ops", 4, 4, 1), "is not supported so far"),
        (Map("m", "sockmap", 4, 5, 1), "a value of 5 bytes: 4 or 8 are allowed"),
        (Map("m", "task_storage", 4, 8, 1, flags=NO_PREALLOC), "max_entries is 1, and must be 0"),
        (Map("m", "cgroup_storage", 12, 8, 0), "a key of 12 bytes: 8 or 16 are allowed"),
        (Map("m", "stack_trace", 4, 12, 1), "a value of 12 bytes: 1 to 127 entries of 8 are allowed"),
        (Map("m", "table", 4, 4, 1), "no such type"),
    ],
)  # fmt: skip
def test_what_cannot_be_declared_is_refused_with_map_and_reason(map_: Map, words: str) -> None:
    with pytest.raises(Refused) as refused:
        Unit((NOTHING,), (map_, INNER, Map("other", "hash", 8, 8, 4)))
    assert refused.value.message.startswith(f"map m of type {map_.kind}: ")
    assert words in refused.value.message


@pytest.mark.parametrize(
    ("name", "unit", "shown"),
    [
        (".bss", "a", "a.bss"), (".rodata", "a_long_object_name", "a_long_o.rodata"),
        (".bss", "a_long_object", "a_long_o.bss"),
        (".rodata.str1.1", "a", ".rodata.str1.1"), (".data.a_custom_section", "a", ".data.a_custom_"),
        (".bss", "", ".bss"), (".bss", "a-b", "a_b.bss"), (".kconfig", "runtime", "runtime.kconfig"),
    ],
)  # fmt: skip
def test_names_of_data_sections(name: str, unit: str, shown: str) -> None:
    assert kernel_name(Map(name, value_size=4, initial=bytes(4)), unit) == shown
    assert kernel_name(Map("x" * 20), unit) == "x" * 15


@pytest.mark.parametrize(("name", "fine"), [("a.b_C9", True), ("", True), ("a b", False), ("a-b", False), ("é", False)])
def test_names_that_bpf_takes(name: str, fine: bool) -> None:
    with nullcontext() if fine else pytest.raises(MapRefused, match="only: EINVAL"):
        check_name(name)


@pytest.mark.parametrize("entries", [0, 1])
@pytest.mark.parametrize("flags", [0, 1, 4, 8, 0x10, 0x18, 0x80, 0x400])
def test_prog_arrays(entries: int, flags: int) -> None:
    """The live kernel's answers."""
    fine = entries and flags in (0, 4, 8, 0x10)
    with nullcontext() if fine else pytest.raises(MapRefused, match="EINVAL"):
        check_map(Map("p", "prog_array", 4, 4, entries, flags=flags))


def test_two_maps_of_one_name() -> None:
    with pytest.raises(Refused, match="two maps have the same name"):
        Unit((NOTHING,), (INNER, INNER))


def test_maps_that_are_too_large_together() -> None:
    maps = tuple(Map(f"m{n}", "array", 4, 8, MAX_BYTES // 8) for n in range(3))
    with pytest.raises(Refused, match="bytes of map values"):
        Unit((NOTHING,), maps)


@pytest.mark.parametrize("kind", sorted(set(MAP_TYPES) - set(RULES) - {"arena", "prog_array"}))
def test_kinds_that_are_not_there_are_refused_by_name(kind: str) -> None:
    with pytest.raises(Refused, match=f"of type {kind}: is not supported so far"):
        check_map(Map("m", kind, 4, 4, 1))


def test_room_for_values() -> None:
    assert value_bytes(Map("m", "array", 4, 5, 3)) == 24
    assert value_bytes(Map("m", "percpu_array", 4, 5, 3)) == CPUS * 64
    assert slots(Map("m", "hash", 4, 8, 3)) == 3 + CPUS
    assert value_bytes(Map("m", "ringbuf", 0, 0, 4096)) == 8192
    assert value_bytes(Map("m", "queue", 0, 8, 100)) == 0


def test_only_the_value_of_an_array_of_one_element_has_an_address() -> None:
    prog = assemble("r0 = map_value[idx:0][0]; exit")
    assert Unit((prog,), (Map("m", "array", 4, 8, 1),)).constants(prog)
    for map_ in (Map("m", "array", 4, 8, 2), Map("m", "hash", 4, 8, 1)):
        with pytest.raises(Refused, match="outside the value of map m"):
            Unit((prog,), (map_,)).constants(prog)
