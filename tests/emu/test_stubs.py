"""Helper calls from machine code: arguments, results, poison, faults, and the way out of a run."""

from __future__ import annotations

from bpf.plan import DEFAULT_PLAN, PLANS, POISON, Plan, Unit
from bpf.spec.conventions import SUITE
from jit.target import Target
from tests.emu.native import MEMORY, assert_healthy, each_plan, each_target, emulated, reference, source, unit_of
from vm.outcome import Call, Fault, difference
from vm.world import Input, Limits, World


def suite(text: str, order: str) -> Unit:
    """A unit of the conformance suite's convention."""
    return Unit((source(text, order),), convention=SUITE)


@each_target
@each_plan
def test_the_registers_after_a_call(target: Target, plan: Plan) -> None:
    """R0 is the result, R1-R5 are poison, R6-R10 as before."""
    for register in range(1, 6):
        unit = unit_of(f"call 8; r0 += r{register}; exit", target.order, plan)
        outcome = emulated(unit, target).run(Input(), World(cpu=3), Limits())
        assert outcome.r0 == POISON + register + 3
    unit = unit_of("call 8; exit", target.order, plan)
    entry = Input(registers={number: number << 60 | number for number in range(1, 10)})
    outcome = emulated(unit, target, observe=True).run(entry, World(cpu=3), Limits())
    assert outcome.registers == (3, *(POISON + n for n in range(1, 6)), *(n << 60 | n for n in range(6, 10)))


@each_target
def test_poison_after_a_local_call(target: Target) -> None:
    for register in range(1, 6):
        unit = unit_of(f"call pc+2; r0 += r{register}; exit; r{register} = 1; r0 = 3; exit", target.order)
        assert emulated(unit, target).run(Input(), World(), Limits()).r0 == POISON + register + 3


@each_target
def test_poison_where_a_function_starts(target: Target) -> None:
    for text in ("exit", "r0 = 1; call pc+1; exit; exit"):
        for observe in (False, True):
            unit = unit_of(text, target.order)
            assert emulated(unit, target, observe=observe).run(Input(), World(), Limits()).r0 == POISON


@each_target
def test_arguments_are_recorded(target: Target) -> None:
    """As many as the prototype has, in order, all 64 bits."""
    text = "r3 = 0x8000000000000003 ll; r4 = -4; r5 = 5; call 6; call 8; r1 = r10; r1 += -16; r2 = 16; call 16; exit"
    unit = unit_of(text, target.order)
    outcome = emulated(unit, target).run(Input(b"%lx %d\0\0"), World(comm=b"name"), Limits())
    assert outcome.calls == (
        Call("trace_printk", (DEFAULT_PLAN.memory, 8, 0x8000_0000_0000_0003, (1 << 64) - 4, 5)),
        Call("get_smp_processor_id", ()),
        Call("get_current_comm", (DEFAULT_PLAN.stack - 16, 16)),
    )
    assert outcome.printed == ("8000000000000003 -4",)
    assert outcome.regions is not None
    assert outcome.regions["stack"][-16:] == b"name".ljust(16, b"\0")


@each_target
def test_a_helper_that_faults(target: Target) -> None:
    """The fault is the calling instruction's; what was written before it stays."""
    for plan in PLANS.values():
        unit = unit_of("r6 = 1; r1 = r10; r1 += -5; r2 = 16; call 16; r0 = 1; exit", target.order, plan)
        first = reference(unit).run(Input(), World(), Limits())
        outcome = emulated(unit, target).run(Input(), World(), Limits())
        assert outcome.fault == Fault("write", 0, 4, plan.stack)
        assert outcome.calls == (Call("get_current_comm", (plan.stack - 5, 16)),)
        assert not difference(first, outcome)
        assert outcome.regions is not None
        assert outcome.regions["stack"][-5:] == b"cross"
    assert_healthy(target)


@each_target
def test_a_format_that_cannot_be_read(target: Target) -> None:
    unit = unit_of("r1 = 0x40; r2 = 4; call 6; exit", target.order)
    outcome = emulated(unit, target).run(Input(), World(), Limits())
    assert outcome.fault == Fault("read", 0, 2, 0x40)
    assert not outcome.printed


@each_target
def test_unwind_ends_the_run(target: Target) -> None:
    """From within a function too, with R6-R9 changed on the way."""
    unit = suite(
        "r6 = 6; r1 = 9; call 5; r7 = r0; call pc+2; r0 = 1; exit; r8 = 8; r1 = 0; call 5; r0 = 2; exit", target.order
    )
    first = reference(unit).run(Input(), World(), Limits())
    outcome = emulated(unit, target).run(Input(), World(), Limits())
    assert (outcome.status, outcome.r0, outcome.fault) == ("done", 0, None)
    assert outcome.calls == (Call("unwind", (9,)), Call("unwind", (0,)))
    assert not difference(first, outcome)
    assert_healthy(target)


@each_target
def test_an_unwind_that_goes_on(target: Target) -> None:
    unit = suite("r1 = 7; call 5; r0 += 1; exit", target.order)
    assert emulated(unit, target).run(Input(), World(), Limits()).r0 == 8


@each_target
def test_calls_from_the_eighth_frame(target: Target) -> None:
    """sp is aligned and the return address right at every depth."""
    body = "; ".join(["call pc+1; exit"] * 7) + "; r6 = r1; call 8; r0 += r6; exit"
    unit = unit_of(body, target.order)
    entry = Input(registers={1: 40})
    outcome = emulated(unit, target).run(entry, World(cpu=2), Limits())
    assert outcome.r0 == 42
    assert not difference(reference(unit).run(entry, World(cpu=2), Limits()), outcome)


@each_target
def test_the_world_is_the_helpers(target: Target) -> None:
    """Clock and random stream move on from call to call, as in the interpreter."""
    unit = unit_of(
        "call 5; r6 = r0; call 5; r6 -= r0; call 7; r7 = r0; call 7; r7 -= r0; r0 = r6; r0 ^= r7; exit", target.order
    )
    worlds = World(clock=5, tick=7, random=9), World(clock=5, tick=7, random=9)
    first = reference(unit).run(Input(MEMORY), worlds[0], Limits())
    assert not difference(first, emulated(unit, target).run(Input(MEMORY), worlds[1], Limits()))
    assert worlds[0] == worlds[1] != World(clock=5, tick=7, random=9)
