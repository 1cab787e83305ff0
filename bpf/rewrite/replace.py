"""Put other instructions in the place of some; everything that goes from one slot to another still arrives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace as changed
from typing import NamedTuple

from bpf.errors import Refused
from bpf.isa import Insn
from bpf.program import Line, Program, program
from bpf.rewrite.insert import goes_elsewhere


class Away(NamedTuple):
    """A jump or call out of what is put in, to a slot of the program that is changed."""

    insn: Insn
    to: int


def replace(
    prog: Program, by: Mapping[int, Sequence[Insn | Away]], entered: Mapping[int, Sequence[Insn]] | None = None
) -> Program:
    """A program with other instructions at some slots, which knows its `source` and where each slot is from.

    by: slot of an instruction -> what stands there instead, at least one instruction; jumps in it stay inside it
    unless they are Away, and so does what goes elsewhere in the instruction that is replaced. entered: first slot of a
    function -> what it starts with when it is called, and not when something in it jumps to its start. Raises Refused
    where a jump of the program would no longer reach.
    """
    slots: list[Insn | None] = []
    origin: list[int] = []
    arrivals: list[int] = []  # per old slot: where a jump to it goes now
    starts: dict[int, int] = {}  # first slot of a function -> where a call of it goes now
    leaving: dict[int, int] = {}  # new slot of a jump or call -> the old slot that it goes to
    for pc, insn in enumerate(prog.insns):
        if entered is not None and pc in entered:
            starts[pc] = len(slots)
            slots += entered[pc]
        arrivals.append(len(slots))
        if pc not in by:
            if insn is not None and goes_elsewhere(insn):
                leaving[len(slots)] = pc + 1 + insn.distance
            slots.append(insn)
        for one in by.get(pc, ()):
            if isinstance(one, Away):
                leaving[len(slots)], one = one.to, one.insn
            slots += [one, None] if one.slots == 2 else [one]
        origin += [pc] * (len(slots) - len(origin))
    for at, to in leaving.items():
        insn = slots[at]
        assert insn is not None
        inside = insn.row.jumps
        slots[at] = moved = insn.with_distance((arrivals[to] if inside else starts.get(to, arrivals[to])) - at - 1)
        if inside and moved.row.op != "gotol" and not -0x8000 <= moved.off < 0x8000:
            raise Refused(
                f"{insn.row.name} would have to jump {moved.off} slots once rewritten", place=f"insn {origin[at]}"
            )
    names = {starts.get(one.start, arrivals[one.start]): one.name for one in prog.functions}
    lines = {starts.get(pc, arrivals[pc]): line for pc, line in prog.lines.items()}
    types = {starts.get(pc, arrivals[pc]): number for pc, number in prog.types.items()}
    return rebuilt(prog, slots, origin, names, lines, types)


def rebuilt(
    prog: Program, slots: Sequence[Insn | None], origin: Sequence[int], names: Mapping[int, str],
    lines: Mapping[int, Line], types: Mapping[int, int],
) -> Program:  # fmt: skip
    """A program with other slots. origin: per slot, the slot of `prog` that it is from."""
    result = program(slots, name=prog.name, order=prog.order, names=names, maps=prog.maps, lines=lines)
    return changed(
        result, source=prog.source or prog, origin=tuple(prog.origin_of(pc) for pc in origin), btf=prog.btf,
        types=types, section=prog.section, license=prog.license, version=prog.version,
    )  # fmt: skip
