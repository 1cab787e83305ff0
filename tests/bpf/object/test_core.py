"""CO-RE: a program relocated to a target's types does what the same program compiled for them does."""

from __future__ import annotations

import struct
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from elfs import ORDERS, Surgeon, built, compiled, outcome
from hypothesis import given
from hypothesis import strategies as st

from bpf.errors import BadObject, Refused
from bpf.isa import Insn
from bpf.object import Object, load
from bpf.object.btf import Btf, Kind, Member, Type, Value
from bpf.object.btf_check import btf
from bpf.object.btf_ext import Ask, Relo
from bpf.object.core import Answer, Resolver
from bpf.object.core_patch import POISON
from bpf.object.core_types import compatible, fields_compatible, matches
from bpf.object.parts import open_parts, raw_types
from bpf.program import Program

MEMORY = 200


@cache
def target(order: str) -> Btf:
    return raw_types(built("core_target", order))


@cache
def relocated(name: str, order: str, *, moved: bool = True) -> Program:
    return load(built("core", order), name=name, target=target(order) if moved else None)[0]


@cache
def direct(name: str, order: str) -> Program:
    return load(built("core", order, "-DDIRECT"), name=name)[0]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", ["fields", "bit_fields", "offsets", "store"])
class TestAgainstTheCompiler:
    @given(data=st.binary(min_size=MEMORY, max_size=MEMORY))
    def test_any_memory(self, name: str, order: str, data: bytes) -> None:
        mine, theirs = outcome(relocated(name, order), data), outcome(direct(name, order), data)
        assert mine.r0 == theirs.r0
        assert mine.regions["memory"] == theirs.regions["memory"]


@pytest.mark.parametrize("order", ORDERS)
class TestAnswers:
    def test_what_is_there(self, order: str) -> None:
        assert outcome(relocated("exists", order), bytes(MEMORY)).r0 == 7 + (1 << 8) + (1 << 12) + (1 << 16)

    def test_what_is_there_in_its_own_types(self, order: str) -> None:
        found = outcome(relocated("exists", order, moved=False), bytes(MEMORY)).r0
        assert found == (1 << 8) + (1 << 12) + (1 << 16) + (1 << 20)

    def test_values(self, order: str) -> None:
        assert outcome(relocated("values", order)).r0 == 42 + 0x500000000 + (9 << 8)
        assert outcome(relocated("values", order, moved=False)).r0 == 2 + 0x100000000 + (3 << 8)

    def test_types(self, order: str) -> None:
        types = target(order)
        thing, inner = types.find("thing", Kind.STRUCT), types.find("inner", Kind.STRUCT)
        assert thing is not None
        assert inner is not None
        assert outcome(relocated("types", order)).r0 == types.size(thing) + (inner << 32)  # values[4] is not values[6]
        assert outcome(relocated("types", order, moved=False)).r0 >> 16 & 1 == 1

    def test_local_id(self, order: str) -> None:
        program = relocated("local_id", order)
        assert program.btf is not None
        assert program.btf[outcome(program).r0].name == "inner"

    def test_without_an_answer(self, order: str) -> None:
        message = r"CO-RE relocation <byte_off> struct thing___old\.gone \(0:0\) finds nothing on the target"
        with pytest.raises(Refused, match=rf"insn \d+ in careless: {message}"):
            relocated("careless", order)
        assert relocated("careless", order, moved=False)

    def test_dead_code_has_no_poison(self, order: str) -> None:
        program = relocated("exists", order)
        assert not [insn for insn in program.insns if insn is not None and insn.imm == POISON]
        assert [insn for insn in program.insns if isinstance(insn, Insn) and insn.row.op == "ja" and insn.off == -1]

    def test_a_chain_of_reads(self, order: str) -> None:
        program = relocated("chain", order)
        assert [insn.imm for insn in program.insns if insn is not None and insn.row.op == "call_helper"] == [113] * 3

    def test_every_kind_is_asked_for(self, order: str) -> None:
        asked = {relo.ask for relos in open_parts(built("core", order)).ext.core.values() for relo in relos}
        assert asked == set(Ask)


# Resolver --------------------------------------------------------------------------------------------------------

INT, LONG = Type(Kind.INT, "int", 4, encoding=1, bits=32), Type(Kind.INT, "long", 8, bits=64)


