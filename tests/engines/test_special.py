"""may_goto, callx, packet loads and arena pointers in whole programs: traces, batches, the CPU, the live kernel."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from bpf.errors import Refused
from bpf.isa import ROWS, Kind, Row
from bpf.plan import COUNTER, FRAME, PLANS, POISON, Unit
from bpf.program import MAX_FRAMES, Map
from bpf.spec.conventions import PACKET, SUITE
from bpf.text import assemble
from emu.guest import Guest
from emu.machine import NATIVE_STACK
from engines import ENGINES, Engine, Options, engine
from engines.linux import LinuxEngine
from engines.lockstep import lockstep
from engines.native import worker
from engines.plugin import PluginEngine
from engines.surroundings import judge
from fuzz.suite.rows import exercises
from fuzz.suite.special import ARENA, applies, entry_for
from fuzz.suite.special import FRAME as FRAME_BYTES
from jit.ops import Front, Op, front
from jit.pipeline import compile_front
from jit.registry import TARGETS
from jit.target import Target
from tests.engines.kernel import Stand
from tests.live_kernel import live
from vm.outcome import Call, Difference, Outcome, difference
from vm.world import Input, Limits, World

LIMITS = Limits(may_goto=9)
OBSERVE = Options(observe=True)
PACKETS: dict[str, Any] = {"convention": PACKET}
GIVEN = Input(packet=FRAME_BYTES)
each_target = pytest.mark.parametrize("target", TARGETS)
each_plan = pytest.mark.parametrize("plan", PLANS)

PROGRAMS: dict[str, tuple[str, dict[str, Any]]] = {
    "a loop that runs out": (
        "r6 = 0; again: may_goto out; r6 += 1; *(u64 *)(r10 - 8) = r6; goto again; out: r0 = r6; exit", {},
    ),
    "counters of frames": (
        """r6 = 5; more: call f; r7 += r0; r6 += -1; may_goto end; if r6 != 0 goto more; end: r0 = r7; exit
        f: r0 = 0; again: may_goto out; call g; goto again; out: exit
        g: may_goto +1; r0 += 1; may_goto -2; exit""", {},
    ),
    "calls by register": (
        """r7 = func[g]; r1 = 3; call f; r9 = r0; r1 = r9; callx r7; r0 += r9; r8 = 8; callx r8; exit
        f: r2 = func[h]; r6 = r1; callx r2; r0 += r6; exit
        h: r0 = r1; r0 += r10; exit
        g: *(u64 *)(r10 - 16) = r1; r7 = *(u64 *)(r10 - 16); r7 *= 7; r0 = r7; exit""", {},
    ),
    "a helper with memory": ("r1 = r10; r1 += -16; r2 = 16; r5 = 16; callx r5; r0 = *(u64 *)(r10 - 16); exit", {}),
    "a helper that faults": ("r1 = 8; r2 = 16; r0 = 16; callx r0; exit", {}),
    "a helper that ends the run": ("call f; r0 = 1; exit; f: r1 = 0; r6 = 5; callx r6; exit", {"convention": SUITE}),
    "loads from the packet": (
        """r6 = r1; r7 = 0; again: may_goto out; r0 = *(u8 *)skb[r7 + 1]; r8 += r0; r7 += 1; goto again
        out: r0 = *(u32 *)skb[-2097152]; r0 ^= r8; call f; exit; f: r0 = *(u16 *)skb[0x7fff]; r0 = 3; exit""", PACKETS,
    ),
    "the end of a packet": ("r6 = r1; r7 = 0; again: r0 = *(u32 *)skb[r7 + 0]; r7 += 3; goto again; exit", PACKETS),
    "pointers of an arena": (
        """r1 = map_value[idx:0][8]; w2 = w1; r2 = addr_space_cast(r2, 0, 1); *(u64 *)(r2 + 0) = r1
        r3 = *(u64 *)(r2 + 0); r3 = addr_space_cast(r3, 1, 0); r0 = *(u32 *)(r3 + 0); exit""", {"maps": (ARENA,)},
    ),
}  # fmt: skip
each_program = pytest.mark.parametrize("name", PROGRAMS)


def unit_of(name: str, order: str, plan: str = "high") -> Unit:
    text, more = PROGRAMS[name]
    return Unit((assemble(text, order=order),), plan=PLANS[plan], **more)


def run(one: Engine, unit: Unit, options: Options = OBSERVE, given: Input = GIVEN) -> Outcome:
    return one.prepare(unit, options).run(given, World(), LIMITS)


@each_target
@each_plan
@each_program
def test_programs(name: str, plan: str, target: str) -> None:
    unit = unit_of(name, TARGETS[target].order, plan)
    for options in (OBSERVE, Options()):
        found = difference(run(ENGINES["interpreter"], unit, options), run(ENGINES[target], unit, options))
        assert found.decided
        assert not found, found.what


@each_target
@each_program
def test_traces(name: str, target: str) -> None:
    unit = unit_of(name, TARGETS[target].order)
    both = (ENGINES[one].prepare(unit, OBSERVE) for one in ("interpreter", target))
    assert lockstep(*both, GIVEN, World(), LIMITS) is None


@each_target
def test_batches(target: str) -> None:
    """A loop without stores runs in batches; each input has counters of its own."""
    called = "f: r0 = 0; may_goto -2; exit"
    text = f"r6 = 0; again: may_goto out; r6 += 1; if r6 < r3 goto again; out: call f; r0 += r6; exit; {called}"
    unit = Unit((assemble(text, order=TARGETS[target].order),))
    entries = [Input(registers={3: turns}) for turns in (0, 5, 100, 3, 200, 9, 10)]
    wanted, got = (
        ENGINES[one].prepare(unit, OBSERVE).run_many(entries, World(), LIMITS) for one in ("interpreter", target)
    )
    assert [outcome.r0 for outcome in wanted] == [1, 5, 9, 3, 9, 9, 9]
    for a, b in zip(wanted, got, strict=True):
        assert not difference(a, b)


@each_target
def test_inputs_with_packets_of_their_own(target: str) -> None:
    unit = Unit((assemble("r6 = r1; r0 = *(u8 *)skb[0]; exit", order=TARGETS[target].order),), convention=PACKET)
    entries = [Input(packet=bytes(range(n, n + 20)), network=n) for n in (3, 4, 4, 20)]
    got = ENGINES[target].prepare(unit, OBSERVE).run_many(entries, World(), LIMITS)
    assert [outcome.r0 for outcome in got] == [6, 8, 8, 0]


@each_target
def test_what_is_a_helper_call(target: str) -> None:
    unit = unit_of("calls by register", TARGETS[target].order)
    assert run(ENGINES[target], unit).calls == (Call("get_smp_processor_id", ()),)
    unit = unit_of("loads from the packet", TARGETS[target].order)
    assert run(ENGINES[target], unit).calls == ()


@pytest.mark.parametrize("text", [
    "r1 = func[f]; callx r1; r0 = r1; exit; f: r0 = 0; exit", "r2 = 8; callx r2; r0 = r1; exit",
    "r6 = 0; callx r7; r0 = r2; exit", "r6 = r1; r0 = *(u8 *)skb[0]; r0 = r1; exit",
    "r1 = func[f]; r0 = 7; callx r1; exit; f: exit",
    "r6 = r1; r2 = 5; call f; r0 = r5; exit; f: r0 = *(u8 *)skb[r2 + 99]; exit",
    "r1 = 1; more: may_goto out; call 8; goto more; out: r0 = r1; exit",
])  # fmt: skip
@each_target
def test_poison_without_observation(target: str, text: str) -> None:
    unit = Unit((assemble(text, order=TARGETS[target].order),), convention=PACKET)
    wanted = run(ENGINES["interpreter"], unit, Options())
    assert not difference(wanted, run(ENGINES[target], unit, Options()))
    assert wanted.fault is not None or wanted.r0 in range(POISON, POISON + 6)


SPECIAL = [row for row in ROWS if applies(row)]


def without(unit: Unit, row: Row, place: int) -> Front | None:
    """The unit's Ops with one left out of each instruction of a row: the one at a place; None where none is there."""
    found = front(unit, unit.programs[0], observe=True)
    insns = unit.programs[0].insns
    places = Counter[int]()
    left_out = False
    for at, op in enumerate(found.ops):
        insn = insns[op.pc] if op.pc >= 0 else None
        if insn is not None and insn.row is row:
            if places[op.pc] == place:
                found.ops[at] = Op("mov", op.pc, dst=0, b=0)
                left_out = True
            places[op.pc] += 1
    return found if left_out else None


