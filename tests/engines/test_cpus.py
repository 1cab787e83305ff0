"""Several CPUs of one world: the same race on the interpreter and on every target."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpf.errors import BadInput, Refused
from bpf.plan import PLANS, Unit
from bpf.program import Map
from bpf.text import assemble
from engines import ENGINES, Options, Prepared, engine
from engines.compare import compare
from jit.registry import TARGETS
from tests.engines.map_programs import KEYED, RING, keyed_ops, program_text, ring_ops
from tests.engines.test_map_programs import HOST
from tests.engines.test_timers import LOG, TIMERS, armed
from vm.cpus import Schedule
from vm.outcome import Outcome, difference
from vm.world import Input, Limits, World

SHARED = Map("shared", "array", 4, 8, 1)
CPU = Map("cpu", "percpu_array", 4, 8, 1)
LOCKED = Map("locked", "array", 4, 16, 1, lock=8)
MAPS = (SHARED, CPU, LOCKED)
KEY = "*(u32 *)(r10 - 4) = 0"
FIND = "r1 = map[idx:{}]; r2 = r10; r2 += -4; call 1; if r0 != 0 goto +1; exit; r6 = r0"
LIMITS = Limits(instructions=50_000, seconds=2.0)
INCREMENT = "r7 = *(u64 *)(r6 + 0); call 8; r7 += 1; *(u64 *)(r6 + 0) = r7"
PLAIN = f"{KEY}; {FIND.format(0)}; {INCREMENT}; r0 = r7; exit"
ATOMIC = f"{KEY}; {FIND.format(0)}; r7 = 1; lock *(u64 *)(r6 + 0) += r7; call 8; exit"
PER_CPU = f"{KEY}; {FIND.format(1)}; {INCREMENT}; r0 = r7; exit"
LOCK, UNLOCK = "r1 = r6; r1 += 8; call 93", "r1 = r6; r1 += 8; call 94"
GUARDED = f"{KEY}; {FIND.format(2)}; {LOCK}; {INCREMENT}; {UNLOCK}; r0 = r7; exit"


def run(
    name: str, text: str, schedule: Schedule, *, maps: tuple[Map, ...] = MAPS, order: str = "little",
    plan: str = "high", entries: Sequence[Input] = (), world: World | None = None,
) -> list[Outcome]:  # fmt: skip
    programs = tuple(assemble(one, order=order) for one in text.split("---"))
    prepared = engine(name).prepare(Unit(programs, maps, plan=PLANS[plan]), Options(observe=True))
    inputs = entries or [Input()] * schedule.cpus
    return prepared.run_cpus(inputs, World() if world is None else world, LIMITS, schedule)


def faultless(outcomes: list[Outcome]) -> bool:
    """Whether no CPU reaches for memory that is not there, which kills the process of the host's CPU."""
    return not any(one.fault and one.fault.kind in ("read", "write") for one in outcomes)


def everywhere(text: str, schedule: Schedule, **more: object) -> list[Outcome]:
    """What the interpreter gives for little-endian programs; all machines give the same, in both byte orders."""
    first: list[Outcome] = []
    for order in ("little", "big"):
        world = World()
        expected = run("interpreter", text, schedule, order=order, world=world, **more)  # type: ignore[arg-type]
        machines = [name for name, target in TARGETS.items() if target.order == order]
        if order == sys.byteorder and more.get("plan") != "kernel" and faultless(expected):
            machines += HOST
        for name in machines:
            other = World()
            got = run(name, text, schedule, order=order, world=other, **more)  # type: ignore[arg-type]
            for cpu, (mine, its) in enumerate(zip(expected, got, strict=True)):
                found = difference(mine, its)
                assert not found, (name, cpu, found.what)
                assert found.decided
                assert not found.skipped
            assert other == world
        first = first or expected
    return first


def count(outcomes: list[Outcome], name: str = "shared") -> int:
    assert outcomes[0].maps is not None
    contents = outcomes[0].maps[name]
    assert isinstance(contents, dict)
    (value,) = contents.values()
    values = value if isinstance(value, tuple) else (value,)
    return sum(int.from_bytes(one[:8], "little") for one in values)


