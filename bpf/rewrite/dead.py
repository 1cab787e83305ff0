"""What no path comes to goes: branches that are decided, dead code, jumps to the next instruction, needless spills.

Source: opt_hard_wire_dead_code_branches, opt_remove_dead_code, opt_remove_nops, sanitize_dead_code and
remove_fastcall_spills_fills of Linux 6.18. Each takes the facts of the program as given; it may be rewritten already.
"""

from __future__ import annotations

from dataclasses import replace as changed

from bpf.facts import Facts
from bpf.isa import ROW, Insn, Kind, make
from bpf.program import Program
from bpf.rewrite.remove import remove

_CONDITIONAL = frozenset({Kind.BRANCH, Kind.COUNTDOWN})
NOP = make(ROW["ja"])
TRAP = make(ROW["ja"], off=-1)


def _with(prog: Program, insns: list[Insn | None]) -> Program:
    """The program with other instructions slot by slot."""
    origin = prog.origin or tuple(range(len(prog)))
    return changed(prog, insns=tuple(insns), source=prog.source or prog, origin=origin)


def drop_spills(prog: Program, facts: Facts) -> Program:
    """Spills and fills around calls that save what need not be saved become nothing."""
    insns = list(prog.insns)
    for pc in range(len(insns)):
        for n in range(1, facts.spills.get(prog.origin_of(pc), 0) + 1):
            insns[pc - n] = insns[pc + n] = NOP
    return _with(prog, insns)


def hard_wire(prog: Program, facts: Facts) -> Program:
    """A conditional jump one of whose ways is never gone becomes one that is always gone, or goes to the next slot."""
    insns, dead = list(prog.insns), [prog.origin_of(pc) in facts.unreached for pc in range(len(prog))]
    for pc, insn in enumerate(insns):
        if insn is None or insn.row.kind not in _CONDITIONAL:
            continue
        if dead[pc + 1]:
            insns[pc] = make(ROW["ja"], off=insn.off)
        elif dead[pc + 1 + insn.off]:
            insns[pc] = NOP
    return _with(prog, insns)


def remove_dead(prog: Program, facts: Facts) -> Program:
    """The program without what is never reached."""
    return remove(prog, {pc for pc in range(len(prog)) if prog.origin_of(pc) in facts.unreached})


def trap_dead(prog: Program, facts: Facts) -> Program:
    """Each slot that is never reached jumps to itself: who may load little gets no code taken out."""
    dead = [prog.origin_of(pc) in facts.unreached for pc in range(len(prog))]
    return _with(prog, [TRAP if dead[pc] else insn for pc, insn in enumerate(prog.insns)])


def remove_nops(prog: Program) -> Program:
    """Without jumps and may_goto to the next slot.

    One pass from the front, which goes back one instruction only behind a may_goto: a jump that has just become one to
    the next slot otherwise stays.
    """
    gone: set[int] = set()
    kept: list[int] = []
    for pc, insn in enumerate(prog.insns):
        if insn is None or not _goes_to(insn, pc, pc + 1):
            kept.append(pc)
            continue
        gone.add(pc)
        last = insn
        while last.row.kind is Kind.COUNTDOWN and kept:
            before = prog.insns[kept[-1]]
            if before is None or not _goes_to(before, kept[-1], pc + 1):
                break
            gone.add(kept.pop())
            last = before
    return remove(prog, gone)


def _goes_to(insn: Insn, pc: int, after: int) -> bool:
    """Whether it is a jump or may_goto over nothing: to a slot from pc + 1 to `after`."""
    return (insn.row.kind is Kind.COUNTDOWN or insn.row.op == "ja") and pc < pc + 1 + insn.off <= after
