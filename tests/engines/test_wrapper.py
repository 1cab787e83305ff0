"""The wrapper for the live kernel and what the engine makes of its record, on a stand-in without a verifier."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpf.errors import Refused
from bpf.isa import Kind, decode
from bpf.plan import PLANS, Unit
from bpf.program import Map, Program
from bpf.spec.conventions import SUITE
from bpf.text import assemble
from engines import ENGINES, linux, syscall
from engines.linux import LinuxEngine, final_message
from engines.surroundings import judge
from engines.wrapper import bind, surely_written, wrap
from tests.engines.kernel import Stand, ready
from tests.strategies import running_programs
from vm.outcome import Outcome, difference
from vm.world import Input, Limits, World

HERE = sys.byteorder
OTHER = "big" if HERE == "little" else "little"


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    """The engine's bpf() is the stand-in."""
    made = Stand()
    monkeypatch.setattr(linux, "syscall", made)
    monkeypatch.setattr(linux, "unavailable", lambda: "")
    monkeypatch.setattr(linux, "_close", lambda descriptors: None)
    return made


def run(text: str, given: Input | None = None, maps: tuple[Map, ...] = (), world: World | None = None) -> Outcome:
    unit = Unit((assemble(text, order=HERE),), maps)
    return LinuxEngine().prepare(unit).run(given or Input(), world or World(), Limits())


# The wrapper -------------------------------------------------------------------------------------


def written(text: str) -> dict[int, set[int]]:
    prog = assemble(text)
    masks = surely_written(prog, prog.functions[0])
    return {pc: {register for register in range(10) if mask >> register & 1} for pc, mask in masks.items()}


def test_registers_written_in_a_straight_line() -> None:
    assert written("r6 = 1; r7 = r6; r3 = 5; exit")[3] == {3, 6, 7}
    assert written("exit")[0] == set()


def test_registers_written_on_some_ways_only() -> None:
    one = written("r6 = 1; if r6 == 0 goto a; r7 = 2; goto b; a: r8 = 3; r7 = 4; b: exit")
    assert one[6] == {6, 7}


def test_a_loop_counts_from_its_first_round() -> None:
    loop = written("r6 = 9; again: r6 += -1; if r6 == 0 goto out; r7 = 1; goto again; out: exit")
    assert loop[1] == {6}
    assert loop[5] == {6}


def test_calls_leave_r0_and_take_r1_to_r5() -> None:
    assert written("r1 = 1; r6 = 2; call f; exit; f: r7 = 1; r0 = 0; exit") == {
        0: set(), 1: {1}, 2: {1, 6}, 3: {0, 6},
    }  # fmt: skip
    assert written("r3 = 1; call 7; exit")[2] == {0}


def test_atomics_write_what_they_fetch() -> None:
    assert written("r6 = atomic64_fetch_add((u64 *)(r10 - 8), r6); exit")[1] == {6}
    assert written("r0 = atomic64_cmpxchg((u64 *)(r10 - 8), r0, r7); exit")[1] == {0}
    assert written("lock *(u64 *)(r10 - 8) += r8; exit")[1] == set()


def test_code_that_cannot_be_reached_has_no_tail() -> None:
    prog = assemble("r0 = 0; exit; r0 = 1; exit")
    assert set(surely_written(prog, prog.functions[0])) == {0, 1}
    wrapped = wrap(Unit((prog,)), 0, {})
    assert wrapped.origin[-2:] == (2, 3)


def test_slots_are_the_users() -> None:
    prog = assemble("r6 = 1; r0 = 2; exit")
    wrapped = wrap(Unit((prog,)), 16, {})
    assert [wrapped.slot(n) for n in range(wrapped.start)] == [None] * wrapped.start
    inside = [wrapped.slot(n) for n in range(wrapped.start, len(wrapped.program))]
    assert inside[:2] == [0, 1]
    assert set(inside[2:]) == {2}


