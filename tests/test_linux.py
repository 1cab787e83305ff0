"""The rows of docs/linux.md: what crossbpf does with each statement, on the interpreter and on every target."""

from __future__ import annotations

from typing import Any

import pytest

from bpf.errors import (
    BadProgram,
    BadRegister,
    CrossbpfError,
    FallsOff,
    HalfWide,
    JumpIntoWide,
    JumpOutOfRange,
    Refused,
    ReservedField,
    UnknownOpcode,
)
from bpf.plan import PAGE, PLANS, POISON, Unit
from bpf.program import Map, Program, program
from bpf.spec.conventions import PACKET
from bpf.text import assemble
from engines import ENGINES, Options
from vm.outcome import Fault, Outcome, difference
from vm.world import Input, Limits, World

ENGINE_ORDERS = [(name, order) for name, engine in ENGINES.items() for order in sorted(engine.abilities.orders)]
each_engine = pytest.mark.parametrize(("engine", "order"), ENGINE_ORDERS)
MIN32, MIN64 = 1 << 31, 1 << 63
LIMITS = Limits(instructions=100_000, seconds=0.2, may_goto=100)


def run(engine: str, prog: Program, given: Input | None = None, plan: str = "high", **unit: Any) -> Outcome:
    """One run with observation."""
    bound = Unit((prog,), plan=PLANS[plan], **unit)
    return ENGINES[engine].prepare(bound, Options(observe=True)).run(given or Input(), World(), LIMITS)


def result(engine: str, order: str, text: str, memory: bytes = b"", packet: bytes = b"", **unit: Any) -> int:
    """R0 of a program that ends normally."""
    outcome = run(engine, assemble(text, order=order), Input(memory, packet=packet), **unit)
    assert outcome.status == "done", outcome
    return outcome.r0


def number(value: int) -> str:
    """A line that puts a 64-bit number in R0."""
    return f"r0 = 0x{value:x} ll"


@each_engine
@pytest.mark.parametrize(
    ("divide", "before", "after"),
    [
        ("r0 /= r1", MIN64 + 7, 0),
        ("w0 /= w1", MIN64 + 7, 0),
        ("r0 s/= r1", MIN64 + 7, 0),
        ("w0 s/= w1", MIN64 + 7, 0),
        ("r0 %= r1", MIN64 + 7, MIN64 + 7),
        ("w0 %= w1", MIN64 + 7, 7),
        ("r0 s%= r1", MIN64 + 7, MIN64 + 7),
        ("w0 s%= w1", MIN64 + 7, 7),
    ],
)
def test_division_by_zero(engine: str, order: str, divide: str, before: int, after: int) -> None:
    assert result(engine, order, f"{number(before)}; r1 = 0; {divide}; exit") == after
    constant = divide[:-2] + "0"
    assert result(engine, order, f"{number(before)}; {constant}; exit") == after


@each_engine
@pytest.mark.parametrize(
    ("divide", "before", "after"),
    [
        ("r0 s/= r1", MIN64, MIN64),
        ("r0 s%= r1", MIN64, 0),
        ("w0 s/= w1", MIN32, MIN32),
        ("w0 s%= w1", MIN32, 0),
    ],
)
def test_signed_overflow_of_a_division(engine: str, order: str, divide: str, before: int, after: int) -> None:
    assert result(engine, order, f"{number(before)}; r1 = -1; {divide}; exit") == after


@each_engine
@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 63, 64, 65, 1 << 40, (1 << 64) - 1])
def test_shift_counts_are_masked(engine: str, order: str, count: int) -> None:
    value = 0x8123_4567_89AB_CDEF
    start = f"{number(value)}; r1 = 0x{count:x} ll"
    assert result(engine, order, f"{start}; r0 >>= r1; exit") == value >> (count & 63)
    assert result(engine, order, f"{start}; w0 >>= w1; exit") == (value & 0xFFFF_FFFF) >> (count & 31)


@each_engine
@pytest.mark.parametrize("text", ["w0 += 0", "w0 = w0", "w0 ^= 0", "w0 <<= 0", "w0 = (s16)w0", "w0 /= 1"])
def test_32_bit_results_are_zero_extended(engine: str, order: str, text: str) -> None:
    assert result(engine, order, f"{number(0xFFFF_FFFF_0000_7FFF)}; {text}; exit") == 0x7FFF