@pytest.mark.parametrize(
    "target", [pytest.param(name, marks=pytest.mark.deep) if name == "ppc64le" else name for name in TARGETS]
)
@pytest.mark.parametrize("row", SPECIAL, ids=lambda row: row.name)
def test_no_op_of_an_instruction_can_be_left_out(row: Row, target: str) -> None:
    machine, given = TARGETS[target], entry_for(row)
    units = [
        Unit((case.program,), convention=case.convention, plan=PLANS["high"]) for case in exercises(row, machine.order)
    ]
    missed, place = [], 0
    while True:
        changed = [(unit, without(unit, row, place)) for unit in units]
        if not any(ops for _, ops in changed):
            break
        if not any(differs(unit, ops, machine, given) for unit, ops in changed if ops is not None):
            missed.append(place)
        place += 1
    assert place >= 3
    stub_does_it = row.kind is Kind.PACKET and machine.homes[1] != machine.result  # the poison of R1
    assert missed == ([3] if stub_does_it else []), f"of {place}"


def differs(unit: Unit, ops: Front, machine: Target, given: Input) -> bool:
    limits = Limits(seconds=0.2, may_goto=50)
    wanted = ENGINES["interpreter"].prepare(unit, OBSERVE).run(given, World(), limits)
    got = Guest(unit, compile_front(ops, machine), observe=True).run(given, World(), limits)
    found = difference(wanted, got)
    return bool(found) or not found.decided