class TestCounters:
    @pytest.mark.parametrize(
        "plan", [plan if plan == "high" else pytest.param(plan, marks=pytest.mark.deep) for plan in PLANS]
    )
    def test_a_plain_counter_loses_updates(self, plan: str) -> None:
        together = everywhere(PLAIN, Schedule(4), plan=plan)
        assert count(together) == 1
        assert [one.r0 for one in together] == [1, 1, 1, 1]
        one_by_one = everywhere(PLAIN, Schedule(2, (0,) * 5 + (1,)), plan=plan)
        assert count(one_by_one) == 2
        assert [one.r0 for one in one_by_one] == [1, 2]

    @pytest.mark.parametrize("text", [ATOMIC, PER_CPU, GUARDED])
    @pytest.mark.parametrize("seed", range(3))
    def test_others_lose_none(self, text: str, seed: int) -> None:
        outcomes = everywhere(text, Schedule(4, seed=seed))
        name = {ATOMIC: "shared", PER_CPU: "cpu", GUARDED: "locked"}[text]
        assert count(outcomes, name) == 4
        assert all(one.status == "done" for one in outcomes)
        if text is PER_CPU:
            assert outcomes[0].maps is not None
            assert outcomes[0].maps["cpu"][bytes(4)] == ((1).to_bytes(8, "little"),) * 4  # type: ignore[call-overload]

    def test_a_seed_is_a_race_of_its_own(self) -> None:
        counts = {seed: count(run("interpreter", PLAIN, Schedule(4, seed=seed))) for seed in range(12)}
        assert counts == {seed: count(run("interpreter", PLAIN, Schedule(4, seed=seed))) for seed in range(12)}
        assert len(set(counts.values())) > 1

    def test_contents_stay_in_the_world(self) -> None:
        world = World()
        for turn in range(1, 4):
            assert count(run("arm64", GUARDED, Schedule(3), world=world), "locked") == 3 * turn
        assert world.cpu == 0


class TestLocks:
    def test_who_waits_goes_on_when_the_lock_is_open(self) -> None:
        """CPU 1 is let go on while CPU 0 has the lock, which it gives back all the same."""
        outcomes = everywhere(GUARDED, Schedule(2, (0, 0, 0, 0, 1, 1, 1, 1)))
        assert [one.r0 for one in outcomes] == [1, 2]

    def test_a_lock_that_nobody_opens_is_a_deadlock(self) -> None:
        text = f"{KEY}; {FIND.format(2)}; {LOCK}; r0 = 7; exit"
        first, *others = everywhere(text, Schedule(3))
        assert first.r0 == 7
        for other in others:
            assert other.fault is not None
            assert (other.status, other.fault.kind) == ("fault", "deadlock")

    def test_two_that_wait_for_each_other(self) -> None:
        """CPU 0 takes the locks of two maps, CPU 1 in the other order."""
        both = f"{{}}; r6 = r0; {LOCK}; r8 = r6; {{}}; r6 = r0; {LOCK}; r0 = 1; {UNLOCK}; r6 = r8; {UNLOCK}; exit"
        find = "*(u32 *)(r10 - 4) = 0; r1 = map[idx:{}]; r2 = r10; r2 += -4; call 1"
        one, other = (both.format(find.format(a), find.format(b)) for a, b in ((0, 1), (1, 0)))
        maps = (Map("a", "array", 4, 16, 1, lock=8), Map("b", "array", 4, 16, 1, lock=8))
        schedule = Schedule(2, (0, 1), programs=(0, 1))
        outcomes = everywhere(f"{one}---{other}", schedule, maps=maps)
        assert [one.fault.kind for one in outcomes if one.fault] == ["deadlock", "deadlock"]
        in_turn = everywhere(f"{one}---{other}", Schedule(2, (0,), programs=(0, 1)), maps=maps)
        assert [one.status for one in in_turn] == ["done", "done"]


