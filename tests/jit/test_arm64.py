"""What only arm64 has: its immediates, its frames, atomics without LSE, and branches at the edges of their reach."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bpf.isa import ROW, ROWS, Insn, Kind, Row, make
from bpf.plan import Unit
from bpf.program import program
from emu.guest import Guest
from engines.base import Options
from engines.registry import ENGINES
from jit.arm64 import encode
from jit.arm64.immediates import constant, is_bitmask, is_imm12, is_offset
from jit.encoding import Unencodable
from jit.image import Image
from jit.listing import listing
from jit.pipeline import compile_program
from jit.registry import TARGETS
from vm.outcome import difference
from vm.world import Input, Limits, World

ARM64 = TARGETS["arm64"]
PLAIN: frozenset[str] = frozenset()  # no extension
EXIT = make(ROW["exit"])
M64 = (1 << 64) - 1


def compiled(insns: list[Insn], features: frozenset[str] | None = None) -> Image:
    """The image of a program."""
    prog = program(insns)
    return compile_program(Unit((prog,)), prog, ARM64, features=features)


# Immediates ----------------------------------------------------------------------------------------


def decoded_bitmask(field: int) -> int | None:
    """What a 64-bit logical immediate's N:immr:imms stands for, as the manual decodes it; None where it is reserved."""
    n, immr, imms = field >> 12, field >> 6 & 0x3F, field & 0x3F
    length = (n << 6 | ~imms & 0x3F).bit_length() - 1
    if length < 1:
        return None
    size = 1 << length
    ones, rotation = (imms & size - 1) + 1, immr & size - 1
    if ones == size:
        return None
    run = (1 << ones) - 1
    element = (run >> rotation | run << (size - rotation)) & (1 << size) - 1
    return sum(element << at for at in range(0, 64, size))


def test_the_bitmasks_are_all_that_the_manual_decodes() -> None:
    numbers = {decoded_bitmask(field) for field in range(1 << 13)} - {None}
    assert set(encode.BITMASKS) == numbers
    assert all(decoded_bitmask(field) == number for number, field in encode.BITMASKS.items())
    assert len(numbers) == 5334


def held(words: tuple[int, ...]) -> int:
    """What x0 holds after movz, movn, movk and orr with the zero register."""
    value = 0
    for word in words:
        width, opcode, rest = 64 if word >> 31 else 32, word >> 23 & 0x3F, word >> 5
        assert word & 31 == 0
        if opcode == 0x24:  # orr
            number = decoded_bitmask(word >> 10 & 0x1FFF)
            assert number is not None
            assert (rest & 31, word >> 29 & 3) == (31, 1)
            value = number
        else:
            assert opcode == 0x25
            shift, imm = 16 * (rest >> 16 & 3), rest & 0xFFFF
            base = {0: M64, 2: 0, 3: value & ~(0xFFFF << shift)}[word >> 29 & 3]
            value = base ^ imm << shift
        value &= (1 << width) - 1
    return value


HALF = st.one_of(st.sampled_from([0, 0xFFFF, 1, 0x8000, 0x00FF, 0x5555]), st.integers(0, 0xFFFF))
NUMBERS = st.tuples(HALF, HALF, HALF, HALF).map(lambda halves: sum(half << 16 * n for n, half in enumerate(halves)))
MASKS = st.sampled_from(sorted(encode.BITMASKS))


@given(NUMBERS)
@example(0)
@example(M64)
@example(0xFFFF_FFFF)
@example(0xFFFF_0000)
def test_constants_hold_their_number(value: int) -> None:
    words = constant(value)
    halves = [value >> shift & 0xFFFF for shift in (0, 16, 32, 48)]
    assert held(words) == value
    assert len(words) <= max(1, 4 - max(halves.count(0), halves.count(0xFFFF)))


