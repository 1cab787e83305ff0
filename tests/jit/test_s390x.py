"""What only s390x has: constants and masks, its save area, branches at the edges of their reach, three-address Ops."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpf.isa import ROW, ROWS, Insn, Kind, Row, make
from bpf.isa.effects import signed
from bpf.plan import RECORD_WORDS, TABLES, Unit
from bpf.program import program
from emu.guest import Guest
from emu.machine import machine
from jit.image import Image
from jit.listing import listing
from jit.ops import AX, NONE, Front, Op, OpFunction
from jit.pipeline import compile_front, compile_program
from jit.registry import TARGETS
from jit.s390x.lower import bit_range, constant
from vm.world import Input, Limits, World

S390X = TARGETS["s390x"]
EXIT = make(ROW["exit"])
FOUR = make(ROW["mov64_reg"], 4, 3)  # four bytes of code that do no harm
SIX = make(ROW["ldx64"], 4, 10, -8)  # six bytes


def compiled(insns: list[Insn]) -> Image:
    """The image of a program."""
    prog = program(insns, order="big")
    return compile_program(Unit((prog,)), prog, S390X)


# Constants and masks -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (0, 4), (0x7FFF, 4), (0xFFFF, 4), (0xFFFF_FFFF_FFFF_8000, 4), (0x8000_0000, 4), (1 << 63, 4), (0x1234 << 32, 4),
        (0x1_0001, 6), (0xFFFF_FFFF, 6), (0xFFFF_FFFF_8000_0000, 6), (0x1234_5678 << 32, 6),
        (0x1234_0000_0000_5678, 8), (0x1234_0000_5678_0000, 8), (0x1234_FFFF_FFFF_8000, 8), (0xFFFF_1234_FFFF_FFFF, 8),
        (0x1234_5678_0000_9ABC, 10), (0x1234_0000_5678_9ABC, 10), (0x1234_FFFF_8678_9ABC, 10),
        (0x1234_5678_FFFF_9ABC, 10), (0x1234_5678_9ABC_DEF0, 12), (0x1234_5678_7ABC_DEF0, 12),
    ],
)  # fmt: skip
def test_constants_are_as_short_as_they_can_be(value: int, size: int) -> None:
    assert len(constant(3, value)) == size


def mask_of(first: int, last: int) -> int:
    """Ones from bit `first` to bit `last`, counted from the left, around the end if last < first."""
    places = range(first, last + 1) if first <= last else [*range(first, 64), *range(last + 1)]
    return sum(1 << 63 - place for place in places)


def test_every_run_of_ones_is_found() -> None:
    for first in range(64):
        for last in range(64):
            if mask_of(first, last) != (1 << 64) - 1:
                assert bit_range(mask_of(first, last)) == (first, last)


@given(st.integers(0, (1 << 64) - 1))
def test_what_is_found_is_the_mask(mask: int) -> None:
    found = bit_range(mask)
    assert found is None or mask_of(*found) == mask


def test_no_ones_are_no_run() -> None:
    assert bit_range(0) is None


# Ops that no BPF instruction asks for ---------------------------------------------------------------

CASES = 100
EDGES = [(1 << n) + delta & (1 << 64) - 1 for n in (0, 7, 8, 15, 16, 31, 32, 63) for delta in (-1, 0, 1)]


def value(random: Random) -> int:
    """A register's contents: an edge in the low half, in the whole, or anything."""
    edge = random.choice(EDGES)
    return random.choice((edge, -edge & (1 << 64) - 1, edge ^ random.getrandbits(32) << 32, random.getrandbits(64)))


def op_of(row: Row, random: Random) -> Op:
    """The row's operation on any registers, equal or not, or on an immediate."""
    dst, a, b = (random.randrange(10) for _ in range(3))
    imm = signed(value(random), 32)
    if "src" not in row.fields:
        b = NONE
        if row.op in ("div", "sdiv", "mod", "smod"):
            imm = imm or -1
    return Op(row.op, 0, row.width, dst=dst, a=a, b=b, imm=imm, bits=row.bits)


