"""Which types Linux takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from typelists import EVERY_KIND, INT

from bpf.isa import decode
from bpf.object.btf import Kind, Member, Param, Type, Value, Variable
from bpf.object.btf_check import btf
from bpf.object.btf_kernel import untaken
from bpf.program import program
from engines import syscall
from fuzz.parity.oracle import encoded
from runtime.verifying import subject
from tests.live_kernel import live
from verifier import Options, verify

VARIABLE = Type(Kind.VAR, "v", type=1, linkage=1)
TAKEN: dict[str, Sequence[Type]] = {
    "every kind": [replace(one, encoding=1) if one.name == "char" else one for one in EVERY_KIND],
    "a dot in a name": [INT, Type(Kind.TYPEDEF, "a.b", type=1)],
    "a long name": [INT, Type(Kind.TYPEDEF, "x" * 512, type=1)],
    "a function type without names": [INT, Type(Kind.FUNC_PROTO, type=1, params=(Param("", 1),))],
    "a tag before a modifier": [INT, Type(Kind.CONST, type=1), Type(Kind.TYPE_TAG, "t", type=2)],
    "a section": [INT, VARIABLE, Type(Kind.DATASEC, ".bss", variables=(Variable(2, 0, 4),))],
    "a tag of a variable": [INT, Type(Kind.VAR, "v", type=1, linkage=1), Type(Kind.DECL_TAG, "t", type=2)],
}
PROTO = Type(Kind.FUNC_PROTO, type=1, params=(Param("", 1),))
UNTAKEN: dict[str, tuple[Sequence[Type], str]] = {
    "generics of Rust": ([INT, Type(Kind.STRUCT, "p<t>", 4, members=(Member("a", 1, 0),))], "p<t> is no identifier"),
    "a namespace of C++": ([Type(Kind.UNION, "p::t", 4)], "p::t is no identifier"),
    "a member's name": ([INT, Type(Kind.STRUCT, "s", 4, members=(Member("1a", 1, 0),))], "1a is no identifier"),
    "a nameless enumerator": ([Type(Kind.ENUM, "e", 4, values=(Value("", 1),))], "nothing is no identifier"),
    "a nameless typedef": ([INT, Type(Kind.TYPEDEF, type=1)], "no identifier"),
    "a name that is too long": ([Type(Kind.FWD, "x" * 513)], "no identifier"),
    "a declared enum": ([Type(Kind.ENUM, "e")], "0 bytes"),
    "a parameter without a name": ([INT, PROTO, Type(Kind.FUNC, "f", type=2)], "a parameter without a name"),
    "a parameter's name": ([INT, replace(PROTO, params=(Param("a b", 1),))], "a b is no identifier"),
    "a void parameter": ([INT, replace(PROTO, params=(Param("", 0), Param("", 1)))], "a parameter without a size"),
    "a rest with a name": ([INT, replace(PROTO, params=(Param("x", 0),))], "a parameter without a type"),
    "a returned declaration": ([Type(Kind.FWD, "s"), Type(Kind.FUNC_PROTO, type=1)], "returns what has no size"),
    "a pointer's name": ([INT, Type(Kind.PTR, "p", type=1)], "a name"),
    "members out of order": (
        [INT, Type(Kind.STRUCT, "s", 8, members=(Member("a", 1, 32), Member("b", 1, 0)))], "members out of order",
    ),
    "a late member of a union": ([INT, Type(Kind.UNION, "u", 8, members=(Member("a", 1, 32),))], "does not start"),
    "an index": ([INT, Type(Kind.PTR, type=1), Type(Kind.ARRAY, type=1, index=2, count=1)], "no integer"),
    "two encodings": ([replace(INT, encoding=3)], "two encodings"),
    "a tag behind a modifier": ([INT, Type(Kind.TYPE_TAG, "t", type=1), Type(Kind.CONST, type=2)], "a tag behind it"),
    "an empty tag": ([Type(Kind.STRUCT, "s"), Type(Kind.DECL_TAG, "", type=1)], "no name"),
    "a tag of a number": ([INT, Type(Kind.DECL_TAG, "t", type=1)], "is of no variable"),
    "a variable of nothing": ([Type(Kind.VAR, "v", linkage=1)], "no size"),
    "a variable of no bytes": (
        [INT, VARIABLE, Type(Kind.DATASEC, ".bss", variables=(Variable(2, 0, 0),))], "a variable of no bytes",
    ),
    "a tag of no member": ([Type(Kind.STRUCT, "s"), Type(Kind.DECL_TAG, "t", type=1, component=0)], "component 0"),
}  # fmt: skip


@pytest.mark.parametrize("what", TAKEN)
def test_taken(what: str) -> None:
    assert untaken(btf(TAKEN[what])) == ""


@pytest.mark.parametrize("what", UNTAKEN)
def test_untaken(what: str) -> None:
    types, why = UNTAKEN[what]
    assert untaken(btf(types)).endswith(why) or why in untaken(btf(types))


@live
@pytest.mark.parametrize("what", [*TAKEN, *UNTAKEN])
def test_as_the_live_kernel_has_it(what: str) -> None:
    types = btf(TAKEN[what] if what in TAKEN else UNTAKEN[what][0])
    assert syscall.takes_types(encoded(types)) is (what in TAKEN)


def test_a_program_of_such_types_is_verified_without_them() -> None:
    made = program(decode(bytes.fromhex("b700000002000000 9500000000000000"), "little"), name="f")
    made = replace(made, btf=btf(UNTAKEN["a declared enum"][0]), types={0: 1})
    taken = subject(made, "xdp")
    assert (taken.btf, taken.types) == (None, {})
    assert verify(taken, Options(log_level=0)).accepted
