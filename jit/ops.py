"""Ops: the short three-address language between BPF and the backends.

With every pass off an Op is a BPF instruction. What is the same for all machines is settled here once: addresses of
symbols, division by a constant zero, poison after local calls, the exit record, and what takes several Ops: may_goto,
callx, tail calls, loads from the packet, casts between address spaces.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from bpf.isa import ROWS, Insn, Kind, Row
from bpf.isa.effects import signed
from bpf.isa.opcodes import FRAME_POINTER, TO_ARENA
from bpf.plan import ALLOWANCE, CALL_TARGET, COUNTER, LOAD_PACKET, POISON, RECORD_WORDS, TAIL_CALLS, Unit
from bpf.program import Program
from jit.analysis import liveness

AX = 11
"""The twelfth register: invented code (exit record, counters, blinding) works in it; no program can name it."""

NONE = -1


class Op:
    """One operation. Which fields mean something depends on the name.

    name    add sub mul div sdiv mod smod or and xor lsh rsh arsh (dst = a op b), mov neg (dst = b / -a),
            movsx (dst = sign-extended low `bits` of b), to_le to_be bswap (dst = a), const (dst = 64-bit imm),
            load (dst = [a + off]), store ([a + off] = b), atomic ([a + off] op= b), branch (if a cond b goto target),
            goto, call_helper, call_local, exit,
            tail_jump (leave the function and enter the code at a, which is AX; R1 and R10 stay)
    width   32 or 64 (ALU, branch); 8 to 64, of the access (load, store, atomic)
    dst, a, b   registers 0-11; b is NONE where the operand is imm
    imm     signed 32-bit immediate (const: unsigned 64); helper number
    off     byte offset from a: 16 bits signed, in invented loads and stores 20
    cond    branch: jeq jne jgt ... ; atomic: add or and xor xchg cmpxchg
    bits    movsx and byte order: low bits read
    signed  load: sign-extend
    probe   load: 0 where nothing is there
    fetch   atomic: old value goes to b (cmpxchg: to R0), zero-extended
    ordered load: with acquire, store: with release ordering; aligned, never with an immediate
    target  branch, goto: index of an Op; call_local: index of a function
    pc      slot of the BPF instruction it came from
    """

    __slots__ = (
        "a",
        "b",
        "bits",
        "cond",
        "dst",
        "fetch",
        "imm",
        "name",
        "off",
        "ordered",
        "pc",
        "probe",
        "signed",
        "target",
        "width",
    )

    def __init__(
        self, name: str, pc: int, width: int = 64, dst: int = NONE, a: int = NONE, b: int = NONE, imm: int = 0,
        off: int = 0, cond: str = "", bits: int = 0, signed: bool = False, fetch: bool = False, target: int = NONE,
        ordered: bool = False, probe: bool = False,
    ) -> None:  # fmt: skip
        self.name = name
        self.pc = pc
        self.width = width
        self.dst = dst
        self.a = a
        self.b = b
        self.imm = imm
        self.off = off
        self.cond = cond
        self.bits = bits
        self.signed = signed
        self.fetch = fetch
        self.ordered = ordered
        self.probe = probe
        self.target = target

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"Op({fields})"

    def writes(self) -> int:
        """Bit mask of the registers that the Op itself changes; the effect of calls is not in it."""
        mask = 1 << self.dst if self.dst >= 0 else 0
        if self.name == "atomic" and self.fetch:
            mask |= 1 << (0 if self.cond == "cmpxchg" else self.b)
        return mask


@dataclass(frozen=True, slots=True)
class OpFunction:
    """The Ops [start, end) of one BPF function, and what a prologue needs to know.

    written  bit mask of registers that its own Ops write (R0-R10, AX)
    calls    whether it calls anything
    """

    name: str
    start: int
    end: int
    written: int
    calls: bool


@dataclass(frozen=True, slots=True)
class Front:
    """A program as Ops: everything about it that does not depend on the target. Shared by all six."""

    unit: Unit
    program: Program
    ops: list[Op]
    functions: tuple[OpFunction, ...]


def front(unit: Unit, program: Program, *, observe: bool = False) -> Front:
    """Translate a program of the unit to Ops.

    observe: the entered function's exits store R0-R9 into the exit record, and registers that a call destroys hold
    the poison whether or not the program reads them.
    """
    constants = unit.constants(program)
    counting = _counting(program)
    live = None if observe else liveness(unit, program)
    ops: list[Op] = []
    first: list[int] = [0] * len(program)  # slot -> index of its first Op
    starts = {function.start for function in program.functions}
    bounds: list[int] = []
    leaving: list[Op] = []  # jumps whose target is a slot still
    recorded = _recorded(unit, program) if observe else range(0)
    for pc, insn in enumerate(program.insns):
        if pc in starts:
            bounds.append(len(ops))
            if live is None or live[pc] & 1:
                ops.append(Op("const", NONE, dst=0, imm=POISON))
            if unit.tail_calls and program.function_at(pc) in unit.mains:
                ops += _tail_called(unit, pc, 0b111100 if live is None else live[pc], len(ops))
            if program.function_at(pc) in counting:
                ops += _start_counter(unit)
        first[pc] = len(ops)
        if insn is None:
            continue
        row = insn.row
        alone = row.name in _ALONE
        tail = pc in unit.tail_calls
        if not alone:
            record = pc in recorded
            ops += _before(unit, pc, row, record)
        if tail:
            ops += _tail_call(unit, pc, len(ops))
        elif alone or row.name not in _SEVERAL:
            ops.append(_op(program, pc, insn, constants))
        else:
            ops += _several(unit, pc, insn, len(ops))
        if alone:
            continue
        if row.jumps:
            leaving.append(ops[-1])
        if row.kind is Kind.COUNTDOWN:
            ops += _count_down(pc)
        if row.clobbers:
            # A helper stub leaves the poison in R2-R5 itself, and in R1 unless its home is the result register.
            if tail and (live is None or live[pc + 1] & 1):
                ops.append(Op("const", pc, dst=0, imm=POISON))
            for register in range(1, 6 if tail or row.op in ("call_local", "callx") else 2):
                if live is None or live[pc + 1] >> register & 1:
                    ops.append(Op("const", pc, dst=register, imm=POISON + register))
        if row.kind is Kind.PACKET:
            ops += _leave(unit, pc, len(ops), record)
    for op in leaving:
        op.target = first[op.target]
    bounds.append(len(ops))
    functions = tuple(
        _summary(function.name, ops, bounds[index], bounds[index + 1])
        for index, function in enumerate(program.functions)
    )
    return Front(unit, program, ops, functions)


def _summary(name: str, ops: Sequence[Op], start: int, end: int) -> OpFunction:
    written, calls = 0, False
    for op in ops[start:end]:
        written |= op.writes()
        calls = calls or op.name in ("call_helper", "call_local")
    return OpFunction(name, start, end, written, calls)


_SEVERAL = frozenset(row.name for row in ROWS if row.kind in (Kind.PACKET, Kind.CAST) or row.op == "callx")
"""Rows that become several Ops."""

_ALONE = frozenset(row.name for row in ROWS if row.kind in (Kind.ALU, Kind.LOAD, Kind.STORE, Kind.ATOMIC, Kind.WIDE))
"""Rows that are one Op with nothing around it: nearly all instructions of a program."""


def _counting(program: Program) -> frozenset[int]:
    """The functions that contain a may_goto."""
    places = [pc for pc, insn in enumerate(program.insns) if insn is not None and insn.row.kind is Kind.COUNTDOWN]
    return frozenset(program.function_at(pc) for pc in places)


def _before(unit: Unit, pc: int, row: Row, record: bool) -> list[Op]:
    """What comes before an instruction: the counter of a may_goto goes to AX, an exit stores the record."""
    if row.kind is Kind.COUNTDOWN:
        return [Op("load", pc, dst=AX, a=FRAME_POINTER, off=COUNTER)]
    return _record(unit, pc) if record and row.kind is Kind.EXIT else []


def _recorded(unit: Unit, program: Program) -> Container[int]:
    """The slots whose exits store the exit record: of every function that may end the run. The last to store counts."""
    functions = [program.functions[index] for index in unit.mains]
    if len(functions) == 1:
        return range(functions[0].end)
    return frozenset(pc for function in functions for pc in range(function.start, function.end))


def _tail_called(unit: Unit, pc: int, wanted: int, at: int) -> list[Op]:
    """The poison in R2-R5 where a tail call enters a program; programs[0] is entered by others first. at: see _several.

    wanted: mask of registers.
    """
    poison = [
        Op("const", NONE, dst=register, imm=POISON + register) for register in range(2, 6) if wanted >> register & 1
    ]
    if not poison or pc:
        return poison
    return [
        Op("const", NONE, dst=AX, imm=unit.plan.harness + TAIL_CALLS),
        Op("load", NONE, dst=AX, a=AX),
        Op("branch", NONE, a=AX, imm=0, cond="jeq", target=at + 3 + len(poison)),
        *poison,
    ]


def _tail_call(unit: Unit, pc: int, at: int) -> list[Op]:
    """Three checks, each of which leads behind this; then count, leave the function and enter the other program.

    R2 (the map, which is known) to R5 are free here, since both ways on destroy them. at: see _several.
    """
    index = unit.tail_calls[pc]
    out = at + 15
    return [
        Op("branch", pc, 32, a=3, imm=unit.maps[index].max_entries, cond="jge", target=out),
        Op("mov", pc, 32, dst=3, b=3),
        Op("const", pc, dst=AX, imm=unit.plan.harness + TAIL_CALLS),
        Op("load", pc, dst=4, a=AX),
        Op("load", pc, dst=5, a=AX, off=8),
        Op("branch", pc, a=4, b=5, cond="jge", target=out),
        Op("lsh", pc, dst=3, a=3, imm=3),
        Op("const", pc, dst=5, imm=unit.map_regions[index].start),
        Op("add", pc, dst=3, a=3, b=5),
        Op("load", pc, dst=3, a=3),
        Op("branch", pc, a=3, imm=0, cond="jeq", target=out),
        Op("add", pc, dst=4, a=4, imm=1),
        Op("store", pc, a=AX, b=4),
        Op("mov", pc, dst=AX, b=3),
        Op("tail_jump", pc, a=AX),
    ]


def _start_counter(unit: Unit) -> list[Op]:
    """Give the counter of the function that has been entered its first value."""
    return [
        Op("const", NONE, dst=AX, imm=unit.plan.harness + ALLOWANCE),
        Op("load", NONE, dst=AX, a=AX),
        Op("store", NONE, a=FRAME_POINTER, b=AX, off=COUNTER),
    ]


def _count_down(pc: int) -> list[Op]:
    """What follows a may_goto that is not taken; AX holds the counter."""
    return [Op("sub", pc, dst=AX, a=AX, imm=1), Op("store", pc, a=FRAME_POINTER, b=AX, off=COUNTER)]


def _record(unit: Unit, pc: int) -> list[Op]:
    """Store R0-R9 in the exit record."""
    stores = (Op("store", pc, a=AX, b=register, off=8 * register) for register in range(RECORD_WORDS))
    return [Op("const", pc, dst=AX, imm=unit.plan.harness), *stores]


def _leave(unit: Unit, pc: int, at: int, record: bool) -> list[Op]:
    """After a load from the packet: a negative R0 says that it was outside, which ends the function.

    at: see _several. record: whether the exit record is stored.
    """
    leave = [Op("mov", pc, dst=0, imm=0), *(_record(unit, pc) if record else ()), Op("exit", pc)]
    return [Op("branch", pc, a=0, imm=0, cond="jsge", target=at + 1 + len(leave)), *leave]


def _several(unit: Unit, pc: int, insn: Insn, at: int) -> list[Op]:
    """The Ops of an instruction that takes several. at: the index that the first of them gets."""
    if insn.row.kind is Kind.CAST:
        return _cast(unit, pc, insn, at)
    return _callx(unit, pc, insn.dst, at) if insn.row.op == "callx" else _load_packet(pc, insn)


def _load_packet(pc: int, insn: Insn) -> list[Op]:
    """A call of the service, with R1 = R6 and R2 = the offset, of which the service reads the low 32 bits."""
    if "src" in insn.row.fields:
        offset = [Op("add", pc, 32, dst=2, a=insn.src, imm=insn.imm)]
    else:
        offset = [Op("mov", pc, dst=2, imm=insn.imm)]
    return [*offset, Op("mov", pc, dst=1, b=6), Op("call_helper", pc, imm=LOAD_PACKET[insn.row.width])]


def _callx(unit: Unit, pc: int, register: int, at: int) -> list[Op]:
    """Ask for each function whose address is taken; the service knows helpers, by their number in AX, and faults."""
    functions = unit.callees(pc)
    end = at + 4 * len(functions) + 2
    ops: list[Op] = []
    for number, index in enumerate(functions, 1):
        ops += [
            Op("const", pc, dst=AX, imm=unit.plan.entry(index)),
            Op("branch", pc, a=register, b=AX, cond="jne", target=at + 4 * number),
            Op("call_local", pc, target=index),
            Op("goto", pc, target=end),
        ]
    return [*ops, Op("mov", pc, dst=AX, b=register), Op("call_helper", pc, imm=CALL_TARGET)]


def _cast(unit: Unit, pc: int, insn: Insn, at: int) -> list[Op]:
    """The upper half of the arena's addresses over the low half of src; null stays null on the way into the arena."""
    dst = insn.dst
    ops = [Op("const", pc, dst=AX, imm=unit.arena_base), Op("or", pc, dst=dst, a=dst, b=AX)]
    if insn.imm == TO_ARENA:
        ops.insert(0, Op("branch", pc, a=dst, imm=0, cond="jeq", target=at + 4))
    return [Op("mov", pc, 32, dst=dst, b=insn.src), *ops]


