"""The walk knows what each access goes through."""

from __future__ import annotations

import pytest

from bpf.errors import Refused
from bpf.facts import Base, Pointer
from bpf.isa import Kind
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
