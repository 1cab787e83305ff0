"""The world is part of the input: deterministic, and back where it was after a restore."""

from __future__ import annotations

from dataclasses import fields

from hypothesis import given
from hypothesis import strategies as st

from bpf.plan import POISON, Unit
from bpf.text import assemble
from tests.strategies import WORDS
from vm.interpreter import Interpreter
from vm.world import DIRTY, Input, Limits, World

TEXT = (
    "call 7; r6 = r0; call 5; r6 ^= r0; call 8; r6 += r0; "
    "*(u64 *)(r10 - 8) = 0x64; r1 = r10; r1 += -8; r2 = 8; call 6; r0 = r6; exit"
)
PROGRAM = assemble(TEXT.replace("; ", "\n"))
CHANGED = {"clock", "random", "cpu", "maps"}
BY_FEW = {"held", "user", "signals", "overridden", "timers"}
"""What few helpers change: the last item of a snapshot."""


@given(clock=WORDS, tick=WORDS, random=WORDS)
def test_the_same_world_gives_the_same_run(clock: int, tick: int, random: int) -> None:
    interpreter = Interpreter(Unit((PROGRAM,)), PROGRAM)
    left, right = World(clock=clock, tick=tick, random=random), World(clock=clock, tick=tick, random=random)
    assert interpreter.run(Input(), left, Limits()) == interpreter.run(Input(), right, Limits())
    assert left == right


@given(count=st.integers(1, 4))
def test_snapshot_and_restore(count: int) -> None:
    interpreter = Interpreter(Unit((PROGRAM,)), PROGRAM)
    world, fresh = World(), World()
    snapshot = world.snapshot()
    first = interpreter.run(Input(), world, Limits())
    for _ in range(count):
        assert world != fresh
        world.restore(snapshot)
        assert world == fresh
        assert interpreter.run(Input(), world, Limits()) == first


def test_a_snapshot_holds_what_a_run_can_change() -> None:
    """Every field of World is in the snapshot, or no helper changes it."""
    interpreter = Interpreter(Unit((PROGRAM,)), PROGRAM)
    world, fresh = World(), World()
    interpreter.run(Input(), world, Limits())
    changed = {field.name for field in fields(World) if getattr(world, field.name) != getattr(fresh, field.name)}
    assert changed <= CHANGED | {"printed"}
    *most, few = world.snapshot()
    assert len(most) == len(CHANGED)
    assert len(few) == len(BY_FEW)


@given(table=st.dictionaries(st.integers(0, 9), WORDS), address=WORDS, memory=st.binary(max_size=8))
def test_registers_at_entry(table: dict[int, int], address: int, memory: bytes) -> None:
    values = Input(memory, table).entry_registers(address)
    assert len(values) == 10
    assert values[0] == POISON
    for number in range(1, 10):
        usual = {1: address, 2: len(memory)} if memory else {1: 0, 2: 0}
        assert values[number] == table.get(number, usual.get(number, DIRTY[number]))


def test_registers_that_nobody_set_are_dirty() -> None:
    assert len(set(DIRTY)) == len(DIRTY)
    assert all(value >> 32 and value & 0xFFFF_FFFF and value < 1 << 64 for value in DIRTY)