def _op(program: Program, pc: int, insn: Insn, constants: dict[int, int]) -> Op:
    """The Op of one instruction; jump targets are still slots."""
    row, dst, src, off, imm = insn
    kind = row.kind
    if kind is Kind.ALU:
        return _alu(pc, insn)
    if kind is Kind.LOAD:
        probe = pc in program.probes
        return Op("load", pc, row.width, dst=dst, a=src, off=off, signed=row.signed, ordered=row.ordered, probe=probe)
    if kind is Kind.STORE:
        b = src if "src" in row.fields else NONE
        return Op("store", pc, row.width, a=dst, b=b, imm=imm, off=off, ordered=row.ordered)
    if kind is Kind.ATOMIC:
        return Op("atomic", pc, row.width, a=dst, b=src, off=off, cond=row.op, fetch=row.fetch)
    if kind is Kind.BRANCH:
        b = src if "src" in row.fields else NONE
        return Op("branch", pc, row.width, a=dst, b=b, imm=imm, cond=row.op, target=pc + 1 + insn.distance)
    if kind is Kind.COUNTDOWN:
        return Op("branch", pc, a=AX, imm=0, cond="jeq", target=pc + 1 + insn.distance)
    if kind is Kind.GOTO:
        return Op("goto", pc, target=pc + 1 + insn.distance)
    if kind is Kind.WIDE:
        return Op("const", pc, dst=dst, imm=constants[pc])
    if kind is Kind.EXIT:
        return Op("exit", pc)
    if row.op == "call_local":
        return Op("call_local", pc, target=program.function_at(pc + 1 + insn.distance))
    return Op("call_helper", pc, imm=imm)


