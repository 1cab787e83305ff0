"""Calls as the kernel binds them: by the kind of the map that they work on, or written out; loads from the packet.

Source: do_misc_fixups of Linux 6.18 and what its maps have for map_gen_lookup. Offsets are those of its structures on
x86_64. Array's elements are not kept from mispredicted indices here: who creates maps holds CAP_PERFMON.
"""

from __future__ import annotations

from bpf.facts import Facts
from bpf.isa import ROW, Insn, Kind, make
from bpf.program import Map, Program
from bpf.rewrite.internal import call, percpu
from bpf.rewrite.replace import replace
from bpf.spec.prototypes import PROTOTYPES

ARRAY_VALUES = 312  # of struct bpf_array: elements, or for each CPU's ones where they are
HASH_KEY = 48  # of struct htab_elem
LRU_USED = 35  # of struct htab_elem
INNER_MAP = 1 << 12  # BPF_F_INNER_MAP
_BY_KIND = {
    "array": {"update": "array_map", "delete": "array_map"},
    "percpu_array": {"update": "array_map", "delete": "array_map"},
    "hash": {"update": "htab_map", "delete": "htab_map"},
    "percpu_hash": {"update": "htab_percpu_map", "delete": "htab_map"},
    "lru_hash": {"update": "htab_lru_map", "delete": "htab_lru_map"},
    "lru_percpu_hash": {"lookup": "htab_lru_percpu_map", "update": "htab_lru_percpu_map", "delete": "htab_lru_map"},
    "lpm_trie": {"lookup": "trie", "update": "trie", "delete": "trie"},
    "queue": {"push": "queue_stack_map", "pop": "queue_map", "peek": "queue_map"},
    "stack": {"push": "queue_stack_map", "pop": "stack_map", "peek": "stack_map"},
    "bloom_filter": {"push": "bloom_map", "peek": "bloom_map"},
}
"""Kind of map -> what a helper does with it -> what the function of the kernel's begins with."""

_REDIRECTS = {
    "devmap": "dev_map_redirect", "devmap_hash": "dev_hash_map_redirect", "cpumap": "cpu_map_redirect",
    "xskmap": "xsk_map_redirect",
}  # fmt: skip
_EACH = {"array": "bpf_for_each_array_elem", "hash": "bpf_for_each_hash_elem", "lru_hash": "bpf_for_each_hash_elem"}


def bind_calls(prog: Program, facts: Facts) -> Program:
    """The program with its helpers' calls as they are in the kernel."""
    by: dict[int, list[Insn]] = {}
    for pc, insn in enumerate(prog.insns):
        if insn is None:
            continue
        if insn.row.kind is Kind.PACKET:
            by[pc] = _packet(insn)
        elif insn.row.op == "call_helper" and insn.imm in PROTOTYPES:
            map_ = facts.maps.get(prog.origin_of(pc))
            made = _written_out(PROTOTYPES[insn.imm].name, insn)
            if not made and map_ is not None:
                made = _bound(PROTOTYPES[insn.imm].name, map_)
            if made:
                by[pc] = made
    return replace(prog, by)


def _written_out(name: str, insn: Insn) -> list[Insn]:
    """A helper that is a few instructions, or is called with something of the kernel's; empty for others."""
    if name == "jiffies64":
        return [make(ROW["lddw_imm"], 0), make(ROW["ldx64"], 0, 0)]
    if name == "get_smp_processor_id":
        return [make(ROW["mov64_imm"], 0), percpu(0, 0), make(ROW["ldx32"], 0, 0)]
    if name == "timer_set_callback":
        return [make(ROW["lddw_imm"], 3), insn]
    if name == "kptr_xchg":
        return [make(ROW["mov64_reg"], 0, 2), make(ROW["atomic64_xchg"], 1, 0)]
    return []


def _bound(name: str, map_: Map) -> list[Insn]:
    """A helper that works on one map; empty where the kernel calls the helper."""
    what = name.removeprefix("map_").removesuffix("_elem")
    if what == "lookup" and map_.kind in _LOOKUPS and not map_.flags & INNER_MAP:
        return _LOOKUPS[map_.kind](map_)
    if name == "redirect_map" and map_.kind in _REDIRECTS:
        return [call(_REDIRECTS[map_.kind])]
    if name == "for_each_map_elem" and map_.kind in _EACH:
        return [call(_EACH[map_.kind])]
    begin = _BY_KIND.get(map_.kind, {}).get(what)
    return [call(f"{begin}_{what}_elem")] if begin is not None and name == f"map_{what}_elem" else []


