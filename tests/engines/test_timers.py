"""Timers: what runs after a program, on the interpreter, every target and the host's CPU."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest

from bpf.errors import Refused
from bpf.plan import PLANS, Unit
from bpf.program import Map
from bpf.text import assemble
from engines import ENGINES, Engine, Options, engine
from engines.linux import LinuxEngine
from engines.lockstep import lockstep
from jit.registry import TARGETS
from tests.live_kernel import live
from vm.helpers.timers import MOST
from vm.outcome import Fault, Outcome, difference
from vm.world import Input, Limits, World

EBUSY, EINVAL, EDEADLK = -16, -22, -35
M64 = (1 << 64) - 1
OBSERVE = Options(observe=True)
LIMITS = Limits(instructions=100_000)
TIMERS = Map("timers", value_size=24, timer=8, max_entries=4)
HASH = Map("timers", "hash", value_size=24, timer=8, max_entries=4)
LOG = Map("log", value_size=64, initial=bytes(64))
FIND = "*(u32 *)(r10 - 4) = {}; r1 = map[idx:0]; r2 = r10; r2 += -4; call 1; if r0 != 0 goto +1; exit; r6 = r0; r6 += 8"
INIT = FIND + "; r1 = r6; r2 = map[idx:0]; r3 = 1; call 169"
CALLBACK = "r1 = r6; r2 = func[{}]; call 170"
START = "r1 = r6; r2 = {}; r3 = {}; call 171"
CANCEL = "r1 = r6; call 172"
NOTE = (
    "r7 = *(u32 *)(r2 + 0); r6 = map_value[idx:1][0]; r5 = *(u64 *)(r6 + 0); r5 <<= 4; r5 += r7; *(u64 *)(r6 + 0) = r5"
)
"""A callback's: the key joins the digits of the first word of the log."""


def armed(key: int, time: int, function: str = "f", flags: int = 0) -> str:
    return f"{INIT.format(key)}; {CALLBACK.format(function)}; {START.format(time, flags)}"


def put(key: int) -> str:
    return (
        f"*(u32 *)(r10 - 4) = {key}; *(u64 *)(r10 - 32) = 5; *(u64 *)(r10 - 24) = 0; *(u64 *)(r10 - 16) = 0; "
        "r1 = map[idx:0]; r2 = r10; r2 += -4; r3 = r10; r3 += -32; r4 = 0; call 2"
    )


