"""General three-address Ops on every target: destination, operands and bases any registers, AX too, equal or not.

BPF's own instructions have two addresses and no AX; passes and blinding make Ops that use all that an Op can say. Each
case sets every register, does one Op, and leaves all registers and one word of memory in a record on the stack.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

import pytest

from bpf.isa import ROW, ROWS, Kind, Row, make
from bpf.isa.effects import signed
from bpf.plan import DEFAULT_PLAN, PAGE, Unit
from bpf.program import program
from emu.guest import Guest
from fuzz.suite.rows import EDGES, IMMEDIATES, OFFSETS
from jit.ops import AX, NONE, Front, Op, OpFunction
from jit.pipeline import compile_front
from jit.registry import TARGETS
from jit.target import Target
from vm.world import Input, Limits, World

M64 = (1 << 64) - 1
FRAME_POINTER = 10
CHANGEABLE = (*range(10), AX)
READABLE = (*CHANGEABLE, FRAME_POINTER)
WORDS = len(CHANGEABLE) + 1  # of a record: the registers, then the word of memory
CASES = PAGE // (8 * WORDS)  # that the stack has records for

STRAIGHT = [row for row in ROWS if row.kind in (Kind.ALU, Kind.LOAD, Kind.STORE, Kind.ATOMIC, Kind.BRANCH)]
VARIANTS = [
    pytest.param(target, features, id=f"{target.name}{'' if features else '-plain'}")
    for target in TARGETS.values()
    for features in dict.fromkeys((target.features, frozenset[str]()))
]


@dataclass(frozen=True, slots=True)
class Case:
    """An Op, the registers (R0-R9, AX) and the word of memory before it."""

    op: Op
    registers: dict[int, int]
    word: int


def patterns(row: Row) -> Iterator[tuple[int, int, int]]:
    """(dst, a, b): every register in every place, alone and equal to each of the others.

    What a row does not have is there all the same.
    """
    count = len(READABLE)
    for number, register in enumerate(READABLE):
        other, third = READABLE[(number + 1 + number % 3) % count], READABLE[(number + 5 + number % 2) % count]
        yield from ((register, other, third), (register, register, other), (other, register, other))
        yield from ((other, register, register), (register, register, register))


def value(random: Random) -> int:
    """A register's contents: an edge, its negative, an edge under other upper bits, or anything."""
    edge = random.choice(EDGES)
    return random.choice((edge, -edge & M64, edge ^ random.getrandbits(32) << 32, random.getrandbits(64)))


def cases(row: Row, random: Random) -> Iterator[Case]:
    """A row's cases, in records' order: the place of its record is what a case's memory is."""
    number = 0
    for dst, a, b in patterns(row):
        imm = IMMEDIATES[number % len(IMMEDIATES)]
        if row.op in ("div", "sdiv", "mod", "smod"):
            imm = imm or -1
        if row.kind is Kind.ATOMIC and (FRAME_POINTER == b or (FRAME_POINTER == a and a == b)):
            continue
        if row.kind in (Kind.ALU, Kind.LOAD) and dst == FRAME_POINTER:
            continue
        registers = {register: value(random) for register in CHANGEABLE}
        if a != b and b in registers and random.random() < 0.4:  # operands that have to do with each other
            left = registers.get(a, DEFAULT_PLAN.stack)
            registers[b] = random.choice((left, -left & M64, 0, M64, left ^ 1 << 40, left ^ 1 << 31))
        word = value(random)
        if row.op == "cmpxchg" and number % 2:
            word = registers[0]
        yield Case(_op(row, dst, a, b, imm, number % CASES, registers), registers, word)
        number += 1


def _op(row: Row, dst: int, a: int, b: int, imm: int, place: int, registers: dict[int, int]) -> Op:
    """The row's Op; where it accesses memory, its base is set so that it meets the word of the record."""
    if "src" not in row.fields and row.kind is not Kind.LOAD:
        b = NONE
    if row.kind is Kind.BRANCH:
        return Op("branch", 0, row.width, a=a, b=b, imm=imm, cond=row.op)
    if row.kind is Kind.ALU:
        return Op(row.op, 0, row.width, dst=dst, a=a, b=b if row.op != "movsx" else a, imm=imm, bits=row.bits)
    off = _word_at(place)
    if a != FRAME_POINTER:
        off = OFFSETS[(place * 7) % len(OFFSETS)]
        registers[a] = (DEFAULT_PLAN.stack + _word_at(place) - off) & M64
    if row.kind is Kind.LOAD:
        return Op("load", 0, row.width, dst=dst, a=a, off=off, signed=row.signed)
    if row.kind is Kind.STORE:
        return Op("store", 0, row.width, a=a, b=b, imm=imm, off=off)
    return Op("atomic", 0, row.width, a=a, b=b, off=off, cond=row.op, fetch=row.fetch)


