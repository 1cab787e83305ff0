"""Types for the functions of a program that has none: the kernel asks for them before some calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bpf.object.btf import Btf, Kind, Type
from verifier import calls
from verifier.raw import slots
from verifier.subject import Subject

VOIDS = (Type(Kind.TYPEDEF, "void"),)


def starts(code: bytes) -> list[int]:
    """Where the functions of a little-endian program start."""
    found = {0}
    for pc, raw in enumerate(slots(code, "little")):
        if calls.is_local_call(raw) or calls.is_function_address(raw):
            found.add(pc + 1 + raw.imm)
    return sorted(found)


def ordinary(found: Sequence[int], before: Sequence[Type] = VOIDS) -> tuple[Btf, dict[int, int]]:
    """What a compiler says of static functions that return an int, and slot -> type of each; behind other types."""
    first = len(before)
    types = [
        *before,
        Type(Kind.INT, "int", 4, encoding=1, bits=32),
        Type(Kind.FUNC_PROTO, "", type=first),
        *(Type(Kind.FUNC, f"f{number}", type=first + 1) for number in range(len(found))),
    ]
    return Btf(tuple(types)), {start: first + 2 + number for number, start in enumerate(found)}


def typed(subject: Subject) -> Subject:
    """A little-endian program, its functions with ordinary types where there are several without."""
    found = starts(subject.code)
    if len(found) == 1 or subject.types:
        return subject
    btf, types = ordinary(found, subject.btf.types if subject.btf is not None else VOIDS)
    return replace(subject, btf=btf, types=types)