@each_engine
def test_immediates_are_sign_extended(engine: str, order: str) -> None:
    assert result(engine, order, "r0 = -1; exit") == (1 << 64) - 1
    assert result(engine, order, "w0 = -1; exit") == (1 << 32) - 1
    assert result(engine, order, "r1 = -2; r0 = 1; if r1 == -2 goto out; r0 = 0; out: exit") == 1
    assert result(engine, order, f"r1 = 0x{0xFFFF_FFFE:x} ll; r0 = 1; if w1 == -2 goto out; r0 = 0; out: exit") == 1


@each_engine
@pytest.mark.parametrize(
    ("text", "little", "big"),
    [
        ("r0 = be16 r0", 0x0201, 0x0102),
        ("r0 = le32 r0", 0x7F80_0102, 0x0201_807F),
        ("r0 = be64 r0", 0x0201_807F_6655_4433, 0x3344_5566_7F80_0102),
        ("r0 = bswap16 r0", 0x0201, 0x0201),
        ("r0 = bswap64 r0", 0x0201_807F_6655_4433, 0x0201_807F_6655_4433),
    ],
)
def test_byte_order_conversions_cut(engine: str, order: str, text: str, little: int, big: int) -> None:
    expected = little if order == "little" else big
    assert result(engine, order, f"{number(0x3344_5566_7F80_0102)}; {text}; exit") == expected


@each_engine
def test_registers_after_a_helper_call(engine: str, order: str) -> None:
    for register in range(1, 6):
        assert result(engine, order, f"call 8; r0 = r{register}; exit") == POISON + register


@each_engine
def test_registers_after_a_local_call(engine: str, order: str) -> None:
    for register in range(1, 6):
        assert result(engine, order, f"call f; r0 = r{register}; exit; f: r0 = 0; exit") == POISON + register


@each_engine
def test_r6_to_r9_survive_a_local_call(engine: str, order: str) -> None:
    change = "; ".join(f"r{register} = 0" for register in range(6, 10))
    for register in range(6, 10):
        text = f"r{register} = 77; call f; r0 = r{register}; exit; f: {change}; r0 = 0; exit"
        assert result(engine, order, text) == 77


@each_engine
def test_r0_at_function_entry(engine: str, order: str) -> None:
    assert result(engine, order, "exit") == POISON
    assert result(engine, order, "r0 = 1; call f; exit; f: exit") == POISON


def chain(depth: int) -> str:
    """A program whose functions call each other `depth` frames deep; it returns how far R10 has moved."""
    middle = [f"f{level}: call f{level + 1}; exit" for level in range(1, depth - 1)]
    return "; ".join(["r1 = r10; call f1; exit", *middle, f"f{depth - 1}: r0 = r1; r0 -= r10; exit"])


@each_engine
def test_eight_frames_of_512_bytes(engine: str, order: str) -> None:
    assert result(engine, order, chain(8)) == 7 * 512
    with pytest.raises(Refused, match="more than 8 frames deep"):
        Unit((assemble(chain(9), order=order),))


def test_recursion_is_refused() -> None:
    with pytest.raises(Refused, match="calls itself"):
        Unit((assemble("call f; exit; f: r0 = 0; call f; exit"),))


def test_unknown_helpers_are_refused() -> None:
    with pytest.raises(Refused, match="unknown helper 9999"):
        Unit((assemble("call 9999; exit"),))
    with pytest.raises(Refused, match="insn 1: helper 159 bprm_opts_set is not implemented"):
        Unit((assemble("r1 = 0; call 159; exit"),))


@each_engine
def test_compare_and_exchange_of_32_bits(engine: str, order: str) -> None:
    start = f"r1 = 0x{0x89AB_CDEF:x} ll; *(u32 *)(r10 - 8) = r1; r2 = 5"
    swap = "w0 = atomic_cmpxchg((u32 *)(r10 - 8), w0, w2)"
    same = f"{start}; {number(0xFFFF_FFFF_89AB_CDEF)}; {swap}"
    other = f"{start}; {number(0xFFFF_FFFF_0000_0001)}; {swap}"
    for text in (same, other):  # the old value, zero-extended, whether it was equal or not
        assert result(engine, order, f"{text}; exit") == 0x89AB_CDEF
    assert result(engine, order, f"{same}; r0 = *(u32 *)(r10 - 8); exit") == 5
    assert result(engine, order, f"{other}; r0 = *(u32 *)(r10 - 8); exit") == 0x89AB_CDEF


