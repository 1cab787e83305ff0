"""The law of the genome: any tuple of numbers is a program that runs to its exit, and smaller is simpler."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpf.isa import ROWS, Kind
from bpf.plan import Unit
from engines import ENGINES
from fuzz.genome import _KINDS, DATA, MAX_GESTURES, decode, draw
from vm.world import Input, Limits, World

NUMBERS = st.integers(-(1 << 70), 1 << 70) | st.integers(0, 1 << 12) | st.integers(0, (1 << 64) - 1)
GENOMES = st.lists(NUMBERS, max_size=40)


@pytest.mark.parametrize("bare", [False, True], ids=["", "bare"])
@given(genome=GENOMES)
def test_any_tuple_is_a_program_that_ends(bare: bool, genome: list[int]) -> None:
    for order in ("little", "big"):
        program = decode(genome, order, bare=bare)
        assert program.maps == (() if bare else (DATA,))
        outcome = ENGINES["interpreter"].prepare(Unit((program,))).run(Input(), World(), Limits(200_000))
        assert outcome.status == "done", outcome.summary()
        assert not (bare and outcome.calls)


@given(genome=GENOMES)
def test_byte_order_changes_nothing_but_itself(genome: list[int]) -> None:
    assert decode(genome, "big").insns == decode(genome, "little").insns


def test_the_simplest() -> None:
    assert [insn.row.name for insn in decode(()).insns if insn] == ["exit"]
    assert [insn.row.name for insn in decode((0,)).insns if insn] == ["add64_imm", "exit"]
    assert len(decode((3,) * 10_000)) < 20 * MAX_GESTURES


def test_every_row_is_drawn() -> None:
    seen = {insn.row.name for n in range(3000) for insn in decode(draw(Random(n))).insns if insn is not None}
    missing = {row.name for row in ROWS if row.kind not in (Kind.GOTO, Kind.WIDE)} - seen
    assert not missing


def test_drawing_is_deterministic() -> None:
    assert draw(Random(5)) == draw(Random(5)) != draw(Random(6))


def test_a_gesture_added_leaves_the_others_alone() -> None:
    """Deleting an element of a straight genome deletes its instructions and changes no other."""
    genome = tuple(len(_KINDS) * n for n in range(20))  # gestures of the first kind
    whole = [insn for insn in decode(genome).insns if insn]
    for n in range(len(genome)):
        assert [insn for insn in decode(genome[:n] + genome[n + 1 :]).insns if insn] == whole[:n] + whole[n + 1 :]