def struct_(name: str, *members: tuple[str, int, int], size: int = 64) -> Type:
    return Type(Kind.STRUCT, name, size, members=tuple(Member(n, t, 8 * at) for n, t, at in members))


LOCAL = btf([INT, LONG, struct_("s", ("a", 1, 0), ("b", 1, 4)), Type(Kind.ENUM, "e", 4, values=(Value("A", 1),)),
             struct_("s___v2", ("b", 1, 8))])  # fmt: skip


def answer(types: Btf | None, ask: Ask, access: str = "0:1", number: int = 3) -> Answer:
    return Resolver(LOCAL, types).answer(Relo(0, number, access, ask), "here")


@given(st.permutations(range(8)), st.lists(st.integers(0, 9), min_size=8, max_size=8), st.integers(0, 8), st.data())
def test_members_are_found_wherever_they_went(
    order: list[int], gaps: list[int], nested: int, data: st.DataObject
) -> None:
    """The target has the members in another order, with gaps, and some of them in an anonymous struct in a union."""
    members = [(f"m{n}", 1 + n % 2, 8 * n) for n in range(8)]
    at, moved = 0, []
    for n, gap in zip(order, gaps, strict=True):
        at += gap
        moved.append((f"m{n}", 1 + n % 2, at))
        at += 8
    start = moved[nested][2] if nested < 8 else at
    inner = struct_("", *((name, number, offset - start) for name, number, offset in moved[nested:]), size=at - start)
    union = Type(Kind.UNION, "", at - start, members=(Member("", 3, 0),))
    there = btf([INT, LONG, inner, union, struct_("s", *moved[:nested], ("", 4, start), size=at)])
    local = btf([INT, LONG, struct_("s", *members)])
    n = data.draw(st.integers(0, 7))
    found = Resolver(local, there).answer(Relo(0, 3, f"0:{n}", Ask.BYTE_OFFSET), "here")
    assert (found.value, found.expected) == ({name: at for name, _, at in moved}[f"m{n}"], 8 * n)


def test_two_candidates_that_agree() -> None:
    types = btf([INT, struct_("s", ("b", 1, 12)), struct_("s___b", ("x", 1, 0), ("b", 1, 12))])
    assert answer(types, Ask.BYTE_OFFSET).value == 12


def test_two_candidates_that_differ() -> None:
    types = btf([INT, struct_("s", ("b", 1, 12)), struct_("s___b", ("b", 1, 8))])
    with pytest.raises(Refused, match=r"<byte_off> struct s\.b .* is ambiguous"):
        answer(types, Ask.BYTE_OFFSET)
    with pytest.raises(Refused, match="is ambiguous"):  # though the size would be the same
        answer(types, Ask.BYTE_SIZE)


def test_a_candidate_without_the_member_does_not_count() -> None:
    types = btf([INT, struct_("s", ("x", 1, 12)), struct_("s___b", ("b", 1, 8))])
    assert answer(types, Ask.BYTE_OFFSET).value == 8
    assert answer(types, Ask.BYTE_OFFSET, number=5, access="0:0").value == 8


def test_its_own_types_know_flavours_apart() -> None:
    assert answer(None, Ask.BYTE_OFFSET).value == 4
    assert answer(None, Ask.BYTE_OFFSET, number=5, access="0:0").value == 8


def test_forward_declarations_and_other_kinds_are_no_candidates() -> None:
    types = btf([INT, Type(Kind.FWD, "s"), Type(Kind.UNION, "s", 64, members=(Member("b", 1, 0),))])
    assert answer(types, Ask.BYTE_OFFSET).value is None
    assert answer(types, Ask.FIELD_EXISTS).value == 0
    assert answer(types, Ask.TYPE_EXISTS, "0").value == 0
    assert answer(types, Ask.TYPE_SIZE, "0").value is None


def test_a_member_that_became_a_struct_is_not_the_same() -> None:
    types = btf([INT, struct_("t"), struct_("s", ("b", 2, 0), size=128)])
    assert answer(types, Ask.FIELD_EXISTS).value == 0


