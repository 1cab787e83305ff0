"""Programs from text: labels, functions, directives, lines, errors of structure; and the printed form."""

from __future__ import annotations

import pytest

from bpf.errors import BadProgram, BadText, FallsOff, JumpIntoWide, JumpOutOfRange
from bpf.isa import ROW, make
from bpf.program import Function, Line, program
from bpf.text import assemble, disassemble, format_insn

TWO_FUNCTIONS = """\
main:
    r1 = 5
    call square
    exit
square:
    r0 = r1
    r0 *= r1
    exit
"""


def test_a_semicolon_separates_instructions_and_else_starts_a_comment() -> None:
    one_line = assemble(
        "r0 = r1; twice: r0 += r0 ; call bpf_ktime_get_ns#5; if r0 < 10 goto twice; exit ; the end; really"
    )
    lines = assemble("r0 = r1\ntwice:\nr0 += r0\ncall 5\nif r0 < 10 goto twice\nexit")
    assert one_line.insns == lines.insns
    assert assemble("; r0 = 1 is a comment here\n# r0 = 2; r0 = 3\nexit").insns == (make(ROW["exit"]),)


def test_called_labels_are_functions() -> None:
    prog = assemble(TWO_FUNCTIONS, name="prog")
    assert prog.functions == (Function("main", 0, 3), Function("square", 3, 6))
    assert prog.insns[1] == make(ROW["call_local"], imm=1)


def test_disassembly_is_the_kernels_spelling() -> None:
    assert disassemble(assemble(TWO_FUNCTIONS)) == TWO_FUNCTIONS.replace("call square", "call pc+1")


def test_a_label_that_nothing_calls_is_no_function() -> None:
    prog = assemble("r0 = 0\nloop: r0 += 1\nif r0 < 10 goto loop\nexit")
    assert prog.functions == (Function("prog", 0, 4),)
    assert prog.insns[2] == make(ROW["jlt64_imm"], dst=0, imm=10, off=-2)


def test_a_declared_label_is_a_function_and_stays_one() -> None:
    text = "exit\n.type other,@function\nother: exit\n"
    prog = assemble(text)
    assert prog.functions == (Function("prog", 0, 1), Function("other", 1, 2))
    assert assemble(disassemble(prog)).functions == prog.functions


@pytest.mark.parametrize("name", ["", "a b", "r1", "%w2", "x#y;z//", "\n", "é", '"', "exit", ".L1", "f(int):"])
def test_any_function_name_survives(name: str) -> None:
    prog = program((make(ROW["exit"]), make(ROW["exit"])), names={0: name, 1: name})
    assert assemble(disassemble(prog)).functions == prog.functions


def test_a_function_name_is_preferred_to_a_label_at_the_same_place() -> None:
    prog = assemble("call f\nexit\n.L1:\nf: exit")
    assert prog.functions[1].name == "f"


def test_lddw_takes_two_slots() -> None:
    prog = assemble("goto over\nr1 = 1 ll\nover: exit")
    assert prog.insns[0] == make(ROW["ja"], off=2)
    assert prog.insns[2] is None


def test_labels_may_share_a_line_and_be_words_of_the_grammar() -> None:
    prog = assemble("if r1 == 0 goto and\njeq %r1, 1, exit\ngoto call\nand: call: r0 = 1\nexit: exit")
    assert [insn.off for insn in prog.insns[:3] if insn] == [2, 2, 0]


def test_exit_without_a_label_is_the_first_exit() -> None:
    prog = assemble("jeq r1, 0, exit\nja exit\nr0 = 1\nexit\nexit")
    assert [insn.off for insn in prog.insns[:2] if insn] == [2, 1]


def test_what_llvm_prints_around_instructions_is_passed_over() -> None:
    text = """
	.text
	.file	"a.c"
	.section	xdp,"ax",@progbits
	.globl	main                            # -- Begin function main
	.p2align	3
	.type	main,@function
main:                                   # @main
.Lmain$local:
	.cfi_startproc
# %bb.0:
	r0 = 0
	if r1 == 0 goto LBB0_2
# %bb.1:
	r0 = 1
LBB0_2:
	exit
.Lfunc_end0:
	.size	main, .Lfunc_end0-main
	.cfi_endproc
	.addrsig
"""
    prog = assemble(text)
    assert prog.functions == (Function("main", 0, 4),)
    assert prog.insns[1] == make(ROW["jeq64_imm"], dst=1, off=1)


