"""Functions that helpers call: the loop helper on every engine."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from bpf.errors import Refused
from bpf.plan import PLANS, POISON, Unit
from bpf.program import Map
from bpf.spec.conventions import PACKET, SUITE
from bpf.text import assemble
from engines import ENGINES, Engine, Options, engine
from engines.linux import LinuxEngine
from engines.lockstep import lockstep
from engines.surroundings import judge
from fuzz.mutants.variant import variant
from jit.registry import TARGETS
from tests.live_kernel import live
from vm.outcome import Fault, Outcome, difference
from vm.world import Input, Limits, World

OBSERVE = Options(observe=True)
LIMITS = Limits(instructions=100_000, seconds=5.0, may_goto=5)
E2BIG = 0xFFFF_FFF9
KEPT = Map("kept", value_size=64, initial=bytes(64))
ADD = "r5 = map_value[idx:0][0]; r4 = *(u64 *)(r5 + 0); r4 += {}; *(u64 *)(r5 + 0) = r4"


def loop(turns: str, function: str = "f", context: str = "0", flags: str = "0") -> str:
    return f"r1 = {turns}; r2 = func[{function}]; r3 = {context}; r4 = {flags}; call 181"


STORES = "r8 = *(u64 *)(r2 + 0); r8 += r1; *(u64 *)(r2 + 0) = r8"
PROGRAMS: dict[str, tuple[int, str]] = {
    "no turn": (0, f"{loop('0')}; exit; f: r0 = 1; exit"),
    "one turn": (1, f"{loop('1')}; exit; f: r0 = 0; exit"),
    "every turn": (9, f"{loop('9')}; exit; f: r0 = 0; exit"),
    "until it has enough": (4, f"{loop('9')}; exit; f: r0 = 0; if r1 != 3 goto +1; r0 = 1; exit"),
    "flags": (-22, f"{loop('9', flags='1')}; exit; f: r0 = 0; exit"),
    "too many": (E2BIG, f"{loop('0x800001')}; exit; f: r0 = 0; exit"),
    "too many beyond 32 bits": (E2BIG, f"{loop('0x100000001 ll')}; exit; f: r0 = 0; exit"),
    "as many as may be": (1, f"{loop('0x800000')}; exit; f: r0 = 1; exit"),
    "a context on the stack": (
        45, (f"*(u64 *)(r10 - 8) = 0; {loop('10', context='r10').replace('r4 =', 'r3 += -8; r4 =')}\n"
        f"r0 = *(u64 *)(r10 - 8); exit; f: {STORES}; r0 = 0; exit"),
    ),
    "registers of the caller": (
        6 + 70 + 800 + 9000 + 3,
        (f"r6 = 6; r7 = 70; r8 = 800; r9 = 9000; {loop('3')}; r0 += r6; r0 += r7; r0 += r8; r0 += r9; exit\n"
        "f: r6 = 1; r7 = 1; r8 = 1; r9 = 1; r0 = 0; exit"),
    ),
    "its own frame": (
        5 + 2, (f"*(u64 *)(r10 - 8) = 5; {loop('2')}; r1 = *(u64 *)(r10 - 8); r0 += r1; exit\n"
        "f: *(u64 *)(r10 - 8) = 9; call g; r0 = *(u64 *)(r10 - 8); r0 -= 9; exit\n"
        "g: *(u64 *)(r10 - 8) = 3; r0 = 1; exit"),
    ),
    "loops in loops": (
        3 * 4 * 5, (f"{loop('3', 'f')}; r1 = map_value[idx:0][0]; r0 = *(u64 *)(r1 + 0); exit\n"
        f"f: {loop('4', 'g')}; r0 = 0; exit\ng: {loop('5', 'h')}; r0 = 0; exit\nh: {ADD.format(1)}; r0 = 0; exit"),
    ),
    "from a function": (12, f"call f; r0 += 5; exit; f: r6 = 7; {loop('7', 'g')}; exit; g: r6 = 1; r0 = 0; exit"),
    "two functions": (
        3, (f"{loop('3', 'f')}; r6 = r0; {loop('5', 'g')}; r6 += r0; r0 = r6; r0 += -1; exit\n"
        "f: r0 = 0; exit; g: r0 = 1; exit"),
    ),
}  # fmt: skip
each_target = pytest.mark.parametrize("target", TARGETS)
each_program = pytest.mark.parametrize("name", PROGRAMS)


def unit_of(text: str, order: str, plan: str = "high", **more: Any) -> Unit:
    return Unit((assemble(text, order=order),), (KEPT,), plan=PLANS[plan], **more)


def run(one: Engine, unit: Unit, options: Options = OBSERVE, limits: Limits = LIMITS) -> Outcome:
    return one.prepare(unit, options).run(Input(), World(), limits)


def agree(one: Engine, unit: Unit) -> Outcome:
    for options in (Options(), OBSERVE):
        expected = run(ENGINES["interpreter"], unit, options)
        found = difference(expected, run(one, unit, options))
        assert found.decided
        assert not found, found.what
    return expected


@pytest.fixture(scope="module")
def cpu() -> Engine:
    try:
        found = engine("native")
        run(found, unit_of("r0 = 0; exit", found.target.order))  # type: ignore[attr-defined]
    except Refused as reason:
        pytest.skip(str(reason))
    return found


@each_target
@pytest.mark.parametrize("plan", PLANS)
@each_program
def test_programs(name: str, plan: str, target: str) -> None:
    r0, text = PROGRAMS[name]
    assert agree(ENGINES[target], unit_of(text, TARGETS[target].order, plan)).r0 == r0 & (1 << 64) - 1


@each_program
def test_programs_on_the_cpu(name: str, cpu: Engine) -> None:
    agree(cpu, unit_of(PROGRAMS[name][1], cpu.target.order))  # type: ignore[attr-defined]


@live
@each_program
def test_programs_on_the_kernel(name: str) -> None:
    if name == "no turn":
        pytest.skip("Linux 6.18 removes the function that is never called, and then misses it: `verifier bug`")
    unit, kernel = unit_of(PROGRAMS[name][1], sys.byteorder), LinuxEngine()
    expected = run(ENGINES["interpreter"], unit)
    outcome = kernel.prepare(unit).run(Input(), World(), LIMITS)
    found = judge(kernel, unit, expected, outcome, Input(), World(), LIMITS)
    assert found.decided, found.why
    assert not found, found.what


@each_target
@each_program
def test_traces(name: str, target: str) -> None:
    """The steps of a callback are steps like any other."""
    unit = unit_of(PROGRAMS[name][1], TARGETS[target].order)
    both = [ENGINES[one].prepare(unit, OBSERVE) for one in ("interpreter", target)]
    assert lockstep(*both, Input(), World(), LIMITS) is None
    assert any(step.pc >= unit.whole.functions[1].start for step in both[0].trace(Input(), World(), LIMITS)) == (
        name not in ("no turn", "flags", "too many", "too many beyond 32 bits")
    )


def everywhere(text: str, cpu: Engine | None = None, **more: Any) -> Outcome:
    for name, target in TARGETS.items():
        found = agree(ENGINES[name], unit_of(text, target.order, **more))
    if cpu is not None:
        agree(cpu, unit_of(text, cpu.target.order, **more))  # type: ignore[attr-defined]
    return found


def test_registers_of_a_callback() -> None:
    for register, value in ((0, POISON), (1, 0), (2, 77), (3, POISON + 3), (4, POISON + 4), (5, POISON + 5)):
        text = f"{loop('1', context='77')}; r1 = map_value[idx:0][0]; r0 = *(u64 *)(r1 + 0); exit\n"
        text += f"f: r6 = r{register}; r7 = map_value[idx:0][0]; *(u64 *)(r7 + 0) = r6; r0 = 0; exit"
        assert everywhere(text).r0 == value
    for register in (6, 7, 8, 9):
        found = everywhere(f"r{register} = 1; {loop('5')}; exit; f: r0 = r{register}; exit")
        assert found.r0 == 1
    for register in range(1, 6):
        assert everywhere(f"{loop('1')}; r0 = r{register}; exit; f: r0 = 0; exit").r0 == POISON + register


def test_a_callback_that_ends_the_run(cpu: Engine) -> None:
    read = f"r6 = 0; {loop('3')}; exit; f: r6 = 0; r0 = *(u64 *)(r6 + 8); exit"
    assert everywhere(read).fault == Fault("read", 0, 9, 8)
    deep = f"{loop('3')}; exit; f: {loop('2', 'g')}; exit; g: call 5; r1 = 8; r2 = 16; call 16; exit"
    assert everywhere(deep, cpu).fault == Fault("write", 0, 17, 8)
    for function in ("77", f"0x{PLANS['high'].entry(0):x} ll", f"0x{PLANS['high'].entry(1):x} ll"):
        text = f"r1 = 1; r2 = {function}; r3 = 0; r4 = 0; call 181; call f; exit; f: r0 = 0; exit"
        found = everywhere(text, cpu).fault
        assert found is not None and found.kind == "call target"
    endless = f"{loop('3')}; exit; f: goto -1; exit"
    for name, target in TARGETS.items():
        assert run(ENGINES[name], unit_of(endless, target.order), limits=Limits(seconds=0.2)).status == "limit"
    assert run(cpu, unit_of(endless, cpu.target.order), limits=Limits(seconds=0.2)).status == "limit"  # type: ignore[attr-defined]
    assert run(ENGINES["interpreter"], unit_of(endless, "little")).status == "limit"
    everywhere("r0 = 3; exit", cpu)  # the machines are whole


def test_helpers_and_counters_inside(cpu: Engine) -> None:
    calls = f"{loop('3')}; exit; f: call 7; r6 = r0; call 5; r6 += r0; r0 = r6; r0 -= r6; exit"
    outcome = everywhere(calls, cpu)
    assert [call.helper for call in outcome.calls or ()] == ["loop", *("get_prandom_u32", "ktime_get_ns") * 3]
    counts = f"{loop('4')}; {ADD.format(0)}; r0 = r4; exit; f: may_goto +6; {ADD.format(1)}; goto -7; r0 = 0; exit"
    assert everywhere(counts, cpu).r0 == 4 * 5


def test_by_register(cpu: Engine) -> None:
    text = f"r6 = 181; {loop('3').replace('call 181', 'callx r6')}; exit; f: r0 = 0; exit"
    assert everywhere(text, cpu).r0 == 3


@each_target
def test_a_callback_that_breaks_the_convention(target: str) -> None:
    """Machine code that does not put R6 back is found out where it returns to the helper."""
    unit = unit_of(f"{loop('2')}; exit; f: r6 = 0; r0 = 0; exit", TARGETS[target].order)
    (engine_,) = variant([TARGETS[target]], {"jit.backend": [("SAVED = (6, 7, 8, 9)", "SAVED = (7, 8, 9)")]})
    fault = run(engine_, unit).fault
    assert fault is not None and fault.kind == "abi" and "in a callback: callee-saved" in fault.detail


def test_tail_calls_from_a_callback(cpu: Engine) -> None:
    jumps = Map("jumps", "prog_array", programs=(1,))
    text = f"{loop('40')}; exit; f: r3 = 0; r2 = map[idx:0]; call 12; r0 = 1; exit"
    for name, order in [*((name, target.order) for name, target in TARGETS.items()), ("", sys.byteorder)]:
        unit = Unit((assemble(text, order=order), assemble("r6 = 3; r0 = 0; exit", order=order)), (jumps,))
        assert agree(ENGINES[name] if name else cpu, unit).r0 == 34


def test_conventions() -> None:
    assert 181 not in SUITE.helpers and PACKET.helpers[181].callback == 2
    with pytest.raises(Refused, match="unknown helper 181"):
        unit_of("call 181; exit", "little", convention=SUITE)
