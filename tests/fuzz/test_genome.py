"""The law of the genome: any tuple of numbers is a program that runs to its exit, and smaller is simpler."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpf.isa import ROWS, Kind
from bpf.plan import Unit
from bpf.spec.conventions import PACKET
from engines import ENGINES, Options
from fuzz.genome import _KINDS, ARENA, DATA, JUMPS, MAX_GESTURES, decode, draw
from fuzz.suite.special import applies
from jit.registry import TARGETS
from vm.outcome import difference
from vm.world import Input, Limits, World

NUMBERS = st.integers(-(1 << 70), 1 << 70) | st.integers(0, 1 << 12) | st.integers(0, (1 << 64) - 1)
GENOMES = st.lists(NUMBERS, max_size=40)


@pytest.mark.parametrize("bare", [False, True], ids=["", "bare"])
@given(genome=GENOMES)
def test_any_tuple_is_a_program_that_ends(bare: bool, genome: list[int]) -> None:
    for order in ("little", "big"):
        program = decode(genome, order, bare=bare)
        assert program.maps in (((),) if bare else ((DATA,), (DATA, ARENA)))
        outcome = ENGINES["interpreter"].prepare(Unit((program,))).run(Input(), World(), Limits(200_000))
        assert outcome.status == "done", outcome.summary()
        assert not (bare and outcome.calls)
        if bare:
            assert not any(applies(insn.row) for insn in program.insns if insn)


@pytest.mark.parametrize("length", [0, 14, 64])
@given(genome=GENOMES)
def test_any_tuple_is_a_program_for_a_packet(length: int, genome: list[int]) -> None:
    given = Input(packet=bytes(range(length)))
    for order in ("little", "big"):
        unit = Unit((decode(genome, order, packet=True),), convention=PACKET)
        outcome = ENGINES["interpreter"].prepare(unit).run(given, World(), Limits(200_000))
        assert outcome.status == "done", outcome.summary()


@pytest.mark.parametrize("target", TARGETS)
def test_programs_with_packets_agree(target: str) -> None:
    engine, observe = ENGINES[target], Options(observe=True)
    (order,) = engine.abilities.orders
    given, limits = Input(packet=bytes(range(7, 71)), registers={3: 5}), Limits(200_000, may_goto=2)
    for seed in range(60):
        unit = Unit((decode(draw(Random(seed), 60), order, packet=True),), convention=PACKET)
        wanted, got = (
            one.prepare(unit, observe).run(given, World(), limits) for one in (ENGINES["interpreter"], engine)
        )
        found = difference(wanted, got)
        assert found.decided
        assert not found, (seed, found.what)


@given(genome=GENOMES)
def test_byte_order_changes_nothing_but_itself(genome: list[int]) -> None:
    assert decode(genome, "big").insns == decode(genome, "little").insns


def test_tail_calls_are_for_packets() -> None:
    """Each of them enters the program again, nothing, or falls through; where the map lies is the last index."""
    tail = len(_KINDS) - 1
    assert JUMPS not in decode((tail,)).maps
    cast = len(_KINDS) - 3
    for genome, maps in (((tail,), (DATA, JUMPS)), ((cast, tail), (DATA, ARENA, JUMPS))):
        prog = decode(genome, packet=True)
        assert prog.maps == maps
        assert Unit((prog,), convention=PACKET).tail_calls
    seen = set()
    for digit in range(10):
        prog = decode((len(_KINDS) * (digit + 10 * 2) + tail,), packet=True)
        unit = Unit((prog,), convention=PACKET)
        seen.add(
            ENGINES["interpreter"].prepare(unit).run(Input(packet=bytes(14)), World(), Limits()).counts["instructions"]
        )
    assert len(seen) == 2  # either 34 entries or one


def test_the_simplest() -> None:
    assert [insn.row.name for insn in decode(()).insns if insn] == ["exit"]
    assert [insn.row.name for insn in decode((0,)).insns if insn] == ["add64_imm", "exit"]
    assert len(decode((3,) * 10_000)) < 20 * MAX_GESTURES


def test_every_row_is_drawn() -> None:
    programs = (decode(draw(Random(n)), packet=n % 2 == 1) for n in range(4000))
    seen = {insn.row.name for program in programs for insn in program.insns if insn is not None}
    missing = {row.name for row in ROWS if row.kind not in (Kind.GOTO, Kind.WIDE) and not row.external} - seen
    assert not missing


def test_drawing_is_deterministic() -> None:
    assert draw(Random(5)) == draw(Random(5)) != draw(Random(6))


def test_a_gesture_added_leaves_the_others_alone() -> None:
    """Deleting an element of a straight genome deletes its instructions and changes no other."""
    genome = tuple(len(_KINDS) * n for n in range(20))  # gestures of the first kind
    whole = [insn for insn in decode(genome).insns if insn]
    for n in range(len(genome)):
        assert [insn for insn in decode(genome[:n] + genome[n + 1 :]).insns if insn] == whole[:n] + whole[n + 1 :]