def test_maps_get_their_descriptors() -> None:
    maps = (Map("a", initial=bytes(8)), Map("b", initial=bytes(8)))
    prog = assemble("r1 = map_value[idx:1][4]; r2 = map[idx:0]; r3 = map[fd:1]; r0 = 0; exit", order=HERE)
    wrapped = wrap(Unit((prog,), maps), 0, {})
    assert [map_.name for map_ in wrapped.program.maps] == ["a", "b", "record"]
    bound = [insn for insn in decode(bind(wrapped.program, (70, 80, 90)), HERE) if insn is not None]
    wide = [(insn.row.op, insn.imm & 0xFFFFFFFF, insn.imm >> 32) for insn in bound if insn.row.kind is Kind.WIDE]
    assert wide[-4:] == [
        ("map_fd_value", 80, 4),
        ("map_fd", 70, 0),
        ("map_fd", 80, 0),
        ("map_fd_value", 90, 0),
    ]


# The engine, on the stand-in ---------------------------------------------------------------------


def test_what_is_shown(stand: Stand) -> None:
    outcome = run("r6 = 7; r9 = 9; r0 = *(u8 *)(r1 + 1); r0 += r2; *(u8 *)(r1 + 0) = 255; exit", Input(b"\x05\x06\x07"))
    assert (outcome.status, outcome.r0) == ("done", 9)
    assert outcome.registers == (9, None, None, None, None, None, 7, None, None, 9)
    assert outcome.regions is not None
    assert outcome.regions["memory"] == b"\xff\x06\x07".ljust(4096, b"\0")
    assert "stack" not in outcome.regions
    assert (outcome.calls, outcome.printed) == (None, None)


def test_no_memory_is_two_zeros(stand: Stand) -> None:
    outcome = run("r6 = r1; r7 = r2; r0 = 0; exit")
    assert outcome.registers is not None
    assert outcome.registers[6:8] == (0, 0)


def test_r0_has_64_bits(stand: Stand) -> None:
    assert run("r0 = 0xfedcba9876543210 ll; exit").r0 == 0xFEDC_BA98_7654_3210


def test_arguments_can_be_numbers_but_r6_to_r9_cannot(stand: Stand) -> None:
    assert run("r0 = r1; r0 += r3; exit", Input(b"1234", {1: 1 << 40, 3: -2})).r0 == (1 << 40) - 2
    with pytest.raises(Refused, match="R7 has a value at entry"):
        run("r0 = 0; exit", Input(registers={7: 1}))


def test_a_length_is_loaded_once(stand: Stand) -> None:
    prepared = LinuxEngine().prepare(Unit((assemble("r0 = r2; exit", order=HERE),)))
    for length in (0, 3, 5, 3, 5, 0):
        assert prepared.run(Input(bytes(length)), World(), Limits()).r0 == length
    assert len(stand.names) == 3


def test_few_programs_are_kept(stand: Stand) -> None:
    prepared = LinuxEngine().prepare(Unit((assemble("r0 = r2; exit", order=HERE),)))
    for length in range(3 * linux.KEPT):
        prepared.run(Input(bytes(length)), World(), Limits())
    assert len(prepared._loaded) == linux.KEPT


def test_global_data_starts_anew_and_read_only_data_is_frozen(stand: Stand) -> None:
    maps = (Map("rw", initial=b"\x05" + bytes(7)), Map("ro", initial=b"\x07" + bytes(7), readonly=True))
    text = """
        r1 = map_value[idx:0][0]; r2 = map_value[idx:1][0]; r0 = *(u8 *)(r1 + 0); *(u8 *)(r1 + 0) = 9
        r3 = *(u8 *)(r2 + 0); r0 += r3; exit"""
    prepared = LinuxEngine().prepare(Unit((assemble(text, order=HERE),), maps))
    for _ in range(2):
        outcome = prepared.run(Input(), World(), Limits())
        assert outcome.r0 == 12
        assert outcome.regions is not None
        assert outcome.regions["map rw"][:1] == b"\x09"
    assert stand.frozen == {1}
    assert prepared.run(Input(), World(values={"rw": b"\x01", "ro": b"\x02"}), Limits()).r0 == 3
    assert stand.frozen == {1, 4}