def run_each(ops: Sequence[Op], registers: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """R0-R9 after each Op, which starts with the registers of the same number."""
    prog = program([EXIT], order="big")
    unit = Unit((prog,))
    record = 8 * RECORD_WORDS
    code = []
    for case, (op, before) in enumerate(zip(ops, registers, strict=True)):
        code += [Op("const", 0, dst=register, imm=value) for register, value in enumerate(before)]
        code += [op, Op("const", 0, dst=AX, imm=unit.plan.harness + TABLES + record * case)]
        code += [Op("store", 0, a=AX, b=register, off=8 * register) for register in range(RECORD_WORDS)]
    code.append(Op("exit", 0))
    function = OpFunction("f", 0, len(code), written=(1 << 10) - 1 | 1 << AX, calls=False)
    guest = Guest(unit, compile_front(Front(unit, prog, code, (function,)), S390X), observe=False)
    outcome = guest.run(Input(), World(), Limits())
    assert outcome.fault is None, outcome.fault
    table = bytes(machine(S390X, unit.plan).harness[TABLES : TABLES + record * len(ops)])
    return list(struct.iter_unpack(f">{RECORD_WORDS}Q", table))


@pytest.mark.parametrize("row", [row for row in ROWS if row.kind is Kind.ALU], ids=lambda row: row.name)
def test_three_addresses(row: Row) -> None:
    """Nothing but dst changes, whatever registers dst, a and b are."""
    random = Random(row.name)
    ops = [op_of(row, random) for _ in range(CASES)]
    registers = [[value(random) for _ in range(10)] for _ in ops]
    for op, before in zip(ops, registers, strict=True):
        if op.b not in (NONE, op.a) and random.random() < 0.3:  # operands that have to do with each other
            before[op.b] = random.choice((before[op.a], 0, (1 << 64) - 1, random.getrandbits(32) << 32))
    for op, before, after in zip(ops, registers, run_each(ops, registers), strict=True):
        expected = list(before)
        expected[op.dst] = row.effect_in("big")(before[op.a], op.imm & (1 << 64) - 1 if op.b == NONE else before[op.b])
        assert after == tuple(expected), op


# The save area -------------------------------------------------------------------------------------

SET_R0 = make(ROW["mov64_imm"], 0, imm=1)


@pytest.mark.parametrize(
    ("body", "prologue", "restore"),
    [
        ([SET_R0], "stg %r14, 0x70(%r15)", "lg %r14, 0x70(%r15)"),
        # R5's home carries an argument and is preserved all the same.
        ([SET_R0, make(ROW["mov64_imm"], 5)], "stmg %r6, %r14, 0x30(%r15)", "lmg %r6, %r14, 0x30(%r15)"),
        ([SET_R0, make(ROW["mov64_imm"], 9)], "stmg %r10, %r14, 0x50(%r15)", "lmg %r10, %r14, 0x50(%r15)"),
        # A fetching atomic writes its source register.
        ([SET_R0, make(ROW["atomic64_xchg"], 10, 6, -8)], "stmg %r7, %r14, 0x38(%r15)", "lmg %r7, %r14, 0x38(%r15)"),
        # A helper may destroy r6; r15 comes back with the others.
        ([make(ROW["call_helper"], imm=7)], "stmg %r6, %r15, 0x30(%r15)", "lmg %r6, %r15, 0xd0(%r15)"),
    ],
)
def test_what_a_function_saves(body: list[Insn], prologue: str, restore: str) -> None:
    lines = [line.text for line in listing(compiled([*body, EXIT]))]
    assert lines[0] == prologue
    assert lines[-2:] == [restore, "br %r14"]


# Branches at the edges of their reach --------------------------------------------------------------

# Taken for R1 = 1 and R2 = 2, not taken; bytes before the branch proper, of its short form, of its long form.
BRANCHES: dict[str, tuple[Insn, Insn, int, int, int]] = {
    "registers": (make(ROW["jlt64_reg"], 1, 2), make(ROW["jge64_reg"], 1, 2), 0, 6, 12),
    "32-bit registers": (make(ROW["jne32_reg"], 1, 2), make(ROW["jeq32_reg"], 1, 2), 0, 6, 12),
    "an immediate": (make(ROW["jsgt64_imm"], 1, imm=-1), make(ROW["jsle64_imm"], 1, imm=-1), 0, 6, 12),
    "a 32-bit immediate": (make(ROW["jle32_imm"], 1, imm=1), make(ROW["jgt32_imm"], 1, imm=1), 0, 6, 12),
    "bits": (make(ROW["jset64_imm"], 1, imm=1), make(ROW["jset64_imm"], 1, imm=2), 4, 4, 6),
    "a long immediate": (make(ROW["jslt64_imm"], 1, imm=1000), make(ROW["jsgt64_imm"], 1, imm=1000), 4, 4, 6),
}
ONE, TWO = make(ROW["mov64_imm"], 1, imm=1), make(ROW["mov64_imm"], 2, imm=2)
TAKEN, MISSED = make(ROW["mov64_imm"], 0, imm=1), make(ROW["mov64_imm"], 0, imm=2)  # four bytes each


def filler(size: int) -> list[Insn]:
    """Instructions of `size` bytes in all."""
    six = size % 4 // 2
    return [SIX] * six + [FOUR] * ((size - 6 * six) // 4)


def forwards(branch: Insn, distance: int, short: int) -> tuple[list[Insn], int]:
    """A program that returns 1 if the branch is taken, else 2, and the branch's slot.

    distance: bytes to the target from the branch proper, if that is `short` bytes long.
    """
    between = filler(distance - short - 8)
    over = [MISSED, make(ROW["ja"], off=1)]  # eight bytes
    return [ONE, TWO, branch.with_distance(len(between) + 2), *between, *over, TAKEN, EXIT], 2


def backwards(branch: Insn, distance: int, before: int) -> tuple[list[Insn], int]:
    """The same with the target `-distance` bytes before the branch proper, `before` bytes of which are its own Op's."""
    skipped = [TAKEN, *filler(-distance - 4 - before - 4), make(ROW["ja"]).with_distance(2)]
    to_branch = make(ROW["gotol"]).with_distance(len(skipped))
    return [ONE, TWO, to_branch, *skipped, branch.with_distance(-len(skipped) - 1), MISSED, EXIT], 3 + len(skipped)


def check(insns: list[Insn], slot: int, size: int, expected: int) -> int:
    """Run a program whose branch must take `size` bytes and R0 become `expected`; the branch's distance in bytes."""
    image = compiled(insns)
    starts = image.starts
    assert starts[slot + 1] - starts[slot] == size
    outcome = Guest(Unit((image.program,)), image, observe=False).run(Input(), World(), Limits())
    assert (outcome.status, outcome.r0) == ("done", expected)
    return starts[slot + 1 + insns[slot].distance] - starts[slot]


@pytest.mark.parametrize("which", [0, pytest.param(1, marks=pytest.mark.deep)], ids=["taken", "not taken"])
@pytest.mark.parametrize("name", BRANCHES)
def test_branches_at_the_edges(name: str, which: int) -> None:
    taken, missed, before, short, long = BRANCHES[name]
    branch, result = ((taken, 1), (missed, 2))[which]
    assert check(*forwards(branch, 0xFFFE, short), before + short, result) == before + 0xFFFE
    assert check(*forwards(branch, 0x1_0000, short), before + long, result) == before + 0x1_0000 + long - short
    assert check(*backwards(branch, -0x1_0000, before), before + short, result) == before - 0x1_0000
    assert check(*backwards(branch, -0x1_0002, before), before + long, result) == before - 0x1_0002


@pytest.mark.parametrize(("distance", "size"), [(0xFFFE, 4), (0x1_0000, 6)])
def test_gotos_at_the_edge(distance: int, size: int) -> None:
    check(*forwards(make(ROW["gotol"]), distance, 4), size, 1)