def test_sizes_that_a_load_must_follow() -> None:
    unsigned = Type(Kind.INT, "u32", 4, bits=32)
    local = btf([INT, unsigned, struct_("s", ("x", 2, 0), ("y", 1, 4))])
    wider = btf([INT, LONG, struct_("s", ("x", 2, 0), ("y", 2, 8))])
    found = Resolver(local, wider).answer(Relo(0, 3, "0:0", Ask.BYTE_OFFSET), "here")
    assert (found.value, found.sizes, found.expected) == (0, (4, 8), 0)
    signed = Resolver(local, wider).answer(Relo(0, 3, "0:1", Ask.BYTE_OFFSET), "here")
    assert signed.sizes is None


def test_a_bit_field_of_the_other_byte_order() -> None:
    local = btf([INT, Type(Kind.STRUCT, "s", 4, flag=True, members=(Member("x", 1, 0, 3),))], "little")
    other = btf([INT, Type(Kind.STRUCT, "s", 4, flag=True, members=(Member("x", 1, 0, 3),))], "big")
    with pytest.raises(Refused, match="a bit-field in big-endian types is elsewhere"):
        Resolver(local, other).answer(Relo(0, 2, "0:0", Ask.LSHIFT), "here")


@pytest.mark.parametrize(
    ("ask", "access", "number"),
    [
        (Ask.BYTE_OFFSET, "0:9", 3), (Ask.BYTE_OFFSET, "0:0:1", 3), (Ask.BYTE_OFFSET, "x", 3), (Ask.BYTE_OFFSET, "", 3),
        (Ask.BYTE_OFFSET, "0:-1", 3), (Ask.BYTE_OFFSET, "0:9999999999", 3), (Ask.TYPE_SIZE, "1", 3),
        (Ask.VALUE, "7", 4), (Ask.VALUE, "0", 3), (Ask.BYTE_OFFSET, "0:0", 1),
    ],
)  # fmt: skip
def test_relocations_that_mean_nothing(ask: Ask, access: str, number: int) -> None:
    with pytest.raises(BadObject, match="CO-RE relocation of kind"):
        answer(LOCAL, ask, access, number)


@pytest.mark.parametrize("same", [compatible, matches, fields_compatible])
def test_a_type_is_the_same_as_itself(same: object) -> None:
    assert callable(same)
    types = raw_types(built("types", "little"))
    for number, one in enumerate(types.types):
        if number and one.kind not in (Kind.FUNC, Kind.VAR, Kind.DATASEC, Kind.DECL_TAG):
            is_void = not types.strip(number)
            nothing = one.kind is Kind.FUNC_PROTO or is_void
            inner = types[types.strip(number)]
            real = inner.kind is Kind.FLOAT or inner.name == "all"  # has some, which libbpf does not match
            no = nothing if same is fields_compatible else real and same is matches
            assert same(types, number, types, number) is not no


def test_matching_is_by_name_and_member() -> None:
    local = btf([INT, struct_("s", ("a", 1, 0)), Type(Kind.PTR, type=2), struct_("t", ("p", 3, 0))])
    more = btf([INT, struct_("s", ("b", 1, 4), ("a", 1, 0)), Type(Kind.PTR, type=2), struct_("t", ("p", 3, 8))])
    other = btf([INT, LONG, struct_("s", ("a", 2, 0)), Type(Kind.PTR, type=3), struct_("t", ("p", 4, 8))])
    assert matches(local, 2, more, 2)
    assert not matches(more, 2, local, 2)
    assert not matches(local, 2, other, 3)
    assert matches(local, 4, other, 5)  # behind a pointer only the name counts
    assert compatible(local, 2, other, 3)


NAMED_INT = Type(Kind.INT, "count___mine", 4, bits=32)
ONE, TWO = Value("A", 0), Value("B", 1)


@pytest.mark.parametrize(
    ("here", "there", "same"),
    [
        ([INT], [replace(INT, name="count")], False),
        ([INT, Type(Kind.TYPEDEF, "count", type=1)], [INT, Type(Kind.TYPEDEF, "other", type=1)], True),
        ([NAMED_INT], [replace(NAMED_INT, name="count")], True),
        ([struct_("")], [struct_("s")], False),
        ([INT, struct_("s", ("a___mine", 1, 0))], [INT, struct_("s", ("a", 1, 0))], True),
        ([Type(Kind.ENUM, "e", 4, values=(ONE,))], [Type(Kind.ENUM, "e", 4, values=(ONE, TWO))], True),
        ([Type(Kind.ENUM, "e", 4, values=(ONE, TWO)), Type(Kind.PTR, type=1)],
         [Type(Kind.ENUM, "e", 4, values=(ONE,)), Type(Kind.PTR, type=1)], False),
        ([Type(Kind.FWD, "s"), Type(Kind.PTR, type=1)], [struct_("s"), Type(Kind.PTR, type=1)], True),
        ([Type(Kind.FWD, "s", flag=True), Type(Kind.PTR, type=1)], [struct_("s"), Type(Kind.PTR, type=1)], False),
        ([Type(Kind.FWD, "s")], [struct_("s")], False),
    ],
)  # fmt: skip
def test_matching_is_libbpfs(here: list[Type], there: list[Type], same: bool) -> None:
    assert matches(btf(here), len(here), btf(there), len(there)) is same


