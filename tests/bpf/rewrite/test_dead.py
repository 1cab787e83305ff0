"""Taking instructions out: what is left goes where it went, and says where it is from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bpf.errors import Refused
from bpf.facts import Facts
from bpf.isa import ROW, make
from bpf.program import Line, Program
from bpf.rewrite import Away, reduced, remove
from bpf.rewrite import replace as put
from bpf.rewrite.dead import hard_wire, remove_dead, remove_nops, trap_dead
from bpf.text import assemble, format_insn


def code(text: str) -> Program:
    return replace(assemble(text.replace("; ", "\n")), lines={})


def texts(program: Program) -> list[str]:
    return [format_insn(insn) for insn in program.insns if insn is not None]


DECIDED = code("r0 = 1; if r0 == 1 goto on; r2 = 0x100000000 ll; call f; on: r0 += 2; exit; f: r0 = 3; exit")
DEAD = Facts(unreached=frozenset({2, 3, 4, 7, 8}))


def test_a_decided_branch() -> None:
    assert texts(hard_wire(DECIDED, DEAD))[1] == "goto +3"
    other = code("r0 = 1; if r0 == 2 goto on; exit; on: r0 += 2; exit")
    assert texts(hard_wire(other, Facts(unreached=frozenset({3, 4}))))[1] == "goto +0"
    assert texts(hard_wire(other, Facts())) == texts(other)


def test_dead_code_goes_and_its_functions() -> None:
    made = remove_dead(hard_wire(DECIDED, DEAD), DEAD)
    assert texts(made) == ["r0 = 1", "goto +0", "r0 += 2", "exit"]
    assert made.origin == (0, 1, 5, 6)
    assert made.source == DECIDED
    assert [function.name for function in made.functions] == ["prog"]
    assert texts(reduced(DECIDED, DEAD)) == ["r0 = 1", "r0 += 2", "exit"]


def test_dead_code_as_a_trap() -> None:
    made = trap_dead(DECIDED, DEAD)
    assert len(made) == len(DECIDED)
    assert [format_insn(made.insns[pc]) for pc in (2, 3, 4)] == ["goto -1"] * 3  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("goto +0; r0 = 0; exit", "r0 = 0; exit"),
        ("may_goto +0; r0 = 0; exit", "r0 = 0; exit"),
        ("goto +1; goto +0; r0 = 0; exit", "goto +0; r0 = 0; exit"),
        ("may_goto +1; may_goto +0; r0 = 0; exit", "r0 = 0; exit"),
        ("goto +1; may_goto +0; r0 = 0; exit", "r0 = 0; exit"),
        ("r0 = 0; if r0 == 0 goto +0; exit", "r0 = 0; if r0 == 0 goto +0; exit"),
        ("r0 = 0; l: goto +0; r0 += 1; if r0 < 9 goto l; exit", "r0 = 0; r0 += 1; if r0 < 9 goto -2; exit"),
    ],
)
def test_jumps_over_nothing(text: str, expected: str) -> None:
    """In one pass, so that what has just become one stays; behind a may_goto the kernel looks once more."""
    assert texts(remove_nops(code(text))) == expected.split("; ")


def test_functions_types_and_lines_move() -> None:
    program = code("r1 = 1; r1 = 2; call f; exit; f: r3 = 1; r0 = 3; exit")
    first, second, third = (Line("a.c", number) for number in (1, 2, 3))
    program = replace(program, lines={0: first, 1: second, 4: third}, types={0: 7, 4: 8})
    made = remove(program, {0, 4})
    assert texts(made) == ["r1 = 2", "call pc+1", "exit", "r0 = 3", "exit"]
    assert made.types == {0: 7, 3: 8}
    assert made.lines == {0: second, 3: third}
    assert remove(program, {1}).lines == {0: first, 1: second, 3: third}
    assert remove(program, set()) is program


def test_away() -> None:
    """What is put in may leave; what a function starts with is run by a call and not by a jump."""
    program = code("r0 = 0; call f; exit; f: r0 += 1; if r0 < 3 goto f; exit")
    leaves = [make(ROW["mov64_imm"], 2, imm=1), Away(make(ROW["jne64_imm"], 0), 2), Away(make(ROW["call_local"]), 3)]
    made = put(program, {0: leaves}, {3: [make(ROW["mov64_imm"], 5, imm=5)]})
    assert texts(made) == [
        "r2 = 1", "if r0 != 0 goto +2", "call pc+2", "call pc+1", "exit",
        "r5 = 5", "r0 += 1", "if r0 < 3 goto -2", "exit",
    ]  # fmt: skip
    assert made.origin == (0, 0, 0, 1, 2, 3, 3, 4, 5)
    assert [function.start for function in made.functions] == [0, 5]


def test_a_jump_that_does_not_reach() -> None:
    far = code("if r0 == 0 goto out; r1 = 1; out: exit")
    with pytest.raises(Refused, match="would have to jump 40000 slots once rewritten"):
        put(far, {1: [make(ROW["mov64_imm"], 1)] * 40_000})