class TestWhatCpusHave:
    def test_stack_memory_and_number_are_their_own(self) -> None:
        text = "call 8; *(u64 *)(r10 - 8) = r0; r1 = 5; call 5; r0 = *(u64 *)(r10 - 8); exit"
        outcomes = everywhere(text, Schedule(4))
        assert [one.r0 for one in outcomes] == [0, 1, 2, 3]
        text = "r6 = r1; r7 = *(u8 *)(r6 + 0); call 8; *(u8 *)(r6 + 1) = r0; r0 = r7; exit"
        outcomes = everywhere(text, Schedule(3), entries=[Input(bytes((9 - n, 77))) for n in range(3)])
        assert [one.r0 for one in outcomes] == [9, 8, 7]
        for cpu, one in enumerate(outcomes):
            assert one.regions is not None
            assert one.regions["memory"][:2] == bytes((9 - cpu, cpu))

    def test_lines_are_told_by_cpu(self) -> None:
        text = "*(u64 *)(r10 - 8) = 0x7525; r1 = r10; r1 += -8; r2 = 8; r3 = 3; call 6; exit"
        world = World()
        outcomes = run("interpreter", text, Schedule(3, (2, 1, 0)), world=world)
        assert [one.printed for one in outcomes] == [("3",)] * 3
        assert world.printed == ["3"] * 3

    def test_each_enters_its_own_program(self) -> None:
        """A producer and a consumer with one map."""
        make, take = f"{KEY}; {FIND.format(0)}; *(u64 *)(r6 + 0) = 41; call 8; r0 = 1; exit", PLAIN
        outcomes = everywhere(f"{make}---{take}", Schedule(2, (0,), programs=(0, 1)))
        assert [one.r0 for one in outcomes] == [1, 42]
        with pytest.raises(BadInput, match="program 2 of 2"):
            everywhere(f"{make}---{take}", Schedule(2, programs=(0, 2)))

    def test_callbacks(self) -> None:
        """A CPU gives its turn away in the middle of what a helper has called."""
        add = f"{KEY}; r1 = map[idx:0]; r2 = r10; r2 += -4; call 1; if r0 != 0 goto +1; exit; r6 = r0; {INCREMENT}"
        text = f"r1 = 4; r2 = func[f]; r3 = 0; r4 = 0; call 181; exit; f: {add}; r0 = 0; exit"
        assert {count(everywhere(text, Schedule(3, seed=seed))) for seed in range(4)} - {12}

    def test_timers_run_on_the_cpu_that_ends(self) -> None:
        note = "call 8; r6 = map_value[idx:1][0]; r5 = *(u64 *)(r6 + 0); r5 <<= 4; r5 += r0; r5 += 1"
        text = f"{armed(1, 500)}; exit; f: {note}; *(u64 *)(r6 + 0) = r5; r0 = 0; exit"
        outcomes = everywhere(text, Schedule(2, (1, 0)), maps=(TIMERS, LOG))
        assert outcomes[0].regions is not None
        assert int.from_bytes(outcomes[0].regions["map log"][:8], "little") in (1, 2, 0x12, 0x21)

    def test_a_fault_ends_its_cpu_alone(self) -> None:
        text = "call 8; if r0 == 1 goto bad; call 8; exit; bad: r0 = *(u64 *)(r0 + 0); exit"
        outcomes = everywhere(text, Schedule(3))
        assert [one.status for one in outcomes] == ["done", "fault", "done"]

    @pytest.mark.parametrize("name", ["interpreter", "arm64", "ppc64", *HOST])
    def test_one_that_does_not_end(self, name: str) -> None:
        text = "call 8; if r0 == 1 goto -1; exit"
        order = {"ppc64": "big", "native": sys.byteorder}.get(name, "little")
        prepared = engine(name).prepare(Unit((assemble(text, order=order),)))
        outcomes = prepared.run_cpus([Input()] * 3, World(), Limits(instructions=1000, seconds=0.2), Schedule(3))
        assert outcomes[1].status == "limit"
        assert outcomes[0].r0 == 0


class _Simple(Prepared):
    def run(self, entry: Input, world: World, limits: Limits) -> Outcome:
        raise NotImplementedError

    def trace(self, entry: Input, world: World, limits: Limits) -> Any:
        raise NotImplementedError


PROGRAM_MAPS = (*KEYED, RING)