@settings(deadline=None)
@given(prog=running_programs(), memory=st.binary(max_size=24), plan=st.sampled_from(list(PLANS.values())))
def test_the_wrapped_program_does_the_same(prog: Program, memory: bytes, plan: object) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linux, "syscall", Stand())
        patch.setattr(linux, "unavailable", lambda: "")
        patch.setattr(linux, "_close", lambda descriptors: None)
        unit = Unit((ready(prog).in_order(HERE),), plan=plan)  # type: ignore[arg-type]
        expected = ENGINES["interpreter"].prepare(unit).run(Input(memory), World(), Limits())
        engine = LinuxEngine()
        outcome = engine.prepare(unit).run(Input(memory), World(), Limits())
    found = judge(engine, unit, expected, outcome, Input(memory), World(), Limits())
    assert not found, found.what


@pytest.mark.parametrize("plan", PLANS)
def test_pointers_that_are_kept_are_the_same_address(stand: Stand, plan: str) -> None:
    text = """
        r6 = r1; r7 = r10; r7 += -16; r8 = map_value[idx:0][8]; r8 += -300; r9 = map[idx:0]
        r3 = map_value[idx:0][0]; *(u64 *)(r3 + 1) = r1; *(u64 *)(r3 + 16) = r8; *(u64 *)(r1 + 0) = r3
        r0 = r1; r0 += 0x123456; exit"""
    unit = Unit((assemble(text, order=HERE),), (Map("m", value_size=24, initial=bytes(24)),), plan=PLANS[plan])
    given = Input(bytes(12))
    expected = ENGINES["interpreter"].prepare(unit).run(given, World(), Limits())
    outcome = LinuxEngine().prepare(unit).run(given, World(), Limits())
    assert outcome.r0 != expected.r0 or plan == "kernel"
    assert difference(expected, outcome).skipped == ("calls", "printed")
    assert not difference(expected, outcome)
    assert (outcome.regions, outcome.registers) != (expected.regions, expected.registers)


# Refusals that need no kernel --------------------------------------------------------------------


def test_the_other_byte_order_is_refused() -> None:
    with pytest.raises(Refused, match=f"a {OTHER}-endian program does not run"):
        LinuxEngine().prepare(Unit((assemble("r0 = 0; exit", order=OTHER),)))


def test_helpers_that_are_not_the_kernels_are_refused() -> None:
    with pytest.raises(Refused, match="insn 1: helper 5 unwind is not the kernel's"):
        LinuxEngine().prepare(Unit((assemble("r1 = 1; call 5; exit", order=HERE),), convention=SUITE))


def test_nothing_on_this_machine_is_switched_on() -> None:
    with pytest.raises(Refused, match="trace_printk would switch on"):
        LinuxEngine().prepare(Unit((assemble("call 6; exit", order=HERE),)))


def test_a_machine_without_bpf_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "vax")
    syscall._entry.cache_clear()
    try:
        assert "there is no bpf() for this Python" in linux.unavailable.__wrapped__()
    finally:
        syscall._entry.cache_clear()


def test_a_refused_call_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(code: bytes, **options: object) -> tuple[int, str]:
        raise syscall.LoadError(1, "")

    monkeypatch.setattr(syscall, "load", load)
    assert linux.unavailable.__wrapped__().endswith("(errno 1)")


def test_the_tracer_is_refused(stand: Stand) -> None:
    with pytest.raises(Refused, match="cannot be traced"):
        LinuxEngine().prepare(Unit((assemble("r0 = 0; exit", order=HERE),))).trace(Input(), World(), Limits())


@pytest.mark.parametrize(
    ("log", "message"),
    [
        ("R1 !read_ok\nprocessed 1 insns (limit 1000000)\n", "R1 !read_ok"),
        ("bad\nR1 min value\nverification time 3 usec\nstack depth 0+0\nprocessed 9 insns\n", "bad; R1 min value"),
        (
            "infinite loop detected at insn 7\ncur state: R0=1\nold state: R0=1\n R6=2\n",
            "infinite loop detected at insn 7",
        ),
        ("", ""),
    ],
)
def test_the_final_message(log: str, message: str) -> None:
    assert final_message(log) == message