END = f"exit; f: {NOTE}; r0 = 0; exit"
PROGRAMS: dict[str, tuple[int, int, Map, str]] = {  # R0, the log's first word, the map, the program
    "one": (0, 0x1, TIMERS, f"{armed(1, 1000)}; {END}"),
    "in the order of their times": (
        0, 0x132, TIMERS, f"{armed(2, 3000)}; {armed(1, 1000)}; {armed(3, 2000)}; {END}",
    ),
    "in the order of their starts": (0, 0x321, TIMERS, f"{armed(3, 0)}; {armed(2, 0)}; {armed(1, 0)}; {END}"),
    "by the clock": (0, 0x21, TIMERS, f"{armed(1, 2_000_000_000, flags=1)}; {armed(2, 7)}; {END}"),
    "flags of init": (EINVAL, 0, TIMERS, INIT.format(1).replace("r3 = 1", "r3 = 2") + "; exit"),
    "flags of start": (EINVAL, 0, TIMERS, f"{armed(1, 5, flags=4)}; {END}"),
    "twice": (EBUSY, 0, TIMERS, f"{INIT.format(1)}; {INIT.format(1)}; exit"),
    "not initialised": (
        3 * EINVAL, 0, TIMERS,
        f"{FIND.format(1)}; {CALLBACK.format('f')}; r7 = r0; {START.format(1, 0)}; r7 += r0; {CANCEL}; r0 += r7; {END}",
    ),
    "without a callback": (EINVAL, 0, TIMERS, f"{INIT.format(1)}; {START.format(1, 0)}; exit"),
    "cancelled": (1, 0, TIMERS, f"{armed(1, 1_000_000_000)}; {CANCEL}; {END}"),
    "cancelled twice": (0, 0, TIMERS, f"{armed(1, 1_000_000_000)}; {CANCEL}; {CANCEL}; {END}"),
    "cancelled has no callback": (
        EINVAL, 0, TIMERS, f"{armed(1, 1_000_000_000)}; {CANCEL}; {START.format(1, 0)}; {END}",
    ),
    "started again": (0, 0x21, TIMERS, f"{armed(1, 5)}; r8 = r6; {armed(2, 9)}; r6 = r8; {START.format(90, 0)}; {END}"),
    "in its own callback": (
        0, EDEADLK & M64, TIMERS,
        (f"{armed(1, 5)}; exit; f: r1 = r3; r1 += 8; call 172; r6 = map_value[idx:1][0]; "
         "*(u64 *)(r6 + 0) = r0; r0 = 0; exit"),
    ),
    "started by another's callback": (
        0, 0x21, TIMERS,
        (f"{armed(1, 5)}; r8 = r6; {armed(2, 1, 'g')}; r6 = r8; {CANCEL}; r1 = r8; r2 = func[f]; call 170; r0 = 0\n"
        f"exit; f: {NOTE}; r0 = 0; exit\ng: r8 = r1; {NOTE}; *(u32 *)(r10 - 4) = 1; r1 = r8\n"
        "r2 = r10; r2 += -4; call 1; if r0 == 0 goto +5; r1 = r0; r1 += 8; r2 = 9; r3 = 0; call 171; r0 = 0; exit"),
    ),
    "again and again": (
        0, MOST, TIMERS,
        (f"{armed(1, 5)}; exit; f: r1 = r3; r1 += 8; r2 = 5; r3 = 0; call 171; r6 = map_value[idx:1][0]; "
        "r5 = *(u64 *)(r6 + 0); r5 += 1; *(u64 *)(r6 + 0) = r5; r0 = 0; exit"),
    ),
    "sets itself": (
        0, 0x1, TIMERS,
        f"{armed(1, 5)}; exit; f: r8 = r3; {NOTE}; r1 = r8; r1 += 8; r2 = func[f]; call 170; r0 = 0; exit",
    ),
    "an element that goes": (
        0, 0x2, HASH, (f"{put(1)}; {put(2)}; {armed(1, 5)}; {armed(2, 9)}; *(u32 *)(r10 - 4) = 1; r1 = map[idx:0]; "
        f"r2 = r10; r2 += -4; call 3; {END}"),
    ),
    "an element that is changed": (0, 0, HASH, f"{put(1)}; {armed(1, 5)}; {put(1)}; {END}"),
    "an element of an array that is changed": (0, 0, TIMERS, f"{put(1)}; {armed(1, 5)}; {put(1)}; {END}"),
    "an element made again": (
        0, 0x1, HASH, (f"{put(1)}; {armed(1, 5)}; *(u32 *)(r10 - 4) = 1; r1 = map[idx:0]; r2 = r10; r2 += -4; call 3; "
        f"{put(1)}; {armed(1, 5)}; {END}"),
    ),
    "a value": (
        0, 5, HASH, (f"{put(1)}; {armed(1, 5)}; exit; f: r5 = *(u64 *)(r3 + 0); r6 = map_value[idx:1][0]; "
        "*(u64 *)(r6 + 0) = r5; r0 = 0; exit"),
    ),
}  # fmt: skip
each_program = pytest.mark.parametrize("name", PROGRAMS)


def unit_of(text: str, order: str, map_: Map = TIMERS, **more: Any) -> Unit:
    return Unit((assemble(text, order=order),), (map_, LOG), **more)


def agree(one: Engine, unit: Unit) -> tuple[Outcome, World]:
    worlds = World(), World()
    for options in (Options(), OBSERVE):
        worlds = World(), World()
        expected = ENGINES["interpreter"].prepare(unit, options).run(Input(), worlds[0], LIMITS)
        found = difference(expected, one.prepare(unit, options).run(Input(), worlds[1], LIMITS))
        assert found.decided
        assert not found, found.what
        assert worlds[0].snapshot() == worlds[1].snapshot()
    return expected, worlds[0]


@pytest.fixture(scope="module")
def cpu() -> Engine:
    try:
        found = engine("native")
        found.prepare(Unit((assemble("r0 = 0; exit", order=found.target.order),)))  # type: ignore[attr-defined]
    except Refused as reason:
        pytest.skip(str(reason))
    return found


@each_program
@pytest.mark.parametrize("target", TARGETS)
def test_programs(name: str, target: str) -> None:
    r0, log, map_, text = PROGRAMS[name]
    order = TARGETS[target].order
    outcome, _ = agree(ENGINES[target], unit_of(text, order, map_))
    assert outcome.status == "done", outcome.fault
    assert outcome.r0 == r0 & M64
    assert int.from_bytes((outcome.regions or {})["map log"][:8], order) == log  # type: ignore[arg-type]


@each_program
def test_programs_on_the_cpu(name: str, cpu: Engine) -> None:
    agree(cpu, unit_of(PROGRAMS[name][3], cpu.target.order, PROGRAMS[name][2]))  # type: ignore[attr-defined]


QUIET = (
    "flags of init", "flags of start", "twice", "not initialised", "without a callback", "cancelled", "cancelled twice",
    "cancelled has no callback",
)  # fmt: skip
"""No timer of these ever expires: the kernel's run at any moment after the program."""


