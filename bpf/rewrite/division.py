"""Divisions that no divisor can make fail: guards before those by a register. Signed ones use AX.

Source: do_misc_fixups of Linux 6.18. x / 0 is 0 and x % 0 is x; the least number divided by -1 is itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from bpf.isa import ROW, Insn, make
from bpf.program import Program
from bpf.rewrite.internal import AX
from bpf.rewrite.replace import replace

_SIGNED = {"sdiv": True, "smod": True, "div": False, "mod": False}


def guard(prog: Program) -> Program:
    """The program with guarded divisions."""
    by: dict[int, Sequence[Insn]] = {}
    for pc, insn in enumerate(prog.insns):
        if insn is None or insn.row.op not in _SIGNED:
            continue
        op, bits = insn.row.op, insn.row.width
        if "src" not in insn.row.fields:
            if _SIGNED[op] and insn.imm == -1:
                by[pc] = [_by_minus_one(op, bits, insn.dst)]
        elif _SIGNED[op]:
            by[pc] = _signed(insn, op, bits)
        else:
            by[pc] = _unsigned(insn, op, bits)
    return replace(prog, by)


def _by_minus_one(op: str, bits: int, dst: int) -> Insn:
    return make(ROW[f"neg{bits}"], dst) if op == "sdiv" else make(ROW["mov32_imm"], dst)


def _unsigned(insn: Insn, op: str, bits: int) -> list[Insn]:
    over = make(ROW["ja"], off=1)
    if op == "div":
        return [
            make(ROW[f"jne{bits}_imm"], insn.src, off=2), make(ROW["xor32_reg"], insn.dst, insn.dst), over, insn,
        ]  # fmt: skip
    made = [make(ROW[f"jeq{bits}_imm"], insn.src, off=1 if bits == 64 else 2), insn]
    return made if bits == 64 else [*made, over, make(ROW["mov32_reg"], insn.dst, insn.dst)]


def _signed(insn: Insn, op: str, bits: int) -> list[Insn]:
    """AX is src + 1, so 0 and 1 are the two divisors that are looked at."""
    over = make(ROW["ja"], off=1)
    head = [make(ROW["mov64_reg"], AX, insn.src), make(ROW[f"add{bits}_imm"], AX, imm=1)]
    if op == "sdiv":
        return [
            *head, make(ROW[f"jgt{bits}_imm"], AX, off=4, imm=1), make(ROW[f"jeq{bits}_imm"], AX, off=1),
            make(ROW[f"mov{bits}_imm"], insn.dst), make(ROW[f"neg{bits}"], insn.dst), over, insn,
        ]  # fmt: skip
    made = [
        *head,
        make(ROW[f"jgt{bits}_imm"], AX, off=3, imm=1),
        make(ROW[f"jeq{bits}_imm"], AX, off=3 if bits == 64 else 4, imm=1),
        make(ROW["mov32_imm"], insn.dst),
        over,
        insn,
    ]
    return made if bits == 64 else [*made, over, make(ROW["mov32_reg"], insn.dst, insn.dst)]
