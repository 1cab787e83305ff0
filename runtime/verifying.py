"""A loaded or read program as the verifier takes it."""

from __future__ import annotations

from bpf.isa import ROW, Insn, encode, make
from bpf.program import Program
from bpf.spec.attach import ATTACH_TYPES, attach_of
from bpf.spec.kfuncs import KFUNCS
from bpf.spec.program_types import PROGRAM_TYPES
from verifier import Subject

PLAIN = "plain"
_BY_INDEX = frozenset({"map_idx", "map_idx_value"})


def subject(program: Program, kind: str, *, attach: str = "", memory: int = 0) -> Subject:
    """The program as one of type `kind`, or "plain": then R1 is the address of `memory` bytes, and R2 that number.

    attach: name of its expected attach type; what its section says unless given.
    """
    insns = [insn and _by_descriptor(insn) for insn in program.insns]
    plain = kind == PLAIN
    section = program.section
    return Subject(
        encode(insns, program.order), program.order, PROGRAM_TYPES["syscall" if plain else kind],
        0 if plain else ATTACH_TYPES.get(attach or attach_of(section), 0), program.maps, program.btf, program.types,
        {function.start: function.name for function in program.functions}, program.license or "GPL",
        sleepable=plain or kind == "syscall" or section.split("/")[0].endswith(".s"),
        target=section.partition("/")[2] if kind in ("tracing", "lsm") else "",
        kfuncs=_kfuncs(program), lines=program.lines, memory=memory if plain else -1,
    )  # fmt: skip


def _kfuncs(program: Program) -> dict[int, str]:
    """Slot of a call of a kernel function -> its name, "" for a number that is none."""
    called = {slot: insn.imm for slot, insn in enumerate(program.insns) if insn and insn.row.op == "call_kfunc"}
    return {slot: KFUNCS[number].name if number in KFUNCS else "" for slot, number in called.items()}


def _by_descriptor(insn: Insn) -> Insn:
    """The same instruction, a map named as by a descriptor instead of by an index into an array of them."""
    op = insn.row.op
    if op not in _BY_INDEX:
        return insn
    return make(ROW[f"lddw_{op.replace('idx', 'fd')}"], insn.dst, imm=insn.imm)
