"""Loops that the kernel counts itself, written out: bpf_loop without flags, may_goto.

Source: optimize_bpf_loop and do_misc_fixups of Linux 6.18 on x86_64, where may_goto looks at the clock.
"""

from __future__ import annotations

from bpf.facts import Facts
from bpf.isa import ROW, Insn, Kind, make
from bpf.program import Program
from bpf.rewrite.internal import AX, call
from bpf.rewrite.replace import Away, replace
from bpf.spec.errno import E2BIG

MAX_LOOPS = 8 << 20
MAX_TIMED_LOOPS = 0xFFFF
_FP, _COUNT = 10, 16
_SAVED = (6, 7, 8)


def deepened(prog: Program, facts: Facts, inlined: bool) -> list[int]:
    """By number of a function of the program: bytes of stack that it uses, with what an inlined bpf_loop saves."""
    given = prog.source or prog
    stacks = [0] * len(prog.functions)
    looping = {given.function_at(pc) for pc in facts.loops} if inlined else set()
    for number, function in enumerate(prog.functions):
        as_given = given.function_at(prog.origin_of(function.start))
        stack = facts.stacks[as_given] if as_given < len(facts.stacks) else 0
        stacks[number] = (stack + 7 & -8) + 8 * len(_SAVED) if as_given in looping else stack
    return stacks


def inline_loops(prog: Program, facts: Facts, most: int | None = None) -> Program:
    """Calls of bpf_loop become loops around calls of their callbacks.

    most: bytes of stack that a function may use afterwards; a call for which it would be more stays as it is.
    """
    stacks = deepened(prog, facts, True)
    starts = {prog.origin_of(function.start): function.start for function in prog.functions}
    by: dict[int, list[Insn | Away]] = {}
    for pc, insn in enumerate(prog.insns):
        callback = facts.loops.get(prog.origin_of(pc))
        if insn is None or callback is None or insn.row.kind is not Kind.CALL:
            continue
        stack = stacks[prog.function_at(pc)]
        if most is None or stack <= most:
            by[pc] = _loop(stack, starts[callback])
    return replace(prog, by)


def _loop(stack: int, callback: int) -> list[Insn | Away]:
    limit, count, context = _SAVED
    places = [(register, 8 * number - stack) for number, register in enumerate(_SAVED)]
    return [
        make(ROW["jle64_imm"], 1, off=2, imm=MAX_LOOPS),
        make(ROW["mov32_imm"], 0, imm=-E2BIG),
        make(ROW["ja"], off=16),
        *(make(ROW["stx64"], _FP, register, off=at) for register, at in places),
        make(ROW["mov64_reg"], limit, 1),
        make(ROW["mov32_imm"], count),
        make(ROW["mov64_reg"], context, 3),
        make(ROW["jge64_reg"], count, limit, off=5),
        make(ROW["mov64_reg"], 1, count),
        make(ROW["mov64_reg"], 2, context),
        Away(make(ROW["call_local"]), callback),
        make(ROW["add64_imm"], count, imm=1),
        make(ROW["jeq64_imm"], 0, off=-6),
        make(ROW["mov64_reg"], 0, count),
        *(make(ROW["ldx64"], register, _FP, off=at) for register, at in places),
    ]


def count_down(prog: Program, facts: Facts) -> Program:
    """may_goto becomes a counter on the stack, which asks the clock when it is used up. Needs AX."""
    stacks = deepened(prog, facts, True)
    by: dict[int, list[Insn | Away]] = {}
    entered: dict[int, list[Insn]] = {}
    for pc, insn in enumerate(prog.insns):
        if insn is None or insn.row.kind is not Kind.COUNTDOWN:
            continue
        number = prog.function_at(pc)
        at = -(stacks[number] + 7 & -8) - _COUNT
        by[pc] = [
            make(ROW["ldx64"], AX, _FP, off=at),
            Away(make(ROW["jeq64_imm"], AX), pc + 1 + insn.distance),
            make(ROW["sub64_imm"], AX, imm=1),
            make(ROW["jne64_imm"], AX, off=2),
            make(ROW["mov64_imm"], AX, imm=at),
            call("arch_bpf_timed_may_goto"),
            make(ROW["stx64"], _FP, AX, off=at),
        ]
        entered[prog.functions[number].start] = [
            make(ROW["st64"], _FP, off=at, imm=MAX_TIMED_LOOPS), make(ROW["st64"], _FP, off=at + 8),
        ]  # fmt: skip
    return replace(prog, by, entered)