@given(MASKS, st.lists(st.tuples(st.integers(0, 3), st.integers(0, 0xFFFF)), max_size=2))
def test_constants_near_a_bitmask_are_short(mask: int, patches: list[tuple[int, int]]) -> None:
    value = mask
    for half, number in patches:
        value = value & ~(0xFFFF << 16 * half) | number << 16 * half
    words = constant(value)
    assert held(words) == value
    assert len(words) <= 1 + len(patches)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, 1), (0xFFFF, 1), (0x10000, 1), (M64, 1), (0xFFFF_FFFF, 1), (0x1234_FFFF, 1), (0xFFFF_1234, 1),
        (0xFFFF_0000, 1), (0x00FF_00FF, 1), (0x1234 << 48, 1), (M64 ^ 0x1234 << 32, 1), (0x5555_5555_5555_5555, 1),
        (0xFFFF_FFFF_8000_0000, 1), (0x1234_5678, 2), (M64 ^ 0x1234_5678, 2), (0x5555_1234_5555_5555, 2),
        (0x0000_FFFF_1234_FF00, 2), (0x5678_5555_1234_5555, 3), (0x1234_5678_9ABC, 3), (0x1234_5678_9ABC_DEF0, 4),
    ],
)  # fmt: skip
def test_constants_are_as_short_as_they_can_be(value: int, words: int) -> None:
    assert len(constant(value)) == words
    assert held(constant(value)) == value


@given(st.sampled_from([0, 1]), st.one_of(MASKS, NUMBERS))
@example(0, 0)
@example(0, 0xFFFF_FFFF)
@example(1, 0xFFFF_FFFF)
def test_a_bitmask_is_what_the_encoder_holds(w: int, number: int) -> None:
    value = number if w else number & 0xFFFF_FFFF
    try:
        encode.and_imm(w, 0, 0, value)
    except Unencodable:
        assert not is_bitmask(w, value)
    else:
        assert is_bitmask(w, value)


@given(st.one_of(st.integers(-0x2000, 0x2000), st.integers(0, 0x1001).map(lambda n: n << 12), st.integers()))
def test_an_imm12_is_what_the_encoder_holds(value: int) -> None:
    try:
        encode.add_imm(1, 0, 0, value)
    except Unencodable:
        assert not is_imm12(value)
    else:
        assert is_imm12(value)


@given(st.sampled_from([8, 16, 32, 64]), st.integers(-0x8000, 0x8000))
def test_an_offset_is_what_the_encoder_holds(bits: int, offset: int) -> None:
    try:
        encode.ldr(bits, 0, 0, offset)
    except Unencodable:
        assert not is_offset(bits, offset)
    else:
        assert is_offset(bits, offset)


# Short forms ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("insn", "texts"),
    [
        (make(ROW["add64_imm"], 1, imm=5), ["add x0, x0, #5"]),
        (make(ROW["add64_imm"], 1, imm=-5), ["sub x0, x0, #5"]),
        (make(ROW["sub32_imm"], 1, imm=-0x5000), ["add w0, w0, #5, lsl #12"]),
        (make(ROW["add64_imm"], 1, imm=0x12345), ["add x0, x0, #0x12, lsl #12", "add x0, x0, #0x345"]),
        (make(ROW["add64_imm"], 1, imm=-0x1000001), ["mov x10, #-0x1000001", "add x0, x0, x10"]),
        (make(ROW["and64_imm"], 1, imm=-256), ["and x0, x0, #0xffffffffffffff00"]),
        (make(ROW["and32_imm"], 1, imm=0), ["and w0, w0, wzr"]),
        (make(ROW["xor64_imm"], 1, imm=-1), ["eon x0, x0, xzr"]),
        (make(ROW["or32_imm"], 1, imm=0x1234), ["mov w10, #0x1234", "orr w0, w0, w10"]),
        (make(ROW["mul64_imm"], 1, imm=0), ["mul x0, x0, xzr"]),
        (make(ROW["st64"], 1, off=8), ["str xzr, [x0, #8]"]),
        (make(ROW["stx64"], 1, 2, 257), ["mov w11, #0x101", "str x1, [x0, x11]"]),
        (make(ROW["atomic64_fetch_and"], 1, 2), ["mvn x11, x1", "ldclral x11, x1, [x0]"]),
        (make(ROW["atomic32_and"], 1, 2), ["mvn w11, w1", "stclr w11, [x0]"]),
        (make(ROW["atomic64_xchg"], 1, 2, -8), ["sub x10, x0, #8", "swpal x1, x1, [x10]"]),
    ],
)  # fmt: skip
def test_the_code_of_one_instruction(insn: Insn, texts: list[str]) -> None:
    image = compiled([make(ROW["mov64_imm"], 0), insn, EXIT])
    assert [line.text for line in listing(image) if line.pc == 1] == texts