@each_engine
def test_a_fetching_atomic_of_32_bits_zero_extends(engine: str, order: str) -> None:
    text = "r1 = -1; *(u64 *)(r10 - 8) = r1; r0 = -1; w0 = atomic_fetch_add((u32 *)(r10 - 8), w0); exit"
    assert result(engine, order, text) == 0xFFFF_FFFF


@each_engine
def test_misaligned_atomics_are_unspecified(engine: str, order: str) -> None:
    prog = assemble("r0 = 0; lock *(u64 *)(r10 - 12) += r0; exit", order=order)
    expected = run("interpreter", prog)
    assert expected.status == "unspecified"
    found = difference(expected, run(engine, prog))
    assert not found
    assert not found.decided


@each_engine
@pytest.mark.parametrize("bits", [8, 16, 32, 64])
def test_load_acquire_and_store_release(bits: int, engine: str, order: str) -> None:
    stores = f"r1 = -2; *(u64 *)(r10 - 8) = 0; store_release((u{bits} *)(r10 - 8), r1)"
    text = f"{stores}; r0 = load_acquire((u{bits} *)(r10 - 8))"
    assert result(engine, order, f"{text}; exit") == (1 << bits) - 2
    if bits > 8:
        misaligned = assemble(f"r0 = load_acquire((u{bits} *)(r10 - 9)); exit", order=order)
        assert not difference(run("interpreter", misaligned), run(engine, misaligned)).decided


@each_engine
def test_faults_have_the_granularity_of_pages(engine: str, order: str) -> None:
    memory = bytes(100)
    plan = PLANS["high"]
    inside = assemble(f"r0 = *(u8 *)(r1 + {PAGE - 1}); exit", order=order)
    assert run(engine, inside, Input(memory)).r0 == 0
    outside = assemble(f"r0 = *(u16 *)(r1 + {PAGE - 1}); exit", order=order)
    assert run(engine, outside, Input(memory)).fault == Fault("read", 0, 0, plan.memory + PAGE)
    behind = assemble("r0 = *(u8 *)(r1 + 100); exit", order=order)
    assert run(engine, behind, Input(memory), "fence").fault == Fault("read", 0, 0, PLANS["fence"].memory + PAGE)


@each_engine
def test_a_store_that_faults_leaves_its_first_part(engine: str, order: str) -> None:
    prog = assemble(f"r2 = -1; *(u64 *)(r1 + {PAGE - 3}) = r2; exit", order=order)
    outcome = run(engine, prog, Input(bytes(16)))
    assert outcome.fault == Fault("write", 0, 1, PLANS["high"].memory + PAGE)
    assert outcome.regions is not None
    assert outcome.regions["memory"][-4:] == b"\x00\xff\xff\xff"


@each_engine
def test_the_null_pointer_faults(engine: str, order: str) -> None:
    prog = assemble("r0 = 1; r0 = *(u64 *)(r1 + 8); exit", order=order)
    assert run(engine, prog).fault == Fault("read", 0, 1, 8)


@each_engine
def test_an_endless_loop_hits_the_limit(engine: str, order: str) -> None:
    assert run(engine, assemble("again: goto again; exit", order=order)).status == "limit"


@each_engine
def test_code_that_cannot_be_reached_is_compiled(engine: str, order: str) -> None:
    assert result(engine, order, "r0 = 1; goto out; r0 = 2; call f; out: exit; f: r0 = 3; exit") == 1


@each_engine
def test_the_stack_is_filled_before_a_run(engine: str, order: str) -> None:
    assert result(engine, order, "r0 = *(u64 *)(r10 - 512); exit") == 0xA5A5_A5A5_A5A5_A5A5


@each_engine
def test_time_and_randomness_are_the_worlds(engine: str, order: str) -> None:
    world = World()
    assert result(engine, order, "call 5; r6 = r0; call 5; r0 -= r6; exit") == world.tick
    assert result(engine, order, "call 5; exit") == world.clock + world.tick
    again = [result(engine, order, "call 7; exit") for _ in range(2)]
    assert again[0] == again[1]


