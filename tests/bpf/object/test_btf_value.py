"""Values by their types, in both byte orders, against bytes that are laid out by hand."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from bpf.object.btf import BOOL, CHAR, SIGNED, VOID, Btf, Kind, Member, Type, Value, Variable
from bpf.object.btf_value import typed

TYPES = (
    VOID,
    Type(Kind.INT, "unsigned int", 4, bits=32),  # 1
    Type(Kind.INT, "int", 4, encoding=SIGNED, bits=32),
    Type(Kind.INT, "char", 1, encoding=SIGNED | CHAR, bits=8),
    Type(Kind.INT, "bool", 1, encoding=BOOL, bits=8),
    Type(Kind.INT, "long long", 8, encoding=SIGNED, bits=64),  # 5
    Type(Kind.PTR, type=0),
    Type(Kind.ARRAY, type=2, index=1, count=3),
    Type(Kind.ARRAY, type=3, index=1, count=6),
    Type(Kind.ENUM, "color", 4, flag=True, values=(Value("RED", 0), Value("LESS", -1))),
    Type(Kind.TYPEDEF, "color_t", type=9),  # 10
    Type(Kind.CONST, type=10),
    Type(Kind.STRUCT, "pair", 16, members=(Member("left", 1, 0), Member("right", 5, 64))),
    Type(
        Kind.STRUCT, "bits", 4, flag=True, members=(Member("a", 1, 0, 3), Member("b", 2, 3, 5), Member("c", 1, 8, 12))
    ),
    Type(Kind.UNION, "either", 4, members=(Member("number", 1, 0), Member("first", 3, 0))),
    Type(Kind.VAR, "seen", type=1, linkage=1),  # 15
    Type(Kind.DATASEC, ".bss", 8, variables=(Variable(15, 4, 4),)),
    Type(Kind.FLOAT, "double", 8),
    Type(Kind.ARRAY, type=12, index=1, count=2),
)
ORDERS = {"little": "<", "big": ">"}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("number", "layout", "values", "expected"),
    [
        (1, "I", [0xFFFFFFFF], 0xFFFFFFFF), (2, "i", [-5], -5), (3, "b", [65], "A"), (3, "b", [-1], -1),
        (4, "B", [1], True), (4, "B", [0], False), (5, "q", [-(1 << 60)], -(1 << 60)),
        (6, "Q", [0xFFFF8880_0000_1000], "0xffff888000001000"), (7, "3i", [1, -2, 3], [1, -2, 3]),
        (8, "6s", [b"abc"], "abc"), (8, "6s", [b"abcdef"], list("abcdef")),
        (8, "6s", [b"a\0b"], ["a", 0, "b", 0, 0, 0]),
        (10, "i", [-1], "LESS"), (11, "i", [0], "RED"), (9, "i", [7], 7),
        (12, "I4xq", [1, -2], {"left": 1, "right": -2}), (14, "I", [0], {"number": 0, "first": 0}),
        (16, "II", [9, 77], {".bss": [{"seen": 77}]}),
        (18, "I4xqI4xq", [1, 2, 3, 4], [{"left": 1, "right": 2}, {"left": 3, "right": 4}]),
    ],
)  # fmt: skip
def test_values(order: str, number: int, layout: str, values: list[Any], expected: Any) -> None:
    data = struct.pack(ORDERS[order] + layout, *values)
    assert typed(Btf(TYPES, order), number, data) == expected


def test_bit_fields() -> None:
    """As clang lays them out: from the least bit up on little-endian machines, from the greatest down on the others."""
    a, b, c = 5, -3 & 31, 0xABC
    little = (a | b << 3 | c << 8).to_bytes(4, "little")
    big = (a << 29 | b << 24 | c << 12).to_bytes(4, "big")
    for order, data in (("little", little), ("big", big)):
        assert typed(Btf(TYPES, order), 13, data) == {"a": 5, "b": -3, "c": 0xABC}


def test_what_has_no_form_is_bytes() -> None:
    assert typed(Btf(TYPES), 17, bytes(range(8))) == "0x0001020304050607"
    assert typed(Btf(TYPES), 1, b"") == 0
