"""What only POWER has: numbers, ISA levels, hints, condition fields, frames, branches at the edges of their reach."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from random import Random
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpf.errors import Refused
from bpf.isa import ROW, ROWS, Insn, Kind, Row, make
from bpf.isa.effects import signed
from bpf.plan import RECORD_WORDS, STUB_SIZE, TABLES, Unit
from bpf.program import program
from emu.guest import Guest
from emu.machine import machine
from emu.unicorn import register
from jit.image import Image
from jit.listing import listing
from jit.ops import AX, NONE, Front, Op, OpFunction, front
from jit.pipeline import compile_front
from jit.ppc64.constants import number
from jit.ppc64.lower import Power
from jit.registry import TARGETS
from jit.relax import Form
from jit.target import Target
from vm.world import DIRTY, Input, Limits, World

BIG, LITTLE = TARGETS["ppc64"], TARGETS["ppc64le"]
M64 = (1 << 64) - 1
EXIT = make(ROW["exit"])
FILLER = make(ROW["mov64_reg"], 4, 3)  # four bytes of code that do no harm
ISA_2_06: frozenset[str] = frozenset()

each_order = pytest.mark.parametrize("target", [BIG, LITTLE], ids=["ppc64", "ppc64le"])
each_isa = pytest.mark.parametrize("features", [BIG.features, ISA_2_06], ids=["isa3.0", "isa2.06"])


def compiled(insns: Sequence[Insn], target: Target = BIG, features: frozenset[str] | None = None) -> Image:
    """The image of a program."""
    prog = program(list(insns), order=target.order)
    return compile_front(front(Unit((prog,)), prog), target, features=features)


def result(image: Image) -> int:
    """R0 after a run that ends well."""
    outcome = Guest(Unit((image.program,)), image, observe=False).run(Input(), World(), Limits())
    assert outcome.fault is None, outcome.fault
    return outcome.r0


def run_ops(
    ops: Sequence[Op], registers: Sequence[Sequence[int]], target: Target, features: frozenset[str]
) -> list[tuple[int, ...]]:
    """R0-R9 after each Op, which starts with the registers of the same number."""
    prog = program([EXIT], order=target.order)
    unit = Unit((prog,))
    record = 8 * RECORD_WORDS
    code = []
    for case, (op, before) in enumerate(zip(ops, registers, strict=True)):
        code += [Op("const", 0, dst=register, imm=value) for register, value in enumerate(before)]
        code += [op, Op("const", 0, dst=AX, imm=unit.plan.harness + TABLES + record * case)]
        code += [Op("store", 0, a=AX, b=register, off=8 * register) for register in range(RECORD_WORDS)]
    code.append(Op("exit", 0))
    function = OpFunction("f", 0, len(code), written=(1 << 10) - 1 | 1 << AX, calls=False)
    image = compile_front(Front(unit, prog, code, (function,)), target, features=features)
    outcome = Guest(unit, image, observe=False).run(Input(), World(), Limits())
    assert outcome.fault is None, outcome.fault
    table = bytes(machine(target, unit.plan).harness[TABLES : TABLES + record * len(ops)])
    return list(struct.iter_unpack(f"{'>' if target.order == 'big' else '<'}{RECORD_WORDS}Q", table))


# Numbers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "instructions"),
    [
        (0, 1), (0x7FFF, 1), (-0x8000, 1), (0x1_0000, 1), (-(1 << 31), 1),
        (0x8000, 2), (-0x8001, 2), (0x7FFF_FFFF, 2), (0xFFFF_FFFF, 2), (0x8000_0000, 2), (0xFFFF_8000, 2),
        (0xDEAD_7EEF, 2), (0x12 << 40, 2), (-1 << 63, 2), (M64 >> 1, 2), (0xFFFF << 48, 1 + 1), (-0x1234_7000, 2),
        (signed(0xFFFF_FFFF_1234_8765, 64), 2), (signed(0xFFFF_FFFF_1234_5678, 64), 3), (0xDEAD_BEEF, 3),
        (0x1234_5678 << 30, 3), (0x12_0000_5678, 3), (0x5555_5555_5555_5555, 3),
        (0x1234_5678_9ABC, 4), (0x1234_5678_9ABC_DEF0, 5),
    ],
)  # fmt: skip
def test_numbers_are_as_short_as_they_can_be(value: int, instructions: int) -> None:
    assert len(number(3, signed(value, 64))) == instructions


def shaped() -> st.SearchStrategy[int]:
    """64-bit numbers: any, runs of ones, short numbers between zeros or ones, equal halves."""
    bit, short = st.integers(0, 63), st.integers(-(1 << 33), 1 << 33)
    return st.one_of(
        st.integers(0, M64),
        st.builds(lambda a, b: (1 << a) - (1 << b), bit, bit),
        st.builds(lambda value, shift: value << shift, short, bit),
        st.builds(lambda value, shift: (value << 64 - shift) % (1 << 64) >> shift, short, bit),
        st.builds(lambda half: half * 0x1_0000_0001, st.integers(0, (1 << 32) - 1)),
    ).map(lambda value: value & M64)


@given(st.lists(shaped(), min_size=10, max_size=10))
@settings(deadline=None, max_examples=60)
def test_numbers_arrive(values: list[int]) -> None:
    nothing = Op("mov", 0, dst=0, b=0)
    assert run_ops([nothing], [values], LITTLE, LITTLE.features) == [tuple(values)]


# Ops that no BPF instruction asks for, at both levels of the instruction set -------------------------

CASES = 100
EDGES = [(1 << n) + delta & M64 for n in (0, 7, 8, 15, 16, 31, 32, 63) for delta in (-1, 0, 1)]


def value(random: Random) -> int:
    """A register's contents: an edge in the low half, in the whole, or anything."""
    edge = random.choice(EDGES)
    return random.choice((edge, -edge & M64, edge ^ random.getrandbits(32) << 32, random.getrandbits(64)))