def sharing(data: st.DataObject, map_: Map, examples: int) -> None:
    strategy = ring_ops() if map_ == RING else keyed_ops(map_)
    ops = data.draw(strategy)
    cpus = data.draw(st.integers(1, 4))
    order = data.draw(st.lists(st.integers(0, cpus - 1), max_size=20).map(tuple))
    schedule = Schedule(cpus, order, None if order else data.draw(st.integers(0, examples)))
    everywhere(program_text(ops), schedule, maps=(map_,), entries=[Input(bytes(8 * len(ops)))] * cpus)


@settings(max_examples=8, deadline=None)
@given(data=st.data(), map_=st.sampled_from(PROGRAM_MAPS))
def test_any_operations_under_any_schedule(data: st.DataObject, map_: Map) -> None:
    sharing(data, map_, 100)


@pytest.mark.deep
@settings(max_examples=2000, deadline=None)
@given(data=st.data(), map_=st.sampled_from(PROGRAM_MAPS))
def test_any_operations_under_any_schedule_widely(data: st.DataObject, map_: Map) -> None:
    sharing(data, map_, 1 << 64)


class TestFaces:
    def test_compare(self) -> None:
        rows = compare(lambda order: replace(assemble(PLAIN, order=order), maps=MAPS), schedule=Schedule(3, seed=1))
        assert {row.verdict for row in rows} == {"reference", "agrees"}
        assert all(len(row.cpus) == 3 for row in rows)

    def test_what_differs_names_the_cpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from emu.guest import Guest

        right = Guest.run_cpus

        def wrong(self: Guest, entries: object, world: object, limits: object, schedule: object) -> list[Outcome]:
            return right(self, entries, world, limits, Schedule(3, (2, 1, 0)))  # type: ignore[arg-type]

        monkeypatch.setattr(Guest, "run_cpus", wrong)
        rows = compare(
            lambda order: replace(assemble(PLAIN, order=order), maps=MAPS), engines=[ENGINES["s390x"]],
            schedule=Schedule(3, (0,)),
        )  # fmt: skip
        assert rows[1].verdict == "differs"
        assert rows[1].reason == f"CPU 0: map shared [00000000] is {1:016x}, expected {3:016x}"
        assert rows[1].parting is None

    def test_engines_with_one_cpu_refuse(self) -> None:
        with pytest.raises(Refused, match="runs on one CPU"):
            _Simple().run_cpus([Input()] * 2, World(), Limits(), Schedule(2))

    @pytest.mark.skipif(not HOST, reason="no engine for the host's CPU")
    def test_what_kills_the_process_is_not_compared(self) -> None:
        text = "call 8; if r0 == 1 goto bad; call 8; exit; bad: r0 = *(u64 *)(r0 + 0); exit"
        outcomes = run("native", text, Schedule(3), order=sys.byteorder)
        assert [one.status for one in outcomes] == ["unspecified"] * 3
        assert count(run("native", ATOMIC, Schedule(3), order=sys.byteorder)) == 3

    def test_what_is_wrong_with_a_schedule(self) -> None:
        for bad in ({"cpus": 5}, {"cpus": 0}, {"cpus": 2, "order": (0, 2)}, {"cpus": 2, "programs": (1,)}):
            with pytest.raises(BadInput):
                Schedule(**bad)  # type: ignore[arg-type]
        with pytest.raises(BadInput, match="no schedule"):
            Schedule.read(2, "zero")
        assert Schedule.read(2, "7") == Schedule(2, seed=7)
        assert Schedule.read(2, "0,1,1") == Schedule(2, (0, 1, 1))
        with pytest.raises(BadInput, match="1 inputs for 2 CPUs"):
            run("interpreter", PLAIN, Schedule(2), entries=[Input()])

    def test_what_a_helper_raises_reaches_the_caller(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """From the thread of a CPU; the other CPUs come to their ends."""
        from vm.interpreter import Interpreter

        def broken(self: Interpreter, state: object, *arguments: object) -> None:
            raise ZeroDivisionError("of ours")

        monkeypatch.setattr(Interpreter, "_helper", broken)
        with pytest.raises(ZeroDivisionError, match="of ours"):
            run("interpreter", PLAIN, Schedule(3))