def _record_at(place: int) -> int:
    """Offset from R10 of a record."""
    return -8 * WORDS * (place + 1)


def _word_at(place: int) -> int:
    return _record_at(place) + 8 * len(CHANGEABLE)


def code(batch: Sequence[Case]) -> list[Op]:
    """The program as Ops."""
    ops = []
    for place, case in enumerate(batch):
        ops.append(Op("const", 0, dst=0, imm=case.word))
        ops.append(Op("store", 0, a=FRAME_POINTER, b=0, off=_word_at(place)))
        ops += [Op("const", 0, dst=register, imm=number) for register, number in case.registers.items()]
        ops.append(case.op)
        if case.op.name == "branch":  # over an instruction that clears the word
            case.op.target = len(ops) + 1
            ops.append(Op("store", 0, a=FRAME_POINTER, imm=0, off=_word_at(place)))
        ops += [
            Op("store", 0, a=FRAME_POINTER, b=register, off=_record_at(place) + 8 * at)
            for at, register in enumerate(CHANGEABLE)
        ]
    return [*ops, Op("const", 0, dst=0, imm=0), Op("exit", 0)]


def expected(row: Row, case: Case, order: str) -> tuple[int, ...]:
    """The record that a case must leave."""
    op, registers, word = case.op, dict(case.registers), case.word
    before = {**registers, FRAME_POINTER: DEFAULT_PLAN.stack, NONE: op.imm & M64}
    size = row.width // 8
    data = bytearray(word.to_bytes(8, order))  # type: ignore[arg-type]
    raw = int.from_bytes(data[:size], order)  # type: ignore[arg-type]
    if row.kind is Kind.ALU:
        registers[op.dst] = row.effect_in(order)(before[op.a], before[op.b])
    elif row.kind is Kind.LOAD:
        registers[op.dst] = row.effect_in(order)(0, raw)
    elif row.kind is Kind.BRANCH:
        return *registers.values(), word if row.effect_in(order)(before[op.a], before[op.b]) else 0
    elif row.kind is Kind.STORE:
        data[:size] = row.effect_in(order)(0, before[op.b]).to_bytes(size, order)
    else:
        data[:size] = row.effect_in(order)(raw, before[op.b] & (1 << row.width) - 1, before[0]).to_bytes(size, order)
        if row.fetch:
            registers[0 if row.op == "cmpxchg" else op.b] = raw
    return *registers.values(), int.from_bytes(data, order)  # type: ignore[arg-type]


def run(batch: Sequence[Case], target: Target, features: frozenset[str]) -> list[tuple[int, ...]]:
    """The records that the cases leave."""
    prog = program([make(ROW["exit"])], order=target.order)
    unit = Unit((prog,))
    ops = code(batch)
    written = sum(1 << register for register in CHANGEABLE)
    front = Front(unit, prog, ops, (OpFunction("f", 0, len(ops), written=written, calls=False),))
    image = compile_front(front, target, features=features)
    outcome = Guest(unit, image, observe=False, features=features).run(Input(), World(), Limits())
    assert outcome.fault is None, outcome.fault
    assert outcome.regions is not None
    stack = outcome.regions["stack"]
    endian = ">" if target.order == "big" else "<"
    return [
        struct.unpack_from(f"{endian}{WORDS}Q", stack, len(stack) + _record_at(place)) for place in range(len(batch))
    ]


@pytest.mark.parametrize("row", STRAIGHT, ids=lambda row: row.name)
@pytest.mark.parametrize(("target", "features"), VARIANTS)
def test_three_addresses(target: Target, features: frozenset[str], row: Row) -> None:
    """The Op does what the row says to dst, memory and R0, and nothing to any other register."""
    every = list(cases(row, Random(row.name)))
    assert len(every) > 2 * len(READABLE)
    for start in range(0, len(every), CASES):
        batch = every[start : start + CASES]
        for case, after in zip(batch, run(batch, target, features), strict=True):
            assert after == expected(row, case, target.order), f"{row.name} on {target.name}: {case}"
