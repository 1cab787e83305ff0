"""Insert straight-line code before instructions; everything that goes from one slot to another still arrives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bpf.errors import Refused
from bpf.isa import Insn, Kind
from bpf.program import Program, program

_STRAIGHT = frozenset({Kind.ALU, Kind.LOAD, Kind.STORE, Kind.ATOMIC, Kind.WIDE})


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A program and where its instructions came from.

    source  the program as it was
    origin  per slot of `program`: the slot of `source`, None for an instruction that a pass has put in
    """

    program: Program
    source: Program
    origin: tuple[int | None, ...]


def insert(prog: Program, before: Mapping[int, Sequence[Insn]]) -> Rewritten:
    """Put instructions before slots of a program.

    before: slot of an instruction -> what to insert. Whoever reaches that slot, by falling into it, by a jump or by a
    call, runs the inserted code first. Inserted instructions may be anything but jumps, calls, exits and lddw func.
    Raises Refused where a jump would no longer reach.
    """
    slots: list[Insn | None] = []
    origin: list[int | None] = []
    arrivals: list[int] = []  # per old slot: where a jump to it goes now
    for pc, insn in enumerate(prog.insns):
        arrivals.append(len(slots))
        for extra in before.get(pc, ()):
            if insn is None or extra.row.kind not in _STRAIGHT or extra.row.op == "func":
                raise ValueError(f"{extra.row.name} cannot be inserted before slot {pc}")
            slots += [extra, None] if extra.slots == 2 else [extra]
        origin += [None] * (len(slots) - len(origin))
        slots.append(insn)
        origin.append(pc)
    for at, source in enumerate(origin):
        insn = slots[at]
        if source is None or insn is None or not goes_elsewhere(insn):
            continue
        slots[at] = moved = insn.with_distance(arrivals[source + 1 + insn.distance] - at - 1)
        if moved.row.jumps and moved.row.op != "gotol" and not -0x8000 <= moved.off < 0x8000:
            raise Refused(f"insn {source}: {insn.row.name} would have to jump {moved.off} slots once code is inserted")
    names = {arrivals[function.start]: function.name for function in prog.functions}
    lines = {arrivals[pc]: line for pc, line in prog.lines.items()}
    result = program(slots, name=prog.name, order=prog.order, names=names, maps=prog.maps, lines=lines)
    types = {arrivals[pc]: number for pc, number in prog.types.items()}
    result = replace(
        result, btf=prog.btf, types=types, section=prog.section, license=prog.license, version=prog.version
    )
    return Rewritten(result, prog, tuple(origin))


def goes_elsewhere(insn: Insn) -> bool:
    """Whether an instruction names another slot: a jump, a local call, an lddw func."""
    return insn.row.jumps or insn.row.op in ("call_local", "func")
