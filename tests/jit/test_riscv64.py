"""What only RISC-V has: numbers by lui and addi, 2-byte instructions, cuts to 32 bits, branches in four lengths."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bpf.isa import ROW, ROWS, Insn, Kind, Row, make
from bpf.plan import Unit
from bpf.program import Map, program
from bpf.text import assemble
from emu.guest import Guest
from emu.unicorn import Registers, unicorn
from engines.base import Options
from engines.registry import ENGINES
from jit.encoding import Unencodable
from jit.image import Image
from jit.listing import decode, listing
from jit.ops import AX, NONE, Front, Op, OpFunction, front
from jit.pipeline import compile_front, compile_program
from jit.registry import TARGETS
from jit.riscv64 import encode
from jit.riscv64.constants import li, split
from jit.riscv64.lower import RiscV
from tests.jit.judges import disassemble
from vm.outcome import difference
from vm.world import Input, Limits, World

RISCV64 = TARGETS["riscv64"]
PLAIN: frozenset[str] = frozenset()  # no extension
BOTH = pytest.mark.parametrize("features", [RISCV64.features, PLAIN], ids=["compressed", "plain"])
EXIT = make(ROW["exit"])
M64 = (1 << 64) - 1

EDGES = (
    *(0, 1, 2, 31, 32, 63, 0x7F, 0x80, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 32, 0xDEAD_BEEF << 32),
    *(0xCAFE_F00D_8000_0000, 0xAAAA_AAAA_FFFF_FFFF, (1 << 63) - 1, 1 << 63, M64 - 1, M64),
)
IMMEDIATES = (
    *(0, 1, -1, 2, -2, 3, 7, 8, 31, 32, 64, 255, 0x7FF, 0x800, 0x801, -0x7FF, -0x800, -0x801, 4094, 4095, 4096),
    *(-4096, -4097, 0xFFFF, 0x1_0000, -0x1_0000, 0x5555_5000, 0x7FFF_F7FF, 0x7FFF_F800, 0x7FFF_FFFF),
    *(-(1 << 31), 1 - (1 << 31), 0x4000_0000, -0x4000_0000, 0x1234_5678, -0x1234_5678),
)


def slots(*insns: Insn) -> list[Insn | None]:
    """Instructions by slot."""
    return [slot for insn in insns for slot in ([insn, None] if insn.slots == 2 else [insn])]


def image_of(source: str, features: frozenset[str] | None = None) -> Image:
    """The image of a program given as text, `; ` between instructions."""
    prog = assemble(source.replace("; ", "\n"))
    return compile_program(Unit((prog,)), prog, RISCV64, features=features)


def code_of(source: str, pc: int, features: frozenset[str] | None = None) -> list[str]:
    """The native instructions of one slot."""
    return [line.text for line in listing(image_of(source, features)) if line.pc == pc]


# Numbers ---------------------------------------------------------------------------------------------

NUMBERS = st.one_of(
    st.integers(0, M64),
    st.integers(-(1 << 31), 1 << 32).map(lambda n: n & M64),
    st.tuples(st.integers(0, 0xFFFF_FFFF), st.integers(0, 63)).map(lambda pair: pair[0] << pair[1] & M64),
    st.tuples(st.integers(0, 63), st.integers(-0x1000, 0x1000)).map(lambda pair: (1 << pair[0]) + pair[1] & M64),
    st.integers(0, 0xFFFF_FFFF).map(lambda n: n << 32 | n),
)


@given(st.lists(NUMBERS, min_size=10, max_size=10))
@example([0x7FFF_F7FF, 0x7FFF_F800, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0xFFFF_F7FF, 0xFFFF_F800, 1 << 63, M64, 0])
@example([M64 - 0x8000_0000, M64 - 0x8000_0800, (1 << 63) - 1, (1 << 63) + 0x7FF, 0x7FFF_FFFF << 32, 0x7FFF_F800 << 32,
          0xFFFF << 16, 0xFFFF << 48, 0x1234_5678_9ABC_DEF0, 0x7FFF_FFFF_FFFF_F800])  # fmt: skip
def test_numbers_arrive(numbers: list[int]) -> None:
    prog = program(slots(*(make(ROW["lddw_imm"], r, imm=number) for r, number in enumerate(numbers)), EXIT))
    prepared = ENGINES["riscv64"].prepare(Unit((prog,)), Options(observe=True))
    assert prepared.run(Input(), World(), Limits()).registers == tuple(numbers)


@given(NUMBERS)
def test_numbers_take_six_instructions_at_most(number: int) -> None:
    assert len(li(encode.A0, number, encode.T1)) <= 6


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, 1), (2047, 1), (-2048, 1), (0x1000, 1), (-0x8000_0000, 1), (2048, 2), (-2049, 2), (0x7FFF_F7FF, 2),
        (0x7FFF_F800, 2), (0x7FFF_FFFF, 2), (0x8000_0000, 2), (0xFFFF_FFFF, 2), (0xFFFF_0000, 2), (1 << 63, 2),
        ((1 << 63) - 1, 2), (0xFFFF_C900 << 32, 2), (0xFFFF_F000, 3), (0x23_8001_0000, 3), (0xABCD_1234, 3),
        (0x1234_5678 << 32, 3), (0x0000_0001_0000_0001, 3), (0x1234_5678_1234_5678, 4), (0xABCD_1235, 4),
        (0x1234_5678_9ABC_DEF0, 6),
    ],
)  # fmt: skip
def test_numbers_are_short(number: int, words: int) -> None:
    assert len(li(encode.A0, number, encode.T1)) == words


@given(st.integers(-(1 << 31) - 2048, (1 << 31) - 2049))
@example(0x7FFF_F7FF)
@example(-0x8000_0800)
def test_what_auipc_and_jalr_reach_splits(distance: int) -> None:
    high, low = split(distance)
    assert (high << 12) + low == distance
    encode.auipc(encode.T1, high)
    encode.jalr(encode.ZERO, encode.T1, low)


# Two-byte instructions -------------------------------------------------------------------------------

EXPANSIONS = {  # Capstone's name of a 2-byte instruction -> the 4-byte texts it may stand for
    "c.li": ("addi {0}, zero, {1}", "addiw {0}, zero, {1}"),
    "c.mv": ("addi {0}, {1}, 0", "add {0}, zero, {1}", "add {0}, {1}, zero"),
    "c.addi": ("addi {0}, {0}, {1}",),
    "c.addi16sp": ("addi {0}, {0}, {1}",),
    "c.addi4spn": ("addi {0}, {1}, {2}",),
    "c.addiw": ("addiw {0}, {0}, {1}",),
    "c.lui": ("lui {0}, {1}",),
    "c.add": ("add {0}, {0}, {1}", "add {0}, {1}, {0}"),
    **{f"c.{name}": (f"{name} {{0}}, {{0}}, {{1}}",) for name in ("slli", "srli", "srai", "andi", "sub", "subw")},
    **{f"c.{n}": (f"{n} {{0}}, {{0}}, {{1}}", f"{n} {{0}}, {{1}}, {{0}}") for n in ("and", "or", "xor", "addw")},
    **{f"c.{name}": (f"{name} {{0}}, {{1}}",) for name in ("lw", "ld", "sw", "sd")},
    **{f"c.{name}sp": (f"{name} {{0}}, {{1}}",) for name in ("lw", "ld", "sw", "sd")},
    "c.jr": ("jalr zero, 0({0})",),
    "c.jalr": ("jalr ra, 0({0})",),
    "c.j": ("jal zero, {0}",),
    "c.beqz": ("beq {0}, zero, {1}",),
    "c.bnez": ("bne {0}, zero, {1}",),
}
NAMES = (
    *("zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", *(f"a{n}" for n in range(8))),
    *(*(f"s{n}" for n in range(2, 12)), "t3", "t4", "t5", "t6"),
)
REGISTER = st.one_of(st.sampled_from([0, 1, 2, 7, 8, 10, 15, 16]), st.integers(0, 31))
IMMEDIATE, SHIFTS = ("addi", "addiw", "andi", "ori"), ("slli", "srli", "srai", "slliw")
THREE, MEMORY = ("add", "sub", "xor", "or", "and", "addw", "subw", "mul"), ("lw", "ld", "lwu", "sw", "sd", "sb")


@st.composite
def words(draw: st.DrawFn) -> tuple[int, str]:
    """An instruction word, its destination often a source too, and its text without aliases."""
    name = draw(st.sampled_from([*IMMEDIATE, *SHIFTS, *THREE, *MEMORY, "lui", "jal", "jalr", "branch"]))
    rd, other, edge = draw(REGISTER), draw(REGISTER), draw(st.sampled_from([0, 32, 64, 128, 256, 512, 1024]))
    rs1 = draw(st.sampled_from([rd, other, encode.SP]))
    imm = draw(st.sampled_from([1, -1])) * (edge + draw(st.integers(-8, 8)))
    d, a = NAMES[rd], NAMES[rs1]
    if name in SHIFTS:
        count = draw(st.integers(0, 31 if name == "slliw" else 63))
        return getattr(encode, name)(rd, rs1, count), f"{name} {d}, {a}, {count}"
    if name == "lui":
        return encode.lui(rd, imm), f"lui {d}, {imm & 0xFFFFF}"
    if name == "jal":
        return encode.jal(rd, 2 * imm), f"jal {d}, {2 * imm}"
    if name == "branch":
        condition, second = draw(st.integers(0, 1)), draw(st.sampled_from([0, other]))
        text = f"{'bne' if condition else 'beq'} {a}, {NAMES[second]}, {2 * imm}"
        return encode.branch(condition, rs1, second, 2 * imm), text
    if name == "jalr":
        return encode.jalr(rd, rs1, imm), f"jalr {d}, {imm}({a})"
    if name in MEMORY:
        return getattr(encode, name)(rd, rs1, imm), f"{name} {d}, {imm}({a})"
    if name in IMMEDIATE:
        return getattr(encode, name)(rd, rs1, imm), f"{name} {d}, {a}, {imm}"
    function = getattr(encode, name + "_" if name in ("or", "and") else name)
    rs1, rs2 = draw(st.permutations([rs1, other]))
    return function(rd, rs1, rs2), f"{name} {d}, {NAMES[rs1]}, {NAMES[rs2]}"


@given(words())
def test_a_short_form_stands_for_its_word(drawn: tuple[int, str]) -> None:
    word, text = drawn
    code = encode.compress(word)
    if len(code) == 4:
        assert code == encode.wide(word)
        return
    ((size, name, operands),) = disassemble(RISCV64, code)
    assert size == 2
    decimal = re.findall(r"-?\w+(?:\(\w+\))?", re.sub(r"0x[0-9a-f]+", lambda found: str(int(found[0], 16)), operands))
    assert text in [expansion.format(*decimal) for expansion in EXPANSIONS[name]]


def test_without_the_extension_every_instruction_has_four_bytes() -> None:
    image = image_of("r0 = 0; if r1 == 0 goto +1; r1 += r2; call 7; call pc+1; exit; r6 = 1; r0 = r6; exit", PLAIN)
    assert {len(line.code) for line in listing(image)} == {4}
    assert [len(code) for _, code, _ in decode(RISCV64, image.entries[:4], image.entry_base)] == [4]


# The code of single instructions ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "texts"),
    [
        ("r1 += 5", ["c.addi a0, 5"]),
        ("r1 += -4096", ["addi a0, a0, -0x800", "addi a0, a0, -0x800"]),
        ("r1 += 4094", ["addi a0, a0, 0x7ff", "addi a0, a0, 0x7ff"]),
        ("r1 += 4095", ["c.lui t1, 1", "c.addiw t1, -1", "c.add a0, t1"]),
        ("r1 -= -2147483648", ["lui t1, 0x80000", "sub a0, a0, t1"]),
        ("w1 &= 255", ["andi a0, a0, 0xff"]),
        ("r1 &= 65535", ["c.slli a0, 0x30", "c.srli a0, 0x30"]),
        ("w1 &= -65536", ["srliw a0, a0, 0x10", "c.slli a0, 0x10"]),
        ("w1 &= -1", ["c.slli a0, 0x20", "c.srli a0, 0x20"]),
        ("w1 |= 0", ["ori a0, a0, 0", "c.slli a0, 0x20", "c.srli a0, 0x20"]),
        ("w1 <<= 3", ["c.slli a0, 0x23", "c.srli a0, 0x20"]),
        ("w1 >>= 3", ["srliw a0, a0, 3"]),
        ("w1 >>= 0", ["c.slli a0, 0x20", "c.srli a0, 0x20"]),
        ("w1 *= 8", ["c.slli a0, 0x23", "c.srli a0, 0x20"]),
        ("r1 /= 8", ["c.srli a0, 3"]),
        ("w1 /= 10", ["c.li t1, 0xa", "divuw a0, a0, t1"]),
        ("w1 %= 10", ["c.li t1, 0xa", "remuw a0, a0, t1"]),
        ("r1 %= 4096", ["c.slli a0, 0x34", "c.srli a0, 0x34"]),
        ("r1 s/= r2", ["seqz t1, a1", "div a0, a0, a1", "c.add a0, t1"]),
        ("r1 s%= r2", ["rem a0, a0, a1"]),
        ("r1 = (s32)r2", ["sext.w a0, a1"]),
        ("w1 = (s8)w2", ["slli a0, a1, 0x38", "c.srai a0, 0x18", "c.srli a0, 0x20"]),
        (
            "r1 = be16 r1",
            ["slli t1, a0, 0x38", "srli t1, t1, 0x30", "c.slli a0, 0x30", "c.srli a0, 0x38", "c.add a0, t1"],
        ),
        ("*(u8 *)(r1 + 0) = 255", ["c.li t2, -1", "sb t2, 0(a0)"]),
        ("*(u64 *)(r1 + 8) = 0", ["sd zero, 8(a0)"]),
        ("r2 = *(u64 *)(r1 + 4094)", ["addi t1, a0, 0x7ff", "ld a1, 0x7ff(t1)"]),
        ("r2 = *(u64 *)(r1 - 4097)", ["c.lui t1, 0xfffff", "c.add t1, a0", "ld a1, -1(t1)"]),
        ("lock *(u64 *)(r1 + 0) += r2", ["amoadd.d zero, a1, (a0)"]),
        (
            "w2 = atomic_fetch_or((u32 *)(r1 + 8), w2)",
            ["addi t1, a0, 8", "amoor.w.aqrl a1, a1, (t1)", "c.slli a1, 0x20", "c.srli a1, 0x20"],
        ),
        (
            "r0 = atomic64_cmpxchg((u64 *)(r1 + 0), r0, r2)",
            ["lr.d.aq t2, (a0)", "bne t2, a5, 0xc", "sc.d.aqrl t3, a1, (a0)", "bnez t3, -0xc", "c.mv a5, t2"],
        ),
        ("if r1 == 7 goto +0", ["c.li t2, 7", "beq a0, t2, 4"]),
        ("if r1 > 0 goto +0", ["c.bnez a0, 2"]),
        ("if r6 s> -1 goto +0", ["bgez s1, 4"]),
        ("if w1 == 5 goto +0", ["addiw t1, a0, -5", "beqz t1, 4"]),
        ("if w1 != w2 goto +0", ["subw t1, a0, a1", "bnez t1, 4"]),
        ("if w1 < w2 goto +0", ["sext.w t1, a0", "sext.w t2, a1", "bltu t1, t2, 4"]),
        ("if r1 & 4096 goto +0", ["slli t1, a0, 0x33", "bltz t1, 4"]),
        ("if w1 & -1 goto +0", ["slli t1, a0, 0x20", "bnez t1, 4"]),
        ("if w1 & -16 goto +0", ["srliw t1, a0, 4", "bnez t1, 4"]),
        ("if w1 & w2 goto +0", ["and t1, a0, a1", "c.addiw t1, 0", "bnez t1, 4"]),
    ],
)
def test_the_code_of_one_instruction(source: str, texts: list[str]) -> None:
    assert code_of(f"r0 = 0; {source}; exit", 1) == texts


@pytest.mark.parametrize(
    ("body", "frame", "saved"),
    [
        ("r0 = 0; r7 = 1", 16, ["s2"]),
        ("r6 = 1; call 7", 16, ["ra", "s1"]),
        ("r6 = 1; r7 = 2; call 7", 32, ["ra", "s1", "s2"]),
        ("r0 = 0; r6 = 1; r7 = 2; r8 = 3; r9 = 4", 32, ["s1", "s2", "s3", "s4"]),
    ],
)
def test_a_function_saves_what_it_writes(body: str, frame: int, saved: list[str]) -> None:
    texts = [line.text for line in listing(image_of(f"{body}; exit")) if "sp" in line.text]
    adjust = "c.addi16sp" if frame > 31 else "c.addi"
    places = [f"{register}, {hex(8 * n) if n > 1 else 8 * n}(sp)" for n, register in enumerate(saved)]
    stores, loads = [f"c.sdsp {place}" for place in places], [f"c.ldsp {place}" for place in places]
    assert texts == [f"c.addi sp, {-frame:#x}", *stores, *loads, f"{adjust} sp, {frame:#x}"]


def test_a_function_saves_nothing_without_need() -> None:
    assert [line.text for line in listing(image_of("r0 = 0; r1 = 0; exit"))][-2:] == ["c.mv a0, a5", "c.jr ra"]
    assert not [line.text for line in listing(image_of("r0 = 0; r1 = 0; exit")) if "sp" in line.text]


# Everything again, with and without 2-byte instructions ----------------------------------------------


MEMORY_KINDS = (Kind.LOAD, Kind.STORE, Kind.ATOMIC)


def cases(row: Row, random: Random) -> Iterator[Insn]:
    """The row with register pairs and immediates."""
    for dst, src in ((1, 2), (0, 1), (6, 0), (3, 3), (9, 7)):
        if "src" in row.fields:
            yield make(row, dst, src, off=1)
        else:
            yield from (make(row, dst, off=1, imm=imm) for imm in random.sample(IMMEDIATES, 8))


@BOTH
@pytest.mark.parametrize("row", [row for row in ROWS if row.kind in (Kind.ALU, Kind.BRANCH)], ids=lambda row: row.name)
def test_alu_and_branches_compute_what_the_table_says(row: Row, features: frozenset[str]) -> None:
    random = Random(row.name)
    for insn in cases(row, random):
        after = [make(ROW["mov64_imm"], 8, imm=1)] if row.kind is Kind.BRANCH else []
        unit = Unit((program(slots(make(ROW["lddw_imm"], 0, imm=random.choice(EDGES)), insn, *after, EXIT)),))
        options = Options(observe=True, features=features)
        engines = [ENGINES[name].prepare(unit, options) for name in ("interpreter", "riscv64")]
        inputs = [Input(registers={r: random.choice(EDGES) for r in range(1, 10)}) for _ in range(16)]
        for entry in inputs:
            expected, got = (engine.run(entry, World(), Limits()) for engine in engines)
            assert difference(expected, got).what == "", (insn, entry.registers)


@BOTH
@pytest.mark.parametrize("row", [row for row in ROWS if row.kind in MEMORY_KINDS], ids=lambda row: row.name)
def test_memory_at_every_kind_of_offset(row: Row, features: frozenset[str]) -> None:
    random = Random(row.name)
    data = Map("data", value_size=80_000, initial=random.randbytes(80_000))
    offsets = (0, 248, 256, 2040, 2048, 4088, 4096, -8, -2048, -2056, -4096, -4104, 32_760, -32_768)
    pairs = ((1, 2), (0, 1), (1, 0), (0, 0), (3, 3), (6, 9), (7, 10))
    for (base, other), off, equal in product(pairs, offsets, (False, True)):
        if (row.kind is Kind.LOAD or row.writes_src) and other == 10:
            continue
        dst, src = (other, base) if row.kind is Kind.LOAD else (base, other)
        start = [make(ROW["lddw_imm"], 0, imm=random.choice(EDGES))]
        start.append(make(ROW["lddw_map_idx_value"], base, imm=40_000 << 32))
        if equal and base != 0:  # R0 is what a cmpxchg finds
            start.append(make(ROW[f"ldx{row.width}"], 0, base, off))
        if not equal and not row.aligned:
            off = max(off - 1, -32_768)
        imm = random.choice(IMMEDIATES) if "imm" in row.fields else 0
        unit = Unit((program(slots(*start, make(row, dst, src, off, imm), EXIT), maps=[data]),))
        options = Options(observe=True, features=features)
        entry = Input(registers={r: random.choice(EDGES) for r in range(1, 10)})
        expected, got = (
            ENGINES[name].prepare(unit, options).run(entry, World(), Limits()) for name in ("interpreter", "riscv64")
        )
        assert expected.status == "done"
        assert difference(expected, got).what == "", (base, other, off)


@BOTH
@pytest.mark.parametrize("row", [row for row in ROWS if row.kind is Kind.ALU], ids=lambda row: row.name)
def test_three_addresses(row: Row, features: frozenset[str]) -> None:
    """dst, a and b equal or not in every way; nothing but dst changes, AX neither."""
    random = Random(row.name)
    prog = program([make(ROW["mov64_imm"]), EXIT])
    unit = Unit((prog,))
    mark = 0x1122_3344_5566_7788
    for dst, a, b in product((0, 1, 6), (0, 1, 6, 7), (0, 1, 6, 8)):
        values = [random.choice(EDGES) for _ in range(10)]
        imm = random.choice(IMMEDIATES)
        if imm == 0 and row.op in ("div", "sdiv", "mod", "smod"):
            continue
        by_imm, one = "imm" in row.fields, row.op in ("neg", "to_le", "to_be", "bswap")
        copies = row.op in ("mov", "movsx")
        op = Op(
            row.op, 0, row.width, dst=dst, a=NONE if copies else a, b=NONE if by_imm or one else b,
            imm=imm if by_imm else 0, bits=row.bits,
        )  # fmt: skip
        source = imm & M64 if by_imm else values[b]
        values_after = [*values]
        values_after[dst] = row.effect_in("little")(values[a], source)
        # R8 tells whether AX is what it was; then AX is the address of the exit record.
        ops = [Op("const", 0, dst=register, imm=value) for register, value in enumerate(values)]
        ops += [Op("const", 0, dst=AX, imm=mark), op, Op("sub", 0, dst=AX, a=AX, b=9)]
        ops += [Op("add", 0, dst=8, a=8, b=AX), Op("const", 1, dst=AX, imm=unit.plan.harness)]
        ops += [Op("store", 1, a=AX, b=register, off=8 * register) for register in range(10)] + [Op("exit", 1)]
        written = 0
        for each in ops:
            written |= each.writes()
        made = Front(unit, prog, ops, (OpFunction("f", 0, len(ops), written, calls=False),))
        image = compile_front(made, RISCV64, features=features)
        outcome = Guest(unit, image, observe=True).run(Input(), World(), Limits())
        values_after[8] = values_after[8] + mark - values_after[9] & M64
        assert outcome.registers == tuple(values_after), op


# Branches at the edges of their reach ----------------------------------------------------------------

HERE = 0x1_0000_0800
CONDITIONS = {  # code -> operands for which it is taken, and not
    encode.BEQ: ((5, 5), (5, 6)), encode.BNE: ((5, 6), (5, 5)),
    encode.BLT: ((M64, 0), (0, M64)), encode.BGE: ((0, M64), (M64, 0)),
    encode.BLTU: ((0, M64), (M64, 0)), encode.BGEU: ((M64, 0), (0, M64)),
}  # fmt: skip


def backend() -> RiscV:
    """A backend, to encode fixups with."""
    prog = program([make(ROW["mov64_imm"]), EXIT])
    return RiscV(RISCV64, front(Unit((prog,)), prog), RISCV64.features)


def run(code: bytes, stop: int, a0: int, a1: int) -> tuple[int, int]:
    """Run code at HERE, four instructions at most, until pc is `stop`: (pc, ra)."""
    machine = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV64)
    for page in {HERE & -4096, stop & -4096}:
        machine.mem_map(page, 4096)
    machine.mem_write(HERE, code)
    Registers(machine, RISCV64.emulation, ["a0", "a1"]).write([a0, a1])
    machine.emu_start(HERE, stop, count=4)
    pc, ra = Registers(machine, RISCV64.emulation, ["pc", "ra"]).read()
    return pc, ra


def operands(kind: str) -> list[tuple[int, ...]]:
    """Arguments of a kind of fixup: every condition; 2-byte branches compare with zero."""
    if kind == "branch":
        return [(condition, encode.A0, encode.A1) for condition in CONDITIONS]
    if kind == "c.branch":
        return [(condition, encode.A0, encode.ZERO) for condition in (encode.BEQ, encode.BNE)]
    return [()]


FORMS = [(kind, form) for kind, forms in RiscV.forms.items() for form in range(len(forms))]


@pytest.mark.parametrize(("kind", "form"), FORMS)
def test_every_form_goes_as_far_as_it_says(kind: str, form: int) -> None:
    size, low, high = (getattr(RiscV.forms[kind][form], name) for name in ("size", "low", "high"))
    for args, distance in product(operands(kind), (low, high, low + 2, high - 2, -2048, 2046)):
        if not low <= distance <= high:
            continue
        code = backend().encode_fixup(kind, args, form, distance)
        assert len(code) == size
        taken, missed = CONDITIONS[args[0]] if args else ((0, 0), None)
        if kind == "c.branch":
            taken, missed = ((0, 0), (5, 0)) if args[0] == encode.BEQ else ((5, 0), (0, 0))
        pc, ra = run(code, HERE + distance, *taken)
        assert pc == HERE + distance
        if kind == "call":
            assert ra == HERE + size
        if missed:
            assert run(code, HERE + size, *missed)[0] == HERE + size


@pytest.mark.parametrize("kind", RiscV.forms)
def test_no_form_goes_further(kind: str) -> None:
    for form, facts in enumerate(RiscV.forms[kind]):
        if facts.size == 2:
            continue
        for args, distance in product(operands(kind), (facts.low - 2, facts.high + 2)):
            with pytest.raises(Unencodable):
                backend().encode_fixup(kind, args, form, distance)


BRANCHES = {  # with R4 = 1: a branch, R3 for which it is taken, R3 for which it is not; 2- and 4-byte forms end at
    "zero": (make(ROW["jeq64_imm"], 3), 0, 1, (256, 4096)),
    "not zero": (make(ROW["jne64_imm"], 3), 1, 0, (256, 4096)),
    "less": (make(ROW["jslt64_reg"], 3, 4), M64, 1, (4096,)),
}
ONE, TWO = make(ROW["mov64_imm"], 0, imm=1), make(ROW["mov64_imm"], 0, imm=2)
GOTO = make(ROW["gotol"])


@BOTH
@pytest.mark.parametrize("name", BRANCHES)
@pytest.mark.parametrize("forwards", [True, False], ids=["forwards", "backwards"])
def test_branches_of_programs_reach(name: str, forwards: bool, features: frozenset[str]) -> None:
    branch, taken, missed, reaches = BRANCHES[name]
    sizes = set()
    filler = make(ROW["mov64_reg"], 4, 3)  # never run; 2 bytes, or 4
    for reach in reaches:
        around = reach // (2 if features else 4)
        for n in range(around - 8, around + 4):
            if forwards:  # missed: R0 = 2, then over the filler
                slot, insns = 0, [branch.with_distance(n + 2), TWO, GOTO.with_distance(n + 1), *[filler] * n, ONE, EXIT]
            else:
                slot = n + 3
                over = [ONE, GOTO.with_distance(n + 2), *[filler] * n]
                insns = [GOTO.with_distance(n + 2), *over, branch.with_distance(-n - 3), TWO, EXIT]
            prog = program(insns)
            unit = Unit((prog,))
            image = compile_program(unit, prog, RISCV64, features=features)
            sizes.add(image.starts[slot + 1] - image.starts[slot])
            guest = Guest(unit, image, observe=False)
            for value, result in ((taken, 1), (missed, 2)):
                outcome = guest.run(Input(registers={3: value, 4: 1}), World(), Limits())
                assert (outcome.status, outcome.r0) == ("done", result)
    short = features and name != "less"
    assert sizes == ({2, 4, 6} if short else {4, 8})
