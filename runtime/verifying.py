"""A loaded or read program as the verifier takes it."""

from __future__ import annotations

from dataclasses import replace

from bpf.errors import Rejected
from bpf.isa import ROW, SLOT, Insn, encode, make
from bpf.object.btf_kernel import untaken
from bpf.object.declarations import value_type
from bpf.object.externs import KCONFIG
from bpf.program import Map, Program, unpoisoned
from bpf.spec import errno
from bpf.spec.attach import ATTACH_TYPES, TAKES, attach_of
from bpf.spec.kfuncs import NAMES
from bpf.spec.program_types import PROGRAM_TYPES
from runtime.permission import Caller
from runtime.types import UNSPEC
from verifier import Options, Subject, verify

PLAIN = "plain"
_OF_NO_TYPE = frozenset({UNSPEC, PLAIN})
_BY_MACHINE = frozenset({"tracing", "lsm", "struct_ops", "ext"})
_BY_INDEX = frozenset({"map_idx", "map_idx_value"})


def subject(program: Program, kind: str, *, attach: str = "", memory: int = 0) -> Subject:
    """The program as one of type `kind`, or "plain": then R1 is the address of `memory` bytes, and R2 that number.

    attach: name of its expected attach type; what its section says unless given, else the first that the type has.
    """
    insns = [insn and _by_descriptor(insn) for insn in program.insns]
    plain = kind == PLAIN
    section = program.section
    license_ = program.license or ("" if section else "GPL")  # a text cannot say it
    if program.btf is not None and untaken(program.btf):  # libbpf loads it without its types
        program = replace(program, btf=None, types={})
    attach = attach or attach_of(section) or TAKES.get(kind, ("",))[0]
    code = bytearray(encode(insns, program.order))
    for slot, data in program.malformed.items():
        code[SLOT * slot : SLOT * (slot + 1)] = data
    return Subject(
        bytes(code), program.order, PROGRAM_TYPES["syscall" if plain else kind],
        0 if plain else ATTACH_TYPES.get(attach, 0), _typed(program), program.btf, program.types,
        {function.start: function.name for function in program.functions}, license_,
        sleepable=plain or kind == "syscall" or section.split("/")[0].endswith(".s"),
        target=section.partition("/")[2] if kind in ("tracing", "lsm") else "",
        kfuncs=_kfuncs(program), lines=program.lines, memory=memory if plain else -1,
    )  # fmt: skip


def _typed(program: Program) -> tuple[Map, ...]:
    """Its maps, of which sections of global data are typed as libbpf types them: by the section.

    But for the kernel's configuration, which holds numbers and text only.
    """
    btf = program.btf
    if btf is None:
        return program.maps
    return tuple(
        map_ if map_.name == KCONFIG else replace(map_, value_type=value_type(map_, btf)) for map_ in program.maps
    )


def known(program: Program, kind: str, options: Options | None = None) -> Program:
    """The program with the verifier's facts, which engines then go by; as it is where it is not accepted."""
    verdict = verify(subject(program, kind), options or Options(log_level=0))
    return program if verdict.facts is None else replace(program, facts=verdict.facts)


def _kfuncs(program: Program) -> dict[int, str]:
    """Slot of a call or the address of a kernel function -> its name, "" for a number that is none."""
    forms = {"call_kfunc", "btf_id"} if program.section else {"call_kfunc"}  # in a text btf_id is the kernel's number
    return {
        slot: NAMES.get(insn.imm, "")
        for slot, insn in enumerate(program.insns)
        if insn is not None and insn.row.op in forms and slot not in program.symbols
    }


def _by_descriptor(insn: Insn) -> Insn:
    """The same instruction, a map named as by a descriptor instead of by an index into an array of them."""
    op = insn.row.op
    if op not in _BY_INDEX:
        return insn
    return make(ROW[f"lddw_{op.replace('idx', 'fd')}"], insn.dst, imm=insn.imm)


def accept(program: Program, kind: str, caller: Caller) -> Program:
    """Verify a program of a type that Linux has. Raises Rejected. The same program, with the verifier's facts.

    Nothing is asked of a program of no type, nor of one that goes by the types or symbols of the machine that it runs
    on, which may be described: those are for `crossbpf verify`. But it is asked whether a run gets to what is poisoned.
    """
    by_machine = kind in _BY_MACHINE or bool(program.symbols) or program.kernel is not None
    if kind in _OF_NO_TYPE or (by_machine and not program.poisoned):
        return unpoisoned(program)
    verdict = verify(subject(program, kind), Options(caller.capabilities, log_level=0))
    if verdict.accepted:
        return replace(program, facts=None if by_machine else verdict.facts, poisoned={})
    if by_machine or verdict.pc in program.poisoned:
        return unpoisoned(program)  # it says more than the number of a helper that there is not
    said = verdict.message.splitlines()[-1] if verdict.message else verdict.reason
    raise Rejected(
        errno.NAMES[verdict.errno], f"program {program.name}: verification failed: {said}",
        place=f"insn {verdict.pc}" if verdict.pc >= 0 else "",
        remedy="`crossbpf verify --explain` says more, --no-verify goes on",
    )  # fmt: skip
