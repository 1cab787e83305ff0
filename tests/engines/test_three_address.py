"""General three-address Ops on every target: destination, operands and bases any registers, AX too, equal or not.

BPF's own instructions have two addresses and no AX; passes and blinding make Ops that use all that an Op can say. Each
case sets every register, does one Op, and leaves all registers and one word of memory in a record on the stack.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any

import pytest

from bpf.isa import ROW, ROWS, Kind, Row, make
from bpf.isa.effects import M32, M64
from bpf.plan import DEFAULT_PLAN, PAGE, Unit
from bpf.program import program
from emu.guest import Guest
from fuzz.suite.values import EDGES, IMMEDIATES, OFFSETS
from jit.image import Image
from jit.ops import AX, NONE, Front, Op, OpFunction
from jit.pipeline import compile_front
from jit.registry import TARGETS
from jit.target import Target
from vm.world import Input, Limits, World

FRAME_POINTER = 10
CHANGEABLE = (*range(10), AX)
READABLE = (*CHANGEABLE, FRAME_POINTER)
WORDS = len(CHANGEABLE) + 1  # of a record: the registers, then the word of memory
CASES = PAGE // (8 * WORDS)  # that the stack has records for

FAR = (0x8000, -0x8001, 0xFFF8, 0x1_0000, 0x3_0000, 0x3_0004, 0x3_0001, -0x3_8001, 0x7_FFFF, -0x8_0000)
"""Offsets of invented loads and stores: 20 bits."""

STRAIGHT = [row for row in ROWS if row.kind in (Kind.ALU, Kind.LOAD, Kind.STORE, Kind.ATOMIC, Kind.BRANCH)]


@dataclass(frozen=True, slots=True)
class Case:
    """An Op, the registers (R0-R9, AX) and the word of memory before it."""

    op: Op
    registers: dict[int, int]
    word: int


def patterns() -> Iterator[tuple[int, int, int]]:
    """(dst, a, b): every register in every place, alone and equal to the others."""
    count = len(READABLE)
    for number, register in enumerate(READABLE):
        other, third = READABLE[(number + 1 + number % 3) % count], READABLE[(number + 5 + number % 2) % count]
        yield from ((register, other, third), (register, register, other), (other, register, other))
        yield from ((other, register, register), (register, register, register))


def value(random: Random) -> int:
    """A register's contents: an edge, its negative, an edge under other upper bits, or anything."""
    edge = random.choice(EDGES)
    return random.choice((edge, -edge & M64, edge ^ random.getrandbits(32) << 32, random.getrandbits(64)))


def related(random: Random, other: int) -> int:
    """What makes a condition or a division special beside another operand."""
    return random.choice((other, -other & M64, other + 1 & M64, 0, M64, other ^ 1 << 40, other ^ 1 << 31))


@lru_cache(maxsize=1)
def cases(row: Row) -> list[Case]:
    """A row's cases; number n's record is at place n % CASES."""
    random = Random(row.name)
    found: list[Case] = []
    for dst, a, b in patterns():
        if (row.writes_dst and dst == FRAME_POINTER) or (row.kind is Kind.ATOMIC and b == FRAME_POINTER):
            continue
        number = len(found)
        imm = IMMEDIATES[number % len(IMMEDIATES)]
        if row.op in ("div", "sdiv", "mod", "smod"):  # a constant 0 never gets as far as an Op
            imm = imm or -1
        registers = {register: value(random) for register in CHANGEABLE}
        if "src" not in row.fields:
            if random.random() < 0.4 and a in registers:
                registers[a] = related(random, imm & M64)
            b = NONE
        elif b in registers and a != b and random.random() < 0.4:
            registers[b] = related(random, registers.get(a, DEFAULT_PLAN.stack))
        op = _op(row, dst, a, b, imm, number, registers)
        word = value(random)
        if row.op == "cmpxchg" and number % 2:  # memory holds what R0 says
            word = registers[0] if row.width == 64 else (registers[0] & M32) << 32 | registers[0] & M32
        found.append(Case(op, registers, word))
    return found


