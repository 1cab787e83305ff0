"""Programs that call kernel functions: text, a function of the kernel's as `call @name`; their maps and types."""

from __future__ import annotations

import re

from bpf.object.btf import Btf, Kind, Member, Type
from bpf.program import Map
from bpf.spec.attach import ATTACH_TYPES
from bpf.spec.maps import RDONLY_PROG, WRONLY_PROG
from bpf.spec.program_types import PROGRAM_TYPES
from bpf.text import assemble
from fuzz.parity import oracle
from verifier import Subject, calls
from verifier.raw import Raw, slots


def _types() -> tuple[Type, ...]:
    found = [
        Type(Kind.TYPEDEF, "void"),
        Type(Kind.INT, "int", 4, encoding=1, bits=32),
        Type(Kind.INT, "unsigned long", 8, bits=64),
    ]
    number = {"int": 1, "long": 2}

    def struct(name: str, size: int, *members: tuple[str, str, int]) -> None:
        found.append(
            Type(Kind.STRUCT, name, size, members=tuple(Member(m, number[t], 8 * off) for m, t, off in members))
        )
        number[name] = len(found) - 1

    def opaque(name: str, words: int) -> None:
        found.append(Type(Kind.ARRAY, "", type=2, index=1, count=words))
        number[f"{words} longs"] = len(found) - 1
        struct(name, 8 * words, ("o", f"{words} longs", 0))

    struct("bpf_spin_lock", 4, ("val", "int", 0))
    struct("bpf_res_spin_lock", 4, ("val", "int", 0))
    struct("bpf_refcount", 4, ("val", "int", 0))
    for name, words in (
        ("bpf_timer", 2), ("bpf_wq", 2), ("bpf_list_head", 2), ("bpf_list_node", 3), ("bpf_rb_root", 2),
        ("bpf_rb_node", 4),
    ):  # fmt: skip
        opaque(name, words)
    nodes = (("l", "bpf_list_node", 8), ("r", "bpf_rb_node", 32))
    struct("node", 80, ("key", "long", 0), *nodes, ("c", "bpf_refcount", 64), ("data", "long", 72))
    struct("plain", 16, ("a", "long", 0), ("b", "int", 8))
    struct("roots", 40, ("lock", "bpf_spin_lock", 0), ("head", "bpf_list_head", 8), ("root", "bpf_rb_root", 24))
    found.append(Type(Kind.DECL_TAG, "contains:node:l", type=number["roots"], component=1))
    found.append(Type(Kind.DECL_TAG, "contains:node:r", type=number["roots"], component=2))
    struct("locked", 8, ("count", "int", 0), ("lock", "bpf_spin_lock", 4))
    struct("resilient", 16, ("count", "int", 0), ("lock", "bpf_res_spin_lock", 4), ("more", "long", 8))
    struct("timed", 16, ("timer", "bpf_timer", 0))
    struct("working", 16, ("work", "bpf_wq", 0))
    struct("alone", 16, ("a", "int", 0), ("b", "long", 8))
    struct("own_node", 80, ("key", "long", 0), *nodes, ("c", "bpf_refcount", 64))  # the kernel has a struct node
    found.append(Type(Kind.TYPE_TAG, "kptr", type=number["own_node"]))
    found.append(Type(Kind.PTR, "", type=len(found) - 1))
    number["to a node"] = len(found) - 1
    struct("holder", 8, ("node", "to a node", 0))
    found.append(Type(Kind.FUNC_PROTO, "", type=1))
    NUMBERS.update(number)
    return tuple(found)


NUMBERS: dict[str, int] = {}
"""The types of the programs, by name."""
TYPES = _types()
MAPS = (
    Map("array", "array", 4, 16, 4), Map("ring", "ringbuf", 0, 0, 4096),
    Map("locked", "array", 4, 8, 2, lock=4, value_type=NUMBERS["locked"]),
    Map("timed", "array", 4, 16, 2, timer=0, value_type=NUMBERS["timed"]),
    Map("roots", "array", 4, 40, 1, value_type=NUMBERS["roots"]),
    Map("resilient", "array", 4, 16, 2, value_type=NUMBERS["resilient"]),
    Map("working", "array", 4, 16, 2, value_type=NUMBERS["working"]),
    Map("hash", "hash", 4, 16, 4), Map("user_ring", "user_ringbuf", 0, 0, 4096),
    Map("programs", "prog_array", 4, 4, 4), Map("holder", "array", 4, 8, 1, value_type=NUMBERS["holder"]),
    Map("devices", "devmap", 4, 4, 4), Map("hashed", "devmap_hash", 4, 4, 4), Map("sockets", "sockmap", 4, 4, 4),
    Map("sockhash", "sockhash", 4, 4, 4), Map("bloom", "bloom_filter", 0, 8, 4),
    Map("readonly", "array", 4, 16, 1, flags=RDONLY_PROG), Map("writeonly", "array", 4, 16, 1, flags=WRONLY_PROG),
)  # fmt: skip
_ATTACH = {"netfilter": "netfilter", "tracing": "trace_raw_tp", "cgroup_sock_addr": "cgroup_inet4_connect"}


def subject(kind: str, text: str) -> Subject:
    """A program of a type, `type.s` for a sleepable one. {name} in the text is the number of a type of TYPES."""
    kind, _, sleepable = kind.partition(".")
    names = re.findall(r"call @(\w+)", text)
    numbered = re.sub(r"\{(\w+)\}", lambda match: str(NUMBERS[match[1]]), re.sub(r"call @(\w+)", _by_number, text))
    code = assemble(numbered, order="little").encode()
    raws = slots(code, "little")
    kfuncs = dict(zip([pc for pc, raw in enumerate(raws) if calls.is_kfunc_call(raw)], names, strict=True))
    used = sorted({int(found) for found in re.findall(r"fd:(\d+)", text)})
    functions = {start: len(TYPES) + number for number, start in enumerate(_starts(raws))}
    types = (*TYPES, *(Type(Kind.FUNC, f"f{number}", type=len(TYPES) - 1) for number in range(len(functions))))
    for turn, number in enumerate(used):
        numbered = numbered.replace(f"fd:{number}]", f"fd:{turn}]")
    return Subject(
        assemble(numbered, order="little").encode(), "little", PROGRAM_TYPES[kind],
        ATTACH_TYPES.get(_ATTACH.get(kind, ""), 0), maps=tuple(MAPS[number] for number in used), btf=Btf(types),
        types=functions, kfuncs=kfuncs, sleepable=bool(sleepable) or kind == "syscall",
        target="sched_switch" if kind == "tracing" else "",
    )  # fmt: skip


def _by_number(match: re.Match[str]) -> str:
    """The call by the running kernel's number of the function, which logs have; any other where there is none."""
    return f"call kfunc {oracle.kernel_type(match[1], Kind.FUNC) or 1}"


def _starts(raws: list[Raw]) -> list[int]:
    starts = {0}
    for pc, raw in enumerate(raws):
        if calls.is_local_call(raw) or calls.is_function_address(raw):
            starts.add(pc + 1 + raw.imm)
    return sorted(starts)