def op_of(row: Row, random: Random) -> Op:
    """The row's operation on any registers, equal or not, or on an immediate."""
    dst, a, b = (random.randrange(10) for _ in range(3))
    imm = signed(value(random), 32)
    if "src" not in row.fields:
        b = NONE
        if row.op in ("div", "sdiv", "mod", "smod"):
            imm = imm or -1
    return Op(row.op, 0, row.width, dst=dst, a=a, b=b, imm=imm, bits=row.bits)


@each_order
@each_isa
@pytest.mark.parametrize("row", [row for row in ROWS if row.kind is Kind.ALU], ids=lambda row: row.name)
def test_three_addresses(row: Row, features: frozenset[str], target: Target) -> None:
    """Nothing but dst changes, whatever registers dst, a and b are."""
    random = Random(row.name)
    ops = [op_of(row, random) for _ in range(CASES)]
    registers = [[value(random) for _ in range(10)] for _ in ops]
    for op, before in zip(ops, registers, strict=True):
        if op.b not in (NONE, op.a) and random.random() < 0.3:  # operands that have to do with each other
            before[op.b] = random.choice((before[op.a], 0, M64, random.getrandbits(32) << 32))
    for op, before, after in zip(ops, registers, run_ops(ops, registers, target, features), strict=True):
        expected = list(before)
        effect = row.effect_in(target.order)
        expected[op.dst] = effect(before[op.a], op.imm & M64 if op.b == NONE else before[op.b])
        assert after == tuple(expected), op


def test_isa_2_06_has_no_modulo() -> None:
    body = [make(ROW[f"{name}_{form}"], 1, 2 if form == "reg" else 0, imm=0 if form == "reg" else 7)
            for name in ("mod64", "mod32", "smod64", "smod32") for form in ("reg", "imm")]  # fmt: skip
    names = {line.text.split()[0] for line in listing(compiled([*body, EXIT], features=ISA_2_06))}
    assert not names & {"modsd", "modud", "modsw", "moduw", "addpcis"}


