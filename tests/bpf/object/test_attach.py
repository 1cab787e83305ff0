"""Words of contexts by types, walks through structures, and structures that are made of what is said of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpf.errors import BadInput
from bpf.object.attach import Word, attached, pointee, walk, words
from bpf.object.btf import SIGNED, VOID, Btf, Kind, Member, Param, Type, Value, Variable
from bpf.object.btf_build import Structure, find
from bpf.object.btf_value import typed
from bpf.program import Program, program
from bpf.text import assemble

INT, CHAR, PTR, TASK, ARRAY, ENUM, NAMELESS, PAIR = range(1, 9)
TYPES = Btf((
    VOID,
    Type(Kind.INT, "int", 4, encoding=SIGNED, bits=32),
    Type(Kind.INT, "char", 1, encoding=SIGNED, bits=8),
    Type(Kind.PTR, type=TASK),
    Type(Kind.STRUCT, "task", 56, members=(
        Member("pid", INT, 0), Member("low", INT, 32, 3), Member("high", INT, 35, 7), Member("parent", PTR, 64),
        Member("name", ARRAY, 128), Member("", NAMELESS, 192), Member("state", ENUM, 256), Member("pair", PAIR, 320),
    )),
    Type(Kind.ARRAY, type=CHAR, index=INT, count=8),
    Type(Kind.ENUM, "state", 4, values=(Value("RUNS", 0), Value("SLEEPS", 5))),
    Type(Kind.UNION, "", 8, members=(Member("owner", PTR, 0), Member("number", INT, 0))),
    Type(Kind.ARRAY, type=PTR, index=INT, count=2),
    Type(Kind.FUNC_PROTO, type=PTR, params=(Param("who", PTR), Param("", INT))),  # 9
    Type(Kind.FUNC, "wake", type=9, linkage=1),
    Type(Kind.FUNC, "bpf_lsm_wake", type=9, linkage=1),
    Type(Kind.PTR, type=9),  # 12
    Type(Kind.TYPEDEF, "btf_trace_wake", type=12),
    Type(Kind.STRUCT, "bpf_iter__task", 24, members=(
        Member("n", INT, 0), Member("", NAMELESS, 64), Member("t", PTR, 128),
    )),
    Type(Kind.FWD, "task"),  # 15
    Type(Kind.PTR, type=15),
    Type(Kind.CONST, type=16),
))  # fmt: skip


def attaching(section: str, types: Btf | None = TYPES) -> Program:
    found = assemble("r0 = 0; exit")
    return Program(found.name, found.insns, functions=found.functions, section=section, kernel=types)


@pytest.mark.parametrize(
    ("section", "found"),
    [
        ("fentry/wake", (Word("who", TASK), Word("arg1"))),
        ("fentry.s/wake", (Word("who", TASK), Word("arg1"))),
        ("?fexit/wake", (Word("who", TASK), Word("arg1"), Word("ret", TASK))),
        ("fmod_ret/wake", (Word("who", TASK), Word("arg1"), Word("ret", TASK))),
        ("lsm/wake", (Word("who", TASK), Word("arg1"), Word("ret", TASK))),
        ("tp_btf/wake", (Word("arg0"),)),
        ("iter/task", (Word("n"), Word("owner", TASK), Word("t", TASK))),
        ("fentry/sleep", None), ("iter/none", None), ("fentry", None), ("netfilter", None),
    ],
)  # fmt: skip
def test_words(section: str, found: tuple[Word, ...] | None) -> None:
    assert words(attaching(section)) == found
    assert words(attaching(section, None)) is None


def test_what_a_section_says() -> None:
    assert attached("?fentry.s/a/b") == ("fentry", "a/b")
    assert attached("netfilter") == ("netfilter", "")


def test_what_a_pointer_leads_to() -> None:
    assert [pointee(TYPES, number) for number in (PTR, 16, 17, NAMELESS, INT, ARRAY, 12)] == [4, 4, 4, 4, 0, 0, 0]


@pytest.mark.parametrize(
    ("offset", "found"),
    [(8, TASK), (24, TASK), (40, TASK), (48, TASK), (0, 0), (16, 0), (32, 0), (12, 0), (56, None), (-8, None)],
)
def test_walks(offset: int, found: int | None) -> None:
    assert walk(TYPES, TASK, offset) == found


@given(
    pid=st.integers(-(1 << 31), (1 << 31) - 1), low=st.integers(-4, 3), high=st.integers(-64, 63),
    parent=st.integers(0, (1 << 64) - 1), name=st.text("abc", min_size=1, max_size=7),
    order=st.sampled_from(("little", "big")),
)  # fmt: skip
def test_a_structure_is_shown_as_it_was_said(pid: int, low: int, high: int, parent: int, name: str, order: str) -> None:
    said: dict[str, Any] = {"pid": pid, "low": low, "high": high, "parent": parent, "name": name, "state": "SLEEPS"}
    made = Structure(TYPES, TASK, said).encode(order)
    assert len(made) == 56
    shown = typed(Btf(TYPES.types, order), TASK, made)
    assert {key: shown[key] for key in said} == said | {"parent": hex(parent)}


def test_members_inside_members() -> None:
    made = Structure(TYPES, TASK, {"pair[1]": 7, "number": -1, "name[2]": 65}).encode("little")
    assert (made[48], made[24:32], made[16:24]) == (7, b"\xff" * 4 + bytes(4), b"\0\0A" + bytes(5))
    assert find(TYPES, TASK, "owner") == (PTR, 192, 0)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("nothing", 1, "task has no member 'nothing'"), ("pid.x", 1, "int has no member 'x'"),
        ("pair[2]", 1, "the array has 2 elements"), ("pid[0]", 1, r"'pid\[0\]' is no member of int"),
        ("pair.x", 1, "is no member of"), ("%", 1, "'%' is no member of task"),
        ("pid", 1 << 32, "does not fit 32 bits"),
        ("low", 8, "does not fit 3 bits"), ("name", "far too long", "does not fit 8 bytes"),
        ("state", "WAKES", "is a number, and 'WAKES' is none"), ("pair", 5, "pair is no number"),
    ],
)  # fmt: skip
def test_what_cannot_be_said(path: str, value: int | str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Structure(TYPES, TASK, {path: value}).encode("little")


def test_a_structure_that_is_too_large() -> None:
    huge = Btf((VOID, Type(Kind.STRUCT, "huge", 1 << 31)))
    with pytest.raises(BadInput, match="huge has 2147483648 bytes"):
        Structure(huge, 1, {}).encode("little")


def test_types_are_the_machines_first() -> None:
    own = Btf((VOID, Type(Kind.DATASEC, "none", variables=(Variable(0, 0, 0),))))
    prog = program(assemble("r0 = 0; exit").insns)
    assert words(Program(prog.name, prog.insns, section="fentry/wake", btf=TYPES, kernel=own)) is None
    assert words(Program(prog.name, prog.insns, section="fentry/wake", btf=TYPES)) is not None
