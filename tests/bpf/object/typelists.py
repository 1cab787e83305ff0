"""Types for the tests of this folder: one of every kind, and any that fit together."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

from bpf.object.btf import BOOL, CHAR, SIGNED, Kind, Member, Param, Type, Value, Variable
from bpf.object.btf_check import btf

INT = Type(Kind.INT, "int", 4, encoding=SIGNED, bits=32)
KERNEL = Path("/sys/kernel/btf/vmlinux")

EVERY_KIND = (
    INT,
    Type(Kind.PTR, type=1),
    Type(Kind.ARRAY, type=1, index=1, count=3),
    Type(Kind.STRUCT, "s", 24, members=(Member("a", 1, 0), Member("b", 3, 32), Member("next", 2, 128))),
    Type(Kind.UNION, "u", 8, members=(Member("a", 1, 0), Member("p", 2, 0))),
    Type(Kind.ENUM, "e", 4, flag=True, values=(Value("A", -1), Value("B", 7))),
    Type(Kind.FWD, "later", flag=True),
    Type(Kind.TYPEDEF, "t", type=4),
    Type(Kind.VOLATILE, type=1),
    Type(Kind.CONST, type=9),
    Type(Kind.RESTRICT, type=2),
    Type(Kind.FUNC_PROTO, type=1, params=(Param("x", 1), Param("", 0))),
    Type(Kind.FUNC, "f", type=12, linkage=1),
    Type(Kind.VAR, "v", type=10, linkage=0),
    Type(Kind.DATASEC, ".data", 8, variables=(Variable(14, 4, 4),)),
    Type(Kind.FLOAT, "double", 8),
    Type(Kind.DECL_TAG, "tag", type=4, component=1),
    Type(Kind.TYPE_TAG, "user", type=1),
    Type(Kind.ENUM64, "big", 8, values=(Value("HUGE", (1 << 64) - 1),)),
    Type(Kind.ENUM64, "low", 8, flag=True, values=(Value("LOW", -(1 << 63)),)),
    Type(Kind.STRUCT, "bits", 8, flag=True, members=(Member("x", 1, 3, 5), Member("y", 1, 8, 24), Member("z", 1, 32))),
    Type(Kind.INT, "_Bool", 1, encoding=BOOL, bits=8),
    Type(Kind.INT, "char", 1, encoding=SIGNED | CHAR, bits=8),
)

NAMES_OF_THINGS = st.text("abc_", min_size=1, max_size=4)


@st.composite
def type_lists(draw: st.DrawFn) -> list[Type]:
    """Types that refer to earlier ones, and through pointers to later ones too."""
    types = [INT]
    for _ in range(draw(st.integers(0, 12))):
        sizes = [btf(types).size(number) for number in range(len(types) + 1)]
        sized = [
            number for number in range(1, len(types) + 1) if 0 < sizes[number] < 1 << 12 and btf(types).strip(number)
        ]
        number = draw(st.sampled_from(sized))
        name = draw(NAMES_OF_THINGS)
        kind = draw(st.sampled_from(sorted(Kind)))
        if kind in (Kind.STRUCT, Kind.UNION):
            members, at = [], 0
            for inner in draw(st.lists(st.sampled_from(sized), max_size=4)):
                members.append(Member(draw(NAMES_OF_THINGS), inner, 0 if kind is Kind.UNION else at))
                at += 8 * (sizes[inner] + draw(st.integers(0, 3)))
            size = max([0, *((m.offset // 8 + sizes[m.type]) for m in members)])
            types.append(Type(kind, name, size + draw(st.integers(0, 9)), members=tuple(members)))
        elif kind is Kind.ARRAY:
            types.append(Type(kind, type=number, index=1, count=draw(st.integers(0, 5))))
        elif kind in (Kind.PTR, Kind.CONST, Kind.VOLATILE, Kind.RESTRICT):
            types.append(Type(kind, type=number))
        elif kind in (Kind.TYPEDEF, Kind.TYPE_TAG):
            types.append(Type(kind, name, type=number))
        elif kind is Kind.ENUM:
            flag = draw(st.booleans())
            low, high = (-(1 << 31), (1 << 31) - 1) if flag else (0, (1 << 32) - 1)
            values = draw(st.lists(st.builds(Value, NAMES_OF_THINGS, st.integers(low, high)), max_size=3))
            types.append(Type(kind, name, 4, flag=flag, values=tuple(values)))
    return types
