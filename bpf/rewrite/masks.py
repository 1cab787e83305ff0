"""Pointers that stay in their objects where the processor guesses wrongly, for who may not read all memory.

Source: do_misc_fixups and convert_ctx_accesses of Linux 6.18. The masks need AX.
"""

from __future__ import annotations

from bpf.facts import Facts, Mask
from bpf.isa import ROW, Insn, Kind, make
from bpf.program import Program
from bpf.rewrite.internal import AX, NOSPEC
from bpf.rewrite.replace import replace

_SWAPPED = {"add": "sub", "sub": "add"}


def mask(prog: Program, facts: Facts) -> Program:
    """Additions to pointers and subtractions from them, with what is added kept within its limit."""
    by: dict[int, list[Insn]] = {}
    for pc, insn in enumerate(prog.insns):
        limits = facts.masks.get(prog.origin_of(pc))
        if limits is None or insn is None or insn.row.name not in ("add64_reg", "sub64_reg"):
            continue
        by[pc] = _masked(insn, limits)
    return replace(prog, by)


def _masked(insn: Insn, limits: Mask) -> list[Insn]:
    moved = insn.src if limits.source else insn.dst
    negate = make(ROW["mul64_imm"], moved, imm=-1)
    limit = make(ROW["mov32_imm"], AX, imm=limits.limit)
    made = [limit]
    if not limits.constant:
        made = [
            *([negate] if limits.negative else []), limit, make(ROW["sub64_reg"], AX, moved),
            make(ROW["or64_reg"], AX, moved), make(ROW["neg64"], AX), make(ROW["arsh64_imm"], AX, imm=63),
            make(ROW["and64_reg"], AX, moved),
        ]  # fmt: skip
    if not limits.source:
        made.append(make(ROW["mov64_reg"], insn.dst, insn.src))
    op = _SWAPPED[insn.row.op] if limits.negative else insn.row.op
    made.append(make(ROW[f"{op}64_reg"], insn.dst, AX))
    if limits.source and limits.negative and not limits.constant:
        made.append(negate)
    return made


def stop(prog: Program, facts: Facts) -> Program:
    """Barriers where a mispredicted path would do what the program may not."""
    barrier, given = make(NOSPEC), prog.source or prog
    by: dict[int, list[Insn]] = {}
    for pc, insn in enumerate(prog.insns):
        at = prog.origin_of(pc)
        if insn is None or insn != given.insns[at]:
            continue
        before = at in facts.barriers
        behind = at in facts.barriers_behind and insn.row.kind in (Kind.STORE, Kind.ATOMIC)  # and behind no call
        if before or behind:
            by[pc] = [barrier] * before + [insn] + [barrier] * behind
    return replace(prog, by)