def _array(map_: Map) -> list[Insn]:
    size = -(-map_.value_size // 8) * 8
    power = size & (size - 1) == 0
    scale = make(ROW["lsh64_imm"], 0, imm=size.bit_length() - 1) if power else make(ROW["mul64_imm"], 0, imm=size)
    return [
        make(ROW["add64_imm"], 1, imm=ARRAY_VALUES), make(ROW["ldx32"], 0, 2),
        make(ROW["jge64_imm"], 0, off=3, imm=map_.max_entries), scale, make(ROW["add64_reg"], 0, 1),
        make(ROW["ja"], off=1), make(ROW["mov64_imm"], 0),
    ]  # fmt: skip


def _percpu_array(map_: Map) -> list[Insn]:
    return [
        make(ROW["add64_imm"], 1, imm=ARRAY_VALUES), make(ROW["ldx32"], 0, 2),
        make(ROW["jge64_imm"], 0, off=5, imm=map_.max_entries), make(ROW["lsh64_imm"], 0, imm=3),
        make(ROW["add64_reg"], 0, 1), make(ROW["ldx64"], 0, 0), percpu(0, 0), make(ROW["ja"], off=1),
        make(ROW["mov64_imm"], 0),
    ]  # fmt: skip


def _value(map_: Map) -> Insn:
    """From an element of a hash to its value, which lies behind its key."""
    return make(ROW["add64_imm"], 0, imm=HASH_KEY + -(-map_.key_size // 8) * 8)


def _hash(map_: Map) -> list[Insn]:
    return [call("__htab_map_lookup_elem"), make(ROW["jeq64_imm"], 0, off=1), _value(map_)]


def _lru_hash(map_: Map) -> list[Insn]:
    return [
        call("__htab_map_lookup_elem"), make(ROW["jeq64_imm"], 0, off=4), make(ROW["ldx8"], 1, 0, off=LRU_USED),
        make(ROW["jne64_imm"], 1, off=1), make(ROW["st8"], 0, off=LRU_USED, imm=1), _value(map_),
    ]  # fmt: skip


def _percpu_hash(map_: Map) -> list[Insn]:
    return [
        call("__htab_map_lookup_elem"), make(ROW["jeq64_imm"], 0, off=3), _value(map_), make(ROW["ldx64"], 0, 0),
        percpu(0, 0),
    ]  # fmt: skip


def _array_of_maps(map_: Map) -> list[Insn]:
    return [
        make(ROW["add64_imm"], 1, imm=ARRAY_VALUES), make(ROW["ldx32"], 0, 2),
        make(ROW["jge64_imm"], 0, off=5, imm=map_.max_entries), make(ROW["lsh64_imm"], 0, imm=3),
        make(ROW["add64_reg"], 0, 1), make(ROW["ldx64"], 0, 0), make(ROW["jeq64_imm"], 0, off=1),
        make(ROW["ja"], off=1), make(ROW["mov64_imm"], 0),
    ]  # fmt: skip


def _hash_of_maps(map_: Map) -> list[Insn]:
    return [
        call("__htab_map_lookup_elem"), make(ROW["jeq64_imm"], 0, off=2), _value(map_), make(ROW["ldx64"], 0, 0),
    ]  # fmt: skip


_LOOKUPS = {
    "array_of_maps": _array_of_maps, "hash_of_maps": _hash_of_maps,
    "array": _array, "percpu_array": _percpu_array, "hash": _hash, "lru_hash": _lru_hash, "percpu_hash": _percpu_hash,
}  # fmt: skip


def _packet(insn: Insn) -> list[Insn]:
    """A load from the packet is a call, and the program ends with 0 where the packet does; R6 is the context."""
    if "src" in insn.row.fields:
        offset = [make(ROW["mov64_reg"], 2, insn.src), *([make(ROW["add64_imm"], 2, imm=insn.imm)] if insn.imm else [])]
    else:
        offset = [make(ROW["mov64_imm"], 2, imm=insn.imm)]
    return [
        *offset, make(ROW["mov64_reg"], 1, 6), call(f"bpf_skb_load_helper_{insn.row.width}_no_cache"),
        make(ROW["jsge64_imm"], 0, off=2), make(ROW["xor32_reg"], 0, 0), make(ROW["exit"]),
    ]  # fmt: skip
