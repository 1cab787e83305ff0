"""The walk knows what each access goes through."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bpf.errors import Refused
from bpf.facts import Base, Pointer
from bpf.isa import Kind
from bpf.object.btf import VOID, Btf, Member, Param, Type
from bpf.object.btf import Kind as BtfKind
from bpf.spec.conventions import TYPED
from bpf.spec.helpers import Helper
from bpf.text import assemble
from verifier.provenance import provenance

CONTEXT = Pointer(Base.CONTEXT)
STACK, PACKET, OTHER, VALUE = (Pointer(base) for base in (Base.STACK, Base.PACKET, Base.OTHER, Base.MAP_VALUE))
LOOP = {181: Helper(181, "loop", 4, "5.17"), 1: Helper(1, "map_lookup_elem", 2, "3.19")}


def bases(text: str, name: str = "xdp") -> list[Pointer | None]:
    """The base of each load, store and atomic in slot order; None for one that cannot be reached."""
    prog = assemble(text)
    convention = TYPED[name]
    assert convention.view is not None
    facts = provenance(prog, convention.view, LOOP)
    kinds = (Kind.LOAD, Kind.STORE, Kind.ATOMIC)
    return [facts.pointers.get(pc) for pc, insn in enumerate(prog.insns) if insn and insn.row.kind in kinds]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("r0 = *(u32 *)(r1 + 12); exit", [CONTEXT]),
        ("r2 = r1; r2 += 4; r0 = *(u32 *)(r2 + 8); r2 -= 8; r0 = *(u32 *)(r2 + 16); exit",
         [Pointer(Base.CONTEXT, 4), Pointer(Base.CONTEXT, -4)]),
        ("r2 = *(u32 *)(r1 + 0); r2 += 4; r0 = *(u8 *)(r2 + 0); exit", [CONTEXT, PACKET]),
        ("r2 = *(u32 *)(r1 + 12); r0 = *(u8 *)(r2 + 0); exit", [CONTEXT, OTHER]),
        ("*(u64 *)(r10 - 8) = r1; r2 = *(u64 *)(r10 - 8); r0 = *(u32 *)(r2 + 12); exit", [STACK, STACK, CONTEXT]),
        ("r3 = r10; r3 += -16; *(u64 *)(r3 + 8) = r1; r2 = *(u64 *)(r10 - 8); r0 = *(u32 *)(r2 + 12); exit",
         [STACK, STACK, CONTEXT]),
        ("*(u64 *)(r10 - 8) = r1; *(u8 *)(r10 - 5) = 1; r2 = *(u64 *)(r10 - 8); r0 = *(u32 *)(r2 + 0); exit",
         [STACK, STACK, STACK, OTHER]),
        ("w1 = w1; r0 = *(u32 *)(r1 + 0); exit", [OTHER]),
        ("r6 = r1; call 5; r0 = *(u32 *)(r6 + 12); exit", [CONTEXT]),
        ("call f; r0 = 0; exit; f: r0 = *(u32 *)(r1 + 12); exit", [CONTEXT]),
        ("call f; r0 = *(u32 *)(r0 + 12); exit; f: r0 = r1; exit", [CONTEXT]),
        ("r6 = r1; r1 = 5; call f; r0 = *(u32 *)(r6 + 12); exit; f: r6 = 0; r0 = 0; exit", [CONTEXT]),
        (("*(u64 *)(r10 - 8) = r1; r1 = r10; r1 += -8; call f; r0 = 0; exit; "
          "f: r2 = *(u64 *)(r1 + 0); r0 = *(u32 *)(r2 + 12); exit"), [STACK, STACK, CONTEXT]),
        ("r2 = func[f]; callx r2; r0 = 0; exit; f: r0 = *(u32 *)(r1 + 12); exit", [CONTEXT]),
        (("*(u64 *)(r10 - 8) = r1; r1 = 4; r2 = func[f]; r3 = r10; r3 += -8; r4 = 0; call 181; r0 = 0; exit; "
          "f: r2 = *(u64 *)(r2 + 0); r0 = *(u32 *)(r2 + 12); r0 = 0; exit"), [STACK, STACK, CONTEXT]),
        ("r1 = map[idx:0]; call 1; r0 = *(u32 *)(r0 + 0); exit", [VALUE]),
        ("r1 = map_value[idx:0][8]; r1 += 8; r0 = *(u32 *)(r1 + 0); exit", [VALUE]),
        ("r0 = 0; exit; r0 = *(u32 *)(r1 + 0); exit", [None]),
        (("r7 = 4; r7 <<= 1; r2 = r1; r2 += r7; w7 = -4; r2 += r7; r3 = 0x100000000 ll; r2 -= r3; "
          "r0 = *(u32 *)(r2 + 8); exit"), [Pointer(Base.CONTEXT, 4)]),
        ("r7 = 4; if r3 == 0 goto l; r7 = 8; l: r2 = r10; r2 += r7; r0 = *(u32 *)(r2 - 16); exit", [STACK]),
        ("r7 = 4; r7 += r1; r0 = *(u32 *)(r7 + 8); exit", [Pointer(Base.CONTEXT, 4)]),
        ("r2 = 0; if r2 == 0 goto l; r1 = 0; r0 = 1; exit; l: r0 = *(u32 *)(r1 + 12); exit", [CONTEXT]),
        ("r6 = r1; r7 = 9; l: r0 = *(u32 *)(r6 + 12); r7 += -1; if r7 != 0 goto l; exit", [CONTEXT]),
    ],
)  # fmt: skip
def test_bases(text: str, expected: list[Pointer | None]) -> None:
    assert bases(text) == expected


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("r2 = r1; if r3 == 0 goto l; r2 = r10; r2 += -8; l: r0 = *(u32 *)(r2 + 0); exit",
         "insn 4: same insn cannot be used with different pointers"),
        ("r6 = r1; call f; r1 = r10; r1 += -8; call f; exit; f: r0 = *(u32 *)(r1 + 0); exit",
         "insn 6: same insn cannot be used with different pointers"),
        ("r2 = r1; if r3 == 0 goto l; r2 += 4; l: r0 = *(u32 *)(r2 + 0); exit",
         "insn 3: variable ctx access through R2"),
        ("r1 += r3; r0 = *(u32 *)(r1 + 0); exit", "insn 1: variable ctx access through R1"),
        ("r2 = r1; call f; r1 = r2; exit; f: if r2 == 0 goto g; r1 += 4; g: r0 = *(u32 *)(r1 + 0); exit",
         "insn 6: variable ctx access through R1"),
    ],
)  # fmt: skip
def test_conflicts(text: str, what: str) -> None:
    with pytest.raises(Refused) as raised:
        bases(text)
    assert str(raised.value) == what


def test_paths_that_multiply_end() -> None:
    calls = "; ".join(f"f{n}: r6 = r1; call f{n + 1}; r1 = r6; call f{n + 1}; exit" for n in range(7))
    assert bases(f"call f0; exit; {calls}; f7: r0 = *(u32 *)(r1 + 12); exit") == [CONTEXT]


OBJECT = Pointer(Base.OBJECT)
NODE, LIST = 2, 3
NODES = Btf((
    VOID, Type(BtfKind.INT, "long", 8, bits=64),
    Type(BtfKind.STRUCT, "node", 24, members=(Member("next", 4, 0), Member("value", 1, 64), Member("lists", 6, 128))),
    Type(BtfKind.STRUCT, "list", 8, members=(Member("first", 4, 0),)),
    Type(BtfKind.PTR, type=NODE), Type(BtfKind.PTR, type=LIST), Type(BtfKind.ARRAY, type=5, index=1, count=1),
    Type(BtfKind.FUNC_PROTO, type=1, params=(Param("node", 4), Param("count", 1))), Type(BtfKind.FUNC, "add", type=7),
))  # fmt: skip
TASKS = {158: Helper(158, "get_current_task_btf", 0, "5.11", gives="node"), 5: Helper(5, "any", 0, "", gives="?")}


def walked(text: str, types: Btf | None = NODES) -> list[Base]:
    """The bases of loads and stores of a program that is attached to `add`."""
    prog = replace(assemble(text), section="fentry/add", kernel=types)
    found = provenance(prog, TYPED["tracing"].view, TASKS).pointers
    return [found[pc].base for pc, insn in enumerate(prog.insns) if pc in found and insn]


C, B, N, S = Base.CONTEXT, Base.OBJECT, Base.OTHER, Base.STACK


@pytest.mark.parametrize(
    ("text", "typed", "untyped"),
    [
        ("r2 = *(u64 *)(r1 + 0); r0 = *(u64 *)(r2 + 8); exit", [C, B], [C, B]),
        ("r2 = *(u64 *)(r1 + 0); r2 = *(u64 *)(r2 + 0); r0 = *(u64 *)(r2 + 0); exit", [C, B, B], [C, B, B]),
        ("r2 = *(u64 *)(r1 + 0); r2 = *(u64 *)(r2 + 8); r0 = *(u64 *)(r2 + 0); exit", [C, B, N], [C, B, B]),
        ("r2 = *(u64 *)(r1 + 0); r2 += 16; r2 = *(u64 *)(r2 + 0); r0 = *(u64 *)(r2 + 0); exit", [C, B, B], [C, B, B]),
        ("r2 = *(u64 *)(r1 + 8); r0 = *(u64 *)(r2 + 0); exit", [C, N], [C, B]),
        ("r2 = *(u32 *)(r1 + 8); r0 = *(u64 *)(r2 + 0); exit", [C, N], [C, N]),
        ("r2 = *(u64 *)(r1 + 0); *(u64 *)(r10 - 8) = r2; r2 = *(u64 *)(r10 - 8); r0 = *(u8 *)(r2 + 0); exit",
         [C, S, S, B], [C, S, S, B]),
        ("r2 = 0; if r3 == 0 goto l; r2 = *(u64 *)(r1 + 0); l: r0 = *(u8 *)(r2 + 0); exit", [C, B], [C, B]),
        ("r2 = r10; r2 += -8; if r3 == 0 goto l; r2 = *(u64 *)(r1 + 0); l: r0 = *(u8 *)(r2 + 0); exit", [C, B], [C, B]),
        ("call 158; r1 = *(u64 *)(r0 + 8); r0 = *(u64 *)(r1 + 0); exit", [B, N], [B, B]),
        ("call 5; r1 = *(u64 *)(r0 + 8); r0 = *(u64 *)(r1 + 0); exit", [B, B], [B, B]),
        ("r1 = *(u64 *)(r1 + 0); call f; exit; f: r0 = *(u8 *)(r1 + 1); exit", [C, B], [C, B]),
    ],
)  # fmt: skip
def test_structures_of_the_kernel(text: str, typed: list[Base], untyped: list[Base]) -> None:
    assert walked(text) == typed
    assert walked(text, None) == untyped


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("r2 = *(u64 *)(r1 + 0); *(u64 *)(r2 + 8) = 1; exit", "insn 1: only read is supported"),
        ("r2 = *(u64 *)(r1 + 16); exit", "insn 0: func 'add' doesn't have 3-th argument"),
        ("r2 = *(u32 *)(r1 + 0); exit", "insn 0: func 'add' size 4 must be 8"),
        ("r2 = r1; if r3 == 0 goto l; r2 = *(u64 *)(r1 + 0); l: r0 = *(u8 *)(r2 + 0); exit",
         "insn 3: same insn cannot be used with different pointers"),
    ],
)  # fmt: skip
def test_what_structures_do_not_allow(text: str, what: str) -> None:
    with pytest.raises(Refused) as raised:
        walked(text)
    assert str(raised.value) == what


def test_before_the_start_of_a_context_nothing_is_known() -> None:
    assert walked("r2 = *(u64 *)(r1 - 16); r0 = *(u64 *)(r2 + 0); exit") == [C, B]


def test_a_cast_to_a_type_that_is_known() -> None:
    text = "r1 = 5; r2 = {}; call 5; r1 = *(u64 *)(r0 + 8); r0 = *(u64 *)(r1 + 0); exit"
    assert walked(text.format(NODE)) == [B, N]  # what is at 8 is a number
    assert walked(text.format(99)) == [B, B]