@each_engine
def test_may_goto_counts_for_each_activation(engine: str, order: str) -> None:
    assert result(engine, order, "r0 = 0; again: may_goto out; r0 += 1; goto again; out: exit") == 100
    called = "f: r0 = 0; again: may_goto out; r0 += 1; goto again; out: exit"
    main = "may_goto +0; call f; r6 = r0; call f; r6 += r0; more: may_goto end; r6 += 1; goto more; end: r0 = r6; exit"
    assert result(engine, order, f"{main}; {called}") == 100 + 100 + 99


@each_engine
def test_callx_calls_functions_and_helpers(engine: str, order: str) -> None:
    called = "f: r0 = r1; r0 *= 3; r6 = 9; exit"
    assert result(engine, order, f"r6 = 1; r2 = func[f]; r1 = 5; callx r2; r0 += r6; exit; {called}") == 16
    assert result(engine, order, "r1 = 14; callx r1; exit") == World().pid_tgid
    assert result(engine, order, f"r1 = func[f]; callx r1; r0 = r4; exit; {called}") == POISON + 4


@each_engine
def test_callx_of_something_else_is_a_fault(engine: str, order: str) -> None:
    behind = PLANS["high"].entry(1) + 1
    for value in (0, 99, 0xFFFF, behind, PLANS["high"].entry(0), 1 << 63):
        prog = assemble(f"r0 = 0x{value:x} ll; r1 = func[f]; callx r0; exit; f: r0 = 1; exit", order=order)
        assert run(engine, prog).fault == Fault("call target", 0, 4, value)


def test_callx_counts_as_a_call_of_every_function_whose_address_is_taken() -> None:
    with pytest.raises(Refused, match="calls itself"):
        Unit((assemble("r1 = func[f]; callx r1; exit; f: callx r1; exit"),))
    assert Unit((assemble("r1 = func[f]; call g; exit; f: r0 = 0; exit; g: callx r1; exit"),)).frames == 3


FRAME = bytes(range(1, 65))  # 14 bytes of link-layer header, then 50
at_the_packet = {"packet": FRAME, "convention": PACKET}


@each_engine
def test_loads_from_the_packet(engine: str, order: str) -> None:
    for text, value in (
        ("*(u32 *)skb[0]", 0x0F101112),
        ("*(u16 *)skb[48]", 0x3F40),
        ("*(u8 *)skb[49]", 0x40),
        ("*(u16 *)skb[r7 + 4]", 0x1112),
        ("*(u16 *)skb[r8 + 4]", 0x1314),
    ):
        start = "r6 = r1; r7 = 0xabcd0000fffffffe ll; r8 = 0xabcd000000000000 ll"
        assert result(engine, order, f"{start}; r0 = {text}; exit", **at_the_packet) == value
    for register in range(1, 6):
        text = f"r6 = r1; r0 = *(u8 *)skb[0]; r0 = r{register}; exit"
        assert result(engine, order, text, **at_the_packet) == POISON + register


@each_engine
def test_negative_offsets_into_the_packet(engine: str, order: str) -> None:
    for offset, value in (
        (-0x10_0000, 0x0F10),  # the network header
        (-0x10_0000 + 48, 0x3F40),
        (-0x20_0000, 0x0102),  # the link-layer header
        (-0x20_0000 + 62, 0x3F40),
        (-1, 0), (-0x10_0000 + 49, 0), (-0x10_0000 - 1, 0), (-0x20_0000 + 63, 0), (-0x20_0000 - 1, 0),
    ):  # fmt: skip
        text = f"r6 = r1; r0 = *(u16 *)skb[{offset}]; exit"
        assert result(engine, order, text, **at_the_packet) == value


@each_engine
def test_a_load_from_outside_the_packet_ends_the_function(engine: str, order: str) -> None:
    load = "r0 = *(u32 *)skb[47]; r0 = 7; exit"
    assert result(engine, order, f"r6 = r1; {load}", **at_the_packet) == 0
    assert result(engine, order, f"r6 = r1; call f; r0 += 5; exit; f: {load}", **at_the_packet) == 5
    outcome = run(engine, assemble(f"r6 = r1; r9 = 4; {load}", order=order), Input(packet=FRAME), convention=PACKET)
    assert outcome.registers is not None
    assert outcome.registers[9] == 4


