"""Tail calls on every engine: who is entered, how often, and what the one who called finds afterwards."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from bpf.errors import Refused
from bpf.plan import PLANS, POISON, Unit
from bpf.program import Map
from bpf.text import assemble
from engines import ENGINES, Engine, Options, engine
from engines.linux import LinuxEngine
from engines.lockstep import lockstep
from engines.surroundings import judge
from jit.registry import TARGETS
from tests.engines.chains import CHAINS, GIVEN, JUMP, Chain
from tests.live_kernel import live
from vm.outcome import Fault, Outcome, difference
from vm.world import Input, Limits, World

OBSERVE = Options(observe=True)
each_target = pytest.mark.parametrize("target", TARGETS)
each_chain = pytest.mark.parametrize("name", CHAINS)


def run(
    one: Engine, unit: Unit, options: Options = OBSERVE, world: World | None = None, limits: Limits | None = None
) -> Outcome:
    return one.prepare(unit, options).run(GIVEN, world or World(), limits or Limits())


def agree(one: Engine, unit: Unit, world: World | None = None, limits: Limits | None = None) -> Outcome:
    """The interpreter's outcome, which is the engine's too."""
    for options in (Options(), OBSERVE):
        expected = run(ENGINES["interpreter"], unit, options, world, limits)
        found = difference(expected, run(one, unit, options, world, limits))
        assert found.decided
        assert not found, found.what
    return expected


@pytest.fixture(scope="module")
def cpu() -> Engine:
    try:
        found = engine("native")
        run(found, CHAINS["one"].unit(found.target.order))  # type: ignore[attr-defined]
    except Refused as reason:
        pytest.skip(str(reason))
    return found


def on_the_kernel(unit: Unit, world: World | None = None) -> Outcome:
    """The interpreter's outcome, which is the kernel's too."""
    kernel, world = LinuxEngine(), world or World()
    expected = run(ENGINES["interpreter"], unit, world=world.copy())
    outcome = kernel.prepare(unit).run(GIVEN, world.copy(), Limits())
    found = judge(kernel, unit, expected, outcome, GIVEN, world, Limits())
    assert found.decided, found.why
    assert not found, found.what
    return expected


# Whole chains ------------------------------------------------------------------------------------


@each_chain
def test_results(name: str) -> None:
    for order in ("little", "big"):
        assert run(ENGINES["interpreter"], CHAINS[name].unit(order)).r0 == CHAINS[name].r0


@each_target
@pytest.mark.parametrize("plan", PLANS)
@each_chain
def test_chains(name: str, plan: str, target: str) -> None:
    assert agree(ENGINES[target], CHAINS[name].unit(TARGETS[target].order, plan)).r0 == CHAINS[name].r0


@each_chain
def test_chains_on_the_cpu(name: str, cpu: Engine) -> None:
    assert agree(cpu, CHAINS[name].unit(cpu.target.order)).r0 == CHAINS[name].r0  # type: ignore[attr-defined]


@live
@each_chain
def test_chains_on_the_kernel(name: str) -> None:
    assert on_the_kernel(CHAINS[name].unit(sys.byteorder)).r0 == CHAINS[name].r0


@each_target
@each_chain
def test_traces(name: str, target: str) -> None:
    unit = CHAINS[name].unit(TARGETS[target].order)
    both = (ENGINES[one].prepare(unit, OBSERVE) for one in ("interpreter", target))
    assert lockstep(*both, GIVEN, World(), Limits()) is None


# What is around them -----------------------------------------------------------------------------


@each_target
@pytest.mark.parametrize("limit", [0, 1, 32, 33])
def test_the_limit(limit: int, target: str) -> None:
    unit = CHAINS["34 calls"].unit(TARGETS[target].order)
    assert agree(ENGINES[target], unit, limits=Limits(tail_calls=limit)).r0 == limit * 1000 + 1001
    with pytest.raises(ValueError, match="0 to 33"):
        Limits(tail_calls=34)


UPDATES = {(1, 2): 17, (2, 1): 28, (-1, 2): 1, (): 1, (1,): 17}


def updated(order: str) -> Unit:
    return Chain(0, (f"r3 = 0; {JUMP}; r0 = 1; exit", "r0 = 17; exit", "r0 = 28; exit"), (2, 2)).unit(order)


@pytest.mark.parametrize("name", ["interpreter", *TARGETS])
def test_a_changed_prog_array_takes_effect(name: str) -> None:
    """No compilation in between."""
    prepared = ENGINES[name].prepare(updated(TARGETS[name].order if name in TARGETS else "little"))
    for programs, r0 in UPDATES.items():
        assert prepared.run(GIVEN, World(programs={"jumps": programs}), Limits()).r0 == r0
    assert prepared.run(GIVEN, World(), Limits()).r0 == 28
    with pytest.raises(Refused, match="program 3 is not there"):
        prepared.run(GIVEN, World(programs={"jumps": (3,)}), Limits())


@live
def test_a_changed_prog_array_on_the_kernel() -> None:
    unit = updated(sys.byteorder)
    prepared = LinuxEngine().prepare(unit)
    for programs, r0 in UPDATES.items():
        assert prepared.run(GIVEN, World(programs={"jumps": programs}), Limits()).r0 == r0


def test_a_changed_prog_array_on_the_cpu(cpu: Engine) -> None:
    prepared = cpu.prepare(updated(cpu.target.order))  # type: ignore[attr-defined]
    for programs, r0 in UPDATES.items():
        assert prepared.run(GIVEN, World(programs={"jumps": programs}), Limits()).r0 == r0


def unverified(*texts: str, order: str, programs: tuple[int, ...] = (1,)) -> Unit:
    return Chain(0, texts, programs).unit(order)


@each_target
@pytest.mark.parametrize("register", range(6))
def test_registers_after_a_call_that_failed(register: int, target: str) -> None:
    text = f"r0 = 1; r4 = 4; r5 = 5; r3 = 9; {JUMP}; r0 = r{register}; exit"
    outcome = agree(ENGINES[target], unverified(text, order=TARGETS[target].order, programs=(0,)))
    assert outcome.r0 == POISON + register


@each_target
@pytest.mark.parametrize("register", [0, 2, 3, 4, 5])
def test_registers_of_the_target(register: int, target: str) -> None:
    """Nothing is left of the caller's but R1; programs[0] finds the same when it is entered again."""
    order = TARGETS[target].order
    text = f"r3 = 0; r4 = 4; r5 = 5; {JUMP}; r0 = 1; exit"
    found = agree(ENGINES[target], unverified(text, f"r0 = r{register}; exit", order=order))
    assert found.r0 == POISON + register
    again = f"r6 = r{register}; r8 = map_value[idx:0][0]; r9 = *(u64 *)(r8 + 0); *(u64 *)(r8 + 0) = 1"
    text = f"{again}; if r9 != 0 goto out; r3 = 0; r5 = 5; {JUMP}; out: r0 = r6; exit"
    assert agree(ENGINES[target], unverified(text, order=order, programs=(0,))).r0 == POISON + register


