"""Programs of the tests, malformed ones too: a word per slot, `opcode:dst:src:off:imm`; what is left out is 0."""

from __future__ import annotations

import struct
from typing import Any

from bpf.object.btf import Btf, Kind, Member, Type
from bpf.program import Map
from bpf.spec.program_types import PROGRAM_TYPES
from verifier.subject import Subject

MAPS = (
    Map("one", "array", 4, 16, 1),
    Map("many", "array", 4, 16, 3),
    Map("hash", "hash", 4, 16, 4),
    Map("storage", "cgroup_storage", 16, 8, 0),
    Map("storage2", "cgroup_storage", 16, 8, 0),
    Map("programs", "prog_array", 4, 4, 2),
    Map("stacks", "stack_trace", 4, 8, 4),
    Map("locked", "array", 4, 8, 1, lock=4, value_type=3),
    Map("timed", "array", 4, 16, 1, timer=0, value_type=5),
)
ONE, MANY, HASH, STORAGE, STORAGE2, PROGRAMS, STACKS, LOCKED, TIMED = range(len(MAPS))

FUNCTION, NOTHING = 8, 9
TYPES = Btf((
    Type(Kind.TYPEDEF, "void"),
    Type(Kind.INT, "int", 4, encoding=1, bits=32),
    Type(Kind.STRUCT, "bpf_spin_lock", 4, members=(Member("val", 1, 0),)),
    Type(Kind.STRUCT, "locked", 8, members=(Member("count", 1, 0), Member("lock", 2, 32))),
    Type(Kind.STRUCT, "bpf_timer", 16, members=(Member("a", 10, 0), Member("b", 10, 64))),
    Type(Kind.STRUCT, "timed", 16, members=(Member("timer", 4, 0),)),
    Type(Kind.FUNC_PROTO, "", type=1),
    Type(Kind.FUNC_PROTO, "", type=0),
    Type(Kind.FUNC, "gives_int", type=6),
    Type(Kind.FUNC, "gives_nothing", type=7),
    Type(Kind.INT, "long", 8, encoding=1, bits=64),
))  # fmt: skip


def code(words: str) -> bytes:
    """The wire form, little-endian."""
    slots = []
    for word in words.split():
        opcode, *rest = word.split(":")
        dst, src, off, imm = (int(field, 0) for field in (*rest, "0", "0", "0", "0")[:4])
        slots.append(struct.pack("<BBhi", int(opcode, 16), dst | src << 4, off, imm))
    return b"".join(slots)


def subject(words: str, kind: str = "socket_filter", **fields: Any) -> Subject:
    """A program of a type; types: slot -> FUNCTION or NOTHING."""
    return Subject(code(words), "little", PROGRAM_TYPES[kind], **fields)
