"""Programs and instructions as text, in the kernel's spelling: `Row.text` with the operands filled in."""

from __future__ import annotations

import json
import re

from bpf.isa import Insn, Kind
from bpf.program import Program
from bpf.spec.kfuncs import NAMES

_PLAIN = re.compile(r"(?!%?[rw]\d+\Z)[A-Za-z_.$][\w.$]*", re.ASCII)


def format_insn(insn: Insn, pc: int | None = None) -> str:
    """One instruction as a line of text; with its slot and opcode before it, as in the kernel's log, if pc is given."""
    row, dst, src, off, imm = insn
    target = f"{insn.distance:+d}" if "{target}" in row.text else ""
    half = 32 if row.kind is Kind.WIDE else 16
    low, high = imm & (1 << half) - 1, imm >> half
    text = row.text.format(
        dst=dst,
        src=src,
        off=f"- {-off}" if off < 0 else f"+ {off}",
        imm=f"0x{imm:x}" if row.kind is Kind.WIDE else imm,
        lo=low,
        hi=high,
        target=target,
    )
    if row.op == "call_kfunc" and imm in NAMES:
        text = text.replace(str(imm), NAMES[imm])
    return text if pc is None else f"{pc}: ({row.opcode:02x}) {text}"


def disassemble(program: Program) -> str:
    """A line for each instruction, and a label before each function.

    `assemble` makes the same instructions and functions of it again; maps have no text. A function that nothing in
    the program calls is declared by a `.type` directive, since its label alone would be an ordinary one.
    """
    called = {pc + 1 + insn.distance for pc, insn in enumerate(program.insns) if insn and insn.row.op in _REFERENCES}
    names = {function.start: function.name for function in program.functions}
    lines: list[str] = []
    for pc, insn in enumerate(program.insns):
        if pc in names:
            label = names[pc] if _PLAIN.fullmatch(names[pc]) else json.dumps(names[pc])
            if pc and pc not in called:
                lines.append(f".type {label}, @function")
            lines.append(f"{label}:")
        if insn is not None:
            lines.append(f"    {format_insn(insn)}")
    return "\n".join(lines) + "\n"


_REFERENCES = ("call_local", "func")