def _op(row: Row, dst: int, a: int, b: int, imm: int, number: int, registers: dict[int, int]) -> Op:
    """The row's Op; where it accesses memory, its base is set so that it meets the word of the record."""
    if row.kind is Kind.BRANCH:
        return Op("branch", 0, row.width, a=a, b=b, imm=imm, cond=row.op)
    if row.kind is Kind.ALU:
        return Op(row.op, 0, row.width, dst=dst, a=a, b=b, imm=imm, bits=row.bits)
    off = at = _word_at(number % CASES)
    if a != FRAME_POINTER:
        offsets = OFFSETS if row.kind is Kind.ATOMIC else (*OFFSETS, *FAR)
        off = offsets[number % len(offsets)]
        registers[a] = (DEFAULT_PLAN.stack + at - off) & M64
    if row.kind is Kind.LOAD:
        return Op("load", 0, row.width, dst=dst, a=a, off=off, signed=row.signed, ordered=row.ordered)
    if row.kind is Kind.STORE:
        return Op("store", 0, row.width, a=a, b=b, imm=imm, off=off, ordered=row.ordered)
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
        data[:size] = row.effect_in(order)(raw, before[op.b], before[0]).to_bytes(size, order)
        if row.fetch:
            registers[0 if row.op == "cmpxchg" else op.b] = raw
    return *registers.values(), int.from_bytes(data, order)  # type: ignore[arg-type]


@lru_cache(maxsize=2)
def all_expected(row: Row, order: str) -> list[tuple[int, ...]]:
    """The records of all cases of a row."""
    return [expected(row, case, order) for case in cases(row)]


def compiled(batch: Sequence[Case], target: Target, features: frozenset[str]) -> tuple[Unit, Image]:
    """The machine code of a batch of cases."""
    prog = program([make(ROW["exit"])], order=target.order)
    unit = Unit((prog,))
    ops = code(batch)
    written = sum(1 << register for register in CHANGEABLE)
    front = Front(unit, prog, ops, (OpFunction("f", 0, len(ops), written=written, calls=False),))
    return unit, compile_front(front, target, features=features)


def run(unit: Unit, image: Image, count: int) -> list[tuple[int, ...]]:
    """The records that the cases leave."""
    outcome = Guest(unit, image, observe=False).run(Input(), World(), Limits())
    assert outcome.fault is None, outcome.fault
    assert outcome.regions is not None
    stack = outcome.regions["stack"]
    words = struct.Struct(f"{'>' if unit.order == 'big' else '<'}{WORDS}Q")
    return [words.unpack_from(stack, len(stack) + _record_at(place)) for place in range(count)]


def pairs() -> Iterator[Any]:
    """Each row on three targets, the six taking turns; on the other three it is a deep test."""
    for number, row in enumerate(STRAIGHT):
        for at, (name, target) in enumerate(TARGETS.items()):
            deep = [pytest.mark.deep] if (at + number) % 2 else []
            yield pytest.param(row, target, id=f"{row.name}-{name}", marks=deep)


@pytest.mark.parametrize(("row", "target"), [*pairs()])
def test_three_addresses(row: Row, target: Target) -> None:
    """The Op does what the row says to dst, memory and R0, and nothing to any other register.

    So it does without the target's extensions, where the code is another then.
    """
    everything, records = cases(row), all_expected(row, target.order)
    assert len(everything) > 4 * len(READABLE)
    for start in range(0, len(everything), CASES):
        batch = everything[start : start + CASES]
        seen: set[bytes] = set()
        for features in (target.features, frozenset[str]()):
            unit, image = compiled(batch, target, features)
            if image.code in seen:
                continue
            seen.add(image.code)
            for case, before, after in zip(batch, records[start:], run(unit, image, len(batch)), strict=False):
                assert after == before, f"{row.name} on {target.name} with {set(features)}: {case}"
