"""The trace of emulated machine code is the interpreter's, boundary by boundary; a planted fault shows where it is."""

from __future__ import annotations

from itertools import islice

import pytest

from bpf.plan import PLANS, Plan
from bpf.program import Map
from emu.guest import _CHUNK
from engines.base import Options
from engines.lockstep import Parting, lockstep
from engines.registry import ENGINES
from jit import backend as backends
from jit.ops import Op
from jit.registry import backend
from jit.target import Target
from tests.emu.native import MEMORY, each_plan, each_target, emulated, reference, unit_of
from vm.world import Input, Limits, World

LOOP = "r0 = 0; r3 = {count}; r0 += r3; r0 ^= 5; *(u32 *)(r10 - 4) = r0; r3 -= 1; if r3 != 0 goto -5; exit"
CALLS = (
    "r6 = 1; call pc+4; r6 += r0; call pc+7; r0 ^= r6; exit; "
    "r6 = r1; r6 <<= 3; *(u64 *)(r10 - 8) = r6; r0 = r6; exit; "
    "r7 = 9; call pc-7; r0 += r7; exit"
)
HELPERS = (
    "r6 = 7; call 7; r6 ^= r0; r1 = r10; r1 += -16; r2 = 16; call 16; r0 = *(u64 *)(r10 - 16); call 5; r0 += r6; exit"
)
ATOMICS = (
    "*(u64 *)(r10 - 8) = 5; r2 = 3; lock *(u64 *)(r10 - 8) += r2; r3 = 9; "
    "r3 = atomic64_fetch_add((u64 *)(r10 - 8), r3); "
    "r0 = 17; r4 = 1; r0 = atomic64_cmpxchg((u64 *)(r10 - 8), r0, r4); w2 = atomic_xchg((u32 *)(r10 - 4), w2); exit"
)
MIXED = (
    "r0 = 0x1122334455667788 ll; w1 = w0; r2 = be16 r2; r3 s>>= 7; w4 *= 3; "
    "r5 /= r0; r6 %= 10; if w1 s> 5 goto +1; r7 = 1; "
    "*(u16 *)(r10 - 30) = r0; r8 = *(s16 *)(r10 - 30); r9 = *(u8 *)(r10 - 29); exit"
)


def traced(text: str, target: Target, entry: Input | None = None, plan: Plan = PLANS["high"]) -> Parting | None:
    """Interpreter and guest side by side."""
    unit = unit_of(text, target.order, plan)
    return lockstep(reference(unit), emulated(unit, target, observe=True), entry or Input(MEMORY), World(), Limits())


@each_target
@pytest.mark.parametrize("text", [CALLS, HELPERS, ATOMICS, MIXED, LOOP.format(count=50)],
                         ids=["calls", "helpers", "atomics", "mixed", "loop"])  # fmt: skip
def test_equal(target: Target, text: str) -> None:
    assert traced(text, target) is None


@each_target
@each_plan
def test_equal_under_every_plan(target: Target, plan: Plan) -> None:
    assert traced(MIXED, target, plan=plan) is None
    assert traced(CALLS, target, plan=plan) is None


@each_target
@pytest.mark.parametrize("more", [-1, 0, 1, _CHUNK + 3])
def test_longer_than_a_chunk(target: Target, more: int) -> None:
    """The guest stops after each chunk of boundaries and goes on: none is lost, none comes twice."""
    count = (_CHUNK + more) // 5 + 1
    unit = unit_of(LOOP.format(count=count), target.order)
    guest, right = emulated(unit, target, observe=True), reference(unit)
    steps = list(guest.trace(Input(), World(), Limits()))
    assert len(steps) == 3 + 5 * count
    assert steps == list(right.trace(Input(), World(), Limits()))


