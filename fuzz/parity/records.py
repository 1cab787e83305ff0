"""Recorded programs as the verifier takes them: JSON records of three sets, made into Subjects.

A record has the program's wire form and says which instructions name which maps; the sets differ in how. What the sets
have in common, maps by a customary name, is the table KINDS.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bpf.isa import opcodes
from bpf.object.btf import Btf, Kind, Member, Type
from bpf.object.btf_wire import decode
from bpf.program import Map
from bpf.spec.errno import EPERM
from bpf.spec.maps import BY_NUMBER as MAP_TYPES
from bpf.spec.program_types import BY_NUMBER
from engines.function_info import header
from fuzz.parity import shapes
from verifier.options import ALL, Options
from verifier.raw import SLOT
from verifier.subject import Subject

STRICT, ANY, RANDOM, FREQUENT, SLEEPABLE = 1, 2, 4, 8, 16  # BPF_F_* of a load
OTHERS = ~(STRICT | ANY | FREQUENT | SLEEPABLE)  # flags that a Subject and Options do not have


@dataclass(frozen=True, slots=True)
class Case:
    """A recorded program.

    verdict   errno, 0 for accepted; None where the kernel's verifier was not asked
    message   what the kernel said last, "" where that is not recorded
    expected  what its authors expect: accepted or not; None: nothing
    said      words that its authors expect in the kernel's log
    """

    set: str
    name: str
    subject: Subject
    options: Options
    flags: int
    verdict: int | None
    message: str
    expected: bool | None
    said: tuple[str, ...]
    unprivileged: bool | None
    said_unprivileged: tuple[str, ...]
    processed: int | None
    section: str = ""


KINDS: Mapping[str, Map] = {
    "map_hash_8b": Map("", "hash", 8, 8, 1),
    "map_hash_16b": Map("", "hash", 8, 16, 1),
    "map_hash_48b": Map("", "hash", 8, 48, 1),
    "map_array_48b": Map("", "array", 4, 48, 1),
    "map_array_small": Map("", "array", 4, 1, 1),
    "map_array_ro": Map("", "array", 4, 48, 1, flags=0x80),
    "map_array_wo": Map("", "array", 4, 48, 1, flags=0x100),
    "prog1": Map("", "prog_array", 4, 4, 4),
    "prog2": Map("", "prog_array", 4, 4, 8),
    "map_in_map": Map("", "array_of_maps", 4, 4, 1, inner=Map("inner", "array", 4, 4, 1)),
    "map_sockmap": Map("", "sockmap", 4, 4, 1),
    "map_sockhash": Map("", "sockhash", 4, 4, 1),
    "map_xskmap": Map("", "xskmap", 4, 4, 1),
    "map_stacktrace": Map("", "stack_trace", 4, 8, 1),
    "map_ringbuf": Map("", "ringbuf", 0, 0, 4096),
    "map_event_output": Map("", "perf_event_array", 4, 4, 1),
    "map_reuseport_array": Map("", "reuseport_sockarray", 4, 8, 1),
    "cgroup_storage": Map("", "cgroup_storage", 16, 64, 0),
    "percpu_cgroup_storage": Map("", "percpu_cgroup_storage", 16, 64, 0),
    "sk_storage_map": Map("test_map", "sk_storage", 4, 8, 0, flags=1, lock=4),
    "map_spin_lock": Map("test_map", "array", 4, 8, 1, lock=4),
    "map_timer": Map("test_map", "array", 4, 16, 1, timer=0),
    "map_kptr": Map("test_map", "array", 4, 24, 1),
}
"""The maps by their customary names."""

_LOCKED = (
    Type(Kind.INT, "int", 4, encoding=1, bits=32),
    Type(Kind.INT, "unsigned int", 4, bits=32),
    Type(Kind.STRUCT, "bpf_spin_lock", 4, members=(Member("val", 2, 0),)),
    Type(Kind.STRUCT, "val", 8, members=(Member("cnt", 1, 0), Member("l", 3, 32))),
)
_VALUES: Mapping[str, tuple[Type, ...]] = {
    "map_spin_lock": _LOCKED,
    "sk_storage_map": _LOCKED,
    "map_timer": (
        Type(Kind.INT, "int", 4, encoding=1, bits=32),
        Type(Kind.INT, "unsigned long", 8, bits=64),
        Type(Kind.ARRAY, "", type=2, index=1, count=2),
        Type(Kind.STRUCT, "bpf_timer", 16, members=(Member("__opaque", 3, 0),)),
        Type(Kind.STRUCT, "timer", 16, members=(Member("t", 4, 0),)),
    ),
    "map_kptr": (
        Type(Kind.INT, "int", 4, encoding=1, bits=32),
        Type(Kind.STRUCT, "prog_test_ref_kfunc", 4, members=(Member("a", 1, 0),)),
        Type(Kind.TYPE_TAG, "kptr_untrusted", type=2),
        Type(Kind.PTR, type=3),
        Type(Kind.TYPE_TAG, "kptr", type=2),
        Type(Kind.PTR, type=5),
        Type(Kind.STRUCT, "prog_test_member", 4, members=(Member("a", 1, 0),)),
        Type(Kind.TYPE_TAG, "kptr", type=7),
        Type(Kind.PTR, type=8),
        Type(
            Kind.STRUCT, "btf_ptr", 24,
            members=(Member("unref_ptr", 4, 0), Member("ref_ptr", 6, 64), Member("ref_memb_ptr", 9, 128)),
        ),
    ),
}  # fmt: skip
"""The types of the values of the maps whose values are more than bytes, numbered from 1; the last is the value's."""