@pytest.mark.parametrize(
    ("insn", "mnemonics"),
    [
        (make(ROW["jeq64_imm"], 1), ["cbz"]),
        (make(ROW["jgt32_imm"], 1), ["cbnz"]),
        (make(ROW["jlt64_imm"], 1, imm=1), ["cbz"]),
        (make(ROW["jset32_imm"], 1, imm=-1), ["cbnz"]),
        (make(ROW["jset32_imm"], 1, imm=-(1 << 31)), ["tbnz"]),
        (make(ROW["jset64_imm"], 1, imm=-(1 << 31)), ["tst", "b.ne"]),
        (make(ROW["jslt64_imm"], 1), ["tbnz"]),
        (make(ROW["jsgt32_imm"], 1, imm=-1), ["tbz"]),
        (make(ROW["jlt64_imm"], 1, imm=-1), ["cmn", "b.lo"]),
        (make(ROW["jset64_imm"], 1), ["tst", "b.ne"]),
        (make(ROW["jeq64_imm"], 1, imm=0x12345), ["mov", "movk", "cmp", "b.eq"]),
    ],
)
def test_the_code_of_a_branch(insn: Insn, mnemonics: list[str]) -> None:
    image = compiled([make(ROW["mov64_imm"], 0), insn, EXIT])
    assert [line.text.split()[0] for line in listing(image) if line.pc == 1] == mnemonics


@pytest.mark.parametrize(
    ("written", "calls", "saves", "restores"),
    [
        ([], False, [], []),
        ([6], False, ["str x19, [sp, #-0x10]!"], ["ldr x19, [sp], #0x10"]),
        ([6, 9], False, ["stp x19, x22, [sp, #-0x10]!"], ["ldp x19, x22, [sp], #0x10"]),
        (
            [6, 7, 8, 9], True,
            ["stp x19, x20, [sp, #-0x30]!", "stp x21, x22, [sp, #0x10]", "str x30, [sp, #0x20]"],
            ["ldr x30, [sp, #0x20]", "ldp x21, x22, [sp, #0x10]", "ldp x19, x20, [sp], #0x30"],
        ),
    ],
)  # fmt: skip
def test_a_function_saves_what_it_writes(
    written: list[int], calls: bool, saves: list[str], restores: list[str]
) -> None:
    body = [make(ROW["mov64_imm"], register) for register in (0, *written)]
    image = compiled([*body, *([make(ROW["call_helper"], imm=7)] if calls else []), EXIT])
    texts = [line.text for line in listing(image)]
    assert texts[: len(saves)] == saves
    assert texts[-2 - len(restores) :] == [*restores, "mov x0, x7", "ret"]


# Atomics without LSE -------------------------------------------------------------------------------

ATOMICS = [row for row in ROWS if row.kind is Kind.ATOMIC]