# Instructions ----------------------------------------------------------------------------------------------------

READ = """#include <bpf/bpf_core_read.h>
struct s { unsigned pad; %s x; } __core;
SEC("x") long f(struct s *s) { return s->x; }
SEC("x") int g(struct s *s) { s->x = 5; return 0; }"""


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("here", "there"), [("unsigned", "unsigned long"), ("unsigned long", "unsigned char")])
def test_a_load_follows_the_width_of_its_field(here: str, there: str, order: str, tmp_path: Path) -> None:
    types = raw_types(compiled(f"struct s {{ long q[2]; {there} x; }} *v;", order, tmp_path))
    data = compiled(READ % here, order, tmp_path)
    width = {"unsigned long": 8, "unsigned char": 1}[there]
    memory = bytes(range(1, 33))
    (read,) = load(data, name="f", target=types)
    assert outcome(read, memory).r0 == int.from_bytes(memory[16 : 16 + width], "big" if order == "big" else "little")
    (write,) = load(data, name="g", target=types)
    wanted = memory[:16] + (5).to_bytes(width, "big" if order == "big" else "little") + memory[16 + width :]
    assert outcome(write, memory).regions["memory"][: len(memory)] == wanted


def test_a_signed_field_of_another_width_is_not_read(tmp_path: Path) -> None:
    types = raw_types(compiled("struct s { long q[2]; long x; } *v;", "little", tmp_path))
    with pytest.raises(Refused, match=r"struct s\.x"):
        load(compiled(READ % "int", "little", tmp_path), name="f", target=types)


def test_an_offset_that_no_instruction_holds(tmp_path: Path) -> None:
    types = raw_types(compiled("struct s { long q[5000]; unsigned x; } *v;", "little", tmp_path))
    with pytest.raises(Refused, match="offset 40000 does not fit an instruction"):
        load(compiled(READ % "unsigned", "little", tmp_path), name="f", target=types)


@pytest.mark.parametrize("order", ORDERS)
def test_instructions_that_are_not_what_the_relocation_says(order: str) -> None:
    data = built("core", order)
    relo = next(r for r in open_parts(data).ext.core["syscall"] if r.ask is Ask.BYTE_OFFSET)
    mark = "<" if order == "little" else ">"
    with pytest.raises(BadObject, match="expects 0 in ldx32, which has 4"):
        load(Surgeon(data).content("syscall", relo.offset + 2, struct.pack(mark + "h", 4)), name="fields")
    with pytest.raises(BadObject, match="CO-RE relocation on exit"):
        load(Surgeon(data).content("syscall", relo.offset, b"\x95\0\0\0\0\0\0\0"), name="fields")


def test_types_of_the_running_kernel() -> None:
    path = Path("/sys/kernel/btf/vmlinux")
    if not path.is_file():
        pytest.skip("this kernel has no types")
    types = raw_types(path.read_bytes())
    local = btf([INT, struct_("task_struct___mine", ("pid", 1, 0), ("tgid", 1, 4))])
    found = [Resolver(local, types).answer(Relo(0, 2, f"0:{n}", Ask.BYTE_OFFSET), "").value for n in (0, 1)]
    number = types.find("task_struct", Kind.STRUCT)
    assert number is not None
    wanted = {m.name: m.offset // 8 for m in types[number].members}
    assert found == [wanted["pid"], wanted["tgid"]]


def test_the_objects_own_programs_are_complete() -> None:
    opened = Object(built("core", "little"))
    assert {entry.name for entry in opened.entries} >= {"fields", "exists", "types", "chain"}
