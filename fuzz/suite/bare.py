"""The suite for runtimes that know code and memory only: results are folded into R0, maps become the memory of R1."""

from __future__ import annotations

from collections.abc import Iterator

from bpf.isa import ROW, Insn, Kind, make
from bpf.isa.opcodes import FRAME_POINTER
from bpf.program import Program, program
from fuzz.suite import special
from fuzz.suite.exercise import RESULTS, Case
from fuzz.suite.rows import exercises

ROOM = 48 << 10
"""Bytes of memory: in hexadecimal they still fit one argument of a command line."""

_SPARSER = (13, 60, 300, 1500)
_KEPT = -504  # of the frame: the address of the memory
_FACTOR = 0x6C07_8965


def bare_cases(name: str) -> Iterator[tuple[Case, bytes]]:
    """The exercises of a row, as little-endian programs with their memory, as many operands as fit.

    Programs with functions of their own, helpers or addresses of maps are left out.
    """
    if name not in ROW or special.applies(ROW[name]):
        return
    seen = set()
    for every in _SPARSER:
        for case in exercises(ROW[name], "little", every):
            if case.name in seen or not _suits(case.program):
                continue
            if sum(map_.value_size for map_ in case.program.maps) <= ROOM:
                seen.add(case.name)
                yield Case(_folded(case.program), case.turns), b"".join(map_.initial for map_ in case.program.maps)


def _suits(prog: Program) -> bool:
    return len(prog.functions) == 1 and all(
        insn.row.op not in ("call_helper", "call_kfunc")
        and (insn.row.kind is not Kind.WIDE or insn.row.op in ("imm", "map_idx_value"))
        for insn in prog.insns
        if insn is not None
    )


def _folded(prog: Program) -> Program:
    """The program on memory: every map_value address is worked out from R1's, every exit goes on to the fold."""
    results = prog.maps[RESULTS].value_size
    slots: list[Insn | None] = [make(ROW["stx64"], FRAME_POINTER, 1, _KEPT)]
    pending: list[Insn] = []
    end = len(prog) + 1
    for insn in prog.insns:
        if insn is None:
            slots.append(pending.pop() if pending else None)
        elif insn.row.op == "map_idx_value":
            index, offset = insn.imm & 0xFFFF_FFFF, insn.imm >> 32
            slots.append(make(ROW["ldx64"], insn.dst, FRAME_POINTER, _KEPT))
            pending.append(make(ROW["add64_imm"], insn.dst, imm=offset + (0 if index == RESULTS else results)))
        elif insn.row.kind is Kind.EXIT:
            slots.append(make(ROW["ja"]).with_distance(end - len(slots) - 1))
        else:
            slots.append(insn)
    slots += [
        make(ROW["ldx64"], 1, FRAME_POINTER, _KEPT),
        make(ROW["mov64_imm"], 2, imm=sum(map_.value_size for map_ in prog.maps) // 8),
        make(ROW["ldx64"], 3, 1),
        make(ROW["mul64_imm"], 0, imm=_FACTOR),
        make(ROW["add64_reg"], 0, 3),
        make(ROW["add64_imm"], 1, imm=8),
        make(ROW["sub64_imm"], 2, imm=1),
        make(ROW["jne64_imm"], 2, off=-6),
        make(ROW["exit"]),
    ]
    return program(slots, name=prog.name, order=prog.order)
