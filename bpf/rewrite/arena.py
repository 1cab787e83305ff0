"""Pointers into an arena are their low halves: a cast to one, and arithmetic on one, is done with 32 bits.

Source: do_misc_fixups of Linux 6.18. Accesses through them are not marked here, as they are not in a dump.
"""

from __future__ import annotations

from bpf.facts import Facts
from bpf.isa import ROW, Insn, Kind, make
from bpf.program import Program
from bpf.rewrite.replace import replace

_TO_KERNEL = 1  # imm: from address space 1 to 0


def halve(prog: Program, facts: Facts) -> Program:
    """The program with 32-bit instructions there."""
    by: dict[int, list[Insn]] = {}
    for pc, insn in enumerate(prog.insns):
        if insn is None:
            continue
        if insn.row.kind is Kind.CAST and insn.imm == _TO_KERNEL:
            by[pc] = [make(ROW["mov32_reg"], insn.dst, insn.src)]
        elif insn.row.kind is Kind.ALU and prog.origin_of(pc) in facts.narrowed:
            by[pc] = [insn._replace(row=ROW[insn.row.name.replace("64", "32", 1)])]
    return replace(prog, by)
