"""What a program reads that it should not: R1-R5 after a call, R0 where a function starts.

A verified program never does. A program that does still has one meaning here: the registers hold the poison. Native
calls leave other things there (R1's home may be the C result register, R0's the link register), so the poison has to
be loaded; the backends pay for it only where it is read.
"""

from __future__ import annotations

from bpf.isa import Insn, Kind
from bpf.plan import Unit
from bpf.program import Program

_ARGUMENTS = 0b111110


def uses(insn: Insn) -> tuple[int, int]:
    """(registers read, registers written) as bit masks; for a call only what it destroys."""
    row, dst, src = insn.row, insn.dst, insn.src
    kind = row.kind
    if kind is Kind.ALU:
        read = 1 << src if "src" in row.fields else 0
        if row.op not in ("mov", "movsx"):
            read |= 1 << dst
        return read, 1 << dst
    if kind is Kind.LOAD:
        return 1 << src, 1 << dst
    if kind in (Kind.STORE, Kind.BRANCH):
        return 1 << dst | (1 << src if "src" in row.fields else 0), 0
    if kind is Kind.ATOMIC:
        read = 1 << dst | 1 << src
        if row.op == "cmpxchg":
            return read | 1, 1
        return read, 1 << src if row.fetch else 0
    if kind is Kind.WIDE:
        return 0, 1 << dst
    if kind is Kind.CALL:
        return 0, _ARGUMENTS | 1
    return int(kind is Kind.EXIT), 0


def liveness(unit: Unit, program: Program) -> list[int]:
    """Slot -> bit mask of the registers that may be read from there on before they are written.

    Backward over slots to a fixpoint. A helper reads the arguments of its prototype, a local call those that are live
    where its callee starts.
    """
    insns = program.insns
    live = [0] * (len(insns) + 1)
    changed = True
    while changed:
        changed = False
        for pc in range(len(insns) - 1, -1, -1):
            insn = insns[pc]
            if insn is None:
                continue
            kind = insn.row.kind
            if kind is Kind.EXIT:
                after = 0
            elif kind is Kind.GOTO:
                after = live[pc + 1 + insn.distance]
            else:
                after = live[pc + insn.slots]
                if kind is Kind.BRANCH:
                    after |= live[pc + 1 + insn.distance]
            read, written = uses(insn)
            if insn.row.op == "call_helper":
                read = ((2 << unit.convention.helpers[insn.imm].arguments) - 1) & _ARGUMENTS
            elif insn.row.op == "call_local":
                read = live[pc + 1 + insn.distance] & _ARGUMENTS
            before = (after & ~written) | read
            if before != live[pc]:
                live[pc] = before
                changed = True
    return live
