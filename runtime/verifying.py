"""A loaded or read program as the verifier takes it."""

from __future__ import annotations

from bpf.isa import ROW, Insn, encode, make
from bpf.program import Program
from bpf.spec.attach import ATTACH_TYPES, TAKES, attach_of
from bpf.spec.program_types import PROGRAM_TYPES
from bpf.errors import ERRNO, Rejected
from runtime.permission import Caller
from runtime.types import UNSPEC
from verifier import Options, Subject, verify

PLAIN = "plain"
_BY_INDEX = frozenset({"map_idx", "map_idx_value"})


def subject(program: Program, kind: str, *, attach: str = "", memory: int = 0) -> Subject:
    """The program as one of type `kind`, or "plain": then R1 is the address of `memory` bytes, and R2 that number.

    attach: name of its expected attach type; what its section says unless given, else the first that the type has.
    """
    insns = [insn and _by_descriptor(insn) for insn in program.insns]
    plain = kind == PLAIN
    section = program.section
    return Subject(
        encode(insns, program.order), program.order, PROGRAM_TYPES["syscall" if plain else kind],
        0 if plain else ATTACH_TYPES.get(attach or attach_of(section) or TAKES.get(kind, ("",))[0], 0), program.maps, program.btf, program.types,
        {function.start: function.name for function in program.functions}, program.license or "GPL",
        sleepable=plain or kind == "syscall" or section.split("/")[0].endswith(".s"),
        target=section.partition("/")[2] if kind in ("tracing", "lsm") else "",
        lines=program.lines, memory=memory if plain else -1,
    )  # fmt: skip


def _by_descriptor(insn: Insn) -> Insn:
    """The same instruction, a map named as by a descriptor instead of by an index into an array of them."""
    op = insn.row.op
    if op not in _BY_INDEX:
        return insn
    return make(ROW[f"lddw_{op.replace('idx', 'fd')}"], insn.dst, imm=insn.imm)


def accept(program: Program, kind: str, caller: Caller) -> None:
    """Verify a program of a type that Linux has; of others nothing is asked. Raises Rejected."""
    if kind in (UNSPEC, PLAIN):
        return
    verdict = verify(subject(program, kind), Options(caller.capabilities, log_level=0))
    if verdict.accepted:
        return
    name = next((name for name, number in ERRNO.items() if number == verdict.errno), "EINVAL")
    said = verdict.message.splitlines()[-1] if verdict.message else "bpf() refuses it"
    raise Rejected(
        name, f"program {program.name}: verification failed: {said}",
        place=f"insn {verdict.pc}" if verdict.pc >= 0 else "",
        remedy="`crossbpf verify --explain` says more, --no-verify goes on",
    )  # fmt: skip
