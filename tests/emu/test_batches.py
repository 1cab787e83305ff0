"""run_many: what one guest run does with a table of inputs is what as many single runs do."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpf.isa import ROW, make
from bpf.plan import MAX_FUNCTIONS, PLANS, Plan, Unit
from bpf.program import program
from emu.batch import CAPACITY, compile_batch, run_batch, suits
from emu.guest import Guest
from emu.machine import Machine
from engines.emulated import EmulatedPrepared
from jit.image import Image
from jit.target import Target
from tests.emu.native import (
    MEMORY,
    a_target,
    assert_healthy,
    each_plan,
    each_target,
    emulated,
    reference,
    source,
    unit_of,
)
from tests.strategies import WORDS
from vm.outcome import Outcome, difference
from vm.world import Input, Limits, World

MIX = "r0 = r1; r0 ^= r2; r0 += r3; r6 += r4; r7 -= r5; r8 = r9; r0 ^= r10; exit"
LOADS = "r0 = *(u64 *)(r3 + 0); r0 += r4; exit"


def rows(count: int, **registers: int) -> list[Input]:
    """Inputs whose registers all differ; registers: r3 = ... for all of them."""
    fixed = {int(name[1:]): value for name, value in registers.items()}
    return [
        Input(MEMORY, {n: (i + 1) * (n << 57 | 0x1234_5678_9ABC_DEF1) for n in range(3, 10)} | fixed)
        for i in range(count)
    ]


def single(prepared: EmulatedPrepared, entries: Sequence[Input]) -> list[Outcome]:
    """Each by itself."""
    return [prepared.run(entry, World(), Limits()) for entry in entries]


def same(left: Sequence[Outcome], right: Sequence[Outcome]) -> bool:
    """Outcome by outcome, the registers too."""
    return len(left) == len(right) and all(
        a.registers == b.registers and not difference(a, b) and difference(a, b).decided
        for a, b in zip(left, right, strict=True)
    )


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many inputs each guest run of a batch took, in order."""
    sizes: list[int] = []

    def count(
        host: Machine, image: Image, table: Sequence[Sequence[int]], seconds: float, *limits: int
    ) -> list[tuple[int, ...]]:
        records = run_batch(host, image, table, seconds, *limits)
        sizes.append(len(records))
        return records

    monkeypatch.setattr("emu.guest.run_batch", count)
    return sizes


@each_target
@each_plan
def test_a_batch_is_as_many_runs(target: Target, plan: Plan, batches: list[int]) -> None:
    for text in (
        MIX,
        "call pc+1; exit; r6 = 1; r0 = r3; exit",
        "exit",
        "r0 = *(u64 *)(r1 + 8); r0 += r2; r9 = r3; exit",
    ):
        prepared = emulated(unit_of(text, target.order, plan), target, observe=True)
        entries = rows(40)
        got = prepared.run_many(entries, World(), Limits())
        assert same(single(prepared, entries), got)
    assert batches == [39] * 4


@each_target
def test_more_than_one_batch_holds(target: Target, batches: list[int]) -> None:
    prepared = emulated(unit_of(MIX, target.order), target, observe=True)
    entries = rows(CAPACITY + 30)
    right = reference(unit_of(MIX, target.order))
    got = prepared.run_many(entries, World(), Limits(seconds=60))
    assert batches == [CAPACITY, 29]
    assert len(got) == len(entries)
    for at in (0, 1, 2, CAPACITY - 1, CAPACITY, CAPACITY + 1, CAPACITY + 29):
        outcome = right.run(entries[at], World(), Limits())
        assert outcome.registers == got[at].registers


@each_target
def test_faults_in_the_middle(target: Target, batches: list[int]) -> None:
    """The batch goes on behind each input that does not end normally."""
    plan = PLANS["high"]
    entries = rows(20, r3=plan.memory)
    for at in (0, 5, 6, 19):
        entries[at] = Input(MEMORY, {3: plan.arena + at})
    prepared = emulated(unit_of(LOADS, target.order), target, observe=True)
    got = prepared.run_many(entries, World(), Limits())
    assert same(single(prepared, entries), got)
    assert [at for at, outcome in enumerate(got) if outcome.status == "fault"] == [0, 5, 6, 19]
    assert batches == [4, 0, 12]
    assert_healthy(target)