@each_target
def test_the_context_is_handed_on(target: str) -> None:
    unit = unverified(f"r3 = 0; {JUMP}; exit", "r6 = r1; r0 = *(u8 *)skb[1]; exit", order=TARGETS[target].order)
    assert agree(ENGINES[target], unit).r0 == 15


@each_target
@pytest.mark.parametrize("register", [6, 7, 8, 9])
def test_callee_saved_registers_are_the_callers(register: int, target: str) -> None:
    """What a target finds in R6-R9 is what the frame's caller has there, not the program before it."""
    first = f"r{register} = 55; call f; exit; f: r{register} = 66; r3 = 0; {JUMP}; r0 = 1; exit"
    unit = unverified(first, f"r0 = r{register}; exit", order=TARGETS[target].order)
    assert agree(ENGINES[target], unit).r0 == 55
    unit = unverified(f"r{register} = 55; r3 = 0; {JUMP}; exit", f"r0 = r{register}; exit", order=TARGETS[target].order)
    agree(ENGINES[target], unit)


@each_target
def test_a_fault_names_its_program(target: str) -> None:
    unit = unverified(
        f"r3 = 0; {JUMP}; r0 = 1; exit", "r0 = 1; call f; exit; f: r6 = 0; r0 = *(u64 *)(r6 + 16); exit",
        order=TARGETS[target].order,
    )  # fmt: skip
    outcome = agree(ENGINES[target], unit)
    assert outcome.fault == Fault("read", 1, 4, 16)
    assert str(outcome.fault) == "read fault of 0x10 at insn 4 of program 1"


def test_a_fault_on_the_cpu_names_its_program(cpu: Engine) -> None:
    unit = unverified(f"r3 = 0; {JUMP}; exit", "r0 = 1; r6 = 99; callx r6; exit", order=cpu.target.order)  # type: ignore[attr-defined]
    assert agree(cpu, unit).fault == Fault("call target", 1, 2, 99)


