"""BTF: what is written reads back, in both byte orders; what cannot be is one error that names its place."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from elfs import NAMES, ORDERS, built, example
from hypothesis import given
from hypothesis import strategies as st
from typelists import EVERY_KIND, INT, KERNEL, type_lists

from bpf.errors import BadObject
from bpf.object.btf import Btf, Kind, Member, Type, Value, Variable, essential
from bpf.object.btf_c import c_header
from bpf.object.btf_check import btf
from bpf.object.btf_wire import decode, encode
from bpf.object.parts import raw_types


def test_the_list_has_every_kind() -> None:
    assert {one.kind for one in EVERY_KIND} == set(Kind)


@pytest.mark.parametrize("order", ORDERS)
def test_every_kind_reads_back(order: str) -> None:
    types = btf(EVERY_KIND, order)
    data = encode(types)
    assert decode(data) == types
    other = {"little": "big", "big": "little"}[order]
    assert decode(encode(types, other)).types == types.types
    assert encode(decode(data)) == data


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", NAMES)
def test_the_examples_types_read_back(name: str, order: str) -> None:
    types = raw_types(example(name, order))
    assert types.order == order
    assert decode(encode(types)).types == types.types


@pytest.mark.deep
@pytest.mark.skipif(not KERNEL.is_file(), reason="this kernel has no types")
def test_the_running_kernels_types_read_back() -> None:
    types = decode(KERNEL.read_bytes())
    assert decode(encode(types)).types == types.types
    number = types.find("task_struct", Kind.STRUCT)
    assert number is not None
    assert types.size(number) > 1000


@given(type_lists(), st.sampled_from(ORDERS))
def test_any_types_read_back(types: list[Type], order: str) -> None:
    made = btf(types, order)
    assert decode(encode(made)) == made


# What cannot be --------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[Sequence[Type], str]] = {
    "no such type": ([Type(Kind.PTR, type=9)], r"type 1: PTR: type 9 is not there"),
    "a typedef of itself": ([Type(Kind.TYPEDEF, "t", type=1)], "TYPEDEF t: contains itself"),
    "modifiers in a circle": ([Type(Kind.CONST, type=2), Type(Kind.VOLATILE, type=1)], "contains itself"),
    "a pointer to itself": ([Type(Kind.PTR, type=1)], "contains itself"),
    "a struct in itself": ([Type(Kind.STRUCT, "s", 8, members=(Member("s", 1, 0),))], "STRUCT s: contains itself"),
    "an array of itself": ([INT, Type(Kind.ARRAY, type=2, index=1, count=1)], "contains itself"),
    "a void member": ([Type(Kind.STRUCT, "s", 8, members=(Member("x", 0, 0),))], "type 0 of member x has no size"),
    "a member past the end": ([INT, Type(Kind.STRUCT, "s", 4, members=(Member("x", 1, 8),))], "x ends after its 4 b"),
    "a member between bytes": ([INT, Type(Kind.STRUCT, "s", 8, members=(Member("x", 1, 3),))], "member x at bit 3"),
    "a wide bit-field": (
        [INT, Type(Kind.STRUCT, "s", 8, flag=True, members=(Member("x", 1, 0, 33),))], "bit-field x of 33 bits",
    ),
    "an array of functions": (
        [INT, Type(Kind.FUNC_PROTO, type=1), Type(Kind.ARRAY, type=2, index=1, count=2)], "elements has no size",
    ),
    "a pointer to a name": (
        [INT, Type(Kind.FUNC_PROTO), Type(Kind.FUNC, "f", type=2), Type(Kind.PTR, type=3)], "type 3 is a FUNC",
    ),
    "a function without a prototype": ([INT, Type(Kind.FUNC, "f", type=1)], "is no FUNC_PROTO"),
    "a section of types": ([INT, Type(Kind.DATASEC, ".data", 4, variables=(Variable(1, 0, 4),))], "is no variable"),
    "an odd integer": ([Type(Kind.INT, "int", 3, bits=24)], "24 bits at 0 in 3 bytes"),
    "too many bits": ([Type(Kind.INT, "int", 4, bits=33)], "33 bits"),
    "an odd enum": ([Type(Kind.ENUM, "e", 3)], "3 bytes"),
    "an enum of no size": ([Type(Kind.ENUM, "e", values=(Value("A", 1),))], "0 bytes"),
    "a member of a declared enum": (
        [Type(Kind.ENUM, "e"), Type(Kind.STRUCT, "s", 4, members=(Member("x", 1, 0),))], "member x has no size",
    ),
    "an odd float": ([Type(Kind.FLOAT, "f", 3)], "3 bytes"),
    "a huge array": ([INT, *(Type(Kind.ARRAY, type=n, index=1, count=1 << 16) for n in range(1, 5))], "bytes"),
    "deep": ([INT, *(Type(Kind.PTR, type=n) for n in range(1, 80))], "nests more than 64 deep"),
    "a linkage": ([INT, Type(Kind.VAR, "v", type=1, linkage=3)], "linkage 3"),
}  # fmt: skip


def test_an_enum_that_is_only_declared() -> None:
    types = btf([Type(Kind.ENUM, "e"), Type(Kind.PTR, type=1)])
    assert decode(encode(types)).types == types.types
    assert "enum e;" in c_header(types)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be(what: str, order: str) -> None:
    types, message = WRONG[what]
    with pytest.raises(BadObject, match=message) as caught:
        decode(encode(Btf((INT, *types), order)))  # `encode` checks nothing
    assert caught.value.place.startswith("section .BTF: type ")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("at", "code", "value", "message"),
    [
        (0, "H", 0xEB9E, r"\+0x0: no BTF magic number"),
        (2, "B", 2, r"\+0x2: BTF of version 2"),
        (3, "B", 1, "flags 1"),
        (4, "I", 20, r"\+0x4: header of 20 bytes"),
        (4, "I", 1 << 30, "header of 1073741824 bytes"),
        (8, "I", 2, r"\+0x8: types end"),
        (12, "I", 1 << 31, "types end after"),
        (16, "I", 1 << 31, "strings end after"),
        (20, "I", 0, "do not start and end"),
        (24, "I", 1 << 20, r"\+0x24: string 1048576 is outside"),
        (28, "I", 31 << 24, r"\+0x1c: type of unknown kind 31"),
        (28, "I", 4 << 24 | 0xFFFF, "STRUCT with 65535 parts does not fit"),
    ],
)
def test_broken_bytes(order: str, at: int, code: str, value: int, message: str) -> None:
    data = bytearray(encode(btf(EVERY_KIND, order)))
    struct.pack_into(("<" if order == "little" else ">") + code, data, at, value)
    with pytest.raises(BadObject, match=message) as caught:
        decode(bytes(data))
    assert caught.value.place.startswith("section .BTF+0x")


def test_truncated_anywhere() -> None:
    data = encode(btf(EVERY_KIND))
    for size in range(len(data)):
        with pytest.raises(BadObject):
            decode(data[:size])


# Small questions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "stem"),
    [("a", "a"), ("a___b", "a"), ("___b", "___b"), ("a___", "a___"), ("a____b", "a____b"), ("a___b___c", "a___b")],
)
def test_flavours(name: str, stem: str) -> None:
    assert essential(name) == stem


def test_sizes_and_names() -> None:
    types = btf(EVERY_KIND)
    assert [types.size(number) for number in (0, 1, 2, 3, 4, 8, 10, 12, 14)] == [0, 4, 8, 12, 24, 24, 4, 0, 4]
    assert types.strip(8) == 4
    assert types.strip(8, typedefs=False) == 8
    assert types.find("s", Kind.STRUCT) == 4
    assert types.find("s", Kind.UNION) is None


@pytest.mark.parametrize("order", ORDERS)
def test_a_program_brings_its_types_and_its_lines(order: str) -> None:
    from bpf.object import load

    (program,) = load(built("maps", order), name="called_last")
    assert program.btf is not None
    assert program.btf[program.types[0]].name == "called_last"
    assert (program.section, program.license, program.version) == ("xdp", "Dual MIT/GPL", 0x060C00)
    assert program.maps[0].key_type
    assert program.btf[program.btf.strip(program.maps[0].key_type)].name == "key"
    assert "bpf_map_lookup_elem" in {line.text.split("(")[0].split("= ")[-1] for line in program.lines.values()}
    assert program.in_order("big" if order == "little" else "little").btf is program.btf