_KFUNCS: Mapping[int, str] = {
    63548: "bpf_cast_to_kern_ctx", 63552: "bpf_cgroup_acquire", 63564: "bpf_cgroup_from_id",
    63579: "bpf_cgroup_release", 63667: "bpf_cpumask_acquire", 63688: "bpf_cpumask_create",
    63712: "bpf_cpumask_release", 63716: "bpf_cpumask_set_cpu", 63728: "bpf_cpumask_test_cpu",
    63874: "bpf_dynptr_from_xdp", 63895: "bpf_dynptr_slice", 64074: "bpf_get_task_exe_file",
    64128: "bpf_iter_bits_destroy", 64131: "bpf_iter_bits_new", 64134: "bpf_iter_bits_next",
    64239: "bpf_iter_num_destroy", 64242: "bpf_iter_num_new", 64245: "bpf_iter_num_next", 64381: "bpf_key_put",
    64496: "bpf_lookup_system_key", 65243: "bpf_path_d_path", 65454: "bpf_put_file", 65895: "bpf_task_acquire",
    65900: "bpf_task_from_pid", 65910: "bpf_task_release",
}  # fmt: skip
"""Kernel functions by the number that they had in the kernel where the records were made."""

_TRACING, _EXT, _LSM, _SYSCALL = 26, 28, 29, 31


def load(path: Path) -> list[dict[str, Any]]:
    """The records of a file of them, as they are."""
    data = path.read_bytes()
    found: list[dict[str, Any]] = json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
    return found


def case(record: Mapping[str, Any], *, unprivileged: bool = False) -> Case:
    """One record as a case. unprivileged: verified for a loader without capabilities."""
    by_name = "map_relocs" in record
    code = bytearray.fromhex(record["insns"])
    maps, types, value_types = (_named_maps if by_name else _listed_maps)(record, code)
    btf, functions = _types(record, types)
    offset = len(btf.types) - len(types)
    numbered = tuple(
        replace(map_, value_type=value_types[number] + offset - 1) if number in value_types else map_
        for number, map_ in enumerate(maps)
    )
    flags = record["flags"]
    section = record.get("section") or ""
    kind = record["prog_type"]
    live = record["live"]
    subject = Subject(
        code=bytes(code), order="little", type=BY_NUMBER[kind], attach=record["expected_attach_type"],
        maps=numbered, btf=btf if len(btf.types) > 1 else None, types=functions, license="GPL",
        sleepable=bool(flags & SLEEPABLE) or kind == _SYSCALL or ".s/" in section or section.endswith(".s"),
        target=_target(record), kfuncs=_kfuncs(record, code),
    )  # fmt: skip
    strict, any_alignment = (1, 2) if by_name else (2, 1)
    options = Options(
        caps=frozenset() if unprivileged else ALL,
        strict=bool(flags & strict),
        any_alignment=bool(flags & any_alignment),
        frequent=bool(flags & FREQUENT),
        log_level=2,
    )
    verdict = None
    message = ""
    if live is not None:
        message = live.get("last_line") or ""
        verdict = 0 if live["accepted"] else live["errno"]
        if verdict == EPERM and not message:
            verdict = None
    said = record["messages"] if by_name else [record["message"]] if record["message"] else []
    unsaid = record["messages_unpriv"] if by_name else [record["message_unpriv"]] if record["message_unpriv"] else []
    return Case(
        record["set"], record["name"], subject, options, flags, verdict, message, _expected(record["expect"]),
        tuple(said), record.get("unpriv_612"), tuple(unsaid), (live or {}).get("processed"), section,
    )  # fmt: skip


def _expected(word: str | None) -> bool | None:
    return {"ACCEPT": True, "VERBOSE_ACCEPT": True, "success": True, "REJECT": False, "failure": False}.get(word or "")


def _target(record: Mapping[str, Any]) -> str:
    if record["prog_type"] not in (_TRACING, _LSM, _EXT):
        return ""
    return record.get("attach_name") or (record.get("section") or "").partition("/")[2]