@each_target
def test_functions_of_another_program_are_none(target: str) -> None:
    """callx calls what the program itself has taken the address of, wherever the pointer comes from."""
    first = f"r6 = func[f]; r7 = map_value[idx:0][0]; *(u64 *)(r7 + 0) = r6; r3 = 0; {JUMP}; exit; f: r0 = 3; exit"
    second = "r6 = map_value[idx:0][0]; r6 = *(u64 *)(r6 + 0); callx r6; exit"
    outcome = agree(ENGINES[target], unverified(first, second, order=TARGETS[target].order))
    assert outcome.fault is not None and (outcome.fault.kind, outcome.fault.program) == ("call target", 1)
    second = second.replace("exit", "exit; g: r0 = 4; exit; r1 = func[g]; exit")
    outcome = agree(ENGINES[target], unverified(first, second, order=TARGETS[target].order))
    assert outcome.fault is not None and outcome.fault.kind == "call target"
    call_itself = f"r3 = 0; {JUMP}; exit"
    own = "r6 = func[g]; callx r6; exit; g: r0 = 4; exit"
    assert agree(ENGINES[target], unverified(call_itself, own, order=TARGETS[target].order)).r0 == 4


@each_target
def test_may_goto_starts_again_in_the_target(target: str) -> None:
    turns = "r0 = 0; may_goto +2; r0 += 1; goto -3; "
    unit = unverified(
        f"call f; r6 = r0; {turns}r0 *= 100; r0 += r6; exit; f: r6 = r1; {turns}r1 = r6; r3 = 0; {JUMP}; exit",
        f"{turns}exit", order=TARGETS[target].order,
    )  # fmt: skip
    assert agree(ENGINES[target], unit, limits=Limits(may_goto=7)).r0 == 707


@each_target
def test_batches_count_for_each_input(target: str) -> None:
    """A program without stores runs in batches."""
    jumps = Map("jumps", "prog_array", programs=(0,))
    text = "r6 = r1; call f; r0 += 1; exit; f: r3 = 0; r2 = map[idx:0]; call 12; r0 = 100; exit"
    unit = Unit((assemble(text, order=TARGETS[target].order),), (jumps,))
    entries = [Input(registers={1: number}) for number in range(5)]
    wanted, got = (
        ENGINES[one].prepare(unit, OBSERVE).run_many(entries, World(), Limits()) for one in ("interpreter", target)
    )
    assert [outcome.r0 for outcome in wanted] == [134] * 5
    for a, b in zip(wanted, got, strict=True):
        assert not difference(a, b)


@each_target
def test_prog_arrays_cannot_be_written(target: str) -> None:
    unit = unverified("r1 = map_value[idx:0][0]; r1 += 0x1000; exit", order=TARGETS[target].order, programs=(0,))
    address = unit.map_regions[1].start
    text = f"r1 = {address} ll; *(u64 *)(r1 + 0) = 0; exit"
    outcome = agree(ENGINES[target], unverified(text, order=TARGETS[target].order, programs=(0,)))
    assert outcome.fault == Fault("write", 0, 2, address)


# The live kernel ---------------------------------------------------------------------------------


@live
def test_what_the_kernel_refuses_of_tail_calls() -> None:
    def refused(*texts: str, why: str, unit: Unit | None = None) -> None:
        with pytest.raises(Refused, match=why):
            LinuxEngine().prepare(unit or unverified(*texts, order=sys.byteorder)).run(GIVEN, World(), Limits())

    refused(f"r3 = 9; {JUMP}; exit", "r0 = 1; exit", why="R0 !read_ok")
    refused(f"r3 = 0; {JUMP}; r0 = 1; exit", "r6 = 0; r0 = r7; exit", why="program 1: R7 !read_ok")
    refused(f"r1 = 0; r3 = 0; {JUMP}; r0 = 1; exit", "r0 = 1; exit", why="R1 type=scalar expected=ctx")
    chain = unverified(f"r3 = 0; {JUMP}; r0 = 1; exit", "r0 = 1; exit", order=sys.byteorder)
    plain = Unit(chain.programs, chain.maps)
    with pytest.raises(Refused, match="Sleepable programs can only use"):
        LinuxEngine().prepare(plain).run(Input(), World(), Limits())


@live
def test_the_kernel_counts_registers_and_maps() -> None:
    """R6-R9 and the maps of the program that ends the run are shown."""
    first = f"r6 = 1; r7 = map_value[idx:0][8]; *(u64 *)(r7 + 0) = r6; r3 = 0; {JUMP}; r0 = 0; exit"
    unit = unverified(
        first, "r9 = 77; r8 = map_value[idx:0][16]; *(u64 *)(r8 + 0) = r9; r0 = 1; exit", order=sys.byteorder
    )
    on_the_kernel(unit)
    outcome = LinuxEngine().prepare(unit).run(GIVEN, World(), Limits())
    assert outcome.registers is not None and outcome.registers[9] == 77
    assert outcome.regions is not None and set(outcome.regions) == {"map kept"}
    assert replace(outcome, regions=None).r0 == 1