@each_target
def test_a_chunk_that_ends_anywhere(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of every small size: a stop may fall on a call, a helper, a branch to itself, the last instruction."""
    for text in (CALLS, HELPERS, ATOMICS, "r3 = 9; r3 -= 1; if r3 != 0 goto -2; r0 = r3; exit"):
        unit = unit_of(text, target.order)
        right = list(reference(unit).trace(Input(MEMORY), World(), Limits()))
        for chunk in (1, 2, 3, 5):
            monkeypatch.setattr("emu.guest._CHUNK", chunk)
            guest = emulated(unit, target, observe=True)
            assert list(guest.trace(Input(MEMORY), World(), Limits())) == right, (text, chunk)


@each_target
def test_an_instruction_that_jumps_to_itself(target: Target) -> None:
    """Each time round is a boundary."""
    unit = unit_of("r0 = 1; if r0 != 0 goto -1; exit", target.order)
    guest, right = emulated(unit, target, observe=True), reference(unit)
    count = 2 * _CHUNK + 10
    left = list(islice(guest.trace(Input(), World(), Limits()), count))
    assert left == list(islice(right.trace(Input(), World(), Limits()), count))


@each_target
@pytest.mark.parametrize(
    "text",
    ["r0 = 1; r0 = *(u8 *)(r10 + 0); exit", "r3 = r10; *(u64 *)(r10 - 8) = 1; *(u64 *)(r3 - 3) = r10; exit",
     "call pc+1; exit; r1 = 0; call 6; r1 = 0x40; r2 = 4; call 6; exit"],
    ids=["read", "write", "helper"],
)  # fmt: skip
def test_up_to_a_fault(target: Target, text: str) -> None:
    """The last boundary is the faulting instruction's."""
    unit = unit_of(text, target.order)
    guest, right = emulated(unit, target, observe=True), reference(unit)
    steps = list(guest.trace(Input(MEMORY), World(), Limits()))
    assert steps == list(right.trace(Input(MEMORY), World(), Limits()))
    outcome = guest.run(Input(MEMORY), World(), Limits())
    assert outcome.fault is not None
    assert outcome.fault.pc == steps[-1].pc


@each_target
def test_what_is_written_shows_with_its_bytes(target: Target) -> None:
    text = "r1 = r2; *(u32 *)(r1 + 0) = 0x01020304; *(u32 *)(r1 + 0) = 0x01020304; exit"
    unit = unit_of(text, target.order, maps=(Map("data", value_size=8, initial=bytes(8)),))
    address = unit.map_regions[0].start + 4
    steps = list(emulated(unit, target, observe=True).trace(Input(registers={2: address}), World(), Limits()))
    written = ((address, (0x0102_0304).to_bytes(4, target.order)),)  # type: ignore[arg-type]
    assert [step.writes for step in steps] == [(), (), written, ()]


def plant(monkeypatch: pytest.MonkeyPatch, target: Target, name: str, change: dict[str, object]) -> None:
    """A backend that lowers one Op as if some of its fields were others."""
    kind = backend(target)
    original = getattr(kind, f"lower_{name}")

    def wrong(self: backends.Backend, op: Op) -> None:
        other = Op(**{slot: getattr(op, slot) for slot in Op.__slots__})
        for field, value in change.items():
            setattr(other, field, value)
        original(self, other)

    monkeypatch.setattr(kind, f"lower_{name}", wrong)


@each_target
@pytest.mark.parametrize(
    ("name", "change", "pc", "what"),
    [
        ("sub", {"imm": 3}, 2, "R3 is 0x"),
        ("load", {"off": 8}, 3, "R4 is 0x"),
        ("store", {"imm": 6}, 4, "it writes "),
        ("branch", {"cond": "jne"}, 5, "it goes to insn 6, expected 7"),
        ("xor", {"width": 32}, 7, "R5 is 0x"),
    ],
    ids=["sub", "load", "store", "branch", "xor"],
)
def test_a_planted_fault(
    target: Target, name: str, change: dict[str, object], pc: int, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever a lowering is wrong, the traces part behind that very instruction."""
    start = "r3 = 9; r5 = -1; r3 -= 2; r4 = *(u32 *)(r1 + 0); *(u64 *)(r10 - 8) = 5"
    text = f"{start}; if r3 == 7 goto +1; r0 = 1; r5 ^= 77; exit"
    assert traced(text, target) is None
    plant(monkeypatch, target, name, change)
    unit = unit_of(text, target.order)
    guest = ENGINES[target.name].prepare(unit, Options(observe=True))
    found = lockstep(reference(unit), guest, Input(MEMORY), World(), Limits())
    assert found is not None
    assert found.pc == pc, found
    assert found.what.startswith(what), found.what
    assert found.before is not None
    assert found.before.pc == pc