def _kfuncs(record: Mapping[str, Any], code: bytearray) -> dict[int, str]:
    if "kfuncs" in record:
        return {slot: name for name, slot in record["kfuncs"]}
    return {slot: _KFUNCS[int.from_bytes(_imm(code, slot), "little")] for slot in record["kfunc_insns"]}


def _imm(code: bytearray, slot: int) -> bytes:
    return bytes(code[slot * SLOT + 4 : slot * SLOT + 8])


_Found = tuple[list[Map], list[Type], dict[int, int]]


def _listed_maps(record: Mapping[str, Any], code: bytearray) -> _Found:
    """Maps of {kind: [slot]}."""
    maps: list[Map] = []
    types: list[Type] = []
    numbers: dict[int, int] = {}
    for kind, users in record["maps"].items():
        for slot in users:
            _put(code, slot, len(maps))
        _append(kind, len(maps), types, numbers)
        maps.append(KINDS[kind])
    _hide(code, {slot for users in record["maps"].values() for slot in users}, len(maps))
    return maps, types, numbers


def _named_maps(record: Mapping[str, Any], code: bytearray) -> _Found:
    """Maps of [[slot, lddw's src, name]] and a list that describes them."""
    maps: list[Map] = []
    types: list[Type] = []
    numbers: dict[int, int] = {}
    for one in record["maps"]:
        name = one["name"].removesuffix("_socket").removesuffix("_tc")
        map_ = KINDS.get({"map_prog1": "prog1", "map_prog2": "prog2"}.get(name, name))
        map_ = map_ or Map("", MAP_TYPES[one["type"]].name)
        _append(name, len(maps), types, numbers)
        maps.append(
            replace(
                map_, name=one["name"], key_size=one["ks"], value_size=one["vs"], max_entries=one["n"],
                flags=one["flags"],
            )
        )  # fmt: skip
    named = set()
    for slot, src, name in record["map_relocs"]:
        if name is not None:
            code[slot * SLOT + 1] = code[slot * SLOT + 1] & 15 | src << 4
            _put(code, slot, _index(maps, name))
            named.add(slot)
    _hide(code, named, len(maps))
    return maps, types, numbers


def _index(maps: list[Map], name: str) -> int:
    """The map of a name, which may be cut short as the kernel cuts it. Where the list has none: a section of data."""
    found = next((number for number, map_ in enumerate(maps) if map_.name[:15] == name[:15]), None)
    if found is None:
        maps.append(Map(name, "array", 4, 4096, 1, flags=0x400))
        return len(maps) - 1
    return found


def _append(kind: str, number: int, types: list[Type], numbers: dict[int, int]) -> None:
    """The types of a map's value go behind those that are there; all of them counted from 1."""
    if kind in _VALUES:
        types.extend([_moved(one, len(types)) for one in _VALUES[kind]])
        numbers[number] = len(types)


def _moved(one: Type, by: int) -> Type:
    """A type among types whose numbers are higher by `by`."""
    members = tuple(member._replace(type=member.type + by) for member in one.members)
    return replace(
        one, members=members, type=one.type + by if one.type else 0, index=one.index + by if one.index else 0
    )


def _put(code: bytearray, slot: int, number: int) -> None:
    code[slot * SLOT + 4 : slot * SLOT + 8] = number.to_bytes(4, "little")


def _hide(code: bytearray, named: set[int], count: int) -> None:
    """An lddw of a descriptor that the record names no map for keeps naming none."""
    wide = opcodes.LD | opcodes.IMM | opcodes.SIZE[64]
    slot = 0
    while slot * SLOT < len(code):
        raw = code[slot * SLOT : slot * SLOT + SLOT]
        if raw[0] != wide:
            slot += 1
            continue
        of_map = raw[1] >> 4 in (opcodes.WIDE_FORMS["map_fd"], opcodes.WIDE_FORMS["map_fd_value"])
        if of_map and slot not in named and int.from_bytes(raw[4:8], "little", signed=True) in range(count):
            raise ValueError(f"insn {slot}: the descriptor of no map")
        slot += 2


def _types(record: Mapping[str, Any], more: Sequence[Type]) -> tuple[Btf, dict[int, int]]:
    """The record's BTF with further types behind it, whose numbers are made to fit, and its functions' types."""
    base = Btf((Type(Kind.TYPEDEF, "void"),))
    functions: dict[int, int] = {}
    if record.get("btf_types"):
        types, strings = bytes.fromhex(record["btf_types"]), bytes.fromhex(record["btf_strings"])
        base = decode(header(types, strings, "little"))
        functions = dict(record["func_info"] or ())
    elif "map_relocs" in record:  # these leave types out
        found = shapes.starts(bytes.fromhex(record["insns"]))
        if len(found) > 1:
            base, functions = shapes.ordinary(found)
    return replace(base, types=(*base.types, *(_moved(one, len(base.types) - 1) for one in more))), functions
