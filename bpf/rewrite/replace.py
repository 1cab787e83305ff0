"""Put other instructions in the place of some; everything that goes from one slot to another still arrives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace as changed

from bpf.errors import Refused
from bpf.isa import Insn
from bpf.program import Program, program
from bpf.rewrite.insert import goes_elsewhere


def replace(prog: Program, by: Mapping[int, Sequence[Insn]]) -> Program:
    """A program with other instructions at some slots, which knows its `source` and where each slot is from.

    by: slot of an instruction that goes nowhere else -> what stands there instead, at least one instruction; jumps in
    it stay inside it. Raises Refused where a jump of the program would no longer reach.
    """
    slots: list[Insn | None] = []
    origin: list[int] = []
    arrivals: list[int] = []  # per old slot: where a jump to it goes now
    for pc, insn in enumerate(prog.insns):
        arrivals.append(len(slots))
        for one in by.get(pc, (insn,)):
            slots += [one, None] if pc in by and one is not None and one.slots == 2 else [one]
        origin += [pc] * (len(slots) - len(origin))
    for at, pc in enumerate(origin):
        insn = slots[at]
        if insn is None or pc in by or not goes_elsewhere(insn):
            continue
        slots[at] = moved = insn.with_distance(arrivals[pc + 1 + insn.distance] - at - 1)
        if moved.row.jumps and moved.row.op != "gotol" and not -0x8000 <= moved.off < 0x8000:
            raise Refused(f"{insn.row.name} would have to jump {moved.off} slots once rewritten", place=f"insn {pc}")
    names = {arrivals[function.start]: function.name for function in prog.functions}
    lines = {arrivals[pc]: line for pc, line in prog.lines.items()}
    result = program(slots, name=prog.name, order=prog.order, names=names, maps=prog.maps, lines=lines)
    given = prog.source or prog
    return changed(result, source=given, origin=tuple(prog.origin_of(pc) for pc in origin))