@live
@pytest.mark.parametrize("name", QUIET)
def test_programs_on_the_kernel(name: str) -> None:
    unit = unit_of(PROGRAMS[name][3], sys.byteorder, PROGRAMS[name][2])
    expected = ENGINES["interpreter"].prepare(unit).run(Input(), World(), LIMITS)
    outcome = LinuxEngine().prepare(unit).run(Input(), World(), LIMITS)
    assert outcome.r0 == expected.r0
    assert (outcome.maps or {}) == (expected.maps or {})


@each_program
@pytest.mark.parametrize("target", TARGETS)
def test_traces(name: str, target: str) -> None:
    """The steps of a timer's callback are steps like any other."""
    unit = unit_of(PROGRAMS[name][3], TARGETS[target].order, PROGRAMS[name][2])
    both = [ENGINES[one].prepare(unit, OBSERVE) for one in ("interpreter", target)]
    assert lockstep(*both, Input(), World(), LIMITS) is None


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("target", TARGETS)
def test_plans(plan: str, target: str) -> None:
    """Callbacks find map, key and value wherever those lie, and have registers of their own."""
    body = "; ".join(f"*(u64 *)(r9 + {8 * n}) = r{n}" for n in range(1, 8))
    text = (
        f"r6 = 1; r7 = 2; {armed(1, 5)}; exit; f: r9 = map_value[idx:1][0]; {body}; r8 = *(u32 *)(r2 + 0); r0 = 0; exit"
    )
    outcome, _ = agree(ENGINES[target], unit_of(text, TARGETS[target].order, plan=PLANS[plan]))
    assert outcome.status == "done", outcome.fault


def test_the_clock_goes_on() -> None:
    _, world = agree(ENGINES["x86_64"], unit_of(f"{armed(1, 5000)}; {END}", "little"))
    assert world.clock == World().clock + 5000


def test_the_rest_is_for_the_next_run() -> None:
    prepared = ENGINES["riscv64"].prepare(unit_of(PROGRAMS["again and again"][3], "little"))
    world = World()
    prepared.run(Input(), world, LIMITS)
    assert [timer[3] >= 0 for timer in world.timers.values()] == [True]
    copy = world.copy()
    assert copy.snapshot() == world.snapshot()
    prepared.run(Input(), world, LIMITS)
    assert copy.snapshot() != world.snapshot()


def test_what_goes_wrong_in_a_callback(cpu: Engine) -> None:
    bad = f"{armed(1, 5)}; exit; f: r6 = 0; r0 = *(u64 *)(r6 + 8); exit"
    endless = f"{armed(1, 5)}; exit; f: goto -1"
    stranger = f"{armed(1, 5).replace('r2 = func[f]', 'r2 = 77')}; exit; f: r0 = 0; exit; g: r1 = func[f]; exit"
    for one in (*(ENGINES[name] for name in TARGETS), cpu):
        order = one.target.order  # type: ignore[attr-defined]
        if one is not cpu:  # whose process such an access ends
            fault = agree(one, unit_of(bad, order))[0].fault
            assert fault is not None and fault.kind == "read" and fault.address == 8
        assert agree(one, unit_of(stranger, order))[0].fault == Fault("call target", 0, -1, 77)
        prepared = one.prepare(unit_of(endless, order))
        assert prepared.run(Input(), World(), Limits(seconds=0.2)).status == "limit"
    limit = ENGINES["interpreter"].prepare(unit_of(endless, "little")).run(Input(), World(), LIMITS)
    assert limit.status == "limit"


def test_where_a_timer_may_be() -> None:
    for wrong, words in (
        (replace(TIMERS, timer=4), "a timer at offset 4"),
        (replace(TIMERS, timer=16), "a timer at offset 16"),
        (replace(TIMERS, kind="percpu_hash"), "cannot hold a timer"),
    ):
        with pytest.raises(Refused, match=words):
            unit_of("r0 = 0; exit", "little", wrong)
    plain = replace(TIMERS, timer=None)
    outcome = (
        ENGINES["interpreter"].prepare(unit_of(f"{armed(1, 5)}; {END}", "little", plain)).run(Input(), World(), LIMITS)
    )
    assert outcome.fault is not None and outcome.fault.kind == "map operation"


def test_nobody_sees_what_is_in_a_timer() -> None:
    outcome, _ = agree(ENGINES["arm64"], unit_of(f"{put(1)}; {armed(1, 5)}; {END}", "little", HASH))
    assert (outcome.maps or {})["timers"] == {(1).to_bytes(4, "little"): (5).to_bytes(8, "little") + bytes(16)}
