"""Take instructions out of a program; what is left goes where it went."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from bpf.isa import Insn
from bpf.program import Program
from bpf.rewrite.insert import goes_elsewhere
from bpf.rewrite.replace import rebuilt


def remove(prog: Program, gone: AbstractSet[int]) -> Program:
    """A program without some slots, which knows its `source` and where each slot is from.

    A jump to what is gone goes to what follows it. A function all of which is gone is no function any more. A source
    line that starts in what is gone starts behind it, unless another does: bpf_adj_linfo_after_remove of Linux 6.18.
    """
    if not gone:
        return prog
    slots: list[Insn | None] = []
    origin: list[int] = []
    arrivals: list[int] = []
    for pc, insn in enumerate(prog.insns):
        arrivals.append(len(slots))
        if pc not in gone:
            slots.append(insn)
            origin.append(pc)
    for at, pc in enumerate(origin):
        insn = slots[at]
        if insn is not None and goes_elsewhere(insn):
            slots[at] = insn.with_distance(arrivals[pc + 1 + insn.distance] - at - 1)
    left = [one for one in prog.functions if any(pc not in gone for pc in range(one.start, one.end))]
    names = {arrivals[one.start]: one.name for one in left}
    lines = {}
    for pc, line in sorted(prog.lines.items()):
        if arrivals[pc] < len(slots):
            lines[arrivals[pc]] = line
    types = {arrivals[one.start]: prog.types[one.start] for one in left if one.start in prog.types}
    return rebuilt(prog, slots, origin, names, lines, types)