def test_what_bpftool_prints_around_instructions_is_passed_over() -> None:
    text = """
int main(struct xdp_md * ctx):
; int main(struct xdp_md *ctx)
   0: (b7) r1 = 5
; return square(5); exit
   1: (85) call pc+1#bpf_prog_1234_square
   2: (95) exit
int square(int x):
   3: (bf) r0 = r1
   4: (2f) r0 *= r1
   5: (95) exit
"""
    prog = assemble(text)
    assert prog.functions == assemble(TWO_FUNCTIONS).functions
    assert prog.insns == assemble(TWO_FUNCTIONS).insns


def test_lines_say_where_a_slot_came_from() -> None:
    prog = assemble("# first\nr1 = 1 ll ; one\n\nl: exit", file="a.s")
    assert dict(prog.lines) == {0: Line("a.s", 2, "r1 = 1 ll"), 2: Line("a.s", 4, "exit")}
    assert prog.line_at(1) == Line("a.s", 2, "r1 = 1 ll")


def test_order_and_name() -> None:
    prog = assemble("exit", order="big", name="x")
    assert (prog.order, prog.name, prog.functions[0].name) == ("big", "x", "x")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("\nr0 = 0\ngoto +5\nexit", JumpOutOfRange, "a.s: line 3, insn 1: ja to 7, outside the program of 3 slots"),
        ("goto +1\nr0 = 1 ll\nexit", JumpIntoWide, "a.s: line 1, insn 0: ja into the second slot of the lddw at 1"),
        ("exit\n\nr0 = 1", FallsOff, "a.s: line 3, insn 1: last insn of prog is not an exit or jmp"),
        ("exit\nr0 = 1 ll", FallsOff, "a.s: line 2, insn 2: last insn of prog is not an exit or jmp"),
        ("goto l\nexit\nl:", JumpOutOfRange, "a.s: line 1, insn 0: ja to 2, outside the program of 2 slots"),
        ("call f\nexit\nf:", JumpOutOfRange, "a.s: line 1, insn 0: call_local to 2, outside the program of 2 slots"),
        ("call f\nl: exit\nf: goto l", JumpOutOfRange, "a.s: line 3, insn 2: ja to 1, out of function f"),
        ("# nothing", FallsOff, "a.s: no instructions"),
    ],
)
def test_errors_of_structure_name_the_line(text: str, error: type[BadProgram], message: str) -> None:
    with pytest.raises(error) as caught:
        assemble(text, file="a.s")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("l: exit\nl: exit\ngoto l", "line 3: label 'l' is defined more than once, on lines 1 and 2"),
        ("exit\n.type f,@function\nf:", "line 3: function 'f' has no instructions"),
        (
            "goto l\n" + "exit\n" * 32768 + "l: exit",
            "line 1: a target 32768 slots away does not fit 16 bits (gotol reaches further)",
        ),
    ],
)
def test_errors_of_labels_name_the_line(text: str, message: str) -> None:
    with pytest.raises(BadText) as caught:
        assemble(text)
    assert str(caught.value) == message


def test_a_duplicate_label_that_nothing_goes_to_does_no_harm() -> None:
    assert len(assemble("l: exit\nl: exit")) == 2


def test_with_its_slot_an_instruction_looks_like_the_kernels_log() -> None:
    insn = make(ROW["add64_imm"], dst=0, imm=1)
    assert format_insn(insn, 12) == "12: (07) r0 += 1"
    assert format_insn(insn) == "r0 += 1"


@pytest.mark.parametrize(
    "line", ["1" * 100_000 + "x", "+" + " " * 100_000, "/*" * 10_000, "a;" * 50_000, "r1 " * 50_000]
)
def test_absurd_lines_are_refused_in_one_short_line(line: str) -> None:
    with pytest.raises(BadText) as caught:
        assemble(line)
    assert len(str(caught.value)) < 200