@each_plan
def test_counters_lie_apart_and_out_of_reach(plan: str) -> None:
    found, counters = PLANS[plan], PLANS[plan].counters
    starts = [found.text, found.native - NATIVE_STACK, found.harness, found.context, found.packet, found.memory]
    starts += [found.values, found.handles, found.arena]
    assert all(not counters.start - 0x1_0000 <= start <= counters.start + counters.size for start in starts)
    assert counters.start > found.stack + 0x8000 + 8
    assert counters.start <= found.stack - 34 * MAX_FRAMES * FRAME + COUNTER
    assert COUNTER < 1 << 19


# The host's CPU ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cpu() -> Iterator[Engine]:
    try:
        found = engine("native")
        found.prepare(Unit((assemble("r0 = 0; exit"),)))
    except Refused as reason:
        pytest.skip(str(reason))
    yield found
    worker().stop()


@each_program
def test_the_cpu(cpu: Engine, name: str) -> None:
    unit = unit_of(name, "little")
    for options in (OBSERVE, Options()):
        found = difference(run(ENGINES["interpreter"], unit, options), run(cpu, unit, options))
        assert found.decided
        assert not found, found.what


@pytest.mark.parametrize("row", SPECIAL, ids=lambda row: row.name)
def test_rows_on_the_cpu(cpu: Engine, row: Row) -> None:
    for case in exercises(row, "little"):
        unit = Unit((case.program,), convention=case.convention)
        found = difference(*(run(one, unit, given=case.entry) for one in (ENGINES["interpreter"], cpu)))
        assert found.decided
        assert not found, found.what


@pytest.mark.parametrize("text", [
    "r0 = 0x123456789 ll; callx r0; exit", "r9 = 77; callx r9; exit", "r6 = 3; r0 = *(u8 *)skb[0]; exit",
])  # fmt: skip
def test_faults_on_the_cpu(cpu: Engine, text: str) -> None:
    unit = Unit((assemble(text),), convention=PACKET)
    wanted, got = run(ENGINES["interpreter"], unit), run(cpu, unit)
    assert wanted.fault is not None
    assert got.fault == wanted.fault


# The live kernel -----------------------------------------------------------------------------------------


