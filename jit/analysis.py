"""What a program reads that it should not: R1-R5 after a call, R0 where a function starts.

A verified program never does. A program that does still has one meaning here: the registers hold the poison. Native
calls leave other things there (R1's home may be the C result register, R0's the link register), so the poison has to
be loaded; the backends pay for it only where it is read.
"""

from __future__ import annotations

from bpf.isa import ROWS, Kind, Row
from bpf.plan import Unit
from bpf.program import Program

_ARGUMENTS = 0b111110
_CONDITIONAL = (Kind.BRANCH, Kind.COUNTDOWN)


def _shape(row: Row) -> tuple[int, int, int, int, int, int]:
    """What an instruction of the row reads and writes: (dst, src, fixed mask) read, (dst, src, fixed mask) written.

    A call of a known callee counts only with what it destroys; callx may read any argument.
    """
    kind, has_src = row.kind, int("src" in row.fields)
    if kind is Kind.ALU:
        return int(row.op not in ("mov", "movsx")), has_src, 0, 1, 0, 0
    if kind is Kind.LOAD:
        return 0, 1, 0, 1, 0, 0
    if kind in (Kind.STORE, Kind.BRANCH):
        return 1, has_src, 0, 0, 0, 0
    if kind is Kind.ATOMIC:
        compares = int(row.op == "cmpxchg")
        return 1, 1, compares, 0, int(row.writes_src), compares
    if kind in (Kind.WIDE, Kind.CAST):
        return 0, has_src, 0, 1, 0, 0
    if kind is Kind.PACKET:
        return 0, has_src, 1 << 6, 0, 0, _ARGUMENTS | 1
    indirect = row.op == "callx"
    fixed = int(kind is Kind.EXIT) | (_ARGUMENTS if indirect else 0)
    return int(indirect), 0, fixed, 0, 0, _ARGUMENTS | 1 if kind is Kind.CALL else 0


_SHAPES = {row.name: _shape(row) for row in ROWS}


def liveness(unit: Unit, program: Program) -> list[int]:
    """Slot -> bit mask of the registers that may be read from there on before they are written.

    Backward over slots to a fixpoint. A helper reads the arguments of its prototype, a local call those that are live
    where its callee starts.
    """
    insns = program.insns
    live = [0] * (len(insns) + 1)
    while True:
        before = live.copy()
        again = False  # whether something reads what this sweep has not worked out yet: a jump or call backward
        for pc in range(len(insns) - 1, -1, -1):
            insn = insns[pc]
            if insn is None:
                continue
            row, dst, src, off, imm = insn
            read_dst, read_src, read, write_dst, write_src, written = _SHAPES[row.name]
            read |= read_dst << dst | read_src << src
            written |= write_dst << dst | write_src << src
            kind = row.kind
            after = live[pc + 1] if kind is not Kind.WIDE else live[pc + 2]
            if kind in _CONDITIONAL:
                after |= live[pc + 1 + off]
                again = again or off < 0
            elif kind is Kind.GOTO:
                after = live[pc + 1 + insn.distance]
                again = again or insn.distance < 0
            elif kind is Kind.EXIT:
                after = 0
            elif row.op in ("call_helper", "call_kfunc"):
                read = ((2 << unit.calls[imm].arguments) - 1) & _ARGUMENTS
            elif row.op == "call_local":
                read = live[pc + 1 + imm] & _ARGUMENTS
                again = again or imm < 0
            live[pc] = (after & ~written) | read
        if not again or live == before:
            break
    return live