def _alu(pc: int, insn: Insn) -> Op:
    row, dst, src, _, imm = insn
    name = row.op
    if name in ("to_le", "to_be", "bswap"):
        return Op(name, pc, 64, dst=dst, a=dst, bits=row.bits)
    if name == "neg":
        return Op(name, pc, row.width, dst=dst, a=dst)
    b = src if "src" in row.fields else NONE
    if name == "movsx":
        return Op(name, pc, row.width, dst=dst, b=b, bits=row.bits)
    if b == NONE and imm == 0 and name in ("div", "sdiv"):  # x / 0 is 0
        return Op("mov", pc, row.width, dst=dst, imm=0)
    if b == NONE and imm == 0 and name in ("mod", "smod"):  # x % 0 is x, cut to the width
        return Op("mov", pc, row.width, dst=dst, b=dst)
    if name == "mov":
        return Op(name, pc, row.width, dst=dst, b=b, imm=imm)
    return Op(name, pc, row.width, dst=dst, a=dst, b=b, imm=imm)


def as_unsigned(imm: int, width: int) -> int:
    """An Op's immediate as the register operand it stands for: sign-extended, then cut to the width."""
    return imm & ((1 << width) - 1)


def fits(value: int, bits: int) -> bool:
    """Whether a number fits a signed field of `bits`."""
    return signed(value, bits) == value