@pytest.mark.parametrize("features", [PLAIN, ARM64.features], ids=["loops", "LSE"])
@pytest.mark.parametrize("row", ATOMICS, ids=[row.name for row in ATOMICS])
@pytest.mark.parametrize(("off", "src"), [(0, 2), (0, 1), (-8, 0), (-4104, 6)])
def test_atomics_with_and_without_lse(row: Row, features: frozenset[str], off: int, src: int) -> None:
    """On the word at R1 + off, once when R0 is what it holds and once when it is not; src may be R0 or R1 itself."""
    old, data = 0x8182_8384_8586_8788, 0x7172_7374_F5F6_F7F8
    numbers = [
        slot for r, value in ((0, old), (3, old), (src, data)) for slot in (make(ROW["lddw_imm"], r, imm=value), None)
    ]
    again = make(ROW["add64_imm"], 0, imm=1)
    place = [make(ROW["mov64_reg"], 1, 10), make(ROW["add64_imm"], 1, imm=-8 - off), make(ROW["stx64"], 10, 3, -8)]
    prog = program([*numbers, *place, make(row, 1, src, off), again, *place, make(row, 1, src, off), EXIT])
    unit = Unit((prog,))
    options = Options(observe=True, features=features)
    expected, got = (
        ENGINES[name].prepare(unit, options).run(Input(), World(), Limits()) for name in ("interpreter", "arm64")
    )
    assert expected.status == "done"
    assert difference(expected, got).what == ""
    used = {line.text.split()[0] for line in listing(compile_program(unit, prog, ARM64, features=features))}
    assert ("ldxr" in used) == (features == PLAIN)
    assert ("dmb" in used) == (features == PLAIN and row.fetch)


# Branches at the edges of their reach --------------------------------------------------------------

BRANCHES = {  # with R4 = 1; R3 for which it is taken, and not; bytes before the branch proper; reach of the short form
    "cond": (make(ROW["jge64_reg"], 3, 4), 1, 0, 4, 1 << 20),
    "cbz": (make(ROW["jeq64_imm"], 3), 0, 1 << 63, 0, 1 << 20),
    "tbnz": (make(ROW["jset64_imm"], 3, imm=1), 1, 2, 0, 1 << 15),
    "tbz": (make(ROW["jsge32_imm"], 3), 1 << 63, 1 << 31, 0, 1 << 15),
}
TAKEN, MISSED = make(ROW["mov64_imm"], 0, imm=1), make(ROW["mov64_imm"], 0, imm=2)  # four bytes each
GOTO = make(ROW["gotol"])
LONG, SHORT = make(ROW["atomic64_cmpxchg"], 10, 1, -4104), make(ROW["mov64_reg"], 4, 3)  # 36 bytes without LSE, and 4


def filler(size: int) -> list[Insn]:
    """Instructions of `size` bytes in all, never run."""
    return [LONG] * (size // 36) + [SHORT] * (size % 36 // 4)


def forwards(branch: Insn, distance: int) -> tuple[list[Insn], int]:
    """A program that returns 1 if the branch is taken, else 2, and the branch's slot.

    distance: bytes to the target from the branch proper, if that is short.
    """
    between = filler(distance - 12)
    n = len(between)
    return [branch.with_distance(n + 2), MISSED, GOTO.with_distance(n + 1), *between, TAKEN, EXIT], 0


def backwards(branch: Insn, distance: int, before: int) -> tuple[list[Insn], int]:
    """The same with the target `-distance` bytes before the branch proper, `before` bytes of which are its own Op's."""
    between = filler(-distance - 8 - before)
    n = len(between)
    skipped = [TAKEN, GOTO.with_distance(n + 2), *between]
    return [GOTO.with_distance(n + 2), *skipped, branch.with_distance(-n - 3), MISSED, EXIT], n + 3


@pytest.mark.parametrize("name", BRANCHES)
def test_branches_at_the_edges(name: str) -> None:
    branch, taken, missed, before, reach = BRANCHES[name]

    def check(insns: list[Insn], slot: int, size: int) -> int:
        """Run a program whose branch must take `size` bytes; the branch's distance in bytes."""
        image = compiled(insns, PLAIN)
        starts = image.starts
        assert starts[slot + 1] - starts[slot] == before + size
        guest = Guest(Unit((image.program,)), image, observe=False)
        for value, result in ((taken, 1), (missed, 2)):
            outcome = guest.run(Input(registers={3: value, 4: 1}), World(), Limits())
            assert (outcome.status, outcome.r0) == ("done", result)
        return starts[slot + 1 + insns[slot].distance] - starts[slot] - before

    assert check(*forwards(branch, reach - 4), 4) == reach - 4
    assert check(*forwards(branch, reach), 8) == reach + 4
    assert check(*backwards(branch, -reach, before), 4) == -reach
    assert check(*backwards(branch, -reach - 4, before), 8) == -reach - 4