# Words that must not be there, fields that must not change ------------------------------------------


@pytest.mark.parametrize("name", ["or64_reg", "or32_reg", "mov64_reg", "mov32_reg", "and64_reg", "xor64_reg"])
def test_a_register_with_itself_is_no_hint(name: str) -> None:
    """`or rX,rX,rX` gives a scheduling hint for some X, and Unicorn stops there without a word."""
    image = compiled([make(ROW[name], register, register) for register in range(10)] + [EXIT])
    for (word,) in struct.iter_unpack(">I", image.code):
        registers = word >> 21 & 31, word >> 16 & 31, word >> 11 & 31
        assert word & 0xFC00_07FE != 0x7C00_0378 or len(set(registers)) > 1, f"{word:#x}"


@each_order
def test_only_cr0_changes(target: Target) -> None:
    """CR2-CR4 belong to the caller."""
    branches = [make(row, 1, 2 if "src" in row.fields else 0, off=0) for row in ROWS if row.kind is Kind.BRANCH]
    atomics = [make(row, 10, 3, -8) for row in ROWS if row.kind is Kind.ATOMIC]
    divisions = [make(ROW[f"{name}64_reg"], 4, 5) for name in ("div", "mod", "sdiv", "smod")]
    image = compiled([make(ROW["mov64_imm"], 0), *branches, *atomics, *divisions, EXIT], target)
    plan = Unit((image.program,)).plan
    guest = machine(target, plan)
    cr = register(target.emulation, "cr")
    for pattern in (0x0123_4567, 0x0EDC_BA98):
        guest.load(image)
        guest.prepare_entry(DIRTY, plan.harness + TABLES + 8)
        guest.uc.reg_write(cr, pattern)
        stop = guest.start(image.base, seconds=5.0)
        assert (stop.error, stop.pc) == (0, plan.exit)
        assert guest.uc.reg_read(cr) & 0x0FFF_FFFF == pattern


# Frames --------------------------------------------------------------------------------------------


def test_a_leaf_function_makes_no_frame() -> None:
    assert [line.text for line in listing(compiled([make(ROW["mov64_imm"], 0, imm=7), EXIT]))] == [
        "li r8, 7", "mr r3, r8", "blr",
    ]  # fmt: skip


@each_order
@pytest.mark.parametrize("calls", [False, True], ids=["leaf", "calls"])
@pytest.mark.parametrize("written", range(16), ids=lambda mask: "".join(f"r{6 + n}" for n in range(4) if mask >> n & 1))
def test_what_a_function_saves_comes_back(written: int, calls: bool, target: Target) -> None:
    """Byte swaps go through memory below sp, where a leaf function keeps what it saves: the two stay apart."""
    body = [make(ROW["mov64_imm"], 6 + n, imm=n) for n in range(4) if written >> n & 1]
    body += [make(ROW["mov64_imm"], 0, imm=0x1234)]
    body += [make(ROW["call_helper"], imm=7)] if calls else []
    body += [make(ROW["mov64_imm"], 0, imm=0x1234), make(ROW["bswap64"], 0), make(ROW["bswap32"], 0)]
    image = compiled([*body, EXIT], target)
    assert any(line.text.startswith("stdu") for line in listing(image)) == calls
    assert result(image) == 0
    assert result(compiled([*body[:-1], EXIT], target)) == 0x3412 << 48


# Branches at the edges of their reach --------------------------------------------------------------

