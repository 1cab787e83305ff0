"""Text and wire round trips: every row, whole programs, both byte orders."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpf.errors import CrossbpfError
from bpf.isa import ROW, ROWS, Insn, Row, decode, encode, make
from bpf.isa.opcodes import WIDE_FORMS
from bpf.program import Program, program
from bpf.spec.kfuncs import NUMBERS
from bpf.text import assemble, disassemble, format_insn
from bpf.text.grammar import find
from bpf.text.operands import fill
from tests.strategies import has_high_half, insns, programs, straight_programs


def read(text: str) -> Insn:
    """The instruction that a line says."""
    form, operands = find(text)
    assert form is not None, text
    insn, label = fill(form, operands, form.wraps)
    if label in NUMBERS:
        return insn._replace(imm=NUMBERS[label])
    assert not label
    return insn


def test_every_kernel_function_has_a_name() -> None:
    for name, number in NUMBERS.items():
        insn = make(ROW["call_kfunc"], imm=number)
        assert format_insn(insn) == f"call kfunc {name}"
        assert read(format_insn(insn)) == insn


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@settings(max_examples=10)
@given(data=st.data())
def test_row(row: Row, data: st.DataObject) -> None:
    insn = data.draw(insns(row))
    assert read(format_insn(insn)) == insn
    for order in ("little", "big"):
        assert decode(encode([insn], order), order)[0] == insn


@pytest.mark.parametrize("form", [form for form in WIDE_FORMS if has_high_half(ROW[f"lddw_{form}"])])
def test_no_bit_of_a_wide_immediate_is_lost(form: str) -> None:
    row = ROW[f"lddw_{form}"]
    for imm in (0, 1, 0xFFFFFFFF, 1 << 32, 0x8000000080000000, (1 << 64) - 1):
        insn = make(row, dst=3, imm=imm)
        assert read(format_insn(insn)) == insn


@given(programs())
def test_program(prog: Program) -> None:
    again = assemble(disassemble(prog), order=prog.order, name=prog.name)
    assert again.insns == prog.insns
    assert again.functions == prog.functions
    assert again.order == prog.order


@given(straight_programs())
def test_wire_orders_say_the_same(prog: Program) -> None:
    for order in ("little", "big"):
        assert program(prog.encode(order), order=order).insns == prog.insns


@given(st.text())
def test_any_text_is_a_program_or_refused(text: str) -> None:
    try:
        prog = assemble(text)
    except CrossbpfError as error:
        assert "\n" not in str(error)
    else:
        assert assemble(disassemble(prog)).insns == prog.insns


WORDS = ["r1", "w2", "%r3", "r11", "=", "+=", "s>>=", "-", "(", ")", "*", "u32", "[", "]", ",", "5", "-1", "0x7f", "ll"]
WORDS += [
    "goto",
    "if",
    "lock",
    "add",
    "mov",
    "call",
    "exit",
    "name",
    "name:",
    "func",
    "#",
    ";",
    "/*",
    '"',
    ".text",
    "\n",
]


@given(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join))
def test_any_words_are_a_program_or_refused(text: str) -> None:
    try:
        prog = assemble(text)
    except CrossbpfError as error:
        assert "\n" not in str(error)
    else:
        assert assemble(disassemble(prog)).insns == prog.insns