def against(text: str, given: Input = GIVEN, **more: Any) -> Difference:
    """The kernel's run beside the interpreter's."""
    unit, kernel = Unit((assemble(text, order=sys.byteorder),), **more), LinuxEngine()
    expected = ENGINES["interpreter"].prepare(unit).run(given, World(), Limits())
    return judge(kernel, unit, expected, kernel.prepare(unit).run(given, World(), Limits()), given, World(), Limits())


END, NET, LL = len(FRAME_BYTES) - 14, -0x10_0000, -0x20_0000
OFFSETS = (
    *(0, 5, END - 4, END - 3, END - 2, END - 1, END, 0x7FFF_FFFF, -1, NET - 1, LL - 1, -0x8000_0000),
    *(base + at for base in (NET, LL) for at in (0, 3, END - 4, END - 3, END - 1, END, END + 10, END + 11, END + 14)),
)


@live
@pytest.mark.parametrize("bits", [8, 16, 32])
def test_packet_loads_on_the_kernel(bits: int) -> None:
    start = "r6 = r1; r7 = 0xabcd00000005 ll; r8 = 0xffffffff ll; r9 = 9"
    for offset in OFFSETS:
        loads = [f"skb[{offset}]"]
        if abs(offset) < 1 << 30:
            loads += [f"skb[r7 + {offset - 5}]", f"skb[r8 + {offset + 1}]"]
        for load in loads:
            found = against(f"{start}; r0 = *(u{bits} *){load}; r0 <<= 8; r0 += 1; exit", **PACKETS)
            assert found.decided, found.why
            assert not found, (load, found.what)


@live
def test_what_the_kernel_does_with_packets() -> None:
    maps = (Map("kept", initial=bytes(8)),)
    kept = "r1 = map_value[idx:0][0]; *(u64 *)(r1 + 0) = r0"
    text = f"r6 = r1; r0 = *(u8 *)skb[2]; {kept}; r7 = r1; call f; exit; f: r0 = 4; exit"
    assert not against(text, maps=maps, **PACKETS)
    functions = "r6 = r1; call f; r0 += 1; exit; f: r6 = r1; r0 = *(u8 *)skb[{}]; exit"
    assert not against(functions.format(2), **PACKETS)
    assert not against(functions.format(2000), **PACKETS)
    with pytest.raises(Refused, match=r"insn 1: .*skb"):
        against("r6 = 5; r0 = *(u8 *)skb[2]; exit", **PACKETS)


@live
def test_may_goto_on_the_kernel() -> None:
    loop = "r6 = 0; again: may_goto out; r6 += 1; {}goto again; out: r0 = r6; exit"
    found = against(loop.format("if r6 > 99 goto out; "))
    assert found.decided
    assert not found
    found = against(loop.format(""))
    assert not found.decided
    assert "may_goto" in found.why


@live
def test_what_the_kernel_does_not_have() -> None:
    with pytest.raises(Refused, match="map arena"):
        against("r0 = addr_space_cast(r1, 0, 1); exit", maps=(ARENA,))
    for given in (Input(packet=bytes(13)), Input(packet=bytes(20), network=0)):
        with pytest.raises(Refused, match="link-layer header"):
            against("r0 = 0; exit", given, **PACKETS)
    with pytest.raises(Refused, match="R3 has a value"):
        against("r0 = 0; exit", Input(registers={3: 1}, packet=bytes(20)), **PACKETS)


def test_packet_programs_without_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    stand = Stand()
    monkeypatch.setattr("engines.linux.syscall", stand)
    monkeypatch.setattr("engines.linux.unavailable", lambda: "")
    assert not against("r6 = r1; r0 = *(u32 *)skb[2]; r0 <<= 32; r7 = r10; exit", **PACKETS)
    assert not against("r6 = r1; r0 = *(u32 *)skb[200]; exit", **PACKETS)
    assert stand.kinds == [1, 1]


def test_plugins_take_no_packets() -> None:
    with pytest.raises(Refused, match="takes no packets"):
        PluginEngine("true").prepare(Unit((assemble("r0 = 0; exit"),), convention=PACKET))
