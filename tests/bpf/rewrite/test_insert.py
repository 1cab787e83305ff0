"""Inserted code runs where it was put, and everything that goes from one slot to another still arrives."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpf.errors import Refused
from bpf.isa import ROW, Insn, make
from bpf.plan import Unit
from bpf.program import Line, Program, program
from bpf.rewrite import insert
from bpf.text import assemble
from tests.strategies import running_programs
from vm.interpreter import Interpreter
from vm.outcome import Outcome
from vm.world import Input, Limits, World

NOTHING = make(ROW["add64_imm"], 9, imm=0)
WIDE = make(ROW["lddw_imm"], 6, imm=1 << 40)


def run(prog: Program) -> Outcome:
    unit = Unit((prog,))
    return Interpreter(unit, prog).run(Input(), World(), Limits())


def starts(prog: Program) -> list[int]:
    """The slots of instructions."""
    return [pc for pc, insn in enumerate(prog.insns) if insn is not None]


@given(data=st.data(), prog=running_programs())
def test_code_that_does_nothing_changes_nothing(data: st.DataObject, prog: Program) -> None:
    places = data.draw(st.lists(st.sampled_from(starts(prog)), unique=True))
    after = insert(prog, {pc: data.draw(st.sampled_from([[NOTHING], [NOTHING] * 3])) for pc in places}).program
    assert len(after) > len(prog) or not places
    assert replace(run(after), counts={}) == replace(run(prog), counts={})


@given(data=st.data(), prog=running_programs())
def test_every_instruction_keeps_its_origin(data: st.DataObject, prog: Program) -> None:
    places = data.draw(st.lists(st.sampled_from(starts(prog)), unique=True))
    rewritten = insert(prog, {pc: [WIDE, NOTHING] for pc in places})
    assert rewritten.source is prog
    assert [pc for pc in rewritten.origin if pc is not None] == list(range(len(prog)))
    assert len(rewritten.origin) == len(rewritten.program)
    for pc, insn in zip(rewritten.origin, rewritten.program.insns, strict=True):
        if pc is None:
            assert insn in (WIDE, NOTHING, None)
        elif insn is not None:
            assert insn.row is prog.insns[pc].row  # type: ignore[union-attr]


def test_a_jump_to_the_slot_runs_what_was_inserted() -> None:
    prog = assemble("r0 = 0; r6 = 3; again: r6 += -1; if r6 != 0 goto again; if r0 == 0 goto out; r0 = 77; out: exit")
    add = make(ROW["add64_imm"], 0, imm=10)
    assert run(insert(prog, {2: [add]}).program).r0 == 77
    assert run(insert(prog, {5: [add]}).program).r0 == 0
    assert run(insert(prog, {6: [add, add]}).program).r0 == 20


def test_calls_far_jumps_and_function_pointers_follow() -> None:
    prog = assemble("gotol over; exit; over: r6 = func[f]; call f; r0 += 1; exit; f: r0 = 5; exit")
    rewritten = insert(prog, {pc: [NOTHING] for pc in starts(prog)}).program
    assert [function.name for function in rewritten.functions] == [function.name for function in prog.functions]
    assert [function.start for function in rewritten.functions] == [0, 13]
    before, after = run(prog), run(rewritten)
    assert (after.r0, after.registers) == (before.r0, before.registers)
    assert after.r0 == 6


def test_inserted_code_belongs_to_the_line() -> None:
    lines = {0: Line("a.c", 1), 1: Line("a.c", 2)}
    prog = program([make(ROW["mov64_imm"], 0), make(ROW["exit"])], lines=lines)
    rewritten = insert(prog, {1: [WIDE]}).program
    assert [rewritten.line_at(pc).line for pc in range(4)] == [1, 2, 2, 2]  # type: ignore[union-attr]


def test_a_jump_that_no_longer_reaches_is_refused() -> None:
    slots: list[Insn | None] = [make(ROW["ja"], off=0x7FFF), *[make(ROW["mov64_imm"], 0)] * 0x7FFF, make(ROW["exit"])]
    prog = program(slots)
    assert insert(prog, {0: [NOTHING]}).program.insns[1] == slots[0]
    with pytest.raises(Refused, match="insn 0: ja would have to jump 32768 slots"):
        insert(prog, {9: [NOTHING]})
    far = program([make(ROW["gotol"], imm=0x7FFF), *slots[1:]])
    assert insert(far, {9: [NOTHING]}).program.insns[0] == make(ROW["gotol"], imm=0x8000)


@pytest.mark.parametrize("name", ["ja", "jeq64_imm", "call_local", "call_helper", "exit", "lddw_func"])
def test_only_straight_code_is_inserted(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be inserted"):
        insert(assemble("r0 = 0; exit"), {1: [make(ROW[name])]})


def test_nothing_goes_into_the_middle_of_an_lddw() -> None:
    with pytest.raises(ValueError, match="cannot be inserted before slot 1"):
        insert(assemble("r0 = 1 ll; exit"), {1: [NOTHING]})