@a_target
def test_an_input_that_never_ends(target: Target) -> None:
    prepared = emulated(unit_of("r0 = 1; if r3 == 7 goto -1; exit", target.order), target, observe=True)
    entries = rows(6)
    entries[3] = Input(MEMORY, {3: 7})
    got = prepared.run_many(entries, World(), Limits(seconds=0.3))
    assert [outcome.status for outcome in got] == ["done", "done", "done", "limit", "done", "done"]
    assert_healthy(target)


@each_target
def test_what_does_not_suit_runs_one_by_one(target: Target, batches: list[int]) -> None:
    """Stores, other memories, no observing: the same outcomes."""
    prepared = emulated(unit_of("*(u64 *)(r10 - 8) = r3; r0 = r3; exit", target.order), target, observe=True)
    assert same(single(prepared, rows(5)), prepared.run_many(rows(5), World(), Limits()))
    prepared = emulated(unit_of("r0 = *(u8 *)(r1 + 0); exit", target.order), target, observe=True)
    entries = [Input(bytes((n, 1))) for n in range(5)]
    assert [outcome.r0 for outcome in prepared.run_many(entries, World(), Limits())] == [0, 1, 2, 3, 4]
    unseen = emulated(unit_of(MIX, target.order), target)
    assert same(single(unseen, rows(5)), unseen.run_many(rows(5), World(), Limits()))
    assert not batches


@each_target
def test_memories_in_turn(target: Target, batches: list[int]) -> None:
    """A batch goes as far as the memory stays the same."""
    prepared = emulated(unit_of("r0 = *(u8 *)(r1 + 0); r0 += r3; exit", target.order), target, observe=True)
    entries = [Input(bytes((n // 4, 1)), {3: n << 8}) for n in range(12)]
    got = prepared.run_many(entries, World(), Limits())
    assert [outcome.r0 for outcome in got] == [n << 8 | n // 4 for n in range(12)]
    assert same(single(prepared, entries), got)
    assert batches == [3, 3, 3]


@each_target
def test_the_world_is_restored_before_each_input(target: Target, batches: list[int]) -> None:
    text = "call 7; r6 = r0; call 5; r0 ^= r6; r1 = r10; r1 += -8; *(u64 *)(r1 + 0) = 0x64; r2 = 8; call 6; exit"
    prepared = emulated(unit_of(text, target.order), target, observe=True)
    world = World(clock=3)
    right = [prepared.run(entry, World(clock=3), Limits()) for entry in rows(5)]
    assert same(right, prepared.run_many(rows(5), world, Limits()))
    assert not batches


@each_target
def test_no_inputs(target: Target) -> None:
    assert emulated(unit_of(MIX, target.order), target, observe=True).run_many([], World(), Limits()) == []


@each_target
@given(table=st.lists(st.lists(WORDS, min_size=9, max_size=9), min_size=2, max_size=5))
def test_any_registers(target: Target, table: list[list[int]]) -> None:
    unit = unit_of(MIX, target.order)
    entries = [Input(MEMORY, dict(enumerate(values, 1))) for values in table]
    right = reference(unit)
    got = emulated(unit, target, observe=True).run_many(entries, World(), Limits())
    assert [outcome.registers for outcome in got] == [right.run(e, World(), Limits()).registers for e in entries]


@each_target
def test_a_program_that_writes_to_the_drivers_tables(target: Target) -> None:
    """Machine code that changes what is the driver's is not believed; a guest run that gave nothing is no traceback."""
    unit = unit_of("*(u64 *)(r3 + 16) = 0; exit", target.order)
    prepared = emulated(unit, target, observe=True)
    guest = Guest(unit, prepared.image, observe=True)
    guest._batch = compile_batch(unit, unit.programs[0], target, None)
    entries = rows(9, r3=PLANS["high"].harness + 0x100)
    assert guest.run_batch(entries, World(), Limits()) == []
    assert_healthy(target)


def test_what_suits() -> None:
    assert suits(source("r0 = *(u8 *)(r1 + 0); call pc+1; exit; exit", "little"))
    assert not suits(source("*(u8 *)(r10 - 1) = 1; exit", "little"))
    assert not suits(source("lock *(u64 *)(r10 - 8) += r1; exit", "little"))
    assert not suits(source("call 7; exit", "little"))


def test_a_program_that_has_every_entry_slot() -> None:
    """The driver needs one too."""
    full = program([make(ROW["exit"])] * MAX_FUNCTIONS, names={n: f"f{n}" for n in range(MAX_FUNCTIONS)})
    assert len(Unit((full,)).programs[0].functions) == MAX_FUNCTIONS
    assert not suits(full)