TAKEN, MISSED = make(ROW["mov64_imm"], 0, imm=1), make(ROW["mov64_imm"], 0, imm=2)
ONE, TWO = make(ROW["mov64_imm"], 1, imm=1), make(ROW["mov64_imm"], 2, imm=2)
EXPECTED = {
    make(ROW["jlt64_reg"], 1, 2): 1, make(ROW["jge64_reg"], 1, 2): 2, make(ROW["jgt64_reg"], 2, 1): 1,
    make(ROW["jle64_reg"], 2, 1): 2, make(ROW["jne64_reg"], 1, 2): 1, make(ROW["jeq64_reg"], 1, 2): 2,
    make(ROW["jset64_imm"], 1, imm=1): 1, make(ROW["jset64_imm"], 1, imm=2): 2,
}  # fmt: skip


def forwards(branch: Insn, distance: int) -> tuple[list[Insn], int]:
    """A program that returns 1 if the branch is taken, else 2, and the branch's slot; a short bc goes `distance`."""
    between = [FILLER] * (distance // 4 - 3)
    return [ONE, TWO, branch.with_distance(len(between) + 2), *between, MISSED, make(ROW["ja"], off=1), TAKEN, EXIT], 2


def backwards(branch: Insn, distance: int) -> tuple[list[Insn], int]:
    """The same with the target before the branch, which takes one compare and a bc."""
    skipped = [TAKEN, *[FILLER] * (-distance // 4 - 3), make(ROW["ja"]).with_distance(2)]
    to_branch = make(ROW["gotol"]).with_distance(len(skipped))
    return [ONE, TWO, to_branch, *skipped, branch.with_distance(-len(skipped) - 1), MISSED, EXIT], 3 + len(skipped)


@pytest.mark.parametrize("branch", EXPECTED, ids=lambda branch: branch.row.name + str(branch.imm))
def test_branches_at_the_edges(branch: Insn) -> None:
    for place, distance, size in (
        (forwards, 0x7FFC, 4), (forwards, 0x8000, 8), (backwards, -0x8000, 4), (backwards, -0x8004, 8),
    ):  # fmt: skip
        insns, slot = place(branch, distance)
        image = compiled(insns)
        starts = image.starts
        assert starts[slot + 1] - starts[slot] == 4 + size
        assert starts[slot + 1 + insns[slot].distance] - (starts[slot] + 4) == distance + (size - 4) * (distance > 0)
        assert result(image) == EXPECTED[branch]


class Far(Power):
    """Power with nothing but its longest branches."""

    forms: ClassVar = {
        kind: (*(Form(form.size, 1, 0) for form in forms[:-1]), forms[-1]) for kind, forms in Power.forms.items()
    }


@each_order
def test_far_branches(target: Target) -> None:
    """addpcis, addi, mtctr: over distances that the low half of the sum carries from, and to helpers and functions."""
    body = [make(ROW["call_helper"], imm=7), make(ROW["call_local"], imm=6), make(ROW["jne64_imm"], 0, imm=5, off=1),
            make(ROW["ja"], off=1), make(ROW["exit"]), *[FILLER] * 9000, make(ROW["exit"])]  # fmt: skip
    back = [make(ROW["mov64_imm"], 0, imm=4), make(ROW["add64_imm"], 0, imm=1), *[FILLER] * 9000]
    callee = [*back, make(ROW["jlt64_imm"], 0, imm=5, off=-len(back)), make(ROW["exit"])]
    body[1] = make(ROW["call_local"], imm=len(body) - 2)
    prog = program([*body, *callee], order=target.order)
    unit = Unit((prog,))
    image = Far(target, front(unit, prog), target.features).compile()
    texts = [line.text.split()[0] for line in listing(image)]
    assert texts.count("bctr") == 4  # the jump to the one epilogue is among them
    assert texts.count("bctrl") == 2
    assert len(image.entries) == 2 * STUB_SIZE
    assert result(image) == 5


def test_far_branches_need_addpcis() -> None:
    prog = program([make(ROW["ja"], off=0), EXIT], order="big")
    with pytest.raises(Refused, match="addpcis"):
        Far(BIG, front(Unit((prog,)), prog), ISA_2_06).compile()