@each_engine
def test_a_load_from_the_packet_needs_the_context_in_r6(engine: str, order: str) -> None:
    load = assemble("r6 += 1; r0 = *(u8 *)skb[0]; exit", order=order)
    given = Input(registers={6: 41}, packet=FRAME)
    for unit in ({"convention": PACKET}, {}):
        assert run(engine, load, given, **unit).fault == Fault("context", 0, 1, 42)


ARENA = (Map("arena", kind="arena", max_entries=1),)


@each_engine
def test_pointers_of_an_arena(engine: str, order: str) -> None:
    upper = PLANS["high"].arena >> 32 << 32
    for value in (0, 8, 0x8000_0000, 0x5_0000_0010, 0x7_0000_0000):
        low = value & 0xFFFF_FFFF
        text = f"r2 = 0x{value:x} ll; r0 = addr_space_cast(r2, {{}}); exit"
        assert result(engine, order, text.format("0, 1"), maps=ARENA) == upper | low
        assert result(engine, order, text.format("1, 0"), maps=ARENA) == (upper | low if low else 0)
    text = "r1 = map_value[idx:0][16]; w2 = w1; r2 = addr_space_cast(r2, 0, 1); *(u8 *)(r2 + 1) = 5"
    assert result(engine, order, f"{text}; r0 = *(u8 *)(r1 + 1); exit", maps=ARENA) == 5
    assert result(engine, order, "r1 = map_value[idx:0][0]; r0 = *(u64 *)(r1 + 4088); exit", maps=ARENA) == 0
    beyond = assemble("r1 = map_value[idx:0][0]; r0 = *(u64 *)(r1 + 4096); exit", order=order)
    assert run(engine, beyond, maps=ARENA).fault == Fault("read", 0, 2, PLANS["high"].arena + PAGE)


def test_a_cast_needs_an_arena() -> None:
    prog = assemble("r0 = addr_space_cast(r1, 0, 1); exit")
    with pytest.raises(Refused, match="needs an arena map"):
        Unit((prog,))
    for maps in ((*ARENA, *ARENA), (Map("arena", kind="arena", max_entries=4097),)):
        with pytest.raises(Refused, match="one arena of 1 to 4096 pages"):
            Unit((prog,), maps)


@pytest.mark.parametrize(
    ("slots", "error", "message"),
    [
        ("1800000000000000 0000000000000000 9500000000000000", None, ""),
        ("1800000000000000", HalfWide, "lacks its second slot"),
        ("1800000000000000 0100000000000000 9500000000000000", HalfWide, "other than imm"),
        ("1800010000000000 0000000000000000 9500000000000000", ReservedField, "reserved field off is 1"),
        ("0500010000000000 1800000000000000 0000000000000000 9500000000000000", JumpIntoWide, "second slot"),
        ("9500000001000000", ReservedField, "reserved field imm is 1"),
        ("bf21020000000000 9500000000000000", UnknownOpcode, "off 2"),
        ("bf21010002000000 9500000000000000", UnknownOpcode, "addr_space_cast with imm 2"),
        ("ff00000000000000 9500000000000000", UnknownOpcode, "0xff"),
        ("0500050000000000 9500000000000000", JumpOutOfRange, "outside the program"),
        ("b700000000000000", FallsOff, "not an exit or jmp"),
        ("b70a000000000000 9500000000000000", BadRegister, "frame pointer R10 is read only"),
        ("b70b000000000000 9500000000000000", BadRegister, "no register R11"),
    ],
)
def test_malformed_encodings(slots: str, error: type[BadProgram] | None, message: str) -> None:
    code = bytes.fromhex(slots)
    if error is None:
        assert len(program(code)) == 3
        return
    with pytest.raises(error, match=message):
        program(code)


def test_what_is_refused_is_one_line() -> None:
    for text in ("call 9999; exit", "call f; exit; f: call f; exit"):
        with pytest.raises(CrossbpfError) as caught:
            Unit((assemble(text),))
        assert "\n" not in str(caught.value)
